"""Credit notes: asked for on an invoice's page, looked at before they are issued, read, printed, sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import AutocompleteSelectFilter, RangeDateFilter

from billing import tasks
from billing.admin import words
from billing.admin.credit_forms import REFUNDED, CreditForm, line_rows, read_parts, seen_of
from billing.admin.sending import CREDIT_NOTES, SEND, SendPages, mails_of_note
from billing.credit_documents import view_of
from billing.creditable import books_of
from billing.documents import PDF_POLICY, DocumentDamaged
from billing.electronic.carrying import xml_in
from billing.electronic.demands import note_has_xml, why_note_has_none
from billing.models import CreditNote, Invoice
from billing.presentation.credit_note import present_credit_note
from billing.services.credit_notes import (
    check_bill_anew,
    check_creditable,
    draft_credit_note,
    issue_credit_note,
)
from billing.services.noting import Drafted
from billing.services.sending import note_goes_to
from billing.typesetting import PdfEngineMissing
from catalog.money import plain
from config.base.admin.complaints import REFUSED, complaints
from config.base.admin.theme import display, short
from config.base.audit import Actor

AGAIN_AFTER = 2  # seconds until the page asks for the PDF again
_USES = {
    "off_open": "Taken off what was open",
    "off_written_off": "Taken off what was written off",
    "to_deposits": "Paid from deposits, and left of them again",
    "to_balance": "Paid, and the customer’s balance now",
    "refunded": "Paid, and recorded as paid back",
}


@admin.register(CreditNote)
class CreditNoteAdmin(SendPages[CreditNote]):
    sent = CREDIT_NOTES
    list_display = (
        "number", "buyer_name", "corrected", "net", "tax", "said_total", "issue_date", "issued_by",
    )  # fmt: skip
    list_display_links = ("number",)
    list_filter = (
        ("issue_date", RangeDateFilter),
        ("issuer", admin.RelatedOnlyFieldListFilter),
        ("invoice__customer", AutocompleteSelectFilter),
    )
    list_filter_submit = True
    list_select_related = ("invoice__customer", "issuer")
    search_fields = ("number", "invoice__number", "invoice__customer__name", "reason")
    search_help_text = "Search by number, invoice, customer or reason"
    date_hierarchy = "issue_date"
    ordering = ("-pk",)
    show_full_result_count = False
    change_form_template = "admin/billing/credit_note.html"
    empty_hint = (
        "Open an issued invoice and choose “Credit…” to take some of it back, or all of it."
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[CreditNote]:
        return super().get_queryset(request).select_related(*self.list_select_related)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return ()

    def get_actions(self, request: HttpRequest) -> Any:
        if not request.user.has_perm(SEND):
            return {}
        return {"send": (CreditNoteAdmin.send_many, "send", "Send by e-mail…")}

    def send_many(self, request: HttpRequest, queryset: QuerySet[CreditNote]) -> HttpResponse:
        return self.ask_to_send(request, queryset)

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("of/<int:pk>/", wrap(self.credit), name="billing_creditnote_of"),
            path("<int:pk>/pdf/", wrap(self.pdf), name="billing_creditnote_pdf"),
            path("<int:pk>/xml/", wrap(self.xml), name="billing_creditnote_xml"),
            *super().get_urls(),
        ]

    # Reading

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: CreditNote | None = None,
    ) -> Any:
        assert obj is not None
        in_english = request.GET.get("language") == "en"
        view = view_of(obj, locale=words.LOCALE if in_english else None)
        title = f"{obj} · {short(str(obj.invoice.customer))}"
        context |= {
            "title": title,
            "content_title": title,
            "note": {
                "name": str(obj),
                "total": words.money(obj.total, obj.currency),
                "net": words.money(obj.net_total, obj.currency),
                "tax": words.money(obj.tax_total, obj.currency),
                "reason": obj.reason,
                "invoice": str(obj.invoice),
                "invoice_url": words.page("billing_invoice", obj.invoice_id),
                "customer": str(obj.invoice.customer),
                "customer_url": words.page("customers_customer", obj.invoice.customer_id),
                "issued": f"{words.moment(obj.issued_at)} by {obj.issued_by}",
                "uses": list(_uses(obj)),
                "pdf_url": reverse("admin:billing_creditnote_pdf", args=(obj.pk,)),
                "xml_url": reverse("admin:billing_creditnote_xml", args=(obj.pk,))
                if note_has_xml(obj)
                else "",
            },
            "mails": mails_of_note(obj, request),
            "view": view,
            "is_foreign": view.language.partition("-")[0] != "en",
            "in_english": in_english,
        }
        return super().render_change_form(request, context, add, change, form_url, obj)

    def pdf(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show the kept document; where workers make it, say so until it is there."""
        return self._document(request, pk, "pdf", lambda content: content)

    def xml(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Hand out the XML that the document of an electronic credit note carries."""
        return self._document(request, pk, "xml", xml_in)

    def _document(
        self, request: HttpRequest, pk: int, kind: str, of_pdf: Callable[[bytes], bytes]
    ) -> HttpResponse:
        note = self.visible_row(request, str(pk))
        if note is None:
            if not self.has_view_permission(request):
                raise PermissionDenied
            return self.missing(request, str(pk))
        if kind == "xml" and (why := why_note_has_none(note)):
            self.message_user(request, f"No XML. {why}", messages.WARNING)
            return HttpResponseRedirect(self.url("change", pk))
        try:
            content = tasks.printed_note(note)
        except (PdfEngineMissing, DocumentDamaged) as trouble:
            self.message_user(request, f"No PDF: {trouble}", messages.ERROR)
            return HttpResponseRedirect(self.url("change", pk))
        if content is None:
            context = {**self.page_context(request, f"The PDF of {note} is being made", None)}
            return TemplateResponse(
                request,
                "admin/billing/being_made.html",
                {**context, "back": self.url("change", pk)},
                status=202,
                headers={"Refresh": str(AGAIN_AFTER), "Retry-After": str(AGAIN_AFTER)},
            )
        shown = "inline" if kind == "pdf" else "attachment"
        return HttpResponse(
            of_pdf(content),
            content_type=f"application/{kind}",
            headers={
                "Content-Disposition": f'{shown}; filename="{str(note).lower()}.{kind}"',
                "Content-Security-Policy": PDF_POLICY,
                "Cache-Control": "private, no-store",
            },
        )

    # Asked on GET, looked at after the first POST, issued by the second

    def credit(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask what to credit of an invoice; show what that comes to; issue it."""
        if not request.user.has_perm("billing.add_creditnote"):
            raise PermissionDenied
        invoice = Invoice.objects.with_lines().filter(pk=pk).first()
        if invoice is None:
            return self.missing(request, str(pk))
        try:
            check_creditable(invoice)
        except REFUSED as refusal:
            self.tell(request, refusal)
            return HttpResponseRedirect(words.page("billing_invoice", pk))
        if request.method != "POST" or "_change" in request.POST:
            return self._ask(request, invoice)
        form = CreditForm(request.POST)
        entered = {key: text for key, text in request.POST.items() if isinstance(text, str)}
        asked, errors = read_parts(books_of([invoice])[pk], entered)
        of_all = "_all" in request.POST or "all" in request.POST
        if not of_all and not asked and not errors:
            errors = ["Enter what to credit of a line, or choose all that is left."]
        if (errors and not of_all) or not form.is_valid():
            errors += [str(error) for found in form.errors.values() for error in found]
            return self._ask(request, invoice, errors)
        refund = form.cleaned_data["then"] == REFUNDED
        if refund and not request.user.has_perm("billing.refund_payment"):
            raise PermissionDenied
        terms: dict[str, Any] = {
            "asked": None if of_all else asked,
            "reason": form.cleaned_data["reason"],
            "refund": refund,
            "at": timezone.now(),
        }
        try:
            anew = form.cleaned_data["anew"]
            if "_issue" not in request.POST:
                drafted = draft_credit_note(invoice, **terms)
                if anew:
                    check_bill_anew(invoice, drafted.note)
                return self._show(request, invoice, drafted, of_all=of_all, anew=anew)
            note = issue_credit_note(
                invoice_id=pk,
                **terms,
                bill_anew=anew,
                seen=seen_of(request.POST),
                actor=Actor.user(request.user),
            )
        except REFUSED as refusal:
            return self._ask(request, invoice, [said for _, said in complaints(refusal)])
        tasks.nudge_outbox()
        said = f"{note} credits {words.money(note.total, note.currency)} of {invoice}."
        self.message_user(request, said, messages.SUCCESS)
        return HttpResponseRedirect(self.url("change", note.pk))

    def _ask(
        self, request: HttpRequest, invoice: Invoice, errors: Sequence[str] = ()
    ) -> HttpResponse:
        book = books_of([invoice])[invoice.pk]
        posted = request.POST if request.method == "POST" else None
        entered = {key: str(text) for key, text in (posted or {}).items()}
        is_paid = bool(invoice.open_item.paid)
        may_refund = request.user.has_perm("billing.refund_payment")
        context = {
            **self.page_context(request, f"Credit {invoice}", None),
            "invoice": str(invoice),
            "buyer": words.buyer_of(invoice),
            "total": words.money(invoice.total, invoice.currency),
            "open": words.money(invoice.open_item.open, invoice.currency),
            "left": words.money(book.left, invoice.currency),
            "is_left": bool(book.left),
            "include_tax": book.include_tax,
            "priced": "with tax" if book.include_tax else "net",
            "rows": list(line_rows(invoice, book, entered)),
            "form": CreditForm(posted, use_required_attribute=False)
            if posted
            else CreditForm(use_required_attribute=False),
            "asks_then": is_paid and may_refund,
            "errors": list(dict.fromkeys(errors)),
            "back": words.page("billing_invoice", invoice.pk),
        }
        return TemplateResponse(request, "admin/billing/credit.html", context)

    def _show(
        self,
        request: HttpRequest,
        invoice: Invoice,
        drafted: Drafted,
        *,
        of_all: bool,
        anew: bool,
    ) -> HttpResponse:
        note = drafted.note
        view = present_credit_note(note, drafted.lines, drafted.taxes, locale=words.LOCALE)
        kept = [
            (name, text)
            for name, text in request.POST.items()
            if name in ("reason", "then", "anew") or name[:1] in "nq" and name[1:].isdecimal()
        ]
        context = {
            **self.page_context(request, f"Issue this credit note of {invoice}?", None),
            "view": view,
            "sentences": [
                *_meaning(note),
                *([f"What {invoice} billed is billed anew by the next run."] if anew else []),
            ],
            "hidden": [
                *kept,
                ("seen", plain(invoice.open_item.credited)),
                *([("all", "")] if of_all else []),
            ],
            "button": f"Credit {words.money(note.total, note.currency)}",
        }
        return TemplateResponse(request, "admin/billing/credit_preview.html", context)

    # The list

    @display(description="Buyer", ordering="invoice__customer__name")
    def buyer_name(self, note: CreditNote) -> str:
        return short(str(note.buyer.get("name") or note.invoice.customer.name))

    @display(description="Corrects", ordering="invoice__number")
    def corrected(self, note: CreditNote) -> SafeString:
        url = words.page("billing_invoice", note.invoice_id)
        return format_html('<a href="{}" class="text-link">{}</a>', url, str(note.invoice))

    @display(description="Net", ordering="net_total")
    def net(self, note: CreditNote) -> str:
        return words.amount(note.net_total, note.currency)

    @display(description="Tax", ordering="tax_total")
    def tax(self, note: CreditNote) -> str:
        return words.amount(note.tax_total, note.currency)

    @display(description="Total", ordering="total")
    def said_total(self, note: CreditNote) -> str:
        return words.money(note.total, note.currency)


def _meaning(note: CreditNote) -> Iterator[str]:
    """Say in sentences what issuing it does."""
    yield (
        f"It is numbered and dated {words.day(note.issue_date)} or later, and never changes. The "
        "invoice stays as it is."
    )
    for label, said in _uses(note):
        yield f"{label}: {said}."
    addresses = note_goes_to(note)
    if addresses:
        yield f"It goes by e-mail, with the PDF, to {', '.join(addresses)}."
    elif addresses is not None:
        yield "It can't be sent by e-mail: no address is known."


def _uses(note: CreditNote) -> Iterator[tuple[str, str]]:
    """Yield what it is used for, as finance calls that, with the amount."""
    for name, label in _USES.items():
        if amount := getattr(note, name):
            yield label, words.money(amount, note.currency)
