"""What must always hold of usage; `manage.py audit` looks for what contradicts it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.db.models import Exists, F, OuterRef, Q

from config.base.invariants import Finding, Invariant
from metering.models import (
    ArchivedMonth,
    EventAdjustment,
    EventKey,
    QuarantineCode,
    QuarantinedEvent,
    QuarantineStatus,
    UsageEvent,
)
from metering.services.months import bounds
from metering.services.rollups import differences

_KEPT = QuarantinedEvent.objects.exclude(code=QuarantineCode.CONFLICT)


def _without_outcome(at: datetime) -> Iterator[Finding]:
    """Find keys that lead to no event and of which none waits or was dismissed."""
    lost = EventKey.objects.filter(stored_as=None).exclude(
        Exists(_KEPT.exclude(status=QuarantineStatus.REPLAYED).filter(key=OuterRef("pk")))
    )
    for key in lost.order_by("pk").iterator():
        yield Finding(f"key {key}", "an event, or one in quarantine", "neither")


def _leading_nowhere(at: datetime) -> Iterator[Finding]:
    theirs = UsageEvent.objects.filter(
        pk=OuterRef("stored_as"), time=OuterRef("time"), key=OuterRef("pk")
    )
    lost = EventKey.objects.filter(stored_as__isnull=False).exclude(Exists(theirs))
    for month in ArchivedMonth.objects.all():  # whose keys stay, without their events
        start, end = bounds(month.month)
        lost = lost.exclude(time__gte=start, time__lt=end)
    for key in lost.order_by("pk").iterator():
        yield Finding(f"key {key}", f"event {key.stored_as}", "no such event under this key")


def _events_without_key(at: datetime) -> Iterator[Finding]:
    """Find events that could come, and count, again."""
    theirs = EventKey.objects.filter(pk=OuterRef("key"), stored_as=OuterRef("pk"))
    for event in UsageEvent.objects.exclude(Exists(theirs)).order_by("pk").iterator():
        yield Finding(f"event {event.pk}, {event}", f"its key {event.key}", "no key leads to it")


def _quarantined_without_key(at: datetime) -> Iterator[Finding]:
    theirs = EventKey.objects.filter(pk=OuterRef("key"))
    for row in QuarantinedEvent.objects.exclude(Exists(theirs)).order_by("pk").iterator():
        yield Finding(f"quarantined {row.uuid}, {row}", f"its key {row.key}", "no such key")


def _states_that_contradict_the_event(at: datetime) -> Iterator[Finding]:
    counts = EventKey.objects.filter(pk=OuterRef("key"), stored_as__isnull=False)
    as_sent = counts.filter(payload_hash=OuterRef("payload_hash"))
    rows = _KEPT.annotate(counts=Exists(counts), counts_as_sent=Exists(as_sent)).filter(
        Q(status=QuarantineStatus.REPLAYED, counts=False)
        | Q(status=QuarantineStatus.OPEN, counts=True)
        | Q(status=QuarantineStatus.DISMISSED, counts_as_sent=True)
    )
    for row in rows.order_by("pk").iterator():
        counted = "an event that counts" if row.status == "replayed" else "no event that counts"
        actual = "none" if row.status == "replayed" else "one counts"
        yield Finding(f"quarantined {row.uuid}, {row}, {row.status}", counted, actual)


def _adjustments_without_event(at: datetime) -> Iterator[Finding]:
    theirs = EventKey.objects.filter(pk=OuterRef("event_key"), stored_as__isnull=False)
    for row in EventAdjustment.objects.exclude(Exists(theirs)).order_by("pk").iterator():
        yield Finding(f"adjustment {row.uuid}", f"event {row.event_key}", "no such event counts")


def _events_of_another_customer(at: datetime) -> Iterator[Finding]:
    rows = UsageEvent.objects.filter(subscription__isnull=False).exclude(
        subscription__customer=F("customer")
    )
    for event in rows.select_related("customer", "subscription__customer").order_by("pk"):
        assert event.subscription is not None
        yield Finding(
            f"event {event.pk}, {event}",
            event.subscription.customer.key,
            event.customer.key,
            f"subscription {event.subscription}",
        )


def _rollups_that_differ(at: datetime) -> Iterator[Finding]:
    """Find customers and stretches of time for which what is summed up is not what events say."""
    for one in differences():
        yield Finding(
            f"{one.metric} of customer {one.customer_id}, {one.start:%Y-%m-%d %H:%M} to "
            f"{one.end:%Y-%m-%d %H:%M} UTC",
            f"{one.expected.quantity} of {one.expected.events} events",
            f"{one.actual.quantity} of {one.actual.events} events",
            str(one.difference),
        )


INVARIANTS = [
    Invariant(
        "rollups_equal_events",
        "What is kept summed up of every customer, metric and day equals its events, except where "
        "these are archived: in their months and, of levels that carry over, ever after.",
        _rollups_that_differ,
    ),
    Invariant(
        "received_events_have_an_outcome",
        "Every event that arrived counts, waits in quarantine, or was dismissed with a reason.",
        _without_outcome,
    ),
    Invariant(
        "event_keys_lead_to_their_events",
        "A key that stands for a stored event leads to that very event.",
        _leading_nowhere,
    ),
    Invariant(
        "events_have_their_key",
        "Every event has the key that lets it count once.",
        _events_without_key,
    ),
    Invariant(
        "quarantined_events_have_their_key",
        "Every event in quarantine has the key under which it would count.",
        _quarantined_without_key,
    ),
    Invariant(
        "quarantine_says_what_counts",
        "An event that was replayed counts, one that waits in quarantine doesn't, and nothing that was "
        "dismissed counts as it was sent.",
        _states_that_contradict_the_event,
    ),
    Invariant(
        "adjustments_have_their_event",
        "Every correction is of an event that is stored.",
        _adjustments_without_event,
    ),
    Invariant(
        "events_are_of_their_subscriptions_customer",
        "An event that names a subscription is of its customer.",
        _events_of_another_customer,
    ),
]
