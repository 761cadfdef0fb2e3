"""What was used day by day within running periods, for charts beside what they come to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from billing.models import BillingPeriod
from billing.usage import Wanted, span_of
from catalog.models import Aggregation, ValueMetric
from catalog.money import EXACT, round_half_up
from customers.periods import local_date, zone
from metering.buckets import Granularity, buckets
from metering.querysets import Span, in_units, measure

LONGEST = timedelta(days=93)  # a longer period is no chart of days any more
ADDITIVE = (Aggregation.COUNT, Aggregation.SUM, Aggregation.TIME_WEIGHTED)
"""Whose days add up to the period."""
_PLACES = 10


class DayUsed(NamedTuple):
    """What a local day, or its part within the period, amounts to in the metric's unit."""

    day: date
    used: Decimal


def read_days(wanted: Sequence[Wanted], *, until: datetime) -> list[dict[int, list[DayUsed]]]:
    """Measure every period's metrics on each local day that began by then, in the order asked.

    One query per metric and thousand days; nothing of periods longer than a quarter. Quantities
    are in the metric's unit, not rounded as on the bill; of level × time, the day's share in the
    period, to which a level that began with the period adds on days without an event, too.
    """
    found: list[dict[int, list[DayUsed]]] = [{} for _ in wanted]
    asked: dict[int, list[_Asked]] = defaultdict(list)
    metrics = {}
    for place, one in enumerate(wanted):
        if one.period.ends_at - one.period.starts_at > LONGEST:
            continue
        ends_at = min(one.period.ends_at, until)
        cuts = _days_of(one.period, until=ends_at)
        for metric in one.metrics:
            metrics[metric.pk] = metric
            whole = span_of(one, metric.pk)
            asked[metric.pk] += [_asked(place, metric, whole, start, end) for start, end in cuts]
    for pk, days in asked.items():
        metric = metrics[pk]
        spans = list(dict.fromkeys(span for one in days for span in (one.span, one.before) if span))
        measured = dict(zip(spans, measure(metric, spans), strict=True))
        for place, start, span, before in days:
            period = wanted[place].period
            quantity = measured[span].quantity
            if before:
                quantity = EXACT.subtract(quantity, measured[before].quantity)
            exact = in_units(metric, quantity, nominal=period.nominal_length)
            day = max(local_date(start, zone(period.time_zone)), period.start_date)
            used = DayUsed(day, round_half_up(exact, _PLACES))
            found[place].setdefault(pk, []).append(used)
    return found


def _days_of(period: BillingPeriod, *, until: datetime) -> list[tuple[datetime, datetime]]:
    """Return the local days of a period; the first is longer where it began in a zone to the east (R2)."""
    place = zone(period.time_zone)
    cuts = list(buckets(period.starts_at, until, Granularity.DAY, place))
    early = [start for start, _ in cuts[1:] if local_date(start, place) <= period.start_date]
    return [(period.starts_at, cuts[len(early)][1]), *cuts[len(early) + 1 :]] if cuts else []


class _Asked(NamedTuple):
    """A day from `start` on: what to measure, and what of that was used before."""

    place: int
    start: datetime
    span: Span
    before: Span | None


def _asked(place: int, metric: ValueMetric, whole: Span, start: datetime, end: datetime) -> _Asked:
    if metric.aggregation != Aggregation.TIME_WEIGHTED:
        return _Asked(place, start, replace(whole, start=start, end=end), None)
    before = replace(whole, end=start) if start > whole.start else None
    return _Asked(place, start, replace(whole, end=end), before)
