"""Tax rates: entered one by one or imported, ended, and read by country and day."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import URLPattern, path
from django.utils import timezone

from billing.admin.importing import ImportingAdmin
from billing.admin.tax_listing import tax_listing
from billing.models import TaxRate
from billing.rate_tables import packaged
from billing.services import tax_rates
from catalog.money import plain
from config.base.admin.theme import display, number_input
from config.base.audit import Actor
from customers.admin import choices
from customers.admin.choices import CodeField
from customers.parties import COUNTRIES


class TaxRateForm(forms.ModelForm[TaxRate]):
    country = CodeField(choices=choices.countries)

    class Meta:
        widgets = {"percent": number_input(placeholder="19")}
        labels = {"percent": "Percent", "valid_from": "First day", "valid_until": "Last day"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if (percent := self.initial.get("percent")) is not None:
            self.initial["percent"] = plain(percent)


class HoldsFilter(admin.SimpleListFilter):
    title = "days"
    parameter_name = "days"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("today", "Hold today"), ("ended", "Ended"), ("coming", "Still to come")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        today = timezone.localdate()
        match self.value():
            case "today":
                return queryset.holding(today, today)
            case "ended":
                return queryset.filter(valid_until__lt=today)
            case "coming":
                return queryset.filter(valid_from__gt=today)
        return queryset


@admin.register(TaxRate)
class TaxRateAdmin(ImportingAdmin[TaxRate]):
    form = TaxRateForm
    list_display = ("name", "category_said", "percent_said", "valid_from", "valid_until", "source")
    list_filter = (HoldsFilter, "category", "country")
    search_fields = ("country", "source")
    search_help_text = "Search by country code or source"
    ordering = ("country", "category", "-valid_from")
    empty_hint = (
        "Until there are rates, your own standard rate holds for everybody in your country. Import "
        "those of the EU, or enter what you need: one rate per country, category and days."
    )
    fields = ("country", "category", "percent", ("valid_from", "valid_until"), "source")
    what = "tax rates"
    columns = "country,category,percent,valid_from,valid_until,source\n"
    ready_made_name = (
        "eu",
        "a starting table for the EU’s member states, to compare with an official source",
    )

    def get_urls(self) -> list[URLPattern]:
        listing = self.admin_site.admin_view(self.listing)
        return [path("listing/", listing, name="billing_taxrate_listing"), *super().get_urls()]

    def listing(self, request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
        """Show the tax of what was issued in a month, or between two days."""
        if not request.user.has_perm("billing.view_invoice"):
            raise PermissionDenied
        return tax_listing(request, self.page_context(request, "Tax to report", None))

    def read(self, text: str) -> Iterable[tuple[int, str, str, str]]:
        for row in tax_rates.preview_tax_rates(text):
            yield row.line, row.outcome, _in_words(row.rate), row.message

    def save_table(self, text: str, *, actor: Actor) -> None:
        tax_rates.import_tax_rates(text=text, actor=actor)

    def ready_made(self, name: str) -> str:
        return packaged() if name == "eu" else ""

    def create(self, row: TaxRate, *, actor: Actor) -> None:
        tax_rates.add_tax_rate(rate=row, actor=actor)

    def change(self, row: TaxRate, *, fields: Mapping[str, Any], actor: Actor) -> None:
        tax_rates.change_tax_rate(rate_id=row.pk, fields=fields, actor=actor)

    @display(description="Country", ordering="country")
    def name(self, rate: TaxRate) -> str:
        name: str = COUNTRIES.get(rate.country, rate.country)
        return name

    @display(description="Category", ordering="category")
    def category_said(self, rate: TaxRate) -> str:
        return rate.get_category_display()

    @display(description="Rate", ordering="percent")
    def percent_said(self, rate: TaxRate) -> str:
        return f"{plain(rate.percent)} %"


def _in_words(rate: TaxRate | None) -> str:
    if rate is None:
        return ""
    until = f" until {rate.valid_until:%-d %b %Y}" if rate.valid_until else ""
    return f"{rate} from {rate.valid_from:%-d %b %Y}{until}"
