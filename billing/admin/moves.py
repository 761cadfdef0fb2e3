"""Moving many subscriptions to another version: asked, previewed customer by customer, then done."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import Count, F, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Abs, Coalesce
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from billing import tasks
from billing.admin import words
from billing.models import MoveStatus, MoveWhen, Outcome, PlanMove, PlanMoveRow
from billing.services import moving
from billing.services.moving import Summary
from catalog.admin.examples import every
from catalog.models import PlanVersion, VersionStatus
from catalog.money import exponent
from config.base.admin.audited import AuditedAdmin, Panel, ReadOnlyAdmin
from config.base.admin.complaints import REFUSED, complaints
from config.base.admin.theme import action, display, select
from config.base.audit import Actor
from config.base.csv import cell, download
from customers.models import Subscription

START = "billing.add_planmove"
CONFIRM = "billing.confirm_planmove"
SHOWN = 50
REFUSED_SHOWN = 20
KEPT = (Outcome.PREVIEWED, Outcome.MOVED)
SORTS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "largest": ("Largest difference first", (Abs("difference").desc(nulls_last=True), "pk")),
    "up": ("Dearest first", (F("difference").desc(nulls_last=True), "pk")),
    "down": ("Cheapest first", (F("difference").asc(nulls_last=True), "pk")),
    "customer": ("By customer", ("subscription__customer__name", "pk")),
}
CSV_HEAD = (
    "subscription",
    "customer",
    "customer_key",
    "outcome",
    "from_day",
    "currency",
    "net_now",
    "net_after",
    "difference",
    "note",
)


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
            offered = offered.filter(currency=from_version.currency).exclude(pk=from_version.pk)
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
        assert isinstance(page, PlanMoveAdmin)
        return page.ask(request, StartForm(None, from_version=None), ids=",".join(map(str, ids)))


@admin.register(PlanMove)
class PlanMoveAdmin(ReadOnlyAdmin[PlanMove]):
    list_display = ("name", "out_of", "into", "state", "progress", "moved", "started")
    list_filter = ("status",)
    list_select_related = ("from_version__plan", "to_version__plan")
    search_fields = ("to_version__plan__name", "from_version__plan__name", "started_by")
    search_help_text = "Search by plan or who started it"
    ordering = ("-pk",)
    actions_detail = ("move",)
    change_form_template = "admin/billing/move.html"
    empty_hint = (
        "A move puts many subscriptions under another version after a preview. Begin it on the "
        "page of the version that they are on."
    )

    class Media:
        js = ("admin/plainbill-run.js",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[PlanMove]:
        return (
            super()
            .get_queryset(request)
            .annotate(
                total=_count(),
                waiting=_count(Outcome.WAITING),
                movable=_count(Outcome.PREVIEWED),
                moved_count=_count(Outcome.MOVED),
            )
        )

    # The list

    @display(description="Move", ordering="pk")
    def name(self, move: PlanMove) -> str:
        return f"Move {move.pk}"

    @display(description="From")
    def out_of(self, move: PlanMove) -> str:
        return str(move.from_version or "Chosen subscriptions")

    @display(description="To")
    def into(self, move: PlanMove) -> str:
        return str(move.to_version)

    @display(description="State", ordering="status", label=words.TAGS)
    def state(self, move: PlanMove) -> str:
        return move.get_status_display()

    @display(description="Progress")
    def progress(self, move: Any) -> SafeString:
        done = percent(move, waiting=move.waiting, movable=move.movable, total=move.total)
        text = '<progress class="pb-progress" value="{}" max="100">{} %</progress>'
        return format_html(text, done, done)

    @display(description="Moved")
    def moved(self, move: Any) -> str:
        return f"{words.number(move.moved_count)} of {words.number(move.total)}"

    @display(description="Started by", ordering="started_by")
    def started(self, move: PlanMove) -> str:
        return move.started_by

    # Starting

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("start/", wrap(self.start), name="billing_planmove_start"),
            path("<int:pk>/progress/", wrap(self.watch), name="billing_planmove_progress"),
            path("<int:pk>/continue/", wrap(self.go_on), name="billing_planmove_continue"),
            path("<int:pk>/rows.csv", wrap(self.rows_csv), name="billing_planmove_csv"),
            *super().get_urls(),
        ]

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
                _nudge(move)
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

    # One move

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return ()

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: PlanMove | None = None,
    ) -> Any:
        assert obj is not None
        title = f"Move {obj.pk} to {obj.to_version}"
        context |= {
            "title": title,
            "content_title": title,
            **self._progress(request, obj),
            **_rows(request, obj),
            "csv_url": reverse("admin:billing_planmove_csv", args=(obj.pk,)),
        }
        return super().render_change_form(request, context, add, change, form_url, obj)

    def watch(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Answer the part of a move's page that changes while it is worked on."""
        move = self._move(request, pk)
        return render(request, "admin/billing/move_progress.html", self._progress(request, move))

    def go_on(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Do the next part, or nudge the workers to."""
        if not request.user.has_perm(START):
            raise PermissionDenied
        move = self._move(request, pk)
        if request.method == "POST":
            _nudge(move)
        return HttpResponseRedirect(self.url("change", pk))

    def rows_csv(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        """Answer every row of a move as a file, in the order of the subscriptions' making."""
        move = self._move(request, pk)
        rows = move.rows.select_related("subscription__customer").order_by("pk")
        places, currency = exponent(move.to_version.currency), move.to_version.currency

        def lines() -> Iterator[list[str]]:
            for row in rows.iterator(chunk_size=1000):
                figures = (row.before, row.after, row.difference)
                yield [
                    cell(row.subscription.key),
                    cell(row.subscription.customer.name),
                    cell(row.subscription.customer.key),
                    row.outcome,
                    f"{row.starts_on or ''}",
                    currency,
                    *("" if one is None else f"{one:.{places}f}" for one in figures),
                    cell(row.note),
                ]

        return download(f"move-{move.pk}.csv", chain([list(CSV_HEAD)], lines()))

    def has_move_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm(CONFIRM)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Offer the move once its preview is complete."""
        offered: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        previewed = PlanMove.objects.filter(pk=object_id, status=MoveStatus.PREVIEWED)
        is_any = previewed.filter(rows__outcome=Outcome.PREVIEWED).exists()
        return offered if is_any else []

    @action(description="Move them…", url_path="move", permissions=["move"], icon="move_down")
    def move(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Say once more what happens; do it when told to."""
        move = self.visible_row(request, object_id)
        if move is None:
            return self.missing(request, object_id)
        if request.method == "POST":

            def confirmed() -> None:
                found = moving.confirm_move(
                    move_id=move.pk, at=timezone.now(), actor=Actor.user(request.user)
                )
                transaction.on_commit(lambda: _nudge(found))

            return self.attempt(
                request,
                confirmed,
                done="They are being moved.",
                then=self.url("change", move.pk),
            )
        found = moving.summary(move)
        which = words.counted(found.movable, "subscription")
        return self.confirm(
            request,
            move,
            title=f"Move {which} to {move.to_version}?",
            sentences=_meaning(move, found),
            button=f"Move {which}",
        )

    def _move(self, request: HttpRequest, pk: int) -> PlanMove:
        move = self.visible_row(request, str(pk))
        if move is None:
            raise PermissionDenied
        return move

    def _progress(self, request: HttpRequest, move: PlanMove) -> dict[str, Any]:
        found = moving.summary(move)
        return {
            "move": {
                "percent": percent(
                    move, waiting=found.waiting, movable=found.movable, total=found.total
                ),
                "status": move.get_status_display(),
                "is_running": move.status in (MoveStatus.PREVIEWING, MoveStatus.MOVING),
                "is_finished": move.status == MoveStatus.FINISHED,
                "is_previewed": move.status == MoveStatus.PREVIEWED,
                "from": str(move.from_version or "chosen subscriptions"),
                "to": str(move.to_version),
                "when": move.get_when_display(),
                "looked_at": words.number(found.total - found.waiting),
                "total": words.counted(found.total, "subscription"),
                "movable": words.number(found.movable),
                "moved": words.number(found.moved),
                "refused": words.number(found.refused),
                "dearer": words.number(found.dearer),
                "cheaper": words.number(found.cheaper),
                "same": words.number(found.same),
                "before": _money(move, found.before),
                "after": _money(move, found.after),
                "difference": _signed(move, found.difference),
                "started": f"{words.moment(move.started_at)} by {move.started_by}",
                "confirmed": f"{words.moment(move.confirmed_at)} by {move.confirmed_by}"
                if move.confirmed_at
                else "",
                "finished": words.moment(move.finished_at),
                "usage_until": words.moment(move.started_at),
                "last_error": move.last_error,
            },
            "progress_url": reverse("admin:billing_planmove_progress", args=(move.pk,)),
            "continue_url": reverse("admin:billing_planmove_continue", args=(move.pk,))
            if request.user.has_perm(START)
            else "",
            "is_driven_here": settings.CELERY_TASK_ALWAYS_EAGER,
        }


def percent(move: PlanMove, *, waiting: int, movable: int, total: int) -> int:
    """Return how far a preview is or, once it is confirmed, the move."""
    if move.status in (MoveStatus.PREVIEWED, MoveStatus.FINISHED):
        return 100
    left = waiting if move.status == MoveStatus.PREVIEWING else movable
    return 100 * (total - left) // max(1, total)


def _count(*outcomes: Outcome) -> Any:
    """Count the rows of the outer move with one of these outcomes, or all."""
    mine = PlanMoveRow.objects.filter(move=OuterRef("pk"))
    if outcomes:
        mine = mine.filter(outcome__in=outcomes)
    counted = mine.order_by().values("move").annotate(count=Count("pk")).values("count")
    return Coalesce(Subquery(counted, output_field=IntegerField()), 0)


def _nudge(move: PlanMove) -> None:
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


def _meaning(move: PlanMove, found: Summary) -> list[str]:
    """Say what confirming a move does."""
    said = [
        f"{move.get_when_display()}.",
        f"Their next invoices come to {_money(move, found.after)} instead of "
        f"{_money(move, found.before)} before tax: {_signed(move, found.difference)}, with usage "
        f"until {words.moment(move.started_at)}.",
        "A subscription that changed since the preview stays as it is, and is listed.",
    ]
    if found.refused:
        said.append(
            f"{words.counted(found.refused, 'subscription')} of the preview can't be moved."
        )
    return said


def _rows(request: HttpRequest, move: PlanMove) -> dict[str, Any]:
    """Return a page of what is moved, sorted as asked, and what stays with its reason."""
    rows = move.rows.select_related("subscription__customer")
    sort = request.GET.get("sort", "")
    sort = sort if sort in SORTS else "largest"
    kept = Paginator(rows.filter(outcome__in=KEPT).order_by(*SORTS[sort][1]), SHOWN)
    refused = Paginator(rows.filter(outcome=Outcome.REFUSED).order_by("pk"), REFUSED_SHOWN)
    page = kept.get_page(request.GET.get("p"))
    stays = refused.get_page(request.GET.get("r"))
    return {
        "rows": [_row(move, row) for row in page],
        "page": page,
        "refused": [_row(move, row) for row in stays],
        "refused_page": stays,
        "refused_count": words.counted(refused.count, "subscription"),
        "sort": sort,
        "sorts": [(name, label, name == sort) for name, (label, _) in SORTS.items()],
    }


def _row(move: PlanMove, row: PlanMoveRow) -> dict[str, Any]:
    currency = move.to_version.currency
    return {
        "subscription": row.subscription.key,
        "url": words.page("customers_subscription", row.subscription_id),
        "customer": row.subscription.customer.name,
        "starts_on": words.day(row.starts_on),
        "before": "—" if row.before is None else words.amount(row.before, currency),
        "after": "—" if row.after is None else words.amount(row.after, currency),
        "difference": "—" if row.difference is None else _signed(move, row.difference),
        "is_moved": row.outcome == Outcome.MOVED,
        "note": row.note,
    }


def _money(move: PlanMove, value: Any) -> str:
    return words.money(value, move.to_version.currency)


def _signed(move: PlanMove, value: Any) -> str:
    """Write a difference with its sign: "+12.00 EUR", "−3.00 EUR", "0.00 EUR"."""
    text = _money(move, abs(value))
    return f"+{text}" if value > 0 else f"−{text}" if value < 0 else text
