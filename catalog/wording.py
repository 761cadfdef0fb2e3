"""Steps and rules in the reader's language (R34): words of four languages, any locale's numbers.

Owns the words around a price. Does not compute: it is given steps and prices as data. A language
without a table of its own gets English words with its own number format.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal, localcontext
from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple

from babel import Locale, UnknownLocaleError
from babel.numbers import format_decimal

from catalog.french import FRENCH
from catalog.money import EXACT, Exact, plain, round_half_up
from catalog.pricing import (
    DayFraction,
    Flat,
    Graduated,
    Matrix,
    Package,
    Percentage,
    PerUnit,
    Price,
    Step,
    Tier,
    Volume,
)
from catalog.spanish import SPANISH
from catalog.typography import set_in_french

WORDS: dict[str, dict[str, str]] = {
    "en": {
        "included": "included in your plan",
        "any": "per {unit}",
        "first": "first {to} {units}",
        "between": "from {from_} to {to} {units}",
        "above": "above {from_} {units}",
        "any over": "over the allowance",
        "first over": "first {to} {units} over",
        "between over": "from {from_} to {to} {units} over",
        "above over": "above {from_} {units} over",
        "volume first": "all units at the price for up to {to} {units}",
        "volume between": "all units at the price for more than {from_} up to {to} {units}",
        "volume above": "all units at the price for more than {from_} {units}",
        "volume first over": "all units over the allowance at the price for up to {to} {units}",
        "volume between over": "all units over the allowance at the price for more than {from_} up to {to} {units}",
        "volume above over": "all units over the allowance at the price for more than {from_} {units}",
        "package": "{count} package of {size} {units}",
        "packages": "{count} packages of {size} {units}",
        "flat": "flat fee",
        "cell": "{values}",
        "cell others": "all others",
        "dimension": "{name} {value}",
        "free": "{events} events free of charge",
        "free one": "1 event free of charge",
        "percentage": "{events} events",
        "percentage one": "1 event",
        "raised": "{events} events at the least of {each}",
        "raised one": "1 event at the least of {each}",
        "cut": "{events} events at the most of {each}",
        "cut one": "1 event at the most of {each}",
        "reversal": "{events} reversals",
        "reversal one": "1 reversal",
        "negative": "less than nothing is charged as 0",
        "percent": "{percent} %",
        "percent and each": "{percent} % plus {each} each",
        "cap": "limited to at most {amount}",
        "discount": "{percent} % discount",
        "part": "{label}, {days} of {of} days",
        "unit": "unit",
        "units": "units",
        "each package": "{amount} per package",
        "to the minimum": "up to the minimum",
        "rounding": "rounding",
        "per": "{amount} per {per}",
        "plus": "{price} plus {flat}",
        "rule included": "{included} {units} included",
        "rule then": "{included}, then {rule}.",
        "rule": "{rule}.",
        "rule flat": "a flat fee of {amount}",
        "rule any": "{amount} per {unit}",
        "rule any scaled": "{amount} {units}",
        "rule first": "{price} for the first {to}",
        "rule between": "{price} up to {to}",
        "rule above": "{price} above",
        "rule volume": "all {units} at one price, by their number: {rule}",
        "rule volume first": "{price} up to {to}",
        "rule package": "{amount} per started package of {size} {units}",
        "rule percentage": "{percent} % of each amount",
        "rule percentage fee": "{percent} % of each amount plus {each}",
        "rule each": "{each} for each event",
        "rule least": "{rule}, at least {amount} each",
        "rule most": "{rule}, at most {amount} each",
        "rule free": "the first {free} events of a period are free, then {rule}",
        "rule free one": "the first event of a period is free, then {rule}",
        "rule cell": "{price} for {values}",
        "rule others": "{price} for all others",
        "rule minimum": "At least {minimum}.",
        "rule maximum": "At most {maximum}.",
        "rule both": "At least {minimum}, at most {maximum}.",
        "rule discount": "{percent} % discount.",
    },
    "de": {
        "included": "im Tarif enthalten",
        "any": "je {unit}",
        "first": "die ersten {to} {units}",
        "between": "von {from_} bis {to} {units}",
        "above": "mehr als {from_} {units}",
        "any over": "über die Inklusivmenge hinaus",
        "first over": "die ersten {to} {units} über der Inklusivmenge",
        "between over": "von {from_} bis {to} {units} über der Inklusivmenge",
        "above over": "mehr als {from_} {units} über der Inklusivmenge",
        "volume first": "alle Einheiten zum Preis für bis zu {to} {units}",
        "volume between": "alle Einheiten zum Preis für mehr als {from_} bis {to} {units}",
        "volume above": "alle Einheiten zum Preis für mehr als {from_} {units}",
        "volume first over": "alles über die Inklusivmenge hinaus zum Preis für bis zu {to} {units}",
        "volume between over": (
            "alles über die Inklusivmenge hinaus zum Preis für mehr als {from_} bis {to} {units}"
        ),
        "volume above over": (
            "alles über die Inklusivmenge hinaus zum Preis für mehr als {from_} {units}"
        ),
        "package": "{count} Paket zu {size} {units}",
        "packages": "{count} Pakete zu {size} {units}",
        "flat": "Pauschale",
        "cell": "{values}",
        "cell others": "alle übrigen",
        "dimension": "{name} {value}",
        "free": "{events} Vorgänge kostenlos",
        "free one": "1 Vorgang kostenlos",
        "percentage": "{events} Vorgänge",
        "percentage one": "1 Vorgang",
        "raised": "{events} Vorgänge zum Mindestpreis von {each}",
        "raised one": "1 Vorgang zum Mindestpreis von {each}",
        "cut": "{events} Vorgänge zum Höchstpreis von {each}",
        "cut one": "1 Vorgang zum Höchstpreis von {each}",
        "reversal": "{events} Rückbuchungen",
        "reversal one": "1 Rückbuchung",
        "negative": "weniger als nichts wird mit 0 berechnet",
        "percent": "{percent} %",
        "percent and each": "{percent} % zuzüglich je {each}",
        "cap": "begrenzt auf höchstens {amount}",
        "discount": "{percent} % Rabatt",
        "part": "{label}, {days} von {of} Tagen",
        "unit": "Einheit",
        "units": "Einheiten",
        "each package": "{amount} je Paket",
        "to the minimum": "bis zum Mindestbetrag",
        "rounding": "Rundung",
        "per": "{amount} je {per}",
        "plus": "{price} zuzüglich {flat}",
        "rule included": "{included} {units} enthalten",
        "rule then": "{included}, danach {rule}.",
        "rule": "{rule}.",
        "rule flat": "pauschal {amount}",
        "rule any": "{amount} je {unit}",
        "rule any scaled": "{amount} {units}",
        "rule first": "{price} für die ersten {to}",
        "rule between": "{price} bis {to}",
        "rule above": "{price} darüber",
        "rule volume": "alle {units} zu einem Preis nach ihrer Anzahl: {rule}",
        "rule volume first": "{price} bis {to}",
        "rule package": "{amount} je angefangenes Paket zu {size} {units}",
        "rule percentage": "{percent} % jedes Betrags",
        "rule percentage fee": "{percent} % jedes Betrags zuzüglich {each}",
        "rule each": "{each} je Vorgang",
        "rule least": "{rule}, je mindestens {amount}",
        "rule most": "{rule}, je höchstens {amount}",
        "rule free": "die ersten {free} Vorgänge eines Zeitraums sind kostenlos, danach {rule}",
        "rule free one": "der erste Vorgang eines Zeitraums ist kostenlos, danach {rule}",
        "rule cell": "{price} für {values}",
        "rule others": "{price} für alle übrigen",
        "rule minimum": "Mindestens {minimum}.",
        "rule maximum": "Höchstens {maximum}.",
        "rule both": "Mindestens {minimum}, höchstens {maximum}.",
        "rule discount": "{percent} % Rabatt.",
    },
    "fr": set_in_french(FRENCH),
    "es": SPANISH,
}

COMPARED = {
    "eq": "is exactly",
    "in": "is one of",
    "not_in": "is none of",
    "exists": "is there at all",
    "gt": "is greater than",
    "lt": "is less than",
}
"""How a filter compares, in English: the admin's language."""
_INTERVALS = {"day": "daily", "week": "weekly", "month": "monthly", "quarter": "quarterly"}


