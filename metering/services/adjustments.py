"""Correcting events that count: they stay as they arrived, and an adjustment says what counts (R9)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction

from config.base import audit
from config.base.audit import Actor
from config.base.errors import Fault, Invalid, Refusal
from config.base.models import AuditEntry
from metering import properties
from metering.events import Event, NotAnEvent, read_event, written
from metering.models import (
    AdjustmentKind,
    ArchivedMonth,
    EventAdjustment,
    EventKey,
    QuarantineCode,
    UsageEvent,
)
from metering.services.checking import Surroundings
from metering.services.rollups import rebuild_around

_FAULTS_OF_DATA = (
    QuarantineCode.MISSING_VALUE,
    QuarantineCode.BAD_VALUE,
    QuarantineCode.AMBIGUOUS_SUBSCRIPTION,
)


class EventNotCounted(Refusal):
    """There is no such event, or it waits in quarantine, where it is corrected instead."""

    status = 404
    code = "event_not_counted"


@transaction.atomic
def void_events(
    *, keys: Iterable[UUID], reason: str, at: datetime, actor: Actor
) -> list[EventAdjustment]:
    """Let events never have counted; return each one's effective adjustment, in the order asked.

    An event that is void already stays as it is, so a second call changes nothing.

    :raises EventNotCounted: if one is unknown or in quarantine; then none is voided.
    :raises Invalid: without a reason.
    """
    reason = _checked(reason)
    wanted = list(dict.fromkeys(keys))
    events = _locked(wanted)
    effective = effective_adjustments(wanted)
    fresh = [
        EventAdjustment(
            event_key=key,
            kind=AdjustmentKind.VOID,
            reason=reason,
            made_by=actor.name,
            made_at=at,
        )
        for key in wanted
        if key not in effective or effective[key].kind != AdjustmentKind.VOID
    ]
    _adjust(events, effective, fresh, actor=actor)
    return [effective[key] for key in wanted]


@transaction.atomic
def replace_event(
    *, key: UUID, data: Mapping[str, Any], reason: str, at: datetime, actor: Actor
) -> EventAdjustment:
    """Let an event count with other data; return its effective adjustment.

    Customer, type and time stay. If it counts with this very data already, nothing changes; one
    that was voided counts again.

    :raises EventNotCounted: if it is unknown or in quarantine.
    :raises Invalid: without a reason, or if a metric could not count the data.
    """
    reason = _checked(reason)
    events = _locked([key])
    event = events[key]
    changed = _with_data(event, data)
    _check(changed, time=event.time, at=at)
    effective = effective_adjustments([key])
    former = effective.get(key)
    if former and former.kind == AdjustmentKind.REPLACE and _same(former.data, changed.data):
        return former
    replacement = EventAdjustment(
        event_key=key,
        kind=AdjustmentKind.REPLACE,
        data=changed.data,
        reason=reason,
        made_by=actor.name,
        made_at=at,
    )
    _adjust(events, effective, [replacement], actor=actor)
    return replacement


def refuse_if_archived(key: UUID) -> None:
    """Say so if the event under this key lies in an archive.

    :raises MonthArchived: naming its month.
    """
    stored = EventKey.objects.filter(pk=key, stored_as__isnull=False)
    times = [time for time in stored.values_list("time", flat=True) if time]
    ArchivedMonth.objects.refuse(None, ((time, time + timedelta.resolution) for time in times))


def effective_adjustments(keys: Iterable[UUID]) -> dict[UUID, EventAdjustment]:
    """Return the adjustment that decides how each event counts; events without one are left out."""
    rows = EventAdjustment.objects.filter(event_key__in=list(keys), is_effective=True)
    return {row.event_key: row for row in rows}


def _adjust(
    events: Mapping[UUID, UsageEvent],
    effective: dict[UUID, EventAdjustment],
    fresh: Sequence[EventAdjustment],
    *,
    actor: Actor,
) -> None:
    """Let each supersede what was effective, and write into the trail what counted and counts."""
    entries, superseded = [], []
    for adjustment in fresh:
        event = events[adjustment.event_key]
        former = effective.get(event.key)
        if former:
            superseded.append(former.pk)
        before = former.data if former else event.data  # None where it was void
        entries.append(
            audit.entry(
                actor=actor,
                action="voided" if adjustment.kind == AdjustmentKind.VOID else "replaced",
                subject=event,
                changes={"data": [_text(before), _text(adjustment.data)]},
                note=adjustment.reason,
            )
        )
        effective[event.key] = adjustment
    EventAdjustment.objects.filter(pk__in=superseded).update(is_effective=False)
    EventAdjustment.objects.bulk_create(fresh)
    AuditEntry.objects.bulk_create(entries)
    rebuild_around(events[adjustment.event_key] for adjustment in fresh)


def _checked(reason: str) -> str:
    if not reason.strip():
        raise Invalid([Fault(("reason",), "required", "Say why it is corrected.")])
    return reason.strip()


def _locked(keys: list[UUID]) -> dict[UUID, UsageEvent]:
    """Return the events under these keys; nobody else adjusts them until the commit."""
    known = list(EventKey.objects.filter(pk__in=keys).order_by("pk").select_for_update())
    rows = UsageEvent.objects.filter(
        pk__in=[key.stored_as for key in known if key.stored_as],
        time__in={key.time for key in known},  # so that only their partitions are read
    ).select_related("customer", "subscription")
    events = {event.key: event for event in rows}
    if missing := [key for key in keys if key not in events]:
        times = [key.time for key in known if key.pk in missing and key.time]
        ArchivedMonth.objects.refuse(None, ((time, time + timedelta.resolution) for time in times))
        raise EventNotCounted(f"No event {missing[0]} counts: it is unknown, or in quarantine.")
    return events


def _with_data(event: UsageEvent, data: Mapping[str, Any]) -> Event:
    """Return the event as if it had been sent with this data.

    :raises Invalid: if it could not have been.
    """
    sent = Event(
        key=b"",
        payload_hash=b"",
        source=event.source,
        id=event.event_id,
        type=event.type,
        subject=event.customer.key,
        subscription=event.subscription.key if event.subscription else None,
        time=event.time,
        data=data,
    )
    try:
        return read_event(properties.read(written(sent)))
    except NotAnEvent as refusal:
        raise Invalid([Fault(("data",), refusal.code, str(refusal))]) from refusal


def _check(event: Event, *, time: datetime, at: datetime) -> None:
    verdict = Surroundings([event]).check(event, time, at)
    if verdict.code in _FAULTS_OF_DATA:
        raise Invalid([Fault(("data",), verdict.code, verdict.detail)])


def _same(one: Any, other: Any) -> bool:
    return properties.canonical(one) == properties.canonical(other)


def _text(value: Any) -> str | None:
    """Write data for the trail, whose own JSON has no exact decimals."""
    return None if value is None else properties.canonical(value)
