"""The handbook under /docs/: one page for each kind of reader, public, the same for everybody.

A page is a template with its article alone: an opening, then sections. The contents list between
them is read off the sections' headings, so it can't name what is not there.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import path
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

_HEADING = re.compile(r'<h2 id="([a-z0-9-]+)">(.+?)</h2>', re.DOTALL)


class Page(NamedTuple):
    """A page of the handbook: its place under /docs/, and what its readers come for."""

    slug: str
    title: str
    summary: str
    tasks: tuple[tuple[str, str], ...]
    """Anchors on the page, with what the reader wants to do there."""


PAGES = (
    Page(
        "finance",
        "Finance",
        "Set up what you sell, watch usage, close a month, issue invoices, answer questions.",
        (
            ("close", "Close a month"),
            ("issue", "Review and issue"),
            ("example", "Allowances and tiers, worked by hand"),
            ("correct", "Correct something"),
            ("payments", "Record payments, and see what is owed"),
        ),
    ),
    Page(
        "customers",
        "Customers",
        "See what you used, understand a line, check it with a pocket calculator.",
        (
            ("sign-in", "Sign in"),
            ("usage", "See what you have used"),
            ("line", "Understand a line"),
            ("check", "Check it with a pocket calculator"),
            ("ask", "Whom to ask"),
        ),
    ),
    Page(
        "integrators",
        "Integrators",
        "Send your first event, read usage and invoices, with commands you can paste.",
        (
            ("first-event", "Send your first event"),
            ("outcomes", "What becomes of an event"),
            ("usage", "Read what was used"),
            ("errors", "Errors"),
        ),
    ),
    Page(
        "operators",
        "Operators",
        "Install it, run it on PostgreSQL, back it up, restore it, upgrade it, watch it.",
        (
            ("production", "Run it in production"),
            ("backup", "Back it up"),
            ("restore", "Restore it"),
            ("troubles", "When something waits for you"),
        ),
    ),
)


@require_safe
@cache_control(public=True, max_age=300)
def index(request: HttpRequest) -> HttpResponse:
    """Lead each reader to their page."""
    return in_english(render(request, "docs/index.html", {"pages": PAGES}))


@require_safe
@cache_control(public=True, max_age=300)
def page(request: HttpRequest, slug: str) -> HttpResponse:
    """Show a page with its contents list, and which page comes next."""
    place = next((n for n, one in enumerate(PAGES) if one.slug == slug), None)
    if place is None:
        raise Http404
    article = render_to_string(f"docs/{slug}.html")
    first_section = article.index("<h2")
    context = {
        "pages": PAGES,
        "page": PAGES[place],
        "opening": article[:first_section],
        "contents": _HEADING.findall(article),
        "sections": article[first_section:],
        "next": PAGES[(place + 1) % len(PAGES)],
    }
    return in_english(render(request, "docs/page.html", context))


def in_english(response: HttpResponse) -> HttpResponse:
    """Say the language that the handbook is in, whatever the reader's browser prefers."""
    response.headers["Content-Language"] = "en"
    return response


urlpatterns = [
    path("", index, name="docs_index"),
    path("<slug:slug>/", page, name="docs_page"),
]
