"""What the coupons of a closed invoice take off late usage: as if it had come on time (R22a, R31)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from billing import calculation
from billing.calculation import add_up
from billing.coupons import REDUCED
from billing.included_tax import priced_share
from billing.models import InvoiceAllowance, InvoiceLine, LineKind
from catalog.models import CouponDuration
from catalog.money import EXACT, ZERO, split

Key = tuple[int, int]
"""A period and a price."""

Share = tuple[int, int]
"""An invoice and one of the subscriptions that it charges, whose coupons reduce nothing else (R22a)."""


@dataclass
class Reduced:
    """A subscription's coupons on an invoice, its lines by period and price, and what was taken off
    each so far.

    What came late since is in them. `taken` is what the invoice itself took off its lines, by place.
    """

    taken: dict[int, Decimal] = field(default_factory=lambda: defaultdict(lambda: ZERO))
    coupons: dict[int, calculation.Coupon] = field(default_factory=dict)
    nets: dict[Key, Decimal] = field(default_factory=dict)
    shares: dict[Key, Decimal] = field(default_factory=lambda: defaultdict(lambda: ZERO))

    def shares_of(self, whole: Mapping[Key, Decimal], *, exponent: int) -> dict[Key, Decimal]:
        """Return what coupons take off each price in all, where these prices amount to `whole` now.

        The sum is what they would have taken off the invoice. What they took off the prices that
        amount to the same stays, so more may fall to the others than they amount to, or less than 0.
        """
        moved = {key: net for key, net in whole.items() if net != self.nets.get(key)}
        if not self.coupons or not moved:
            return {key: self.shares[key] for key in whole}
        nets = [net for net in (self.nets | moved).values() if net > 0]
        taken = calculation.reduce(nets, list(self.coupons.values()), exponent=exponent)
        stay = add_up(share for key, share in self.shares.items() if key not in moved)
        rest = EXACT.subtract(add_up(one.total for one in taken), stay)
        weights = [max(net, ZERO) for net in moved.values()]
        parts = split(rest, weights if any(weights) else [Decimal(1)] * len(moved), exponent)
        return {key: self.shares[key] for key in whole} | dict(zip(moved, parts, strict=True))


def reduced_by_coupons(
    invoices: Iterable[int], late: Iterable[InvoiceLine]
) -> dict[Share, Reduced]:
    """Return what coupons reduce on these invoices, by invoice and subscription; without those that
    have none.

    `late` are the lines that settled late usage of their periods, in order. Two queries at most.
    """
    found: dict[Share, Reduced] = defaultdict(Reduced)
    rows = InvoiceAllowance.objects.filter(invoice__in=list(invoices))
    for row in rows.select_related("applied__coupon").order_by("invoice_id", "position"):
        one = found[row.invoice_id, row.applied.subscription_id]
        one.coupons[row.applied_id] = _terms(row, one.coupons.get(row.applied_id))
        for share in row.shares:
            one.taken[share["line"]] = EXACT.add(one.taken[share["line"]], priced_share(share))
    if not found:
        return {}
    of_them = InvoiceLine.objects.filter(invoice__in={invoice for invoice, _ in found})
    for line in of_them.filter(kind__in=REDUCED).select_related("price"):
        share, key = (line.invoice_id, line.subscription_id), key_of(line)
        if share not in found:
            continue
        one = found[share]
        one.nets[key] = EXACT.add(one.nets.get(key, ZERO), line.priced)
        one.shares[key] = EXACT.add(one.shares[key], one.taken[line.position])
    by_key = {key: one for one in found.values() for key in one.nets}
    for line in late:
        if reduced := by_key.get(key_of(line)):
            said: Any = line.explanation
            reduced.nets[key_of(line)] = Decimal(said["whole"])
            reduced.shares[key_of(line)] = Decimal(said.get("coupons", "0"))
    return found


def key_of(line: InvoiceLine) -> Key:
    """Name what a line charges: a metered price of a period, or itself."""
    is_metered = line.price and line.price.metric_id
    if line.kind == LineKind.FEE or not is_metered:
        return -line.pk, 0
    return line.period_id or 0, line.price_id or 0


def _terms(row: InvoiceAllowance, before: calculation.Coupon | None) -> calculation.Coupon:
    """Return what a coupon could take off its invoice: of one that is used up, what it took."""
    coupon = row.applied.coupon
    if coupon.duration != CouponDuration.UNTIL_USED_UP:
        return calculation.Coupon(amount=coupon.amount, percent=coupon.percent)
    taken = before.amount if before and before.amount else ZERO
    return calculation.Coupon(amount=EXACT.add(taken, row.priced))
