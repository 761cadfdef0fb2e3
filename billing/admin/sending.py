"""Sending documents by e-mail: who gets what, asked before it goes; and what became of each mail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple

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
from billing.admin.steps import Document, Refused, each, told
from billing.mails import credit_note_view, invoice_view
from billing.models import CreditNote, Delivery, DeliveryStatus, Invoice, InvoiceStatus, Unsent
from billing.presentation.mail import MailView, as_text
from billing.presentation.reader import sentence
from billing.services.sending import (
    check_addresses,
    recipients,
    send_credit_notes,
    send_invoices,
)
from config.base.admin.audited import ReadOnlyAdmin
from config.base.admin.complaints import REFUSED
from config.base.admin.theme import textarea
from config.base.audit import Actor
from config.base.errors import Invalid
from customers.models import Issuer

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


class Sent(NamedTuple, Generic[Document]):
    """How documents of a kind are loaded to be sent, sent, and worded as a mail."""

    noun: str
    warning: str
    load: Callable[[QuerySet[Document]], QuerySet[Document]]
    send: Callable[..., list[Delivery]]
    """Takes their ids, `to`, `at` and `actor`."""
    view: Callable[[Document], MailView]


INVOICES: Sent[Invoice] = Sent(
    noun="invoice",
    warning="What was sent can’t be voided any more: it is corrected with a credit note.",
    load=lambda rows: rows.select_related("issuer", "customer").prefetch_related(
        "customer__contacts"
    ),
    send=lambda ids, **terms: send_invoices(invoice_ids=ids, **terms),
    view=lambda one: invoice_view(Invoice.objects.with_lines().get(pk=one.pk)),
)
CREDIT_NOTES: Sent[CreditNote] = Sent(
    noun="credit note",
    warning="",
    load=lambda rows: CreditNote.objects.to_send().filter(pk__in=rows.order_by().values("pk")),
    send=lambda ids, **terms: send_credit_notes(note_ids=ids, **terms),
    view=credit_note_view,
)


class SendPages(ReadOnlyAdmin[Document]):
    """The page that asks before documents are sent, for the list of them and for one."""

    sent: Sent[Document]

    def get_urls(self) -> list[URLPattern]:
        wrap, name = self.admin_site.admin_view, f"billing_{self.opts.model_name}_send"
        return [path("send/", wrap(self.send), name=name), *super().get_urls()]

    def send(self, request: HttpRequest) -> HttpResponse:
        """Show to whom these documents go and, of one, the mail; POST sends them."""
        if not request.user.has_perm(SEND):
            raise PermissionDenied
        given = request.POST if request.method == "POST" else request.GET
        ids = [int(pk) for pk in given.get("ids", "").split(",") if words.is_id(pk)][:AT_ONCE]
        return self.ask_to_send(request, self.get_queryset(request).filter(pk__in=ids))

    def ask_to_send(self, request: HttpRequest, rows: QuerySet[Document]) -> HttpResponse:
        documents = list(self.sent.load(rows).order_by("pk")[:AT_ONCE])
        if not documents:
            self.message_user(request, f"Choose the {self.sent.noun}s first.", messages.WARNING)
            return HttpResponseRedirect(self.url("changelist"))
        is_sent = request.method == "POST" and "ids" in request.POST
        form = self._form(documents, request.POST if is_sent else None)
        if is_sent and (form is None or form.is_valid()):
            return self._send(request, documents, form.cleaned_data["to"] if form else ())
        able, refused = self._sifted(documents)
        only = documents[0] if len(documents) == 1 else None
        names = words.name_of(only) if only else words.counted(len(able), self.sent.noun)
        context = {
            **self.page_context(request, f"Send {names} by e-mail?", None),
            "action_url": self.url("send"),
            "ids": ",".join(str(document.pk) for document, _ in able),
            "noun": sentence(self.sent.noun),
            "warning": self.sent.warning,
            "rows": [
                {
                    "url": self.url("change", document.pk),
                    "name": words.name_of(document),
                    "buyer": words.buyer_of(document),
                    "total": words.money(document.total, document.currency),
                    "to": addresses,
                }
                for document, addresses in able[:SHOWN]
            ],
            "rows_left_out": max(0, len(able) - SHOWN),
            "refused": [str(one) for one in refused[:SHOWN]],
            "form": form if able else None,
            "mail": self._preview(only) if only and able else None,
            "button": f"Send {names}",
            "files_note": files_note(),
            "back": self.url("change", only.pk) if only else self.url("changelist"),
        }
        return TemplateResponse(request, "admin/billing/send.html", context)

    def _preview(self, document: Document) -> dict[str, str]:
        view = self.sent.view(document)
        return {"subject": view.subject, "text": as_text(view)}

    def _form(self, documents: Sequence[Document], data: Any) -> ToForm | None:
        """Ask for addresses where one document is sent; many go to their customers' own."""
        if len(documents) > 1:
            return None
        try:
            addresses = recipients(documents[0])
        except REFUSED:
            addresses = []
        return ToForm(data, initial={"to": "\n".join(addresses)})

    def _sifted(
        self, documents: Sequence[Document]
    ) -> tuple[list[tuple[Document, list[str]]], list[Refused]]:
        able, refused = [], []
        anybody = ("somebody@else.example",) if len(documents) == 1 else ()
        for document in documents:
            try:
                recipients(document, to=anybody)
                able.append((document, [] if anybody else recipients(document)))
            except REFUSED as refusal:
                refused += told(document, refusal)
        return able, refused

    def _send(
        self, request: HttpRequest, documents: Sequence[Document], to: Sequence[str]
    ) -> HttpResponse:
        now, actor = timezone.now(), Actor.user(request.user)
        made, refused = each(
            documents,
            lambda some: self.sent.send([one.pk for one in some], to=to, at=now, actor=actor),
        )
        if made:
            tasks.nudge_mails()
            said = f"{words.counted(len(made), 'mail')} on the way"
            said = f"{said} to {', '.join(one.address for one in made[:5])}"
            self.message_user(request, f"{said}{', …' if len(made) > 5 else ''}.", messages.SUCCESS)
        for one in refused[:20]:
            self.message_user(request, str(one), messages.WARNING)
        only = len(documents) == 1
        return HttpResponseRedirect(
            self.url("change", documents[0].pk) if only else self.url("changelist")
        )


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
    may_send = invoice.status == InvoiceStatus.ISSUED and request.user.has_perm(SEND)
    url = f"{reverse('admin:billing_invoice_send')}?ids={invoice.pk}"
    return {
        **_mails(invoice, url=url if may_send else "", what="invoices"),
        "customer_url": words.page("customers_customer", invoice.customer_id),
    }


def mails_of_note(note: CreditNote, request: HttpRequest) -> dict[str, Any]:
    """Return what a credit note's page says of its mails; load its invoice and issuer. One query."""
    url = f"{reverse('admin:billing_creditnote_send')}?ids={note.pk}"
    return {
        **_mails(note, url=url if request.user.has_perm(SEND) else "", what="credit notes"),
        "customer_url": words.page("customers_customer", note.invoice.customer_id),
    }


def _mails(document: Invoice | CreditNote, *, url: str, what: str) -> dict[str, Any]:
    rows = [mail_row(one) for one in document.deliveries.order_by("-pk")]
    return {
        "rows": rows,
        "note": "" if rows else _never(document.issuer, what),
        "issuer_url": words.page("customers_issuer", document.issuer_id),
        "send_url": url,
        "send": "Send again…" if rows else "Send by e-mail…",
        "files_note": files_note(),
    }


def _never(issuer: Issuer, what: str) -> str:
    """Say why nothing was sent by itself."""
    if issuer.sends_invoices:
        return f"Not sent: {issuer} did not send {what} by e-mail when it was issued."
    return f"Not sent: {issuer} does not send {what} by e-mail."


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
