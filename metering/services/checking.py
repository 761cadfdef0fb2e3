"""Whether an event can be counted, and if not, why (R6, R8).

What the check of a batch needs to know is loaded at once, in a constant number of queries.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import Literal, NamedTuple

from catalog.models import Aggregation, ValueMetric
from customers.models import SubscriptionPhase
from customers.periods import DateOutOfRange
from customers.zones import zones_from
from metering import properties
from metering.envelopes import LAGO_SOURCE
from metering.events import Columns, Event
from metering.models import QuarantineCode
from metering.services.memory import Holder, Memory, Verdict, current_stamp
from metering.services.months import month_of

TOLERATED_AHEAD = timedelta(hours=1)


class _Stretch(NamedTuple):
    """When a subscription prices a metric, half-open."""

    subscription_id: int
    key: str
    metric_id: int
    start: datetime
    end: datetime | None


class Surroundings:
    """The customers, metrics and subscriptions that a batch of events speaks of."""

    def __init__(self, events: Sequence[Event], *, memory: Memory | None = None) -> None:
        """Ask, within a transaction, for what is not known yet, once one has to be looked at closely.

        With `memory`, go by that: its stamp is good, or whoever stores the events will see.
        """
        self.memory = memory or Memory(current_stamp())
        self._events = events

    @cached_property
    def _subscriptions(self) -> dict[str, tuple[Holder, int]]:
        named = {event.subscription for event in self._events}
        named |= {event.subject for event in self._events if _is_lago(event)}
        return self.memory.subscriptions({key for key in named if key is not None})

    @cached_property
    def _customers(self) -> dict[str, Holder]:
        subjects = {event.subject for event in self._events}
        return self.memory.customers({key for key in subjects if key is not None})

    @cached_property
    def _stretches(self) -> dict[int, list[_Stretch]]:
        customers, metrics = self._customers, self.memory.metrics
        several = self.memory.several.intersection({event.subject for event in self._events})
        return _stretches(
            customers=[customers[key].customer_id for key in several],
            metrics=[
                metric.pk
                for type_ in {event.type for event in self._events}
                for metric in metrics.get(type_, ())
            ],
        )

    def check_all(
        self, events: Columns, times: Sequence[datetime], at: datetime
    ) -> Sequence[Verdict]:
        """Do as `check` with each event and its time; all at a glance if nothing is unusual."""
        verdicts = at_a_glance(events, times, at, self.memory)
        if verdicts is None:
            each = map(Event._make, zip(*events, strict=True))
            return [self.check(event, time, at) for event, time in zip(each, times, strict=True)]
        return verdicts

    def check(self, event: Event, time: datetime, at: datetime) -> Verdict:
        """Say whose the event is, or name the first reason that keeps it from being counted.

        `time` is when it happened, `at` now.
        """
        if event.subject is None:
            return _refused(QuarantineCode.UNKNOWN_CUSTOMER, "It names no customer (subject).")
        holder, subscription_id = self._customers.get(event.subject), None
        if event.subscription is None and _is_lago(event):
            holder, subscription_id = self._subscriptions.get(event.subject, (holder, None))
        if holder is None:
            detail = f"There is no customer “{event.subject}”."
            return _refused(QuarantineCode.UNKNOWN_CUSTOMER, detail)
        metrics = self.memory.metrics.get(event.type)
        if not metrics:
            return _refused(QuarantineCode.UNKNOWN_TYPE, f"No metric counts “{event.type}” events.")
        if event.subscription is not None:
            owner, subscription_id = self._subscriptions.get(event.subscription, (None, None))
            if owner is None or owner.customer_id != holder.customer_id:
                detail = f"“{event.subject}” has no subscription “{event.subscription}”."
                return _refused(QuarantineCode.UNKNOWN_SUBSCRIPTION, detail)
        if event.flaw:
            return _refused(QuarantineCode.BAD_VALUE, event.flaw)
        names = self.memory.values[event.type]
        stretches = self._stretches.get(holder.customer_id)
        if (
            stretches
            or names is None
            or not properties.are_whole([event.data.get(name) for name in names])
        ):
            refusal = self._refusal(event, metrics, time, subscription_id is None and stretches)
            if refusal is not None:
                return refusal
        if time > at and time > at + TOLERATED_AHEAD:
            detail = f"Its time, {time.isoformat()}, is more than an hour ahead."
            return _refused(QuarantineCode.FUTURE_TIME, detail)
        archived = self.memory.archived
        if archived and (month := month_of(time)) in archived:
            detail = f"The events of {month:%Y-%m} are archived; restore them to count it."
            return _refused(QuarantineCode.ARCHIVED_MONTH, detail)
        return Verdict(holder, subscription_id)

    def _refusal(
        self,
        event: Event,
        metrics: Sequence[ValueMetric],
        time: datetime,
        stretches: Sequence[_Stretch] | Literal[False] | None,
    ) -> Verdict | None:
        """Say what is wrong with a value that a metric counts, or which subscriptions are rivals."""
        counting = [metric for metric in metrics if properties.meets(metric.filters, event.data)]
        for metric in counting:
            if refusal := _value_refusal(metric, event.data):
                return refusal
        for metric in counting if stretches else ():
            if rivals := _rivals(stretches or (), metric, time):
                detail = f"{' and '.join(rivals)} both bill “{metric}”: name one of them."
                return _refused(QuarantineCode.AMBIGUOUS_SUBSCRIPTION, detail)
        return None


def at_a_glance(
    events: Columns, times: Sequence[datetime], at: datetime, memory: Memory
) -> list[Verdict] | None:
    """Return the verdicts on events of which none is unusual; None if one has to be looked at closely.

    They name no subscription, are of customers that are remembered and have one at most, have
    happened by now, and hold whole numbers where metrics need values.
    """
    if memory.archived or max(times) > at or any(events.subscriptions) or any(events.flaws):
        return None
    verdicts = list(map(memory.usual.get, events.subjects))  # type: ignore[arg-type]
    if None in verdicts or any(source.startswith(LAGO_SOURCE) for source in set(events.sources)):
        return None
    types = set(events.types)
    for type_ in types:
        names = memory.values.get(type_)
        if names is None:
            return None
        found = events.data
        if len(types) > 1:
            found = [data for data, of in zip(found, events.types, strict=True) if of == type_]
        if not all(properties.are_whole([data.get(name) for data in found]) for name in names):
            return None
    return verdicts  # type: ignore[return-value]


def _is_lago(event: Event) -> bool:
    source = event.source
    return source.startswith(LAGO_SOURCE) and source == f"{LAGO_SOURCE}{event.subject}"


def _value_refusal(metric: ValueMetric, data: properties.Data) -> Verdict | None:
    name = metric.value_property
    if not name:
        return None
    value = data.get(name)
    if value is None:
        detail = f"“{metric}” needs the property “{name}”."
        return _refused(QuarantineCode.MISSING_VALUE, detail)
    if metric.aggregation == Aggregation.UNIQUE_COUNT:
        if properties.identity(value) is None:
            detail = f"The property “{name}” is no single value."
            return _refused(QuarantineCode.BAD_VALUE, detail)
    elif properties.quantity(value) is None:
        shown = properties.canonical(value)
        shown = shown if len(shown) <= 60 else f"{shown[:60]}…"
        detail = (
            f"The property “{name}” is {shown}, which is no number of at most 20 digits before "
            "the decimal point and 10 after."
        )
        return _refused(QuarantineCode.BAD_VALUE, detail)
    return None


def _rivals(stretches: Sequence[_Stretch], metric: ValueMetric, time: datetime) -> list[str]:
    """Return two subscriptions that would bill the metric at this instant, or none."""
    found = {
        stretch.subscription_id: stretch.key
        for stretch in stretches
        if stretch.metric_id == metric.pk
        and stretch.start <= time
        and (stretch.end is None or time < stretch.end)
    }
    return [f"“{key}”" for _, key in sorted(found.items())][:2] if len(found) > 1 else []


def _refused(code: QuarantineCode, detail: str) -> Verdict:
    return Verdict(code=code.value, detail=detail)


def _stretches(*, customers: Collection[int], metrics: Sequence[int]) -> dict[int, list[_Stretch]]:
    """Return, per customer, when each subscription prices which metric."""
    if not customers or not metrics:
        return {}
    rows = (
        SubscriptionPhase.objects.filter(
            subscription__customer__in=customers, plan_version__prices__metric__in=metrics
        )
        .values_list(
            "subscription__customer_id",
            "subscription_id",
            "subscription__key",
            "plan_version__prices__metric_id",
            "starts_on",
            "ends_on",
            "subscription__ends_on",
            "time_zone",
            "subscription__zone_changes",
        )
        .order_by("subscription_id")
        .distinct()
    )
    found: dict[int, list[_Stretch]] = defaultdict(list)
    for customer_id, pk, key, metric_id, starts_on, ends_on, last_on, first, changes in rows:
        ends = [day for day in (ends_on, last_on) if day is not None]
        zones = zones_from(first, changes)
        try:
            end = zones.begins(min(ends)) if ends else None
            start = zones.begins(starts_on)
        except DateOutOfRange:
            continue
        found[customer_id].append(_Stretch(pk, key, metric_id, start, end))
    return found
