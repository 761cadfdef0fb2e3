"""Taking events in: each counts once for ever, and none is lost (R7, R8)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import chain
from typing import NamedTuple
from uuid import UUID

from django.db import connection, transaction

from metering.events import Event, NotAnEvent, in_columns, written
from metering.models import QuarantineCode, QuarantinedEvent, QuarantineStatus
from metering.services.alone import take_alone
from metering.services.checking import Surroundings
from metering.services.memory import Verdict
from metering.services.opening import open_batch
from metering.services.storage import (
    Known,
    Overtaken,
    known_keys,
    replace_payload,
    reserve_ids,
    store_new,
    store_replayed,
)

RESENT = "Sent again, and counted."
DISMISSED = (
    "An event with this source, id and content was dismissed, so it is not counted. "
    "Sent with other content, it is tried anew."
)

_ATTEMPTS = 20
"""So many times a batch is tried while others store the same events; then it is for its sender to."""

_CHANGED = (
    "payload_hash",
    "raw",
    "type",
    "subject",
    "received_at",
    "code",
    "detail",
    "status",
    "resolution",
    "resolved_at",
)


class Outcome(StrEnum):
    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    QUARANTINED = "quarantined"
    CONFLICT = "conflict"
    INVALID = "invalid"


@dataclass(frozen=True)
class Problem:
    """An event that was neither accepted nor a plain duplicate; `index` counts from 0.

    No plain duplicate is one whose time differs from the first's, or whose like was dismissed.
    """

    index: int
    id: str | None
    source: str | None
    outcome: Outcome
    code: str
    detail: str


@dataclass
class Report:
    """How many events met which outcome, and what was wrong with those that had a problem."""

    accepted: int = 0
    duplicates: int = 0
    quarantined: int = 0
    conflicts: int = 0
    invalid: int = 0
    problems: list[Problem] = field(default_factory=list)


_Arrival = tuple[int, Event, datetime]
"""The place of an event in the batch, the event, and when it counts."""


class _Held(NamedTuple):
    """What quarantine holds under some keys: what waits, None where that is only what was
    dismissed and nothing counts; and the payloads that were dismissed."""

    waiting: dict[bytes, QuarantinedEvent | None]
    dismissed: set[tuple[bytes, bytes]]


def ingest(items: Sequence[Event | NotAnEvent], *, received_at: datetime) -> Report:
    """Store events in one transaction and report what became of each, in a constant number of queries.

    An event without a time counts at `received_at`. Of equal keys in the batch the first stands.
    When this returns, and no transaction surrounds it, what it took is durable. A batch can be
    sent again whole, in any order, beside others: what is stored comes back as duplicates.
    """
    only = items[0] if len(items) == 1 else None
    if isinstance(only, Event) and (taken := take_alone(only, received_at=received_at)):
        if taken.is_new:
            return Report(accepted=1)
        report = Report()
        _duplicate_noted(report, (0, only, received_at), taken.time)
        return report
    remember = not connection.in_atomic_block
    attempts = _ATTEMPTS
    while True:
        attempts -= 1
        try:
            with transaction.atomic():
                return _take(items, received_at, remember=remember)
        except Overtaken:  # who was faster has committed, so the next attempt knows more
            if not attempts:
                raise


def _take(items: Sequence[Event | NotAnEvent], received_at: datetime, *, remember: bool) -> Report:
    report = Report()
    first: dict[bytes, _Arrival] = {}
    repeated: list[_Arrival] = []
    for index, item in enumerate(items):
        if isinstance(item, NotAnEvent):
            report.invalid += 1
            report.problems.append(
                Problem(index, item.id, item.source, Outcome.INVALID, item.code, str(item))
            )
            continue
        arrival = index, item, item.time or received_at
        if first.setdefault(item.key, arrival) is not arrival:
            repeated.append(arrival)
    if first:
        _take_events(first, repeated, report, received_at, remember=remember)
    report.problems.sort(key=lambda problem: problem.index)
    return report


def _take_events(
    first: dict[bytes, _Arrival],
    repeated: list[_Arrival],
    report: Report,
    at: datetime,
    *,
    remember: bool,
) -> None:
    events = [event for _, event, _ in chain(first.values(), repeated)]
    subjects = {event.subject for event in events if event.subject is not None}
    memory, known, first_id = open_batch(list(first), subjects, remember=remember)
    surroundings = Surroundings(events, memory=memory)
    fresh = [arrival for key, arrival in first.items() if key not in known]
    again = [first[key] for key in known]
    verdicts: Sequence[Verdict] = ()
    if fresh:
        _, new, times = zip(*fresh, strict=True)
        columns = in_columns(new)
        verdicts = surroundings.check_all(columns, times, at)
    if repeated:
        known |= {
            event.key: Known(event.payload_hash, None if verdict.code else time)
            for (_, event, time), verdict in zip(fresh, verdicts, strict=True)
        }
    again = _without_duplicates(again + repeated, known, report)
    if fresh:
        refused = _refused(fresh, verdicts, report, at)
        ids = range(first_id, first_id + len(fresh))
        commit = remember and not again and not refused  # then nothing is left to be done
        store_new(ids, columns, verdicts, times, received_at=at, memory=memory, commit=commit)
        report.accepted += len(fresh) - len(refused)
        QuarantinedEvent.objects.bulk_create(refused, batch_size=1000)
    if again:
        held = _held({event.key for _, event, _ in again})
        retried, repeats = _split(again, held, report)
        _try_again(retried, held, surroundings, report, at)
        _take_repeats(repeats, held, report, at)


def _refused(
    arrivals: Sequence[_Arrival], verdicts: Sequence[Verdict], report: Report, at: datetime
) -> list[QuarantinedEvent]:
    """Return what can't be counted, for quarantine."""
    refused = []
    for arrival, verdict in zip(arrivals, verdicts, strict=True):
        if verdict.code:
            _, event, _ = arrival
            refused.append(_quarantined(event, verdict.code, verdict.detail, at))
            _quarantine_noted(report, arrival, verdict)
    return refused


