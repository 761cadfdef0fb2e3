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
    PriceModel,
    Proration,
    RoundingMode,
    Timing,
    ValueMetric,
)
from catalog.plan_terms_words import WORDS
from catalog.wording import amount, describe, number
from catalog.worked import Row, counted_text, minimum_row, rows_of, sensible_usage


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
        *(
            _price(draft, version, say, tag, before=drafts[:place])
            for place, draft in enumerate(drafts)
        ),
        Section(say["parts"], tuple(_parts(version, drafts, say))),
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


def _price(
    draft: PriceDraft,
    version: PlanVersion,
    say: Mapping[str, str],
    tag: str,
    *,
    before: Sequence[PriceDraft],
) -> Section:
    price, value = draft.price, price_value(draft)
    exponent = money.exponent(version.currency)
    unit, units = _names(price, say)
    sentences = [*(_counted(price.metric, say, tag) if price.metric else ())]
    if price.filters:
        sentences.append(say["only where"].format(conditions=_conditions(price.filters, say)))
    if earlier := _taken_before(price, before):
        names = say["and"].join(say["quoted"].format(name=name) for name in earlier)
        sentences.append(say["not taken"].format(names=names))
    rule = describe(value, unit=unit, unit_plural=units, exponent=exponent, locale=tag)
    sentences.append(
        say["costs"].format(rule=rule, currency=version.currency, tax=_tax(version, say))
    )
    if price.model == PriceModel.MATRIX:
        sentences.append(say["first fits"])
        if value.included:
            sentences.append(say["included in order"])
    if price.metric is None:
        sentences.append(say["quantity"])
    sentences.append(_timing(price, version, say, tag))
    if value.included:
        sentences.append(say[f"policy {OveragePolicy(price.overage_policy)}"])
    example, rows, total = _example(draft, version.currency, say, tag)
    return Section(price.name, tuple(sentences), example, rows, total)


def _taken_before(price: Price, before: Sequence[PriceDraft]) -> list[str]:
    """Name the prices that usage of the same metric belongs to first (R13)."""
    if price.metric is None:
        return []
    return [other.name for other, _ in before if other.metric_id == price.metric_id]


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


def _parts(
    version: PlanVersion, drafts: Sequence[PriceDraft], say: Mapping[str, str]
) -> Iterator[str]:
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
    yield say["part change none" if whole else "part change"]
    if any(price.timing == Timing.ADVANCE for price in by_days):
        yield say["part refund" if version.refund_unused else "part no refund"]
    if not whole:
        yield say["part change back"]
    for key in ("cancelled", "paused", "resumed"):
        yield say[key]
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
        lasts = _interval(version.interval, version.interval_count, say, tag)
        if version.interval_count == 1:
            lasts = say["one"].format(interval=lasts)
        billed = (version.billing_interval, version.billing_interval_count)
        is_usual = billed == (version.interval, version.interval_count)
        key = "commitment" if is_usual else "commitment of several"
        yield say[key].format(
            amount=f"{least} {version.currency}", interval=lasts, tax=_tax(version, say)
        )
    yield say["line rounding"]
    yield say["tax included" if version.prices_include_tax else "tax"]
    yield say["frozen"]
    yield say["new version"]


def _tax(version: PlanVersion, say: Mapping[str, str]) -> str:
    return say["with tax" if version.prices_include_tax else "before tax"]


def _questions(say: Mapping[str, str], contact: str) -> Iterator[str]:
    yield say["dispute to"].format(contact=contact) if contact else say["dispute"]
    yield say["dispute how"]


def _example(
    draft: PriceDraft, currency: str, say: Mapping[str, str], tag: str
) -> tuple[str, tuple[Row, ...], str]:
    """Work one whole period out, at a quantity that shows what the price does."""
    usage = sensible_usage(draft)
    exponent = money.exponent(currency)
    rated = pricing.rate(price_value(draft), usage, exponent=exponent)
    rows = rows_of(rated, units=units_of(draft.price), locale=tag)
    if rated.shortfall:
        rows = (*rows, minimum_row(rated, tag))
    total = f"{amount(rated.amount, exponent, tag)} {currency}"
    used = _told(usage, draft, say, tag)
    return say["example"].format(used=used), rows, total


def _told(usage: pricing.Usage, draft: PriceDraft, say: Mapping[str, str], tag: str) -> str:
    """Say what the usage of an example is."""
    if isinstance(usage, pricing.Payments):
        return say["payments"].format(count=number(Decimal(len(list(usage.amounts))), tag))
    if isinstance(usage, pricing.Cells):
        each = number(usage.cells[0].quantity, tag)
        return say["each combination"].format(count=each, units=_names(draft.price, say)[1])
    if draft.price.model == PriceModel.FLAT:
        return say["one period"]
    return counted_text(usage, draft, tag)


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
