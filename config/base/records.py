"""Creating and changing rows with their entry in the audit trail; apps' services build on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from django.db import IntegrityError, models, transaction

from config.base import audit
from config.base.audit import Actor
from config.base.errors import KeyTaken

Row = TypeVar("Row", bound=models.Model)


@transaction.atomic
def create_keyed(row: Row, *, actor: Actor) -> Row:
    """Save a new row that has a `key` of the caller's own.

    :raises KeyTaken: if another row has its key, also when it got it just now.
    """
    model = type(row)
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError:
        key = row.key  # type: ignore[attr-defined]
        if model._default_manager.filter(key=key).exists():
            raise KeyTaken(
                f"The key “{key}” is taken by another {model._meta.verbose_name}."
            ) from None
        raise
    audit.record(
        actor=actor, action="created", subject=row, changes=audit.changes({}, audit.state(row))
    )
    return row


@transaction.atomic
def change(row: Row, *, fields: Mapping[str, Any], actor: Actor) -> dict[str, list[Any]]:
    """Set fields of a row and save it; return {field: [before, after]}, empty if nothing changed.

    The row should be locked.
    """
    before = audit.state(row)
    for name, value in fields.items():
        setattr(row, name, value)
    changes = audit.changes(before, audit.state(row))
    if changes:
        row.save()
        audit.record(actor=actor, action="changed", subject=row, changes=changes)
    return changes
