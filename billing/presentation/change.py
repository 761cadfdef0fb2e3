"""Why an invoice differs from the last one, in two sentences and a row per driver."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import reduce
from typing import Any

from billing.models import LineKind
from billing.presentation.reader import Reader, clean, sentence
from billing.presentation.views import ChangeView, Fact
from catalog.money import EXACT, ZERO

MOST_ROWS = 8
_NEARLY_ALL, _MOST = Decimal("0.9"), Decimal("0.5")

Told = Mapping[str, Any]


def change_view(told: Told, reader: Reader, *, this: str) -> ChangeView:
    """Word what `billing.annexes` tells; `this` names the invoice's own period, or is empty."""
    drivers = sorted(told["drivers"], key=lambda one: -abs(Decimal(one["amount"])))
    last, now = _last(told, reader), this or reader.say("this_invoice")
    net, last_net = Decimal(told["net"]), Decimal(told["last_net"])
    charged = {"": "net_of", "_gross": "gross_of", "_untaxed": "charges_of"}[_priced(told)]
    return ChangeView(
        sentences=tuple(_sentences(net, last_net, drivers, told, reader)),
        last=Fact(sentence(reader.say(charged, what=last)), reader.rounded(last_net)),
        drivers=tuple(_rows(told["drivers"], drivers, reader)),
        now=Fact(sentence(reader.say(charged, what=now)), reader.rounded(net)),
    )


def _sentences(
    net: Decimal, last_net: Decimal, drivers: Sequence[Told], told: Told, reader: Reader
) -> Iterator[str]:
    difference = EXACT.subtract(net, last_net)
    key = "change_rose" if difference > 0 else "change_fell" if difference else "change_same"
    key = f"{key}{_priced(told)}"
    yield reader.say(key, difference=reader.money(abs(difference)), net=reader.money(net))
    if not drivers:
        yield reader.say("change_nothing")
    elif not difference:
        yield reader.say("change_even")
    else:
        same_way = [one for one in drivers if Decimal(one["amount"]) * difference > 0]
        main = same_way[0]
        yield reader.say(_share(main, drivers, difference), reason=_reason(main, told, reader))


def _priced(told: Told) -> str:
    """Say what the amounts are: net, with tax, or as priced where none is due, be it that the last had some."""
    if told.get("no_tax_due"):
        return "_untaxed"
    return "_gross" if told.get("include_tax") else ""


def _share(main: Told, drivers: Sequence[Told], difference: Decimal) -> str:
    if len(drivers) == 1:
        return "change_only"
    amount, whole = abs(Decimal(main["amount"])), abs(difference)
    if amount >= whole * _NEARLY_ALL:
        return "change_all"
    return "change_most" if amount >= whole * _MOST else "change_part"


def _reason(one: Told, told: Told, reader: Reader) -> str:
    name, before, now = _name(one, reader), one["before"], one["now"]
    if before is None or now is None:
        return reader.say(f"reason_{_new_or_gone(one)}", name=name)
    if one["kind"] == "price":
        return reader.say("reason_price", name=name)
    if one["kind"] != "usage":
        return reader.say(
            "reason_amounts",
            name=name,
            before=reader.rounded(Decimal(before)),
            now=reader.rounded(Decimal(now)),
        )
    more = EXACT.subtract(Decimal(now), Decimal(before))
    return reader.say(
        "reason_more" if more > 0 else "reason_less",
        name=name,
        count=reader.units(abs(more), one["unit"], one["unit_plural"]),
        than=_than(told, reader),
    )


def _than(told: Told, reader: Reader) -> str:
    """Name the month that is compared with, where it is one."""
    period = told["last_period"]
    if period:
        start, end = date.fromisoformat(period["start"]), date.fromisoformat(period["end"])
        if start.day == end.day == 1 and (end - start).days <= 31:
            return reader.say("than_in", month=reader.month(start, with_year=False))
    return reader.say("than_before")


def _rows(ordered: Sequence[Told], by_size: Sequence[Told], reader: Reader) -> Iterator[Fact]:
    """Yield the greatest drivers in the order of the invoice, and the rest as one."""
    shown = {id(one) for one in by_size[:MOST_ROWS]}
    for one in ordered:
        if id(one) in shown:
            yield Fact(_label(one, reader), _added(Decimal(one["amount"]), reader))
    rest = [Decimal(one["amount"]) for one in by_size[MOST_ROWS:]]
    if rest:
        yield Fact(reader.say("row_rest"), _added(reduce(EXACT.add, rest, ZERO), reader))


def _label(one: Told, reader: Reader) -> str:
    name = _name(one, reader)
    if one["before"] is None or one["now"] is None:
        return reader.say(f"row_{_new_or_gone(one)}", name=name)
    if one["kind"] == "price":
        return reader.say("row_price", name=name)
    before, now = Decimal(one["before"]), Decimal(one["now"])
    if one["kind"] == "usage":
        units = reader.units(now, one["unit"], one["unit_plural"])
        return reader.say("row_changed", name=name, before=reader.number(before), now=units)
    return reader.say(
        "row_changed", name=name, before=reader.rounded(before), now=reader.rounded(now)
    )


def _new_or_gone(one: Told) -> str:
    """Tell what is new from what is gone; a coupon or credit is taken off, and never charged."""
    change = "new" if one["before"] is None else "gone"
    return f"off_{change}" if one["kind"] == "credit" else change


def _name(one: Told, reader: Reader) -> str:
    name = clean(one["name"])
    match one["said_as"]:
        case LineKind.COMMITMENT:
            return reader.say("late_commitment" if one["kind"] == "adjustment" else "commitment")
        case LineKind.LATE:
            return reader.say("late", description=name)
        case LineKind.CREDIT:
            return reader.say("credit", description=name)
        case LineKind.MINIMUM:
            return reader.say("late_minimum")
    return name


def _last(told: Told, reader: Reader) -> str:
    """Name the last invoices by their period and numbers."""
    numbers = ", ".join(told["last"])
    period = told["last_period"]
    if not period:
        return numbers
    days = reader.stretch(date.fromisoformat(period["start"]), date.fromisoformat(period["end"]))
    return f"{days} ({numbers})"


def _added(amount: Decimal, reader: Reader) -> str:
    return f"+{reader.rounded(amount)}" if amount > 0 else reader.rounded(amount)
