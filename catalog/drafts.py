"""A price on its way into a draft: its rows, the value that `rate` reads, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from catalog import pricing
from catalog.metrics import filter_faults
from catalog.models import (
    PRICED_PER_UNIT,
    TIERED,
    Aggregation,
    Interval,
    PlanVersion,
    Price,
    PriceModel,
    PriceTier,
    TimeUnit,
    Timing,
)
from config.base.errors import Fault

METERED = (*TIERED, PriceModel.PACKAGE, PriceModel.PERCENTAGE, PriceModel.MATRIX)
"""The models that always charge usage; a flat fee never does, per unit may."""


class PriceDraft(NamedTuple):
    """A price and its tiers, in the order given; neither needs to be saved."""

    price: Price
    tiers: Sequence[PriceTier] = ()


def drafts_of(prices: Sequence[Price]) -> list[PriceDraft]:
    """Read saved prices with their tiers (prefetch both)."""
    return [PriceDraft(price, list(price.tiers.all())) for price in prices]


def units_of(price: Price) -> tuple[str, str]:
    """Return what one and several of what a price charges are called; empty where nothing says."""
    named = price.metric or price
    return named.unit, named.unit_plural


def rate_category_of(price: Price) -> str:
    """Return which of a country's tax rates a price falls under: its own, or else its version's."""
    return price.tax_category or price.version.tax_category


def price_value(draft: PriceDraft) -> pricing.Price:
    """Return what `rate` needs to know of a price whose fields fit its model."""
    price = draft.price
    return pricing.Price(
        model=_model(draft),
        included=price.included_quantity,
        minimum=price.minimum,
        maximum=price.maximum,
        discount_percent=price.discount_percent,
        metered=price.metric is not None,
        scale=price.metric.rounding_scale if price.metric else 0,
    )


def price_errors(draft: PriceDraft, *, metric_needed: bool = True) -> list[Fault]:
    """List all that keeps a price from being charged; paths start at the price.

    With `metric_needed` off, a usage price may lack its metric, as in the calculator.
    """
    shape = list(_shape_errors(draft, metric_needed=metric_needed))
    if any(error.code == "required" and error.path != ("metric",) for error in shape):
        return shape
    return [*shape, *(Fault(*fault) for fault in pricing.faults(price_value(draft)))]


def version_errors(drafts: Sequence[PriceDraft]) -> list[Fault]:
    """List all that is wrong with the prices of a version; paths start with "prices"."""
    errors = []
    keys: set[str] = set()
    for i, draft in enumerate(drafts):
        price = draft.price
        errors += [Fault(("prices", i, *path), *fault) for path, *fault in price_errors(draft)]
        if price.key in keys:
            message = f"Two prices have the key “{price.key}”."
            errors.append(Fault(("prices", i, "key"), "not_unique", message))
        keys.add(price.key)
    return errors


def interval_errors(version: PlanVersion, drafts: Sequence[PriceDraft]) -> Iterator[Fault]:
    """Find prices whose own interval does not divide the plan's (R4); paths start with "prices"."""
    unit, whole = _length(version.interval, version.interval_count)
    for i, (price, _) in enumerate(drafts):
        if price.interval:
            own_unit, own = _length(price.interval, price.interval_count)
            if own_unit != unit or whole % own:
                message = "The plan's interval must be a whole number of the price's: a month fits "
                message += "into a quarter and a year, a day into a week."
                yield Fault(("prices", i, "interval"), "does_not_divide", message)


def billing_interval(version: PlanVersion, drafts: Sequence[PriceDraft]) -> tuple[str, int]:
    """Return the shortest interval of the prices, which is what a billing period lasts (R4)."""
    intervals = [interval_of(price, version) for price, _ in drafts]
    whole = (str(version.interval), version.interval_count)
    return min([whole, *intervals], key=lambda one: _length(*one)[1])


def interval_of(price: Price, version: PlanVersion) -> tuple[str, int]:
    """Return how often a price is charged: its own interval, or else the plan's."""
    if price.interval:
        return str(price.interval), price.interval_count
    return str(version.interval), version.interval_count


_DAYS = {Interval.DAY.value: 1, Interval.WEEK.value: 7}
_MONTHS = {Interval.MONTH.value: 1, Interval.QUARTER.value: 3, Interval.YEAR.value: 12}


def _length(interval: str, count: int) -> tuple[str, int]:
    if interval in _DAYS:
        return "day", _DAYS[interval] * count
    return "month", _MONTHS[interval] * count


def _never_reached(drafts: Sequence[PriceDraft]) -> Iterator[Fault]:
    """Find prices of a metric below one that takes all its usage (R13)."""
    takes_all: dict[Any, Price] = {}
    for i, (price, _) in enumerate(drafts):
        if price.metric is None:
            continue
        metric = price.metric.pk or id(price.metric)
        if (before := takes_all.get(metric)) is not None:
            message = (
                f"“{before.name}” above it takes all usage of “{price.metric}”: give that one "
            )
            message += "a filter, or put this one first."
            yield Fault(("prices", i, "metric"), "never_reached", message)
        elif not price.filters:
            takes_all[metric] = price


def unbillable(version: PlanVersion, drafts: Sequence[PriceDraft]) -> list[Fault]:
    """List what a draft may say but no close can bill, so that it is not published unbilled."""
    errors = list(_never_reached(drafts))
    read: dict[Any, tuple[str, int]] = {}
    shortest = billing_interval(version, drafts)
    for i, (price, _) in enumerate(drafts):
        if price.metric is None:
            continue
        own = interval_of(price, version)
        if read.setdefault(price.metric.pk, own) != own:
            message = f"Another price on “{price.metric}” is charged at another interval."
            errors.append(Fault(("prices", i, "interval"), "another_interval", message))
        if own != shortest and price.metric.time_unit == TimeUnit.PERIOD:
            message = "Level × time per period is charged as often as the plan's shortest interval."
            errors.append(Fault(("prices", i, "interval"), "another_interval", message))
    return errors


