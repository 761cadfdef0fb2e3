"""The way to a move: from a version's page or the list of subscriptions to its preview."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from billing import tasks
from billing.admin import words
from billing.models import MoveWhen, PlanMove
from billing.services import moving
from catalog.admin.examples import every
from catalog.models import PlanVersion, VersionStatus
from config.base.admin.audited import AuditedAdmin, Panel
from config.base.admin.complaints import REFUSED, complaints
from config.base.admin.theme import select
from config.base.audit import Actor
from customers.models import Subscription

START = "billing.add_planmove"


class VersionChoice(forms.ModelChoiceField[PlanVersion]):
    def label_from_instance(self, version: Any) -> str:
        return f"{version} · {version.currency} · {every(version)}"


class StartForm(forms.Form):
    """Where to and when; the subscriptions are those of a version, or were chosen in the list."""

    to_version = VersionChoice(PlanVersion.objects.none(), widget=select(), label="New version")
    when = forms.ChoiceField(
        choices=MoveWhen.choices, required=False, widget=select(), label="When"
    )

    def __init__(self, data: Any, *, from_version: PlanVersion | None) -> None:
        super().__init__(data)
        offered = PlanVersion.objects.filter(status=VersionStatus.PUBLISHED)
        if from_version:
            offered = offered.filter(
                currency=from_version.currency, prices_include_tax=from_version.prices_include_tax
            ).exclude(pk=from_version.pk)
        field = self.fields["to_version"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = offered.select_related("plan").order_by("plan__name", "-number")


def moves_panel(request: HttpRequest, version: PlanVersion) -> Panel | None:
    """Lead from a version to moving the subscriptions on it, and to what was moved before."""
    if version.status == VersionStatus.DRAFT or not request.user.has_perm("billing.view_planmove"):
        return None
    moves = PlanMove.objects.filter(from_version=version).select_related("to_version__plan")
    count = moving.on_version(version, today=timezone.localdate()).count()
    start = f"{reverse('admin:billing_planmove_start')}?from={version.pk}"
    return Panel(
        "Move subscriptions",
        "admin/billing/moves_panel.html",
        {
            "count": words.counted(count, "subscription"),
            "start_url": start if count and request.user.has_perm(START) else "",
            "moves": [
                {
                    "name": f"Move {move.pk} {move}",
                    "url": words.page("billing_planmove", move.pk),
                    "status": move.get_status_display(),
                    "started": f"{words.moment(move.started_at)} by {move.started_by}",
                }
                for move in moves[:5]
            ],
        },
    )


class MovePages(AuditedAdmin[Subscription]):
    """Lets chosen subscriptions be moved to another version, from their list."""

    actions = ("move_subscriptions",)

    def has_move_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(START)

    @admin.action(description="Move to another version…", permissions=["move"])
    def move_subscriptions(
        self, request: HttpRequest, queryset: QuerySet[Subscription]
    ) -> HttpResponse:
        ids = queryset.order_by("pk").values_list("pk", flat=True)
        page = admin.site.get_model_admin(PlanMove)
        assert isinstance(page, StartPages)
        return page.ask(request, StartForm(None, from_version=None), ids=",".join(map(str, ids)))


class StartPages(AuditedAdmin[PlanMove]):
    """Asks where to and when, before there is a move."""

    def get_urls(self) -> list[URLPattern]:
        start = self.admin_site.admin_view(self.start)
        return [path("start/", start, name="billing_planmove_start"), *super().get_urls()]

    def start(self, request: HttpRequest) -> HttpResponse:
        """Ask where to and when; work out the preview once that is said."""
        if not request.user.has_perm(START):
            raise PermissionDenied
        given = request.POST if request.method == "POST" else request.GET
        version = _version(given.get("from", ""))
        ids = [int(pk) for pk in given.get("ids", "").split(",") if pk.isdecimal() and len(pk) < 19]
        if version is None and not ids:
            self.message_user(request, "Choose the subscriptions first.", messages.WARNING)
            return HttpResponseRedirect(self.url("changelist"))
        data = request.POST if request.method == "POST" else None
        form = StartForm(data, from_version=version)
        if form.is_valid():
            now = timezone.now()
            mine = (
                moving.on_version(version, today=now.date())
                if version
                else Subscription.objects.filter(pk__in=ids)
            )
            try:
                move = moving.start_move(
                    subscriptions=mine,
                    from_version=version,
                    to_version=form.cleaned_data["to_version"],
                    when=MoveWhen(form.cleaned_data["when"]),
                    at=now,
                    actor=Actor.user(request.user),
                )
            except REFUSED as refusal:
                for where, message in complaints(refusal):
                    name = str(where[0]) if where and where[0] in form.fields else None
                    form.add_error(name, message)
            else:
                nudge_part(move)
                return HttpResponseRedirect(self.url("change", move.pk))
        return self.ask(request, form, version=version, ids=",".join(map(str, ids)))

    def ask(
        self,
        request: HttpRequest,
        form: StartForm,
        *,
        version: PlanVersion | None = None,
        ids: str = "",
    ) -> HttpResponse:
        """Show the form; nothing is worked out or changed yet."""
        today = timezone.localdate()
        count = moving.on_version(version, today=today).count() if version else ids.count(",") + 1
        which = words.counted(count, "subscription")
        context = {
            **self.page_context(request, f"Move {which} to another version", None),
            "action_url": reverse("admin:billing_planmove_start"),
            "form": form,
            "hidden": [("from", version.pk)] if version else [("ids", ids)],
            "button": "Show the preview",
            "sentences": [
                f"All on {version}, those that are to change to it later included: these stay, with "
                "the reason."
                if version
                else "Those that you chose in the list.",
                "First comes a preview: each customer’s next invoice as it is and under the new "
                "version. Nothing changes before you confirm it.",
                *form.non_field_errors(),
            ],
            "back": reverse("admin:catalog_planversion_change", args=(version.pk,))
            if version
            else reverse("admin:customers_subscription_changelist"),
        }
        return TemplateResponse(request, "admin/metering/form.html", context)


def nudge_part(move: PlanMove) -> None:
    """Tell the workers; without any, do the first part here and leave the rest to the page."""
    if settings.CELERY_TASK_ALWAYS_EAGER:
        moving.take_step(move_id=move.pk, now=timezone.now())
    else:
        tasks.nudge_move(move.pk)


def _version(pk: str) -> PlanVersion | None:
    if not pk.isdecimal() or len(pk) > 18:
        return None
    found = PlanVersion.objects.exclude(status=VersionStatus.DRAFT).select_related("plan")
    return found.filter(pk=pk).first()
