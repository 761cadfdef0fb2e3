"""A price worked out with numbers: the rows of a calculation, and usage that shows what it does.

Terms, the live example of a draft and the plan's calculator all print these rows. Every amount is
`rate`'s; nothing is computed here but which quantities are worth showing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from catalog import money, pricing
from catalog.drafts import PriceDraft, price_value, units_of
from catalog.money import EXACT
from catalog.pricing import Rated, Step
from catalog.wording import (
    amount,
    calculation_words,
    label,
    number,
    percent_text,
    price_text,
    unit_price,
)

MOST_FREE = 20  # events in an example
_LIMITS = ("cap", "discount", "negative")


class Row(NamedTuple):
    """A row of a calculation: what, how many, at which price, what it comes to."""

    label: str
    quantity: str
    unit_price: str
    amount: str


def rows_of(rated: Rated, *, units: tuple[str, str], locale: str) -> tuple[Row, ...]:
    """Say a calculation row by row, so that quantity × price is each amount; rounding comes last.

    The minimum charge is not among them: an invoice has a line of its own for it. `units` are what
    one and several are called, in the locale's words if empty.
    """
    rows = steps_of(rated, units=units, locale=locale)
    if rated.rounding:
        said = amount(rated.rounding, rated.exponent, locale)
        rows.append(Row(calculation_words(locale)["rounding"], "", "", said))
    return tuple(rows)


def steps_of(rated: Rated, *, units: tuple[str, str], locale: str) -> list[Row]:
    """Say the steps alone, which sum to the amount before it is rounded."""
    return [_row(step, rated, units, locale) for step in rated.steps]


def minimum_row(rated: Rated, locale: str) -> Row:
    """Say what a calculation lacks of the price's minimum (R16)."""
    said = amount(rated.shortfall, rated.exponent, locale)
    return Row(calculation_words(locale)["to the minimum"], "", "", said)


def formula(rows: Sequence[Row]) -> str:
    """Say rows in a line, for a pocket calculator: "50,000 × 2.00 per 1,000 + 37,340 × 1.50 per 1,000".

    Units that cost nothing are left out; limits and rounding follow in words.
    """
    charged = [row for row in rows if row.quantity and row.unit_price and _costs(row)]
    others = [row for row in rows if not row.quantity]
    sum_ = " + ".join(f"{row.quantity} × {row.unit_price}" for row in charged)
    return "; ".join(filter(None, [sum_, *(row.label for row in others)]))


def sensible_usage(draft: PriceDraft) -> pricing.Usage:
    """Choose usage beyond the allowance, and into the second tier if there is one."""
    value = price_value(draft)
    match value.model:
        case pricing.Percentage(free_events=free):
            return pricing.Payments([Decimal(100)] * (min(free, MOST_FREE) + 2))
        case pricing.Matrix(rows=rows):
            matches, each = [*(row.match for row in rows), {}], sensible_cell(value)
            return pricing.Cells([pricing.Cell(match, each) for match in matches])
        case pricing.Flat():
            return Decimal(1)
        case pricing.Graduated(tiers) | pricing.Volume(tiers):
            bound = tiers[0].up_to
            beyond = Decimal(1000) if bound is None else EXACT.multiply(bound, Decimal("1.5"))
        case pricing.Package(_, size):
            beyond = EXACT.multiply(size, Decimal("2.5"))
        case _:
            beyond = Decimal(1000) if draft.price.metric else Decimal(5)
    quantity = EXACT.add(value.included, beyond)
    metric = draft.price.metric
    if metric is None or metric.rounding_scale == 0:
        quantity = money.round_up(quantity, 0)
    return quantity


def sensible_cell(price: pricing.Price) -> Decimal:
    """Choose a quantity of each row of a matrix, so that all together are beyond the allowance."""
    assert isinstance(price.model, pricing.Matrix)
    share = Fraction(price.included) / (len(price.model.rows) + 1) / 100
    return Decimal(100 * (math.ceil(share) + 1))


def counted_text(quantity: Decimal, draft: PriceDraft, locale: str) -> str:
    """Write a quantity with the name of its unit: "187,340 calls"."""
    words = calculation_words(locale)
    one, many = units_of(draft.price)
    name = (one or words["unit"]) if quantity == 1 else (many or words["units"])
    return f"{number(quantity, locale)} {name}"


def _row(step: Step, rated: Rated, units: tuple[str, str], locale: str) -> Row:
    text = label(
        step,
        unit=units[0],
        unit_plural=units[1],
        locale=locale,
        over=bool(rated.included),
        exponent=rated.exponent,
    )
    said = amount(step.amount, rated.exponent, locale)
    if step.kind in _LIMITS:
        return Row(text, "", "", said)
    charged = step.quantity if step.packages is None else Decimal(step.packages)
    return Row(text, number(charged, locale), _price(step, rated.exponent, locale), said)


def _price(step: Step, exponent: int, locale: str) -> str:
    """Write what a row's quantity is multiplied by, and a tier's flat fee with it."""
    words = calculation_words(locale)
    if step.events and step.percent is not None:
        return percent_text(step, exponent, locale)
    if step.packages is not None:
        each = amount(step.unit_amount, exponent, locale)
        return words["each package"].format(amount=each)
    price = price_text(unit_price(step.unit_amount, exponent, locale), locale)
    if not step.flat_amount or step.events:
        return "" if step.events else price
    return words["plus"].format(price=price, flat=amount(step.flat_amount, exponent, locale))


def _costs(row: Row) -> bool:
    return any(digit in "123456789" for digit in row.amount)
