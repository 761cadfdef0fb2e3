"""The fixed texts of mails, besides those that the documents have too."""

from __future__ import annotations

MAIL_WORDS: dict[str, dict[str, str]] = {
    "en": {
        "hello": "Hello,",
        "subject_due": "Invoice {number} from {seller}: {amount} due by {date}",
        "subject_nothing": "Invoice {number} from {seller}: nothing to pay",
        "lead": "Attached is invoice {number} of {date} from {seller}.",
        "still_open": "Of this, {amount} is still open.",
        "nothing_open": "Nothing of it is open any more.",
        "sign_in": "You sign in there with a link that is sent to your address; there is no password.",
    },
    "de": {
        "hello": "Guten Tag,",
        "subject_due": "Rechnung {number} von {seller}: {amount}, zahlbar bis {date}",
        "subject_nothing": "Rechnung {number} von {seller}: nichts zu zahlen",
        "lead": "anbei die Rechnung {number} vom {date} von {seller}.",
        "still_open": "Davon sind noch {amount} offen.",
        "nothing_open": "Davon ist nichts mehr offen.",
        "sign_in": "Zur Anmeldung wird Ihnen ein Link zugeschickt; ein Passwort gibt es nicht.",
    },
    "fr": {
        "hello": "Bonjour,",
        "subject_due": "Facture {number} de {seller} : {amount} à payer avant le {date} inclus",
        "subject_nothing": "Facture {number} de {seller} : rien à payer",
        "lead": "Vous trouverez ci-joint la facture {number} du {date} de {seller}.",
        "still_open": "Il en reste {amount} à payer.",
        "nothing_open": "Il n’en reste rien à payer.",
        "sign_in": "Pour vous connecter, un lien vous est envoyé par e-mail ; il n’y a pas de mot de passe.",
    },
    "es": {
        "hello": "Buenos días:",
        "subject_due": "Factura {number} de {seller}: {amount} a pagar hasta el {date}",
        "subject_nothing": "Factura {number} de {seller}: nada que pagar",
        "lead": "Adjuntamos la factura {number} del {date} de {seller}.",
        "still_open": "De este importe quedan {amount} por pagar.",
        "nothing_open": "Ya no queda nada por pagar.",
        "sign_in": "Para entrar recibirá un enlace por correo; no hay contraseña.",
    },
}
