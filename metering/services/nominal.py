"""The periods that level × time is charged for: its quantity is per the whole of one (R10)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from django.db.models import F

from catalog.models import ValueMetric
from customers.models import Customer, SubscriptionPhase
from customers.periods import (
    Interval,
    Terms,
    first_instant,
    local_date,
    month_after,
    zone,
)
from customers.terms import phase_terms
from customers.zones import zones_from

_EARLIEST, _LATEST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


class Stretch(NamedTuple):
    """What of a period is measured by itself, half-open, and how long the nominal period is."""

    start: datetime
    end: datetime
    nominal: timedelta


def nominal_periods(
    customer: Customer, metric: ValueMetric, start: datetime, end: datetime
) -> Iterator[Stretch]:
    """Yield the stretches that cover [start, end), in order, of which the ends may reach beyond.

    They are the periods of the subscription that prices the metric. Where none does, or several do
    at once, they are the months of the customer. One query.
    """
    place = zone(customer.time_zone)
    at, floor = start, _EARLIEST
    for period in [*_alone(_priced(customer, metric, start, end)), None]:
        ceiling = period.start if period else _LATEST
        while at < min(ceiling, end):
            begins, ends = _month_of(at, place)
            yield Stretch(max(begins, floor), min(ends, ceiling), ends - begins)
            at = min(ends, ceiling)
        if period:
            yield period
            at = floor = period.end


def _priced(
    customer: Customer, metric: ValueMetric, start: datetime, end: datetime
) -> Iterable[Stretch]:
    """Return the periods, in order of their start, that touch [start, end) and price the metric."""
    phases = (
        SubscriptionPhase.objects.filter(
            subscription__customer=customer, plan_version__prices__metric=metric
        )
        .annotate(
            own=F("plan_version__prices__interval"),
            own_count=F("plan_version__prices__interval_count"),
        )
        .select_related("subscription", "plan_version")
    )
    return sorted({period for phase in phases for period in _periods(phase, start, end)})


def _periods(phase: SubscriptionPhase, start: datetime, end: datetime) -> Iterator[Stretch]:
    terms = _terms(phase)
    if terms is None:
        return
    zones = zones_from(phase.time_zone, phase.subscription.zone_changes)
    for period in terms.periods(since=zones.day_of(start)):
        begins, ends = zones.begins(period.start), zones.begins(period.end)
        if begins >= end:
            return
        nominal = zones.begins(period.nominal_end) - zones.begins(period.nominal_start)
        yield Stretch(begins, ends, nominal)


def _terms(phase: SubscriptionPhase) -> Terms | None:
    """Return what decides the periods of the phase's price, up to where service ends; None without."""
    own: str = phase.own  # type: ignore[attr-defined]
    ends = [day for day in (phase.ends_on, phase.subscription.ends_on) if day is not None]
    if ends and min(ends) <= phase.starts_on:
        return None
    terms = replace(phase_terms(phase), ends_on=min(ends, default=None))
    if not own:
        return terms
    return replace(terms, interval=Interval(own), count=phase.own_count)  # type: ignore[attr-defined]


def _alone(periods: Iterable[Stretch]) -> Iterator[Stretch]:
    """Keep those that no other overlaps."""
    latest = _EARLIEST
    nobody = Stretch(_LATEST, _LATEST, timedelta())
    for period, following in pairwise([*periods, nobody]):
        if latest <= period.start and period.end <= following.start:
            yield period
        latest = max(latest, period.end)


def _month_of(instant: datetime, place: ZoneInfo) -> tuple[datetime, datetime]:
    first = local_date(instant, place).replace(day=1)
    return first_instant(first, place), first_instant(month_after(first, 1), place)
