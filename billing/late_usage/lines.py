"""The lines of late usage: what it is a difference to, and what that comes to (R31).

Reads no table and no clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from billing.calculation import Tax, add_up
from billing.charging import charge_usage, owned
from billing.commitment import commitment_line, lacking_of
from billing.models import InvoiceLine, LineKind, Recognition, UsageSnapshot
from billing.offers import Served
from catalog.money import EXACT, ZERO, plain, round_half_up


class Settled(NamedTuple):
    """What one invoice charged or credited of a price for a period; with `waived`, what was let go."""

    invoice: str
    quantity: Decimal
    net: Decimal
    waived: bool = False

    def as_json(self) -> dict[str, str | bool]:
        said: dict[str, str | bool] = {
            "invoice": self.invoice,
            "quantity": plain(self.quantity),
            "amount": f"{self.net:f}",
        }
        if self.waived:
            said["waived"] = True
        return said


@dataclass
class Billed:
    """All that was billed, credited or let go of a price for a period, before tax."""

    settled: list[Settled] = field(default_factory=list)
    tax: Tax | None = None
    """Of the line that the close billed; None where it billed none."""
    invoice_id: int = 0
    credited: Decimal = ZERO
    """What credit notes took off, besides: it is not billed again, nor credited once more."""

    @property
    def net(self) -> Decimal:
        return add_up(one.net for one in self.settled)

    @property
    def quantity(self) -> Decimal:
        return add_up(one.quantity for one in self.settled)


def usage_lines(served: Served) -> list[InvoiceLine]:
    """Charge what metrics measured for a period as its close does, minimum charges included.

    Of the metrics that it has snapshots of, without tax and position.
    """
    lines: list[InvoiceLine] = []
    for price, value, own_since in served.offer.prices:
        usage = served.snapshots.get(price.metric_id or 0)
        own = served.service_period(price)
        if usage and own.ends_with(served.period):
            found = charge_usage(price, value, served, own, usage, (), served.offer.exponent)
            lines += [owned(line, own_since) for line in found]
    return lines


def nothing_of(line: InvoiceLine, usage: UsageSnapshot) -> InvoiceLine:
    """Return a usage line over nothing, of a price that was billed under the plan before (R20)."""
    said = {
        "model": line.explanation["model"],
        "measured": {
            "aggregation": usage.metric.aggregation,
            "quantity": plain(usage.told),
            "events": usage.events,
            "as_of": usage.taken_at.isoformat(),
        },
        **dict.fromkeys(("used", "included", "overage", "exact", "rounding"), "0"),
        "steps": [],
    }
    return InvoiceLine(
        kind=LineKind.USAGE,
        description=line.description,
        unit=line.unit,
        unit_plural=line.unit_plural,
        period=usage.period,
        price=line.price,
        snapshot=usage,
        service_start=usage.period.start_date,
        service_end=usage.period.end_date,
        quantity=Decimal(0),
        net=Decimal(0),
        rate_category=line.rate_category,
        explanation=said,
    )


def difference(
    lines: Sequence[InvoiceLine], before: Billed, *, coupons: Decimal, exponent: int
) -> InvoiceLine:
    """Return a line over what a price's usage, and its minimum, are more than what was settled.

    `lines` are what all of the usage costs: the usage line and, if there is one, the minimum charge;
    `coupons` is what the coupons of the close's invoice take off that.
    """
    usage = lines[0]
    whole = round_half_up(add_up(line.priced for line in lines), exponent)
    net = round_half_up(EXACT.subtract(EXACT.subtract(whole, coupons), before.net), exponent)
    net, credited = beyond_notes(net, before.credited)
    said = usage.explanation | {
        "whole": f"{whole:f}",
        "billed": [one.as_json() for one in before.settled],
        "amount": f"{net:f}",
    }
    assert usage.period
    if usage.period.recast_at:
        said["plan_changed"] = True
    if coupons:
        said["coupons"] = f"{coupons:f}"
    if credited:
        said["credited"] = f"{credited:f}"
    for minimum in lines[1:]:
        said["minimum"] = minimum.explanation["amount"]
    return InvoiceLine(
        kind=LineKind.LATE,
        description=usage.description,
        unit=usage.unit,
        unit_plural=usage.unit_plural,
        period=usage.period,
        price=usage.price,
        snapshot=usage.snapshot,
        service_start=usage.service_start,
        service_end=usage.service_end,
        quantity=EXACT.subtract(usage.quantity, before.quantity),
        net=net,
        rate_category=usage.rate_category,
        recognition=Recognition.AS_USED,
        explanation=said,
    )


def beyond_notes(net: Decimal, credited: Decimal) -> tuple[Decimal, Decimal]:
    """Return what is left of a difference that is a credit, and what notes credited of it before."""
    known = min(EXACT.minus(net), credited) if net < 0 else ZERO
    return EXACT.add(net, known), known


def commitment_difference(
    served: Served, charged: Decimal, settled: Sequence[Settled], credited: Decimal = ZERO
) -> InvoiceLine | None:
    """Return a line over what a period lacks now of its commitment, less what was billed of that.

    `charged` is what is billed for the period in all, late usage included (R16), `credited` what
    notes took off the commitment; None for no difference.
    """
    whole = lacking_of(served, charged)
    before = add_up(one.net for one in settled)
    net = round_half_up(EXACT.subtract(whole, before), served.offer.exponent)
    net, known = beyond_notes(net, credited)
    if not net:
        return None
    line = commitment_line(served, charged, net)
    line.explanation["whole"] = f"{whole:f}"
    line.explanation["billed"] = [one.as_json() for one in settled]
    if known:
        line.explanation["credited"] = f"{known:f}"
    return line
