"""API keys: made, shown once, revoked."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from config.base.admin.audited import AuditedAdmin
from config.base.admin.theme import action, checkboxes, display
from config.base.audit import Actor
from config.base.models import ApiKey
from config.base.services import api_keys

SCOPE_WORDS = {
    "events:read": "Read usage events",
    "events:write": "Send usage events",
    "catalog:read": "Read metrics, plans and prices; use the price calculator",
    "catalog:write": "Make and change metrics, plans and prices",
    "customers:read": "Read customers, subscriptions and their usage",
    "customers:write": "Make and change customers and subscriptions",
    "billing:read": "Read invoices, credit notes and payments",
    "billing:write": "Run billing, issue invoices, record payments",
}

NEEDED = {
    "catalog:read": "catalog.view_plan",
    "catalog:write": "catalog.publish_planversion",
    "customers:read": "customers.view_customer",
    "customers:write": "customers.change_customer",
    "billing:read": "billing.view_invoice",
    "billing:write": "billing.issue_invoice",
}
"""The permission that a person needs to hand out a scope; events are anybody's."""


class ApiKeyForm(forms.ModelForm[ApiKey]):
    scopes = forms.MultipleChoiceField(
        choices=[(scope, SCOPE_WORDS.get(scope, scope)) for scope in api_keys.SCOPES],
        widget=checkboxes(),
        label="What the key may do",
        help_text="Give it no more than it needs.",
    )
    user: ClassVar[Any] = None
    """Who makes the key; the page's form knows."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "expires_at" in self.fields:
            parts: Any = self.fields["expires_at"].widget
            for part, label in zip(parts.widgets, ("Expires on", "Expires at"), strict=True):
                part.attrs["aria-label"] = label

    def clean_scopes(self) -> list[str]:
        """Let nobody hand out what they may not do themselves."""
        scopes: list[str] = self.cleaned_data["scopes"]
        if beyond := [scope for scope in scopes if not _may_give(self.user, scope)]:
            words = "; ".join(SCOPE_WORDS.get(scope, scope) for scope in beyond)
            raise forms.ValidationError(
                f"A key may do no more than you may yourself, and you may not: {words}."
            )
        return scopes


def _may_give(user: Any, scope: str) -> bool:
    needed = NEEDED.get(scope)
    return needed is None or user.has_perm(needed)


@admin.register(ApiKey)
class ApiKeyAdmin(AuditedAdmin[ApiKey]):
    form = ApiKeyForm
    list_display = ("name", "prefix", "state", "may", "last_used_at", "expires_at")
    list_filter = (("revoked_at", admin.EmptyFieldListFilter),)
    search_fields = ("name", "prefix")
    search_help_text = "Search by name or by the start of the key"
    empty_hint = (
        "A key lets your systems send usage and read invoices through the API. "
        "Make one for each system, so that you can revoke it alone."
    )
    actions_detail = ("revoke",)

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        form_class = super().get_form(request, obj, change=change, **kwargs)
        form_class.user = request.user
        return form_class

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return ((None, {"fields": ("name", "scopes", "expires_at")}),)
        shown = ("name", "prefix", "state", "may", "created_at", "expires_at", "last_used_at")
        return ((None, {"fields": (*shown, "revoked_at") if obj.revoked_at else shown}),)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_revoke_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("base.change_apikey")

    @display(
        description="State",
        label={
            "In use": "success",
            "Not used yet": "info",
            "Expired": "warning",
            "Revoked": "danger",
        },
    )
    def state(self, key: ApiKey) -> str:
        if key.revoked_at is not None:
            return "Revoked"
        if key.expires_at is not None and key.expires_at <= timezone.now():
            return "Expired"
        return "In use" if key.last_used_at else "Not used yet"

    @display(description="May")
    def may(self, key: ApiKey) -> str:
        return ", ".join(SCOPE_WORDS.get(scope, scope) for scope in key.scopes) or "nothing"

    def create(self, row: ApiKey, *, actor: Actor) -> None:
        made, text = api_keys.create_api_key(
            name=row.name, scopes=row.scopes, expires_at=row.expires_at, actor=actor
        )
        row.pk, row.prefix = made.pk, made.prefix
        row._text = text  # type: ignore[attr-defined]

    def response_add(
        self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the key's text, the only time that it is known."""
        context = {
            **self.page_context(request, f"API key “{obj.name}”", obj),
            "text": obj._text,  # type: ignore[attr-defined]
            "may": [SCOPE_WORDS.get(scope, scope) for scope in obj.scopes],
            "back": self.url("changelist"),
        }
        response = TemplateResponse(request, "admin/api_key_made.html", context)
        response.headers["Cache-Control"] = "no-store"
        return response

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        offered: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        live = ApiKey.objects.filter(pk=object_id, revoked_at=None).exists()
        return offered if live else []

    @action(
        description="Revoke…",
        url_path="revoke",
        permissions=["revoke"],
        icon="block",
    )
    def revoke(self, request: HttpRequest, object_id: str) -> HttpResponse:
        key = self.visible_row(request, object_id)
        if key is None:
            return self.missing(request, object_id)
        if request.method != "POST":
            return self.confirm(
                request,
                key,
                title=f"Revoke the key “{key}”?",
                sentences=[
                    "Whatever uses it is refused from this moment on.",
                    "A revoked key can't be brought back; make a new one instead.",
                ],
                button="Revoke the key",
                danger=True,
            )
        return self.attempt(
            request,
            lambda: api_keys.revoke_api_key(
                key_id=key.pk, at=timezone.now(), actor=Actor.user(request.user)
            ),
            done=f"“{key}” is revoked.",
            then=self.url("changelist"),
        )
