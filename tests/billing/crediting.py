"""Credit notes for tests, on a line each."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from billing.crediting import Asked
from billing.models import CreditNote, Invoice, InvoiceLine
from billing.services.credit_notes import issue_credit_note
from config.base.audit import SYSTEM

NOV_20 = datetime(2026, 11, 20, 9, tzinfo=UTC)


def credit(invoice: Invoice, parts: str = "", **terms: Any) -> CreditNote:
    """Credit parts of lines, "base 10.00, calls ×500", by description; nothing: all that is left."""
    asked = [_asked(invoice, part) for part in parts.split(",")] if parts else None
    return issue_credit_note(
        invoice_id=invoice.pk,
        asked=asked,
        **{"reason": "Goodwill", "at": NOV_20, "actor": SYSTEM, **terms},
    )


def _asked(invoice: Invoice, part: str) -> Asked:
    name, _, amount = part.strip().rpartition(" ")
    line = InvoiceLine.objects.get(invoice=invoice, description__iexact=name)
    if amount.startswith("×"):
        return Asked(line.pk, quantity=Decimal(amount[1:]))
    return Asked(line.pk, amount=Decimal(amount))


def told(note: CreditNote) -> dict[str, str]:
    """Return net, tax, total, and what it was used for, as far as that is something."""
    names = ("net_total", "tax_total", "total", "off_open", "off_written_off", "to_deposits",
             "to_balance", "refunded")  # fmt: skip
    return {name: f"{value:.2f}" for name in names if (value := getattr(note, name))}
