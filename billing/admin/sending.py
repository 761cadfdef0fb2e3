"""Sending invoices by e-mail: who gets what, asked before it goes; and what became of each mail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from billing import tasks
from billing.admin import words
from billing.admin.steps import Refused, each, told
from billing.mails import invoice_view
from billing.models import Delivery, DeliveryStatus, Invoice, InvoiceStatus, Unsent
from billing.presentation.mail import as_text
from billing.services.sending import check_addresses, recipients, send_invoices
from config.base.admin.audited import ReadOnlyAdmin
from config.base.admin.complaints import REFUSED
from config.base.admin.theme import textarea
from config.base.audit import Actor
from config.base.errors import Invalid

SEND = "billing.send_invoice"
AT_ONCE = 1000
SHOWN = 100
ADVICE = {
    Unsent.NO_ADDRESS: "Enter an e-mail address, or a contact who receives invoices; then send it.",
    Unsent.NOT_WANTED: "Hand it over as they asked for it, or send it all the same.",
    Unsent.VOID: "",
    Unsent.CREDITED: "Send it all the same, if the customer needs it beside the credit note.",
    Unsent.SETTLED: "",
    Unsent.REFUSED: "Correct the address with the customer, then send it again.",
    Unsent.GIVEN_UP: "Mend the connection to the mail server (EMAIL_URL), then send it again.",
    Unsent.INTERRUPTED: "Ask whether it came before you send it again.",
}
"""What to do about a mail that did not go."""
MENDED_BY_CUSTOMER = (Unsent.NO_ADDRESS, Unsent.REFUSED)


class ToForm(forms.Form):
    to = forms.CharField(
        widget=textarea(rows=4),
        label="To",
        max_length=3000,
        help_text="One or more addresses, each on a line of its own. Each gets a mail of its own.",
    )

    def clean_to(self) -> list[str]:
        addresses = self.cleaned_data["to"].replace(",", " ").replace(";", " ").split()
        try:
            check_addresses(addresses)
        except Invalid as faults:
            raise forms.ValidationError([fault.message for fault in faults.faults]) from faults
        return list(addresses)


class SendPages(ReadOnlyAdmin[Invoice]):
    """The page that asks before invoices are sent, for the list of invoices and for one."""

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [path("send/", wrap(self.send), name="billing_invoice_send"), *super().get_urls()]

    def send(self, request: HttpRequest) -> HttpResponse:
        """Show to whom these invoices go and, of one, the mail; POST sends them."""
        if not request.user.has_perm(SEND):
            raise PermissionDenied
        given = request.POST if request.method == "POST" else request.GET
        ids = [int(pk) for pk in given.get("ids", "").split(",") if words.is_id(pk)][:AT_ONCE]
        return self.ask_to_send(request, self.get_queryset(request).filter(pk__in=ids))

    def ask_to_send(self, request: HttpRequest, rows: QuerySet[Invoice]) -> HttpResponse:
        found = rows.select_related("issuer", "customer").prefetch_related("customer__contacts")
        invoices = list(found.order_by("pk")[:AT_ONCE])
        if not invoices:
            self.message_user(request, "Choose the invoices first.", messages.WARNING)
            return HttpResponseRedirect(self.url("changelist"))
        is_sent = request.method == "POST" and "ids" in request.POST
        form = self._form(invoices, request.POST if is_sent else None)
        if is_sent and (form is None or form.is_valid()):
            return self._send(request, invoices, form.cleaned_data["to"] if form else ())
        able, refused = self._sifted(invoices)
        only = invoices[0] if len(invoices) == 1 else None
        names = words.name_of(only) if only else words.counted(len(able), "invoice")
        context = {
            **self.page_context(request, f"Send {names} by e-mail?", None),
            "action_url": reverse("admin:billing_invoice_send"),
            "ids": ",".join(str(invoice.pk) for invoice, _ in able),
            "rows": [
                {
                    "url": self.url("change", invoice.pk),
                    "name": words.name_of(invoice),
                    "buyer": words.buyer_of(invoice),
                    "total": words.money(invoice.total, invoice.currency),
                    "to": addresses,
                }
                for invoice, addresses in able[:SHOWN]
            ],
            "rows_left_out": max(0, len(able) - SHOWN),
            "refused": [str(one) for one in refused[:SHOWN]],
            "form": form if able else None,
            "mail": _preview(only) if only and able else None,
            "button": f"Send {names}",
            "files_note": files_note(),
            "back": self.url("change", only.pk) if only else self.url("changelist"),
        }
        return TemplateResponse(request, "admin/billing/send.html", context)

    def _form(self, invoices: Sequence[Invoice], data: Any) -> ToForm | None:
        """Ask for addresses where one invoice is sent; many go to their customers' own."""
        if len(invoices) > 1:
            return None
        try:
            addresses = recipients(invoices[0])
        except REFUSED:
            addresses = []
        return ToForm(data, initial={"to": "\n".join(addresses)})

    def _sifted(
        self, invoices: Sequence[Invoice]
    ) -> tuple[list[tuple[Invoice, list[str]]], list[Refused]]:
        able, refused = [], []
        anybody = ("somebody@else.example",) if len(invoices) == 1 else ()
        for invoice in invoices:
            try:
                recipients(invoice, to=anybody)
                able.append((invoice, [] if anybody else recipients(invoice)))
            except REFUSED as refusal:
                refused += told(invoice, refusal)
        return able, refused

    def _send(
        self, request: HttpRequest, invoices: Sequence[Invoice], to: Sequence[str]
    ) -> HttpResponse:
        now, actor = timezone.now(), Actor.user(request.user)
        made, refused = each(
            invoices,
            lambda some: send_invoices(
                invoice_ids=[one.pk for one in some], to=to, at=now, actor=actor
            ),
        )
        if made:
            tasks.nudge_mails()
            said = f"{words.counted(len(made), 'mail')} on the way"
            said = f"{said} to {', '.join(one.address for one in made[:5])}"
            self.message_user(request, f"{said}{', …' if len(made) > 5 else ''}.", messages.SUCCESS)
        for one in refused[:20]:
            self.message_user(request, str(one), messages.WARNING)
        only = len(invoices) == 1
        return HttpResponseRedirect(
            self.url("change", invoices[0].pk) if only else self.url("changelist")
        )


