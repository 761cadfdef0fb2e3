"""From one price and what was used of it to its invoice lines, rounded once each (R17)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from billing.history import Past
from billing.models import (
    BillingPeriod,
    InvoiceLine,
    LineKind,
    Recognition,
    UsageSnapshot,
    time_of,
)
from billing.offers import Offer, Served
from billing.service_periods import ServicePeriod
from catalog import money, pricing
from catalog.drafts import rate_category_of, units_of
from catalog.metrics import in_part
from catalog.models import Price, PriceModel, Proration, TimeUnit, ValueMetric
from catalog.money import ZERO, minus, plain
from catalog.pricing import WHOLE, DayFraction, Rated, explanation, rate
from customers.quantities import Level, counted_on, levels
from customers.terms import phase_terms
from metering.querysets import billable

_MICROSECOND = timedelta(microseconds=1)
_HOUR = timedelta(hours=1) // _MICROSECOND


def owned(line: InvoiceLine, since: date | None) -> InvoiceLine:
    """Say on a line that its price is the customer's own."""
    if since:
        line.explanation["own_terms_since"] = since.isoformat()
    return line


def charge_usage(
    price: Price,
    value: pricing.Price,
    served: Served,
    own: ServicePeriod,
    usage: UsageSnapshot,
    before: Sequence[Past],
    exponent: int,
) -> Iterator[InvoiceLine]:
    """Charge what a metric measured, as far as it belongs to this price (R11, R13, R15)."""
    metric = price.metric
    assert metric is not None
    part = _part(price, own.start_date, own.end_date, own)
    mine = _mine(price, served.offer, usage)
    rated = rate(value, _counted(price, mine, own, part), exponent=exponent, part=part)
    measured = _measured(metric, mine, own)
    line = _line(price, served.period, own, rated, kind=LineKind.USAGE, measured=measured)
    line.snapshot = usage
    if price.filters:
        line.explanation["filters"] = price.filters
    if before:
        present = Past(own.start_date, own.end_date, rated.used, rated.included)
        line.explanation["trend"] = [one.as_json() for one in (*before, present)]
    yield from _with_minimum(line, rated)


def _mine(price: Price, offer: Offer, usage: UsageSnapshot) -> UsageSnapshot:
    """Return the part of a metric's usage that belongs to a price, unsaved."""
    if usage.cells is None:
        return usage
    cells = [cell for cell in usage.cells if offer.takes(price, cell["values"])]
    [by] = [reading.by for reading in offer.readings if reading.metric.pk == price.metric_id]
    mine = UsageSnapshot(
        period=usage.period,
        metric=usage.metric,
        quantity=money.exact_sum(Decimal(cell["quantity"]) for cell in cells),
        events=sum(cell["events"] for cell in cells),
        cells=cells,
        taken_at=usage.taken_at,
    )
    mine.moved = [
        one for one in usage.moved if offer.takes(price, dict(zip(by, one.group, strict=True)))
    ]
    return mine


def _counted(
    price: Price, usage: UsageSnapshot, own: ServicePeriod, part: DayFraction
) -> pricing.Usage:
    """Return usage as the price's model reads it, each number divided and rounded (R11)."""
    metric = price.metric
    assert metric is not None
    per = time_of(metric, own)
    if price.model == PriceModel.PERCENTAGE:
        return pricing.Payments([billable(metric, one.amount) for one in usage.moved])

    def count(quantity: Decimal) -> Decimal:
        return billable(metric, in_part(quantity, metric, part), nominal=per)

    if price.model == PriceModel.MATRIX:
        assert usage.cells is not None
        return pricing.Cells(
            [pricing.Cell(cell["values"], count(Decimal(cell["quantity"]))) for cell in usage.cells]
        )
    return count(usage.quantity)