class UnitPrice(NamedTuple):
    """A unit price as printed: "2.00" for each `per` units."""

    text: str
    per: int


def number(value: Decimal, locale: str) -> str:
    """Write a quantity as this locale does, without losing a digit: "187.340,5"."""
    return _decimals(value, 0, locale)


def amount(value: Exact, exponent: int, locale: str) -> str:
    """Write an amount with the currency's decimals, and more where it has more (R34).

    An endless fraction is rounded half up to the currency's decimals.
    """
    finite = round_half_up(value, exponent) if isinstance(value, Fraction) else value
    return _decimals(finite, exponent, locale)


def unit_price(unit_amount: Decimal, exponent: int, locale: str) -> UnitPrice:
    """Write a unit price so that nobody reads 0.00: per 1, per 1,000 or per 1,000,000.

    Takes the smallest of the three that gives at least one cent, and loses no digit.
    """
    cent = Decimal(1).scaleb(-exponent)
    for per in (1, 1_000, 1_000_000):
        price = EXACT.multiply(unit_amount, per)
        if price >= cent or not unit_amount:
            break
    return UnitPrice(amount(price, exponent, locale), per)


def price_text(price: UnitPrice, locale: str) -> str:
    """Write a unit price in full: "0.12", "2.00 per 1,000"."""
    if price.per == 1:
        return price.text
    return _words(locale)["per"].format(amount=price.text, per=number(Decimal(price.per), locale))


