"""What a quantity would cost under a price that need not be saved: rated, explained, in words."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from catalog import money
from catalog.drafts import PriceDraft, price_value
from catalog.metrics import in_part, rounded
from catalog.models import Proration, ValueMetric
from catalog.money import Exact
from catalog.pricing import WHOLE, DayFraction, Price, Rated, explanation, rate
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
    draft: PriceDraft, *, quantity: Decimal, part: DayFraction, currency: str, locale: str
) -> dict[str, Any]:
    """Return the explanation of a quantity under a price that has no `price_errors`, with labels.

    With a metric, the quantity is rounded as the metric says (R11). Without, the price counts as
    metered, unless it is flat; in a part of a period its allowance and bounds are rounded up at
    the finest decimals among them and the quantity.
    """
    exponent = money.exponent(currency)
    charged = part if draft.price.proration == Proration.DAYS else WHOLE
    metric = draft.price.metric
    exact = in_part(quantity, metric, charged) if metric else quantity
    used = rounded(exact, metric) if metric else quantity
    rated = rate(_value(draft, used), used, exponent=exponent, part=charged)
    data = explanation(rated)
    labels = _labels(metric, rated, locale)
    data["steps"] = [
        {"kind": step["kind"], "label": text, **step}
        for step, text in zip(data["steps"], labels, strict=True)
    ]
    warned = {
        "negative_quantity": quantity < 0,
        "quantity_prorated": exact != quantity,
        "quantity_rounded": used != exact,
        "not_prorated": charged != part,
    }
    words = {
        "given": _plain(quantity),
        "exact": _plain(exact),
        "used": _plain(used),
        "part": part,
        "aggregation": metric.aggregation if metric else "",
    }
    warnings = [
        {"code": code, "detail": WARNINGS[code].format(**words)} for code in warned if warned[code]
    ]
    return {"currency": currency, **data, "warnings": warnings}


def _value(draft: PriceDraft, used: Decimal) -> Price:
    price = price_value(draft)
    if draft.price.metric is not None:
        return price
    bounds = [tier.up_to for tier in draft.tiers if tier.up_to is not None]
    finest = max(_decimals(number) for number in (used, price.included, *bounds))
    return replace(price, metered=True, scale=finest)


def _labels(metric: ValueMetric | None, rated: Rated, locale: str) -> list[str]:
    return [
        label(
            step,
            unit=metric.unit if metric else "",
            unit_plural=metric.unit_plural if metric else "",
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
