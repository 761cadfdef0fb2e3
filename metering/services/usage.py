"""What a customer used of a metric, bucket by bucket: for the API, charts and alerts alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from itertools import islice
from typing import Any

from catalog.models import ValueMetric
from config.base.errors import Refusal
from customers.models import Customer
from customers.periods import zone
from metering.buckets import Granularity, buckets
from metering.querysets import (
    NOTHING,
    Measured,
    Span,
    billable,
    in_units,
    measure,
    measure_by,
    so_far,
)

MOST_BUCKETS = 1000
MOST_GROUPED = 10_000


class TooManyBuckets(Refusal):
    """The time asked for has more than 1,000 buckets."""

    status = 400
    code = "too_many_buckets"


class TooManyGroups(Refusal):
    """The dimension has so many values that the answer would be longer than 10,000 figures."""

    status = 400
    code = "too_many_groups"


class NoSuchDimension(Refusal):
    """The metric has no dimension of that name."""

    status = 400
    code = "no_such_dimension"


@dataclass(frozen=True)
class Bucket:
    """What was used in [start, end): in the metric's unit, exact, not yet rounded."""

    start: datetime
    end: datetime
    quantity: Fraction
    events: int


@dataclass(frozen=True)
class Series:
    """The buckets, in order, and the whole: not always their sum, as of levels it is none.

    `value` is that of the dimension. `billable` is the whole, rounded as on an invoice.
    """

    value: Any
    buckets: list[Bucket]
    total: Bucket
    billable: Decimal


@dataclass(frozen=True)
class Usage:
    """All usage, and the same per value of a dimension, if one was asked for."""

    all: Series
    groups: list[Series]


def usage(
    *,
    customer: Customer,
    metric: ValueMetric,
    start: datetime,
    end: datetime,
    granularity: Granularity,
    at: datetime,
    by: str | None = None,
) -> Usage:
    """Measure what a customer used in [start, end), whichever subscription it counts for.

    Buckets begin where an hour, day or month of the customer does; the first and the last are cut
    to the time asked for. Level × time counts up to `at`, and where it is per period, is divided
    by the length of the bucket. One or two statements, however many buckets.

    :raises TooManyBuckets, TooManyGroups: if the answer would be too long.
    :raises NoSuchDimension: if the metric has not got it.
    """
    cuts = list(
        islice(buckets(start, end, granularity, zone(customer.time_zone)), MOST_BUCKETS + 1)
    )
    if len(cuts) > MOST_BUCKETS:
        raise TooManyBuckets(
            f"That would be more than {MOST_BUCKETS:,} buckets; choose a coarser granularity "
            "or a shorter time."
        )
    if by is not None and by not in metric.dimensions:
        known = ", ".join(metric.dimensions) or "none"
        raise NoSuchDimension(f"“{metric}” has no such dimension; it has: {known}.")
    cuts.append((start, end))
    spans = [so_far(metric, Span(customer.pk, None, *cut), at=at) for cut in cuts]
    whole = _series(metric, None, cuts, measure(metric, spans))
    return Usage(whole, _groups(metric, cuts, spans, by) if by is not None else [])


def _groups(
    metric: ValueMetric, cuts: Sequence[tuple[datetime, datetime]], spans: Sequence[Span], by: str
) -> list[Series]:
    measured = measure_by(metric, spans, [by])
    values = sorted({group for groups in measured for group in groups}, key=repr)
    if len(values) * len(spans) > MOST_GROUPED:
        raise TooManyGroups(
            f"{len(values):,} values in {len(cuts) - 1:,} buckets are too many; choose a coarser "
            "granularity or a shorter time."
        )
    return [
        _series(metric, group[0], cuts, [groups.get(group, NOTHING) for groups in measured])
        for group in values
    ]


def _series(
    metric: ValueMetric,
    value: Any,
    cuts: Sequence[tuple[datetime, datetime]],
    measured: Sequence[Measured],
) -> Series:
    """Return the buckets, and the whole, which is the last of what was measured."""
    found = [
        Bucket(start, end, in_units(metric, one.quantity, nominal=end - start), one.events)
        for (start, end), one in zip(cuts, measured, strict=True)
    ]
    (start, end), whole = cuts[-1], measured[-1]
    counted = billable(metric, whole.quantity, nominal=end - start)
    return Series(value, found[:-1], found[-1], counted)