def calculation_words(locale: str) -> Mapping[str, str]:
    """Return the words of a calculation in the locale's language, English where there are none."""
    return _words(locale)


def interval_in_words(interval: str, count: int) -> str:
    """Say in English how often something happens: "monthly", "every 3 months"."""
    return _INTERVALS.get(interval, "yearly") if count == 1 else f"every {count} {interval}s"


def filters_in_words(filters: Iterable[Mapping[str, Any]]) -> list[str]:
    """Say each filter in English: "model is one of m-large, m-small"."""
    return [
        " ".join(
            part
            for part in (
                one["property"],
                COMPARED.get(one["operator"], one["operator"]),
                ", ".join(map(str, one.get("values", []))),
            )
            if part
        )
        for one in filters
    ]


def label(
    step: Step, *, unit: str, unit_plural: str, locale: str, over: bool, exponent: int
) -> str:
    """Say what a row of the explanation charges, for example "first 50,000 tokens over".

    `over` says that the price has an allowance, so that the units counted are those beyond it.
    An empty unit is called just that. `exponent` is the currency's.
    """
    text = _label(step, (unit, unit_plural), locale, over, exponent)
    return text if step.part is None else _in_part(text, step.part, locale)


def _label(step: Step, names: tuple[str, str], locale: str, over: bool, exponent: int) -> str:
    match step.kind:
        case "tier" | "volume":
            return _tier(step.kind, step.from_, step.to, names, locale, over)
        case "unit":
            return _tier("tier", None, None, names, locale, over)
        case "package":
            return _packages(step, names, locale)
        case "cell":
            return _cell(step.match or (), locale)
        case "free" | "percentage" | "raised" | "cut" | "reversal":
            return _events(step, exponent, locale)
        case "cap" if step.limit is not None:
            return _words(locale)["cap"].format(amount=amount(step.limit, exponent, locale))
        case "discount" if step.percent is not None:
            return _words(locale)["discount"].format(percent=number(step.percent, locale))
        case kind:
            return _words(locale)[kind]


def _cell(match: Iterable[tuple[str, str]], locale: str) -> str:
    """Name the values that a row of a matrix is for: "region eu, size large"."""
    words = _words(locale)
    values = [words["dimension"].format(name=name, value=value) for name, value in match]
    return words["cell"].format(values=", ".join(values)) if values else words["cell others"]


def _events(step: Step, exponent: int, locale: str) -> str:
    """Say how many events a row of a percentage is about, and at which price if it is a fixed one."""
    key = f"{step.kind} one" if step.events == 1 else step.kind
    return _words(locale)[key].format(
        events=number(Decimal(step.events or 0), locale),
        each="" if step.each is None else amount(step.each, exponent, locale),
    )


