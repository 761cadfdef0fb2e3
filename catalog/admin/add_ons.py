"""Add-ons: made once, then read; who bought one is told on its subscriptions' pages."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse

from catalog import money
from catalog.add_ons import add_on_errors, add_on_in_words, archive_add_on, create_add_on
from catalog.models import AddOn, AddOnStatus
from config.base.admin.audited import AuditedAdmin
from config.base.admin.theme import action, display, number_input, search_select
from config.base.audit import Actor


class AddOnForm(forms.ModelForm[AddOn]):
    currency = forms.ChoiceField(
        choices=[
            ("", "—"),
            *((code, f"{code} · {name}") for code, name in money.CURRENCIES.items()),
        ],
        widget=search_select(),
        help_text="Of the amount.",
    )

    class Meta:
        widgets = {"unit_amount": number_input(placeholder="490.00")}
        labels = {
            "name": "Name on the invoice",
            "unit_amount": "Amount for one",
            "unit": "One of it",
            "unit_plural": "Several of it",
            "recognition": "Earned",
            "tax_category": "Taxed at",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "tax_category" in self.fields:
            self.fields["tax_category"].required = False  # the standard rate if nothing is said

    def clean(self) -> dict[str, Any]:
        """Say what is wrong at its field, before the database does without one."""
        entered = super().clean() or self.cleaned_data
        if not self.errors:
            for fault in add_on_errors(AddOn(**entered)):
                self.add_error(str(fault.path[0]), fault.message)
        return entered


@admin.register(AddOn)
class AddOnAdmin(AuditedAdmin[AddOn]):
    form = AddOnForm
    list_display = ("name", "key", "costs", "earned", "state")
    list_filter = ("status", "currency")
    search_fields = ("name", "key")
    search_help_text = "Search by name or key"
    empty_hint = (
        "An add-on is sold once, beside a plan: a set-up fee, a day of onboarding. "
        "Add one, then sell it to a subscription on its page; its next invoice charges it."
    )
    actions_detail = ("archive",)
    readonly_fields = ("costs", "earned", "state", "created_at")
    fieldsets = (
        (None, {"fields": ("name", "key", "description")}),
        (
            "What it costs",
            {
                "fields": (("unit_amount", "currency"), ("unit", "unit_plural")),
                "description": "Another amount can be agreed each time that it is sold.",
            },
        ),
        ("In your books", {"fields": ("recognition", "tax_category")}),
    )

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return super().get_fieldsets(request, obj)
        shown = ("name", "key", "description", "costs", "earned", "state", "created_at")
        return ((None, {"fields": shown}),)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """An add-on is read; what ends it is an action of its own."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_archive_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("catalog.change_addon")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Offer to archive an add-on once."""
        offered: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        active = AddOn.objects.filter(pk=object_id, status=AddOnStatus.ACTIVE)
        return offered if active.exists() else []

    def create(self, row: AddOn, *, actor: Actor) -> None:
        create_add_on(add_on=row, actor=actor)

    @action(description="Archive…", url_path="archive", permissions=["archive"], icon="archive")
    def archive(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Say what archiving means, then do it."""
        add_on = self.visible_row(request, object_id)
        if add_on is None:
            return self.missing(request, object_id)
        if request.method == "POST":
            return self.attempt(
                request,
                lambda: archive_add_on(add_on_id=add_on.pk, actor=Actor.user(request.user)),
                done=f"“{add_on}” is sold to nobody any more.",
                then=self.url("change", add_on.pk),
            )
        return self.confirm(
            request,
            add_on,
            title=f"Archive “{add_on}”?",
            sentences=[
                "Nobody can be sold it any more. This can’t be taken back.",
                "Who bought it is billed for it still; withdraw that on its sale’s page.",
            ],
            button="Archive it",
            danger=True,
        )

    @display(description="Costs")
    def costs(self, add_on: AddOn) -> str:
        return add_on_in_words(add_on)

    @display(description="Earned", ordering="recognition")
    def earned(self, add_on: AddOn) -> str:
        return add_on.get_recognition_display()

    @display(description="State", ordering="status", label={"On offer": "success", "Archived": ""})
    def state(self, add_on: AddOn) -> str:
        return add_on.get_status_display()