def _without_duplicates(
    arrivals: list[_Arrival], known: dict[bytes, Known], report: Report
) -> list[_Arrival]:
    """Leave out what came again as it was counted, which is nearly all that comes again."""
    rest = []
    for arrival in arrivals:
        _, event, _ = arrival
        first = known[event.key]
        if first.time and first.payload_hash == event.payload_hash:
            _duplicate_noted(report, arrival, first.time)
        else:
            rest.append(arrival)
    return rest


def _held(keys: Iterable[bytes]) -> _Held:
    """Return what quarantine holds under these keys, locked in the order of the keys."""
    wanted = sorted(keys)
    held = _Held({}, set())
    for row in _locked(wanted, QuarantineStatus.OPEN, QuarantineStatus.DISMISSED):
        if row.status == QuarantineStatus.OPEN:
            held.waiting[row.key.bytes] = row
        else:
            held.dismissed.add((row.key.bytes, bytes(row.payload_hash)))
    # While these were waited for, somebody may have sent what takes the dismissed one's place.
    vacant = sorted({key for key, _ in held.dismissed}.difference(held.waiting))
    held.waiting.update({key: None for key, known in known_keys(vacant).items() if not known.time})
    held.waiting.update({row.key.bytes: row for row in _locked(vacant, QuarantineStatus.OPEN)})
    return held


def _locked(keys: Sequence[bytes], *statuses: QuarantineStatus) -> Iterator[QuarantinedEvent]:
    for start in range(0, len(keys), 500):
        yield from (
            QuarantinedEvent.objects.filter(
                key__in=[UUID(bytes=key) for key in keys[start : start + 500]], status__in=statuses
            )
            .exclude(code=QuarantineCode.CONFLICT)
            .select_for_update()
            .order_by("key", "pk")
        )


def _split(
    again: list[_Arrival], held: _Held, report: Report
) -> tuple[list[_Arrival], list[_Arrival]]:
    """Part what takes the place of an event in quarantine, the last of each key, from mere repeats."""
    retried: dict[bytes, _Arrival] = {}
    repeats = []
    for arrival in again:
        _, event, _ = arrival
        key = event.key
        if key not in held.waiting or (key, event.payload_hash) in held.dismissed:
            repeats.append(arrival)
        else:
            report.duplicates += key in retried  # superseded within the batch
            retried[key] = arrival
    return list(retried.values()), repeats