def percent_text(step: Step, exponent: int, locale: str) -> str:
    """Write what a row of a percentage charges: "2.9 %", "2.9 % plus 0.30 each"."""
    assert step.percent is not None
    key = "percent and each" if step.each else "percent"
    return _words(locale)[key].format(
        percent=number(step.percent, locale), each=amount(step.each or Decimal(0), exponent, locale)
    )


@lru_cache(maxsize=10_000)
def _tier(
    kind: str,
    from_: Decimal | None,
    to: Decimal | None,
    names: tuple[str, str],
    locale: str,
    over: bool,
) -> str:
    words = _words(locale)
    where = _position(from_, to)
    key = f"volume {where}" if kind == "volume" and where != "any" else where
    bound = to if to is not None else from_
    return words[f"{key} over" if over else key].format(
        from_="" if from_ is None else number(from_, locale),
        to="" if to is None else number(to, locale),
        unit=names[0] or words["unit"],
        units=_units(bound, names, locale),
    )


def _position(from_: Decimal | None, to: Decimal | None) -> str:
    """Say where in the ladder a tier stands: alone, first, between or above."""
    if to is None:
        return "above" if from_ else "any"
    return "between" if from_ else "first"


def _packages(step: Step, names: tuple[str, str], locale: str) -> str:
    assert step.packages is not None
    assert step.package_size is not None
    key = "package" if step.packages == 1 else "packages"
    return _words(locale)[key].format(
        count=number(Decimal(step.packages), locale),
        size=number(step.package_size, locale),
        units=_units(step.package_size, names, locale),
    )


def _in_part(text: str, part: DayFraction, locale: str) -> str:
    return _words(locale)["part"].format(label=text, days=part.days, of=part.of)


def describe(price: Price, *, unit: str, unit_plural: str, exponent: int, locale: str) -> str:
    """Say the rule of a price in a sentence or two, as a person confirms it before publishing.

    "100,000 calls included, then 2.00 per 1,000 for the first 50,000, 1.50 per 1,000 above."
    """
    words = _words(locale)
    names = (unit, unit_plural)
    rule = _rule(price, names, exponent, locale)
    if price.included:
        included = words["rule included"].format(
            included=number(price.included, locale), units=_units(price.included, names, locale)
        )
        first = words["rule then"].format(included=included, rule=rule)
    else:
        first = words["rule"].format(rule=rule[0].upper() + rule[1:])
    return " ".join([first, *_limits(price, exponent, locale)])


def _rule(price: Price, names: tuple[str, str], exponent: int, locale: str) -> str:
    words = _words(locale)
    match price.model:
        case Flat(unit_amount):
            return words["rule flat"].format(amount=amount(unit_amount, exponent, locale))
        case PerUnit(unit_amount):
            return _per_unit(unit_amount, names, exponent, locale)
        case Package(unit_amount, size):
            return words["rule package"].format(
                amount=amount(unit_amount, exponent, locale),
                size=number(size, locale),
                units=_units(size, names, locale),
            )
        case Graduated(tiers):
            return _ladder(tiers, "rule first", names, exponent, locale)
        case Volume(tiers):
            ladder = _ladder(tiers, "rule volume first", names, exponent, locale)
            return words["rule volume"].format(units=_units(None, names, locale), rule=ladder)
        case Percentage() as model:
            return _percentage(model, exponent, locale)
        case Matrix() as model:
            return ", ".join(_table(model, exponent, locale))
    raise NotImplementedError(f"No words for the price model {price.model.name}.")


def _per_unit(unit_amount: Decimal, names: tuple[str, str], exponent: int, locale: str) -> str:
    words = _words(locale)
    price = unit_price(unit_amount, exponent, locale)
    if price.per == 1:
        return words["rule any"].format(amount=price.text, unit=names[0] or words["unit"])
    units = _units(Decimal(price.per), names, locale)
    return words["rule any scaled"].format(amount=price_text(price, locale), units=units)


