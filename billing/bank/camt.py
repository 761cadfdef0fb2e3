"""Read ISO 20022 camt.053 (bank to customer statement), any version.

Takes what a payment needs of each booked credit. A file that declares entities or a document type
is refused before anything of it is expanded or fetched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from billing.bank.lines import BankLine, Reading, StatementUnreadable, Unread, named, one_line, told
from catalog.money import EXACT

_TOO_MUCH = Decimal(10) ** 11
_DECIMAL = re.compile(r"\+?[0-9]{1,30}(\.[0-9]{0,30})?", re.ASCII)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_WENT_OUT = "money that went out"
_TAKEN_BACK = "a payment was taken back: reverse it"
_CAME_BACK = "a reversal of money that went out"


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
    is_reversal = _text(entry, "RvslInd") in ("true", "1")
    about = _about(entry, _money(entry, entry), _day(entry))
    if _text(entry, "CdtDbtInd") != "CRDT":
        is_back = is_reversal or _is_return(entry)
        yield Unread(first, _TAKEN_BACK if is_back else _WENT_OUT, about)
    elif not _is_booked(entry):
        yield Unread(first, "not booked yet", about)
    elif is_reversal:
        yield Unread(first, _CAME_BACK, about)
    else:
        details = [one for one in entry.iter() if _name(one) == "TxDtls"]
        if len(details) > 1 and not _add_up(details, entry):
            told_parts = "its parts don't add up to what was booked: record it by hand"
            yield Unread(first, told_parts, about)
        else:
            yield from _credits(first, entry, details or [entry])


def _credits(first: int, entry: Any, details: Sequence[Any]) -> Iterator[BankLine | Unread]:
    """Yield the payments of a booked credit."""
    name = _text(entry, "AcctSvcrRef")
    on = _day(entry)
    for number, one in enumerate(details, start=first):
        money = _money(one, entry if len(details) == 1 else None)
        amount = _number(money)
        about = _about(one, money, on)
        if _text(one, "CdtDbtInd") == "DBIT":
            yield Unread(number, _TAKEN_BACK if _is_return(one) else _WENT_OUT, about)
        elif _is_return(one):
            yield Unread(number, _CAME_BACK, about)
        elif on is None or amount is None:
            yield Unread(number, "its date or amount can't be read", about)
        elif amount <= 0 or amount >= _TOO_MUCH:
            yield Unread(number, "its amount is none that can be paid", about)
        else:
            yield BankLine(
                number=number,
                on=on,
                amount=amount,
                currency=money.get("Ccy", ""),
                reference=_reference(one),
                payer=_payer(one),
                key=_text(one, "Refs", "AcctSvcrRef") or (name and f"{name}/{number - first}"),
            )


def _is_return(details: Any) -> bool:
    """Say whether a bank tells why it sends money back, such as a direct debit's or a transfer's."""
    return any(_name(one) == "RtrInf" for one in details.iter())


def _about(details: Any, money: Any, on: date | None) -> str:
    """Say what a line that is not taken says: the day, the amount, whose it is and what for."""
    amount = f"{(money.text or '').strip()} {money.get('Ccy', '')}" if money is not None else ""
    whose = next((one for one in details.iter() if _name(one) == "RltdPties"), None)
    named = (
        [one.text or "" for one in whose.iter() if _name(one) == "Nm"] if whose is not None else []
    )
    return told(on.isoformat() if on else "", amount, *named[:1], _reference(details))


def _is_booked(entry: Any) -> bool:
    status = _find(entry, "Sts")
    return status is None or "BOOK" in (_text(entry, "Sts", "Cd"), _text(entry, "Sts"))


def _add_up(details: Sequence[Any], entry: Any) -> bool:
    """Say whether the parts of an entry are in its currency and come to its amount."""
    whole, parts = _find(entry, "Amt"), [_money(one, None) for one in details]
    if whole is None or any(part is None or part.get("Ccy") != whole.get("Ccy") for part in parts):
        return False
    together = Decimal(0)
    for one, part in zip(details, parts, strict=True):
        amount = _number(part)
        if amount is None:
            return False
        is_out = _text(one, "CdtDbtInd") == "DBIT"
        together = EXACT.subtract(together, amount) if is_out else EXACT.add(together, amount)
    return together == _number(whole)


def _day(entry: Any) -> date | None:
    """Return the day an entry was booked, or else that it counts from; without its time zone."""
    said = [_text(entry, kind, form) for kind in ("BookgDt", "ValDt") for form in ("Dt", "DtTm")]
    written = _DAY.match(next(filter(None, said), ""))
    try:
        day = date.fromisoformat(written[0]) if written else None
    except ValueError:
        return None
    return day if day and 1970 <= day.year <= 2999 else None


def _number(money: Any) -> Decimal | None:
    """Read a number as XML Schema writes decimals, with ASCII digits and no exponent."""
    text = (money.text or "").strip() if money is not None else ""
    return Decimal(text) if _DECIMAL.fullmatch(text) else None


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
    return one_line(" ".join(said))


def _payer(details: Any) -> str:
    for path in (("RltdPties", "Dbtr", "Nm"), ("RltdPties", "Dbtr", "Pty", "Nm")):
        if name := _text(details, *path):
            return one_line(name)
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
