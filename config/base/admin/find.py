"""The admin's search: one box for customers, invoices and whatever else has a name or number.

Each app appends its finders in AppConfig.ready. A finder is asked only for whom it may answer,
makes a constant number of queries and returns a few rows; what it finds exactly comes first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

SHOWN = 6
LONGEST = 200


class Hit(NamedTuple):
    """Something found: its name, what tells it apart, its page, and whether it was meant exactly."""

    name: str
    detail: str
    url: str
    is_exact: bool = False


class Finder(NamedTuple):
    """How one kind of thing is found, by whom, and the list that shows all of them."""

    title: str
    permission: str
    find: Callable[[str], Sequence[Hit]]
    model: str = ""


class Group(NamedTuple):
    """The first hits of a kind; `all_url` where there are more."""

    title: str
    hits: Sequence[Hit]
    all_url: str


FINDERS: list[Finder] = []


def find(request: HttpRequest) -> HttpResponse:
    """Show what a text finds, grouped by kind; go straight to the one thing that it names exactly.

    With `part`, only the list is shown, for the box that opens over any page.
    """
    query = " ".join(request.GET.get("q", "").replace("\0", "").split())[:LONGEST]
    groups = found(request.user, query) if query else []
    exact = [hit for group in groups for hit in group.hits if hit.is_exact]
    is_part = "part" in request.GET
    if len(exact) == 1 and not is_part:
        return HttpResponseRedirect(exact[0].url)
    context = {"query": query, "groups": groups}
    if is_part:
        return TemplateResponse(request, "admin/found.html", context)
    page = {**admin.site.each_context(request), "title": "Search", **context}
    return TemplateResponse(request, "admin/find.html", page)


def found(user: Any, query: str) -> list[Group]:
    """Return what this person may see of what a text finds, kinds with an exact hit first."""
    groups = []
    for finder in FINDERS:
        if not user.has_perm(finder.permission):
            continue
        hits = sorted(finder.find(query), key=lambda hit: not hit.is_exact)
        if hits:
            more = len(hits) > SHOWN and finder.model
            groups.append(Group(finder.title, hits[:SHOWN], _list(finder, query) if more else ""))
    return sorted(groups, key=lambda group: not group.hits[0].is_exact)


def any_contains(query: str, *fields: str) -> Q:
    """Keep rows of which a field holds the text, whatever its case."""
    condition = Q()
    for field in fields:
        condition |= Q(**{f"{field}__icontains": query})
    return condition


def first(rows: QuerySet[Any]) -> list[Any]:
    """Return a row more than is shown, so that it is known whether there are more."""
    return list(rows[: SHOWN + 1])


def as_uuid(query: str) -> UUID | None:
    """Return the UUID that a text is, or None."""
    if len(query) not in (32, 36):
        return None
    try:
        return UUID(query)
    except ValueError:
        return None


def _list(finder: Finder, query: str) -> str:
    listed = reverse(f"admin:{finder.model.replace('.', '_')}_changelist")
    return f"{listed}?{urlencode({'q': query})}"
