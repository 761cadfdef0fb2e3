"""Two events with the same source and id, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from metering import properties, services
from metering.admin.words import moment
from metering.models import QuarantineCode, QuarantinedEvent, UsageEvent


class Side(NamedTuple):
    """An attribute or property that one of two events has, as each says it."""

    name: str
    counts: str
    waits: str
    differs: bool


class Comparison(NamedTuple):
    """What counts, or waits itself, beside what came later under its key."""

    title: str
    event_id: int | None
    rows: list[Side]


def compared(row: QuarantinedEvent) -> Comparison:
    """Compare a conflict with the event that came first."""
    later = properties.read(row.raw)
    if event := UsageEvent.objects.under_key(row.key).select_related("customer").first():
        correction = services.effective_adjustments([event.key]).get(event.key)
        title = f"Counts, since {moment(event.received_at)}"
        if correction:
            title += f"; {correction.get_kind_display().lower()}"
        return Comparison(title, event.pk, list(_sides(_sent(event), later)))
    first = QuarantinedEvent.objects.filter(key=row.key).exclude(code=QuarantineCode.CONFLICT)
    if waiting := first.order_by("-pk").first():
        title = f"{waiting.get_status_display()}, arrived {moment(waiting.received_at)}"
        return Comparison(title, None, list(_sides(properties.read(waiting.raw), later)))
    return Comparison("Not stored any more", None, list(_sides({}, later)))


def _sent(event: UsageEvent) -> dict[str, Any]:
    said = {
        "type": event.type,
        "subject": event.customer.key,
        "subscription": event.subscription.key if event.subscription else None,
        "time": event.time.isoformat(),
        "data": event.data,
    }
    return {name: value for name, value in said.items() if value is not None}


def _sides(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[Side]:
    for name in ("type", "subject", "subscription", "time"):
        if name in one or name in other:
            yield _side(name, one, other)
    ours, theirs = _data(one), _data(other)
    for name in [*ours, *(name for name in theirs if name not in ours)]:
        yield _side(name, ours, theirs)


def _side(name: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> Side:
    left, right = _text(one.get(name)), _text(other.get(name))
    return Side(name, left, right, left != right)


def _data(event: Mapping[str, Any]) -> Mapping[str, Any]:
    data = event.get("data", {})
    return data if isinstance(data, dict) else {"data": data}


def _text(value: Any) -> str:
    if value is None:
        return "—"
    return value if isinstance(value, str) else properties.canonical(value)
