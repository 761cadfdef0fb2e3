"""What must always hold of what was billed, for `manage.py audit`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal

from django.db.models import Case, Count, Exists, F, OuterRef, Q, When

from billing.calculation import add_up
from billing.models import InvoiceAnnex, InvoiceLine, LineKind, SoldAddOn
from billing.models.invoices import UNDONE
from catalog.add_ons import rate_add_on
from config.base.invariants import Finding, Invariant


def _add_ons_not_billed_once(at: datetime) -> Iterator[Finding]:
    """Find sales that are on two invoices, or are missing on the one that should charge them."""
    lines = InvoiceLine.objects.filter(sold_add_on=OuterRef("pk"))
    is_charged = Q(invoice__isnull=False) & ~Q(invoice__status__in=UNDONE)
    sales = SoldAddOn.objects.annotate(
        has_its_line=Exists(lines.filter(invoice=OuterRef("invoice"))),
        lines_found=Count("lines", filter=~Q(lines__invoice__status__in=UNDONE)),
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
        due = rate_add_on(sold.quantity, sold.unit_amount, sold.currency).net
        if due != line.priced:
            difference = f"{line.priced - due:f}"
            yield Finding(f"sale {sold.key}", f"{due:f}", f"{line.priced:f}", difference)


def _annexes_that_do_not_add_up(at: datetime) -> Iterator[Finding]:
    """Find invoices whose drivers don't lead to their net, or whose values don't add up."""
    annexes = InvoiceAnnex.objects.select_related("invoice").order_by("pk")
    for annex in annexes.iterator():
        number, change = annex.invoice.number, annex.change
        if change:
            reached = add_up(
                Decimal(text)
                for text in (change["last_net"], *(one["amount"] for one in change["drivers"]))
            )
            invoice = annex.invoice
            billed = invoice.total if invoice.prices_include_tax else invoice.net_total
            if reached != billed:
                expected = f"{billed:f}"
                yield Finding(f"invoice {number}, why it changed", expected, f"{reached:f}")
        for metric in annex.usage:
            counted = add_up([Decimal(metric["used"]), Decimal(metric["later"])])
            for by in metric["by"]:
                parts = [Decimal(used) for _, used in by["values"]]
                found = add_up([*parts, Decimal(by["other"])])
                if found != counted:
                    where = f"invoice {number}, {metric['name']} by {by['name']}"
                    yield Finding(where, f"{counted:f}", f"{found:f}")


INVARIANTS = [
    Invariant(
        "annexes_add_up",
        "Why an invoice changed leads from what was last charged to its own, and dimension values add up.",
        _annexes_that_do_not_add_up,
    ),
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
