"""Coupons on invoices: what is left of each, and what it takes off which lines (R22a).

How often a coupon was used and what of it remains is never counted anywhere: the allowances of
invoices that are neither void nor discarded tell it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from django.db.models.functions import Coalesce

from billing import calculation
from billing.calculation import add_up
from billing.models import InvoiceAllowance, InvoiceLine, LineKind
from billing.models.invoices import UNDONE
from catalog.models import CouponDuration
from catalog.money import EXACT, ZERO
from customers.models import AppliedCoupon, Subscription

REDUCED = (LineKind.FEE, LineKind.USAGE, LineKind.MINIMUM)


Taken = dict[int, dict[int, Decimal]]
"""What is taken off, by coupon given and by invoice."""


class Held(NamedTuple):
    """A coupon that reduces an invoice, with the amount or percentage that it may take off."""

    applied: AppliedCoupon
    terms: calculation.Coupon


class Spending:
    """What invoices take of these subscriptions' coupons; load them `with_terms`.

    Drafts that are composed one after another each find what those before them left.
    """

    def __init__(self, subscriptions: Iterable[Subscription]) -> None:
        self._drafts = 0
        self._taken = taken_of(
            applied.pk
            for subscription in subscriptions
            for applied in subscription.applied_coupons.all()
            if applied.coupon.duration != CouponDuration.FOREVER
        )

    def held(
        self, subscription: Subscription, *, day: date, currency: str, replaces: int | None
    ) -> list[Held]:
        """Return what reduces an invoice of a day: amounts before percentages, each oldest first.

        `replaces` is the invoice that this one is drawn anew for, whose use doesn't count.
        """
        found = []
        for applied in subscription.applied_coupons.all():
            is_foreign = applied.coupon.amount is not None and applied.coupon.currency != currency
            if applied.holds_on(day) and not is_foreign:
                taken = self._taken[applied.pk]
                others = [amount for invoice, amount in taken.items() if invoice != replaces]
                if terms := _left(applied, others):
                    found.append(Held(applied, terms))
        return sorted(found, key=lambda one: one.terms.percent is not None)

    def record(
        self,
        subscription: Subscription,
        allowances: Iterable[InvoiceAllowance],
        *,
        replaces: int | None,
    ) -> None:
        """Note what an invoice takes that was just composed."""
        self._drafts += 1
        invoice = replaces or -self._drafts
        for applied in subscription.applied_coupons.all():
            self._taken[applied.pk].pop(invoice, None)
        for allowance in allowances:
            _add(self._taken[allowance.applied_id], invoice, allowance.priced)


def taken_of(applied: Iterable[int]) -> Taken:
    """Return what live invoices take of coupons that were given; one query, none for no coupon."""
    found: Taken = defaultdict(dict)
    if wanted := list(applied):
        live = InvoiceAllowance.objects.filter(applied__in=wanted).exclude(
            invoice__status__in=UNDONE
        )
        taken = live.values_list("applied_id", "invoice_id", Coalesce("gross", "amount"))
        for coupon, invoice, amount in taken:
            _add(found[coupon], invoice, amount)
    return found


def _add(taken: dict[int, Decimal], invoice: int, amount: Decimal) -> None:
    taken[invoice] = EXACT.add(taken.get(invoice, ZERO), amount)


def _left(applied: AppliedCoupon, taken: Sequence[Decimal]) -> calculation.Coupon | None:
    """Return what a coupon may still take off one invoice, after what it took off others."""
    coupon = applied.coupon
    amount = coupon.amount
    match coupon.duration:
        case CouponDuration.ONCE if taken:
            return None
        case CouponDuration.PERIODS if len(taken) >= (coupon.periods or 0):
            return None
        case CouponDuration.UNTIL_USED_UP:
            amount = EXACT.subtract(amount, add_up(taken))
            if amount <= 0:
                return None
    return calculation.Coupon(amount=amount, percent=coupon.percent)


def allowances(
    lines: Sequence[InvoiceLine], coupons: Sequence[Held], *, exponent: int
) -> Iterator[InvoiceAllowance]:
    """Yield what coupons take off taxed lines: one per coupon, tax category and rate, unsaved.

    Only fees, usage and minimum charges are reduced (R22a); a coupon that finds nothing to reduce
    is not used, and yields nothing.
    """
    reduced = [line for line in lines if line.kind in REDUCED]
    nets = [line.priced for line in reduced]
    position = 0
    taken = calculation.reduce(nets, [one.terms for one in coupons], exponent=exponent)
    for (applied, _), reduction in zip(coupons, taken, strict=True):
        shares = [
            (line, share) for line, share in zip(reduced, reduction.shares, strict=True) if share
        ]
        for category, rate in dict.fromkeys(
            (line.tax_category, line.tax_rate) for line, _ in shares
        ):
            position += 1
            of_rate = [
                (line.position, share)
                for line, share in shares
                if (line.tax_category, line.tax_rate) == (category, rate)
            ]
            yield InvoiceAllowance(
                applied=applied,
                position=position,
                description=applied.coupon.name,
                percent=applied.coupon.percent,
                tax_category=category,
                tax_rate=rate,
                amount=add_up(share for _, share in of_rate),
                shares=[{"line": line, "amount": f"{share:f}"} for line, share in of_rate],
            )
