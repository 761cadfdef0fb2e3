"""What a draft would cost, worked out as it is typed: plain values for the panel beside its form."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from catalog import money, pricing
from catalog.admin.drafting import PriceFormSet, point
from catalog.admin.examples import (
    LOCALE,
    Example,
    every,
    example_of,
    in_currency,
    price_words,
    priced_in_words,
)
from catalog.admin.hooks import TYPICAL
from catalog.calculator import rated_in_whole
from catalog.drafts import PriceDraft, interval_of, price_errors, units_of
from catalog.linter import warnings
from catalog.models import PlanVersion, PriceModel
from catalog.quotes import Line, Question, Quote, Typical, questions_of, quote, usage_of
from catalog.wording import amount, interval_in_words, number
from catalog.worked import Row, counted_text, rows_of

OWN = "own_quantity"
_NUMBER = re.compile(r"[0-9]{1,20}(\.[0-9]{1,10})?", re.ASCII)
_NAMES = ("name", "key")


class Problem(NamedTuple):
    """What keeps a price from being saved, and at which field.

    A price can be worked out without its names (`is_name`), but without nothing else.
    """

    field: str
    message: str
    is_name: bool = False


class LivePrice(NamedTuple):
    """A price of the form: worked out, or what is wrong with it."""

    place: int
    name: str
    rule: str
    problems: list[Problem]
    missing: list[Problem]
    warnings: list[str]
    own: Example | None
    examples: list[Example]


class MonthLine(NamedTuple):
    """A line of a typical month: its sum, row by row, and where its quantity comes from."""

    name: str
    quantity: str
    source: str
    every: str
    rows: Sequence[Row]
    amount: str


class Month(NamedTuple):
    """A whole plan at typical quantities."""

    lines: list[MonthLine]
    total: str
    tax: str
    """Whether the amounts are with tax."""
    note: str


def read_own(text: str) -> tuple[Decimal | None, str]:
    """Read a quantity that somebody typed; nothing is none, and what is no number a complaint."""
    if not text.strip():
        return None, ""
    if not _NUMBER.fullmatch(text.strip()):
        return None, "Write a number with a point before its decimals, such as 187340."
    return Decimal(text.strip()), ""


def typical_of(drafts: Collection[PriceDraft]) -> Mapping[int, Typical]:
    """Ask what is usual for the metrics of prices, all at once."""
    metrics = {price.metric.pk for price, _ in drafts if price.metric and price.metric.pk}
    found: dict[int, Typical] = {}
    for ask in TYPICAL if metrics else ():
        found |= ask(metrics)
    return found


def usual(draft: PriceDraft, typical: Mapping[int, Typical]) -> Typical | None:
    """Return what is usual for a price's metric, if anything is."""
    return typical.get(draft.price.metric.pk) if draft.price.metric else None


def suggested(draft: PriceDraft, typical: Mapping[int, Typical]) -> dict[str, Decimal]:
    """Answer the questions about a price as is usual."""
    return {one.name: one.default for one in questions_of(draft, usual(draft, typical))}


def month_of(
    version: PlanVersion,
    drafts: Sequence[PriceDraft],
    typical: Mapping[int, Typical],
    answers: Mapping[str, Decimal] | None = None,
) -> Month:
    """Work out one period of all prices, at typical quantities or at those given."""
    said: dict[str, Decimal] = {}
    for draft in drafts:
        said |= suggested(draft, typical)
    worked = quote(version, drafts, {**said, **(answers or {})})
    lines = [
        _month_line(line, version, typical, said, answers is not None) for line in worked.lines
    ]
    total = in_currency(worked.total, version.currency)
    return Month(lines, total, priced_in_words(version), _note(version, worked))


def question_words(question: Question) -> str:
    """Say what a question asks, in the admin's language: "API calls (calls)"."""
    name = question.draft.price.name
    match question.what:
        case "events":
            return f"{name}: number of payments"
        case "each":
            return f"{name}: amount of each payment"
        case "cell":
            values = ", ".join(f"{key} {value}" for key, value in (question.match or {}).items())
            return f"{name}: {values or 'all others'}"
    units = units_of(question.draft.price)[1]
    return f"{name} ({units})" if units and units.lower() != name.lower() else name


def live_prices(
    version: PlanVersion, formset: PriceFormSet, own: Decimal | None
) -> tuple[list[LivePrice], Month | None]:
    """Work out every price of a form that can be, and the month of all of them together."""
    forms = formset.kept_forms
    drafts = formset.price_drafts()
    problems = [list(_problems(form, draft)) for form, draft in zip(forms, drafts, strict=True)]
    for place, (form, draft) in enumerate(zip(forms, drafts, strict=True)):
        if "key" in form.errors:
            draft.price.key = f"/{place}"  # stands in for one that is missing or taken
    is_payable = version.currency in money.CURRENCIES
    sound = [
        draft
        for draft, found in zip(drafts, problems, strict=True)
        if is_payable and not _blocking(found)
    ]
    typical = typical_of(sound)
    warned: dict[int, list[str]] = {}
    for warning in warnings(version, sound):
        warned.setdefault(int(warning.path[1]), []).append(warning.message)
    shown, place_in_sound = [], 0
    for form, draft, found in zip(forms, drafts, problems, strict=True):
        place = formset.forms.index(form)
        name = draft.price.name or f"Price {place + 1}"
        blocking = _blocking(found)
        missing = [problem for problem in found if problem not in blocking]
        if blocking or not is_payable:
            shown.append(LivePrice(place, name, "", blocking, missing, [], None, []))
            continue
        shown.append(
            _live(version, draft, place, name, typical, own)._replace(
                missing=missing, warnings=warned.get(place_in_sound, [])
            )
        )
        place_in_sound += 1
    is_complete = bool(sound) and len(sound) == len(drafts)
    return shown, month_of(version, drafts, typical) if is_complete else None


