"""The tax of a period by category and rate, for the tax return: a page and two files."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from billing.admin import words
from billing.models import TaxCategory
from billing.tax_listing import TaxEntry, TaxSum, in_books, summed, tax_entries
from catalog.money import exponent, plain, round_half_up
from config.base.admin.theme import date_input
from config.base.csv import cell, download
from customers.issuer import sellers_day
from customers.parties import COUNTRIES

_UNKNOWN = "no rate known"
_ALIKE = ("issuer", "country", "category", "rate", "currency")
_AMOUNTS = ("net", "tax", "books currency", "net in books", "tax in books")


class SpanForm(forms.Form):
    since = forms.DateField(widget=date_input(), label="Issued from")
    until = forms.DateField(widget=date_input(), label="to", help_text="Both days included.")

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or self.cleaned_data
        if "since" in said and "until" in said and said["since"] > said["until"]:
            raise ValidationError("The last day is before the first.")
        return said


def tax_listing(
    request: HttpRequest, context: dict[str, Any]
) -> HttpResponse | StreamingHttpResponse:
    """Show the tax of what was issued in a span of days; ?csv=sums or documents the same as a file."""
    form = SpanForm(request.GET if "since" in request.GET else None)
    since, until = last_month(sellers_day(at=timezone.now()))
    if form.is_valid():
        since, until = form.cleaned_data["since"], form.cleaned_data["until"]
    entries = tax_entries(since=since, until=until)
    sums = summed(entries)
    match request.GET.get("csv"):
        case "sums":
            return download(f"tax-{since}-{until}.csv", _sums_file(sums))
        case "documents":
            return download(f"tax-documents-{since}-{until}.csv", _documents_file(entries))
    span = {"since": since.isoformat(), "until": until.isoformat()}
    return TemplateResponse(
        request,
        "admin/billing/tax_listing.html",
        {
            **context,
            "opts": None,
            "form": form if form.is_bound else SpanForm(initial={"since": since, "until": until}),
            "span": words.span(since, until + timedelta(days=1)),
            "tables": [
                _table(issuer, list(mine))
                for issuer, mine in groupby(sums, key=lambda one: one.alike.issuer)
            ],
            "lacks_rates": any(one.net_in_books is None for one in sums),
            "files": [
                (label, f"?{urlencode({**span, 'csv': name})}")
                for name, label in (("sums", "These sums"), ("documents", "Every document"))
            ],
        },
    )


def last_month(today: date) -> tuple[date, date]:
    """Return the first and the last day of the month before a day."""
    last = today.replace(day=1) - timedelta(days=1)
    return last.replace(day=1), last


def _table(issuer: str, sums: list[TaxSum]) -> dict[str, Any]:
    books = sums[0].alike.books_currency
    return {
        "issuer": issuer,
        "books": books,
        "rows": [
            {
                "country": COUNTRIES.get(one.alike.country, "—"),
                "category": TaxCategory(one.alike.category).label,
                "rate": "—" if one.alike.category == "O" else f"{plain(one.alike.rate)} %",
                "documents": words.number(Decimal(one.documents)),
                "net": words.money(one.net, one.alike.currency),
                "tax": words.money(one.tax, one.alike.currency),
                "net_in_books": _said(one.net_in_books, books),
                "tax_in_books": _said(one.tax_in_books, books),
            }
            for one in sums
        ],
        "total": [_said(amount, books) for amount in in_books(sums)],
    }


def _said(amount: Decimal | None, currency: str) -> str:
    return _UNKNOWN if amount is None else words.amount(amount, currency)


def _sums_file(sums: list[TaxSum]) -> Iterator[list[str]]:
    yield [*_ALIKE, "documents", *_AMOUNTS]
    for one in sums:
        yield [*_alike(one), str(one.documents), *_amounts(one)]


def _documents_file(entries: list[TaxEntry]) -> Iterator[list[str]]:
    yield ["number", "corrects", "issue date", "customer", "vat id", *_ALIKE, *_AMOUNTS]
    for one in entries:
        yield [
            cell(one.number),
            cell(one.corrects),
            one.issue_date.isoformat(),
            cell(one.customer),
            cell(one.vat_id),
            *_alike(one),
            *_amounts(one),
        ]


def _alike(one: TaxSum | TaxEntry) -> list[str]:
    alike = one.alike
    return [
        cell(alike.issuer),
        alike.country,
        alike.category,
        plain(alike.rate),
        alike.currency,
    ]


def _amounts(one: TaxSum | TaxEntry) -> list[str]:
    places, books = exponent(one.alike.currency), one.alike.books_currency
    told = [f"{round_half_up(amount, places):f}" for amount in (one.net, one.tax)]
    in_books_ = [
        "" if amount is None else f"{round_half_up(amount, exponent(books)):f}"
        for amount in (one.net_in_books, one.tax_in_books)
    ]
    return [*told, books, *in_books_]
