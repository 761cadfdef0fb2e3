"""Invoices as their payer reads them: the list, one with every line explained, the PDF."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from celery import current_app
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from billing import tasks
from billing.annexes import told_change
from billing.beside import beside
from billing.documents import PDF_POLICY, DocumentDamaged
from billing.electronic.carrying import xml_in
from billing.electronic.demands import has_xml
from billing.models import CreditNote, DeliveryStatus, Invoice, InvoiceStatus, Purpose
from billing.models.invoices import KEPT, NUMBERED
from billing.portal import words
from billing.portal.lines import explained
from billing.presentation import present
from billing.presentation.account import due_at_issue
from billing.presentation.invoice import zones_of
from billing.presentation.reader import Reader, clean
from billing.querysets import InvoiceQuerySet
from billing.reissue import links_to
from billing.services.upcoming import running_periods
from billing.typesetting import PdfEngineMissing
from config.base.errors import Refusal
from customers.models import Subscription
from customers.periods import local_date, zone
from customers.portal import Visitor, page, signed_in

PER_PAGE = 25
AGAIN_AFTER = 3  # seconds until the page asks for the PDF again
_WAITED = "waited"


@require_safe
@signed_in
def invoices(request: HttpRequest, visitor: Visitor) -> HttpResponse:
    """List what was issued to this customer, the newest first."""
    pages = Paginator(issued_to(visitor), PER_PAGE)
    shown = pages.get_page(request.GET.get("page"))
    say = words.of(visitor.locale)
    reader = Reader(visitor.locale, visitor.customer.currency)
    number, of = (reader.number(Decimal(n)) for n in (shown.number, pages.num_pages))
    context = {
        "words": say,
        "invoices": [row(invoice, visitor) for invoice in shown],
        "page_of": say["page_of"].format(page=number, pages=of) if pages.num_pages > 1 else "",
        "newer": shown.previous_page_number() if shown.has_previous() else None,
        "older": shown.next_page_number() if shown.has_next() else None,
    }
    return page(request, "invoices.html", context, visitor=visitor, current="invoices")


@require_safe
@signed_in
def invoice(request: HttpRequest, visitor: Visitor, uuid: UUID) -> HttpResponse:
    """Show an invoice with every line's explanation in place."""
    found = _issued(visitor, uuid)
    links, told = links_to(found), beside(found)
    replaces, replaced_by = links.named
    view = present(
        found,
        locale=visitor.locale,
        change=told_change(found),
        replaces=replaces,
        replaced_by=replaced_by,
        beside=told,
    )
    reader = Reader(visitor.locale, found.currency)
    seller_zone = str(found.seller.get("time_zone") or "UTC")
    lines = explained(
        list(found.lines.all()),
        view.lines,
        reader,
        user=visitor.customer,
        zones=zones_of(found),
        zone=seller_zone,
    )
    context = {
        "words": words.of(visitor.locale),
        "view": view,
        "lines": lines,
        "status": status_of(found, reader),
        "since": _since_issue(found, reader),
        "sent": sent_on(found, reader),
        **_disputed(found, reader),
        "notes": notes_of(found, reader),
        "notes_beside": [note_row(one.note, reader) for one in told.notes if one.note],
        "related": [
            {
                "label": view.words[label],
                "number": one.number,
                "url": reverse("portal:invoice", args=(one.uuid,)),
            }
            for label, some in links._asdict().items()
            for one in some
            if one.number and one.customer_id == visitor.customer.pk
        ],
        "title": f"{view.heading} {view.number}",
        "pdf_url": reverse("portal:pdf", args=(found.uuid,)),
        "xml_url": reverse("portal:xml", args=(found.uuid,)) if has_xml(found) else "",
    }
    return page(request, "invoice.html", context, visitor=visitor, current="invoices")


@require_safe
@signed_in
def pdf(request: HttpRequest, visitor: Visitor, uuid: UUID) -> HttpResponse:
    """Download the document; where workers make it and it is not made yet, ask one and wait.

    Whoever waited first sees that it is ready, and from there the download begins.
    """
    found = _issued(visitor, uuid)
    return _download(request, visitor, found, "pdf", lambda content: content)


@require_safe
@signed_in
def xml(request: HttpRequest, visitor: Visitor, uuid: UUID) -> HttpResponse:
    """Download the XML that the document of an electronic invoice carries."""
    found = _issued(visitor, uuid)
    if not has_xml(found):
        raise Http404
    return _download(request, visitor, found, "xml", xml_in)


