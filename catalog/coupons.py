"""Coupons: made once, given to subscriptions, retired; what is wrong with one (R22a)."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import transaction

from catalog.amounts import amount_errors, amount_in_words
from catalog.models import Coupon, CouponDuration, CouponStatus
from catalog.money import plain
from config.base import records
from config.base.audit import Actor
from config.base.errors import Fault, Invalid, Refusal


class CouponRetired(Refusal):
    """The coupon is no longer given to anybody."""

    code = "coupon_retired"


def create_coupon(*, coupon: Coupon, actor: Actor) -> Coupon:
    """Save a new coupon, whose terms never change.

    :raises KeyTaken: if another coupon has its key.
    :raises Invalid: naming every field that contradicts another.
    """
    if faults := list(coupon_errors(coupon)):
        raise Invalid(faults)
    return records.create_keyed(coupon, actor=actor)


@transaction.atomic
def retire_coupon(*, coupon_id: int, actor: Actor) -> Coupon:
    """Give a coupon to nobody any more; who has it keeps it.

    :raises CouponRetired: if it is retired already.
    """
    coupon = Coupon.objects.select_for_update().get(pk=coupon_id)
    if coupon.status == CouponStatus.RETIRED:
        raise CouponRetired(f"“{coupon}” is retired already.")
    records.change(coupon, fields={"status": CouponStatus.RETIRED}, actor=actor)
    return coupon


def coupon_errors(coupon: Coupon) -> Iterator[Fault]:
    """Find what of a coupon is at fault or contradicts the rest."""
    if coupon.percent is None and coupon.amount is None:
        yield Fault(("percent",), "required", "Give a percentage or an amount.")
    elif coupon.percent is not None and coupon.amount is not None:
        yield Fault(("amount",), "percent_and_amount", "Give a percentage or an amount, not both.")
    if coupon.percent is not None and not 0 < coupon.percent <= 100:
        yield Fault(("percent",), "out_of_range", "Take off more than 0 and at most 100 percent.")
    yield from _amount_errors(coupon)
    lasts_some = coupon.duration == CouponDuration.PERIODS
    if lasts_some and not coupon.periods:
        yield Fault(("periods",), "required", "Say for how many periods, 1 or more.")
    elif not lasts_some and coupon.periods is not None:
        yield Fault(("periods",), "not_for_this_duration", "Only “for a number of periods” has it.")
    if coupon.duration == CouponDuration.UNTIL_USED_UP and coupon.amount is None:
        yield Fault(("duration",), "not_for_percent", "Only an amount can be used up.")


def _amount_errors(coupon: Coupon) -> Iterator[Fault]:
    if coupon.amount is None:
        if coupon.currency:
            yield Fault(("currency",), "not_for_percent", "A percentage has no currency.")
        return
    if coupon.amount <= 0:
        yield Fault(("amount",), "out_of_range", "Take off more than 0.")
    yield from amount_errors("amount", coupon.amount, coupon.currency)


def coupon_in_words(coupon: Coupon) -> str:
    """Say what a coupon takes off and for how long: “20 % for 3 periods”."""
    if coupon.percent is not None:
        what = f"{plain(coupon.percent)} %"
    else:
        assert coupon.amount is not None
        what = amount_in_words(coupon.amount, coupon.currency)
    match coupon.duration:
        case CouponDuration.ONCE:
            return f"{what} once"
        case CouponDuration.PERIODS:
            return f"{what} for {coupon.periods} period{'' if coupon.periods == 1 else 's'}"
        case CouponDuration.FOREVER:
            return f"{what} every period, for good"
    return f"{what} in all, until used up"
