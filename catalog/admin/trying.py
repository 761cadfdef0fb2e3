"""Prices worked out before anybody pays them: beside the form of a draft, and below a version.

Both answer a part of their page to the script that asks as somebody types, and a page of their own
to a browser without it.
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from catalog.admin.drafting import PriceFormSet
from catalog.admin.live import (
    OWN,
    Problem,
    live_prices,
    month_of,
    question_words,
    read_own,
    typical_of,
    usual,
)
from catalog.drafts import drafts_of, version_errors
from catalog.models import PlanVersion
from catalog.money import plain
from catalog.quotes import questions_of, read_answers
from config.base.admin.audited import AuditedAdmin, Panel


class TryingPages(AuditedAdmin[PlanVersion]):
    """What the admin of versions offers to work prices out."""

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        name = "catalog_planversion"
        return [
            path("example/", wrap(self.example), name=f"{name}_example"),
            path("<int:pk>/example/", wrap(self.example), name=f"{name}_example_of"),
            path("<int:pk>/month/", wrap(self.month), name=f"{name}_month"),
            *super().get_urls(),
        ]

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: PlanVersion | None = None,
    ) -> Any:
        """Put the worked example beside a form that can be saved."""
        if add or self.has_change_permission(request, obj):
            name = "admin:catalog_planversion_example"
            context["example_url"] = reverse(f"{name}_of", args=(obj.pk,)) if obj else reverse(name)
        return super().render_change_form(request, context, add, change, form_url, obj)

    def example(self, request: HttpRequest, pk: int | None = None) -> HttpResponse:
        """Work out what the form says, unsaved, or say which field is in the way."""
        is_allowed = self.has_add_permission if pk is None else self.has_change_permission
        if not is_allowed(request):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        version = None if pk is None else self.visible_row(request, str(pk))
        if pk is not None and version is None:
            return self.missing(request, str(pk))
        if version and not self.has_change_permission(request, version):
            raise PermissionDenied
        form_class = self.get_form(request, version, change=version is not None)
        form = form_class(request.POST, instance=version or PlanVersion())
        form.is_valid()
        formsets, _ = self._create_formsets(  # type: ignore[attr-defined]
            request, form.instance, change=version is not None
        )
        [prices] = formsets
        assert isinstance(prices, PriceFormSet)
        prices.is_valid()
        own, own_problem = read_own(request.POST.get(OWN, ""))
        worked, month = live_prices(form.instance, prices, own)
        context = {
            "currency": form.instance.currency,
            "problems": _problems(form),
            "prices": worked,
            "month": month,
            "has_own": any(price.own for price in worked),
            "own_problem": own_problem,
        }
        return self._part(request, version, "What it would cost", "live", context)

    def month(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Work out a period of a version at the quantities in the address."""
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        version = self.visible_row(request, str(pk))
        if version is None:
            return self.missing(request, str(pk))
        values = month_values(version, request.GET)
        if values is None:
            return self.missing(request, str(pk))
        context = {**values, "values": values}
        return self._part(request, version, "What a period costs", "month", context)

    def _part(
        self,
        request: HttpRequest,
        version: PlanVersion | None,
        title: str,
        name: str,
        context: dict[str, Any],
    ) -> HttpResponse:
        """Answer a part to the script that asked for it, and to a person a page around it."""
        if request.headers.get("HX-Request"):
            return TemplateResponse(request, f"admin/catalog/{name}_worked.html", context)
        page = {**self.page_context(request, title, version), **context}
        return TemplateResponse(request, f"admin/catalog/{name}_page.html", page)


def month_panel(request: HttpRequest, version: PlanVersion) -> Panel | None:
    """Work out a month of a version that is no longer edited, for other quantities too."""
    if version.status == "draft" and request.user.has_perm("catalog.change_planversion"):
        return None
    values = month_values(version, {})
    if values is None:
        return None
    return Panel("What a period costs", "admin/catalog/month_panel.html", values)


def month_values(version: PlanVersion, said: Any) -> dict[str, Any] | None:
    """Return the questions about a version, and its month at the answers; None if it has faults."""
    loaded = PlanVersion.objects.with_prices().get(pk=version.pk)
    drafts = drafts_of(list(loaded.prices.all()))
    if not drafts or version_errors(drafts):
        return None
    typical = typical_of(drafts)
    asked = [one for draft in drafts for one in questions_of(draft, usual(draft, typical))]
    answers, faults = read_answers(asked, said)
    wrong = {fault.path[0]: fault.message for fault in faults}
    return {
        "questions": [
            {
                "name": one.name,
                "label": question_words(one),
                "value": said.get(one.name, plain(one.default)),
                "problem": wrong.get(one.name, ""),
            }
            for one in asked
        ],
        "month": None
        if faults
        else month_of(loaded, drafts, typical, answers if _differs(asked, said) else None),
        "month_url": reverse("admin:catalog_planversion_month", args=(version.pk,)),
    }


def _differs(asked: Any, said: Any) -> bool:
    """Say whether anybody chose quantities, rather than being shown what is usual."""
    return any(said.get(one.name, plain(one.default)) != plain(one.default) for one in asked)


def _problems(form: Any) -> list[Problem]:
    """Say what is wrong with the version's own terms; whose plan it is makes no difference."""
    return [
        Problem(str(form[name].label) if name in form.fields else "", str(message))
        for name, messages in form.errors.items()
        if name != "plan"
        for message in messages
    ]