def _ladder(
    tiers: tuple[Tier, ...], first: str, names: tuple[str, str], exponent: int, locale: str
) -> str:
    """List the prices of a ladder: for the first so many, up to, above."""
    words = _words(locale)
    if len(tiers) == 1:
        return _with_flat(
            _per_unit(tiers[0].unit_amount, names, exponent, locale), tiers[0], exponent, locale
        )
    parts = []
    for i, tier in enumerate(tiers):
        price = price_text(unit_price(tier.unit_amount, exponent, locale), locale)
        key = "rule above" if tier.up_to is None else "rule between" if i else first
        to = "" if tier.up_to is None else number(tier.up_to, locale)
        parts.append(words[key].format(price=_with_flat(price, tier, exponent, locale), to=to))
    return ", ".join(parts)


def _percentage(model: Percentage, exponent: int, locale: str) -> str:
    """Say rate, fee, bounds and free events, each only where there is one."""
    words = _words(locale)
    percent, each = number(model.percent_rate, locale), amount(model.fixed_amount, exponent, locale)
    key = "rule percentage"
    if model.fixed_amount:
        key = "rule percentage fee" if model.percent_rate else "rule each"
    rule = words[key].format(percent=percent, each=each)
    for key, bound in (("rule least", model.minimum), ("rule most", model.maximum)):
        if bound is not None:
            rule = words[key].format(rule=rule, amount=amount(bound, exponent, locale))
    if model.free_events:
        key = "rule free one" if model.free_events == 1 else "rule free"
        rule = words[key].format(free=number(Decimal(model.free_events), locale), rule=rule)
    return rule


def _table(model: Matrix, exponent: int, locale: str) -> Iterator[str]:
    words = _words(locale)
    for row in model.rows:
        price = price_text(unit_price(row.unit_amount, exponent, locale), locale)
        yield words["rule cell"].format(price=price, values=_cell(row.match.items(), locale))
    price = price_text(unit_price(model.unit_amount, exponent, locale), locale)
    yield words["rule others"].format(price=price)


def _with_flat(price: str, tier: Tier, exponent: int, locale: str) -> str:
    if not tier.flat_amount:
        return price
    flat = amount(tier.flat_amount, exponent, locale)
    return _words(locale)["plus"].format(price=price, flat=flat)


def _limits(price: Price, exponent: int, locale: str) -> Iterator[str]:
    """Say floor, cap and discount, each only where there is one."""
    words = _words(locale)
    limits = {
        name: amount(limit, exponent, locale)
        for name, limit in (("minimum", price.minimum), ("maximum", price.maximum))
        if limit is not None
    }
    if limits:
        key = "both" if len(limits) == 2 else next(iter(limits))
        yield words[f"rule {key}"].format(**limits)
    if price.discount_percent:
        percent = number(price.discount_percent, locale)
        yield words["rule discount"].format(percent=percent)


def _units(count: Decimal | None, names: tuple[str, str], locale: str) -> str:
    """Name the unit, in the singular for exactly one."""
    words = _words(locale)
    singular, plural = names
    return (singular or words["unit"]) if count == 1 else (plural or words["units"])


@lru_cache(maxsize=10_000)
def _decimals(value: Decimal, least: int, locale: str) -> str:
    """Write with the locale's separators, all digits, and at least so many decimals."""
    text = plain(value)
    decimals = max(least, len(text.partition(".")[2]))
    whole, _, _ = _locale(locale).decimal_formats[None].pattern.partition(".")  # "#,##0"
    pattern = f"{whole}.{'0' * decimals}" if decimals else whole
    with localcontext(EXACT):  # Babel computes in the thread's context, which would round
        return format_decimal(Decimal(text), format=pattern, locale=_locale(locale))


@lru_cache(maxsize=1_000)
def _words(locale: str) -> dict[str, str]:
    return WORDS.get(_locale(locale).language, WORDS["en"])


@lru_cache(maxsize=1_000)
def _locale(locale: str) -> Locale:
    """Find the locale of a tag like "de-DE" or "de_DE"; its language if the country is unknown.

    English for what is no locale at all: a document must still be readable.
    """
    tag = locale.replace("-", "_")
    for candidate in (tag, tag.partition("_")[0]):
        try:
            return Locale.parse(candidate)
        except (UnknownLocaleError, ValueError):
            continue
    return Locale("en")
