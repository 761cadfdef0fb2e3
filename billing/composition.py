"""From measured usage and a subscription's terms to the lines of an invoice.

The close, the upcoming invoice and every preview call `compose`; it reads no table and no clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Any, NamedTuple

from billing.calculation import Tax, Taxed, Totals, totals
from billing.coupons import Held, allowances
from billing.history import Past, PastKey
from billing.models import (
    BillingPeriod,
    InvoiceAllowance,
    InvoiceLine,
    LineKind,
    Recognition,
    TaxSubtotal,
    UsageSnapshot,
    time_of,
)
from billing.service_periods import ServicePeriod, service_period
from billing.usage import Reading
from catalog import money, pricing
from catalog.drafts import drafts_of, price_value, units_of
from catalog.metrics import in_part
from catalog.models import (
    PlanVersion,
    Price,
    PriceModel,
    Proration,
    TimeUnit,
    Timing,
    ValueMetric,
)
from catalog.money import ZERO, minus, plain
from catalog.pricing import WHOLE, DayFraction, Rated, explanation, rate
from customers.models import Subscription
from customers.quantities import Level, levels, quantity_on
from customers.terms import with_own_terms
from metering.properties import meets
from metering.querysets import billable

_MICROSECOND = timedelta(microseconds=1)
_HOUR = timedelta(hours=1) // _MICROSECOND


class Offered(NamedTuple):
    """A price as a row and as a value, and since when its terms are the customer's own (R22)."""

    price: Price
    value: pricing.Price
    own_since: date | None = None


class Offer:
    """A plan version with its prices as rows and as values; load the version `with_prices`."""

    def __init__(self, version: PlanVersion) -> None:
        self.version = version
        self.exponent = money.exponent(version.currency)
        self._drafts = drafts_of(list(version.prices.all()))
        self.prices = [Offered(draft.price, price_value(draft)) for draft in self._drafts]

    def to(self, subscription: Subscription, *, day: date) -> Offer:
        """Return the offer with the subscription's own terms for a period that begins on a day."""
        if not subscription.overrides.all():
            return self
        own = copy(self)
        own.prices = []
        for draft in self._drafts:
            priced, override = with_own_terms(draft, subscription, day=day)
            since = override.starts_on if override else None
            own.prices.append(Offered(draft.price, price_value(priced), since))
        return own

    @property
    def metered(self) -> list[Price]:
        """The prices of what is used, in order."""
        return [one.price for one in self.prices if one.price.metric_id]

    @cached_property
    def metrics(self) -> list[ValueMetric]:
        """The metrics it measures, each once, in the order of its prices."""
        found = {price.metric.pk: price.metric for price in self.metered if price.metric}
        return list(found.values())

    @cached_property
    def readings(self) -> list[Reading]:
        """What to read of each metric: by the dimensions that any of its prices looks at."""
        return [
            Reading(
                metric,
                tuple(dict.fromkeys(name for price in prices for name in _looked_at(price))),
                any(price.model == PriceModel.PERCENTAGE for price in prices),
            )
            for metric in self.metrics
            if (prices := [price for price in self.metered if price.metric_id == metric.pk])
        ]

    def readings_at_the_end_of(self, period: BillingPeriod) -> list[Reading]:
        """What to read to close a period: of metrics that are charged where it ends (R4)."""
        found = []
        for reading in self.readings:
            price = next(one for one in self.metered if one.metric_id == reading.metric.pk)
            own = service_period(price, period, self.version)
            if own.ends_with(period):
                since = None if own.begins_with(period) else own.starts_at
                found.append(reading._replace(since=since))
        return found

    def takes(self, price: Price, values: Mapping[str, Any]) -> bool:
        """Say whether usage under these dimension values belongs to a price: the first it meets."""
        for other in self.metered:
            if other.metric_id == price.metric_id and meets(other.filters, values):
                return other.pk == price.pk
        return False

    def past_key(self, price: Price) -> PastKey:
        """Name the past of a metered price: that of its metric, or its own where several share it."""
        sharing = [one for one in self.prices if one.price.metric_id == price.metric_id]
        assert price.metric_id is not None
        return price.metric_id, price.key if len(sharing) > 1 else ""


