"""The demo's invoices and credit notes as PDF files, and its mails as files."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from django.conf import settings

from billing.credit_documents import store_credit_note
from billing.demo.story import Tell, Told
from billing.documents import document_path, store_document
from billing.models import CreditNote, Invoice, InvoiceStatus
from billing.services import noting
from billing.services.issuing import RENDER
from billing.services.sending import MAIL
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
        while any(outbox.deliver_due(at=now, limit=AT_ONCE, kind=RENDER)):
            tell(f"{issued.count() - missing.count()} of {issued.count()} PDFs written")
    for invoice in missing:
        store_document(invoice.pk)  # a worker has claimed it, and may be long about it
    notes = CreditNote.objects.filter(issuer=told.issuer_id)
    for note in notes.filter(document=None):
        store_credit_note(note.pk)
    while any(outbox.deliver_due(at=now, limit=AT_ONCE, kind=noting.RENDER)):
        pass  # those are made, which nobody has noted
    folder.mkdir(parents=True, exist_ok=True)
    made: dict[str | None, str | None] = {
        **dict(issued.values_list("number", "documents__sha256")),
        **dict(notes.values_list("number", "document__sha256")),
    }
    for number, sha256 in made.items():
        paper = folder / f"{number}.pdf"
        if sha256 and not paper.exists():
            shutil.copyfile(document_path(sha256), paper)
    with _mails_as_files(folder / "mail"):
        while any(outbox.deliver_due(at=now, limit=AT_ONCE, kind=MAIL)):
            pass


@contextmanager
def _mails_as_files(folder: Path) -> Iterator[None]:
    """Write every mail to a file in `folder`: whatever server is set, the demo's customers get none."""
    before = settings.EMAIL_BACKEND, getattr(settings, "EMAIL_FILE_PATH", None)
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = str(folder)
    try:
        yield
    finally:
        settings.EMAIL_BACKEND, settings.EMAIL_FILE_PATH = before