def _try_again(
    arrivals: Iterable[_Arrival],
    held: _Held,
    surroundings: Surroundings,
    report: Report,
    at: datetime,
) -> None:
    """Let what was sent now replace its like in quarantine, and count what can be counted (R7).

    A dismissed event stays as it is, beside what takes its place.
    """
    arrivals = list(arrivals)
    ids = iter(reserve_ids(len(arrivals)))
    counted: list[tuple[int, Event, Verdict, datetime]] = []
    changed: list[QuarantinedEvent] = []
    made: list[QuarantinedEvent] = []
    for arrival in arrivals:
        _, event, _ = arrival
        row = held.waiting[event.key] or _quarantined(event, "", "", at)
        same = row.pk is not None and bytes(row.payload_hash) == event.payload_hash
        time = event.time or (row.received_at if same else at)
        verdict = surroundings.check(event, time, at)
        if not same:
            replace_payload(event.key, event.payload_hash)
        if verdict.code:
            _quarantine_noted(report, arrival, verdict)
            if same and (row.code, row.detail) == (verdict.code, verdict.detail):
                continue
            row.code, row.detail = verdict.code, verdict.detail
        else:
            report.accepted += 1
            counted.append((next(ids), event, verdict, time))
            row.status, row.resolution, row.resolved_at = QuarantineStatus.REPLAYED, RESENT, at
        if not same:
            row.received_at = at
        row.payload_hash, row.raw = event.payload_hash, written(event)
        row.type, row.subject = event.type, event.subject or ""
        if row.pk is not None:
            changed.append(row)
        elif verdict.code:
            made.append(row)
    store_replayed(counted, received_at=at, memory=surroundings.memory)
    QuarantinedEvent.objects.bulk_update(changed, _CHANGED, batch_size=100)
    QuarantinedEvent.objects.bulk_create(made, batch_size=1000)


def _take_repeats(arrivals: Iterable[_Arrival], held: _Held, report: Report, at: datetime) -> None:
    """Tell duplicates from conflicts, and keep each conflict once per payload (R7)."""
    arrivals = list(arrivals)
    if not arrivals:
        return
    known = known_keys({event.key for _, event, _ in arrivals})
    as_sent = _payloads_before_repair(arrivals)
    conflicts = []
    for arrival in arrivals:
        _, event, _ = arrival
        first = known[event.key]
        payload = (event.key, event.payload_hash)
        if payload in held.dismissed:
            report.duplicates += 1
            _note(report, arrival, Outcome.DUPLICATE, "dismissed", DISMISSED)
            continue
        if first.payload_hash == event.payload_hash or payload in as_sent:
            _duplicate_noted(report, arrival, first.time)
            continue
        detail = "An event with this source and id arrived before with other content."
        conflicts.append(_quarantined(event, QuarantineCode.CONFLICT, detail, at))
        report.conflicts += 1
        _note(report, arrival, Outcome.CONFLICT, QuarantineCode.CONFLICT.value, detail)
    conflicts.sort(key=lambda row: row.key)
    QuarantinedEvent.objects.bulk_create(conflicts, batch_size=1000, ignore_conflicts=True)


def _payloads_before_repair(arrivals: list[_Arrival]) -> set[tuple[bytes, bytes]]:
    """Return the payloads that were counted after a repair: sent again, they are duplicates."""
    keys = [UUID(bytes=event.key) for _, event, _ in arrivals]
    found = set()
    for start in range(0, len(keys), 500):
        rows = QuarantinedEvent.objects.filter(
            key__in=keys[start : start + 500], status=QuarantineStatus.REPLAYED
        )
        found |= {
            (key.bytes, bytes(hash_)) for key, hash_ in rows.values_list("key", "payload_hash")
        }
    return found


def _quarantined(event: Event, code: str, detail: str, at: datetime) -> QuarantinedEvent:
    return QuarantinedEvent(
        key=UUID(bytes=event.key),
        payload_hash=event.payload_hash,
        source=event.source,
        event_id=event.id,
        type=event.type,
        subject=event.subject or "",
        raw=written(event),
        code=code,
        detail=detail,
        received_at=at,
    )


def _duplicate_noted(report: Report, arrival: _Arrival, first: datetime | None) -> None:
    """Count a duplicate, and note it if it names another time than the first (R7)."""
    report.duplicates += 1
    _, event, _ = arrival
    named = event.time
    if first is not None and named is not None and named != first:
        detail = f"It arrived before with the time {first.isoformat()}, at which it counts."
        _note(report, arrival, Outcome.DUPLICATE, "other_time", detail)


def _quarantine_noted(report: Report, arrival: _Arrival, verdict: Verdict) -> None:
    report.quarantined += 1
    _note(report, arrival, Outcome.QUARANTINED, verdict.code, verdict.detail)


def _note(report: Report, arrival: _Arrival, outcome: Outcome, code: str, detail: str) -> None:
    place, event, _ = arrival
    report.problems.append(Problem(place, event.id, event.source, outcome, code, detail))
