"""Sold add-ons on invoices: which invoice charges each, and the line that it is there.

An invoice takes what waits when it is drawn; redrawn, it keeps just what it has. So what is sold
meanwhile goes on the next one, and nothing is ever on two.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from billing.models import InvoiceLine, InvoiceStatus, LineKind, SaleStatus, SoldAddOn
from catalog.add_ons import rate_add_on
from catalog.pricing import explanation


class Sales:
    """What drafts charge of add-ons: of drafts one after another, each what those before it left.

    In one query, or two where invoices are redrawn.
    """

    def __init__(self, *, subscriptions: Iterable[int], redrawn: Iterable[int]) -> None:
        self._waiting: dict[tuple[int, str], list[SoldAddOn]] = defaultdict(list)
        to_come = SoldAddOn.objects.waiting().filter(bill="next_invoice")
        for sold in to_come.filter(subscription__in=list(subscriptions)).order_by("pk"):
            self._waiting[sold.subscription_id, sold.currency].append(sold)
        self._had: dict[tuple[int, int], list[SoldAddOn]] = defaultdict(list)
        for sold in SoldAddOn.objects.filter(invoice__in=list(redrawn)).order_by("pk"):
            assert sold.invoice_id is not None
            self._had[sold.invoice_id, sold.subscription_id].append(sold)

    def of_invoice(self, invoice_id: int, subscription_id: int) -> Sequence[SoldAddOn]:
        """Return what an invoice charges of a subscription's that is drawn anew."""
        return self._had[invoice_id, subscription_id]

    def take(self, subscription_id: int, currency: str) -> Sequence[SoldAddOn]:
        """Return what a new invoice of a subscription charges, which no later one will find."""
        return self._waiting.pop((subscription_id, currency), [])


def add_on_line(sold: SoldAddOn) -> InvoiceLine:
    """Charge an add-on: quantity × amount, rounded once (R17)."""
    rated = rate_add_on(sold.quantity, sold.unit_amount, sold.currency)
    said = explanation(rated)
    said["amount"] = said.pop("net")
    del said["shortfall"]
    if sold.note:
        said["note"] = sold.note
    return InvoiceLine(
        kind=LineKind.ADD_ON,
        description=sold.name,
        sold_add_on=sold,
        service_start=sold.service_start,
        service_end=sold.service_end,
        quantity=sold.quantity,
        unit=sold.unit,
        unit_plural=sold.unit_plural,
        net=rated.net,
        rate_category=sold.tax_category,
        recognition=sold.recognition,
        explanation={"model": "add_on", **said},
    )


def claim(lines: Iterable[InvoiceLine]) -> None:
    """Let the add-ons of these lines be charged by the lines' invoices, and by no other."""
    claimed = []
    for line in lines:
        if line.sold_add_on is not None:
            line.sold_add_on.invoice = line.invoice
            claimed.append(line.sold_add_on)
    SoldAddOn.objects.bulk_update(claimed, ["invoice"])


def give_back(invoice_id: int) -> None:
    """Let what an invoice charged of add-ons wait for another one."""
    SoldAddOn.objects.filter(invoice=invoice_id).update(invoice=None)


def status_of(sold: SoldAddOn) -> SaleStatus:
    """Say what became of a sale; load `invoice`."""
    if sold.withdrawn_at:
        return SaleStatus.WITHDRAWN
    if sold.invoice is None:
        return SaleStatus.WAITING
    if sold.invoice.status == InvoiceStatus.ISSUED:
        return SaleStatus.BILLED
    return SaleStatus.DRAFTED if sold.invoice.is_open else SaleStatus.WAIVED
