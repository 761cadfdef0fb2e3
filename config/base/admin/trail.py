"""The audit trail as finance reads it: who did what to what, and each field before and after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from django.apps import apps
from django.urls import NoReverseMatch, reverse

from config.base.models import AuditEntry


class ChangeRow(NamedTuple):
    """A field of an entry, in words."""

    field: str
    before: str
    after: str


def entry_rows(entry: AuditEntry) -> list[ChangeRow]:
    """Return a row per value that an entry changed, nested values taken apart."""
    rows: list[ChangeRow] = []
    for name, pair in entry.changes.items():
        before, after = pair if isinstance(pair, list) and len(pair) == 2 else (None, pair)
        rows += _rows(_words(name), before, after)
    return rows


def subject_kind(subject_type: str) -> str:
    """Return what kind of thing an entry is about: "plan version"."""
    try:
        return str(apps.get_model(subject_type)._meta.verbose_name)
    except (LookupError, ValueError):
        return subject_type


def subject_url(entry: AuditEntry) -> str | None:
    """Return the admin's address of what an entry is about, if it has a page."""
    app, _, model = entry.subject_type.partition(".")
    try:
        return reverse(f"admin:{app}_{model}_change", args=(entry.subject_id,))
    except NoReverseMatch:
        return None


def _rows(field: str, before: Any, after: Any) -> Iterator[ChangeRow]:
    """Take dicts and lists of dicts apart down to the values that differ."""
    left, right = _parts(before), _parts(after)
    if left is None and right is None:
        said = ChangeRow(field, _value(before), _value(after))
        if said.before != said.after:
            yield said
        return
    left, right = left or {}, right or {}
    for name in [*left, *(name for name in right if name not in left)]:
        one, other = left.get(name), right.get(name)
        if one != other and (one or other):
            yield from _rows(f"{field} › {_words(name)}", one, other)


def _parts(value: Any) -> Mapping[str, Any] | None:
    """Return the named parts of a value, or None if it is a single one."""
    if isinstance(value, dict):
        return value
    if isinstance(value, list) and value and all(isinstance(part, dict) for part in value):
        return {str(number): part for number, part in enumerate(value, start=1)}
    return None


def _words(name: str) -> str:
    return name.replace("_", " ")


def _value(value: Any) -> str:
    match value:
        case None | "" | [] | {}:
            return "—"
        case True:
            return "yes"
        case False:
            return "no"
        case list():
            return ", ".join(str(part) for part in value)
        case _:
            return str(value)
