"""What a quantity would cost under a price that need not be saved: rated, explained, in words."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any, NamedTuple

from catalog import money
from catalog.drafts import PriceDraft, price_value, units_of
from catalog.metrics import in_part, rounded
from catalog.models import Proration
from catalog.money import Exact
from catalog.pricing import (
    WHOLE,
    Cell,
    Cells,
    DayFraction,
    Payments,
    Price,
    Rated,
    Usage,
    explanation,
    rate,
)
from catalog.wording import label

WARNINGS = {
    "negative_quantity": "The quantity {given} is negative and counts 0.",
    "quantity_prorated": "In a part of a period a metric with the aggregation {aggregation} "
    "counts its share of days: {given} × {part}.",
    "quantity_rounded": "The metric rounds the quantity: {exact} became {used}.",
    "not_prorated": "This price is not prorated, so it is charged for the whole period.",
}
"""What may be worth knowing about a calculation, by code."""


def calculate(
    draft: PriceDraft, *, usage: Usage, part: DayFraction, currency: str, locale: str
) -> dict[str, Any]:
    """Return the explanation of usage under a price that has no `price_errors`, with labels.

    The usage is what the price's model reads (see `rate`). With a metric, a quantity is rounded
    as the metric says (R11). Without, the price counts as metered, unless it is flat; in a part of
    a period its allowance and bounds are rounded up at the finest decimals among them and the
    quantity.
    """
    charged = part if draft.price.proration == Proration.DAYS else WHOLE
    counted, rated = _rated(draft, usage, charged, currency)
    data = explanation(rated)
    labels = _labels(draft, rated, locale)
    data["steps"] = [
        {"kind": step["kind"], "label": text, **step}
        for step, text in zip(data["steps"], labels, strict=True)
    ]
    warned = {**counted.warned, "not_prorated": charged != part}
    words = {**counted.words, "part": part}
    warnings = [
        {"code": code, "detail": WARNINGS[code].format(**words)}
        for code in WARNINGS
        if warned.get(code)
    ]
    return {"currency": currency, **data, "warnings": warnings}


def rated_in_whole(draft: PriceDraft, usage: Usage, currency: str) -> Rated:
    """Rate usage of a whole period under a price that has no `price_errors`, rounded as its metric says."""
    return _rated(draft, usage, WHOLE, currency)[1]


class _Counted(NamedTuple):
    """Usage as it is charged, and what became of it on the way."""

    usage: Usage
    warned: dict[str, bool]
    words: dict[str, Any]


def _rated(
    draft: PriceDraft, usage: Usage, part: DayFraction, currency: str
) -> tuple[_Counted, Rated]:
    counted = _counted(draft, usage, part)
    value, exponent = _value(draft, counted.usage), money.exponent(currency)
    return counted, rate(value, counted.usage, exponent=exponent, part=part)


def _counted(draft: PriceDraft, usage: Usage, part: DayFraction) -> _Counted:
    """Do with a quantity what the metric does before it is priced (R11, R15)."""
    metric = draft.price.metric
    if isinstance(usage, Cells):
        cells = [
            Cell(values, rounded(in_part(quantity, metric, part), metric) if metric else quantity)
            for values, quantity in usage.cells
        ]
        return _Counted(Cells(cells), {}, {})
    if isinstance(usage, Payments):
        return _Counted(usage, {}, {})
    exact = in_part(usage, metric, part) if metric else usage
    used = rounded(exact, metric) if metric else usage
    warned = {
        "negative_quantity": usage < 0,
        "quantity_prorated": exact != usage,
        "quantity_rounded": used != exact,
    }
    words = {
        "given": _plain(usage),
        "exact": _plain(exact),
        "used": _plain(used),
        "aggregation": metric.aggregation if metric else "",
    }
    return _Counted(used, warned, words)


def _value(draft: PriceDraft, used: Usage) -> Price:
    price = price_value(draft)
    if draft.price.metric is not None:
        return price
    if not isinstance(used, Decimal):
        return replace(price, metered=True, scale=_decimals(price.included))
    bounds = [tier.up_to for tier in draft.tiers if tier.up_to is not None]
    finest = max(_decimals(number) for number in (used, price.included, *bounds))
    return replace(price, metered=True, scale=finest)


def _labels(draft: PriceDraft, rated: Rated, locale: str) -> list[str]:
    unit, unit_plural = units_of(draft.price)
    return [
        label(
            step,
            unit=unit,
            unit_plural=unit_plural,
            locale=locale,
            over=bool(rated.included),
            exponent=rated.exponent,
        )
        for step in rated.steps
    ]


def _decimals(number: Decimal) -> int:
    return len(money.plain(number).partition(".")[2])


def _plain(quantity: Exact) -> str:
    [printed] = money.printable([quantity])
    return money.plain(printed)
