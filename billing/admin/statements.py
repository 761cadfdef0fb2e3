"""Banks' statements: uploaded, their columns mapped, their lines looked at and taken as payments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone

from billing.admin import words
from billing.bank.lines import StatementUnreadable
from billing.bank.table import COLUMNS, DATE_FORMATS, NEEDED, Mapped, Table
from billing.models import BankImport, StatementFormat
from billing.services import importing
from billing.services.importing import Line
from catalog.money import CURRENCIES
from config.base.admin.audited import ReadOnlyAdmin
from config.base.admin.complaints import REFUSED, complaints
from config.base.admin.theme import display, select, short
from config.base.audit import Actor

SHOWN = 500  # lines of one page
LABELS = {
    "date": "Booked on",
    "amount": "Amount, or what came in",
    "out": "What went out, or which way (S/H, D/C), where another column says it",
    "currency": "Currency",
    "reference": "What the payer wrote",
    "payer": "Payer",
    "key": "The bank's own name for the line",
}


class UploadForm(forms.Form):
    file = forms.FileField(
        label="Statement", help_text="CSV as your bank exports it, or camt.053 (XML); up to 5 MB."
    )


class ColumnsForm(forms.Form):
    """Which column is what."""

    def __init__(self, table: Table, mapped: Mapped, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        places = [
            (str(place), head or f"column {place + 1}") for place, head in enumerate(table.heads)
        ]
        for what in COLUMNS:
            self.fields[what] = forms.ChoiceField(
                choices=places if what in NEEDED else [("", "—"), *places],
                required=what in NEEDED,
                initial=str(mapped.columns.get(what, "")),
                label=LABELS[what],
                widget=select(),
            )
        self.fields["date_format"] = forms.ChoiceField(
            choices=list(DATE_FORMATS.items()), initial=mapped.date_format, label="Days look like",
            widget=select(),
        )  # fmt: skip
        self.fields["decimal_comma"] = forms.ChoiceField(
            choices=[("", "1,234.56"), ("1", "1.234,56")],
            initial="1" if mapped.decimal_comma else "",
            required=False,
            label="Amounts look like",
            widget=select(),
        )
        self.fields["only_currency"] = forms.ChoiceField(
            choices=[("", "—"), *((code, code) for code in CURRENCIES)],
            initial=mapped.currency,
            required=False,
            label="Currency, where no column says it",
            widget=select(),
        )

    def clean(self) -> dict[str, Any]:
        entered = super().clean() or self.cleaned_data
        if not entered.get("currency") and not entered.get("only_currency"):
            self.add_error("only_currency", "Say in which currency the account is.")
        return entered

    @property
    def mapped(self) -> Mapped:
        entered = self.cleaned_data
        return Mapped(
            {what: int(entered[what]) for what in COLUMNS if entered[what]},
            entered["date_format"],
            bool(entered["decimal_comma"]),
            entered["only_currency"],
        )


@admin.register(BankImport)
class BankImportAdmin(ReadOnlyAdmin[BankImport]):
    list_display = ("name", "said_format", "uploaded_at", "uploaded_by", "taken")
    ordering = ("-pk",)
    show_full_result_count = False
    empty_hint = "Upload your bank's statement, look at what its lines pay, and take them."

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("billing.add_bankimport")

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:pk>/columns/", wrap(self.columns), name="billing_bankimport_columns"),
            path("<int:pk>/lines/", wrap(self.lines), name="billing_bankimport_lines"),
            *super().get_urls(),
        ]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        found = self.visible_row(request, object_id)
        if found is None:
            if not self.has_view_permission(request):
                raise PermissionDenied
            return self.missing(request, object_id)
        return HttpResponseRedirect(self.url("lines", found.pk))

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Take a file, and go on to its columns, or its lines where they are known."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = UploadForm(request.POST or None, request.FILES or None)
        if form.is_valid():
            sent = form.cleaned_data["file"]
            try:
                made = importing.upload_statement(
                    name=sent.name or "",
                    content=sent.read(importing.LARGEST + 1),
                    at=timezone.now(),
                    actor=Actor.user(request.user),
                )
            except REFUSED as refusal:
                for _, message in complaints(refusal):
                    form.add_error("file", message)
            else:
                is_known = made.format == StatementFormat.CAMT or made.mapping
                return HttpResponseRedirect(self.url("lines" if is_known else "columns", made.pk))
        context = {
            **self.page_context(request, "Import a bank statement", None),
            "form": form,
            "back": self.url("changelist"),
        }
        return TemplateResponse(request, "admin/billing/upload.html", context)

    def columns(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask which column is what, beside the first rows."""
        found = self._found(request, pk)
        if found is None or found.format != StatementFormat.CSV:
            return self.missing(request, str(pk))
        table, mapped = importing.table_of(found)
        form = ColumnsForm(table, mapped, request.POST if request.method == "POST" else None)
        if form.is_valid():
            importing.map_columns(import_id=pk, mapped=form.mapped)
            return HttpResponseRedirect(self.url("lines", pk))
        context = {
            **self.page_context(request, "Which column is what?", found),
            "form": form,
            "heads": table.heads,
            "rows": [[short(cell) for cell in row] for row in table.rows[:5]],
            "back": self.url("changelist"),
        }
        return TemplateResponse(request, "admin/billing/columns.html", context)

    def lines(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show whom the lines are from and what they pay; take those that are chosen."""
        may_take = self.has_add_permission(request)
        if not self.has_view_permission(request) or (request.method == "POST" and not may_take):
            raise PermissionDenied
        found = self.visible_row(request, str(pk))
        if found is None:
            return self.missing(request, str(pk))
        if may_take and found.format == StatementFormat.CSV and not found.mapping:
            return HttpResponseRedirect(self.url("columns", pk))
        try:
            reading = importing.read_statement(found)
        except StatementUnreadable as trouble:
            self.message_user(request, str(trouble), messages.ERROR)
            return HttpResponseRedirect(self.url("changelist"))
        posted = request.POST if request.method == "POST" else {}
        chosen = {
            line.number: key.strip()
            for line in reading.lines
            if (key := posted.get(f"c{line.number}")) is not None
        }
        if request.method == "POST" and "take" in request.POST:
            numbers = [line.number for line in reading.lines if f"t{line.number}" in request.POST]
            outcome = importing.take_lines(
                import_id=pk,
                numbers=numbers,
                chosen=chosen,
                in_other_currency=[n for n in numbers if f"o{n}" in request.POST],
                at=timezone.now(),
                actor=Actor.user(request.user),
            )
            if outcome.taken:
                said = f"Recorded {words.counted(outcome.taken, 'payment')}."
                self.message_user(request, said, messages.SUCCESS)
            for number, why in outcome.refused[:20]:
                self.message_user(request, f"Line {number}: {why}", messages.WARNING)
            return HttpResponseRedirect(self.url("lines", pk))
        matched = importing.match(reading.lines[:SHOWN], chosen=chosen)
        context = {
            **self.page_context(request, f"{found}", found),
            "rows": list(_rows(matched)),
            "may_take": may_take,
            "left_out": max(0, len(reading.lines) - SHOWN),
            "unread": [(one.number, one.because, one.about) for one in reading.unread[:50]],
            "unread_count": len(reading.unread),
            "columns_url": self.url("columns", pk)
            if may_take and found.format == StatementFormat.CSV
            else "",
            "back": self.url("changelist"),
        }
        return TemplateResponse(request, "admin/billing/bank_lines.html", context)

    def _found(self, request: HttpRequest, pk: int) -> BankImport | None:
        if not self.has_add_permission(request):
            raise PermissionDenied
        return self.visible_row(request, str(pk))

    @display(description="Format")
    def said_format(self, statement: BankImport) -> str:
        return statement.get_format_display()


def _rows(matched: list[Line]) -> Iterator[dict[str, Any]]:
    numbers = importing.numbers_of(matched)
    for one in matched:
        line = one.line
        known_currency = line.currency in CURRENCIES
        yield {
            "number": line.number,
            "on": words.day(line.on),
            "payer": short(line.payer),
            "reference": short(line.reference),
            "amount": words.money(line.amount, line.currency)
            if known_currency
            else f"{line.amount:f} {line.currency}",
            "customer": one.customer.key if one.customer else "",
            "name": str(one.customer) if one.customer else "",
            "pays": [
                f"{numbers[pk]}: {words.amount(part, line.currency)}"
                for pk, part in one.proposal.portions.items()
            ],
            "because": one.proposal.because,
            "is_known": one.is_known,
            "is_doubtful": one.is_doubtful,
            "other_currency": line.currency if one.in_other_currency and known_currency else "",
            "is_ready": one.customer is not None
            and known_currency
            and not (one.is_known or one.is_doubtful or one.in_other_currency),
        }
