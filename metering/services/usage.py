"""What a customer used of a metric, bucket by bucket: for the API, charts and alerts alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import islice
from typing import Any, NamedTuple

from catalog.metrics import rounded
from catalog.models import Aggregation, TimeUnit, ValueMetric
from config.base.errors import Refusal
from customers.models import Customer
from customers.periods import zone
from metering.buckets import Granularity, buckets
from metering.querysets import (
    NOTHING,
    Measured,
    Span,
    in_units,
    measure,
    measure_by,
    so_far,
)
from metering.services.nominal import Stretch, nominal_periods

MOST_BUCKETS = 1000
MOST_GROUPED = 10_000
_ZERO = Fraction(0)


class TooManyBuckets(Refusal):
    """The time asked for has more than 1,000 buckets, or of level × time billing periods."""

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
    """What was used in [start, end): in the metric's unit, exact, not yet rounded.

    Of level × time per period, `level` is the average that held, as far as time has come; else it
    is None.
    """

    start: datetime
    end: datetime
    quantity: Fraction
    events: int
    level: Fraction | None = None


@dataclass(frozen=True)
class Series:
    """The buckets, in order, and the whole: not always their sum, as of other levels it is none.

    `value` is that of the dimension. `rounded` is the whole, rounded as on an invoice; `billable`
    the same, or 0 where that is negative (R10).
    """

    value: Any
    buckets: list[Bucket]
    total: Bucket
    rounded: Decimal

    @property
    def billable(self) -> Decimal:
        return max(self.rounded, Decimal(0))


@dataclass(frozen=True)
class Usage:
    """All usage, and the same per value of a dimension, if one was asked for."""

    all: Series
    groups: list[Series]


class _Share(NamedTuple):
    """What a bucket takes of a measured span: the whole, or what another took before is taken off."""

    span: Span
    sign: int
    nominal: timedelta | None


class _Cut(NamedTuple):
    """A bucket to be measured: the sum of its shares, of which `elapsed` is over."""

    start: datetime
    end: datetime
    elapsed: timedelta
    shares: list[_Share]


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
    to the time asked for. Level × time counts up to `at`; where it is per period, each bucket is
    its share in the nominal periods it lies in, see `nominal_periods`, so that buckets add up, and
    those of a whole period to its bill. One to three queries, however many buckets.

    :raises TooManyBuckets, TooManyGroups: if the answer would be too long.
    :raises NoSuchDimension: if the metric has not got it.
    """
    bounds = list(
        islice(buckets(start, end, granularity, zone(customer.time_zone)), MOST_BUCKETS + 1)
    )
    if len(bounds) > MOST_BUCKETS:
        raise _too_many(MOST_BUCKETS, "buckets")
    if by is not None and by not in metric.dimensions:
        known = ", ".join(metric.dimensions) or "none"
        raise NoSuchDimension(f"“{metric}” has no such dimension; it has: {known}.")
    bounds.append((start, end))
    if metric.aggregation == Aggregation.TIME_WEIGHTED:
        found = islice(nominal_periods(customer, metric, start, end), MOST_BUCKETS + 1)
        if len(periods := list(found)) > MOST_BUCKETS:
            raise _too_many(MOST_BUCKETS, "billing periods")
        cuts = [_weighted(customer, metric, *bound, periods, at=at) for bound in bounds]
    else:
        cuts = [
            _Cut(*bound, timedelta(), [_Share(Span(customer.pk, None, *bound), 1, None)])
            for bound in bounds
        ]
    spans = list(dict.fromkeys(share.span for cut in cuts for share in cut.shares))
    whole = _series(metric, None, cuts, dict(zip(spans, measure(metric, spans), strict=True)))
    return Usage(whole, _groups(metric, cuts, spans, by) if by is not None else [])


def _too_many(most: int, what: str) -> TooManyBuckets:
    return TooManyBuckets(
        f"That would be more than {most:,} {what}; choose a coarser granularity or a shorter time."
    )


def _weighted(
    customer: Customer,
    metric: ValueMetric,
    start: datetime,
    end: datetime,
    periods: Sequence[Stretch],
    *,
    at: datetime,
) -> _Cut:
    """Return a bucket as its shares in the periods it lies in.

    Without carry-over a level begins anew with a period, not with a bucket: what a bucket has is
    what its period has until its end, without what that had until its start.
    """

    def span(since: datetime, until: datetime) -> Span:
        return so_far(metric, Span(customer.pk, None, since, until), at=at)

    shares = []
    for period in periods:
        since, until = max(start, period.start), min(end, period.end)
        if since >= until:
            continue
        if metric.carry_over or since == period.start:
            shares.append(_Share(span(since, until), 1, period.nominal))
        else:
            shares.append(_Share(span(period.start, until), 1, period.nominal))
            shares.append(_Share(span(period.start, since), -1, period.nominal))
    return _Cut(start, end, max(min(end, at) - start, timedelta()), shares)


def _groups(
    metric: ValueMetric, cuts: Sequence[_Cut], spans: Sequence[Span], by: str
) -> list[Series]:
    measured = measure_by(metric, spans, [by])
    values = sorted({group for groups in measured for group in groups}, key=repr)
    if len(values) * len(cuts) > MOST_GROUPED:
        raise TooManyGroups(
            f"{len(values):,} values in {len(cuts) - 1:,} buckets are too many; choose a coarser "
            "granularity or a shorter time."
        )
    return [
        _series(
            metric,
            group[0],
            cuts,
            {
                span: groups.get(group, NOTHING)
                for span, groups in zip(spans, measured, strict=True)
            },
        )
        for group in values
    ]


def _series(
    metric: ValueMetric, value: Any, cuts: Sequence[_Cut], measured: Mapping[Span, Measured]
) -> Series:
    """Return the buckets, and the whole, which is the last of what was measured."""
    *found, whole = [_bucket(metric, cut, measured) for cut in cuts]
    return Series(value, found, whole, rounded(whole.quantity, metric))


def _bucket(metric: ValueMetric, cut: _Cut, measured: Mapping[Span, Measured]) -> Bucket:
    quantity, held, events = _ZERO, _ZERO, 0
    for span, sign, nominal in cut.shares:
        found = measured[span]
        if found is NOTHING:
            continue  # most hours of most customers
        quantity += sign * in_units(metric, found.quantity, nominal=nominal)
        held += sign * Fraction(found.quantity)
        events += sign * found.events
    level = None
    if metric.time_unit == TimeUnit.PERIOD:
        level = in_units(metric, held, nominal=cut.elapsed) if cut.elapsed else _ZERO
    return Bucket(cut.start, cut.end, quantity, events, level)
