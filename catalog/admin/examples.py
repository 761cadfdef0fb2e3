"""What a price means, for somebody about to publish it: a sentence and amounts worked out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import NamedTuple

from catalog import money, pricing
from catalog.drafts import PriceDraft, price_value, units_of
from catalog.models import TIERED, PlanVersion, PriceModel
from catalog.wording import (
    amount,
    describe,
    filters_in_words,
    interval_in_words,
    number,
)
from catalog.worked import formula, steps_of

LOCALE = "en"


class Example(NamedTuple):
    """An amount for a quantity, with its sum; `exact` is it before rounding, where that differs."""

    quantity: str
    note: str
    amount: str
    exact: str
    sum: str


class TierRow(NamedTuple):
    """A step of a ladder, in words."""

    units: str
    unit_amount: str
    flat_amount: str


class PriceWords(NamedTuple):
    """Everything about a price that a person reads before publishing and after."""

    name: str
    key: str
    model: str
    what: str
    rule: str
    timing: str
    notes: list[str]
    tiers: list[TierRow]
    has_allowance: bool
    has_flat_amounts: bool
    examples: list[Example]


def every(version: PlanVersion) -> str:
    """Say how often a version bills: "monthly", "every 3 months"."""
    return interval_in_words(version.interval, version.interval_count)


def priced_in_words(version: PlanVersion) -> str:
    """Say whether the amounts of a version are with tax."""
    return "tax included" if version.prices_include_tax else "before tax"


def in_currency(value: Decimal, currency: str) -> str:
    """Write an amount with its currency: "EUR 1,499.00"."""
    return f"{currency} {amount(value, money.exponent(currency), LOCALE)}"


def price_words(draft: PriceDraft, currency: str) -> PriceWords:
    """Describe a price without faults."""
    price, value, exponent = draft.price, price_value(draft), money.exponent(currency)
    metric = price.metric
    own = units_of(price)
    unit, units = own if own[0] else ("unit", "units")
    return PriceWords(
        name=price.name,
        key=price.key,
        model=str(PriceModel(price.model).label),
        what=f"{metric.name} ({units})" if metric else "",
        rule=describe(value, unit=unit, unit_plural=units, exponent=exponent, locale=LOCALE),
        timing=price.get_timing_display(),
        notes=_notes(draft),
        tiers=_tier_rows(draft, exponent),
        has_allowance=bool(price.included_quantity),
        has_flat_amounts=any(tier.flat_amount for tier in draft.tiers),
        examples=_examples(value, (unit, units), exponent),
    )


def _examples(value: pricing.Price, units: tuple[str, str], exponent: int) -> list[Example]:
    """Work out what usage would cost: quantities where the price turns, payments, or rows."""
    match value.model:
        case pricing.Percentage() as model:
            charged = replace(value, model=replace(model, free_events=0), minimum=None)
            payments = [Decimal(moved) for moved in (1, 10, 100, 1000)]
            return [
                _example(charged, pricing.Payments([moved]), "", f"one of {moved}", units, exponent)
                for moved in payments
            ]
        case pricing.Matrix() as model:
            rows = [*model.rows, pricing.Row({}, model.unit_amount)]
            return [
                _example(
                    replace(value, included=Decimal(0), minimum=None),
                    pricing.Cells([pricing.Cell(row.match, Decimal(1000))]),
                    ", ".join(f"{name} {one}" for name, one in row.match.items()) or "all others",
                    f"1,000 {units[1]}",
                    units,
                    exponent,
                )
                for row in rows
            ]
    return [
        _example(
            value,
            quantity,
            note,
            f"{number(quantity, LOCALE)} {units[quantity != 1]}",
            units,
            exponent,
        )
        for quantity, note in example_quantities(value)
    ]


def example_quantities(price: pricing.Price) -> list[tuple[Decimal, str]]:
    """Return the quantities at which a price turns, rising, each with what it is; none for a fee.

    Nothing, the allowance and one more, every end of a tier or package, one less and one more.
    Tiers count from the end of the allowance (R15).
    """
    if isinstance(price.model, pricing.Flat):
        return []
    one, allowance = Decimal(1), price.included
    turns: dict[Decimal, str] = {Decimal(0): "nothing used"}
    bounds = _bounds(price.model)
    if allowance:
        turns[allowance] = "all that is included"
        turns[allowance + one] = "one more"
    for bound, note in bounds:
        turns[allowance + bound] = note
        turns.setdefault(allowance + bound + one, "one more")
        if bound > one:
            turns.setdefault(allowance + bound - one, "one less")
    if not allowance:
        turns.setdefault(one, "one")
    if not bounds:
        turns.setdefault(allowance + 1000, "a thousand more" if allowance else "a thousand")
    return sorted(turns.items())


def _bounds(model: pricing.Model) -> Sequence[tuple[Decimal, str]]:
    match model:
        case pricing.Graduated(tiers) | pricing.Volume(tiers):
            return [
                (tier.up_to, f"the last of tier {position}")
                for position, tier in enumerate(tiers, start=1)
                if tier.up_to is not None
            ]
        case pricing.Package(_, size):
            return [(size, "one full package")]
        case _:
            return []


def _example(
    price: pricing.Price,
    usage: pricing.Usage,
    note: str,
    used: str,
    units: tuple[str, str],
    exponent: int,
) -> Example:
    return example_of(pricing.rate(price, usage, exponent=exponent), note, used, units)


def example_of(rated: pricing.Rated, note: str, used: str, units: tuple[str, str]) -> Example:
    """Say a calculation in a line; `used` is its quantity in words."""
    exponent = rated.exponent
    return Example(
        quantity=used,
        note=note,
        amount=amount(rated.amount, exponent, LOCALE),
        exact=amount(rated.exact, exponent, LOCALE) if rated.rounding else "",
        sum=formula(steps_of(rated, units=units, locale=LOCALE)),
    )


def _tier_rows(draft: PriceDraft, exponent: int) -> list[TierRow]:
    if draft.price.model not in TIERED:
        return []
    rows = []
    floor: Decimal | None = None
    for tier in draft.tiers:
        if tier.up_to is None:
            units = "all" if floor is None else f"above {number(floor, LOCALE)}"
        else:
            start = "up" if floor is None else f"above {number(floor, LOCALE)}, up"
            units = f"{start} to {number(tier.up_to, LOCALE)}"
        rows.append(
            TierRow(
                units,
                amount(tier.unit_amount, exponent, LOCALE),
                amount(tier.flat_amount, exponent, LOCALE),
            )
        )
        floor = tier.up_to
    return rows


def _notes(draft: PriceDraft) -> list[str]:
    price = draft.price
    notes = [price.get_timing_display()]
    if price.filters:
        notes.append(f"Only usage where {' and '.join(filters_in_words(price.filters))}")
    if price.interval:
        own = interval_in_words(price.interval, price.interval_count)
        notes.append(f"Charged {own}; allowance, tiers and limits are for that time")
    if price.included_quantity:
        notes.append(f"Above the allowance: {_lower_first(price.get_overage_policy_display())}")
    notes.append(
        "A part of a period is charged by whole days"
        if price.proration == "days"
        else "A part of a period costs as much as a whole one"
    )
    return notes


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
