"""What each role may do with customers and their subscriptions."""

from config.base.groups import DEVELOPER, FINANCE, FINANCE_LEAD, SUPPORT, Grants, may

_EVERYTHING = (
    "issuer customer contact subscription subscriptionphase subscriptionquantity priceoverride "
    "appliedcoupon"
)
_DAILY = [
    *may("view", _EVERYTHING),
    *may("add change", "customer contact subscription appliedcoupon"),
    "delete_contact",
]

GRANTS: Grants = {
    FINANCE: _DAILY,
    FINANCE_LEAD: [
        *_DAILY,
        *may("add change delete", "issuer"),
        "delete_customer",
        *may("add change", "priceoverride"),
    ],
    SUPPORT: may("view", _EVERYTHING),
    DEVELOPER: may(
        "view",
        "customer subscription subscriptionphase subscriptionquantity priceoverride appliedcoupon",
    ),
}
