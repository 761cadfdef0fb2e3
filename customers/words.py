"""What the portal says around its pages, while signing in and in mails, by language."""

from __future__ import annotations

from collections.abc import Mapping

from babel import Locale, UnknownLocaleError

from catalog.typography import set_in_french
from customers.french import FRENCH
from customers.spanish import SPANISH

LANGUAGES = {"en": "English", "de": "Deutsch", "fr": "Français", "es": "Español"}
"""The languages that there are words in, each by its own name."""


def of(locale: str) -> Mapping[str, str]:
    """Return the words for readers of a locale; the English ones where there are no others."""
    return _WORDS[language_of(locale)]


def language_of(locale: str) -> str:
    """Return the language that the portal speaks to readers of a locale such as "de-DE"."""
    language = locale.replace("_", "-").partition("-")[0].lower()
    return language if language in LANGUAGES else "en"


def locale_for(own: str, *, language: str, country: str) -> str:
    """Return the locale to read in: one's own, or that of a chosen language in one's country."""
    if language not in LANGUAGES or language == language_of(own):
        return own
    for tag in (f"{language}-{country}", language):
        try:
            Locale.parse(tag, sep="-")
        except (UnknownLocaleError, ValueError):
            continue
        return tag
    return own


_WORDS: dict[str, dict[str, str]] = {
    "en": {
        "portal": "Customer portal",
        "skip": "Skip to the content",
        "navigation": "Pages",
        "usage": "Usage",
        "invoices": "Invoices",
        "plan": "Plan",
        "account": "Account",
        "sign_out": "Sign out",
        "help": "Help",
        "language": "Language",
        "switch": "Switch customer",
        "signed_in_as": "Signed in as {email}",
        "sign_in": "Sign in",
        "sign_in_lead": "See what you use, what it costs and every invoice. We send you a link; there is no password.",
        "email": "Your e-mail address",
        "send_link": "Send me a link",
        "bad_email": "That is no e-mail address. Write it as in name@company.com.",
        "sent": "Look in your mail",
        "sent_lead": "If that address is known here, a mail with a link is on its way. Open the link in this browser within 15 minutes.",
        "sent_code": "Or type the code from the mail here:",
        "code": "Code from the mail",
        "code_form": "Eight letters and digits, such as K7QM-3F9T",
        "use_code": "Sign in with the code",
        "nothing_came": "Nothing came? Look among unwanted mail, or ask your contact at the company for access.",
        "other_address": "Use another address",
        "link": "One more step",
        "link_lead": "You are about to sign in as {email}.",
        "link_button": "Sign in",
        "link_code_lead": "You opened the link in another browser than the one you asked for it in. So that nobody but the reader of the mail gets in, type the code from the mail.",
        "wrong_code": "That is not the code of the mail. Compare it letter by letter.",
        "no_code": "Type the code from the mail.",
        "no_guesses": "No code can be tried here any more: it was tried too often, or its time is over. Ask for a new link.",
        "dead_link": "This link leads nowhere any more",
        "dead_link_lead": "It was used already, or its 15 minutes are over. Ask for a new one: that takes a minute.",
        "new_link": "Ask for a new link",
        "limited": "Too many links were asked for",
        "limited_lead": "For your safety no more are sent for a quarter of an hour. Use the newest one in your mail, or come back then.",
        "choose": "For whom?",
        "choose_lead": "Your address belongs to several customers. You can switch at any time.",
        "chosen": "now",
        "missing": "There is nothing here",
        "missing_lead": "The page was moved, or it belongs to somebody else.",
        "back": "Back to your usage",
        "refused": "That took too long, or came from elsewhere",
        "refused_lead": "The page you sent was not made for this browser. Open it anew and try again.",
        "mail_subject": "Sign in to {seller}",
        "mail": (
            "Hello {name},\n\n"
            "here is your link to usage and invoices at {seller}:\n\n"
            "{url}\n\n"
            "It works once, within 15 minutes. In another browser than the one you asked in,\n"
            "type this code as well:\n\n"
            "    {code}\n\n"
            "You did not ask for it? Then do nothing: without this mail nobody gets in.\n"
        ),
    },
    "de": {
        "portal": "Kundenportal",
        "skip": "Zum Inhalt springen",
        "navigation": "Seiten",
        "usage": "Nutzung",
        "invoices": "Rechnungen",
        "plan": "Tarif",
        "account": "Konto",
        "sign_out": "Abmelden",
        "help": "Hilfe (englisch)",
        "language": "Sprache",
        "switch": "Kunden wechseln",
        "signed_in_as": "Angemeldet als {email}",
        "sign_in": "Anmelden",
        "sign_in_lead": "Sehen Sie, was Sie nutzen, was es kostet, und jede Rechnung. Wir schicken Ihnen einen Link; ein Passwort gibt es nicht.",
        "email": "Ihre E-Mail-Adresse",
        "send_link": "Link zuschicken",
        "bad_email": "Das ist keine E-Mail-Adresse. Schreiben Sie sie wie name@firma.de.",
        "sent": "Sehen Sie in Ihre Mails",
        "sent_lead": "Wenn diese Adresse hier bekannt ist, ist eine Mail mit einem Link unterwegs. Öffnen Sie ihn innerhalb von 15 Minuten in diesem Browser.",
        "sent_code": "Oder geben Sie den Code aus der Mail hier ein:",
        "code": "Code aus der Mail",
        "code_form": "Acht Buchstaben und Ziffern, etwa K7QM-3F9T",
        "use_code": "Mit dem Code anmelden",
        "nothing_came": "Nichts gekommen? Sehen Sie im Spam-Ordner nach oder bitten Sie Ihren Ansprechpartner um Zugang.",
        "other_address": "Andere Adresse verwenden",
        "link": "Noch ein Schritt",
        "link_lead": "Sie melden sich gleich als {email} an.",
        "link_button": "Anmelden",
        "link_code_lead": "Sie haben den Link in einem anderen Browser geöffnet als dem, in dem Sie ihn angefordert haben. Damit nur hereinkommt, wer die Mail liest, geben Sie den Code aus der Mail ein.",
        "wrong_code": "Das ist nicht der Code aus der Mail. Vergleichen Sie Zeichen für Zeichen.",
        "no_code": "Geben Sie den Code aus der Mail ein.",
        "no_guesses": "Hier kann kein Code mehr versucht werden: Es gab zu viele Versuche, oder die Zeit ist um. Fordern Sie einen neuen Link an.",
        "dead_link": "Dieser Link führt nirgends mehr hin",
        "dead_link_lead": "Er wurde schon benutzt, oder seine 15 Minuten sind um. Fordern Sie einen neuen an: Das dauert eine Minute.",
        "new_link": "Neuen Link anfordern",
        "limited": "Es wurden zu viele Links angefordert",
        "limited_lead": "Zu Ihrer Sicherheit wird eine Viertelstunde lang keiner mehr verschickt. Nehmen Sie den neuesten aus Ihren Mails, oder kommen Sie dann wieder.",
        "choose": "Für wen?",
        "choose_lead": "Ihre Adresse gehört zu mehreren Kunden. Sie können jederzeit wechseln.",
        "chosen": "jetzt",
        "missing": "Hier ist nichts",
        "missing_lead": "Die Seite ist umgezogen, oder sie gehört jemand anderem.",
        "back": "Zurück zu Ihrer Nutzung",
        "refused": "Das dauerte zu lange oder kam von anderswo",
        "refused_lead": "Die abgeschickte Seite war nicht für diesen Browser gemacht. Öffnen Sie sie neu und versuchen Sie es noch einmal.",
        "mail_subject": "Anmeldung bei {seller}",
        "mail": (
            "Guten Tag {name},\n\n"
            "hier ist Ihr Link zu Nutzung und Rechnungen bei {seller}:\n\n"
            "{url}\n\n"
            "Er gilt einmal und 15 Minuten lang. In einem anderen Browser als dem, in dem Sie\n"
            "ihn angefordert haben, geben Sie dazu diesen Code ein:\n\n"
            "    {code}\n\n"
            "Sie haben ihn nicht angefordert? Dann müssen Sie nichts tun: Ohne diese Mail kommt niemand hinein.\n"
        ),
    },
}
_WORDS["fr"], _WORDS["es"] = _WORDS["en"] | set_in_french(FRENCH), _WORDS["en"] | SPANISH
