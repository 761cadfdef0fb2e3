"""Where the customer portal is reached: the door is customers', what is behind it billing's."""

from django.urls import path

from billing.portal import urls as reading
from customers.portal import sign_in

app_name = "portal"

urlpatterns = [
    *reading.urlpatterns,
    path("sign-in/", sign_in.sign_in, name="sign_in"),
    path("sign-in/sent/", sign_in.sent, name="sign_in_sent"),
    path("sign-in/confirm/", sign_in.confirm, name="sign_in_confirm"),
    path("sign-in/link/<str:token>/", sign_in.link, name="sign_in_link"),
    path("sign-out/", sign_in.sign_out, name="sign_out"),
    path("choose/", sign_in.choose, name="choose"),
    path("language/", sign_in.language, name="language"),
]
