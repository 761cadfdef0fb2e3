"""Invoices as PDF, kept under their own hash, statements and terms.

The same view gives the same bytes, on any day (R28). A PDF that carries its invoice as XML is made
for archives, too: Factur-X in PDF/A-3b.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

from django.conf import settings
from django.db.models import Model
from django.template.loader import render_to_string

from billing.annexes import Annex, annex_of, keep_annex
from billing.beside import beside
from billing.electronic.carrying import Carried
from billing.electronic.demands import has_xml
from billing.electronic.writing import electronic_invoice
from billing.glyphs import Printable, described, printable
from billing.models import Invoice, InvoiceDocument
from billing.models.invoices import KEPT
from billing.presentation import InvoiceView, present
from billing.presentation.colours import palette
from billing.presentation.reader import clean
from billing.presentation.statement import StatementView
from billing.reissue import links_to
from billing.typesetting import engine, typeset
from catalog.plan_terms import Section
from config.base import audit
from config.base.audit import SYSTEM
from config.base.errors import Refusal

logger = logging.getLogger(__name__)
# A browser's own viewer needs styles; nothing in a PDF may fetch or run.
PDF_POLICY = (
    "default-src 'none'; object-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'none'"
)

_MARKED_FOR = 24 * 3600  # seconds: a draft or void invoice is printed again after that


class DocumentNotIssued(Refusal):
    """Only an issued invoice has a document that is kept."""

    code = "document_not_issued"


class Kept(NamedTuple):
    """The bytes that were kept of a document, and which characters no font has, in words."""

    sha256: str
    size_bytes: int
    missing: str


class DocumentDamaged(Exception):
    """A kept document is gone or changed, and rendering it again gives other bytes."""


def render(view: InvoiceView, xml: bytes | None = None) -> bytes:
    """Lay an invoice out as a tagged PDF, which carries its XML if one is given.

    The same view always gives the same bytes.

    :raises PdfEngineMissing: if Pango or HarfBuzz is not installed.
    """
    engine()  # says first what this machine lacks
    return _printed(view, printable(html_of(view)), xml)


def _printed(view: InvoiceView, said: Printable, xml: bytes | None) -> bytes:
    if said.missing:
        logger.warning("%s: no font has %s", view.title, described(said.missing))
    carried = Carried(xml, view.dated) if xml else None
    return typeset(said.text, bytes.fromhex(view.identifier), carried)


def html_of(view: InvoiceView) -> str:
    """Return what is laid out of an invoice."""
    return render_to_string(
        "invoice/invoice.html", {"view": view, "dated": f"{view.dated:%Y-%m-%dT%H:%M:%SZ}"}
    )


def render_terms(
    *,
    title: str,
    seller: str,
    language: str,
    sections: Sequence[Section],
    dated: datetime,
    accent: str,
    identifier: str,
) -> bytes:
    """Lay the terms of a plan out as a tagged PDF; the same terms always give the same bytes.

    :raises PdfEngineMissing: if Pango or HarfBuzz is not installed.
    """
    engine()  # says first what this machine lacks
    values = {
        "title": clean(title),
        "seller": clean(seller),
        "language": language,
        "sections": sections,
        "dated": f"{dated.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "palette": palette(accent),
    }
    html = render_to_string("invoice/terms.html", values)
    return typeset(html, hashlib.md5(identifier.encode(), usedforsecurity=False).digest())


def render_statement(view: StatementView, *, until: date) -> bytes:
    """Lay a statement of account out as a tagged PDF; the same statement always gives the same bytes.

    :raises PdfEngineMissing: if Pango or HarfBuzz is not installed.
    """
    engine()  # says first what this machine lacks
    html = render_to_string(
        "invoice/statement.html", {"view": view, "dated": f"{until:%Y-%m-%d}T00:00:00Z"}
    )
    return typeset(html, hashlib.md5(html.encode(), usedforsecurity=False).digest())


def pdf_of(invoice: Invoice) -> bytes:
    """Return an invoice as a PDF: the kept bytes of an issued one, made now if not made yet.

    A draft or void invoice is rendered with its mark and not kept.

    :raises PdfEngineMissing: if it has to be rendered and can't be.
    :raises DocumentDamaged: if the kept bytes are not what was kept.
    """
    if invoice.status not in KEPT:
        view = _marked(invoice.pk)
        return _marked_pdf(view) or render(view)
    document = next(iter(invoice.documents.all()), None) or store_document(invoice.pk)
    return _kept(document)


def made_pdf(invoice: Invoice) -> bytes | None:
    """Return the PDF of an invoice if it is made already, and lay nothing out here.

    :raises DocumentDamaged: if the kept bytes are not what was kept.
    """
    if invoice.status not in KEPT:
        return _marked_pdf(_marked(invoice.pk))
    document = invoice.documents.first()
    return _kept(document) if document else None


def make_pdf(invoice_id: int) -> None:
    """Make the PDF of an invoice, for whoever asks next: kept, or for a day where it is marked.

    :raises PdfEngineMissing: if it can't be rendered.
    """
    try:
        store_document(invoice_id)
    except DocumentNotIssued:
        view = _marked(invoice_id)
        path = _marked_path(view)
        if not path.exists():
            _write(path, render(view))
        _forget_marked(path.parent, since=time.time() - _MARKED_FOR)


def _marked(invoice_id: int) -> InvoiceView:
    """Return the view of an invoice that is printed with its mark."""
    invoice = Invoice.objects.with_lines().get(pk=invoice_id)
    return _view(invoice, annex_of(invoice))


def _marked_pdf(view: InvoiceView) -> bytes | None:
    path = _marked_path(view)
    return path.read_bytes() if path.exists() else None


def _marked_path(view: InvoiceView) -> Path:
    """Return where such a PDF is, under the hash of what it says: a redrawn draft has another."""
    said = hashlib.sha256(html_of(view).encode()).hexdigest()
    return Path(settings.DATA_DIR) / "drafts" / f"{said}.pdf"


def _forget_marked(folder: Path, *, since: float) -> None:
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < since:
                path.unlink()


def store_document(invoice_id: int) -> InvoiceDocument:
    """Render an issued invoice and keep its bytes, once; running again changes nothing.

    First the file, complete under its final name, then the row: a run that is killed leaves
    nothing that anybody takes for a document.

    :raises DocumentNotIssued: for a draft, a discarded or a void invoice.
    :raises PdfEngineMissing: if it can't be rendered.
    """
    invoice = Invoice.objects.with_lines().get(pk=invoice_id)
    for document in invoice.documents.all():
        return document
    if invoice.status not in KEPT:
        raise DocumentNotIssued(f"{invoice} is not issued, so there is no document to keep.")
    kept = keep(_view(invoice, keep_annex(invoice)), xml_of(invoice))
    document, is_new = InvoiceDocument.objects.get_or_create(
        invoice=invoice, defaults={"sha256": kept.sha256, "size_bytes": kept.size_bytes}
    )
    if is_new:
        tell_missing(invoice, kept)
    return document


def keep(view: InvoiceView, xml: bytes | None = None) -> Kept:
    """Render what was issued, with the XML it is to carry, and keep its bytes under their own hash.

    :raises PdfEngineMissing: if it can't be rendered.
    """
    engine()  # says first what this machine lacks
    said = printable(html_of(view))
    pdf = _printed(view, said, xml)
    sha256 = hashlib.sha256(pdf).hexdigest()
    _write(document_path(sha256), pdf)
    return Kept(sha256, len(pdf), described(said.missing) if said.missing else "")


def tell_missing(document: Model, kept: Kept) -> None:
    """Leave in the audit trail what no font has of a document."""
    if kept.missing:
        note = f"No font has {kept.missing}: left out, or printed as “?”."
        audit.record(actor=SYSTEM, action="printed incompletely", subject=document, note=note)


def xml_of(invoice: Invoice) -> bytes | None:
    """Write the XML that the PDF of an issued invoice is to carry; None if it carries none."""
    return electronic_invoice(invoice) if has_xml(invoice) else None


def _view(invoice: Invoice, annex: Annex) -> InvoiceView:
    replaces, replaced_by = links_to(invoice).named
    if invoice.status in KEPT:
        replaced_by = ()  # came later: a kept document says what was known when it was made
    return present(
        invoice,
        portal_url=annex.portal_url,
        change=annex.change,
        details=annex.usage,
        replaces=replaces,
        replaced_by=replaced_by,
        beside=beside(invoice),
    )


def _kept(document: InvoiceDocument) -> bytes:
    def again() -> bytes:
        invoice = Invoice.objects.with_lines().get(pk=document.invoice_id)
        return render(_view(invoice, keep_annex(invoice)), xml_of(invoice))

    return read_kept(document.sha256, again)


def read_kept(sha256: str, render_again: Callable[[], bytes]) -> bytes:
    """Read kept bytes and check them; what is lost is made again if that gives the same bytes.

    :raises DocumentDamaged: if it does not.
    """
    path = document_path(sha256)
    pdf = path.read_bytes() if path.exists() else b""
    if hashlib.sha256(pdf).hexdigest() == sha256:
        return pdf
    again = render_again()
    if hashlib.sha256(again).hexdigest() != sha256:
        raise DocumentDamaged(f"{path} is missing or changed: restore it from a backup.")
    _write(path, again)
    return again


def document_path(sha256: str) -> Path:
    """Return where the document with this hash is kept."""
    return Path(settings.DATA_DIR) / "documents" / sha256[:2] / f"{sha256}.pdf"


def _write(path: Path, content: bytes) -> None:
    """Put a file in place whole, and on the disk before anything refers to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    for directory in (path.parent, path.parent.parent):
        _sync(directory)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
