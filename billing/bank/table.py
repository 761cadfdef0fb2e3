"""Read a bank's statement as CSV, by a mapping that says which column is what."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime
from decimal import Decimal
from io import StringIO
from typing import NamedTuple

from billing.bank.lines import BankLine, Reading, StatementUnreadable, Unread, named, one_line, told
from catalog.money import ZERO

COLUMNS = ("date", "amount", "out", "currency", "reference", "payer", "key")
NEEDED = ("date", "amount")
DATE_FORMATS = {
    "%Y-%m-%d": "2026-12-31",
    "%d.%m.%Y": "31.12.2026",
    "%d.%m.%y": "31.12.26",
    "%d/%m/%Y": "31/12/2026",
    "%m/%d/%Y": "12/31/2026",
}
_ABOUT = ("date", "amount", "out", "currency", "payer", "reference")
MOST = 20_000  # lines
WIDEST = 200  # columns
_THOUSANDS = re.compile(r"^[0-9]{1,3}(,[0-9]{2,3})*,[0-9]{3}(?![0-9,])", re.ASCII)  # 1,23,456 too
_NUMBER = r"[0-9]{1,11}(\.[0-9]{1,4})?"
_IS_OUT = {
    **dict.fromkeys(("s", "soll", "d", "dr", "debit", "dbit", "-"), True),
    **dict.fromkeys(("h", "haben", "c", "cr", "credit", "crdt", "+"), False),
}
"""How a column says which way money went, where it has no amounts of its own."""
_GUESSES = {
    "date": r"buchungs?tag|booking|valuta|\bdate\b|datum|booked",
    "out": r"\bsoll\b|d[ée]bit(?!or|eur)|\bdebe\b|cargo|belastung|(paid|money) out|withdraw",
    "amount": r"(?<!ursprungs)betrag|amount|umsatz|\bhaben\b|cr[ée]dit(?!or|eur)|\bhaber\b|abono|"
    r"gutschrift|(paid|money) in|deposit",
    "currency": r"w(ä|ae)hrung|currency|^ccy",
    "reference": r"verwendung|reference|purpose|remittance|description|zweck",
    "payer": r"auftraggeber|beg(ü|ue)nstigte|payer|^name|debtor|counterpart",
    "key": r"transaction.?id|^id$|end.?to.?end",
}


class Table(NamedTuple):
    """A CSV file: the names of its columns, and its rows."""

    heads: list[str]
    rows: list[list[str]]


class Mapped(NamedTuple):
    """Which column is what, by place; how days and numbers are written."""

    columns: Mapping[str, int]
    date_format: str
    decimal_comma: bool
    currency: str


def read_table(content: bytes) -> Table:
    """Read a CSV file in UTF-8, UTF-16, Windows-1252 or Latin-1, with commas, semicolons or tabs between cells.

    Rows before that of the column names, which banks put there, are left out.

    :raises StatementUnreadable: if there is no table in it, or too much of one.
    """
    text = _decoded(content)
    if "\0" in text:
        raise StatementUnreadable("This is not a text file.")
    delimiter = max(";,\t", key=lambda one: _alike(_rows(text, one, is_strict=False)))
    rows = _whole_rows(text, delimiter)
    width = max((len(row) for row in rows), default=0)
    if width > WIDEST:
        raise StatementUnreadable(f"A file may have up to {WIDEST} columns; this has {width}.")
    first = next((n for n, row in enumerate(rows) if len(row) >= width - 1 and all(row[:2])), None)
    if width < 2 or first is None or len(rows) < first + 2:
        raise StatementUnreadable("There is no table with column names and rows in this file.")
    if len(rows) > MOST:
        raise StatementUnreadable(f"A file may have up to {MOST} lines: export fewer days.")
    return Table([head.strip() for head in rows[first]], rows[first + 1 :])


def _whole_rows(text: str, delimiter: str) -> list[list[str]]:
    """Read rows so that none hides in a cell of another, which a quote left open would do.

    Quotes within a cell that nobody doubled, as some banks write them, stay as they are.
    """
    with suppress(StatementUnreadable):
        return _rows(text, delimiter, is_strict=True)
    rows = _rows(text, delimiter, is_strict=False)
    for row in rows:
        if any("\n" in cell for cell in row):
            begins = " ".join(row).split("\n")[0].strip()[:40]
            raise StatementUnreadable(f"A quotation mark is not closed in the line “{begins}”.")
    return rows


def _rows(text: str, delimiter: str, *, is_strict: bool) -> list[list[str]]:
    lines = StringIO(text, newline=None)  # whichever ends of lines it has
    found = csv.reader(lines, delimiter=delimiter, strict=is_strict)
    try:
        return [row for row in found if any(row)]
    except csv.Error as trouble:
        told = f"Line {found.line_num} can’t be read: {trouble}."
        raise StatementUnreadable(told) from trouble


def _alike(rows: Sequence[Sequence[str]]) -> tuple[int, int]:
    """Return how many rows have the same number of cells, above 1, and that number."""
    widths = Counter(len(row) for row in rows if len(row) > 1)
    return max(((count, width) for width, count in widths.items()), default=(0, 0))


def guess(table: Table) -> Mapped:
    """Guess what the columns are by their names and first rows."""
    columns: dict[str, int] = {}
    for what, pattern in _GUESSES.items():
        for place, head in enumerate(table.heads):
            if place not in columns.values() and re.search(pattern, head, re.IGNORECASE):
                columns[what] = place
                break
    dates = _cells(table, columns.get("date"))
    amounts = _cells(table, columns.get("amount")) + _cells(table, columns.get("out"))
    amounts = [one for one in amounts if re.search(r"\d", one)]
    fits = {one: sum(_day(text, one) is not None for text in dates) for one in DATE_FORMATS}
    comma = sum(bool(re.search(r",\d{1,3}$", one)) for one in amounts) * 2 > len(amounts)
    return Mapped(columns, max(fits, key=lambda one: fits[one]), comma, "")


def read_lines(table: Table, mapped: Mapped) -> Reading:
    """Read the rows; those that no money came in by are told with why."""
    lines: list[BankLine] = []
    unread: list[Unread] = []
    for number, row in enumerate(table.rows, start=1):
        cells = {what: _cell(row, place) for what, place in mapped.columns.items()}
        on = _day(cells.get("date", ""), mapped.date_format)
        amount = _came_in(cells, comma=mapped.decimal_comma)
        if on is None or isinstance(amount, str):
            no_date = f"“{cells.get('date', '')[:40]}” is no such date"
            about = told(*(cells.get(what, "") for what in _ABOUT))
            unread.append(Unread(number, no_date if on is None else str(amount), about))
        else:
            lines.append(
                BankLine(
                    number=number,
                    on=on,
                    amount=amount,
                    currency=(cells.get("currency") or mapped.currency).upper(),
                    reference=one_line(cells.get("reference", "")),
                    payer=one_line(cells.get("payer", "")),
                    key=cells.get("key", ""),
                )
            )
    return Reading(named(lines), unread)


def _came_in(cells: Mapping[str, str], *, comma: bool) -> Decimal | str:
    """Return how much came in by a row, or why it can't be taken."""
    said, said_out = cells.get("amount", ""), cells.get("out", "")
    is_out = _IS_OUT.get(said_out.casefold())
    out = _amount(said_out, comma=comma) if said_out and is_out is None else ZERO
    if out is None:
        return f"“{said_out[:40]}” is no amount"
    amount = _amount(said, comma=comma) if said or not out else ZERO
    if amount is None:
        return f"“{said[:40]}” is no amount"
    if is_out or amount <= 0:
        return "no money that came in"
    if out:
        return "money in and money out in one line: record it by hand"
    return amount


