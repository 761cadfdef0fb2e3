"""What is or will be issued with an invoice, because it would be below zero, in sentences (R32a)."""

from __future__ import annotations

from collections.abc import Iterator

from billing.beside import Told, ToldBeside
from billing.presentation.reader import Reader


def beside_notes(beside: ToldBeside, reader: Reader) -> Iterator[str]:
    """Say which credit notes come with an invoice, over which others, and what becomes balance."""
    for one in beside.notes:
        yield _note(one, reader)
    if beside.balance:
        yield reader.say("beside_balance", amount=reader.money(beside.balance))


def reason_of(causes: list[str], reader: Reader) -> str:
    """Say why something that was billed is credited by itself."""
    return " ".join(reader.say(f"beside_{cause}") for cause in causes)


def _note(one: Told, reader: Reader) -> str:
    said = {"invoice": str(one.invoice), "amount": reader.money(one.total)}
    if one.note:
        sentence = reader.say("beside_note", note=one.note.number, **said)
    else:
        sentence = reader.say("beside_planned", **said)
    return f"{sentence} {reason_of(one.causes, reader)}".strip()
