"""What happens to an invoice's money when it is issued or void: its open item, balance and deposits (R35)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from django.db.models import Max, Q

from billing.models import Allocation, Invoice, OpenItem, Payment, PaymentKind
from billing.services.payments import locked_items, release_taken_at_issue
from catalog.money import EXACT, ZERO
from config.base.audit import Actor
from config.base.errors import Refusal
from config.base.fields import ExactSum
from config.base.rows import insert_rows, update_rows


class InvoiceSettled(Refusal):
    """Something was paid, credited or written off of the invoice (R32)."""

    code = "invoice_settled"


def open_items(invoices: Sequence[Invoice]) -> list[OpenItem]:
    """Note what is to pay of invoices that are issued now, after what their customers are owed.

    An invoice takes, as it is numbered, the balance that was there by its issue date, the oldest
    payment first, then deposits, each up to its limit per invoice. Call it in the transaction that
    issues them; five statements, however many, and one more if there is anything to take.
    """
    items = [OpenItem(invoice=invoice, total=invoice.total) for invoice in invoices]
    taken = _take(items)
    _note_positions(items, taken)
    used = {one.payment_id: one.payment for one in taken}
    update_rows(list(used.values()), ["allocated"])
    insert_rows(items)
    insert_rows(taken)
    return items


def close_item(invoice: Invoice, *, on: date, actor: Actor) -> None:
    """Leave nothing to pay of an invoice that is void, and give back what it took by itself.

    :raises InvoiceSettled: if anything else settles some of it.
    """
    release_taken_at_issue(invoice, on=on, actor=actor)
    item = locked_items([invoice.pk])[invoice.pk]
    for part, done in (("paid", "paid"), ("credited", "credited"), ("written_off", "written off")):
        if getattr(item, part):
            raise InvoiceSettled(f"Some of {invoice} is {done}: undo that first, or credit it.")
    assert invoice.issue_date is not None
    item.voided_on = max(on, invoice.issue_date)
    item.save(update_fields=["voided_on"])


def _take(items: Sequence[OpenItem]) -> list[Allocation]:
    """Use what customers have with us for what they owe now; `paid` says so on the unsaved items."""
    left = _what_is_left(item.invoice.customer_id for item in items if item.total)
    taken = []
    for item in items:
        invoice = item.invoice
        assert invoice.issue_date is not None
        for payment in left[invoice.customer_id, invoice.currency]:
            if payment.received_on > invoice.issue_date:
                continue
            amount = _share(item, payment)
            if not amount:
                continue
            taken.append(
                Allocation(
                    item=item,
                    payment=payment,
                    amount=amount,
                    allocated_on=invoice.issue_date,
                    at_issue=True,
                    available_before=_rest(payment),
                )
            )
            payment.allocated = EXACT.add(payment.allocated, amount)
            item.paid = EXACT.add(Decimal(item.paid), amount)
    return taken


def _note_positions(items: Sequence[OpenItem], taken: Sequence[Allocation]) -> None:
    """Freeze on unsaved items what their accounts were before: document and copy say the same."""
    deposits: dict[int, Decimal] = defaultdict(lambda: ZERO)
    for one in taken:
        if one.payment.kind == PaymentKind.DEPOSIT:
            deposits[one.item_id] = EXACT.add(deposits[one.item_id], one.amount)
    customers = {item.invoice.customer_id for item in items}
    before = OpenItem.objects.filter(invoice__customer__in=customers).order_by()
    accounts = before.values_list("invoice__customer", "invoice__currency").annotate(
        owed=ExactSum("open"), last=Max("invoice__issue_date")
    )
    owed: dict[tuple[int, str], Decimal] = defaultdict(lambda: ZERO)
    last: dict[tuple[int, str], date] = {}
    for customer_id, currency, still_open, issued_on in accounts:
        owed[customer_id, currency], last[customer_id, currency] = still_open, issued_on
    received: dict[tuple[int, str], Decimal] = defaultdict(lambda: ZERO)
    paid = Payment.objects.filter(customer__in=customers, kind=PaymentKind.PAYMENT)
    since = Q(received_on__gte=min(last.values())) if last else Q()
    for payment in paid.filter(since | Q(available__gt=0), reversed_on=None):
        account = (payment.customer_id, payment.currency)
        owed[account] = EXACT.subtract(owed[account], payment.available)
        if account not in last or payment.received_on > last[account]:
            received[account] = EXACT.add(received[account], payment.amount)
    for item in items:
        account = (item.invoice.customer_id, item.invoice.currency)
        item.received_before = received.pop(account, ZERO)
        item.balance_before = EXACT.add(owed[account], item.received_before)
        to_pay = EXACT.subtract(item.total, deposits[item.pk])
        owed[account] = EXACT.add(owed[account], to_pay)


def _what_is_left(customer_ids: object) -> dict[tuple[int, str], list[Payment]]:
    """Lock what is left of customers' payments; return it in the order it is used."""
    rows = Payment.objects.with_a_rest().filter(customer__in=list(customer_ids))  # type: ignore[call-overload]
    found: dict[tuple[int, str], list[Payment]] = defaultdict(list)
    for payment in rows.select_for_update().order_by("pk"):
        found[payment.customer_id, payment.currency].append(payment)
    for payments in found.values():
        payments.sort(key=lambda one: (one.kind == PaymentKind.DEPOSIT, one.received_on, one.pk))
    return found


def _share(item: OpenItem, payment: Payment) -> Decimal:
    limits = [EXACT.subtract(item.total, Decimal(item.paid)), _rest(payment)]
    if payment.max_per_invoice is not None:
        limits.append(payment.max_per_invoice)
    return min(limits)


def _rest(payment: Payment) -> Decimal:
    return EXACT.subtract(payment.amount, EXACT.add(payment.allocated, payment.refunded))
