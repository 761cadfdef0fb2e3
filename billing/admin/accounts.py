"""What customers owe: the ageing of all as of a day, statements, and what is given up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from billing.accounts import Account, Position, currencies_of, positions, statement_of
from billing.admin import words
from billing.admin.account_panels import amounts_of, asked_for, statement_url, together
from billing.admin.payment_forms import ReasonForm
from billing.documents import PDF_POLICY, render_statement
from billing.models import OpenItem, WriteOff
from billing.money import BUCKETS
from billing.presentation.statement import StatementView, present_statement
from billing.services.payments import book_date
from billing.services.write_offs import reverse_write_off, write_off
from billing.typesetting import PdfEngineMissing
from catalog.money import exponent, round_half_up
from config.base.admin.audited import ReadOnlyAdmin
from config.base.admin.theme import action, date_input, display, number_input, short
from config.base.audit import Actor
from config.base.csv import cell, download
from config.base.fields import PlainDecimalInput
from customers.issuer import issuer_of, sellers_day
from customers.models import Customer

MOST_SHOWN = 100
"""So many customers of each currency are on the page, those who owe most; all are in its file."""


class DayForm(forms.Form):
    as_of = forms.DateField(required=False, widget=date_input(), label="By the end of")


@dataclass(frozen=True)
class AskedAccount:
    """Whose account is asked for, in which currency, by the end of which day."""

    customer: Customer
    currency: str
    day: date

    def view(self, locale: str) -> StatementView:
        found = positions(as_of=self.day, customer_ids=[self.customer.pk])
        return present_statement(
            statement_of(self.customer, self.currency, until=self.day),
            found.get((self.customer.pk, self.currency)),
            customer=self.customer,
            issuer=issuer_of(self.customer),
            currency=self.currency,
            until=self.day,
            locale=locale,
        )


class WriteOffForm(ReasonForm):
    amount = PlainDecimalInput(widget=number_input(), max_digits=19, decimal_places=4)
    field_order = ("amount", "reason")


@admin.register(WriteOff)
class WriteOffAdmin(ReadOnlyAdmin[WriteOff]):
    """What was given up; also the way to what is owed, which has no list of its own."""

    list_display = ("invoice", "customer", "said_amount", "written_off_on", "state", "recorded_by")
    list_filter = (("item__invoice__customer", AutocompleteSelectFilter), "written_off_on")
    list_select_related = ("item__invoice__customer",)
    search_fields = ("item__invoice__number", "item__invoice__customer__name")
    search_help_text = "Search by invoice or customer"
    ordering = ("-pk",)
    show_full_result_count = False
    actions_detail = ("take_back",)
    empty_hint = "What nobody expects to be paid any more is written off on its invoice's page."
    fields = (
        "invoice",
        "customer",
        "said_amount",
        "written_off_on",
        "reason",
        "recorded_by",
        "state",
        "reversed_because",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[WriteOff]:
        return super().get_queryset(request).select_related(*self.list_select_related)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields

    def has_take_back_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return request.user.has_perm("billing.reverse_writeoff")

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        offered: list[Any] = super().get_actions_detail(request, object_id)  # type: ignore[misc]
        live = WriteOff.objects.filter(pk=object_id, reversed_on=None).exists()
        return offered if live else []

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("of/<int:pk>/", wrap(self.give_up), name="billing_writeoff_of"),
            path("ageing/", wrap(self.ageing), name="billing_writeoff_ageing"),
            path("statement/<int:pk>/", wrap(self.statement), name="billing_writeoff_statement"),
            path(
                "statement/<int:pk>/pdf/",
                wrap(self.statement_pdf),
                name="billing_writeoff_statement_pdf",
            ),
            *super().get_urls(),
        ]

    @action(description="Take back…", url_path="back", permissions=["take_back"], icon="undo")
    def take_back(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.visible_row(request, object_id)
        if row is None:
            return self.missing(request, object_id)
        said = words.money(row.amount, row.item.invoice.currency)
        form = ReasonForm(request.POST if request.method == "POST" else None)
        if form.is_valid():
            answer = self.carry_out(
                request,
                form,
                lambda: reverse_write_off(
                    write_off_id=row.pk,
                    reason=form.cleaned_data["reason"],
                    at=timezone.now(),
                    actor=Actor.user(request.user),
                ),
                done=f"{said} of {row.item.invoice} is open again.",
                then=self.url("change", row.pk),
            )
            if answer is not None:
                return answer
        return self.confirm(
            request,
            row,
            title=f"Take the write-off of {said} back?",
            sentences=[f"It is open again on {row.item.invoice}."],
            button="Take it back",
            template="admin/metering/form.html",
            form=form,
        )

    def give_up(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask how much of an invoice is given up, and why."""
        if not request.user.has_perm("billing.add_writeoff"):
            raise PermissionDenied
        found = OpenItem.objects.owed().select_related("invoice__customer").filter(pk=pk).first()
        if found is None:
            return self.missing(request, str(pk))
        invoice = found.invoice
        is_open = round_half_up(found.open, exponent(invoice.currency))
        posted = request.POST if request.method == "POST" else None
        form = WriteOffForm(posted, initial={"amount": f"{is_open:f}"})
        if form.is_valid():
            answer = self.carry_out(
                request,
                form,
                lambda: write_off(
                    invoice_id=pk,
                    **form.cleaned_data,
                    at=timezone.now(),
                    actor=Actor.user(request.user),
                ),
                done=f"{words.money(form.cleaned_data['amount'], invoice.currency)} of {invoice} "
                "is written off.",
                then=words.page("billing_invoice", pk),
            )
            if answer is not None:
                return answer
        context = {
            **self.page_context(request, f"Write off what is open of {invoice}?", None),
            "sentences": [
                f"{words.money(is_open, invoice.currency)} is open. What is written off is not "
                "asked for any more; the invoice stays as it is, and is never called paid."
            ],
            "button": "Write it off",
            "danger": True,
            "form": form,
            "back": words.page("billing_invoice", pk),
        }
        return TemplateResponse(request, "admin/metering/form.html", context)

    def ageing(self, request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
        """Show what customers owe by the end of a day, by days past due; ?csv the same as a file."""
        if not request.user.has_perm("billing.view_openitem"):
            raise PermissionDenied
        form = DayForm(request.GET or None)
        day = (form.is_valid() and form.cleaned_data["as_of"]) or sellers_day(at=timezone.now())
        found = positions(as_of=day)
        ordered = sorted(found.items(), key=lambda pair: (pair[0][1], -pair[1].ageing.total))
        if "csv" in request.GET:
            return _ageing_file(ordered, day)
        currencies: dict[str, list[tuple[int, Position]]] = defaultdict(list)
        for (pk, currency), position in ordered:
            currencies[currency].append((pk, position))
        names = _names_of(pk for rows in currencies.values() for pk, _ in rows[:MOST_SHOWN])
        context = {
            **self.page_context(request, "What customers owe", None),
            "opts": None,  # of all that is open, not of what is written off
            "form": form if form.is_bound else DayForm(initial={"as_of": day}),
            "day": words.day(day),
            "heads": [*(name.capitalize() for name in BUCKETS), "Open", "With us", "Owes"],
            "tables": [
                {
                    "currency": currency,
                    "rows": [
                        {
                            "customer": names[pk],
                            "url": f"{statement_url(pk)}?{asked_for(currency, day)}",
                            "amounts": amounts_of(position, currency),
                        }
                        for pk, position in rows[:MOST_SHOWN]
                    ],
                    "more": words.counted(len(rows) - MOST_SHOWN, "customer")
                    if len(rows) > MOST_SHOWN
                    else "",
                    "total": amounts_of(together([one for _, one in rows]), currency),
                }
                for currency, rows in currencies.items()
            ],
            "csv_url": f"?{urlencode({'as_of': day.isoformat(), 'csv': ''})}",
        }
        return TemplateResponse(request, "admin/billing/ageing.html", context)

    def statement(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show what moved a customer's account to the end of a day."""
        asked = self._account(request, pk)
        if asked is None:
            return self.missing(request, str(pk))
        form = DayForm(request.GET or None)
        context = {
            **self.page_context(request, f"Account of {asked.customer}", None),
            "opts": asked.customer._meta,
            "original": asked.customer,
            "customer": str(asked.customer),
            "customer_url": words.page("customers_customer", pk),
            "form": form if form.is_bound else DayForm(initial={"as_of": asked.day}),
            "day": words.day(asked.day),
            "currency": asked.currency,
            "currencies": [
                (one, f"?{asked_for(one, asked.day)}", one == asked.currency)
                for one in currencies_of(asked.customer)
            ],
            "view": asked.view(words.LOCALE),
            "pdf_url": f"{reverse('admin:billing_writeoff_statement_pdf', args=(pk,))}?"
            f"{asked_for(asked.currency, asked.day)}",
        }
        return TemplateResponse(request, "admin/billing/statement.html", context)

    def statement_pdf(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show the statement as its customer gets it."""
        asked = self._account(request, pk)
        if asked is None:
            return self.missing(request, str(pk))
        try:
            content = render_statement(asked.view(asked.customer.locale), until=asked.day)
        except PdfEngineMissing as trouble:
            self.message_user(request, f"No PDF: {trouble}", messages.ERROR)
            return HttpResponseRedirect(statement_url(pk))
        name = f"statement-{asked.customer.key}-{asked.day}.pdf"
        return HttpResponse(
            content,
            content_type="application/pdf",
            headers={
                "Content-Disposition": f'inline; filename="{name}"',
                "Content-Security-Policy": PDF_POLICY,
                "Cache-Control": "private, no-store",
            },
        )

    def _account(self, request: HttpRequest, pk: int) -> AskedAccount | None:
        if not request.user.has_perm("billing.view_openitem"):
            raise PermissionDenied
        customer = Customer.objects.select_related("issuer").filter(pk=pk).first()
        if customer is None:
            return None
        form = DayForm(request.GET or None)
        today = book_date(customer, at=timezone.now())
        known = currencies_of(customer)
        currency = request.GET.get("currency", "")
        return AskedAccount(
            customer,
            currency if currency in known else known[0],
            (form.is_valid() and form.cleaned_data["as_of"]) or today,
        )

    @display(description="Invoice")
    def invoice(self, row: WriteOff) -> SafeString:
        url = words.page("billing_invoice", row.item_id)
        return format_html('<a href="{}" class="text-link">{}</a>', url, str(row.item.invoice))

    @display(description="Customer")
    def customer(self, row: WriteOff) -> SafeString:
        owner = row.item.invoice.customer
        url = words.page("customers_customer", owner.pk)
        return format_html('<a href="{}" class="text-link">{}</a>', url, short(str(owner)))

    @display(description="Amount", ordering="amount")
    def said_amount(self, row: WriteOff) -> str:
        return words.money(row.amount, row.item.invoice.currency)

    @display(description="State", label={"Taken back": "", "Written off": "warning"})
    def state(self, row: WriteOff) -> str:
        return "Taken back" if row.reversed_on else "Written off"


def _names_of(customer_ids: Iterable[int]) -> dict[int, str]:
    found = Customer.objects.filter(pk__in=set(customer_ids))
    return dict(found.values_list("pk", "name"))


def _ageing_file(found: list[tuple[Account, Position]], day: date) -> StreamingHttpResponse:
    customers = Customer.objects.in_bulk({pk for (pk, _), _ in found})
    heads = ["customer", "number", "currency", *BUCKETS, "open", "balance", "deposits", "total"]
    rows = []
    for (pk, currency), one in found:
        sums = (one.ageing.total, one.balance, one.deposits, one.total)
        places = exponent(currency)
        told = [f"{round_half_up(each, places):f}" for each in (*one.ageing.buckets, *sums)]
        rows.append([cell(customers[pk].name), cell(customers[pk].key), currency, *told])
    return download(f"ageing-{day}.csv", [heads, *rows])
