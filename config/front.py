"""The address itself, and what is nowhere: each reader is led to the door that is theirs."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import cache_control
from django.views.decorators.http import require_safe

from config.base.api import problems
from config.docs import PAGES, in_english
from customers.portal import frame


@require_safe
@cache_control(public=True, max_age=300)
def front(request: HttpRequest) -> HttpResponse:
    """Lead customers to the portal, staff to the admin, integrators to the API."""
    return in_english(render(request, "front/front.html"))


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Be `handler404`: a problem under /api/, the portal's page there, a way on elsewhere."""
    if request.path.startswith(problems.API_PREFIX):
        return problems.page_not_found(request, exception)
    if request.path.startswith(frame.PATH):
        return frame.missing(request, frame.visitor_of(request))
    pages = PAGES if request.path.startswith("/docs/") else ()
    return in_english(render(request, "front/missing.html", {"pages": pages}, status=404))