def _preview(invoice: Invoice) -> dict[str, str]:
    view = invoice_view(Invoice.objects.with_lines().get(pk=invoice.pk))
    return {"subject": view.subject, "text": as_text(view)}


def files_note() -> str:
    """Say where mails go while no mail server is set."""
    if settings.EMAIL_BACKEND.endswith("filebased.EmailBackend"):
        return (
            "No mail server is set (EMAIL_URL): mails are written as files to "
            f"{settings.EMAIL_FILE_PATH}, and nobody gets them."
        )
    return ""


def mails_of(invoice: Invoice, request: HttpRequest) -> dict[str, Any] | None:
    """Return what an invoice's page says of its mails; one query."""
    if invoice.status in (InvoiceStatus.DISCARDED, InvoiceStatus.DRAFT, InvoiceStatus.REVIEW):
        return None
    rows = [mail_row(one) for one in invoice.deliveries.order_by("-pk")]
    may_send = invoice.status == InvoiceStatus.ISSUED and request.user.has_perm(SEND)
    url = f"{reverse('admin:billing_invoice_send')}?ids={invoice.pk}"
    return {
        "rows": rows,
        "note": "" if rows else _never(invoice),
        "issuer_url": words.page("customers_issuer", invoice.issuer_id),
        "customer_url": words.page("customers_customer", invoice.customer_id),
        "send_url": url if may_send else "",
        "send": "Send again…" if rows else "Send by e-mail…",
        "files_note": files_note(),
    }


def _never(invoice: Invoice) -> str:
    """Say why nothing was sent by itself."""
    if invoice.issuer.sends_invoices:
        return f"Not sent: {invoice.issuer} did not send invoices by e-mail when it was issued."
    return f"Not sent: {invoice.issuer} does not send invoices by e-mail."


def mail_row(one: Delivery) -> dict[str, Any]:
    """Return a mail as a row: to whom, how it stands, and what to do where it did not go."""
    settled = words.moment(one.settled_at)
    why = Unsent(one.why) if one.why else None
    return {
        "url": words.page("billing_delivery", one.pk),
        "address": one.address or "nobody",
        "state": one.get_status_display(),
        "tag": TAGS[DeliveryStatus(one.status)],
        "when": settled if settled else f"since {words.moment(one.asked_at)}",
        "by": "as it was issued" if one.at_issue else f"asked for by {one.asked_by}",
        "why": f"{why.label}." if why else "",
        "said": one.said if one.status != DeliveryStatus.SENT else "",
        "answer": one.answer,
        "advice": "" if one.answer or why is None else ADVICE[why],
        "mended_by_customer": why in MENDED_BY_CUSTOMER and not one.answer,
    }


TAGS = {
    DeliveryStatus.WAITING: "pb-open",
    DeliveryStatus.SENT: "pb-good",
    DeliveryStatus.FAILED: "pb-bad",
    DeliveryStatus.UNSENT: "",
}
