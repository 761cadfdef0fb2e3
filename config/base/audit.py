"""The audit trail: one entry per change, written in the transaction of the change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Context, Decimal
from typing import Any, NamedTuple

from django.db import models

from config.base.models import ActorKind, ApiKey, AuditEntry
from config.base.rows import insert_rows


class Actor(NamedTuple):
    """Who acts: a person, an API key, or Plainbill itself."""

    kind: ActorKind
    name: str

    @classmethod
    def user(cls, user: Any) -> Actor:
        return cls(ActorKind.USER, user.get_username())

    @classmethod
    def key(cls, key: ApiKey) -> Actor:
        return cls(ActorKind.API_KEY, key.name)


_WIDE = Context(prec=100)  # wider than any column, so that no digit is rounded off

SYSTEM = Actor(ActorKind.SYSTEM, "plainbill")


def state(instance: models.Model, *, without: Iterable[str] = ()) -> dict[str, Any]:
    """Return an instance's columns as JSON values, to compare before and after a change."""
    hidden = {"id", "secret_hash", "password", *without}
    return {
        field.name: _plain(field.value_from_object(instance))
        for field in instance._meta.concrete_fields
        if field.name not in hidden
    }


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return {field: [before, after]} for what differs; an absent side is None."""
    return {
        name: [before.get(name), after.get(name)]
        for name in [*before, *(name for name in after if name not in before)]
        if before.get(name) != after.get(name)
    }


def record(
    *,
    actor: Actor,
    action: str,
    subject: models.Model,
    changes: Mapping[str, Any] | None = None,
    note: str = "",
) -> AuditEntry:
    """Write that `actor` did `action` to `subject`; call it inside the change's transaction."""
    written = entry(actor=actor, action=action, subject=subject, changes=changes, note=note)
    written.save(force_insert=True)
    return written


def record_all(*, actor: Actor, action: str, subjects: Iterable[models.Model]) -> None:
    """Write that `actor` did `action` to each of these; call it inside the change's transaction."""
    entries = (entry(actor=actor, action=action, subject=subject) for subject in subjects)
    insert_rows(entries, keyed=False)


def entry(
    *,
    actor: Actor,
    action: str,
    subject: models.Model,
    changes: Mapping[str, Any] | None = None,
    note: str = "",
) -> AuditEntry:
    """Return what `record` writes, unsaved, for a change of many rows at once."""
    return AuditEntry(
        actor_kind=actor.kind,
        actor_name=actor.name,
        action=action,
        subject_type=subject._meta.label_lower,
        subject_id=subject.pk,
        subject_name=str(subject)[:255],
        changes=dict(changes or {}),
        note=note,
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value.normalize(_WIDE):f}"
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, memoryview | bytes):
        return None
    return value
