"""Credit notes as the payer of the invoice reads them, and their PDF."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from billing import tasks
from billing.credit_documents import view_of
from billing.documents import PDF_POLICY, DocumentDamaged
from billing.electronic.carrying import xml_in
from billing.electronic.demands import note_has_xml
from billing.models import CreditNote
from billing.portal import words
from billing.portal.invoices import AGAIN_AFTER, sent_on
from billing.presentation.reader import Reader
from billing.typesetting import PdfEngineMissing
from customers.portal import Visitor, page, signed_in


@require_safe
@signed_in
def credit_note(request: HttpRequest, visitor: Visitor, uuid: UUID) -> HttpResponse:
    """Show what was credited of an invoice, and what became of it."""
    found = _theirs(visitor, uuid)
    view = view_of(found, locale=visitor.locale)
    context = {
        "words": words.of(visitor.locale),
        "view": view,
        "sent": sent_on(found, Reader(visitor.locale, found.currency)),
        "title": f"{view.heading} {view.number}",
        "invoice_url": reverse("portal:invoice", args=(found.invoice.uuid,)),
        "pdf_url": reverse("portal:credit_note_pdf", args=(found.uuid,)),
        "xml_url": reverse("portal:credit_note_xml", args=(found.uuid,))
        if note_has_xml(found)
        else "",
    }
    return page(request, "credit_note.html", context, visitor=visitor, current="invoices")


@require_safe
@signed_in
def credit_note_pdf(request: HttpRequest, visitor: Visitor, uuid: UUID) -> HttpResponse:
    """Download the document; where a worker makes it and it is not made yet, wait for it."""
    return _download(request, visitor, _theirs(visitor, uuid), "pdf", lambda content: content)


@require_safe
@signed_in
def credit_note_xml(request: HttpRequest, visitor: Visitor, uuid: UUID) -> HttpResponse:
    """Download the XML that the document of an electronic credit note carries."""
    found = _theirs(visitor, uuid)
    if not note_has_xml(found):
        raise Http404
    return _download(request, visitor, found, "xml", xml_in)


def _download(
    request: HttpRequest,
    visitor: Visitor,
    found: CreditNote,
    kind: str,
    of_pdf: Callable[[bytes], bytes],
) -> HttpResponse:
    try:
        content = tasks.printed_note(found)
    except (PdfEngineMissing, DocumentDamaged):
        return _about(request, visitor, found, "pdf_none", status=503)
    if content is None:
        response = _about(request, visitor, found, "pdf_wait", status=202)
        response.headers["Refresh"] = response.headers["Retry-After"] = str(AGAIN_AFTER)
        return response
    return HttpResponse(
        of_pdf(content),
        content_type=f"application/{kind}",
        headers={
            "Content-Disposition": f'attachment; filename="{found.number}.{kind}"',
            "Content-Security-Policy": PDF_POLICY,
        },
    )


def _theirs(visitor: Visitor, uuid: UUID) -> CreditNote:
    mine = CreditNote.objects.filter(invoice__customer=visitor.customer)
    found = mine.select_related("invoice").filter(uuid=uuid).first()
    if found is None:
        raise Http404
    return found


def _about(
    request: HttpRequest, visitor: Visitor, note: CreditNote, what: str, *, status: int
) -> HttpResponse:
    say = words.of(visitor.locale)
    context = {
        "words": say,
        "title": say[what],
        "lead": say[f"{what}_lead"],
        "back": reverse("portal:credit_note", args=(note.uuid,)),
        "pdf_url": "",
    }
    return page(
        request, "about_pdf.html", context, visitor=visitor, current="invoices", status=status
    )
