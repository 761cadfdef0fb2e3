"""Moving many subscriptions to another version: previewed customer by customer, then done."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db import transaction
from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from billing.admin import words
from billing.admin.move_rows import money, rows_csv, rows_of, signed
from billing.admin.move_start import START, StartPages, nudge_part
from billing.admin.progress import Progress, WatchedAdmin, bar
from billing.models import MoveStatus, Outcome, PlanMove, PlanMoveRow
from billing.services import moving
from billing.services.moving import Summary
from config.base.admin.theme import action, display
from config.base.audit import Actor

CONFIRM = "billing.confirm_planmove"


@admin.register(PlanMove)
class PlanMoveAdmin(StartPages, WatchedAdmin[PlanMove]):
    list_display = ("name", "out_of", "into", "state", "progress", "moved", "started")
    list_filter = ("status",)
    list_select_related = ("from_version__plan", "to_version__plan")
    search_fields = ("to_version__plan__name", "from_version__plan__name", "started_by")
    search_help_text = "Search by plan or who started it"
    ordering = ("-pk",)
    actions_detail = ("move",)
    start_permission = START
    change_form_template = "admin/billing/move.html"
    empty_hint = (
        "A move puts many subscriptions under another version after a preview. Begin it on the "
        "page of the version that they are on."
    )

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
        return bar(done)

    @display(description="Moved")
    def moved(self, move: Any) -> str:
        return f"{words.number(move.moved_count)} of {words.number(move.total)}"

    @display(description="Started by", ordering="started_by")
    def started(self, move: PlanMove) -> str:
        return move.started_by

    # One move

    def get_urls(self) -> list[URLPattern]:
        rows = self.admin_site.admin_view(self.rows_csv)
        return [path("<int:pk>/rows.csv", rows, name="billing_planmove_csv"), *super().get_urls()]

    def rows_csv(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        return rows_csv(self.row(request, pk))

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
                transaction.on_commit(lambda: nudge_part(found))

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

    def heading(self, move: PlanMove) -> str:
        return f"Move {move.pk} to {move.to_version}"

    def is_running(self, move: PlanMove) -> bool:
        return move.status in (MoveStatus.PREVIEWING, MoveStatus.MOVING)

    def nudge(self, move: PlanMove) -> None:
        nudge_part(move)

    def below(self, request: HttpRequest, move: PlanMove) -> dict[str, Any]:
        return {**rows_of(request, move), "csv_url": self.url("csv", move.pk)}

    def progress_of(self, request: HttpRequest, move: PlanMove) -> Progress:
        found = moving.summary(move)
        return Progress(
            status=move.get_status_display(),
            tag="pb-good" if move.status == MoveStatus.FINISHED else "pb-open",
            percent=percent(move, waiting=found.waiting, movable=found.movable, total=found.total),
            is_running=self.is_running(move),
            facts=_facts(move, found),
            trouble=move.last_error,
        )


def _facts(move: PlanMove, found: Summary) -> list[tuple[str, str]]:
    looked_at = words.number(found.total - found.waiting)
    facts = [
        ("From", str(move.from_version or "chosen subscriptions")),
        ("To", str(move.to_version)),
        ("When", move.get_when_display()),
        ("Looked at", f"{looked_at} of {words.counted(found.total, 'subscription')}"),
        ("Moved", words.number(found.moved))
        if move.confirmed_at
        else ("Can be moved", words.number(found.movable)),
        ("Stay as they are", words.number(found.refused)),
        (
            "Next invoices now",
            f"{money(move, found.before)} net, with usage until {words.moment(move.started_at)}",
        ),
        ("Under the new version", f"{money(move, found.after)} net"),
        (
            "Difference",
            format_html(
                "<strong>{}</strong>: {} pay more, {} less, {} the same",
                signed(move, found.difference),
                words.number(found.dearer),
                words.number(found.cheaper),
                words.number(found.same),
            ),
        ),
        ("Previewed", f"{words.moment(move.started_at)} by {move.started_by}"),
    ]
    if move.confirmed_at:
        facts.append(("Confirmed", f"{words.moment(move.confirmed_at)} by {move.confirmed_by}"))
    if move.finished_at:
        facts.append(("Finished", words.moment(move.finished_at)))
    return facts


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


def _meaning(move: PlanMove, found: Summary) -> list[str]:
    """Say what confirming a move does."""
    said = [
        f"{move.get_when_display()}.",
        f"Their next invoices come to {money(move, found.after)} instead of "
        f"{money(move, found.before)} before tax: {signed(move, found.difference)}, with usage "
        f"until {words.moment(move.started_at)}.",
        "A subscription that changed since the preview stays as it is, and is listed.",
    ]
    if found.refused:
        said.append(
            f"{words.counted(found.refused, 'subscription')} of the preview can't be moved."
        )
    return said
