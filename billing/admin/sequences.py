"""The counters that number invoices, to read."""

from __future__ import annotations

from django.contrib import admin

from billing.models import DocumentSequence
from config.base.admin.audited import ReadOnlyAdmin
from config.base.admin.theme import display


@admin.register(DocumentSequence)
class DocumentSequenceAdmin(ReadOnlyAdmin[DocumentSequence]):
    list_display = ("name", "issuer", "year", "spent", "next_number", "last_issue_date")
    list_filter = ("year", ("issuer", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("issuer",)
    ordering = ("-year", "issuer_id", "kind", "series")
    fields = ("issuer", "kind", "series", "year", "next_number", "last_issue_date")
    empty_hint = "A sequence begins with the first invoice that an issuer issues in a year."

    @display(description="Sequence")
    def name(self, sequence: DocumentSequence) -> str:
        return f"{sequence.kind}-{sequence.series}{sequence.year}"

    @display(description="Numbers spent")
    def spent(self, sequence: DocumentSequence) -> int:
        return sequence.next_number - 1
