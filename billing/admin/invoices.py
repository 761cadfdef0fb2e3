"""Invoices as finance reads them, and the way to everything that can be done with one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.text import smart_split, unescape_string_literal
from unfold.contrib.filters.admin import AutocompleteSelectFilter, RangeDateFilter

from billing import tasks
from billing.admin import words
from billing.admin.account_panels import money_of
from billing.admin.preview import preview
from billing.admin.reading import reading
from billing.admin.reminders import dunning_of
from billing.admin.review import ReviewPages
from billing.admin.sending import INVOICES, SEND, SendPages, mails_of
from billing.admin.steps import STEPS, Answers, Refused, Step, each, sift
from billing.documents import PDF_POLICY, DocumentDamaged
from billing.electronic.carrying import xml_in
from billing.electronic.demands import why_none
from billing.models import Invoice, InvoiceStatus, PaymentStatus
from billing.querysets import InvoiceQuerySet
from billing.typesetting import PdfEngineMissing
from config.base.admin.theme import display, short
from config.base.audit import Actor
from config.base.fields import NOT_IN_A_TEXT, UNSEEN
from customers.issuer import sellers_day
from customers.models import Customer

AT_ONCE = 1000
SHOWN = 100
AGAIN_AFTER = 2  # seconds until the page asks for the PDF again
WAIVE = "billing.waive_invoice"


class PaidFilter(admin.SimpleListFilter):
    title = "payment"
    parameter_name = "paid"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        return (("overdue", "Overdue"), ("open", "Something is open"), *PaymentStatus.choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Invoice]) -> QuerySet[Invoice]:
        assert isinstance(queryset, InvoiceQuerySet)
        match self.value():
            case None:
                return queryset
            case "overdue":
                return queryset.overdue(on=sellers_day(at=timezone.now()))
            case "open":
                return queryset.filter(open_item__open__gt=0)
            case status:
                return queryset.in_payment_status(status)


@admin.register(Invoice)
class InvoiceAdmin(ReviewPages, SendPages[Invoice]):
    sent = INVOICES
    list_display = (
        "name",
        "buyer_name",
        "state",
        "purpose",
        "net",
        "tax",
        "total_due",
        "open_amount",
        "issued_on",
        "due_on",
    )
    list_display_links = ("name",)
    list_filter = (
        "status",
        PaidFilter,
        "currency",
        ("issuer", admin.RelatedOnlyFieldListFilter),
        ("issue_date", RangeDateFilter),
        ("run", AutocompleteSelectFilter),
        ("customer", AutocompleteSelectFilter),
    )
    list_filter_submit = True
    search_fields = (
        "number",
        "customer__key",
        "customer__name",
        "customer__legal_name",
        "customer__vat_id",
    )
    search_help_text = "Search by number, customer, key or VAT ID"
    date_hierarchy = "issue_date"
    ordering = ("-pk",)
    show_full_result_count = False
    change_form_template = "admin/billing/invoice.html"
    empty_hint = (
        "Invoices are drafted when billing periods close. Subscribe a customer, send usage, "
        "then close what is due."
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Invoice]:
        found = super().get_queryset(request)
        return found.select_related("open_item", "customer").prefetch_related("charges__period")

    # The list

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Invoice], search_term: str
    ) -> tuple[QuerySet[Invoice], bool]:
        """Keep invoices in whose number or buyer each word is; buyers are looked for first, being fewer."""
        for bit in smart_split(search_term):
            word = unescape_string_literal(bit) if bit[0] in "\"'" and bit[0] == bit[-1] else bit
            theirs = Q(key__icontains=word) | Q(name__icontains=word)
            theirs |= Q(legal_name__icontains=word) | Q(vat_id__icontains=word)
            buyers = Customer.objects.filter(theirs).order_by().values("pk")
            queryset = queryset.filter(Q(number__contains=word.upper()) | Q(customer__in=buyers))
        return queryset, False

    @display(description="Invoice", ordering="number")
    def name(self, invoice: Invoice) -> str:
        return words.name_of(invoice)

    @display(description="Buyer", ordering="customer__name")
    def buyer_name(self, invoice: Invoice) -> str:
        return short(words.buyer_of(invoice))

    @display(description="State", ordering="status", label=words.TAGS)
    def state(self, invoice: Invoice) -> str:
        return invoice.get_status_display()

    @display(description="For")
    def purpose(self, invoice: Invoice) -> str:
        return words.purpose_of(invoice)

    @display(description="Net", ordering="net_total")
    def net(self, invoice: Invoice) -> str:
        return words.amount(invoice.net_total, invoice.currency)

    @display(description="Tax", ordering="tax_total")
    def tax(self, invoice: Invoice) -> str:
        return words.amount(invoice.tax_total, invoice.currency)

    @display(description="Total", ordering="total")
    def total_due(self, invoice: Invoice) -> str:
        return words.money(invoice.total, invoice.currency)

    @display(description="Open", ordering="open_item__open")
    def open_amount(self, invoice: Invoice) -> str:
        if invoice.status != InvoiceStatus.ISSUED or not invoice.open_item.open:
            return "—"
        return words.amount(invoice.open_item.open, invoice.currency)

    @display(description="Issue date", ordering="issue_date")
    def issued_on(self, invoice: Invoice) -> str:
        return words.day(invoice.issue_date) or "—"

    @display(description="Due date", ordering="due_date")
    def due_on(self, invoice: Invoice) -> str:
        return words.day(invoice.due_date) or "—"

    def get_actions(self, request: HttpRequest) -> Any:
        """Offer the steps that this person may take, for many invoices at once."""
        steps = {
            step.name: (_bulk(step), step.name, f"{step.verb}…") for step in _permitted(request)
        }
        if request.user.has_perm(SEND):
            steps["send"] = (InvoiceAdmin.send_many, "send", "Send by e-mail…")
        return steps

    def send_many(self, request: HttpRequest, queryset: QuerySet[Invoice]) -> HttpResponse:
        return self.ask_to_send(request, queryset)

    # One invoice

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Invoice | None = None,
    ) -> Any:
        assert obj is not None
        invoice = Invoice.objects.with_lines().select_related("run").get(pk=obj.pk)
        offered = [step for step in _permitted(request) if invoice.status in step.offered]
        context |= {
            "title": f"{words.name_of(invoice)} · {words.buyer_of(invoice)}",
            "content_title": f"{words.name_of(invoice)} · {words.buyer_of(invoice)}",
            "actions_detail": [
                *[self._button(step, invoice) for step in offered],
                *_credit_button(request, invoice),
            ],
            "money": money_of(invoice, request),
            "mails": mails_of(invoice, request),
            "dunning": dunning_of(invoice, request) if invoice.status == "issued" else None,
            **reading(
                invoice,
                at=timezone.now(),
                in_english=request.GET.get("language") == "en",
                recalculate_url=self._step_url("recalculate", invoice)
                if "recalculate" in {step.name for step in offered}
                else "",
            ),
        }
        return super().render_change_form(request, context, add, change, form_url, obj)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return ()

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("<int:pk>/pdf/", wrap(self.pdf), name="billing_invoice_pdf"),
            path("<int:pk>/xml/", wrap(self.xml), name="billing_invoice_xml"),
            path("preview/<int:issuer_id>/", wrap(preview), name="billing_invoice_preview"),
            path("step/<slug:name>/", wrap(self.step), name="billing_invoice_step"),
            *super().get_urls(),
        ]

    def pdf(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Show the kept document of an issued invoice; of any other, one marked as what it is.

        Where workers make it, say so until it is there.
        """
        return self._document(request, pk, "pdf", lambda content: content)

    def xml(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Hand out the XML that the document of an electronic invoice carries."""
        return self._document(request, pk, "xml", xml_in)

    def _document(
        self, request: HttpRequest, pk: int, kind: str, of_pdf: Callable[[bytes], bytes]
    ) -> HttpResponse:
        invoice = self.visible_row(request, str(pk))
        if invoice is None:
            return self._missing_or_forbidden(request, str(pk))
        if kind == "xml" and (why := why_none(invoice)):
            self.message_user(request, f"No XML. {why}", messages.WARNING)
            return HttpResponseRedirect(self.url("change", pk))
        try:
            content = tasks.printed(invoice)
        except (PdfEngineMissing, DocumentDamaged) as trouble:
            self.message_user(request, f"No PDF: {trouble}", messages.ERROR)
            return HttpResponseRedirect(self.url("change", pk))
        if content is None:
            return self._being_made(request, invoice)
        filename = words.name_of(invoice).replace(" ", "-").lower()
        shown = "inline" if kind == "pdf" else "attachment"
        return HttpResponse(
            of_pdf(content),
            content_type=f"application/{kind}",
            headers={
                "Content-Disposition": f'{shown}; filename="{filename}.{kind}"',
                "Content-Security-Policy": PDF_POLICY,
                "Cache-Control": "private, no-store",
            },
        )

    def _being_made(self, request: HttpRequest, invoice: Invoice) -> HttpResponse:
        name = words.name_of(invoice)
        context = {**self.page_context(request, f"The PDF of {name} is being made", None)}
        context["back"] = self.url("change", invoice.pk)
        return TemplateResponse(
            request,
            "admin/billing/being_made.html",
            context,
            status=202,
            headers={"Refresh": str(AGAIN_AFTER), "Retry-After": str(AGAIN_AFTER)},
        )

    # Steps: asked on GET, done on POST

    def step(self, request: HttpRequest, name: str) -> HttpResponse:
        step = STEPS.get(name)
        if step is None:
            raise Http404
        if step not in _permitted(request) or not self.has_view_permission(request):
            raise PermissionDenied
        given = request.POST if request.method == "POST" else request.GET
        ids = [int(pk) for pk in given.get("ids", "").split(",") if pk.isdecimal() and len(pk) < 19]
        invoices = list(self.get_queryset(request).filter(pk__in=ids[:AT_ONCE]).order_by("pk"))
        if not invoices:
            self.message_user(request, "Choose the invoices first.", messages.WARNING)
            return HttpResponseRedirect(self.url("changelist"))
        if request.method == "POST":
            return self._do(request, step, invoices)
        return self.ask(request, step, invoices)

    def ask(
        self, request: HttpRequest, step: Step, invoices: Sequence[Invoice], *, error: str = ""
    ) -> HttpResponse:
        """Say what a step will do to these invoices and whom it refuses; change nothing."""
        now = timezone.now()
        able, refused = sift(step, invoices, at=now)
        foreseen, more = each(able, lambda some: step.foresee(some, at=now))
        refused += more
        shown = [one.invoice for one in foreseen] or invoices
        context = {
            **self.page_context(request, f"{step.button(shown)}?", None),
            "step": step.name,
            "action_url": reverse("admin:billing_invoice_step", args=(step.name,)),
            "ids": ",".join(str(one.invoice.pk) for one in foreseen),
            "sentences": [s for s in step.meaning(foreseen, at=now) if s] if foreseen else [],
            "after": step.after,
            "rows": [
                {
                    "url": self.url("change", one.invoice.pk),
                    "name": words.name_of(one.invoice),
                    "buyer": words.buyer_of(one.invoice),
                    "held": one.invoice.reason if one.invoice.is_open else "",
                    "purpose": words.purpose_of(one.invoice),
                    "total": words.money(one.invoice.total, one.invoice.currency),
                    "after": one.after,
                }
                for one in foreseen[:SHOWN]
            ],
            "rows_left_out": max(0, len(foreseen) - SHOWN),
            "refused": [str(one) for one in refused[:SHOWN]],
            "refused_left_out": max(0, len(refused) - SHOWN),
            "asks_why": step.asks_why,
            "may_waive": request.user.has_perm(WAIVE),
            "reason": request.POST.get("reason", ""),
            "choice": request.POST.get("then", "anew"),
            "error": error,
            "button": step.button(shown),
            "danger": step.is_final and step.name != "issue",
            "back": self.url("change", invoices[0].pk)
            if len(invoices) == 1
            else self.url("changelist"),
        }
        return TemplateResponse(request, "admin/billing/confirm.html", context)

    def _do(self, request: HttpRequest, step: Step, invoices: Sequence[Invoice]) -> HttpResponse:
        reason, waive = request.POST.get("reason", "").strip(), request.POST.get("then") == "waive"
        if step.asks_why and waive and not request.user.has_perm(WAIVE):
            raise PermissionDenied
        if step.asks_why and not reason:
            return self.ask(request, step, invoices, error="Say why; it stays in the audit trail.")
        if NOT_IN_A_TEXT.search(reason.replace("\r\n", "\n")):
            return self.ask(request, step, invoices, error=UNSEEN)
        now, actor = timezone.now(), Actor.user(request.user)
        answers = Answers(reason=reason, reopen=not waive)
        able, refused = sift(step, invoices, at=now)
        done, more = each(
            able, lambda some: step.perform(some, answers=answers, at=now, actor=actor)
        )
        if done:
            tasks.nudge_outbox()
            self.message_user(request, step.success(done), messages.SUCCESS)
        self._tell_refused(request, [*refused, *more])
        one = len(invoices) == 1
        return HttpResponseRedirect(
            self.url("change", invoices[0].pk) if one else self.url("changelist")
        )

    def _tell_refused(self, request: HttpRequest, refused: Sequence[Refused]) -> None:
        for one in refused[:20]:
            self.message_user(request, str(one), messages.WARNING)
        if len(refused) > 20:
            left = words.counted(len(refused) - 20, "more invoice")
            self.message_user(request, f"{left} refused.", messages.WARNING)

    def _missing_or_forbidden(self, request: HttpRequest, object_id: str) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return self.missing(request, object_id)

    def _step_url(self, name: str, invoice: Invoice) -> str:
        return f"{reverse('admin:billing_invoice_step', args=(name,))}?ids={invoice.pk}"

    def _button(self, step: Step, invoice: Invoice) -> dict[str, Any]:
        """Return what the theme needs for a button in the head of the page."""
        return {
            "title": f"{step.verb}…",
            "icon": step.icon,
            "path": self._step_url(step.name, invoice),
            "attrs": {},
        }


def _permitted(request: HttpRequest) -> list[Step]:
    return [step for step in STEPS.values() if request.user.has_perm(step.permission)]


def _credit_button(request: HttpRequest, invoice: Invoice) -> list[dict[str, Any]]:
    """Offer to credit an issued invoice, unless nothing is left of it to credit."""
    may = request.user.has_perm("billing.add_creditnote")
    if not may or invoice.status != InvoiceStatus.ISSUED:
        return []
    if invoice.open_item.credited >= invoice.total:
        return []
    url = reverse("admin:billing_creditnote_of", args=(invoice.pk,))
    return [{"title": "Credit…", "icon": "undo", "path": url, "attrs": {}}]


def _bulk(step: Step) -> Any:
    def ask(
        page: InvoiceAdmin, request: HttpRequest, queryset: QuerySet[Invoice]
    ) -> HttpResponse | None:
        invoices = list(queryset.order_by("pk")[: AT_ONCE + 1])
        if len(invoices) > AT_ONCE:
            said = f"Choose at most {words.number(AT_ONCE)} invoices at a time."
            page.message_user(request, said, messages.WARNING)
            return None
        return page.ask(request, step, invoices)

    return ask
