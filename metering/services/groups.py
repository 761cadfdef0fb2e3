"""Working off many events in quarantine at once: all that wait for one reason, a part at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from config.base.audit import Actor
from config.base.errors import Invalid, Refusal
from metering.models import QuarantinedEvent, QuarantineStatus
from metering.services.quarantine import dismiss, replay

AT_ONCE = 500
"""How many events one call works off, so that none takes longer than a page may."""


@dataclass
class Progress:
    """How far the work is: `after` is the last row that was looked at, None once all were.

    `refused` counts the sentences that say why events still can't be counted.
    """

    done: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    after: int | None = None


def replay_group(
    *,
    code: str,
    about: str,
    fixes: Mapping[str, Any],
    at: datetime,
    actor: Actor,
    after: int = 0,
) -> Progress:
    """Try the next 500 events of a group again, with the same fixes for each.

    Each part is a transaction of its own; where one event refuses, its part is tried one by one.
    """

    def work(ids: list[int]) -> list[QuarantinedEvent]:
        return replay(ids=ids, fixes=fixes, at=at, actor=actor)

    return _next_part(code, about, after, work, QuarantineStatus.REPLAYED)


def dismiss_group(
    *, code: str, about: str, reason: str, at: datetime, actor: Actor, after: int = 0
) -> Progress:
    """Dismiss the next 500 events of a group, all for the same reason.

    :raises Invalid: without a reason.
    """

    def work(ids: list[int]) -> list[QuarantinedEvent]:
        return dismiss(ids=ids, reason=reason, at=at, actor=actor)

    return _next_part(code, about, after, work, QuarantineStatus.DISMISSED)


def _next_part(
    code: str,
    about: str,
    after: int,
    work: Callable[[list[int]], list[QuarantinedEvent]],
    wanted: QuarantineStatus,
) -> Progress:
    rows = QuarantinedEvent.objects.waiting().about(code, about).filter(pk__gt=after)
    ids = list(rows.order_by("pk").values_list("pk", flat=True)[:AT_ONCE])
    progress = Progress(after=ids[-1] if len(ids) == AT_ONCE else None)
    try:
        _note(progress, work(ids), wanted)
    except (Refusal, Invalid) as refusal:
        if len(ids) < 2:
            progress.refused[str(refusal)] += len(ids)
        else:
            _one_by_one(progress, ids, work, wanted)
    return progress


def _one_by_one(
    progress: Progress,
    ids: list[int],
    work: Callable[[list[int]], list[QuarantinedEvent]],
    wanted: QuarantineStatus,
) -> None:
    for pk in ids:
        try:
            _note(progress, work([pk]), wanted)
        except (Refusal, Invalid) as refusal:
            progress.refused[str(refusal)] += 1


def _note(progress: Progress, rows: list[QuarantinedEvent], wanted: QuarantineStatus) -> None:
    for row in rows:
        if row.status == wanted:
            progress.done += 1
        else:
            progress.refused[row.detail] += 1
