"""Invoices in the reader's words: what PDF, portal and admin print, from frozen rows.

Owns texts, formats and order. Computes nothing and asks the database nothing beyond what
`Invoice.objects.with_lines()` loads; how it looks is the templates' business.
"""

from billing.presentation.invoice import present
from billing.presentation.views import (
    Fact,
    InvoiceView,
    LineView,
    Palette,
    PartyView,
    PaymentView,
    RowView,
    TaxView,
    TotalView,
    UsageView,
)

__all__ = [
    "Fact",
    "InvoiceView",
    "LineView",
    "Palette",
    "PartyView",
    "PaymentView",
    "RowView",
    "TaxView",
    "TotalView",
    "UsageView",
    "present",
]
