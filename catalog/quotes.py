"""What a whole period under a plan costs: each price at a quantity, as an invoice would bill it.

Owns what has to be said about a price before it can be worked out, and the sum. Does not compute
an amount: `rate` does (R18). Nothing is stored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Literal, NamedTuple

from catalog import money
from catalog.calculator import rated_in_whole
from catalog.drafts import PriceDraft, interval_of, price_value
from catalog.models import PlanVersion, PriceModel
from catalog.money import EXACT, ZERO
from catalog.pricing import Cell, Cells, Payments, Rated, Usage
from catalog.worked import sensible_cell, sensible_usage
from config.base.errors import Fault

MOST_EVENTS = 10_000
"""More payments than these are not worked out one by one while somebody waits."""
_FEW_PAYMENTS = 100
_NUMBER = re.compile(r"[0-9]{1,20}(\.[0-9]{1,10})?", re.ASCII)

What = Literal["quantity", "events", "each", "cell"]


class Question(NamedTuple):
    """A number to say about a price: a quantity, how many payments of what size, units of a kind.

    `name` is one of its own within the plan and fit for an address: no key has a slash. `match` says which dimension
    values a quantity is for; those that no row of a matrix is for have none.
    """

    name: str
    what: What
    draft: PriceDraft
    default: Decimal
    match: Mapping[str, str] | None = None


class Typical(NamedTuple):
    """What is usual for a metric, as answers to what is asked, and of how many it is the median."""

    answers: Mapping[What, Decimal]
    subscriptions: int


class Line(NamedTuple):
    """A line of the quote: a price's, its minimum charge, or what the plan's commitment lacks."""

    kind: Literal["price", "minimum", "commitment"]
    draft: PriceDraft | None
    rated: Rated | None
    net: Decimal


class Quote(NamedTuple):
    """The lines and what they add up to, before tax.

    `commitment_open` says that the plan's minimum commitment is for longer than some of its prices,
    so that one period can't tell whether it is reached.
    """

    lines: tuple[Line, ...]
    total: Decimal
    commitment_open: bool


def questions_of(draft: PriceDraft, typical: Typical | None = None) -> list[Question]:
    """Return what to ask about a price that has no faults; nothing about a fee.

    The answers suggested are the typical ones where known; else usage that shows what the price
    does.
    """
    key = draft.price.key
    known: Mapping[What, Decimal] = typical.answers if typical else {}
    match draft.price.model:
        case PriceModel.FLAT:
            return []
        case PriceModel.PERCENTAGE:
            count = min(draft.price.free_events + _FEW_PAYMENTS, MOST_EVENTS)
            return [
                Question(key, "events", draft, known.get("events", Decimal(count))),
                Question(f"{key}/each", "each", draft, known.get("each", Decimal(100))),
            ]
        case PriceModel.MATRIX:
            matches = [row["match"] for row in draft.price.rows]
            each = sensible_cell(price_value(draft))
            return [
                Question(f"{key}/{place}", "cell", draft, each, match)
                for place, match in enumerate([*matches, {}], start=1)
            ]
    usual = sensible_usage(draft)
    assert isinstance(usual, Decimal)
    return [Question(key, "quantity", draft, known.get("quantity", usual))]


def read_answers(
    questions: Sequence[Question], said: Mapping[str, str]
) -> tuple[dict[str, Decimal], list[Fault]]:
    """Read the answers by their names: an empty one is 0, one that is not there the default.

    Faults lead to the question; what is at fault counts 0 meanwhile.
    """
    answers, faults = {}, []
    for question in questions:
        text = said.get(question.name, "").strip()
        answers[question.name] = ZERO if question.name in said else question.default
        if not text:
            continue
        if problem := _problem(text, question.what):
            faults.append(Fault((question.name,), *problem))
        else:
            answers[question.name] = Decimal(text)
    return answers, faults


def usage_of(draft: PriceDraft, answers: Mapping[str, Decimal]) -> Usage:
    """Turn the answers about a price into usage that its model reads; a fee counts once."""
    key = draft.price.key
    match draft.price.model:
        case PriceModel.FLAT:
            return Decimal(1)
        case PriceModel.PERCENTAGE:
            return Payments([answers[f"{key}/each"]] * int(answers[key]))
        case PriceModel.MATRIX:
            asked = questions_of(draft)
            return Cells([Cell(one.match or {}, answers[one.name]) for one in asked])
    return answers[key]


def quote(
    version: PlanVersion, drafts: Sequence[PriceDraft], answers: Mapping[str, Decimal]
) -> Quote:
    """Work out one period of every price, and what their sum lacks of the commitment (R16)."""
    exponent = money.exponent(version.currency)
    lines: list[Line] = []
    for draft in drafts:
        rated = rated_in_whole(draft, usage_of(draft, answers), version.currency)
        lines.append(Line("price", draft, rated, rated.net))
        if rated.shortfall:
            lines.append(Line("minimum", draft, rated, rated.shortfall))
    total = _sum(lines)
    least, open_ = version.minimum_commitment, False
    if least:
        whole = (str(version.interval), version.interval_count)
        open_ = any(interval_of(draft.price, version) != whole for draft in drafts)
        floor = money.round_half_up(least, exponent)
        if not open_ and floor > total:
            lines.append(Line("commitment", None, None, EXACT.subtract(floor, total)))
            total = floor
    return Quote(tuple(lines), total, open_)


def _sum(lines: Sequence[Line]) -> Decimal:
    total = ZERO
    for line in lines:
        total = EXACT.add(total, line.net)
    return total


def _problem(text: str, what: What) -> tuple[str, str] | None:
    if not _NUMBER.fullmatch(text):
        return "not_a_number", (
            "Write a number from 0 on, with a point before its decimals (up to 10), such as 187340."
        )
    if what == "events" and Decimal(text) % 1:
        return "not_whole", "Write a whole number: payments don’t come in parts."
    if what == "events" and Decimal(text) > MOST_EVENTS:
        return "too_many", f"Write at most {MOST_EVENTS:,} payments."
    return None
