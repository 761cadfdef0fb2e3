"""Lines with their rows, and usage at a glance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

from billing.models import InvoiceLine, LineKind
from billing.presentation.details import counted
from billing.presentation.late import (
    commitment_rows,
    late_name,
    late_note,
    late_rows,
)
from billing.presentation.past import past_view
from billing.presentation.reader import Reader, clean
from billing.presentation.views import LineView, RowView, UsageView
from catalog.metrics import PRORATED
from catalog.models import Timing
from catalog.money import ENDLESS_PLACES, EXACT, ZERO, plain, round_half_up, round_up
from catalog.pricing import Step
from catalog.pricing.explanation import step_from_json
from catalog.pricing.values import DayFraction
from config.base.charts import meter

_SIMPLE = ("flat", "unit")
_PER_EVENT = ("free", "percentage", "raised", "cut", "reversal")
_COUNTS = ("included", "limit", "free")
_FLOORS = (LineKind.MINIMUM, LineKind.COMMITMENT)
_MEASURED = (LineKind.USAGE, LineKind.LATE)


def is_shown(line: InvoiceLine) -> bool:
    """Hide only what has neither money nor usage (R34)."""
    used = line.quantity if line.kind in _MEASURED else Decimal(0)
    return bool(line.priced or used)


def has_usage(line: InvoiceLine) -> bool:
    """Show a metric that was used, or that could have been for nothing."""
    is_usage = line.kind == LineKind.USAGE
    return is_usage and bool(line.quantity or Decimal(line.explanation["included"]))


def line_view(line: InvoiceLine, reader: Reader, *, today: date) -> LineView:
    """Word a line; `today` decides whether a fee is still in advance."""
    said = line.explanation
    steps = [step_from_json(step) for step in said["steps"]]
    rounding = Decimal(said.get("rounding", "0"))
    price, rows = "", _rows(line, steps, rounding, reader)
    if line.is_late:
        rows += late_rows(said, reader)
    elif _is_one_row(steps, rounding):
        price, rows = reader.unit_price(steps[0].unit_amount), []
    return LineView(
        uuid=str(line.uuid),
        kind=line.kind,
        name=_name(line, reader),
        caption=reader.say("in_advance") if _is_in_advance(line, today) else "",
        period=reader.span(line.service_start, line.service_end),
        quantity=_quantity(line, reader),
        unit_price=price,
        tax="–" if line.tax_category == "O" else reader.percent(line.tax_rate),
        net=reader.rounded(line.priced),
        summary=_summary(line, reader),
        rows=tuple(rows),
        notes=tuple(_notes(line, reader)),
    )


def _name(line: InvoiceLine, reader: Reader) -> str:
    if line.is_late:
        return late_name(line, reader)
    match line.kind:
        case LineKind.MINIMUM:
            return reader.say("minimum", description=clean(line.description))
        case LineKind.COMMITMENT:
            return reader.say("commitment")
        case LineKind.CREDIT:
            return reader.say("credit", description=clean(line.description))
    return clean(line.description)


def usage_view(line: InvoiceLine, reader: Reader, *, zone: str) -> UsageView:
    said = line.explanation
    name, unit = clean(line.description), clean(line.unit_plural)
    used, included, over = (Decimal(said[key]) for key in ("used", "included", "overage"))
    return UsageView(
        name=name,
        unit="" if unit.casefold() in name.casefold() else unit,
        used=reader.number(used),
        included=reader.number(included) if included else reader.say("no_allowance"),
        over=reader.number(over),
        is_over=over > 0,
        bar=meter(used, included, text=_used_of(used, included, over, reader)),
        trend=past_view(said.get("trend", ()), reader),
        note=_counted(said["measured"], reader, zone),
    )


def _is_one_row(steps: Sequence[Step], rounding: Decimal) -> bool:
    """Whether quantity × unit price gives the line as it is, so that a row would repeat it."""
    return len(steps) == 1 and steps[0].kind in _SIMPLE and steps[0].part is None and not rounding


def _rows(
    line: InvoiceLine, steps: Sequence[Step], rounding: Decimal, reader: Reader
) -> list[RowView]:
    if line.kind in _FLOORS and line.is_late:
        return list(commitment_rows(line.explanation, reader))
    if line.kind in _FLOORS:
        return list(_minimum_rows(line.explanation, reader))
    if line.kind == LineKind.CREDIT:
        return list(_credit_rows(line.explanation, reader))
    over = bool(Decimal(line.explanation["included"]))
    shown = [_amount(step, reader.exponent) for step in steps]
    with localcontext(EXACT):
        rounding += sum(map(_exact, steps)) - sum(shown)
    written = reader.column([*shown, rounding])
    rows = [
        _row(step, amount, line, reader, over=over)
        for step, amount in zip(steps, written, strict=False)
    ]
    if rounding:
        rows.append(RowView("rounding", reader.say("rounding"), "", "", written[-1]))
    return rows


def _row(step: Step, amount: str, line: InvoiceLine, reader: Reader, *, over: bool) -> RowView:
    unit, unit_plural = clean(line.unit), clean(line.unit_plural)
    counts = step.kind not in ("cap", "discount", "negative")
    return RowView(
        kind=step.kind,
        label=reader.label(step, unit, unit_plural, over=over),
        quantity=reader.number(_charged(step)) if counts else "",
        unit_price=_unit_price(step, reader) if counts else "",
        amount=amount,
    )


def _charged(step: Step) -> Decimal:
    """Return what a row's price is for: packages, or units."""
    return step.quantity if step.packages is None else Decimal(step.packages)


