"""What is done with customers: kept, subscribed, let into the portal. One use case each."""

from customers.services.changing_plan import (
    Change,
    PlanUnchanged,
    SubscriptionPaused,
    change_versions,
    has_whole_prices,
    same_periods,
    tax_mismatch,
)
from customers.services.couponing import CouponEnded, CouponExpired, apply_coupon, end_coupon
from customers.services.ending import (
    SubscriptionNotCancelled,
    end_subscription,
    keep_subscription,
)
from customers.services.locking import SubscriptionEnded
from customers.services.overriding import OverrideEnded, agree_price, end_override, price_on
from customers.services.pausing import (
    SubscriptionNotEnded,
    SubscriptionNotPaused,
    pause_subscription,
    resume_subscription,
    take_up_again,
)
from customers.services.signing_in import make_sign_in_link
from customers.services.subscribing import (
    CurrencyInUse,
    VersionNotOffered,
    add_contact,
    change_customer,
    change_issuer,
    change_quantity,
    create_customer,
    create_issuer,
    keep_logo,
    offered_version,
    subscribe,
)
from customers.services.zoning import (
    FirstPeriod,
    NoFurtherPeriod,
    TimeZoneUnchanged,
    change_time_zone,
    first_period,
)

__all__ = [
    "Change",
    "CouponEnded",
    "CouponExpired",
    "CurrencyInUse",
    "FirstPeriod",
    "NoFurtherPeriod",
    "OverrideEnded",
    "PlanUnchanged",
    "SubscriptionEnded",
    "SubscriptionNotCancelled",
    "SubscriptionNotEnded",
    "SubscriptionNotPaused",
    "SubscriptionPaused",
    "TimeZoneUnchanged",
    "VersionNotOffered",
    "add_contact",
    "agree_price",
    "apply_coupon",
    "change_customer",
    "change_issuer",
    "change_quantity",
    "change_time_zone",
    "change_versions",
    "create_customer",
    "create_issuer",
    "end_coupon",
    "end_override",
    "end_subscription",
    "first_period",
    "has_whole_prices",
    "keep_logo",
    "keep_subscription",
    "make_sign_in_link",
    "offered_version",
    "pause_subscription",
    "price_on",
    "resume_subscription",
    "same_periods",
    "subscribe",
    "take_up_again",
    "tax_mismatch",
]
