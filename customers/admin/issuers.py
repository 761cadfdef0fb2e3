"""Issuers: the legal sellers whose invoices these are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from unfold.widgets import (
    UnfoldAdminColorInputWidget,
    UnfoldAdminFileFieldWidget,
    UnfoldAdminTextareaWidget,
    UnfoldBooleanSwitchWidget,
)

from catalog.money import plain
from config.base.admin.audited import AuditedAdmin, PanelMaker
from config.base.admin.theme import display, number_input
from config.base.audit import Actor
from customers import services
from customers.admin.party import PartyForm
from customers.electronic import seller_faults
from customers.logos import MOST_BYTES, LogoPicture, LogoRefused, read_logo
from customers.models import Issuer

ISSUER_PANELS: list[PanelMaker] = []
"""Boxes under an issuer's form; higher apps append theirs."""


class IssuerForm(PartyForm):
    logo_file = forms.FileField(
        required=False,
        label="Logo",
        widget=UnfoldAdminFileFieldWidget(attrs={"accept": "image/png,image/jpeg"}),
        help_text="PNG or JPEG, at most 2 MB; drawn anew for print. Replaces the one there is.",
    )
    without_logo = forms.BooleanField(
        required=False,
        label="Without a logo",
        widget=UnfoldBooleanSwitchWidget(),
        help_text="Your name stands in its place.",
    )

    class Meta:
        widgets = {
            "accent_colour": UnfoldAdminColorInputWidget(),
            "standard_tax_rate": number_input(),
            "legal_text": UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        }
        labels = {
            "legal_name": "Registered name",
            "tax_status": "Tax on your invoices",
            "register_entry": "Register entry",
            "tax_number": "Tax number",
            "consolidation": "Several subscriptions",
            "electronic_invoices": "Electronic invoices",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rate = self.initial.get("standard_tax_rate")
        if rate is not None:
            self.initial["standard_tax_rate"] = plain(rate)

    def clean(self) -> dict[str, Any] | None:
        """Say beside each field what electronic invoices lack of it."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if cleaned.get("electronic_invoices"):
            for (name, *_), _, message in seller_faults(cleaned):
                if name not in self.errors:
                    self.add_error(str(name), message)
        sends = cleaned.get("sends_invoices") or cleaned.get("sends_reminders")
        if sends and not cleaned.get("email", "-"):
            self.add_error("email", "Enter the address that mails are sent from.")
        return cleaned

    def clean_logo_file(self) -> LogoPicture | None:
        """Read the upload, up to a byte more than is allowed of it.

        :raises ValidationError: with why it can't be a logo.
        """
        upload = self.cleaned_data.get("logo_file")
        if upload is None:
            return None
        if upload.size > MOST_BYTES:
            megabytes = upload.size / 1024 / 1024
            raise forms.ValidationError(
                f"The logo has {megabytes:.1f} MB: upload one of at most 2 MB."
            )
        try:
            return read_logo(upload.read())
        except LogoRefused as refusal:
            raise forms.ValidationError(str(refusal)) from refusal


@admin.register(Issuer)
class IssuerAdmin(AuditedAdmin[Issuer]):
    form = IssuerForm
    list_display = ("name", "legal_name", "country", "currency", "state")
    search_fields = ("name", "legal_name", "vat_id")
    empty_hint = "The issuer is your own company, as it stands on your invoices."
    panels: ClassVar[list[PanelMaker]] = ISSUER_PANELS
    change_form_before_template = "admin/customers/issuer_unfinished.html"
    fieldsets = (
        (
            "Who you are",
            {"fields": ("name", "legal_name", ("vat_id", "tax_number"), "register_entry", "email")},
        ),
        (
            "Address",
            {"fields": ("line1", "line2", ("postal_code", "city"), ("region", "country"))},
        ),
        (
            "Sending",
            {
                "fields": (
                    "sends_invoices",
                    "sends_reminders",
                    ("first_reminder_days", "second_reminder_days", "third_reminder_days"),
                    "reminds_with_statement",
                ),
                "description": "To the customer’s e-mail address and the contacts who receive "
                "invoices; invoices with the PDF attached.",
            },
        ),
        ("Where customers pay", {"fields": ("bank_name", ("iban", "bic"))}),
        (
            "How your invoices look",
            {
                "fields": (
                    "accent_colour",
                    "logo_file",
                    "without_logo",
                    "legal_text",
                    "footer_text",
                    "series",
                    "electronic_invoices",
                )
            },
        ),
        (
            "How you invoice",
            {
                "fields": (
                    "currency",
                    ("tax_status", "standard_tax_rate"),
                    "tax_reason",
                    "uses_oss",
                    "consolidation",
                    "refunds_credits",
                    ("usage_cutoff_hours", "auto_issue_hours"),
                    "manual_approval",
                    "time_zone",
                    "locale",
                )
            },
        ),
    )

    def is_needed(self, row: Issuer) -> bool:
        is_only_one = not Issuer.objects.exclude(pk=row.pk).exists()
        return is_only_one or row.customers.exists() or row.subscriptions.exists()

    def save_model(self, request: HttpRequest, obj: Issuer, form: Any, change: bool) -> None:
        picture = form.cleaned_data.get("logo_file")
        if picture or (form.cleaned_data.get("without_logo") and obj.logo):
            obj.logo = services.keep_logo(picture) if picture else None
            form.changed_data.append("logo")
        super().save_model(request, obj, form, change)

    def change(self, row: Issuer, *, fields: Mapping[str, Any], actor: Actor) -> None:
        services.change_issuer(issuer_id=row.pk, fields=fields, actor=actor)

    @display(
        description="State",
        label={"Ready to invoice": "success", "Unfinished": "warning"},
    )
    def state(self, issuer: Issuer) -> str:
        return "Unfinished" if issuer.missing else "Ready to invoice"