def _looked_at(price: Price) -> list[str]:
    return [*(condition["property"] for condition in price.filters), *price.dimensions]


class Served(NamedTuple):
    """A period and the offer it is billed under."""

    period: BillingPeriod
    offer: Offer

    def service_period(self, price: Price) -> ServicePeriod:
        """Return what a price is charged for in this period, or across it (R4)."""
        return service_period(price, self.period, self.offer.version)


@dataclass(frozen=True)
class Composed:
    """Lines, allowances and taxes, unsaved, without their invoice, and what they add up to."""

    lines: list[InvoiceLine]
    allowances: list[InvoiceAllowance]
    taxes: list[TaxSubtotal]
    totals: Totals
    currency: str


def compose(
    *,
    subscription: Subscription,
    ended: Served | None,
    starting: Served | None,
    snapshots: Mapping[int, UsageSnapshot],
    past: Mapping[PastKey, Sequence[Past]],
    ahead: Decimal,
    tax: Tax,
    coupons: Sequence[Held] = (),
) -> Composed:
    """Charge the period that ended in arrears and the one that starts in advance (R21).

    `snapshots` holds the usage of `ended` by metric, `past` what was billed before it, which each
    line tells beside its own, `ahead` what earlier invoices charged for `ended` itself, and `coupons`
    what reduces the lines, in this order. Either period may be None, but not both: an opening has no period that ended, a last invoice none that starts.
    """
    served = ended or starting
    assert served is not None
    exponent = served.offer.exponent
    changes = _changes(subscription)
    charges: list[tuple[int, InvoiceLine]] = []
    if starting:
        for price, value, own_since in starting.offer.prices:
            own = starting.service_period(price)
            if price.timing == Timing.ADVANCE and own.begins_with(starting.period):
                stated = changes.get(price.key, [])
                lines = _fee(price, value, starting.period, own, stated, exponent)
                charges += [(price.position, _owned(line, own_since)) for line in lines]
    if ended:
        for price, value, own_since in ended.offer.prices:
            stated, own = changes.get(price.key, []), ended.service_period(price)
            if price.timing == Timing.ADVANCE:
                lines = _increases(price, value, ended.period, own, stated, exponent)
            elif not own.ends_with(ended.period):
                continue  # it is charged where its own interval ends (R4)
            elif price.metric:
                usage = snapshots[price.metric.pk]
                before = past.get(ended.offer.past_key(price), ())
                lines = _usage(price, value, ended, own, usage, before, exponent)
            else:
                lines = _arrears(price, value, ended.period, own, stated, exponent)
            charges += [(price.position, _owned(line, own_since)) for line in lines]
    ordered = [line for _, line in sorted(charges, key=lambda charge: charge[0])]
    if ended:
        ordered += _commitment(ended, ordered, ahead, exponent)
    for position, line in enumerate(ordered, start=1):
        line.position, line.subscription = position, subscription
        line.tax_category, line.tax_rate = tax.category, tax.rate
    reduced = list(allowances(ordered, coupons, exponent=exponent))
    nets = [*(line.net for line in ordered), *(-allowance.amount for allowance in reduced)]
    added = totals([Taxed(net, tax) for net in nets], exponent=exponent)
    taxes = [_subtotal(*subtotal) for subtotal in added.subtotals]
    return Composed(ordered, reduced, taxes, added, served.offer.version.currency)


def _owned(line: InvoiceLine, since: date | None) -> InvoiceLine:
    """Say on a line that its price is the customer's own."""
    if since:
        line.explanation["own_terms_since"] = since.isoformat()
    return line


