"""What must always hold of usage; `manage.py audit` looks for what contradicts it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.db.models import Exists, F, OuterRef, Q, Subquery

from config.base.invariants import Finding, Invariant
from metering import properties
from metering.envelopes import LAGO_SOURCE
from metering.events import NotAnEvent, make_event, read_event
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
from metering.services.rollups import changed_definitions, differences

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
    """Find stretches of time for which what is summed up of a customer is not what events say."""
    for one in differences():
        names = "" if one.subscription_id is None else f", named {one.subscription_id}"
        values = f", {properties.canonical(list(one.values))}" if one.values else ""
        yield Finding(
            f"{one.metric} of customer {one.customer_id}{names}{values}, "
            f"{one.start:%Y-%m-%d %H:%M} to {one.end:%Y-%m-%d %H:%M} UTC",
            f"{one.expected.quantity} of {one.expected.events} events",
            f"{one.actual.quantity} of {one.actual.events} events",
            str(one.difference),
        )


def _rollups_of_another_definition(at: datetime) -> Iterator[Finding]:
    for rollup, right in changed_definitions():
        said = f"{rollup.event_type}, {rollup.definition}, {rollup.digest}"
        expected = f"{right.event_type}, {right.text}, {right.digest}"
        yield Finding(f"rollup {rollup.pk} of {rollup.metric.key}", expected, said)


def _events_unlike_their_key(at: datetime) -> Iterator[Finding]:
    """Find events whose source, id or payload are not those that their key stands for."""
    theirs = EventKey.objects.filter(pk=OuterRef("key"), stored_as=OuterRef("pk"))
    rows = (
        UsageEvent.objects.annotate(payload_hash=Subquery(theirs.values("payload_hash")[:1]))
        .exclude(payload_hash=None)  # which another check finds
        .order_by("pk")
        .values_list(
            "pk", "key", "payload_hash", "source", "event_id", "type", "customer__key",
            "subscription__key", "data",
        )
    )  # fmt: skip
    for pk, key, payload_hash, source, id_, type_, customer, subscription, data in rows.iterator():
        possible = [
            make_event(
                source=source, id=id_, type=type_, subject=subject, subscription=named, time=None,
                data=data,
            )
            for subject, named in _named(source, customer, subscription)
        ]  # fmt: skip
        name = f"event {pk}, {id_} from {source}"
        if possible[0].key != key.bytes:
            yield Finding(name, f"key {possible[0].key.hex()}", key.hex)
        hashes = [event.payload_hash for event in possible]
        if bytes(payload_hash) not in hashes:
            yield Finding(name, f"payload {hashes[0].hex()}", bytes(payload_hash).hex())


def _named(
    source: str, customer: str, subscription: str | None
) -> Iterator[tuple[str, str | None]]:
    """Yield which subject and subscription an event of these may have named: Lago's name the one."""
    yield customer, subscription
    if subscription is not None and source == f"{LAGO_SOURCE}{subscription}":
        yield subscription, None


def _quarantined_unlike_their_key(at: datetime) -> Iterator[Finding]:
    """Find rows in quarantine that don't say what they were filed under."""
    known = EventKey.objects.filter(pk=OuterRef("key")).values("payload_hash")[:1]
    rows = QuarantinedEvent.objects.annotate(known_hash=Subquery(known)).order_by("pk")
    for row in rows.iterator():
        filed = (row.key.hex, bytes(row.payload_hash).hex(), row.type, row.subject)
        try:
            event = read_event(properties.read(row.raw))
        except (NotAnEvent, ValueError, ArithmeticError, RecursionError) as broken:
            yield Finding(f"quarantined {row.uuid}, {row}", "an event", f"none: {broken}")
            continue
        said = (event.key.hex(), event.payload_hash.hex(), event.type, event.subject or "")
        if said != filed:
            yield Finding(f"quarantined {row.uuid}, {row}", f"{said}", f"{filed}")
        is_waiting = row.status == QuarantineStatus.OPEN and row.code != QuarantineCode.CONFLICT
        known_hash: bytes | None = row.known_hash  # type: ignore[attr-defined]
        if is_waiting and known_hash is not None and bytes(known_hash) != bytes(row.payload_hash):
            yield Finding(
                f"quarantined {row.uuid}, {row}",
                f"a key of payload {bytes(row.payload_hash).hex()}",
                f"one of {bytes(known_hash).hex()}",
            )


INVARIANTS = [
    Invariant(
        "rollups_equal_events",
        "What is kept summed up of every customer, subscription, metric, dimension and day equals its "
        "events, except where these are archived: in their months and, of levels that carry over, "
        "ever after.",
        _rollups_that_differ,
    ),
    Invariant(
        "rollups_are_of_their_metric",
        "What is kept summed up for a metric is summed up as the metric says.",
        _rollups_of_another_definition,
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
        "events_are_what_their_keys_stand_for",
        "Source, id and payload of every event are those that its key was made of.",
        _events_unlike_their_key,
    ),
    Invariant(
        "quarantined_events_are_what_they_are_filed_under",
        "What is kept in quarantine as it was sent has the key, payload, type and subject of its row.",
        _quarantined_unlike_their_key,
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
