"""Signing in to the admin: what is said when it failed too often, and the way to open it again."""

from __future__ import annotations

from typing import Any

from axes.models import AccessAttempt
from django.conf import settings
from django.contrib import admin
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from config.base import audit
from config.base.admin.audited import ReadOnlyAdmin
from config.base.admin.theme import display
from config.base.audit import Actor


def locked_out(
    request: HttpRequest, response: HttpResponse | None, credentials: Any
) -> HttpResponse:
    """Answer 429 in place of the login page; the same whether there is such an account or not."""
    minutes = int(settings.AXES_COOLOFF_TIME.total_seconds() // 60)
    answer = TemplateResponse(
        request,
        "admin/locked_out.html",
        {**admin.site.each_context(request), "title": "Too many attempts", "minutes": minutes},
        status=429,
        headers={"Retry-After": str(minutes * 60), "Cache-Control": "no-store"},
    )
    return answer.render()


@admin.register(AccessAttempt)
class FailedSignInAdmin(ReadOnlyAdmin[Any]):
    """Failed sign-ins per account and address, and the way to open both again."""

    list_display = ("username", "ip_address", "failures", "state", "last_tried")
    list_display_links = None
    search_fields = ("username", "ip_address")
    search_help_text = "Search by user name or address"
    ordering = ("-attempt_time",)
    actions = ("unlock",)
    empty_hint = "Nobody has failed to sign in lately."

    def has_unlock_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("auth.change_user")

    @display(description="Failures", ordering="failures_since_start")
    def failures(self, attempt: AccessAttempt) -> int:
        count: int = attempt.failures_since_start
        return count

    @display(description="Last tried", ordering="attempt_time")
    def last_tried(self, attempt: AccessAttempt) -> Any:
        return attempt.attempt_time

    @display(description="State", label={"Counts now": "warning", "Over": ""})
    def state(self, attempt: AccessAttempt) -> str:
        since = timezone.now() - settings.AXES_COOLOFF_TIME
        return "Counts now" if attempt.attempt_time >= since else "Over"

    @admin.action(description="Forget, so that they may try again", permissions=["unlock"])
    def unlock(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        with transaction.atomic():
            attempts = list(queryset.order_by("pk").select_for_update())
            for attempt in attempts:
                audit.record(
                    actor=Actor.user(request.user),
                    action="unlocked",
                    subject=attempt,
                    changes={"failures": [attempt.failures_since_start, 0]},
                    note=f"{attempt.username} from {attempt.ip_address}",
                )
            queryset.filter(pk__in=[attempt.pk for attempt in attempts]).delete()
        self.message_user(request, f"{len(attempts)} forgotten. They may try again.")
