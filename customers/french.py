"""What the portal says around its pages, while signing in and in mails, in French."""

FRENCH: dict[str, str] = {
    "portal": "Espace client",
    "skip": "Aller au contenu",
    "navigation": "Pages",
    "usage": "Consommation",
    "invoices": "Factures",
    "plan": "Formule",
    "account": "Compte",
    "sign_out": "Se déconnecter",
    "help": "Aide",
    "language": "Langue",
    "switch": "Changer de client",
    "signed_in_as": "Connecté en tant que {email}",
    "sign_in": "Se connecter",
    "sign_in_lead": "Voyez ce que vous utilisez, ce que cela coûte et chaque facture. Nous vous envoyons un lien ; il n’y a pas de mot de passe.",
    "email": "Votre adresse e-mail",
    "send_link": "M’envoyer un lien",
    "bad_email": "Ce n’est pas une adresse e-mail. Écrivez-la comme dans nom@entreprise.com.",
    "sent": "Regardez vos e-mails",
    "sent_lead": "Si cette adresse est connue ici, un e-mail avec un lien est en route. Ouvrez le lien dans ce navigateur dans les 15 minutes.",
    "sent_code": "Ou saisissez ici le code de l’e-mail :",
    "code": "Code de l’e-mail",
    "code_form": "Huit lettres et chiffres, comme K7QM-3F9T",
    "use_code": "Se connecter avec le code",
    "nothing_came": "Rien n’est arrivé ? Regardez parmi les indésirables, ou demandez l’accès à votre contact dans l’entreprise.",
    "other_address": "Utiliser une autre adresse",
    "link": "Encore une étape",
    "link_lead": "Vous allez vous connecter en tant que {email}.",
    "link_button": "Se connecter",
    "link_code_lead": "Vous avez ouvert le lien dans un autre navigateur que celui où vous l’avez demandé. Pour que personne d’autre que le lecteur de l’e-mail n’entre, saisissez le code de l’e-mail.",
    "wrong_code": "Ce n’est pas le code de l’e-mail. Comparez-le lettre par lettre.",
    "no_code": "Saisissez le code de l’e-mail.",
    "no_guesses": "Aucun code ne peut plus être essayé ici : il l’a été trop souvent, ou son délai est passé. Demandez un nouveau lien.",
    "dead_link": "Ce lien ne mène plus nulle part",
    "dead_link_lead": "Il a déjà été utilisé, ou ses 15 minutes sont passées. Demandez-en un nouveau : cela prend une minute.",
    "new_link": "Demander un nouveau lien",
    "limited": "Trop de liens ont été demandés",
    "limited_lead": "Pour votre sécurité, aucun autre n’est envoyé pendant un quart d’heure. Utilisez le plus récent dans vos e-mails, ou revenez ensuite.",
    "choose": "Pour qui ?",
    "choose_lead": "Votre adresse appartient à plusieurs clients. Vous pouvez changer à tout moment.",
    "chosen": "actuel",
    "missing": "Il n’y a rien ici",
    "missing_lead": "La page a été déplacée, ou elle appartient à quelqu’un d’autre.",
    "back": "Retour à votre consommation",
    "refused": "Cela a pris trop de temps, ou venait d’ailleurs",
    "refused_lead": "La page que vous avez envoyée n’a pas été faite pour ce navigateur. Rouvrez-la et réessayez.",
    "mail_subject": "Se connecter à {seller}",
    "mail": (
        "Bonjour {name},\n\n"
        "voici votre lien vers la consommation et les factures chez {seller} :\n\n"
        "{url}\n\n"
        "Il sert une fois, dans les 15 minutes. Dans un autre navigateur que celui où vous\n"
        "l’avez demandé, saisissez aussi ce code :\n\n"
        "    {code}\n\n"
        "Vous ne l’avez pas demandé ? Ne faites rien : sans cet e-mail, personne n’entre.\n"
    ),
}
