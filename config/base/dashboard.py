"""The admin's first page: what to do next on a new installation, and what there is.

Each app appends its steps and figures in AppConfig.ready; this page knows none of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from django.http import HttpRequest

from config.base.admin.trail import subject_kind, subject_url
from config.base.models import AuditEntry


class Step(NamedTuple):
    """Something to do before the first invoice; `rank` orders the steps of all apps."""

    rank: int
    title: str
    text: str
    url: str
    done: bool
    permission: str


class Figure(NamedTuple):
    """A number worth a look, with the list behind it."""

    rank: int
    label: str
    value: int
    url: str
    permission: str


STEPS: list[Callable[[], list[Step]]] = []
FIGURES: list[Callable[[], list[Figure]]] = []


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add to the first page's context what this person may see."""
    user = request.user
    steps = sorted(step for make in STEPS for step in make() if user.has_perm(step.permission))
    figures = sorted(
        figure for make in FIGURES for figure in make() if user.has_perm(figure.permission)
    )
    entries = []
    if user.has_perm("base.view_auditentry"):
        entries = [
            (entry, subject_kind(entry.subject_type), subject_url(entry))
            for entry in AuditEntry.objects.order_by("-id")[:8]
        ]
    open_steps = [step for step in steps if not step.done]
    return {
        **context,
        "title": "Plainbill",
        "steps": steps if open_steps else [],
        "next_step": open_steps[0] if open_steps else None,
        "steps_done": len(steps) - len(open_steps),
        "figures": figures,
        "entries": entries,
    }
