"""How a metric turns events into a quantity, as far as stored usage depends on it [pure].

A definition never changes: a metric that is measured differently has another one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgspec

from metering import properties

if TYPE_CHECKING:
    from catalog.models import ValueMetric


class Kind(StrEnum):
    """What is kept of events so that their aggregate can be told without them."""

    COUNT = "count"
    SUM = "sum"
    UNIQUE = "unique"
    LAST = "last"
    HIGHEST = "highest"
    PEAK = "peak"
    FLOW = "flow"
    HELD = "held"

    @property
    def is_ordered(self) -> bool:
        """Whether what is kept of two stretches adds up only if one ends before the other begins."""
        return self in (Kind.PEAK, Kind.HELD)


_KINDS = {
    ("count", ""): Kind.COUNT,
    ("sum", ""): Kind.SUM,
    ("unique_count", ""): Kind.UNIQUE,
    ("latest", "level"): Kind.LAST,
    ("latest", "change"): Kind.SUM,
    ("max", "level"): Kind.HIGHEST,
    ("max", "change"): Kind.PEAK,
    ("time_weighted", "level"): Kind.HELD,
    ("time_weighted", "change"): Kind.FLOW,
}


class Definition(msgspec.Struct, frozen=True, dict=True):
    """Which events count, by which property, and what distinguishes them."""

    event_type: str
    aggregation: str
    value_property: str = ""
    value_is: str = ""
    series: tuple[str, ...] = ()
    dimensions: tuple[str, ...] = ()
    filters: tuple[dict[str, Any], ...] = ()

    @cached_property
    def kind(self) -> Kind:
        return _KINDS[self.aggregation, self.value_is]

    @cached_property
    def key_names(self) -> tuple[str, ...]:
        """The properties whose values are kept apart: series first, or last the value counted.

        Where order matters, dimensions are not: a series is one however many dimensions it has.
        """
        if self.kind == Kind.UNIQUE:
            return (*self.dimensions, self.value_property)
        apart = () if self.kind.is_ordered else self.dimensions
        return tuple(dict.fromkeys((*self.series, *apart)))

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """The properties per whose values the aggregate is taken, before it is added up."""
        return (self.value_property,) if self.kind == Kind.UNIQUE else self.series

    @cached_property
    def text(self) -> str:
        """The JSON from which `definition_from` reads it."""
        return properties.canonical(self)

    @cached_property
    def digest(self) -> str:
        """16 bytes in hex that two definitions share exactly when they are equal."""
        return blake2b(self.text.encode(), digest_size=16).hexdigest()

    def value(self, data: Mapping[str, Any]) -> Any:
        """Return what counts of an event's data: its quantity or identity, 1, or None for nothing."""
        if self.filters and not properties.meets(self.filters, data):
            return None
        if self.kind == Kind.COUNT:
            return 1
        held = data.get(self.value_property)
        return properties.identity(held) if self.kind == Kind.UNIQUE else properties.quantity(held)


def definition_of(metric: ValueMetric) -> Definition:
    """Return how a metric is measured at present."""
    return Definition(
        event_type=metric.event_type,
        aggregation=str(metric.aggregation),
        value_property=metric.value_property,
        value_is=str(metric.value_is),
        series=tuple(metric.series),
        dimensions=tuple(metric.dimensions),
        filters=tuple(_exact(condition) for condition in metric.filters),
    )


def definition_from(text: str) -> Definition:
    """Return the definition of this text."""
    return msgspec.convert(properties.read(text), Definition)


def _exact(condition: Mapping[str, Any]) -> dict[str, Any]:
    """Return a filter whose numbers keep their digits."""
    values: Sequence[Any] = condition.get("values", ())
    return {
        "property": condition["property"],
        "operator": condition["operator"],
        "values": [
            properties.number(repr(value)) if isinstance(value, float) else value
            for value in values
        ],
    }
