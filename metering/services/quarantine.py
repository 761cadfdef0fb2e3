"""Working off the quarantine: events are fixed and counted, or dismissed with a reason (R8)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction

from config.base import audit
from config.base.audit import Actor
from config.base.errors import Fault, Invalid, Refusal
from config.base.models import AuditEntry
from metering import properties
from metering.events import Event, NotAnEvent, read_event
from metering.models import QuarantineCode, QuarantinedEvent, QuarantineStatus
from metering.services.checking import Surroundings
from metering.services.storage import (
    replace_payload,
    reserve_ids,
    store_replayed,
)

FIXABLE = ("subject", "type", "data", "time", "subscription")


class ConflictStays(Refusal):
    """Another event with this source and id counts already, so this one never will (R7)."""

    code = "conflict_stays"


class AlreadyResolved(Refusal):
    """The event was dismissed, or was counted after all."""

    code = "already_resolved"


@transaction.atomic
def replay(
    *,
    ids: Iterable[int],
    at: datetime,
    actor: Actor,
    fixes: Mapping[str, Any] | None = None,
) -> list[QuarantinedEvent]:
    """Try quarantined events again, with `fixes` in place of what they say.

    One that can be counted now becomes `replayed`; another stays open and says what is wrong with
    it as fixed. One that was replayed before stays as it is, so a second call changes nothing.

    :raises ConflictStays: for a conflict, which can only be dismissed.
    :raises AlreadyResolved: for one that was dismissed.
    :raises Invalid: if a fix makes it no event.
    """
    assert set(fixes or ()) <= set(FIXABLE)
    fixes = properties.read(properties.canonical(fixes or {}))  # numbers as events have them
    rows = _locked(ids)
    for row in rows:
        if row.status == QuarantineStatus.DISMISSED:
            raise AlreadyResolved(f"{row} was dismissed, so it is not counted any more.")
        if row.code == QuarantineCode.CONFLICT:
            raise ConflictStays(
                f"{row} can't be counted: another event with this source and id counts already. "
                "Dismiss it, or let the sender use a new id."
            )
    open_rows = [row for row in rows if row.status == QuarantineStatus.OPEN]
    before = [audit.state(row) for row in open_rows]
    resolution = f"Fixed: {properties.canonical(fixes)}" if fixes else "Tried again."
    _try_again(open_rows, fixes, resolution=resolution, at=at, actor=actor)
    _keep(open_rows, before, actor=actor)
    return rows


def _try_again(
    rows: Sequence[QuarantinedEvent],
    fixes: Mapping[str, Any],
    *,
    resolution: str,
    at: datetime,
    actor: Actor,
) -> None:
    """Store what can be counted as fixed, and set the rows to what became of them."""
    events = [_fixed(row, fixes) for row in rows]
    surroundings = Surroundings(events)
    reserved = iter(reserve_ids(len(events)))
    counted = []
    for row, event in zip(rows, events, strict=True):
        time = event.time or row.received_at
        verdict = surroundings.check(event, time, at)
        if verdict.code:
            row.code, row.detail = verdict.code, verdict.detail
            continue
        if event.payload_hash != bytes(row.payload_hash):
            replace_payload(event.key, event.payload_hash)
        counted.append((next(reserved), event, verdict, time))
        row.status, row.resolution = QuarantineStatus.REPLAYED, resolution
        row.resolved_by, row.resolved_at = actor.name, at
    store_replayed(counted, received_at=at, memory=surroundings.memory)


@transaction.atomic
def dismiss(
    *, ids: Iterable[int], reason: str, at: datetime, actor: Actor
) -> list[QuarantinedEvent]:
    """Decide that quarantined events are never counted, and say why.

    :raises AlreadyResolved: if one was dismissed or replayed before; then none is.
    :raises Invalid: without a reason.
    """
    if not reason.strip():
        raise Invalid([Fault(("reason",), "required", "Say why it is dismissed.")])
    rows = _locked(ids)
    before = [audit.state(row) for row in rows]
    for row in rows:
        if row.status != QuarantineStatus.OPEN:
            raise AlreadyResolved(f"{row} was {row.get_status_display().lower()} before.")
        row.status, row.resolution = QuarantineStatus.DISMISSED, reason.strip()
        row.resolved_by, row.resolved_at = actor.name, at
    _keep(rows, before, actor=actor, note=reason.strip())
    return rows


def _locked(ids: Iterable[int]) -> list[QuarantinedEvent]:
    rows = QuarantinedEvent.objects.filter(pk__in=list(ids)).select_for_update()
    return list(rows.order_by("key", "pk"))


def _keep(
    rows: Sequence[QuarantinedEvent],
    before: Sequence[Mapping[str, Any]],
    *,
    actor: Actor,
    note: str = "",
) -> None:
    """Save rows with an entry in the trail for each that changed."""
    changed, entries = [], []
    for row, former in zip(rows, before, strict=True):
        if changes := audit.changes(former, audit.state(row)):
            changed.append(row)
            action = _DONE[QuarantineStatus(row.status)]
            entries.append(
                audit.entry(actor=actor, action=action, subject=row, changes=changes, note=note)
            )
    QuarantinedEvent.objects.bulk_update(changed, _CHANGED, batch_size=100)
    AuditEntry.objects.bulk_create(entries)


_CHANGED = ("code", "detail", "status", "resolution", "resolved_by", "resolved_at")
_DONE = {
    QuarantineStatus.OPEN: "tried again",
    QuarantineStatus.REPLAYED: "replayed",
    QuarantineStatus.DISMISSED: "dismissed",
}


def _fixed(row: QuarantinedEvent, fixes: Mapping[str, Any]) -> Event:
    try:
        return read_event({**properties.read(row.raw), **fixes})
    except NotAnEvent as refusal:
        name = refusal.code.removeprefix("bad_")
        path = (name,) if name in fixes else ()
        raise Invalid([Fault(path, refusal.code, str(refusal))]) from refusal
