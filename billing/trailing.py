"""What subscriptions used in the periods before one: what is usual, and what is unusual against it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from django.db.models import F, Q

from billing.history import period_key
from billing.models import BillingPeriod, PeriodStatus, UsageFinding, UsageSnapshot
from catalog.money import EXACT, exact_sum, round_half_up

BEFORE = 6
"""The mean is that of so many whole periods before, as they were closed."""
FEWEST = 3
"""Fewer periods before are no past to compare with."""
TIMES = 2
"""Usage of more than so many times the mean, or less than its so many-th part, is unusual."""


class Trail(NamedTuple):
    """A metric's usage in the whole periods before: its mean, and whether each had events."""

    usual: Decimal
    is_steady: bool


Trails = Mapping[tuple[int, int], Mapping[int, Trail]]
"""By `period_key`, then by metric."""


def trails(periods: Sequence[BillingPeriod]) -> Trails:
    """Return what was used before each of these periods; nothing where the past is too short.

    The last revision of each closed period counts; trials and parts of periods don't. Two queries,
    however many periods.
    """
    before = _before(periods)
    latest: dict[tuple[int, int], UsageSnapshot] = {}
    snapshots = UsageSnapshot.objects.filter(period__in=before).select_related("metric")
    for snapshot in snapshots.order_by("revision"):
        snapshot.period = before[snapshot.period_id]
        latest[snapshot.period_id, snapshot.metric_id] = snapshot
    used: dict[int, dict[int, list[UsageSnapshot]]] = defaultdict(lambda: defaultdict(list))
    for snapshot in latest.values():
        used[snapshot.period.subscription_id][snapshot.metric_id].append(snapshot)
    return {
        period_key(period): {
            metric: _trail(rows)
            for metric, rows in used[period.subscription_id].items()
            if len(rows) >= FEWEST
        }
        for period in periods
    }


def unusual(
    snapshot: UsageSnapshot, period: BillingPeriod, trail: Trail | None, *, at: datetime
) -> UsageFinding | None:
    """Say what is unusual about a period's usage up to `at`; None for nothing, or too short a past.

    Too much is so at any time; too little, or none, once the period is over.
    """
    if trail is None or not is_whole(period):
        return None
    if trail.usual > 0 and snapshot.told > EXACT.multiply(trail.usual, TIMES):
        return UsageFinding.HIGH
    if period.ends_at > at:
        return None
    if not snapshot.events:
        return UsageFinding.SILENT if trail.is_steady else None
    return UsageFinding.LOW if EXACT.multiply(snapshot.told, TIMES) < trail.usual else None


def is_whole(period: BillingPeriod) -> bool:
    """Whether it is neither a trial nor part of a period."""
    mine = (period.start_date, period.end_date)
    return not period.is_trial and mine == (period.nominal_start_date, period.nominal_end_date)


def _before(periods: Sequence[BillingPeriod]) -> dict[int, BillingPeriod]:
    """Load the whole closed periods among the six before each of these."""
    of_age: dict[int, list[int]] = defaultdict(list)  # of the same age, most are
    for period in periods:
        of_age[period.number].append(period.subscription_id)
    meant = Q(pk__in=[])
    for number, subscriptions in of_age.items():
        meant |= Q(subscription__in=subscriptions, number__gte=number - BEFORE, number__lt=number)
    whole: Any = BillingPeriod.objects.filter(
        meant,
        status=PeriodStatus.CLOSED,
        is_trial=False,
        start_date=F("nominal_start_date"),
        end_date=F("nominal_end_date"),
    )
    return {period.pk: period for period in whole}


def _trail(rows: Sequence[UsageSnapshot]) -> Trail:
    total = exact_sum([row.told for row in rows])
    mean = round_half_up(Fraction(total) / len(rows), 10)
    return Trail(mean, is_steady=all(row.events for row in rows))
