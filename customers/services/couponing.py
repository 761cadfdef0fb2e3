"""Coupons of subscriptions: given from a day on, ended on one (R22a)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime

from django.db import transaction

from catalog.coupons import CouponRetired
from catalog.models import Coupon, CouponStatus
from config.base import audit, records
from config.base.audit import Actor
from config.base.errors import Fault, Invalid, Refusal
from customers.models import AppliedCoupon, Subscription
from customers.periods import local_date, zone


class CouponEnded(Refusal):
    """It ended on an earlier day already."""

    code = "coupon_ended"


class CouponExpired(Refusal):
    """The last day on which somebody could be given it is over."""

    code = "coupon_expired"


@transaction.atomic
def apply_coupon(
    *, subscription_id: int, coupon: Coupon, starts_on: date, at: datetime, actor: Actor
) -> AppliedCoupon:
    """Reduce what a subscription is billed from a day on (R22a).

    That is, the invoices of periods that end, or are billed in advance, on that day or later; the
    first of service is reduced by a coupon from the subscription's first day.

    :raises CouponRetired: if it is given to nobody any more.
    :raises CouponExpired: after its last day, in the customer's zone.
    :raises Invalid: for another currency, a day before service, or one it has already.
    """
    found = Subscription.objects.select_for_update(of=("self",)).select_related("customer", "payer")
    subscription = found.get(pk=subscription_id)
    if coupon.status == CouponStatus.RETIRED:
        raise CouponRetired(f"“{coupon}” is retired: it is given to nobody any more.")
    last, today = coupon.redeemable_until, local_date(at, zone(subscription.customer.time_zone))
    if last is not None and today > last:
        raise CouponExpired(f"“{coupon}” could be given until {last}.")
    if faults := list(_faults(subscription, coupon, starts_on)):
        raise Invalid(faults)
    applied = AppliedCoupon.objects.create(
        subscription=subscription,
        coupon=coupon,
        starts_on=starts_on,
        applied_by=actor.name,
        applied_at=at,
    )
    changes = {f"coupon from {starts_on}": [None, coupon.key]}
    audit.record(actor=actor, action="applied coupon", subject=subscription, changes=changes)
    return applied


@transaction.atomic
def end_coupon(*, applied_id: int, ends_on: date, actor: Actor) -> AppliedCoupon:
    """Let a coupon reduce no invoice of a day or later; of its first day: none at all.

    :raises CouponEnded: if it ends earlier already.
    :raises Invalid: for a day before it begins.
    """
    applied = (
        AppliedCoupon.objects.select_related("subscription", "coupon")
        .select_for_update(of=("self",))
        .get(pk=applied_id)
    )
    if applied.ends_on is not None and applied.ends_on < ends_on:
        raise CouponEnded(f"It ended on {applied.ends_on} already.")
    if ends_on < applied.starts_on:
        message = f"It begins on {applied.starts_on}: choose that day or a later one."
        raise Invalid([Fault(("ends_on",), "out_of_range", message)])
    records.change(applied, fields={"ends_on": ends_on}, actor=actor)
    return applied


def _faults(subscription: Subscription, coupon: Coupon, starts_on: date) -> Iterator[Fault]:
    if starts_on < subscription.starts_on:
        message = f"Its service begins on {subscription.starts_on}: choose that day or a later one."
        yield Fault(("starts_on",), "out_of_range", message)
    currency = (subscription.payer or subscription.customer).currency
    if coupon.amount is not None and coupon.currency != currency:
        message = f"“{coupon}” takes off {coupon.currency}, and it is billed in {currency}."
        yield Fault(("coupon",), "currency_mismatch", message)
    if running := subscription.applied_coupons.filter(coupon=coupon, ends_on=None).first():
        message = f"It has “{coupon}” since {running.starts_on}: end that first."
        yield Fault(("coupon",), "coupon_running", message)
