"""Asking for usage: `measure`, and the parts of SQL that reading and keeping it share."""

from metering.querysets.amounts import Amount, amounts
from metering.querysets.arrivals import Watch, changed
from metering.querysets.functions import read_instant, sqlite_instant
from metering.querysets.measuring import (
    SPANS_PER_QUERY,
    billable,
    in_units,
    measure,
    measure_by,
    so_far,
)
from metering.querysets.values import NOTHING, Group, Measured, MonthArchived, Span, Target

__all__ = [
    "NOTHING",
    "SPANS_PER_QUERY",
    "Amount",
    "Group",
    "Measured",
    "MonthArchived",
    "Span",
    "Target",
    "Watch",
    "amounts",
    "billable",
    "changed",
    "in_units",
    "measure",
    "measure_by",
    "read_instant",
    "so_far",
    "sqlite_instant",
]
