"""From what a service or the database refuses to the sentences a form shows."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from django import forms
from django.apps import apps
from django.db import IntegrityError
from django.utils.text import capfirst

from config.base.errors import Invalid, Path, Refusal
from config.base.fields import InexactDecimal

REFUSED = (Refusal, Invalid, IntegrityError, InexactDecimal)
"""What an edit may run into; anything else is a bug and crashes."""

Complaint = tuple[Path, str]


def complaints(error: Exception) -> list[Complaint]:
    """Return each complaint with the path of its field, empty if it has none."""
    match error:
        case Invalid(faults=faults):
            return [(fault.path, fault.message) for fault in faults]
        case Refusal(path=path):
            return [(path, str(error))]
        case IntegrityError():
            return [((), database_refusal(error))]
        case _:
            return [((), f"{error}.")]


def database_refusal(error: IntegrityError) -> str:
    """Say which rule of the database was broken, in the words of its constraint or guard."""
    name = _constraint_name(error)
    if name is None:
        return "The database refused this: another row depends on it, or it contradicts one."
    for model in apps.get_models():
        for constraint in model._meta.constraints:
            if constraint.name == name and constraint.violation_error_message not in (
                None,
                constraint.default_violation_error_message,
            ):
                return str(constraint.violation_error_message)
    return f"The database refused this: {name.replace('_', ' ')}."


def refused_form(
    form_class: type[forms.ModelForm[Any]], found: list[Complaint], fields: Mapping[str, str]
) -> type[forms.ModelForm[Any]]:
    """Return the form with these complaints at their fields, so that it is shown again.

    `fields` names the form's field for a part of a path that is called otherwise there.
    """

    class RefusedForm(form_class):  # type: ignore[valid-type, misc]
        def full_clean(self) -> None:
            super().full_clean()
            if self.is_bound:
                complain(self, found, fields)

    return RefusedForm


def complain(
    form: forms.BaseForm, found: list[Complaint], fields: Mapping[str, str] | None = None
) -> None:
    """Say each complaint at its field of a form that was sent; `fields` as for `refused_form`."""
    for path, message in found:
        names = [(fields or {}).get(str(part), str(part)) for part in path]
        name = next((name for name in names if name in form.fields), None)
        form.add_error(name, capfirst(message))


def _constraint_name(error: IntegrityError) -> str | None:
    diagnosis = getattr(error.__cause__, "diag", None)
    if diagnosis is not None:  # PostgreSQL
        return diagnosis.constraint_name or None
    text = str(error).removeprefix("CHECK constraint failed: ")
    return text if re.fullmatch(r"[a-z][a-z0-9_]+", text) else None
