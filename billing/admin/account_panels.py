"""Accounts as other pages tell them: a customer's, and what is open of an invoice."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from billing.accounts import Position, positions
from billing.admin import words
from billing.creditable import books_of
from billing.models import Invoice, PaymentStatus
from billing.models.invoices import KEPT
from billing.money import BUCKETS, add
from billing.services.payments import book_date
from catalog.money import exponent, round_half_up
from config.base.admin.audited import Panel
from customers.models import Customer


def account_panel(request: HttpRequest, customer: Customer) -> Panel | None:
    """Show what a customer owes now, and what it has with us, by currency."""
    if not request.user.has_perm("billing.view_openitem"):
        return None
    day = book_date(customer, at=timezone.now())
    found = positions(as_of=day, customer_ids=[customer.pk])
    pays = request.user.has_perm("billing.add_payment")
    add_url = f"{reverse('admin:billing_payment_add')}?customer={customer.pk}"
    return Panel(
        "Account",
        "admin/billing/account_panel.html",
        {
            "buckets": BUCKETS,
            "rows": [
                {
                    "currency": currency,
                    "amounts": amounts_of(position, currency),
                    "url": f"{statement_url(customer.pk)}?{asked_for(currency, day)}",
                }
                for (_, currency), position in found.items()
            ],
            "statement_url": statement_url(customer.pk),
            "pay_url": add_url if pays else "",
        },
    )


def money_of(invoice: Invoice, request: HttpRequest) -> dict[str, Any] | None:
    """Return what an issued invoice's page says of its money; a constant number of queries."""
    if invoice.status not in KEPT:
        return None
    item = invoice.open_item
    said = invoice.currency
    book = books_of([invoice]).get(invoice.pk)
    parts = []
    for one in item.allocations.select_related("payment").order_by("pk"):
        payment = one.payment
        name = f"{payment.get_kind_display()} of {words.day(payment.received_on)}"
        released = f"taken back {words.day(one.released_on)}" if one.released_on else ""
        url = words.page("billing_payment", payment.pk)
        parts.append((name, url, released, words.money(one.amount, said)))
    for note in invoice.credit_notes.order_by("pk"):
        name, url = f"Credit note {note}", words.page("billing_creditnote", note.pk)
        parts.append((name, url, "", words.money(note.total, said)))
    for given_up in item.write_offs.order_by("pk"):
        back = f"taken back {words.day(given_up.reversed_on)}" if given_up.reversed_on else ""
        url = words.page("billing_writeoff", given_up.pk)
        name = f"Written off on {words.day(given_up.written_off_on)}"
        parts.append((name, url, back, words.money(given_up.amount, said)))
    may_pay = item.open and request.user.has_perm("billing.add_payment")
    may_give_up = item.open and request.user.has_perm("billing.add_writeoff")
    return {
        "parts": parts,
        "total": words.money(item.total, said),
        "open": words.money(item.open, said),
        "creditable": words.money(book.left, said) if book else "",
        "status": _status(invoice),
        "is_overdue": _is_overdue(invoice),
        "pay_url": _pay_url(invoice) if may_pay else "",
        "write_off_url": reverse("admin:billing_writeoff_of", args=(invoice.pk,))
        if may_give_up
        else "",
    }


def _pay_url(invoice: Invoice) -> str:
    """Return where to record a payment of all that is open of an invoice."""
    is_open = round_half_up(invoice.open_item.open, exponent(invoice.currency))
    told = {
        "customer": invoice.customer_id,
        "amount": f"{is_open:f}",
        "currency": invoice.currency,
        "reference": str(invoice),
    }
    return f"{reverse('admin:billing_payment_add')}?{urlencode(told)}"


def _is_overdue(invoice: Invoice) -> bool:
    due = invoice.due_date
    return bool(due and due < timezone.localdate() and invoice.open_item.open)


def _status(invoice: Invoice) -> str:
    if invoice.payment_status is None:
        return str(invoice.get_status_display())
    told = str(PaymentStatus(invoice.payment_status).label)
    return f"{told}, overdue" if _is_overdue(invoice) else told


def amounts_of(position: Position, currency: str) -> list[str]:
    """Return the buckets, their sum, what the customer has with us, and what that leaves."""
    with_us = add([position.balance, position.deposits])
    told = [*position.ageing.buckets, position.ageing.total, with_us, position.total]
    return [words.amount(one, currency) if one else "—" for one in told]


def together(found: Sequence[Position]) -> Position:
    """Add positions of one currency up."""
    buckets = tuple(
        add(parts) for parts in zip(*(one.ageing.buckets for one in found), strict=True)
    )
    return Position(
        found[0].ageing._replace(buckets=buckets),
        add(one.balance for one in found),
        add(one.deposits for one in found),
    )


def statement_url(pk: int) -> str:
    """Return the address of a customer's statement."""
    return reverse("admin:billing_writeoff_statement", args=(pk,))


def asked_for(currency: str, day: date) -> str:
    """Return the query that asks for an account by the end of a day."""
    return urlencode({"currency": currency, "as_of": day.isoformat()})
