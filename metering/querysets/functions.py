"""SQLite's functions for events and exact numbers; quantities and totals travel as text."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Context, Decimal
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from metering import properties
from metering.days import local_day

_ROOM = Context(prec=200)
_MICROSECOND = datetime.resolution


def sqlite_instant(instant: datetime) -> str:
    """Return an instant as SQLite's columns hold it, so that texts compare like instants."""
    return str(instant.astimezone(UTC).replace(tzinfo=None))


def read_instant(value: Any) -> datetime | None:
    """Return an instant that either database answered; SQLite's name no zone and are in UTC."""
    if value is None:
        return None
    instant = datetime.fromisoformat(value) if isinstance(value, str) else value
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _properties(data: str) -> dict[str, Any]:
    """Return an event's properties: none if something else than an object slipped in."""
    values = properties.read(data)
    return values if isinstance(values, dict) else {}


def _event_quantity(data: str, name: str) -> str | None:
    value = properties.quantity(_properties(data).get(name))
    return None if value is None else f"{value:f}"


def _event_identity(data: str, name: str) -> str | None:
    return properties.identity(_properties(data).get(name))


def _event_key(data: str, names: str) -> str:
    values = _properties(data)
    return properties.canonical([values.get(name) for name in properties.read(names)])


def _event_meets(data: str, condition: str) -> bool:
    return properties.meets([properties.read(condition)], _properties(data))


def _key_part(key: str, places: str) -> str:
    values = properties.read(key)
    return properties.canonical([values[place] for place in properties.read(places)])


def _plus(one: str | None, other: str | None) -> str | None:
    if one is None or other is None:
        return None
    return f"{_ROOM.add(Decimal(one), Decimal(other)):f}"


def _minus(one: str | None, other: str | None) -> str | None:
    if one is None or other is None:
        return None
    return f"{_ROOM.subtract(Decimal(one), Decimal(other)):f}"


def _times(one: str | None, other: str | int | None) -> str | None:
    if one is None or other is None:
        return None
    return f"{_ROOM.multiply(Decimal(one), Decimal(other)):f}"


def _elapsed(start: str | None, end: str | None) -> int | None:
    if start is None or end is None:
        return None
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)) // _MICROSECOND


def _day_start(instant: str, zone_name: str) -> str:
    moment = datetime.fromisoformat(instant).replace(tzinfo=UTC)
    return sqlite_instant(local_day(moment, zone_name)[0])


def _day_end(instant: str, zone_name: str) -> str:
    moment = datetime.fromisoformat(instant).replace(tzinfo=UTC)
    return sqlite_instant(local_day(moment, zone_name)[1])


class _ExactTotal:
    """Sum quantities exactly, also in a window that only grows.

    Its frame must hold the current row: of an empty one Python's sqlite3 asks nobody, and crashes.
    """

    def __init__(self) -> None:
        self.total: Decimal | None = None

    def step(self, value: str | None) -> None:
        if value is not None:
            self.total = _ROOM.add(self.total or Decimal(0), Decimal(value))

    def inverse(self, value: str | None) -> None:
        if value is not None:
            self.total = _ROOM.subtract(self.total or Decimal(0), Decimal(value))

    def value(self) -> str | None:
        return None if self.total is None else f"{self.total:f}"

    finalize = value


class _ExactMax:
    """Find the highest quantity."""

    def __init__(self) -> None:
        self.highest: Decimal | None = None

    def step(self, value: str | None) -> None:
        if value is not None and (self.highest is None or Decimal(value) > self.highest):
            self.highest = Decimal(value)

    def finalize(self) -> str | None:
        return None if self.highest is None else f"{self.highest:f}"


_FUNCTIONS: list[tuple[str, int, Any]] = [
    ("event_quantity", 2, _event_quantity),
    ("event_identity", 2, _event_identity),
    ("event_key", 2, _event_key),
    ("event_meets", 2, _event_meets),
    ("key_part", 2, _key_part),
    ("exact_plus", 2, _plus),
    ("exact_minus", 2, _minus),
    ("exact_times", 2, _times),
    ("elapsed", 2, _elapsed),
    ("local_day_start", 2, _day_start),
    ("local_day_end", 2, _day_end),
]


def _register(*, connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    if connection.vendor != "sqlite":
        return
    database = connection.connection
    for name, arguments, function in _FUNCTIONS:
        database.create_function(name, arguments, function, deterministic=True)
    database.create_window_function("exact_total", 1, _ExactTotal)
    database.create_aggregate("exact_max", 1, _ExactMax)


connection_created.connect(_register, dispatch_uid="metering_functions")
