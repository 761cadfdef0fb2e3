"""What makes a metric measurable, and what a quantity of it is rounded to (R10, R11)."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from catalog.models import LEVELS, Aggregation, RoundingMode, TimeUnit, ValueIs, ValueMetric
from catalog.money import Exact, round_half_up, round_up, times
from catalog.pricing import DayFraction
from config.base.errors import Fault

OPERATORS = {
    "eq": "is this value",
    "in": "is one of these values",
    "not_in": "is none of these values, or missing",
    "exists": "is there at all",
    "gt": "is more than this number",
    "lt": "is less than this number",
}
"""How a filter compares a property of an event, and what that means."""

PRORATED = (Aggregation.MAX, Aggregation.LATEST, Aggregation.UNIQUE_COUNT)
_NUMBER = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,10})?", re.ASCII)


def fill_in(metric: ValueMetric, *, given: Container[str]) -> None:
    """Set what follows from the aggregation, unless given: what its value is, and per which time."""
    if "value_is" not in given:
        is_level = metric.aggregation in LEVELS
        metric.value_is = (metric.value_is or ValueIs.LEVEL) if is_level else ""
    if "time_unit" not in given:
        is_timed = metric.aggregation == Aggregation.TIME_WEIGHTED
        metric.time_unit = (metric.time_unit or TimeUnit.PERIOD) if is_timed else ""


def metric_errors(metric: ValueMetric) -> list[Fault]:
    """List all that keeps a metric from being measured; paths use the field names of the API."""
    is_level = metric.aggregation in LEVELS
    is_timed = metric.aggregation == Aggregation.TIME_WEIGHTED
    counts = metric.aggregation == Aggregation.COUNT
    name = Aggregation(metric.aggregation).value
    errors = [
        *_belongs("value_property", metric.value_property, not counts, name, needed=True),
        *_belongs("value_is", metric.value_is, is_level, name, needed=True),
        *_belongs("time_unit", metric.time_unit, is_timed, name, needed=True),
        *_belongs("series", metric.series, is_level, name),
        *_belongs("carry_over", metric.carry_over, is_level, name),
    ]
    if metric.unit_divisor <= 0:
        errors.append(Fault(("unit_divisor",), "not_positive", "The divisor must be above zero."))
    for i, condition in enumerate(metric.filters):
        errors += [
            Fault(("filters", i, *path), *fault) for path, *fault in filter_faults(condition)
        ]
    return errors


def in_part(quantity: Decimal, metric: ValueMetric, part: DayFraction) -> Exact:
    """Return what counts of a quantity measured within a part of a period (R15).

    Sums and counts are what was used; a level, or a number of different values, counts for its
    share of the days.
    """
    if part.is_whole or metric.aggregation not in PRORATED:
        return quantity
    return times(quantity, part.value)


def rounded(quantity: Exact, metric: ValueMetric) -> Decimal:
    """Round a quantity as the metric says, before its allowance is subtracted (R11)."""
    mode, scale = metric.rounding_mode, metric.rounding_scale
    if mode == RoundingMode.UP:
        return round_up(quantity, scale)
    if mode == RoundingMode.DOWN:
        return round_up(-Fraction(quantity), scale).copy_negate()
    return round_half_up(quantity, scale)


def _belongs(
    field: str, value: Any, wanted: bool, aggregation: str, *, needed: bool = False
) -> Iterator[Fault]:
    label = field.replace("_", " ")
    if value and not wanted:
        message = f"The aggregation {aggregation} has no {label}."
        yield Fault((field,), "not_for_this_aggregation", message)
    if needed and wanted and not value:
        yield Fault((field,), "required", f"The aggregation {aggregation} needs its {label}.")


def filter_faults(condition: Mapping[str, Any]) -> Iterator[Fault]:
    """Find fault with a filter whose values don't fit its operator."""
    operator, values = condition["operator"], condition.get("values", ())
    if operator == "exists" and values:
        yield Fault(("values",), "not_for_this_operator", "The operator exists takes no values.")
    if operator in ("in", "not_in") and not values:
        yield Fault(("values",), "required", f"The operator {operator} needs at least one value.")
    if operator in ("eq", "gt", "lt") and len(values) != 1:
        yield Fault(("values",), "one_value", f"The operator {operator} takes exactly one value.")
    elif operator in ("gt", "lt") and not _is_number(values[0]):
        message = f"The operator {operator} compares numbers, such as 10 or “0.5”."
        yield Fault(("values", 0), "not_a_number", message)


def _is_number(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or (isinstance(value, str) and bool(_NUMBER.fullmatch(value)))