def _decoded(content: bytes) -> str:
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", errors="replace")
    for encoding in ("utf-8-sig", "cp1252"):
        with suppress(UnicodeDecodeError):
            return content.decode(encoding)
    return content.decode("latin-1")


def _cells(table: Table, place: int | None) -> list[str]:
    if place is None:
        return []
    return [cell for row in table.rows[:50] if (cell := _cell(row, place))]


def _cell(row: Sequence[str], place: int) -> str:
    return row[place].strip() if place < len(row) else ""


def _day(text: str, date_format: str) -> date | None:
    try:
        bare = re.split("[T ]", text)[0]  # some banks say the time too
        day = datetime.strptime(bare, date_format).date()  # noqa: DTZ007 - a day has no zone
    except ValueError:
        return None
    return day if 1970 <= day.year <= 2999 else None


def _amount(text: str, *, comma: bool) -> Decimal | None:
    """Read "1.234,56" or "1,234.56", with a sign before or after; None for anything else.

    What stands between thousands is only taken there: "12,50" is not 1250.
    """
    bare = re.sub(r"[\s\u00a0\u202f']|[A-Z]{3}|[€$£]", "", text)
    sign = -1 if bare.startswith("-") or bare.endswith("-") else 1
    bare = bare.strip("+-")
    if comma:
        bare = bare.translate(str.maketrans(".,", ",."))
    bare = re.sub(_THOUSANDS, lambda found: found[0].replace(",", ""), bare)
    return sign * Decimal(bare) if re.fullmatch(_NUMBER, bare, re.ASCII) else None


def mapping_json(mapped: Mapped) -> dict[str, object]:
    """Return a mapping as it is remembered."""
    return {**mapped._asdict(), "columns": dict(mapped.columns)}


def mapping_from(remembered: Mapping[str, object]) -> Mapped:
    """Return a mapping that was remembered."""
    return Mapped(**remembered)  # type: ignore[arg-type]
