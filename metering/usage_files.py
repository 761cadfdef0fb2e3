"""Reading usage from CSV files: each row is an event, or is refused with its line and column."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import NamedTuple
from zoneinfo import ZoneInfo

from metering import properties
from metering.events import Event, NotAnEvent, check_text, make_event

_NUMBER = re.compile(properties.VALUE_PATTERN, re.ASCII)
_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[T ]([0-9]{2}:[0-9]{2})(:[0-9]{2})?(?:[.,]([0-9]+))?)?"
    r"\s*(Z|[+-][0-9]{2}(?::?[0-9]{2})?)?",
    re.ASCII | re.IGNORECASE,
)
_ESCAPED = re.compile("[\udc80-\udcff]")  # what "surrogateescape" makes of a byte
_YEARS = range(1970, 3000)
_UTC = ZoneInfo("UTC")


class UnknownColumn(ValueError):
    """The file's first line lacks a column, or has it twice."""


class UnreadableFile(ValueError):
    """The file is no CSV in UTF-8 from here on."""


@dataclass(frozen=True)
class Layout:
    """What the columns of a file mean.

    `values` and `texts` say which property a column becomes: a number, or the text as it is.
    Times without an offset are in `zone`.
    """

    type: str
    subject: str
    source: str
    time_column: str
    values: Mapping[str, str]
    texts: Mapping[str, str]
    id_column: str | None = None
    zone: ZoneInfo = _UTC


class Row(NamedTuple):
    """A row as an event, with the line that it ends on."""

    line: int
    event: Event


class RefusedRow(NamedTuple):
    """A row that is no event, and why; `column` is empty where the whole row is at fault."""

    line: int
    column: str
    message: str


def read_rows(
    lines: Iterable[str], layout: Layout, *, delimiter: str = ","
) -> Iterator[Row | RefusedRow]:
    """Yield every row after the header as it is read; blank lines are skipped.

    `lines` are decoded with errors="surrogateescape", so that a bad byte is found in its line.

    Without an id column a row's id is its number in the file and a hash of its content. So a file
    can be read again, also after rows were added at its end, and every row counts once; rows that
    moved have other ids and would count again.

    :raises UnknownColumn: before the first row, naming the columns there are.
    :raises UnreadableFile: where the file can't be read further.
    """
    reader = csv.reader(_in_utf8(lines), delimiter=delimiter)
    try:
        header = next(reader, [])
        read = _Reader(header, layout)
        number = 0
        for cells in reader:
            if not cells:
                continue
            number += 1
            yield read.row(cells, number=number, line=reader.line_num)
    except csv.Error as broken:
        raise UnreadableFile(
            f"The file can't be read at line {reader.line_num}: {broken}."
        ) from broken


def _in_utf8(lines: Iterable[str]) -> Iterator[str]:
    """Yield lines until one holds a byte that is no UTF-8, so that all before it can be kept.

    :raises UnreadableFile: at that line.
    """
    for number, line in enumerate(lines, start=1):
        if not line.isascii() and _ESCAPED.search(line):
            raise UnreadableFile(f"Line {number} of the file is not UTF-8: save it as UTF-8.")
        yield line


def read_local_time(text: str, zone: ZoneInfo) -> datetime:
    """Read a time such as 2023-11-16 18:17:03.9799600, in `zone` unless it has an offset.

    What is finer than a microsecond is cut off. A date alone is its midnight. Where clocks went
    back and a time came twice, the first.

    :raises ValueError: if it is no such time, or not between 1970 and 2999.
    """
    if (match := _TIME.fullmatch(text.strip())) is None:
        raise ValueError(text)
    day, minute, second, fraction, offset = match.groups()
    parts = f"{day}T{minute or '00:00'}{second or ':00'}.{(fraction or '0')[:6]:0<6}"
    moment = datetime.fromisoformat(parts + (offset or "").upper())
    if not offset:
        moment = moment.replace(tzinfo=UTC if zone is _UTC else zone)
    try:
        moment = moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(text) from None
    if moment.year not in _YEARS:
        raise ValueError(text)
    return moment


class _Fault(ValueError):
    """What is wrong with the cell of a column."""

    def __init__(self, column: str, message: str) -> None:
        super().__init__(message)
        self.column = column


class _Reader:
    """Turns cells into events; knows where each column stands."""

    def __init__(self, header: Sequence[str], layout: Layout) -> None:
        self.layout = layout
        self.width = len(header)
        names = [name.strip() for name in header]
        wanted = [layout.time_column, *layout.values, *layout.texts]
        wanted += [layout.id_column] if layout.id_column else []
        for name in wanted:
            if (found := names.count(name)) != 1:
                there = ", ".join(names) or "none, as the file is empty"
                fault = "twice" if found else "not there"
                raise UnknownColumn(f"The column “{name}” is {fault}. Its columns: {there}.")
        self.time_at = names.index(layout.time_column)
        self.id_at = names.index(layout.id_column) if layout.id_column else None
        self.values_at = [(names.index(c), c, name) for c, name in layout.values.items()]
        self.texts_at = [(names.index(c), c, name) for c, name in layout.texts.items()]

    def row(self, cells: Sequence[str], *, number: int, line: int) -> Row | RefusedRow:
        try:
            return Row(line, self.event(cells, number))
        except _Fault as fault:
            return RefusedRow(line, fault.column, str(fault))

    def event(self, cells: Sequence[str], number: int) -> Event:
        layout = self.layout
        if len(cells) != self.width:
            raise _Fault("", f"It has {len(cells)} columns where the first line has {self.width}.")
        return make_event(
            source=layout.source,
            id=self.id(cells, number),
            type=layout.type,
            subject=layout.subject,
            subscription=None,
            time=self.time(cells),
            data=self.data(cells),
        )

    def id(self, cells: Sequence[str], number: int) -> str:
        if self.id_at is None:
            content = "\x1f".join(cells).encode()
            return f"{number}:{blake2b(content, digest_size=12).hexdigest()}"
        try:
            return check_text(cells[self.id_at], "id")
        except NotAnEvent as refusal:
            raise _Fault(self.layout.id_column or "", str(refusal)) from refusal

    def time(self, cells: Sequence[str]) -> datetime:
        text = cells[self.time_at]
        try:
            return read_local_time(text, self.layout.zone)
        except (ValueError, OverflowError):
            message = f"“{_short(text)}” is no time such as 2026-11-01 12:00:00, from 1970 to 2999."
            raise _Fault(self.layout.time_column, message) from None

    def data(self, cells: Sequence[str]) -> dict[str, object]:
        """Return the properties; an empty cell gives none."""
        data: dict[str, object] = {}
        for at, column, name in self.values_at:
            if text := cells[at].strip():
                if not _NUMBER.fullmatch(text):
                    message = (
                        f"“{_short(text)}” is no number such as 12 or 0.5 (at most 20 digits before "
                        "the point and 10 after)."
                    )
                    raise _Fault(column, message)
                data[name] = int(text) if text.isdigit() else properties.number(text)
        for at, column, name in self.texts_at:
            if text := cells[at]:
                if "\x00" in text:
                    raise _Fault(column, "It holds a NUL character.")
                data[name] = text
        return data


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:40]}…"
