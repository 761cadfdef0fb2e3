"""The outbox: what is sent after a commit, and what could not be."""

from __future__ import annotations

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from config.base import audit
from config.base.admin.audited import ReadOnlyAdmin
from config.base.admin.theme import display
from config.base.audit import Actor
from config.base.models import Outbox, OutboxStatus


@admin.register(Outbox)
class OutboxAdmin(ReadOnlyAdmin[Outbox]):
    list_display = ("kind", "key", "state", "attempts", "due_at", "done_at")
    list_filter = ("status", "kind")
    search_fields = ("key", "last_error")
    search_help_text = "Search by key or error"
    ordering = ("-id",)
    show_full_result_count = False
    actions = ("retry",)
    empty_hint = "Mails and messages to other systems pass through here. Nothing has been sent yet."
    fields = (
        "kind",
        "key",
        "state",
        "created_at",
        "due_at",
        "done_at",
        "attempts",
        "last_error",
        "payload",
    )

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("base.change_outbox")

    @display(
        description="State",
        ordering="status",
        label={"Waiting": "info", "Done": "success", "Given up": "danger"},
    )
    def state(self, message: Outbox) -> str:
        return message.get_status_display()

    @admin.action(description="Try again now", permissions=["retry"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Outbox]) -> None:
        with transaction.atomic():
            given_up = list(
                queryset.filter(status=OutboxStatus.FAILED).order_by("pk").select_for_update()
            )
            for message in given_up:
                audit.record(
                    actor=Actor.user(request.user),
                    action="retried",
                    subject=message,
                    changes={"status": [message.status, OutboxStatus.PENDING.value]},
                )
            Outbox.objects.filter(pk__in=[message.pk for message in given_up]).update(
                status=OutboxStatus.PENDING, due_at=timezone.now(), attempts=0
            )
        if given_up:
            self.message_user(request, f"{len(given_up)} will be tried again shortly.")
        else:
            self.message_user(
                request, "Only what was given up can be tried again.", messages.WARNING
            )
