"""How the admin's search finds invoices and credit notes."""

from __future__ import annotations

import re

from django.db.models import Q

from billing.admin import words
from billing.models import CreditNote, Invoice
from config.base.admin.find import Finder, Hit, as_uuid, first

LARGEST = 2**31 - 1  # of a sequence number


def find_invoices(query: str) -> list[Hit]:
    """Find by the number or its end, “INV-2026-000123”, “2026-123” or “123”, or by the UUID.

    Reads the index by sequence and year, however many invoices there are.
    """
    is_meant = _is_meant(query)
    if is_meant is None:
        return []
    rows = Invoice.objects.filter(is_meant).select_related("customer").order_by("-pk")
    return [
        Hit(
            words.name_of(invoice),
            " · ".join(
                (
                    words.buyer_of(invoice),
                    words.money(invoice.total, invoice.currency),
                    invoice.get_status_display().lower(),
                )
            ),
            words.page("billing_invoice", invoice.pk),
            is_exact=query.upper() == invoice.number or as_uuid(query) == invoice.uuid,
        )
        for invoice in first(rows)
    ]


def find_credit_notes(query: str) -> list[Hit]:
    """Find by the number or its end, “CN-2026-000007”, “2026-7” or “7”, or by the UUID."""
    is_meant = _is_meant(query)
    if is_meant is None:
        return []
    rows = CreditNote.objects.filter(is_meant).select_related("invoice__customer")
    return [
        Hit(
            note.number,
            " · ".join(
                (
                    note.invoice.customer.name,
                    words.money(note.total, note.currency),
                    f"credits {note.invoice}",
                )
            ),
            words.page("billing_creditnote", note.pk),
            is_exact=query.upper() == note.number or as_uuid(query) == note.uuid,
        )
        for note in first(rows.order_by("-pk"))
    ]


def _is_meant(query: str) -> Q | None:
    """Return what a document's number must be to end like this."""
    if uuid := as_uuid(query):
        return Q(uuid=uuid)
    number = re.fullmatch(r"(?:(?P<start>.*)-)?(?P<sequence>[0-9]{1,10})", query, re.ASCII)
    if number is None or int(number["sequence"]) > LARGEST:
        return None
    is_meant = Q(sequence=int(number["sequence"]))
    start = number["start"]
    if not start:
        return is_meant
    year = re.fullmatch(r"(?:.*-)?(?P<year>[0-9]{4})", start, re.ASCII)
    if year is None:
        return None
    is_meant &= Q(year=int(year["year"]))
    kind = start.removesuffix(year["year"])
    return is_meant & Q(number__istartswith=kind) if kind else is_meant


FINDERS = [
    Finder("Invoices", "billing.view_invoice", find_invoices, "billing.invoice"),
    Finder("Credit notes", "billing.view_creditnote", find_credit_notes, "billing.creditnote"),
]
