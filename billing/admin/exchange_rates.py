"""Exchange rates: entered one by one or imported, for tax in the currency of the books."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from billing.admin.importing import ImportingAdmin
from billing.models import ExchangeRate
from billing.services import exchange_rates
from catalog.money import plain
from config.base.admin.theme import display, number_input
from config.base.audit import Actor
from customers.admin import choices
from customers.admin.choices import CodeField


class ExchangeRateForm(forms.ModelForm[ExchangeRate]):
    base = CodeField(choices=choices.currencies, label="One", help_text="Such as EUR …")
    quote = CodeField(
        choices=choices.currencies, label="in", help_text="… in this currency, such as USD."
    )

    class Meta:
        widgets = {"rate": number_input(placeholder="1.0842")}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if (rate := self.initial.get("rate")) is not None:
            self.initial["rate"] = plain(rate)


@admin.register(ExchangeRate)
class ExchangeRateAdmin(ImportingAdmin[ExchangeRate]):
    form = ExchangeRateForm
    list_display = ("date", "base", "quote", "rate_said", "source")
    list_filter = ("base", "quote")
    search_fields = ("base", "quote", "source")
    search_help_text = "Search by currency or source"
    date_hierarchy = "date"
    ordering = ("-date", "base", "quote")
    empty_hint = (
        "An invoice in another currency than your books states its tax in yours too, with the last "
        "rate on or before its date: enter or import the rates that your tax office accepts."
    )
    fields = (("base", "quote"), "rate", "date", "source")
    what = "exchange rates"
    columns = "base,quote,rate,date,source\n"

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return () if obj is None else ("base", "quote", "date")

    def read(self, text: str) -> Iterable[tuple[int, str, str, str]]:
        for row in exchange_rates.preview_exchange_rates(text):
            yield row.line, row.outcome, str(row.rate or ""), row.message

    def save_table(self, text: str, *, actor: Actor) -> None:
        exchange_rates.import_exchange_rates(text=text, actor=actor)

    def create(self, row: ExchangeRate, *, actor: Actor) -> None:
        exchange_rates.add_exchange_rate(rate=row, actor=actor)

    def change(self, row: ExchangeRate, *, fields: Mapping[str, Any], actor: Actor) -> None:
        exchange_rates.change_exchange_rate(rate_id=row.pk, fields=fields, actor=actor)

    @display(description="Rate", ordering="rate")
    def rate_said(self, rate: ExchangeRate) -> str:
        return f"1 {rate.base} = {plain(rate.rate)} {rate.quote}"
