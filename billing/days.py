"""What was used day by day within running periods, for charts beside what they come to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from billing.usage import Wanted, span_of
from catalog.models import Aggregation
from catalog.money import round_half_up
from customers.periods import local_date, zone
from metering.buckets import Granularity, buckets
from metering.querysets import Span, in_units, measure

LONGEST = timedelta(days=93)  # a longer period is no chart of days any more
ADDITIVE = (Aggregation.COUNT, Aggregation.SUM)  # whose days add up to the period
_PLACES = 10


class DayUsed(NamedTuple):
    """What a local day, or its part within the period, amounts to in the metric's unit."""

    day: date
    used: Decimal


def read_days(wanted: Sequence[Wanted], *, until: datetime) -> list[dict[int, list[DayUsed]]]:
    """Measure every period's metrics on each local day that began by then, in the order asked.

    One query per metric and thousand days; nothing of periods longer than a quarter. Quantities
    are in the metric's unit, not rounded as on the bill; of level × time, the day's average level
    where it is per period.
    """
    found: list[dict[int, list[DayUsed]]] = [{} for _ in wanted]
    asked: dict[int, list[tuple[int, Span]]] = defaultdict(list)
    metrics = {}
    for place, one in enumerate(wanted):
        if one.period.ends_at - one.period.starts_at > LONGEST:
            continue
        ends_at = min(one.period.ends_at, until)
        cuts = list(
            buckets(one.period.starts_at, ends_at, Granularity.DAY, zone(one.period.time_zone))
        )
        for metric in one.metrics:
            metrics[metric.pk] = metric
            whole = span_of(one, metric.pk)
            asked[metric.pk] += [
                (place, replace(whole, start=start, end=end)) for start, end in cuts
            ]
    for pk, spans in asked.items():
        metric = metrics[pk]
        measured = measure(metric, [span for _, span in spans])
        for (place, span), amount in zip(spans, measured, strict=True):
            day = local_date(span.start, zone(wanted[place].period.time_zone))
            exact = in_units(metric, amount.quantity, nominal=span.end - span.start)
            used = DayUsed(day, round_half_up(exact, _PLACES))
            found[place].setdefault(pk, []).append(used)
    return found
