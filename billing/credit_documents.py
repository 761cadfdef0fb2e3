"""The documents of credit notes: rendered once, kept under their own hash (R28)."""

from __future__ import annotations

from billing.documents import keep, read_kept, render, tell_missing
from billing.electronic.demands import note_has_xml
from billing.electronic.writing import electronic_credit_note
from billing.models import CreditNote, CreditNoteDocument
from billing.presentation.credit_note import present_credit_note
from billing.presentation.views import InvoiceView


def credit_note_pdf(note: CreditNote) -> bytes:
    """Return the kept bytes of a credit note, made now if they are not made yet.

    :raises PdfEngineMissing: if it has to be rendered and can't be.
    :raises DocumentDamaged: if the kept bytes are not what was kept.
    """
    store_credit_note(note.pk)
    pdf = made_credit_note(note)
    assert pdf is not None
    return pdf


def made_credit_note(note: CreditNote) -> bytes | None:
    """Return the PDF of a credit note if it is made already, and lay nothing out here.

    :raises DocumentDamaged: if the kept bytes are not what was kept.
    """
    kept = CreditNoteDocument.objects.filter(note=note.pk).first()
    return read_kept(kept.sha256, lambda: _rendered(note)) if kept else None


def store_credit_note(note_id: int) -> CreditNoteDocument:
    """Render a credit note and keep its bytes, once; running again changes nothing.

    :raises PdfEngineMissing: if it can't be rendered.
    """
    if known := CreditNoteDocument.objects.filter(note=note_id).first():
        return known
    note = CreditNote.objects.get(pk=note_id)
    kept = keep(view_of(note), xml_of(note))
    document, is_new = CreditNoteDocument.objects.get_or_create(
        note=note, defaults={"sha256": kept.sha256, "size_bytes": kept.size_bytes}
    )
    if is_new:
        tell_missing(note, kept)
    return document


def xml_of(note: CreditNote) -> bytes | None:
    """Write the XML that the PDF of a credit note is to carry; None if it carries none."""
    found = CreditNote.objects.with_lines().get(pk=note.pk)
    return electronic_credit_note(found) if note_has_xml(found) else None


def _rendered(note: CreditNote) -> bytes:
    return render(view_of(note), xml_of(note))


def view_of(note: CreditNote, *, locale: str | None = None) -> InvoiceView:
    """Return what a saved credit note shows, in its buyer's language or that of `locale`."""
    found = CreditNote.objects.with_lines().get(pk=note.pk)
    lines, taxes = list(found.lines.all()), list(found.taxes.all())
    return present_credit_note(found, lines, taxes, locale=locale)
