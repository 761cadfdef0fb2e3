"""What must always hold of what was billed, for `manage.py audit`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.db.models import Case, Count, Exists, F, OuterRef, Q, When

from billing.models import InvoiceLine, InvoiceStatus, LineKind, SoldAddOn
from catalog.add_ons import rate_add_on
from config.base.invariants import Finding, Invariant

_UNDONE = (InvoiceStatus.VOID, InvoiceStatus.DISCARDED)


def _add_ons_not_billed_once(at: datetime) -> Iterator[Finding]:
    """Find sales that are on two invoices, or are missing on the one that should charge them."""
    lines = InvoiceLine.objects.filter(sold_add_on=OuterRef("pk"))
    is_charged = Q(invoice__isnull=False) & ~Q(invoice__status__in=_UNDONE)
    sales = SoldAddOn.objects.annotate(
        has_its_line=Exists(lines.filter(invoice=OuterRef("invoice"))),
        lines_found=Count("lines", filter=~Q(lines__invoice__status__in=_UNDONE)),
        lines_due=Case(When(is_charged, then=1), default=0),
    )
    astray = sales.filter(~Q(lines_found=F("lines_due")) | Q(is_charged, has_its_line=False))
    for key, number, due, found in astray.order_by("pk").values_list(
        "key", "invoice__number", "lines_due", "lines_found"
    ):
        where = f", on {number or 'its draft'}" if due else ""
        yield Finding(f"sale {key}", f"{_lines(due)}{where}", _lines(found))


def _lines(count: int) -> str:
    return {0: "none", 1: "one line"}.get(count, f"{count} lines")


def _add_ons_charged_otherwise(at: datetime) -> Iterator[Finding]:
    """Find lines whose amount is not quantity × amount of what was sold."""
    lines = InvoiceLine.objects.filter(kind=LineKind.ADD_ON).select_related("sold_add_on")
    for line in lines.order_by("pk").iterator():
        sold = line.sold_add_on
        assert sold is not None
        net = rate_add_on(sold.quantity, sold.unit_amount, sold.currency).net
        if net != line.net:
            difference = f"{line.net - net:f}"
            yield Finding(f"sale {sold.key}", f"{net:f}", f"{line.net:f}", difference)


INVARIANTS = [
    Invariant(
        "add_ons_billed_once",
        "A sold add-on is a line of the one invoice that charges it, and of no other.",
        _add_ons_not_billed_once,
    ),
    Invariant(
        "add_ons_charged_as_sold",
        "What an invoice charges of an add-on is what it was sold for: quantity × amount.",
        _add_ons_charged_otherwise,
    ),
]
