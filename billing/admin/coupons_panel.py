"""A subscription's coupons, and what its invoices took of them."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from django.http import HttpRequest
from django.urls import reverse

from billing.admin import words
from billing.calculation import add_up
from billing.coupons import taken_of
from catalog.coupons import coupon_in_words
from catalog.models import CouponDuration
from catalog.money import EXACT
from config.base.admin.audited import Panel
from customers.models import AppliedCoupon, Subscription

HERE = "admin:customers_subscription"


def coupons_panel(request: HttpRequest, subscription: Subscription) -> Panel | None:
    """Show the coupons that the subscription was given, and how to give or end one."""
    applied = list(subscription.applied_coupons.all())
    may_change = request.user.has_perm("customers.add_appliedcoupon")
    if not may_change and not (applied and request.user.has_perm("customers.view_appliedcoupon")):
        return None
    currency = (subscription.payer or subscription.customer).currency
    taken = taken_of([one.pk for one in applied])
    end_url = reverse(f"{HERE}_end_coupon", args=(subscription.pk,))
    context = {
        "coupons": [
            {
                "name": one.coupon.name,
                "url": reverse("admin:catalog_coupon_change", args=(one.coupon_id,)),
                "terms": coupon_in_words(one.coupon),
                "starts_on": one.starts_on,
                "ends_on": one.ends_on,
                "taken": _told(one, taken[one.pk].values(), currency),
                "by": one.applied_by,
                "end_url": f"{end_url}?coupon={one.uuid}"
                if may_change and one.ends_on is None
                else "",
            }
            for one in applied
        ],
        "apply_url": reverse(f"{HERE}_apply_coupon", args=(subscription.pk,)) if may_change else "",
    }
    return Panel("Coupons", "admin/billing/coupons_panel.html", context)


def _told(applied: AppliedCoupon, taken: Iterable[Decimal], currency: str) -> str:
    """Say what invoices took of it, and what is left of one that is used up bit by bit."""
    amounts = list(taken)
    if not amounts:
        return "nothing yet"
    total = add_up(amounts)
    on = words.counted(len(amounts), "invoice")
    said = f"{words.money(total, currency)} on {on}"
    coupon = applied.coupon
    if coupon.duration == CouponDuration.UNTIL_USED_UP:
        left = EXACT.subtract(coupon.amount, total)
        said += f", {words.money(left, coupon.currency)} left"
    return said