def _amount(step: Step, exponent: int) -> Decimal:
    """Return a row's amount as printed: of an endless one, two decimals more than money has.

    Days out of days seldom end: 145.00 × 28/31 is 130.9677…, whose rest goes to "Rounding".
    """
    amount = _exact(step)
    whole, _, decimals = plain(amount).partition(".")
    if step.part is None or len(decimals) < ENDLESS_PLACES:
        return amount
    return Decimal(f"{whole}.{decimals[: exponent + 2]}") or ZERO


def _exact(step: Step) -> Decimal:
    assert isinstance(step.amount, Decimal)
    return step.amount


def _unit_price(step: Step, reader: Reader) -> str:
    """Write what a unit costs, so that quantity × price is the row's amount (R34)."""
    price = _whole_price(step, reader)
    return f"{price} × {step.part}" if step.part and price else price


def _whole_price(step: Step, reader: Reader) -> str:
    """Write a price of a whole period, and a tier's flat fee with it."""
    if step.kind in _PER_EVENT:
        return reader.percent_price(step) if step.percent is not None else ""
    price = reader.unit_price(step.unit_amount)
    if step.kind == "package":
        return reader.say("each_package", amount=price)
    assert isinstance(step.flat_amount, Decimal)
    if not step.flat_amount:
        return price
    flat = reader.amount(step.flat_amount)
    if not step.unit_amount:
        return reader.say("flat", amount=flat)
    return reader.say("price_and_flat", price=price, flat=flat)


def _minimum_rows(said: dict[str, Any], reader: Reader) -> Iterator[RowView]:
    """Say the floor and what was charged already, which leaves the line."""
    floor, charged = Decimal(said["floor"]), Decimal(said["charged"])
    yield RowView("floor", reader.say("floor"), "", "", reader.amount(floor))
    taken_off = EXACT.minus(charged) if charged else charged
    yield RowView("charged", reader.say("charged"), "", "", reader.amount(taken_off))


def _credit_rows(said: dict[str, Any], reader: Reader) -> Iterator[RowView]:
    """Say what was paid for the days that were not served, and what of it was credited before."""
    paid, part = Decimal(said["paid"]), DayFraction.parse(said["period_fraction"])
    exact = -Fraction(paid) * part.value
    worth, shown = round_half_up(exact, reader.exponent), round_up(exact, reader.exponent + 2)
    label = reader.say("unused_part", paid=reader.amount(paid), part=str(part))
    yield RowView("unused", label, "", "", reader.amount(shown))
    if rounding := EXACT.subtract(worth, shown):
        yield RowView("rounding", reader.say("rounding"), "", "", reader.amount(rounding))
    if before := said.get("credited_before"):
        label = reader.say("credited_before")
        yield RowView("credited_before", label, "", "", reader.amount(Decimal(before)))


