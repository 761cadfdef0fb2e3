"""Read ISO 20022 camt.053 (bank to customer statement), any version.

Takes what a payment needs of each booked credit. A file that declares entities or a document type
is refused before anything of it is expanded or fetched.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from billing.bank.lines import BankLine, Reading, StatementUnreadable, Unread, named

_LONGEST = 200  # characters of what a payer wrote
_TOO_MUCH = Decimal(10) ** 11


def read_camt(content: bytes) -> Reading:
    """Read the booked credits of a statement, one by one where an entry has several.

    :raises StatementUnreadable: if it is no XML, has a document type, or is no camt.053.
    """
    try:
        root = fromstring(content, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as trouble:
        raise StatementUnreadable("This is not an XML file that can be read safely.") from trouble
    entries = [one for one in root.iter() if _name(one) == "Ntry"]
    if _name(root) != "Document" or not any(_name(one) == "BkToCstmrStmt" for one in root):
        raise StatementUnreadable("This is XML, but not a bank statement in camt.053.")
    lines: list[BankLine] = []
    unread: list[Unread] = []
    for entry in entries:
        for one in _read(len(lines) + len(unread) + 1, entry):
            (lines if isinstance(one, BankLine) else unread).append(one)  # type: ignore[arg-type]
    return Reading(named(lines), unread)


def _read(first: int, entry: Any) -> Iterator[BankLine | Unread]:
    """Yield what an entry says, numbered on from `first`."""
    if _text(entry, "CdtDbtInd") != "CRDT":
        yield Unread(first, "money that went out")
        return
    if (_text(entry, "Sts", "Cd") or _text(entry, "Sts")) not in ("BOOK", ""):
        yield Unread(first, "not booked yet")
        return
    if _text(entry, "RvslInd") == "true":
        yield Unread(first, "a reversal: reverse the payment it takes back")
        return
    booked = _text(entry, "BookgDt", "Dt") or _text(entry, "BookgDt", "DtTm")[:10]
    details = [one for one in entry.iter() if _name(one) == "TxDtls"] or [entry]
    name = _text(entry, "AcctSvcrRef")
    for number, one in enumerate(details, start=first):
        money = _money(one, entry if len(details) == 1 else None)
        try:
            on = date.fromisoformat(booked)
            amount = Decimal(money.text.strip())
        except (AttributeError, ValueError, InvalidOperation):
            yield Unread(number, "its date or amount can't be read")
            continue
        if not amount.is_finite() or amount <= 0 or amount >= _TOO_MUCH:
            yield Unread(number, "its amount is none that can be paid")
            continue
        yield BankLine(
            number=number,
            on=on,
            amount=amount,
            currency=money.get("Ccy", ""),
            reference=_reference(one),
            payer=_payer(one),
            key=_text(one, "Refs", "AcctSvcrRef") or (name and f"{name}/{number - first}"),
        )


def _money(details: Any, entry: Any) -> Any:
    """Return the amount of a transaction; of an entry with only one, the entry's."""
    for found in (
        _find(entry, "Amt") if entry is not None else None,
        _find(details, "Amt"),
        _find(details, "AmtDtls", "TxAmt", "Amt"),
    ):
        if found is not None:
            return found
    return None


def _reference(details: Any) -> str:
    said = [one.text or "" for one in details.iter() if _name(one) in ("Ustrd", "Ref")]
    if not any(said):
        said = [_text(details, "Refs", "EndToEndId")]
    return " ".join(" ".join(said).split())[:_LONGEST]


def _payer(details: Any) -> str:
    for path in (("RltdPties", "Dbtr", "Nm"), ("RltdPties", "Dbtr", "Pty", "Nm")):
        if name := _text(details, *path):
            return " ".join(name.split())[:_LONGEST]
    return ""


def _find(element: Any, *path: str) -> Any:
    for name in path:
        element = next((one for one in element if _name(one) == name), None)
        if element is None:
            return None
    return element


def _text(element: Any, *path: str) -> str:
    found = _find(element, *path)
    return (found.text or "").strip() if found is not None else ""


def _name(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]