def _model(draft: PriceDraft) -> pricing.Model:
    price = draft.price
    if price.model in TIERED:
        tiers = tuple(
            pricing.Tier(tier.up_to, tier.unit_amount, tier.flat_amount) for tier in draft.tiers
        )
        ladder = pricing.Graduated if price.model == PriceModel.GRADUATED else pricing.Volume
        return ladder(tiers)
    if price.model == PriceModel.PERCENTAGE:
        assert price.percent_rate is not None
        return pricing.Percentage(
            price.percent_rate,
            price.fixed_amount,
            price.free_events,
            price.per_event_minimum,
            price.per_event_maximum,
        )
    assert price.unit_amount is not None
    if price.model == PriceModel.MATRIX:
        rows = tuple(pricing.Row(row["match"], Decimal(row["unit_amount"])) for row in price.rows)
        return pricing.Matrix(tuple(price.dimensions), rows, price.unit_amount)
    if price.model == PriceModel.PACKAGE:
        assert price.package_size is not None
        return pricing.Package(price.unit_amount, price.package_size)
    single = pricing.Flat if price.model == PriceModel.FLAT else pricing.PerUnit
    return single(price.unit_amount)


def _shape_errors(draft: PriceDraft, *, metric_needed: bool) -> Iterator[Fault]:
    price, named = draft.price, PriceModel(draft.price.model).value
    is_percentage = price.model == PriceModel.PERCENTAGE
    is_matrix = price.model == PriceModel.MATRIX
    for field, given, wanted in (
        ("unit_amount", price.unit_amount is not None, price.model in PRICED_PER_UNIT),
        ("tiers", bool(draft.tiers), price.model in TIERED),
        ("package_size", price.package_size is not None, price.model == PriceModel.PACKAGE),
        ("percent_rate", price.percent_rate is not None, is_percentage),
        ("dimensions", bool(price.dimensions), is_matrix),
        ("rows", bool(price.rows), is_matrix),
    ):
        yield from _belongs(field, given, wanted, named)
    if not is_percentage:
        for field in ("fixed_amount", "free_events", "per_event_minimum", "per_event_maximum"):
            yield from _belongs(field, bool(getattr(price, field)), wanted=False, model=named)
    yield from _unit_errors(price, named)
    yield from _metric_errors(price, named, metric_needed=metric_needed)
    is_usage = price.metric is not None or price.model in METERED
    if price.timing != Timing.ARREARS and is_usage:
        what = "A volume price" if price.model == PriceModel.VOLUME else "Usage"
        yield Fault(
            ("timing",),
            "usage_in_advance",
            f"{what} can only be billed in arrears: what was used is known afterwards.",
        )


def _unit_errors(price: Price, named: str) -> Iterator[Fault]:
    """Find what keeps a price from naming its own units: only seats and the like do."""
    names = {"unit": price.unit, "unit_plural": price.unit_plural}
    for field, name in names.items():
        if name and price.model != PriceModel.PER_UNIT:
            yield from _belongs(field, True, wanted=False, model=named)
        elif name and price.metric is not None:
            message = f"“{price.metric}” says what its units are called: leave the unit out."
            yield Fault((field,), "named_by_its_metric", message)
        elif not name and any(names.values()):
            message = "Say both what one of them is called and what several are."
            yield Fault((field,), "required", message)


def _metric_errors(price: Price, named: str, *, metric_needed: bool) -> Iterator[Fault]:
    """Find what keeps the price's metric, or the lack of one, from fitting its model."""
    metric, path = price.metric, ("metric",)
    for i, condition in enumerate(price.filters):
        for inner, *fault in filter_faults(condition):
            yield Fault(("filters", i, *inner), *fault)
        if metric is not None and condition["property"] not in metric.dimensions:
            message = f"“{metric}” has no dimension “{condition['property']}”."
            yield Fault(("filters", i, "property"), "unknown_dimension", message)
    if price.filters and metric is None and metric_needed:
        message = "Only usage can be filtered: choose a metric, or leave the filters out."
        yield Fault(("filters",), "without_metric", message)
    if metric is None:
        if metric_needed and price.model in METERED:
            yield Fault(path, "required", f"A {named} price needs a metric to measure.")
        return
    if price.model == PriceModel.FLAT:
        yield Fault(
            path,
            "not_for_this_model",
            "A flat fee does not depend on usage: leave the metric out, or choose per_unit.",
        )
    if price.model == PriceModel.PERCENTAGE and metric.aggregation != Aggregation.SUM:
        message = "A percentage is charged on money moved: choose a metric that adds up a property."
        yield Fault(path, "not_a_sum", message)
    for i, name in enumerate(price.dimensions):
        if name not in metric.dimensions:
            message = f"“{metric}” has no dimension “{name}”."
            yield Fault(("dimensions", i), "unknown_dimension", message)


def _belongs(field: str, given: bool, wanted: bool, model: str) -> Iterator[Fault]:
    label = field.replace("_", " ")
    if wanted and not given:
        yield Fault((field,), "required", f"A {model} price needs its {label}.")
    if given and not wanted:
        yield Fault((field,), "not_for_this_model", f"A {model} price has no {label}.")