def _is_in_advance(line: InvoiceLine, today: date) -> bool:
    in_advance = line.price is not None and line.price.timing == Timing.ADVANCE
    return in_advance and line.kind != LineKind.CREDIT and line.service_end > today


def _quantity(line: InvoiceLine, reader: Reader) -> str:
    """Say how much in the line's head: "187,340 calls", "1 month", "16 of 30 days"."""
    if line.kind in _FLOORS:
        return ""
    if line.unit or line.quantity != 1 or line.kind == LineKind.ADD_ON:
        return reader.units(line.quantity, line.unit, line.unit_plural)
    fraction = line.explanation.get("period_fraction")
    if fraction:
        return _days(fraction, reader)
    return reader.duration(line.service_start, line.service_end)


def _days(fraction: str, reader: Reader) -> str:
    part = DayFraction.parse(fraction)
    return reader.say("of_days", days=str(part.days), of=str(part.of))


def _summary(line: InvoiceLine, reader: Reader) -> str:
    if line.kind not in _MEASURED:
        return ""
    said = line.explanation
    numbers = {key: reader.number(Decimal(said[key])) for key in ("used", "included", "overage")}
    if not Decimal(said["included"]):  # then all of it is over
        return reader.say("summary_all", used=numbers["used"])
    return reader.say(
        "summary", used=numbers["used"], included=numbers["included"], over=numbers["overage"]
    )


def _notes(line: InvoiceLine, reader: Reader) -> Iterator[str]:
    """Say how what was measured became the quantity billed, where the two differ (R11, R15)."""
    said = line.explanation
    if line.is_late and (note := late_note(said, reader)):
        yield note
    measured = said.get("measured", {})
    formula = _formula(measured, reader)
    if measured.get("aggregation") in PRORATED and "period_fraction" in said:
        formula.append(f"× {_days(said['period_fraction'], reader)}")
    if "divisor" in measured:
        formula.append(f"÷ {reader.number(Decimal(measured['divisor']))}")
    if len(formula) > 1:
        used = reader.units(Decimal(said["used"]), line.unit, line.unit_plural)
        yield reader.say("measured", formula=" ".join(formula), used=used)
    if scaled := said.get("scaled"):
        yield _scaled(scaled, said["period_fraction"], reader)
    if said.get("negative"):
        yield reader.say("negative")
    if line.kind == LineKind.CREDIT:
        since = reader.long_date(line.service_start)
        yield reader.say("credit_of", invoice=said["invoice"], date=since)
    if note := clean(said.get("note")):
        yield note
    if since := said.get("own_terms_since"):
        yield reader.say("own_terms", date=reader.long_date(date.fromisoformat(since)))


def _scaled(scaled: Sequence[dict[str, str]], part: str, reader: Reader) -> str:
    """Say what a partial period made of the price's own numbers (R15): "100,000 × 14/30 = 46,667"."""
    values = []
    for one in scaled:
        write = reader.number if one["what"] in _COUNTS else reader.rounded
        whole, scaled_to = write(Decimal(one["whole"])), write(Decimal(one["part"]))
        values.append(reader.say(f"scaled_{one['what']}", whole=whole, part=part, scaled=scaled_to))
    counts = any(one["what"] in _COUNTS for one in scaled)
    return reader.say(
        "scaled_up" if counts else "scaled", days=_days(part, reader), values=", ".join(values)
    )


def _formula(measured: dict[str, Any], reader: Reader) -> list[str]:
    """Say what was measured; of level × time per period, what it is divided by (R10)."""
    if "hours" in measured:
        level = reader.say("unit_hours", count=reader.number(Decimal(measured["unit_hours"])))
        return [level, f"÷ {reader.say('hours', count=reader.number(Decimal(measured['hours'])))}"]
    return [reader.number(Decimal(measured["quantity"]))] if measured else []


def _counted(measured: dict[str, Any], reader: Reader, zone: str) -> str:
    as_of = datetime.fromisoformat(measured["as_of"])
    return counted(int(measured["events"]), as_of, zone, reader)


def _used_of(used: Decimal, included: Decimal, over: Decimal, reader: Reader) -> str:
    numbers = {"used": reader.number(used), "included": reader.number(included)}
    if not over:
        return reader.say("bar_within", **numbers)
    return reader.say("bar_over", over=reader.number(over), **numbers)
