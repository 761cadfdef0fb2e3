"""A plan's minimum commitment: what a period lacks of it (R16)."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from billing.models import InvoiceLine, LineKind, Recognition
from billing.offers import Served
from catalog import money
from catalog.money import EXACT, ZERO
from catalog.pricing import DayFraction


def charge_commitment(ended: Served, charged: Decimal) -> Iterator[InvoiceLine]:
    """Charge what an interval of the plan that ends lacks of its minimum commitment.

    `charged` is all that is charged for it otherwise.
    """
    lacking = lacking_of(ended, charged)
    if lacking and ended.plan_period.ends_with(ended.period):
        yield commitment_line(ended, charged, lacking)


def lacking_of(ended: Served, charged: Decimal) -> Decimal:
    """Return what an interval lacks of the least that the plan asks of its share of days; or 0."""
    floor = _floor(ended)
    return EXACT.subtract(floor, charged) if floor and floor > charged else ZERO


def commitment_line(ended: Served, charged: Decimal, net: Decimal) -> InvoiceLine:
    """Return a line over `net` for the commitment of an interval for which `charged` was billed."""
    own, part = ended.plan_period, _part(ended)
    said: dict[str, Any] = {
        "model": "commitment",
        "floor": f"{_floor(ended):f}",
        "charged": f"{charged:f}",
        "amount": f"{net:f}",
        "steps": [],
    }
    if not part.is_whole:
        said["period_fraction"] = str(part)
    return InvoiceLine(
        kind=LineKind.COMMITMENT,
        description=LineKind.COMMITMENT.label,
        period=ended.period,
        service_start=own.start_date,
        service_end=own.end_date,
        quantity=Decimal(1),
        net=net,
        rate_category=ended.offer.version.tax_category,
        recognition=Recognition.OVER_TIME,
        explanation=said,
    )


def _floor(ended: Served) -> Decimal:
    least = ended.offer.version.minimum_commitment
    if not least or ended.period.phase.is_paused:
        return ZERO
    return money.round_half_up(money.times(least, _part(ended).value), ended.offer.exponent)


def _part(ended: Served) -> DayFraction:
    own = ended.plan_period
    days = (own.end_date - own.start_date).days
    return DayFraction(days, (own.nominal_end_date - own.nominal_start_date).days)