def _measured(metric: ValueMetric, usage: UsageSnapshot, own: ServicePeriod) -> dict[str, Any]:
    """Say what was measured, as the explanation keeps it."""
    said: dict[str, Any] = {"aggregation": metric.aggregation, "quantity": plain(usage.told)}
    if metric.time_unit == TimeUnit.PERIOD:
        per = time_of(metric, own)
        said |= {"unit_hours": _hours(usage.quantity), "hours": _hours(per // _MICROSECOND)}
    if metric.unit_divisor != 1:
        said["divisor"] = plain(metric.unit_divisor)
    return said | {"events": usage.events, "as_of": usage.taken_at.isoformat()}


def _hours(microseconds: Decimal | int) -> str:
    """Write level × time in unit-hours, or a time in hours."""
    return plain(money.round_half_up(Fraction(microseconds) / _HOUR, 10))


def charge_ahead(
    price: Price,
    value: pricing.Price,
    period: BillingPeriod,
    own: ServicePeriod,
    changes: Sequence[tuple[date, Decimal]],
    exponent: int,
) -> Iterator[InvoiceLine]:
    """Charge a period in advance for the quantity it starts with."""
    quantity = counted_on(own.start_date, _boundary(period, own), changes)
    part = _part(price, own.start_date, own.end_date, own)
    rated = rate(value, quantity, exponent=exponent, part=part)
    yield from _with_minimum(_line(price, period, own, rated), rated)


def charge_rest(
    price: Price,
    value: pricing.Price,
    period: BillingPeriod,
    own: ServicePeriod,
    changes: Sequence[tuple[date, Decimal]],
    exponent: int,
    *,
    since: date | None,
    billed: Decimal | None,
) -> Iterator[InvoiceLine]:
    """Charge what is left of a period that was billed in advance only until `since`; None: to its end.

    For as many units as were `billed`; None: those it started with.
    """
    if since is None or since >= own.end_date:
        return
    quantity = counted_on(own.start_date, _boundary(period, own), changes)
    if billed is not None:
        quantity = billed
    part = _part(price, since, own.end_date, own)
    rated = rate(value, quantity, exponent=exponent, part=part)
    rest = Level(since, own.end_date, quantity)
    yield from _with_minimum(_line(price, period, own, rated, level=rest), rated)


def charge_increases(
    price: Price,
    value: pricing.Price,
    period: BillingPeriod,
    own: ServicePeriod,
    changes: Sequence[tuple[date, Decimal]],
    exponent: int,
    *,
    billed: Decimal | None = None,
) -> Iterator[InvoiceLine]:
    """Charge what was added during a period that was billed in advance, from its day (R13).

    To the end of what was billed, which may be later than the period's. `billed` is how many were,
    where the quantity was changed on the first day, after that.
    """
    boundary = _boundary(period, own)
    found = levels(own.start_date, period.end_date, changes, boundary=boundary)
    before = found[0].quantity if billed is None else billed
    for level in found if own.begins_with(period) else found[1:]:
        if level.quantity <= before:
            continue
        if level.start < period.start_date or (
            level.start == period.start_date and not own.begins_with(period)
        ):  # billed with an earlier period of the same one
            before = level.quantity
            continue
        part = _part(price, level.start, level.end, own, until=own.end_date)
        added_units = minus(level.quantity, before)
        assert isinstance(added_units, Decimal)
        rated = rate(_beyond(value, before, exponent), added_units, exponent=exponent, part=part)
        level_to_the_end = level._replace(end=own.end_date)
        yield _line(price, period, own, rated, level=level_to_the_end)
        before = level.quantity


def charge_afterwards(
    price: Price,
    value: pricing.Price,
    period: BillingPeriod,
    own: ServicePeriod,
    changes: Sequence[tuple[date, Decimal]],
    exponent: int,
) -> Iterator[InvoiceLine]:
    """Charge a price without a metric afterwards, each quantity for its days (R13)."""
    found = levels(own.start_date, own.end_date, changes, boundary=_boundary(period, own))
    if price.proration == Proration.NONE:
        found = [Level(own.start_date, own.end_date, found[-1].quantity)]
    for level in found:
        part = _part(price, level.start, level.end, own)
        rated = rate(value, level.quantity, exponent=exponent, part=part)
        yield from _with_minimum(_line(price, period, own, rated, level=level), rated)


def _boundary(period: BillingPeriod, own: ServicePeriod) -> date:
    """Return where a price's period began, of which this may be a part since the plan changed (R20).

    The first paid day is a boundary, too (R4, R23).
    """
    if own.start_date == own.nominal_start_date:
        return own.start_date
    first = period.subscription.phases.all()[0]
    return max(own.nominal_start_date, min(phase_terms(first).paid_from, own.start_date))


def _beyond(value: pricing.Price, quantity: Decimal, exponent: int) -> pricing.Price:
    """Return the price for units on top of `quantity`: what is left of its allowance and cap."""
    charged = rate(replace(value, discount_percent=ZERO), quantity, exponent=exponent)
    maximum = None
    if value.maximum is not None:
        left = minus(value.maximum, charged.exact)
        assert isinstance(left, Decimal)
        maximum = left
    included = minus(value.included, quantity) if value.included > quantity else ZERO
    assert isinstance(included, Decimal)
    return replace(value, included=included, minimum=None, maximum=maximum)


def _part(
    price: Price, start: date, end: date, own: ServicePeriod, *, until: date | None = None
) -> DayFraction:
    """Return the days from `start` out of the nominal period's (R5), unless the price opts out."""
    if price.proration == Proration.NONE:
        return WHOLE
    days = ((until or end) - start).days
    fraction = DayFraction(days, (own.nominal_end_date - own.nominal_start_date).days)
    return WHOLE if fraction.is_whole else fraction


def _line(
    price: Price,
    period: BillingPeriod,
    own: ServicePeriod,
    rated: Rated,
    *,
    kind: LineKind = LineKind.FEE,
    measured: Mapping[str, Any] | None = None,
    level: Level | None = None,
) -> InvoiceLine:
    said = explanation(rated)
    said["amount"] = said.pop("net")
    del said["shortfall"]
    head: dict[str, Any] = {"model": price.model}
    if measured:
        head["measured"] = dict(measured)
    if rated.negative:
        head["negative"] = True
    unit, unit_plural = units_of(price)
    return InvoiceLine(
        kind=kind,
        unit=unit,
        unit_plural=unit_plural,
        description=price.name,
        period=period,
        price=price,
        service_start=level.start if level else own.start_date,
        service_end=level.end if level else own.end_date,
        quantity=rated.used,
        net=rated.net,
        rate_category=rate_category_of(price),
        recognition=Recognition.AS_USED if kind == LineKind.USAGE else Recognition.OVER_TIME,
        explanation=head | said,
    )


def _with_minimum(line: InvoiceLine, rated: Rated) -> Iterator[InvoiceLine]:
    """Yield a line, and below it what it lacks of the price's minimum (R16)."""
    yield line
    if rated.shortfall:
        charged = rated.net if not rated.steps else _before_discount(rated)
        yield InvoiceLine(
            kind=LineKind.MINIMUM,
            description=line.description,
            period=line.period,
            price=line.price,
            service_start=line.service_start,
            service_end=line.service_end,
            quantity=Decimal(1),
            net=rated.shortfall,
            rate_category=line.rate_category,
            recognition=Recognition.OVER_TIME,
            explanation={
                "model": "minimum",
                "floor": f"{money.plus(charged, rated.shortfall):f}",
                "charged": f"{charged:f}",
                "amount": f"{rated.shortfall:f}",
                "steps": [],
            },
        )


def _before_discount(rated: Rated) -> Decimal:
    charges = (step.amount for step in rated.steps if step.kind != "discount")
    return money.round_half_up(money.exact_sum(charges), rated.exponent)
