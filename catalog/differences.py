"""What differs between two versions of a plan, in English sentences: "Calls: included: 5 → 10".

Compares what it is given and asks nobody: load prices with their metrics and tiers first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import NamedTuple

from catalog import money
from catalog.drafts import PriceDraft, drafts_of, price_value, units_of
from catalog.models import PlanVersion, Price, PriceModel, PriceTier
from catalog.money import EXACT, ZERO
from catalog.wording import (
    amount,
    describe,
    filters_in_words,
    interval_in_words,
    number,
    unit_price,
)

LOCALE = "en"
NONE = "none"


class Change(NamedTuple):
    """One difference. `price` is its key, empty for the terms; `code` says what, for programs.

    `before` is empty for what was added, `after` for what was taken away. `text` says all of it.
    """

    price: str
    code: str
    before: str
    after: str
    text: str


class Side(NamedTuple):
    """A version with its prices, in the order of the invoice."""

    version: PlanVersion
    drafts: Sequence[PriceDraft]

    @classmethod
    def of(cls, version: PlanVersion) -> Side:
        """Read a version that was loaded `with_prices`."""
        return cls(version, drafts_of(list(version.prices.all())))


class _Said(NamedTuple):
    """What differs of a price: a code, what it is called, and both values in words."""

    code: str
    what: str
    before: str
    after: str


class _Pair(NamedTuple):
    """A price as it was and as it is, with the currency of each."""

    before: PriceDraft
    after: PriceDraft
    currencies: tuple[str, str]

    def prices(self) -> tuple[Price, Price]:
        return self.before.price, self.after.price

    def money(self, values: tuple[Decimal | None, Decimal | None]) -> tuple[str, str]:
        """Write both amounts, with their currencies only where these differ."""
        first, second = (
            NONE if value is None else _money(value, currency, self.currencies)
            for value, currency in zip(values, self.currencies, strict=True)
        )
        return first, second


def changes(before: Side, after: Side) -> list[Change]:
    """List what `after` charges differently: the terms first, then price by price.

    Prices are the same if their keys are. Nothing for versions that charge the same.
    """
    currencies = (before.version.currency, after.version.currency)
    return [
        *_terms(before.version, after.version, currencies),
        *_order(before.drafts, after.drafts),
        *_prices(before, after, currencies),
    ]


def _terms(
    before: PlanVersion, after: PlanVersion, currencies: tuple[str, str]
) -> Iterator[Change]:
    said = (
        ("currency", "Currency", *currencies),
        ("interval", "Bills", *(_every(version) for version in (before, after))),
        ("trial_days", "Trial", *(_trial(version) for version in (before, after))),
        (
            "minimum_commitment",
            "Minimum commitment",
            *(_commitment(version, currencies) for version in (before, after)),
        ),
        ("refund_unused", "On cancelling at once", *map(_refund, (before, after))),
        ("tax_category", "Tax", *(one.get_tax_category_display() for one in (before, after))),
        ("prices_include_tax", "Prices", *map(_priced, (before, after))),
    )
    for code, what, old, new in said:
        if old != new:
            yield Change("", code, old, new, f"{what}: {old} → {new}")


def _order(before: Sequence[PriceDraft], after: Sequence[PriceDraft]) -> Iterator[Change]:
    """Say that prices changed places: the first whose filters match takes usage (R13)."""
    kept = {price.key for price, _ in before} & {price.key for price, _ in after}
    old, new = ([price for price, _ in side if price.key in kept] for side in (before, after))
    if [price.key for price in old] != [price.key for price in new]:
        was, now = (", ".join(price.name for price in side) for side in (old, new))
        yield Change("", "order", was, now, f"Order of the prices: {was} → {now}")


def _prices(before: Side, after: Side, currencies: tuple[str, str]) -> Iterator[Change]:
    old = {draft.price.key: draft for draft in before.drafts}
    new = {draft.price.key: draft for draft in after.drafts}
    for key, draft in new.items():
        if key not in old:
            rule = _rule(draft, currencies[1], currencies)
            yield Change(key, "added", "", rule, f"Added: {draft.price.name}. {rule}")
            continue
        for code, what, was, now in _of_price(_Pair(old[key], draft, currencies)):
            if was != now:
                text = f"{draft.price.name}: {what}: {was} → {now}"
                yield Change(key, code, was, now, text)
    for key, draft in old.items():
        if key not in new:
            rule = _rule(draft, currencies[0], currencies)
            yield Change(key, "removed", rule, "", f"Removed: {draft.price.name}. It was: {rule}")


def _of_price(pair: _Pair) -> Iterator[_Said]:
    before, after = pair.prices()
    yield _Said("name", "name", before.name, after.name)
    yield _Said("metric", "measures", _measured(before), _measured(after))
    yield _Said("unit", "a unit is called", _called(before), _called(after))
    yield _Said("filters", "only usage where", _filters(before), _filters(after))
    if before.model == after.model:
        yield from _amounts(pair)
    else:
        rules = (
            _rule(draft, currency, pair.currencies)
            for draft, currency in zip(pair[:2], pair.currencies, strict=True)
        )
        yield _Said("model", "rule", *rules)
    yield from _terms_of_price(pair)


def _terms_of_price(pair: _Pair) -> Iterator[_Said]:
    """Compare allowance, limits, discount, interval and the like, which every model may have."""
    before, after = pair.prices()
    if before.model == after.model:  # another model's rule said these
        if before.included_quantity != after.included_quantity:
            yield _Said("included_quantity", "included", _included(before), _included(after))
        for name, what in (("minimum", "at least"), ("maximum", "at most")):
            values = (getattr(before, name), getattr(after, name))
            yield _changed_money(pair, name, what, values)
        percents = [f"{number(price.discount_percent, LOCALE)} %" for price in (before, after)]
        yield _Said("discount_percent", "discount", percents[0], percents[1])
    yield _Said("interval", "charged", _own_interval(before), _own_interval(after))
    for name, what in (
        ("timing", "billed"),
        ("overage_policy", "above the allowance"),
        ("proration", "a part of a period"),
        ("tax_category", "tax"),
    ):
        labels = (getattr(price, f"get_{name}_display")() or NONE for price in (before, after))
        yield _Said(name, what, *(label[:1].lower() + label[1:] for label in labels))


def _amounts(pair: _Pair) -> Iterator[_Said]:
    before, after = pair.prices()
    match after.model:
        case PriceModel.FLAT:
            yield _changed_money(pair, "unit_amount", "fee", _both(pair, "unit_amount"))
        case PriceModel.PER_UNIT:
            yield _unit_amount(pair, "unit_amount", "", _both(pair, "unit_amount"))
        case PriceModel.PACKAGE:
            sizes = [
                f"{number(price.package_size or ZERO, LOCALE)} {_units(price)}"
                for price in (before, after)
            ]
            yield _Said("package_size", "package", sizes[0], sizes[1])
            yield _changed_money(pair, "unit_amount", "per package", _both(pair, "unit_amount"))
        case PriceModel.GRADUATED | PriceModel.VOLUME:
            yield from _tiers(pair)
        case PriceModel.PERCENTAGE:
            yield from _percentage(pair)
        case PriceModel.MATRIX:
            yield from _matrix(pair)


def _tiers(pair: _Pair) -> Iterator[_Said]:
    """Compare tier by tier where the bounds stayed; else say both ladders."""
    before, after = (list(draft.tiers) for draft in pair[:2])
    if [tier.up_to for tier in before] != [tier.up_to for tier in after]:
        ladders = [
            _ladder(tiers, currency, pair.currencies)
            for tiers, currency in zip((before, after), pair.currencies, strict=True)
        ]
        yield _Said("tiers", "tiers", *ladders)
        return
    lower: Decimal | None = None
    for old, new in zip(before, after, strict=True):
        where = _where(lower, new.up_to)
        yield _unit_amount(pair, "tiers", where, (old.unit_amount, new.unit_amount))
        fees = (old.flat_amount, new.flat_amount)
        yield _changed_money(pair, "tiers", f"plus once{where}", fees)
        lower = new.up_to


def _percentage(pair: _Pair) -> Iterator[_Said]:
    before, after = pair.prices()
    rates = [f"{number(price.percent_rate or ZERO, LOCALE)} %" for price in (before, after)]
    yield _Said("percent_rate", "rate", rates[0], rates[1])
    for name, what in (
        ("fixed_amount", "plus for each event"),
        ("per_event_minimum", "at least per event"),
        ("per_event_maximum", "at most per event"),
    ):
        yield _changed_money(pair, name, what, _both(pair, name))
    free = [number(Decimal(price.free_events), LOCALE) for price in (before, after)]
    yield _Said("free_events", "free events", free[0], free[1])


def _matrix(pair: _Pair) -> Iterator[_Said]:
    """Compare row by row where the rows are for the same values in the same order."""
    before, after = pair.prices()
    if [row["match"] for row in before.rows] != [row["match"] for row in after.rows]:
        rules = (
            _rule(draft, currency, pair.currencies)
            for draft, currency in zip(pair[:2], pair.currencies, strict=True)
        )
        yield _Said("rows", "rule", *rules)
        return
    for old, new in zip(before.rows, after.rows, strict=True):
        values = ", ".join(f"{name} {value}" for name, value in new["match"].items())
        amounts = (Decimal(old["unit_amount"]), Decimal(new["unit_amount"]))
        yield _unit_amount(pair, "rows", f", {values}", amounts)
    yield _unit_amount(pair, "unit_amount", ", all others", _both(pair, "unit_amount"))


def _unit_amount(
    pair: _Pair, code: str, where: str, values: tuple[Decimal | None, Decimal | None]
) -> _Said:
    """Say the price of a unit, or of so many that neither reads 0.00: "overage per 1,000 calls"."""
    first, second = (value or ZERO for value in values)
    exponents = [money.exponent(currency) for currency in pair.currencies]
    per = max(
        unit_price(value, exponent, LOCALE).per
        for value, exponent in zip((first, second), exponents, strict=True)
    )
    after = pair.after.price
    unit = _units(after) if per > 1 else (units_of(after)[0] or "unit")
    units = f"{number(Decimal(per), LOCALE)} {unit}" if per > 1 else unit
    what = "overage" if pair.before.price.included_quantity and after.included_quantity else "price"
    scaled = (EXACT.multiply(first, per), EXACT.multiply(second, per))
    return _changed_money(pair, code, f"{what} per {units}{where}", scaled)


def _changed_money(
    pair: _Pair, code: str, what: str, values: tuple[Decimal | None, Decimal | None]
) -> _Said:
    """Say two amounts; equal numbers are no change, not even in another currency."""
    if values[0] == values[1]:
        return _Said(code, what, "", "")
    return _Said(code, what, *pair.money(values))


def _both(pair: _Pair, name: str) -> tuple[Decimal | None, Decimal | None]:
    before, after = pair.prices()
    return getattr(before, name), getattr(after, name)


def _ladder(tiers: Iterable[PriceTier], currency: str, currencies: tuple[str, str]) -> str:
    parts = []
    lower: Decimal | None = None
    for tier in tiers:
        price = unit_price(tier.unit_amount, money.exponent(currency), LOCALE)
        text = _prefixed(price.text, currency, currencies)
        if price.per > 1:
            text += f" per {number(Decimal(price.per), LOCALE)}"
        if tier.flat_amount:
            text += f" plus {_money(tier.flat_amount, currency, currencies)}"
        parts.append(text + (_where(lower, tier.up_to) or " for all").replace(",", "", 1))
        lower = tier.up_to
    return "; ".join(parts)


def _where(lower: Decimal | None, up_to: Decimal | None) -> str:
    """Say which units a tier is for, after a comma; nothing for all."""
    if up_to is None:
        return "" if lower is None else f", above {number(lower, LOCALE)}"
    if lower is None:
        return f", up to {number(up_to, LOCALE)}"
    return f", above {number(lower, LOCALE)} up to {number(up_to, LOCALE)}"


def _rule(draft: PriceDraft, currency: str, currencies: tuple[str, str]) -> str:
    unit, units = units_of(draft.price)
    rule = describe(
        price_value(draft),
        unit=unit,
        unit_plural=units,
        exponent=money.exponent(currency),
        locale=LOCALE,
    )
    return rule if currencies[0] == currencies[1] else f"{rule} In {currency}."


def _money(value: Decimal, currency: str, currencies: tuple[str, str]) -> str:
    return _prefixed(amount(value, money.exponent(currency), LOCALE), currency, currencies)


def _prefixed(text: str, currency: str, currencies: tuple[str, str]) -> str:
    return text if currencies[0] == currencies[1] else f"{currency} {text}"


def _every(version: PlanVersion) -> str:
    return interval_in_words(version.interval, version.interval_count)


def _trial(version: PlanVersion) -> str:
    days = version.trial_days
    return NONE if not days else "1 day" if days == 1 else f"{days} days"


def _commitment(version: PlanVersion, currencies: tuple[str, str]) -> str:
    least = version.minimum_commitment
    return NONE if least is None else _money(least, version.currency, currencies)


def _refund(version: PlanVersion) -> str:
    return "unused fees are credited" if version.refund_unused else "nothing is credited"


def _priced(version: PlanVersion) -> str:
    return "with tax" if version.prices_include_tax else "before tax"


def _measured(price: Price) -> str:
    """Name the metric with its key: a new one for another definition may have the same name."""
    return f"{price.metric.name} ({price.metric.key})" if price.metric else "nothing"


def _called(price: Price) -> str:
    """Name the units that the price itself names; a metric is compared as a whole."""
    return f"{price.unit}, {price.unit_plural}" if price.unit else "unit, units"


def _filters(price: Price) -> str:
    return " and ".join(filters_in_words(price.filters)) or "anything"


def _included(price: Price) -> str:
    if not price.included_quantity:
        return NONE
    return f"{number(price.included_quantity, LOCALE)} {_units(price)}"


def _own_interval(price: Price) -> str:
    if not price.interval:
        return "as often as the plan bills"
    return interval_in_words(price.interval, price.interval_count)


def _units(price: Price) -> str:
    return units_of(price)[1] or "units"
