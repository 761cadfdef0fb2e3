"""The little language of a metric's filters and word lists, as people type them.

model in m-large, m-small
status eq ok
region exists
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

OPERATORS = {
    "eq": "is exactly",
    "in": "is one of",
    "not_in": "is none of",
    "exists": "is there at all",
    "gt": "is greater than",
    "lt": "is less than",
}
_NUMERIC = ("gt", "lt")
_SINGLE = ("eq", *_NUMERIC)


class UnreadableLine(ValueError):
    """A line that is no filter; `str()` names the line and says what is wrong."""


def parse_filters(text: str) -> list[dict[str, Any]]:
    """Read one filter per line; empty lines mean nothing.

    :raises UnreadableLine: for the first line that is not a filter.
    """
    lines = ((number, line.strip()) for number, line in enumerate(text.splitlines(), start=1))
    return [_parse_filter(number, line) for number, line in lines if line]


def write_filters(filters: Sequence[dict[str, Any]]) -> str:
    """Write filters so that `parse_filters` reads them back."""
    return "\n".join(
        f"{one['property']} {one['operator']} {write_words(one.get('values', []))}".strip()
        for one in filters
    )


def filters_in_words(filters: Sequence[dict[str, Any]]) -> list[str]:
    """Say each filter: "model is one of m-large, m-small"."""
    return [
        " ".join(
            part
            for part in (
                one["property"],
                OPERATORS.get(one["operator"], one["operator"]),
                ", ".join(map(str, one.get("values", []))),
            )
            if part
        )
        for one in filters
    ]


def parse_words(text: str) -> list[str]:
    """Read words separated by commas or line breaks; one with a comma stands in double quotes."""
    rows = csv.reader(io.StringIO(text), skipinitialspace=True)
    return list(dict.fromkeys(word.strip() for row in rows for word in row if word.strip()))


def write_words(words: Sequence[Any]) -> str:
    """Write words so that `parse_words` reads them back."""
    return ", ".join(_quoted(str(word)) for word in words)


def _parse_filter(number: int, line: str) -> dict[str, Any]:
    name, _, rest = line.partition(" ")
    operator, _, tail = rest.strip().partition(" ")
    if operator not in OPERATORS:
        raise UnreadableLine(
            f"Line {number}: after the property “{name}” write one of {', '.join(OPERATORS)}."
        )
    values = parse_words(tail)
    if operator == "exists":
        if values:
            raise UnreadableLine(f"Line {number}: “exists” takes no value.")
    elif not values:
        raise UnreadableLine(f"Line {number}: write a value after “{operator}”.")
    elif operator in _SINGLE and len(values) > 1:
        raise UnreadableLine(f"Line {number}: “{operator}” takes one value; use “in” for several.")
    elif operator in _NUMERIC and not _is_number(values[0]):
        raise UnreadableLine(f"Line {number}: “{operator}” needs a number, not “{values[0]}”.")
    return {"property": name, "operator": operator, "values": values}


def _is_number(text: str) -> bool:
    try:
        return Decimal(text).is_finite()
    except InvalidOperation:
        return False


def _quoted(word: str) -> str:
    if any(mark in word for mark in ',"\n') or word != word.strip():
        return '"' + word.replace('"', '""') + '"'
    return word