def _usage(
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


def _fee(
    price: Price,
    value: pricing.Price,
    period: BillingPeriod,
    own: ServicePeriod,
    changes: Sequence[tuple[date, Decimal]],
    exponent: int,
) -> Iterator[InvoiceLine]:
    """Charge a period in advance for the quantity it starts with."""
    quantity = quantity_on(own.start_date, changes)
    part = _part(price, own.start_date, own.end_date, own)
    rated = rate(value, quantity, exponent=exponent, part=part)
    yield from _with_minimum(_line(price, period, own, rated), rated)


def _increases(
    price: Price,
    value: pricing.Price,
    period: BillingPeriod,
    own: ServicePeriod,
    changes: Sequence[tuple[date, Decimal]],
    exponent: int,
) -> Iterator[InvoiceLine]:
    """Charge what was added during a period that was billed in advance, from its day (R13).

    To the end of what was billed, which may be later than the period's.
    """
    charged, *added = levels(own.start_date, period.end_date, changes)
    before = charged.quantity
    for level in added:
        if level.start <= period.start_date:  # billed with an earlier period of the same one
            before = level.quantity
            continue
        part = _part(price, level.start, level.end, own, until=own.end_date)
        added_units = minus(level.quantity, before)
        assert isinstance(added_units, Decimal)
        rated = rate(_beyond(value, before, exponent), added_units, exponent=exponent, part=part)
        level_to_the_end = level._replace(end=own.end_date)
        yield _line(price, period, own, rated, level=level_to_the_end)
        before = level.quantity


def _arrears(
    price: Price,
    value: pricing.Price,
    period: BillingPeriod,
    own: ServicePeriod,
    changes: Sequence[tuple[date, Decimal]],
    exponent: int,
) -> Iterator[InvoiceLine]:
    """Charge a price without a metric afterwards, each quantity for its days (R13)."""
    found = levels(own.start_date, own.end_date, changes)
    if price.proration == Proration.NONE:
        found = [Level(own.start_date, own.end_date, found[-1].quantity)]
    for level in found:
        part = _part(price, level.start, level.end, own)
        rated = rate(value, level.quantity, exponent=exponent, part=part)
        yield from _with_minimum(_line(price, period, own, rated, level=level), rated)


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
            recognition=Recognition.OVER_TIME,
            explanation={
                "model": "minimum",
                "floor": f"{money.plus(charged, rated.shortfall):f}",
                "charged": f"{charged:f}",
                "amount": f"{rated.shortfall:f}",
                "steps": [],
            },
        )


def _commitment(
    ended: Served, lines: Sequence[InvoiceLine], ahead: Decimal, exponent: int
) -> Iterator[InvoiceLine]:
    """Charge what a period lacks of the plan's minimum commitment (R16), for its share of days."""
    least, period = ended.offer.version.minimum_commitment, ended.period
    if not least:
        return
    days = (period.end_date - period.start_date).days
    part = DayFraction(days, (period.nominal_end_date - period.nominal_start_date).days)
    floor = money.round_half_up(money.times(least, part.value), exponent)
    of_the_period = (line.net for line in lines if line.period is period)
    charged = money.round_half_up(money.exact_sum([ahead, *of_the_period]), exponent)
    if floor <= charged:
        return
    lacking = money.EXACT.subtract(floor, charged)
    said: dict[str, Any] = {
        "model": "commitment",
        "floor": f"{floor:f}",
        "charged": f"{charged:f}",
        "amount": f"{lacking:f}",
        "steps": [],
    }
    if not part.is_whole:
        said["period_fraction"] = str(part)
    yield InvoiceLine(
        kind=LineKind.COMMITMENT,
        description=LineKind.COMMITMENT.label,
        period=period,
        service_start=period.start_date,
        service_end=period.end_date,
        quantity=Decimal(1),
        net=lacking,
        recognition=Recognition.OVER_TIME,
        explanation=said,
    )


def _before_discount(rated: Rated) -> Decimal:
    charges = (step.amount for step in rated.steps if step.kind != "discount")
    return money.round_half_up(money.exact_sum(charges), rated.exponent)


def _changes(subscription: Subscription) -> dict[str, list[tuple[date, Decimal]]]:
    found: dict[str, list[tuple[date, Decimal]]] = {}
    for row in subscription.quantities.all():
        found.setdefault(row.price_key, []).append((row.starts_on, row.quantity))
    return found


def _subtotal(tax: Tax, base: Decimal, amount: Decimal) -> TaxSubtotal:
    return TaxSubtotal(
        category=tax.category, rate=tax.rate, base=base, amount=amount, reason=tax.reason
    )