def _download(
    request: HttpRequest,
    visitor: Visitor,
    invoice: Invoice,
    kind: str,
    of_pdf: Callable[[bytes], bytes],
) -> HttpResponse:
    is_queued = not current_app.conf.task_always_eager
    if is_queued and invoice.status in KEPT and not invoice.documents.all():
        tasks.nudge_outbox()
        return _wait(request, visitor, invoice)
    try:
        content = tasks.printed(invoice)
    except (PdfEngineMissing, DocumentDamaged):
        return _about_pdf(request, visitor, invoice, "pdf_none", status=503)
    if content is None:
        return _wait(request, visitor, invoice)
    if _WAITED in request.GET:  # a download leaves the page that it began on as it was
        response = _about_pdf(request, visitor, invoice, "pdf_ready", status=200)
        response.headers["Refresh"] = f"0; url={request.path}"
        return response
    return HttpResponse(
        of_pdf(content),
        content_type=f"application/{kind}",
        headers={
            "Content-Disposition": f'attachment; filename="{invoice.number}.{kind}"',
            "Content-Security-Policy": PDF_POLICY,
        },
    )


def _wait(request: HttpRequest, visitor: Visitor, invoice: Invoice) -> HttpResponse:
    response = _about_pdf(request, visitor, invoice, "pdf_wait", status=202)
    response.headers["Refresh"] = f"{AGAIN_AFTER}; url=?{_WAITED}"
    response.headers["Retry-After"] = str(AGAIN_AFTER)
    return response


@require_safe
@signed_in
def upcoming(request: HttpRequest, visitor: Visitor, key: str) -> HttpResponse:
    """Show the invoice on its way as it would be now, in the shape that it will have."""
    paid = Subscription.objects.paid_by(visitor.customer).with_terms()
    subscription = paid.filter(key=key).first()
    if subscription is None:
        raise Http404
    now = timezone.now()
    try:
        running = running_periods(subscriptions=[subscription], at=now)
    except Refusal:
        running = []
    if not running:
        raise Http404
    [found] = running
    draft, say, period = found.invoice, words.of(visitor.locale), found.period
    draft.created_at = now
    reader = Reader(visitor.locale, draft.currency)
    view = present(draft, locale=visitor.locale, composed=found.composed, beside=found.beside)
    key = "upcoming_lead" if draft.auto_issue_at else "upcoming_lead_person"
    context = {
        "words": say,
        "view": view,
        "lines": explained(
            found.composed.lines,
            view.lines,
            reader,
            user=visitor.customer,
            zones={},
            zone=period.time_zone,
        ),
        "title": say["upcoming"],
        "lead": say[key].format(
            moment=reader.moment(now, period.time_zone),
            date=draft.auto_issue_at and reader.local_date(draft.auto_issue_at, period.time_zone),
        ),
        "plan": period.phase.plan_version.plan.name,
        "used_by": _used_by(subscription, visitor),
    }
    return page(request, "upcoming.html", context, visitor=visitor, current="usage")


def issued_to(visitor: Visitor) -> InvoiceQuerySet:
    """Return the invoices this customer was sent, void ones too, the newest first; no drafts."""
    sent = Invoice.objects.filter(customer=visitor.customer, status__in=NUMBERED)
    sent = sent.select_related("open_item")
    sent = sent.prefetch_related("charges__period", "credit_notes")
    return sent.order_by("-issue_date", "-pk")


def row(invoice: Invoice, visitor: Visitor) -> dict[str, Any]:
    """Return an invoice as a row of a list, from `issued_to`."""
    reader = Reader(visitor.locale, invoice.currency)
    assert invoice.issue_date is not None
    assert invoice.due_date is not None
    return {
        "number": invoice.number,
        "url": reverse("portal:invoice", args=(invoice.uuid,)),
        "period": _period(invoice, reader),
        "issued": reader.day(invoice.issue_date),
        "total": reader.money(invoice.total),
        "status": status_of(invoice, reader),
        "notes": notes_of(invoice, reader),
    }


