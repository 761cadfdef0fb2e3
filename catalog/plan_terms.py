"""The terms of a plan version in sentences, with its numbers filled in, for whoever pays by them.

Owns order and words; every number comes from the version's prices, every example from `rate`. What
the sentences promise are the billing rules (R1–R31); a language without words gets English.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from catalog import money, pricing
from catalog.drafts import PriceDraft, drafts_of, interval_of, price_value, units_of
from catalog.models import (
    Aggregation,
    OveragePolicy,
    PlanVersion,
    Price,
    Proration,
    RoundingMode,
    Timing,
    ValueMetric,
)
from catalog.money import EXACT
from catalog.plan_terms_words import WORDS
from catalog.wording import amount, describe, label, number, percent_text, price_text, unit_price

_MOST_FREE = 20  # events in an example


class Row(NamedTuple):
    """A row of a worked example: what, how many, at which price, what it comes to."""

    label: str
    quantity: str
    unit_price: str
    amount: str


class Section(NamedTuple):
    """A heading with its sentences, and for a price a worked example that adds up."""

    title: str
    sentences: tuple[str, ...]
    example: str = ""
    rows: tuple[Row, ...] = ()
    total: str = ""


def plan_terms(version: PlanVersion, *, language: str, contact: str = "") -> list[Section]:
    """Say everything that decides a bill under this version, loaded `with_prices`.

    `contact` is where to write about an invoice.
    """
    say = WORDS.get(language, WORDS["en"])
    tag = language if language in WORDS else "en"
    drafts = drafts_of(list(version.prices.all()))
    return [
        Section(say["periods"], tuple(_periods(version, say, tag))),
        *(_price(draft, version, say, tag) for draft in drafts),
        Section(say["parts"], tuple(_parts(drafts, say))),
        Section(say["usage"], tuple(_usage(drafts, say))),
        Section(say["invoice"], tuple(_invoice(version, say, tag))),
        Section(say["questions"], tuple(_questions(say, contact))),
    ]


def _periods(version: PlanVersion, say: Mapping[str, str], tag: str) -> Iterator[str]:
    count = version.billing_interval_count
    lasts = _interval(version.billing_interval, count, say, tag)
    lasts = say["one"].format(interval=lasts) if count == 1 else lasts
    yield say["period lasts"].format(interval=lasts)
    yield say["period starts"]
    yield say["period short month"]
    yield say["period half open"]
    if version.trial_days:
        yield say["trial"].format(days=number(Decimal(version.trial_days), tag))


def _price(draft: PriceDraft, version: PlanVersion, say: Mapping[str, str], tag: str) -> Section:
    price, value = draft.price, price_value(draft)
    exponent = money.exponent(version.currency)
    unit, units = _names(price, say)
    sentences = [*(_counted(price.metric, say, tag) if price.metric else ())]
    if price.filters:
        sentences.append(say["only where"].format(conditions=_conditions(price.filters, say)))
    rule = describe(value, unit=unit, unit_plural=units, exponent=exponent, locale=tag)
    sentences.append(say["costs"].format(rule=rule, currency=version.currency))
    if price.metric is None:
        sentences.append(say["quantity"])
    sentences.append(_timing(price, version, say, tag))
    if value.included:
        sentences.append(say[f"policy {OveragePolicy(price.overage_policy)}"])
    example, rows, total = _example(value, price, version.currency, say, tag)
    return Section(price.name, tuple(sentences), example, rows, total)


def _counted(metric: ValueMetric, say: Mapping[str, str], tag: str) -> Iterator[str]:
    """Say which events count, how they become a quantity, and how that is rounded (R10, R11)."""
    names = {
        "type": metric.event_type,
        "property": metric.value_property,
        "units": metric.unit_plural,
        "unit": metric.unit,
    }
    how = (Aggregation(metric.aggregation), metric.value_is, metric.time_unit)
    key = " ".join(["counted", *filter(None, how)])
    yield say[key].format(**names)
    if metric.filters:
        yield say["only where"].format(conditions=_conditions(metric.filters, say))
    if metric.series:
        yield say["series"].format(names=", ".join(metric.series))
    if metric.carry_over:
        yield say["carry over"]
    if metric.unit_divisor != 1:
        yield say["divided"].format(divisor=number(metric.unit_divisor, tag), **names)
    if metric.rounding_scale < 10:
        scale = metric.rounding_scale
        direction = say[f"round {RoundingMode(metric.rounding_mode)}"]
        decimals = say["to whole" if scale == 0 else "to decimals"]
        yield say["rounded"].format(how=direction, to=decimals.format(count=scale))


def _timing(price: Price, version: PlanVersion, say: Mapping[str, str], tag: str) -> str:
    lasts = _interval(*interval_of(price, version), say, tag)
    key = "in advance" if price.timing == Timing.ADVANCE else "in arrears"
    return say[key].format(interval=lasts)


def _parts(drafts: Sequence[PriceDraft], say: Mapping[str, str]) -> Iterator[str]:
    """Say what a part of a period costs (R5, R15)."""
    by_days = [price for price, _ in drafts if price.proration == Proration.DAYS]
    whole = [price for price, _ in drafts if price.proration == Proration.NONE]
    if by_days:
        yield say["part days"]
    if any(price.metric is None for price in by_days):
        yield say["part fee"]
    if any(price.metric is not None for price in by_days):
        yield say["part usage"]
    if any(price.metric is None for price, _ in drafts):
        yield say["part quantity"]
    for price in whole:
        yield say["part none"].format(name=price.name)


def _usage(drafts: Sequence[PriceDraft], say: Mapping[str, str]) -> Iterator[str]:
    """Say when usage counts, and what becomes of late, doubled, failed and corrected usage."""
    if not any(price.metric for price, _ in drafts):
        yield say["no usage"]
        return
    for key in ("at its time", "once", "cutoff", "late", "failed", "corrected", "shown"):
        yield say[key]


def _invoice(version: PlanVersion, say: Mapping[str, str], tag: str) -> Iterator[str]:
    if version.minimum_commitment:
        least = amount(version.minimum_commitment, money.exponent(version.currency), tag)
        yield say["commitment"].format(amount=f"{least} {version.currency}")
    yield say["line rounding"]
    yield say["tax"]
    yield say["frozen"]
    yield say["new version"]


def _questions(say: Mapping[str, str], contact: str) -> Iterator[str]:
    yield say["dispute to"].format(contact=contact) if contact else say["dispute"]
    yield say["dispute how"]


def _example(
    value: pricing.Price, price: Price, currency: str, say: Mapping[str, str], tag: str
) -> tuple[str, tuple[Row, ...], str]:
    """Work one whole period out, at a quantity that shows what the price does."""
    usage, told = _typical(value, price, say, tag)
    exponent = money.exponent(currency)
    rated = pricing.rate(value, usage, exponent=exponent)
    unit, units = _names(price, say)
    rows = []
    for step in rated.steps:
        text = label(
            step,
            unit=unit,
            unit_plural=units,
            locale=tag,
            over=bool(rated.included),
            exponent=exponent,
        )
        is_limit = step.kind in ("cap", "discount", "negative")
        each = percent_text(step, exponent, tag) if step.events and step.percent else ""
        if not each and not is_limit:
            each = price_text(unit_price(step.unit_amount, exponent, tag), tag)
        quantity = "" if is_limit else number(step.quantity, tag)
        rows.append(Row(text, quantity, each, amount(step.amount, exponent, tag)))
    if rated.shortfall:
        rows.append(Row(say["to the minimum"], "", "", amount(rated.shortfall, exponent, tag)))
    if rated.rounding:
        rows.append(Row(say["rounding"], "", "", amount(rated.rounding, exponent, tag)))
    total = f"{amount(rated.amount, exponent, tag)} {currency}"
    return say["example"].format(used=told), tuple(rows), total


def _typical(
    value: pricing.Price, price: Price, say: Mapping[str, str], tag: str
) -> tuple[pricing.Usage, str]:
    """Choose usage for an example: beyond the allowance, and into the second tier if there is one."""
    unit, units = _names(price, say)
    match value.model:
        case pricing.Percentage(free_events=free):
            count = min(free, _MOST_FREE) + 2
            text = say["payments"].format(count=number(Decimal(count), tag))
            return pricing.Payments([Decimal(100)] * count), text
        case pricing.Matrix(rows=rows):
            cells = [
                pricing.Cell(match, Decimal(100)) for match in [*(row.match for row in rows), {}]
            ]
            return pricing.Cells(cells), say["each combination"].format(units=units)
        case pricing.Flat():
            return Decimal(1), say["one period"]
        case pricing.Graduated(tiers) | pricing.Volume(tiers):
            bound = tiers[0].up_to
            beyond = Decimal(1000) if bound is None else EXACT.multiply(bound, Decimal("1.5"))
        case pricing.Package(_, size):
            beyond = EXACT.multiply(size, Decimal("2.5"))
        case _:
            beyond = Decimal(1000) if price.metric else Decimal(5)
    quantity = EXACT.add(value.included, beyond)
    if price.metric is None or price.metric.rounding_scale == 0:
        quantity = money.round_up(quantity, 0)
    return quantity, f"{number(quantity, tag)} {unit if quantity == 1 else units}"


def _interval(interval: str, count: int, say: Mapping[str, str], tag: str) -> str:
    if count == 1:
        return say[interval]
    return say["several"].format(count=number(Decimal(count), tag), interval=say[f"{interval}s"])


def _conditions(filters: Sequence[Mapping[str, Any]], say: Mapping[str, str]) -> str:
    parts = []
    for condition in filters:
        values = ", ".join(map(str, condition.get("values", ())))
        said = say[f"filter {condition['operator']}"]
        parts.append(said.format(name=condition["property"], values=values))
    return say["and"].join(parts)


def _names(price: Price, say: Mapping[str, str]) -> tuple[str, str]:
    unit, units = units_of(price)
    return unit or say["unit"], units or say["units"]
