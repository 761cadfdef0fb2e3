"""Late usage in words: what all of it costs, less what was billed before (R31)."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from billing.models import InvoiceLine, LineKind
from billing.presentation.reader import Reader, clean
from billing.presentation.views import RowView
from catalog.money import EXACT


def late_name(line: InvoiceLine, reader: Reader) -> str:
    if line.kind == LineKind.COMMITMENT:
        return reader.say("late_commitment")
    if line.explanation.get("plan_changed"):
        return reader.say("plan_changed", description=clean(line.description))
    return reader.say("late", description=clean(line.description))


def late_rows(said: dict[str, Any], reader: Reader) -> Iterator[RowView]:
    """Say what goes on and off the price of all usage; with its rows these make the line."""
    if minimum := said.get("minimum"):
        yield _row("minimum", reader.say("late_minimum"), Decimal(minimum), reader)
    if coupons := said.get("coupons"):
        yield _row("coupons", reader.say("late_coupons"), EXACT.minus(Decimal(coupons)), reader)
    for one in said["billed"]:
        yield _row("billed", _billed_on(one, reader), EXACT.minus(Decimal(one["amount"])), reader)
    if credited := said.get("credited"):
        yield _row("credited", reader.say("credited_before"), Decimal(credited), reader)


def commitment_rows(said: dict[str, Any], reader: Reader) -> Iterator[RowView]:
    """Say what a period lacks of its commitment, now that more or less is charged for it."""
    if not Decimal(said["whole"]):
        yield _row("floor", reader.say("late_fulfilled"), Decimal(0), reader)
        return
    yield _row("floor", reader.say("floor"), Decimal(said["floor"]), reader)
    charged = EXACT.minus(Decimal(said["charged"]))
    yield _row("charged", reader.say("late_charged"), charged, reader)


def late_note(said: dict[str, Any], reader: Reader) -> str:
    """Say why the line is there: what it changes of which invoice."""
    numbers = [one["invoice"] for one in said["billed"] if one["invoice"]]
    name = "plan_changed_note" if said.get("plan_changed") else "late_note"
    return reader.say(name, invoice=numbers[0]) if numbers else ""


def _billed_on(one: dict[str, Any], reader: Reader) -> str:
    if one.get("waived"):
        return reader.say("late_waived")
    if not one["invoice"]:
        return reader.say("late_billed_before")
    key = "late_credited_on" if Decimal(one["amount"]) < 0 else "late_billed_on"
    return reader.say(key, invoice=one["invoice"])


def _row(kind: str, label: str, amount: Decimal, reader: Reader) -> RowView:
    return RowView(kind, label, "", "", reader.amount(amount or Decimal(0)))
