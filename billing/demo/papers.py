"""The demo's invoices as PDF files, beside each other under their numbers."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path

from billing.demo.story import Tell, Told
from billing.documents import document_path, store_document
from billing.models import Invoice, InvoiceDocument, InvoiceStatus
from config.base.services import outbox

AT_ONCE = 20


def write_papers(told: Told, *, folder: Path, now: datetime, tell: Tell) -> None:
    """Make the documents that are not made yet, and put a copy of each in `folder`.

    :raises PdfEngineMissing: if PDFs can't be rendered here.
    """
    issued = Invoice.objects.filter(issuer=told.issuer_id, status=InvoiceStatus.ISSUED)
    missing = issued.filter(documents=None).order_by("pk")
    if first := missing.first():
        store_document(first.pk)  # says what this machine lacks, before the outbox tries them all
        while any(outbox.deliver_due(at=now, limit=AT_ONCE)):
            tell(f"{issued.count() - missing.count()} of {issued.count()} PDFs written")
    for invoice in missing:
        store_document(invoice.pk)  # a worker has claimed it, and may be long about it
    folder.mkdir(parents=True, exist_ok=True)
    for document in InvoiceDocument.objects.filter(invoice__in=issued).select_related("invoice"):
        paper = folder / f"{document.invoice.number}.pdf"
        if not paper.exists():
            shutil.copyfile(document_path(document.sha256), paper)
