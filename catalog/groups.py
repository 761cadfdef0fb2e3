"""What each role may do with the catalog."""

from config.base.groups import DEVELOPER, FINANCE, FINANCE_LEAD, SUPPORT, Grants, may

_EVERYTHING = (
    "valuemetric metricanswer metricdecision plan planversion price pricetier coupon addon"
)
_DRAFTS = [
    *may("view", _EVERYTHING),
    *may("add change", "plan planversion"),
    "delete_planversion",
]

GRANTS: Grants = {
    FINANCE: _DRAFTS,
    FINANCE_LEAD: [
        *_DRAFTS,
        *may("add change delete", "valuemetric"),
        "delete_plan",
        "publish_planversion",
        *may("add change", "coupon addon"),
    ],
    SUPPORT: may("view", _EVERYTHING),
    DEVELOPER: [*may("view", _EVERYTHING), *may("add change", "valuemetric")],
}