def _live(
    version: PlanVersion,
    draft: PriceDraft,
    place: int,
    name: str,
    typical: Mapping[int, Typical],
    own: Decimal | None,
) -> LivePrice:
    words = price_words(draft, version.currency)
    return LivePrice(
        place,
        name,
        words.rule,
        [],
        [],
        [],
        None if own is None else _own(draft, own, version.currency),
        [*_typical(draft, typical, version.currency), *words.examples],
    )


def _typical(draft: PriceDraft, typical: Mapping[int, Typical], currency: str) -> Iterator[Example]:
    """Work out a typical period of a price that depends on a quantity."""
    if draft.price.model == PriceModel.FLAT:
        return
    known = usual(draft, typical)
    asked = {one.name: one.default for one in questions_of(draft, known)}
    rated = rated_in_whole(draft, usage_of(draft, asked), currency)
    used = counted_text(rated.used, draft, LOCALE)
    yield example_of(rated, f"typical: {_source(known)}", used, units_of(draft.price))


def _own(draft: PriceDraft, own: Decimal, currency: str) -> Example | None:
    """Work out a quantity that somebody typed: of a percentage one payment, of a matrix each row."""
    units = units_of(draft.price)
    match draft.price.model:
        case PriceModel.FLAT:
            return None
        case PriceModel.PERCENTAGE:
            usage: pricing.Usage = pricing.Payments([own])
            used = f"one of {number(own, LOCALE)}"
        case PriceModel.MATRIX:
            asked = questions_of(draft)
            usage = pricing.Cells([pricing.Cell(one.match or {}, own) for one in asked])
            used = f"{counted_text(own, draft, LOCALE)} of each kind"
        case _:
            usage, used = own, counted_text(own, draft, LOCALE)
    return example_of(rated_in_whole(draft, usage, currency), "your own", used, units)


def _month_line(
    line: Line,
    version: PlanVersion,
    typical: Mapping[int, Typical],
    asked: Mapping[str, Decimal],
    is_given: bool,
) -> MonthLine:
    exponent = money.exponent(version.currency)
    net = amount(line.net, exponent, LOCALE)
    if line.draft is None or line.rated is None:
        return MonthLine("Minimum commitment", "", "what is lacking to it", "", (), net)
    price = line.draft.price
    own = interval_in_words(*interval_of(price, version)) if price.interval else ""
    if line.kind == "minimum":
        return MonthLine(f"Minimum charge: {price.name}", "", "", own, (), net)
    rows = rows_of(line.rated, units=units_of(price), locale=LOCALE)
    is_fee = price.model == PriceModel.FLAT
    quantity = "" if is_fee else counted_text(line.rated.used, line.draft, LOCALE)
    source = "" if is_given or not quantity else _source(usual(line.draft, typical))
    return MonthLine(price.name, quantity, source, own, rows, net)


def _source(known: Typical | None) -> str:
    """Say where a typical quantity comes from; what is assumed is called so."""
    if known is None:
        return "assumed, as nobody has used it yet"
    if known.subscriptions == 1:
        return "what the one subscription that used it last used in a whole period"
    return f"the median of {known.subscriptions} subscriptions’ last whole periods"


def _note(version: PlanVersion, worked: Quote) -> str:
    if not worked.commitment_open or version.minimum_commitment is None:
        return ""
    least = in_currency(version.minimum_commitment, version.currency)
    return (
        f"Some prices are charged more often than the plan bills ({every(version)}). Its minimum "
        f"commitment of {least} is compared with all of that time, so it is not in this sum."
    )


def _problems(form: Any, draft: PriceDraft) -> Iterator[Problem]:
    """Say what is wrong with a price's own fields, its tiers', and the price as a whole."""
    tiers = [tier for nested in form.nested_formsets for tier in nested.formset.kept_forms]
    is_read = not any(tier.errors for tier in tiers) and not set(form.errors) - set(_NAMES)
    if is_read and form.errors:  # the formset checks whole prices only where every field is there
        for fault in price_errors(draft):
            point(form, fault.path, fault.message)
    yield from _of_form(form, "")
    for number_, tier in enumerate(tiers, start=1):
        yield from _of_form(tier, f"Tier {number_}: ")


def _of_form(form: Any, where: str) -> Iterator[Problem]:
    for name, errors in form.errors.items():
        is_field = name in form.fields
        label = f"{where}{form[name].label}" if is_field else where.removesuffix(": ")
        for message in errors:
            yield Problem(label, str(message), is_name=not where and name in _NAMES)


def _blocking(problems: Sequence[Problem]) -> list[Problem]:
    return [problem for problem in problems if not problem.is_name]
