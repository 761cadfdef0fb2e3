"""What a property of an event says: its number, its identity, whether it meets a filter.

Numbers are compared by value (1 is 1.0 is 1e0), texts exactly; a float occurs nowhere. SQLite
measures with these functions, PostgreSQL with the same rules in SQL (`querysets.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from decimal import Context, Decimal, InvalidOperation
from typing import Any

import msgspec

Data = Mapping[str, Any]
Filters = Sequence[Mapping[str, Any]]

VALUE_PATTERN = r"-?[0-9]{1,20}(\.[0-9]{1,10})?"
"""A quantity as text: plain, at most 20 digits and 10 decimals. Both databases read it."""

LARGEST = 10**20
"""No quantity is as large, in either direction."""

LONGEST_NUMBER = 100  # digits; also bounds the exponent, since int(1e999999) takes a minute

_VALUE = re.compile(VALUE_PATTERN, re.ASCII)
_BOUND: int = 10**LONGEST_NUMBER
_ROOM = Context(prec=2 * LONGEST_NUMBER + 10)
_NOT_A_NUMBER = Decimal("NaN")


def number(text: str) -> int | Decimal:
    """Read a JSON number: an int if it is whole, else a Decimal without zeros at its end.

    One out of bounds comes back as it is; `is_bounded` tells.
    """
    if len(text) > LONGEST_NUMBER:
        return _NOT_A_NUMBER
    try:
        value = Decimal(text)
    except InvalidOperation:
        return _NOT_A_NUMBER
    if not value:
        return 0
    if not is_bounded(value):
        return value
    value = value.normalize(_ROOM)
    return int(value) if value == value.to_integral_value() else value


def is_bounded(value: int | Decimal) -> bool:
    """Say whether a number can be kept: at most 100 digits on either side of the point."""
    if isinstance(value, int):
        return -_BOUND < value < _BOUND
    return value.is_finite() and abs(value.adjusted()) < LONGEST_NUMBER


_decoder = msgspec.json.Decoder(float_hook=number)
_encoder = msgspec.json.Encoder(decimal_format="number", order="deterministic")

read: Callable[[str | bytes], Any] = _decoder.decode
"""Return what a JSON text says, its numbers as int or Decimal."""


canonical_bytes: Callable[[Any], bytes] = _encoder.encode
"""Return the JSON text, in UTF-8, that two values share exactly when they are equal."""


def canonical_lines(values: Sequence[Any]) -> list[bytes]:
    """Return the canonical JSON text of each value: it has no line break, since strings escape it."""
    return _encoder.encode_lines(values).split(b"\n")[: len(values)]


def canonical(value: Any) -> str:
    """Return the JSON text that two values share exactly when they are equal."""
    return _encoder.encode(value).decode()


def pretty(value: Any) -> str:
    """Return the JSON text for people to read, a line for each name."""
    return msgspec.json.format(_encoder.encode(value), indent=2).decode()


def quantity(value: Any) -> Decimal | None:
    """Return the quantity that a property holds: a JSON number or a numeric text; else None.

    None also for a quantity of more than 20 digits or 10 decimals.
    """
    if type(value) is int:
        return Decimal(value) if abs(value) < LARGEST else None
    if isinstance(value, Decimal):
        if not is_bounded(value):
            return None
        value = f"{value:f}"
    if isinstance(value, str) and len(value) < 33 and _VALUE.fullmatch(value):
        return Decimal(value)
    return None


def are_whole(values: Collection[Any]) -> bool:
    """Say whether these are all whole numbers that are quantities, as nearly all that is sent."""
    return set(map(type, values)) <= {int} and (
        not values or (min(values) > -LARGEST and max(values) < LARGEST)
    )


def identity(value: Any) -> str | None:
    """Return what tells different values apart when they are counted; None for no single value."""
    if value is None or isinstance(value, dict | list):
        return None
    return canonical(value)


def equals(values: Iterable[Any]) -> frozenset[str]:
    """Return the canonical texts of what the values of a filter mean.

    A numeric text also means the number: the catalogue keeps decimals as their digits.
    """
    texts = set()
    for value in values:
        if isinstance(value, float):  # from a filter written as a JSON number
            value = number(repr(value))
        texts.add(canonical(value))
        if isinstance(value, str) and _VALUE.fullmatch(value):
            texts.add(canonical(number(value)))
    return frozenset(texts)


def meets(filters: Filters, data: Data) -> bool:
    """Say whether an event's data meets every filter.

    A missing property, or one that is null, meets none but `not_in`.
    """
    return all(_meets(condition, data.get(condition["property"])) for condition in filters)


def _meets(condition: Mapping[str, Any], value: Any) -> bool:
    operator, values = condition["operator"], condition.get("values", ())
    match operator:
        case "exists":
            return value is not None
        case "eq" | "in":
            return value is not None and canonical(value) in equals(values)
        case "not_in":
            return value is None or canonical(value) not in equals(values)
        case "gt" | "lt":
            [bound] = values
            held, limit = quantity(value), quantity(_number(bound))
            if held is None or limit is None:
                return False
            return held > limit if operator == "gt" else held < limit
        case _:
            raise UnknownOperator(operator)


def _number(value: Any) -> Any:
    return number(repr(value)) if isinstance(value, float) else value


class UnknownOperator(ValueError):
    """A filter compares in a way that nothing here knows."""
