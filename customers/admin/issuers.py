"""Issuers: the legal sellers whose invoices these are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib import admin
from unfold.widgets import UnfoldAdminColorInputWidget

from catalog.money import plain
from config.base.admin.audited import AuditedAdmin
from config.base.admin.theme import display, number_input
from config.base.audit import Actor
from customers import services
from customers.admin.party import PartyForm
from customers.models import Issuer


class IssuerForm(PartyForm):
    class Meta:
        widgets = {
            "accent_colour": UnfoldAdminColorInputWidget(),
            "standard_tax_rate": number_input(),
        }
        labels = {
            "legal_name": "Registered name",
            "tax_status": "Tax on your invoices",
            "register_entry": "Register entry",
            "consolidation": "Several subscriptions",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rate = self.initial.get("standard_tax_rate")
        if rate is not None:
            self.initial["standard_tax_rate"] = plain(rate)


@admin.register(Issuer)
class IssuerAdmin(AuditedAdmin[Issuer]):
    form = IssuerForm
    list_display = ("name", "legal_name", "country", "currency", "state")
    search_fields = ("name", "legal_name", "vat_id")
    empty_hint = "The issuer is your own company, as it stands on your invoices."
    change_form_before_template = "admin/customers/issuer_unfinished.html"
    fieldsets = (
        ("Who you are", {"fields": ("name", "legal_name", "vat_id", "register_entry", "email")}),
        (
            "Address",
            {"fields": ("line1", "line2", ("postal_code", "city"), ("region", "country"))},
        ),
        ("Where customers pay", {"fields": ("bank_name", ("iban", "bic"))}),
        (
            "How you invoice",
            {
                "fields": (
                    "currency",
                    ("tax_status", "standard_tax_rate"),
                    "tax_reason",
                    "uses_oss",
                    "consolidation",
                    "time_zone",
                    "locale",
                    "accent_colour",
                )
            },
        ),
    )

    def is_needed(self, row: Issuer) -> bool:
        is_only_one = not Issuer.objects.exclude(pk=row.pk).exists()
        return is_only_one or row.customers.exists() or row.subscriptions.exists()

    def change(self, row: Issuer, *, fields: Mapping[str, Any], actor: Actor) -> None:
        services.change_issuer(issuer_id=row.pk, fields=fields, actor=actor)

    @display(
        description="State",
        label={"Ready to invoice": "success", "Unfinished": "warning"},
    )
    def state(self, issuer: Issuer) -> str:
        return "Unfinished" if issuer.missing else "Ready to invoice"
