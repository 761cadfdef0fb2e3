"""What must always hold of what is owed and was paid; `manage.py audit` looks for what contradicts it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal

from django.db.models import F, Q

from billing.models import Allocation, Invoice, OpenItem, Payment, Refund, WriteOff
from billing.models.invoices import NUMBERED
from catalog.money import EXACT, ZERO, exponent, round_half_up
from config.base.fields import ExactSum
from config.base.invariants import Finding, Invariant


def _sums(rows: object, whose: str) -> dict[int, Decimal]:
    """Return the amounts of rows, added up by the row they belong to."""
    return dict(rows.order_by().values_list(whose).annotate(sum=ExactSum("amount")))  # type: ignore[attr-defined]


def _unlike(who: str, told: dict[str, tuple[Decimal, Decimal]]) -> Iterator[Finding]:
    for what, (expected, actual) in told.items():
        if expected != actual:
            difference = f"{EXACT.subtract(actual, expected):f}"
            yield Finding(f"{who}, {what}", f"{expected:f}", f"{actual:f}", difference)


def _items_unlike_their_invoices(at: datetime) -> Iterator[Finding]:
    for invoice in Invoice.objects.filter(status__in=NUMBERED, open_item=None).order_by("pk"):
        yield Finding(f"invoice {invoice.uuid}", "an open item", "none")
    for item in OpenItem.objects.select_related("invoice").order_by("pk").iterator():
        invoice = item.invoice
        yield from _unlike(f"invoice {invoice.uuid}", {"total": (invoice.total, item.total)})
        if (invoice.status == "void") != (item.voided_on is not None):
            closed = "closed" if item.voided_on else "open"
            yield Finding(f"invoice {invoice.uuid}", invoice.status, f"{closed} to payment")


def _items_unlike_what_settles_them(at: datetime) -> Iterator[Finding]:
    paid = _sums(Allocation.objects.filter(released_on=None), "item")
    given_up = _sums(WriteOff.objects.filter(reversed_on=None), "item")
    for item in OpenItem.objects.select_related("invoice").order_by("pk").iterator():
        told = {
            "paid": (paid.get(item.pk, ZERO), item.paid),
            "written off": (given_up.get(item.pk, ZERO), item.written_off),
        }
        who = f"invoice {item.invoice.uuid}"
        yield from _unlike(who, told)
        settled = EXACT.add(EXACT.add(item.paid, item.credited), item.written_off)
        if settled > item.total:
            yield Finding(f"{who}, settled", f"up to {item.total:f}", f"{settled:f}")


def _payments_unlike_their_use(at: datetime) -> Iterator[Finding]:
    used = _sums(Allocation.objects.filter(released_on=None), "payment")
    paid_back = _sums(Refund.objects.filter(reversed_on=None), "payment")
    for payment in Payment.objects.order_by("pk").iterator():
        told = {
            "allocated": (used.get(payment.pk, ZERO), payment.allocated),
            "refunded": (paid_back.get(payment.pk, ZERO), payment.refunded),
        }
        who = f"payment {payment.uuid}"
        yield from _unlike(who, told)
        spent = EXACT.add(payment.allocated, payment.refunded)
        if spent > (ZERO if payment.reversed_on else payment.amount):
            yield Finding(f"{who}, used", f"up to {payment.amount:f}", f"{spent:f}")


def _money_of_others(at: datetime) -> Iterator[Finding]:
    """Find allocations between customers or currencies, and those beyond a deposit's limit."""
    astray = Allocation.objects.exclude(
        payment__customer=F("item__invoice__customer"),
        payment__currency=F("item__invoice__currency"),
    )
    for one in astray.select_related("payment__customer", "item__invoice").order_by("pk"):
        expected = f"of {one.payment.customer.key} in {one.payment.currency}"
        yield Finding(f"allocation {one.uuid}", expected, f"pays {one.item.invoice}")
    taken: dict[tuple[int, int], Decimal] = defaultdict(lambda: ZERO)
    limited = Allocation.objects.filter(released_on=None, payment__max_per_invoice__isnull=False)
    for one in limited.select_related("payment", "item__invoice").order_by("pk"):
        key = (one.payment_id, one.item_id)
        taken[key] = EXACT.add(taken[key], one.amount)
        limit = one.payment.max_per_invoice
        assert limit is not None
        if taken[key] > limit:
            where = f"payment {one.payment.uuid} on {one.item.invoice}"
            yield Finding(where, f"up to {limit:f}", f"{taken[key]:f}")


def _dates_that_cross(at: datetime) -> Iterator[Finding]:
    """Find allocations from before the money came, or the invoice was issued."""
    early = Allocation.objects.filter(
        Q(allocated_on__lt=F("payment__received_on"))
        | Q(allocated_on__lt=F("item__invoice__issue_date"))
    )
    for one in early.select_related("payment", "item__invoice").order_by("pk"):
        came, owed = one.payment.received_on, one.item.invoice.issue_date
        assert owed is not None
        yield Finding(f"allocation {one.uuid}", f"from {max(came, owed)}", f"{one.allocated_on}")


def _amounts_too_fine(at: datetime) -> Iterator[Finding]:
    """Find money finer than its currency."""
    for model, currency in (
        (Payment, "currency"),
        (Allocation, "payment__currency"),
        (Refund, "payment__currency"),
        (WriteOff, "item__invoice__currency"),
    ):
        rows = model.objects.order_by("pk").values_list("uuid", currency, "amount")
        for uuid, code, amount in rows.iterator():
            rounded = round_half_up(amount, exponent(code))
            name = str(model._meta.verbose_name)
            yield from _unlike(f"{name} {uuid}", {"amount": (rounded, amount)})


MONEY_BOOKS = [
    Invariant(
        "open_items_are_their_invoices",
        "Each issued invoice has one open item, over its total, closed exactly when it is void.",
        _items_unlike_their_invoices,
    ),
    Invariant(
        "open_items_are_what_settles_them",
        "What is paid and written off of an invoice is the sum of its parts, within its total.",
        _items_unlike_what_settles_them,
    ),
    Invariant(
        "payments_are_used_once",
        "What is used of a payment is the sum of its allocations and refunds, within its amount.",
        _payments_unlike_their_use,
    ),
    Invariant(
        "payments_pay_their_own",
        "A payment pays invoices of its customer in its currency, a deposit up to its limit.",
        _money_of_others,
    ),
    Invariant(
        "payments_pay_from_their_day",
        "Nothing is paid before the money came or the invoice was issued.",
        _dates_that_cross,
    ),
    Invariant(
        "payments_are_in_whole_units",
        "No payment, allocation, refund or write-off is finer than its currency.",
        _amounts_too_fine,
    ),
]
