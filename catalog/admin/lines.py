"""The little languages of filters, word lists and rows of prices, as people type them.

model in m-large, m-small
status eq ok
region exists

region=eu, size=large: 0.40
region=eu: 0.20

50000: 0.002
rest: 0.0015 + 5
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from catalog.money import plain
from catalog.wording import COMPARED

_NUMERIC = ("gt", "lt")
_SINGLE = ("eq", *_NUMERIC)


class UnreadableLine(ValueError):
    """A line that is not what it should be; `str()` names the line and says what is wrong."""


def parse_filters(text: str) -> list[dict[str, Any]]:
    """Read one filter per line; empty lines mean nothing.

    :raises UnreadableLine: for the first line that is not a filter.
    """
    return [_parse_filter(number, line) for number, line in _lines(text)]


def parse_rows(text: str) -> list[dict[str, Any]]:
    """Read one row of a matrix per line: the values it is for, a colon, the price of a unit.

    :raises UnreadableLine: for the first line that is not a row.
    """
    return [_parse_row(number, line) for number, line in _lines(text)]


def parse_tiers(text: str) -> list[dict[str, Any]]:
    """Read one tier per line: its last unit or “rest”, a colon, the price of a unit, “+” a fee.

    :raises UnreadableLine: for the first line that is not a tier.
    """
    return [_parse_tier(number, line) for number, line in _lines(text)]


def write_tiers(tiers: Sequence[Mapping[str, Any]]) -> str:
    """Write tiers so that `parse_tiers` reads them back."""
    return "\n".join(
        f"{'rest' if tier['up_to'] is None else tier['up_to']}: {tier['unit_amount']}"
        + (f" + {tier['flat_amount']}" if Decimal(tier["flat_amount"]) else "")
        for tier in tiers
    )


def write_rows(rows: Sequence[Mapping[str, Any]]) -> str:
    """Write rows so that `parse_rows` reads them back."""
    return "\n".join(f"{_pairs(row['match'])}: {row['unit_amount']}" for row in rows)


def dimensions_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the dimensions that rows speak of, in the order in which they name them."""
    return list(dict.fromkeys(name for row in rows for name in row["match"]))


def write_filters(filters: Sequence[dict[str, Any]]) -> str:
    """Write filters so that `parse_filters` reads them back."""
    return "\n".join(
        f"{one['property']} {one['operator']} {write_words(one.get('values', []))}".strip()
        for one in filters
    )


def parse_words(text: str) -> list[str]:
    """Read words separated by commas or line breaks; one with a comma stands in double quotes."""
    rows = csv.reader(io.StringIO(text), skipinitialspace=True)
    return list(dict.fromkeys(word.strip() for row in rows for word in row if word.strip()))


def write_words(words: Sequence[Any]) -> str:
    """Write words so that `parse_words` reads them back."""
    return ", ".join(_quoted(str(word)) for word in words)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that say something, with their numbers from 1."""
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield number, line.strip()


def _parse_row(number: int, line: str) -> dict[str, Any]:
    values, colon, price = line.rpartition(":")
    if not colon or not is_amount(price.strip()):
        raise UnreadableLine(
            f"Line {number}: end it with a colon and the price of a unit, as in region=eu: 0.20"
        )
    match: dict[str, str] = {}
    for pair in parse_words(values):
        name, sign, value = (part.strip() for part in pair.partition("="))
        if not (name and sign and value):
            raise UnreadableLine(f"Line {number}: write name=value, not “{pair}”.")
        if name in match:
            raise UnreadableLine(f"Line {number}: “{name}” stands there twice.")
        match[name] = value
    if not match:
        raise UnreadableLine(f"Line {number}: say which values it is for, as in region=eu: 0.20")
    return {"match": match, "unit_amount": plain(Decimal(price.strip()))}


def _parse_tier(number: int, line: str) -> dict[str, Any]:
    bound, colon, amounts = (part.strip() for part in line.partition(":"))
    unit_amount, plus, flat_amount = (part.strip() for part in amounts.partition("+"))
    fits = is_amount(unit_amount) and (is_amount(flat_amount) if plus else True)
    if not colon or not fits or not (bound == "rest" or is_amount(bound)):
        raise UnreadableLine(
            f"Line {number}: write the last unit, a colon and the price of a unit, as in "
            "50000: 0.002, and the last tier as rest: 0.0015"
        )
    return {
        "up_to": None if bound == "rest" else plain(Decimal(bound)),
        "unit_amount": plain(Decimal(unit_amount)),
        "flat_amount": plain(Decimal(flat_amount or "0")),
    }


def _pairs(match: Mapping[str, str]) -> str:
    return write_words([f"{name}={value}" for name, value in match.items()])


def _parse_filter(number: int, line: str) -> dict[str, Any]:
    name, _, rest = line.partition(" ")
    operator, _, tail = rest.strip().partition(" ")
    if operator not in COMPARED:
        raise UnreadableLine(
            f"Line {number}: after the property “{name}” write one of {', '.join(COMPARED)}."
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


def is_amount(text: str) -> bool:
    """Say whether this is a price: up to 12 digits and 12 decimals."""
    return re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,12})?", text, re.ASCII) is not None


def _quoted(word: str) -> str:
    if any(mark in word for mark in ',"\n') or word != word.strip():
        return '"' + word.replace('"', '""') + '"'
    return word
