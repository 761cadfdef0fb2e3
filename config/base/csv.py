"""CSV: written so that a spreadsheet computes nothing, and read as a table of named columns."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO
from itertools import zip_longest

from django.http import StreamingHttpResponse

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\0", "＝", "＋", "－", "＠")


def cell(text: str) -> str:
    """Return a text as a cell; one that a spreadsheet would compute begins with an apostrophe.

    Figures need none: write those as they are, negative ones too.
    """
    return f"'{text}" if text.startswith(_FORMULA) else text


def download(name: str, rows: Iterable[Sequence[str]]) -> StreamingHttpResponse:
    """Answer with rows as a file of that name, written as they come; texts are `cell`s already."""
    safe = "".join(each if each.isalnum() or each in "-_." else "_" for each in name)
    return StreamingHttpResponse(
        map(_line, rows),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{safe}"'},
    )


def _line(cells: Sequence[str]) -> str:
    text = StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue()


class UnreadableTable(ValueError):
    """A file is no table with the columns asked for; the message says which line, and why."""


def read_table(
    text: str, *, required: Sequence[str], optional: Sequence[str] = ()
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each row after the header with its line in the file, as cells by column, trimmed.

    Commas, semicolons or tabs stand between cells, whichever the header has; an optional column
    that is not there is empty, a blank row is skipped.

    :raises UnreadableTable: for a column that is missing or that nobody knows, or a broken row.
    """
    lines = StringIO(text.removeprefix("\ufeff"), newline="")
    header = lines.readline()
    lines.seek(0)
    found = csv.reader(lines, delimiter=max(",;\t", key=header.count), strict=True)
    try:
        columns = [name.strip().lower() for name in next(found, [])]
        _check_columns(columns, required, optional)
        for cells in found:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) > len(columns):
                raise UnreadableTable(
                    f"Line {found.line_num} has {len(cells)} cells, the header {len(columns)}."
                )
            named = zip_longest(columns, (cell.strip() for cell in cells), fillvalue="")
            yield found.line_num, {**dict.fromkeys(optional, ""), **dict(named)}
    except csv.Error as broken:
        raise UnreadableTable(f"Line {found.line_num} can’t be read: {broken}.") from broken


def _check_columns(
    columns: Sequence[str], required: Sequence[str], optional: Sequence[str]
) -> None:
    wanted = f"The first line names the columns: {', '.join(required)}"
    wanted += f", and if you like {', '.join(optional)}." if optional else "."
    if missing := [name for name in required if name not in columns]:
        raise UnreadableTable(f"{wanted} There is no {missing[0]}.")
    if unknown := [name for name in columns if name not in (*required, *optional)]:
        raise UnreadableTable(f"{wanted} Nobody knows “{unknown[0]}”.")
    if len(set(columns)) < len(columns):
        raise UnreadableTable(f"{wanted} Name each once.")
