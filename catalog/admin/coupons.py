"""Coupons: made once, then read; who has one is told on its subscriptions' pages."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse

from catalog import money
from catalog.coupons import coupon_in_words, create_coupon, retire_coupon
from catalog.models import Coupon, CouponStatus
from config.base.admin.audited import AuditedAdmin
from config.base.admin.theme import action, display, number_input, select
from config.base.audit import Actor


class CouponForm(forms.ModelForm[Coupon]):
    currency = forms.ChoiceField(
        required=False,
        choices=[
            ("", "—"),
            *((code, f"{code} · {name}") for code, name in money.CURRENCIES.items()),
        ],
        widget=select(),
        help_text="Of the amount.",
    )

    class Meta:
        widgets = {
            "percent": number_input(placeholder="20"),
            "amount": number_input(placeholder="50.00"),
        }
        labels = {
            "name": "Name on the invoice",
            "percent": "Percent",
            "duration": "How long it lasts",
            "redeemable_until": "Can be given until",
        }


@admin.register(Coupon)
class CouponAdmin(AuditedAdmin[Coupon]):
    form = CouponForm
    list_display = ("name", "key", "terms", "redeemable_until", "state")
    list_filter = ("status", "duration")
    search_fields = ("name", "key")
    search_help_text = "Search by name or key"
    empty_hint = (
        "A coupon reduces what a subscription is billed: by a percentage or an amount, "
        "once, for some periods or for good. Add one, then give it to a subscription on its page."
    )
    actions_detail = ("retire",)
    readonly_fields = ("terms", "state", "created_at")
    fieldsets = (
        (None, {"fields": ("name", "key")}),
        (
            "What it takes off",
            {
                "fields": ("percent", ("amount", "currency")),
                "description": "A percentage, or an amount in one currency: of fees, usage and "
                "minimum charges, never below zero.",
            },
        ),
        (
            "For how long",
            {
                "fields": ("duration", "periods", "redeemable_until"),
                "description": "It counts only invoices that it takes something off. What is left "
                "of an amount lapses, unless it lasts until it is used up.",
            },
        ),
    )

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return super().get_fieldsets(request, obj)
        return (
            (None, {"fields": ("name", "key", "terms", "redeemable_until", "state", "created_at")}),
        )

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A coupon is read; what ends it is an action of its own."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_retire_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("catalog.change_coupon")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """Offer to retire a coupon once."""
        offered: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        active = Coupon.objects.filter(pk=object_id, status=CouponStatus.ACTIVE)
        return offered if active.exists() else []

    def create(self, row: Coupon, *, actor: Actor) -> None:
        create_coupon(coupon=row, actor=actor)

    @action(description="Retire…", url_path="retire", permissions=["retire"], icon="block")
    def retire(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Say what retiring means, then do it."""
        coupon = self.visible_row(request, object_id)
        if coupon is None:
            return self.missing(request, object_id)
        if request.method == "POST":
            return self.attempt(
                request,
                lambda: retire_coupon(coupon_id=coupon.pk, actor=Actor.user(request.user)),
                done=f"“{coupon}” is given to nobody any more.",
                then=self.url("change", coupon.pk),
            )
        return self.confirm(
            request,
            coupon,
            title=f"Retire “{coupon}”?",
            sentences=[
                "Nobody can be given it any more. This can’t be taken back.",
                "Subscriptions that have it keep it; end it on their pages.",
            ],
            button="Retire it",
            danger=True,
        )

    @display(description="Takes off")
    def terms(self, coupon: Coupon) -> str:
        return coupon_in_words(coupon)

    @display(description="State", ordering="status", label={"On offer": "success", "Retired": ""})
    def state(self, coupon: Coupon) -> str:
        return coupon.get_status_display()
