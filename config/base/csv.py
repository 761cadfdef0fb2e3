"""Writing CSV that a spreadsheet reads as text and figures, and never as a formula."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from io import StringIO

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
