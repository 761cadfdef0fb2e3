"""What the portal says around its pages, while signing in and in mails, in Spanish."""

SPANISH: dict[str, str] = {
    "portal": "Portal de clientes",
    "skip": "Ir al contenido",
    "navigation": "Páginas",
    "usage": "Consumo",
    "invoices": "Facturas",
    "plan": "Plan",
    "account": "Cuenta",
    "sign_out": "Cerrar sesión",
    "help": "Ayuda",
    "language": "Idioma",
    "switch": "Cambiar de cliente",
    "signed_in_as": "Sesión iniciada como {email}",
    "sign_in": "Iniciar sesión",
    "sign_in_lead": "Vea lo que usa, lo que cuesta y cada factura. Le enviamos un enlace; no hay contraseña.",
    "email": "Su dirección de correo",
    "send_link": "Enviarme un enlace",
    "bad_email": "No es una dirección de correo. Escríbala como en nombre@empresa.com.",
    "sent": "Mire su correo",
    "sent_lead": "Si aquí se conoce esa dirección, un correo con un enlace está en camino. Abra el enlace en este navegador en los próximos 15 minutos.",
    "sent_code": "O escriba aquí el código del correo:",
    "code": "Código del correo",
    "code_form": "Ocho letras y cifras, como K7QM-3F9T",
    "use_code": "Iniciar sesión con el código",
    "nothing_came": "¿No ha llegado nada? Mire entre el correo no deseado, o pida acceso a su contacto en la empresa.",
    "other_address": "Usar otra dirección",
    "link": "Un paso más",
    "link_lead": "Va a iniciar sesión como {email}.",
    "link_button": "Iniciar sesión",
    "link_code_lead": "Ha abierto el enlace en otro navegador que aquel en que lo pidió. Para que no entre nadie más que quien lee el correo, escriba el código del correo.",
    "wrong_code": "No es el código del correo. Compárelo letra por letra.",
    "no_code": "Escriba el código del correo.",
    "no_guesses": "Aquí ya no se puede probar ningún código: se probó demasiadas veces o su plazo ha pasado. Pida un enlace nuevo.",
    "dead_link": "Este enlace ya no lleva a ninguna parte",
    "dead_link_lead": "Ya se usó, o sus 15 minutos han pasado. Pida uno nuevo: es cosa de un minuto.",
    "new_link": "Pedir un enlace nuevo",
    "limited": "Se han pedido demasiados enlaces",
    "limited_lead": "Por su seguridad no se envía ninguno más durante un cuarto de hora. Use el más reciente de su correo, o vuelva entonces.",
    "choose": "¿Para quién?",
    "choose_lead": "Su dirección pertenece a varios clientes. Puede cambiar en cualquier momento.",
    "chosen": "ahora",
    "missing": "Aquí no hay nada",
    "missing_lead": "La página se ha movido, o pertenece a otra persona.",
    "back": "Volver a su consumo",
    "refused": "Ha tardado demasiado, o venía de otro lugar",
    "refused_lead": "La página que envió no se hizo para este navegador. Ábrala de nuevo e inténtelo otra vez.",
    "mail_subject": "Iniciar sesión en {seller}",
    "mail": (
        "Hola, {name}:\n\n"
        "aquí tiene su enlace al consumo y las facturas en {seller}:\n\n"
        "{url}\n\n"
        "Sirve una vez, durante 15 minutos. En otro navegador que aquel en que lo pidió,\n"
        "escriba además este código:\n\n"
        "    {code}\n\n"
        "¿No lo ha pedido? Entonces no haga nada: sin este correo no entra nadie.\n"
    ),
}
