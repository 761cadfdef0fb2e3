"""The admin's first page: what needs a person today, what comes next, and this month in figures.

Each app appends what it knows in AppConfig.ready; this page knows none of it. What a person may
not see is not asked for. The number of queries depends on no number of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from config.base.admin.audited import Panel
from config.base.admin.trail import subject_kind, subject_url
from config.base.models import AuditEntry

WAITING_AT_MOST = 100
"""Up to where what waits is counted for the sidebar."""


class Step(NamedTuple):
    """Something to do before the first invoice; `rank` orders the steps of all apps."""

    rank: int
    title: str
    text: str
    url: str
    done: bool
    permission: str


class Need(NamedTuple):
    """Something that waits for a person: a sentence with its number, and the list of those rows.

    `rank` says how urgent it is: below 20 something is broken or late, below 50 somebody is to
    decide, and the rest is good to know. `step` is what to do about all of it, and where.
    """

    rank: int
    sentence: str
    url: str
    step: tuple[str, str] | None = None

    @property
    def tone(self) -> str:
        return "bad" if self.rank < 20 else "open" if self.rank < 50 else "quiet"


class Coming(NamedTuple):
    """Something that will happen by itself."""

    at: datetime
    sentence: str
    url: str


class Figure(NamedTuple):
    """A number worth a look, with the list behind it."""

    rank: int
    label: str
    value: str
    url: str
    note: str = ""


Viewer = Any
"""Who looks: Django's User; a maker asks `has_perm` before it asks the database."""

STEPS: list[Callable[[], list[Step]]] = []
NEEDS: list[Callable[[Viewer, datetime], Iterable[Need]]] = []
COMING: list[Callable[[Viewer, datetime], Iterable[Coming]]] = []
FIGURES: list[Callable[[Viewer, datetime], Iterable[Figure]]] = []
PANELS: list[Callable[[Viewer, datetime], Iterable[Panel]]] = []
WAITING: dict[str, Callable[[], int]] = {}
"""What waits at a place of the sidebar, by model; counted by `waiting`."""


def said(count: int, one: str, many: str) -> str:
    """Write "1 draft waits" or "1,200 drafts wait"."""
    return f"{count:,} {one if count == 1 else many}"


def waiting(rows: QuerySet[Any]) -> int:
    """Count rows for the sidebar, which every page shows: at most WAITING_AT_MOST of them."""
    return rows.order_by()[:WAITING_AT_MOST].count()


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add to the first page's context what this person may see."""
    user, now = request.user, timezone.now()
    steps = sorted(step for make in STEPS for step in make() if user.has_perm(step.permission))
    open_steps = [step for step in steps if not step.done]
    return {
        **context,
        "title": "Home",
        "is_known": bool(user.get_all_permissions()),
        "steps": steps if open_steps else [],
        "next_step": open_steps[0] if open_steps else None,
        "steps_done": len(steps) - len(open_steps),
        "needs": sorted(need for make in NEEDS for need in make(user, now)),
        "coming": sorted(one for make in COMING for one in make(user, now)),
        "figures": sorted(figure for make in FIGURES for figure in make(user, now)),
        "panels": [panel for make in PANELS for panel in make(user, now)],
        "entries": _latest_entries() if user.has_perm("base.view_auditentry") else [],
    }


def _latest_entries() -> list[tuple[AuditEntry, str, str | None]]:
    return [
        (entry, subject_kind(entry.subject_type), subject_url(entry))
        for entry in AuditEntry.objects.order_by("-id")[:8]
    ]