def status_of(invoice: Invoice, reader: Reader) -> dict[str, str]:
    """Say how an invoice stands: its kind for the eye, and in words."""
    say = words.of(reader.tag)
    assert invoice.due_date is not None
    if invoice.status == InvoiceStatus.VOID:
        return {"kind": "void", "text": say["status_void"]}
    item = invoice.open_item
    if not item.total:
        return {"kind": "settled", "text": say["status_settled"]}
    if item.credited == item.total:
        return {"kind": "settled", "text": say["status_credited"]}
    if not item.open:
        is_paid = item.paid or item.credited
        return {"kind": "settled", "text": say["status_paid" if is_paid else "status_closed"]}
    day = reader.day(invoice.due_date)
    if invoice.due_date < timezone.localdate():
        kind, key = "overdue", "status_overdue"
    else:
        kind, key = "due", "status_due"
    if item.open < item.total:
        key = f"{key}_part"
    return {"kind": kind, "text": say[key].format(date=day, open=reader.money(item.open))}


def notes_of(invoice: Invoice, reader: Reader) -> list[dict[str, Any]]:
    """Return the credit notes of an invoice, the oldest first."""
    return [note_row(note, reader) for note in reversed(invoice.credit_notes.all())]


def note_row(note: CreditNote, reader: Reader) -> dict[str, Any]:
    """Return a credit note as a row of a list."""
    return {
        "number": note.number,
        "issued": reader.day(note.issue_date),
        "total": reader.money(note.total),
        "url": reverse("portal:credit_note", args=(note.uuid,)),
    }


def _since_issue(invoice: Invoice, reader: Reader) -> dict[str, Any] | None:
    """Say what is still to pay, where that is no longer what the document asks for."""
    item = invoice.open_item
    if invoice.status == InvoiceStatus.VOID or item.open == due_at_issue(invoice):
        return None
    label = words.of(reader.tag)["still_to_pay"]
    return {"label": label, "amount": reader.money(item.open), "is_over": not item.open}


def sent_on(document: Invoice | CreditNote, reader: Reader) -> str:
    """Say when it was first sent by e-mail; one query."""
    sent = document.deliveries.filter(status=DeliveryStatus.SENT).order_by("settled_at").first()
    if sent is None or sent.settled_at is None:
        return ""
    date = reader.local_date(sent.settled_at, str(document.seller.get("time_zone") or "UTC"))
    return words.of(reader.tag)["sent_on"].format(date=date)


def _disputed(invoice: Invoice, reader: Reader) -> dict[str, str]:
    """Say what is in dispute, or where to dispute something of what is open; one query."""
    item, say = invoice.open_item, words.of(reader.tag)
    found = item.disputes.filter(closed_on=None).first()
    if found:
        told = say["disputed"].format(
            amount=reader.money(found.amount),
            date=reader.day(found.opened_on),
            reason=clean(found.reason),
        )
        return {"disputed": told}
    return {"dispute_url": reverse("portal:dispute", args=(invoice.uuid,))} if item.open else {}


def today(visitor: Visitor) -> date:
    """Return the customer's day."""
    return local_date(timezone.now(), zone(visitor.customer.time_zone))


def _issued(visitor: Visitor, uuid: UUID) -> Invoice:
    sent = Invoice.objects.with_lines().filter(customer=visitor.customer, status__in=NUMBERED)
    found = sent.filter(uuid=uuid).first()
    if found is None:
        raise Http404
    return found


def _about_pdf(
    request: HttpRequest, visitor: Visitor, invoice: Invoice, what: str, *, status: int
) -> HttpResponse:
    say = words.of(visitor.locale)
    context = {
        "words": say,
        "title": say[what],
        "lead": say[f"{what}_lead"],
        "back": reverse("portal:invoice", args=(invoice.uuid,)),
        "pdf_url": request.path if what == "pdf_ready" else "",
    }
    return page(
        request, "about_pdf.html", context, visitor=visitor, current="invoices", status=status
    )


def _period(invoice: Invoice, reader: Reader) -> str:
    """Write the days of the period that it closed, or whose first fee it asks for."""
    charge = next(iter(invoice.charges.all()), None)
    if charge is None:
        return words.of(reader.tag)["one_off"]
    days = reader.span(charge.period.start_date, charge.period.end_date)
    is_opening = charge.purpose == Purpose.OPENING
    return f"{days} · {words.of(reader.tag)['opening']}" if is_opening else days


def _used_by(subscription: Subscription, visitor: Visitor) -> str:
    if subscription.customer_id == visitor.customer.pk:
        return ""
    return words.of(visitor.locale)["used_by"].format(name=subscription.customer.name)
