"""Accounts as of any day: what is open, what customers have with us, and what moved either.

Asks what was so by the end of a day, by the dates of the rows, never by what they say now; so a
statement, the ageing of its invoices and what is left of payments tie out to the cent.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple, cast

from django.db.models import DecimalField, F, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce

from billing.models import (
    Allocation,
    CreditNote,
    Invoice,
    OpenItem,
    Payment,
    PaymentKind,
    PaymentMethod,
    Refund,
    WriteOff,
)
from billing.money import (
    Ageing,
    Candidate,
    Entry,
    Moved,
    Owed,
    Statement,
    add,
    ageing,
    state_account,
)
from catalog.money import EXACT, ZERO
from config.base.fields import ExactSum
from customers.models import Customer

_AMOUNT = DecimalField[Any, Any](max_digits=19, decimal_places=4)
Account = tuple[int, str]
"""A customer's id and a currency."""


class OpenInvoice(NamedTuple):
    """An invoice's id, and what was open of it on a day."""

    invoice_id: int
    owed: Owed


class Position(NamedTuple):
    """One account on a day: what is open by age, less what the customer has with us."""

    ageing: Ageing
    balance: Decimal
    deposits: Decimal

    @property
    def total(self) -> Decimal:
        """What the customer owes, all in all: what its statement closes with."""
        return EXACT.subtract(self.ageing.total, EXACT.add(self.balance, self.deposits))


class AtIssue(NamedTuple):
    """An account as an invoice that was just issued tells it (invoice.md, section 11)."""

    before: Decimal
    received: Decimal
    invoiced: Decimal
    from_deposits: Decimal

    @property
    def outstanding(self) -> Decimal:
        """What is to pay now of all invoices."""
        left = EXACT.subtract(self.before, self.received)
        return EXACT.subtract(EXACT.add(left, self.invoiced), self.from_deposits)


def open_invoices(
    *, as_of: date, customer_ids: Collection[int] | None = None
) -> Iterator[OpenInvoice]:
    """Yield what was open by the end of a day, in order of issue; None: of all customers."""
    items = OpenItem.objects.filter(invoice__issue_date__lte=as_of).exclude(voided_on__lte=as_of)
    if customer_ids is not None:
        items = items.filter(invoice__customer__in=customer_ids)
    parts = _paid(as_of, "item"), _given_up(as_of), _credited(as_of)
    settled = [Coalesce(Subquery(part), Value(0), output_field=_AMOUNT) for part in parts]
    found = items.annotate(
        paid_by=settled[0], given_up_by=settled[1], credited_by=settled[2]
    ).filter(
        # SQLite may be a hair off: looked at again below
        total__gt=F("paid_by") + F("given_up_by") + F("credited_by")
    )
    of_invoice = [f"invoice__{name}" for name in ("customer", "currency", "due_date")]
    settled_by = ("paid_by", "given_up_by", "credited_by")
    rows = found.order_by("pk").values_list("pk", *of_invoice, "total", *settled_by)
    for pk, customer_id, currency, due_date, total, *gone in rows:
        if left := EXACT.subtract(total, add(gone)):
            yield OpenInvoice(pk, Owed(customer_id, currency, due_date, left))


def with_us(
    *, as_of: date, customer_ids: Collection[int] | None = None
) -> dict[Account, dict[str, Decimal]]:
    """Return what was left of payments by the end of a day, by account and PaymentKind."""
    payments = Payment.objects.filter(received_on__lte=as_of).exclude(reversed_on__lte=as_of)
    if customer_ids is not None:
        payments = payments.filter(customer__in=customer_ids)
    parts = _paid(as_of, "payment"), _paid_back(as_of)
    used = [Coalesce(Subquery(part), Value(0), output_field=_AMOUNT) for part in parts]
    found = payments.annotate(allocated_by=used[0], refunded_by=used[1]).filter(
        amount__gt=F("allocated_by") + F("refunded_by")
    )
    left: dict[Account, dict[str, Decimal]] = defaultdict(lambda: defaultdict(lambda: ZERO))
    for one in cast(Iterable[Any], found):
        rest = EXACT.subtract(one.amount, EXACT.add(one.allocated_by, one.refunded_by))
        if rest:
            mine = left[one.customer_id, one.currency]
            mine[one.kind] = EXACT.add(mine[one.kind], rest)
    return left


def positions(
    *, as_of: date, customer_ids: Collection[int] | None = None
) -> dict[Account, Position]:
    """Return the accounts that anything was open of, or left on, by the end of a day."""
    owed: dict[Account, list[Owed]] = defaultdict(list)
    for _, one in open_invoices(as_of=as_of, customer_ids=customer_ids):
        owed[one.customer_id, one.currency].append(one)
    left = with_us(as_of=as_of, customer_ids=customer_ids)
    return {
        account: Position(
            ageing(owed.get(account, ()), as_of=as_of),
            left[account][PaymentKind.PAYMENT] if account in left else ZERO,
            left[account][PaymentKind.DEPOSIT] if account in left else ZERO,
        )
        for account in [*owed, *(one for one in left if one not in owed)]
    }


def currencies_of(customer: Customer) -> list[str]:
    """Return the currencies of a customer's accounts, its own first."""
    billed = Invoice.objects.filter(customer=customer, open_item__isnull=False)
    others = {*billed.values_list("currency", flat=True).distinct().order_by()}
    paid = Payment.objects.filter(customer=customer).values_list("currency", flat=True)
    others |= {*paid.distinct().order_by()}
    return [customer.currency, *sorted(others - {customer.currency})]


def statement_of(
    customer: Customer, currency: str, *, since: date | None = None, until: date
) -> Statement:
    """Return what moved one account of a customer, to the end of a day."""
    return state_account(_entries(customer, currency), since=since, until=until)


def position_at_issue(invoice: Invoice) -> AtIssue:
    """Return the account as it was frozen when this invoice was issued."""
    item = invoice.open_item
    deposits = [
        one.amount
        for one in item.allocations.all()
        if one.at_issue and one.payment.kind == PaymentKind.DEPOSIT
    ]
    return AtIssue(item.balance_before, item.received_before, item.total, add(deposits))


def _entries(customer: Customer, currency: str) -> Iterator[Entry]:
    yield from _invoiced(customer, currency)
    credited = Q(invoice__customer=customer, invoice__currency=currency)
    for note in CreditNote.objects.filter(credited):
        yield Entry(note.issue_date, Moved.CREDIT_NOTE, note.number, EXACT.minus(note.total))
    mine = Q(customer=customer, currency=currency)
    for payment in Payment.objects.filter(mine):
        by_credit = payment.method == PaymentMethod.CREDIT
        kind, name = Moved.CREDIT if by_credit else Moved(payment.kind), payment.reference
        yield Entry(payment.received_on, kind, name, EXACT.minus(payment.amount))
        if payment.reversed_on:
            yield Entry(payment.reversed_on, Moved.REVERSED, name, payment.amount)
    of_payment = Q(payment__customer=customer, payment__currency=currency)
    for refund in Refund.objects.filter(of_payment):
        name = refund.reference
        yield Entry(refund.refunded_on, Moved.REFUND, name, refund.amount)
        if refund.reversed_on:
            back = EXACT.minus(refund.amount)
            yield Entry(refund.reversed_on, Moved.REFUND_REVERSED, name, back)
    of_invoice = Q(item__invoice__customer=customer, item__invoice__currency=currency)
    for given_up in WriteOff.objects.filter(of_invoice).select_related("item__invoice"):
        name = str(given_up.item.invoice)
        less = EXACT.minus(given_up.amount)
        yield Entry(given_up.written_off_on, Moved.WRITE_OFF, name, less)
        if given_up.reversed_on:
            yield Entry(given_up.reversed_on, Moved.WRITE_OFF_REVERSED, name, given_up.amount)


def _invoiced(customer: Customer, currency: str) -> Iterator[Entry]:
    mine = OpenItem.objects.filter(invoice__customer=customer, invoice__currency=currency)
    for item in mine.select_related("invoice"):
        invoice = item.invoice
        assert invoice.issue_date is not None
        yield Entry(invoice.issue_date, Moved.INVOICE, str(invoice), item.total, invoice.due_date)
        if item.voided_on:
            yield Entry(item.voided_on, Moved.VOID, str(invoice), EXACT.minus(item.total))


def _paid(as_of: date, whose: str) -> QuerySet[Any, Any]:
    rows = Allocation.objects.filter(**{whose: OuterRef("pk")}, allocated_on__lte=as_of)
    return _sum(rows.exclude(released_on__lte=as_of), whose)


def _given_up(as_of: date) -> QuerySet[Any, Any]:
    rows = WriteOff.objects.filter(item=OuterRef("pk"), written_off_on__lte=as_of)
    return _sum(rows.exclude(reversed_on__lte=as_of), "item")


def _credited(as_of: date) -> QuerySet[Any, Any]:
    rows = CreditNote.objects.filter(invoice=OuterRef("pk"), issue_date__lte=as_of)
    return _sum(rows, "invoice", "total")


def _paid_back(as_of: date) -> QuerySet[Any, Any]:
    rows = Refund.objects.filter(payment=OuterRef("pk"), refunded_on__lte=as_of)
    return _sum(rows.exclude(reversed_on__lte=as_of), "payment")


def _sum(rows: QuerySet[Any], whose: str, what: str = "amount") -> QuerySet[Any, Any]:
    summed: QuerySet[Any, Any] = (
        rows.order_by().values(whose).annotate(sum=ExactSum(what)).values("sum")
    )
    return summed


def candidates_of(customer_id: int, currency: str) -> list[Candidate]:
    """Return what is open now of a customer's invoices in a currency, the longest due first."""
    return _candidates(Q(invoice__customer=customer_id), {currency})[currency][customer_id]


def all_candidates(currencies: Collection[str]) -> dict[str, dict[int, list[Candidate]]]:
    """Return what is open now in these currencies, by currency and customer."""
    return _candidates(Q(), currencies)


def _candidates(whose: Q, currencies: Collection[str]) -> dict[str, dict[int, list[Candidate]]]:
    items = OpenItem.objects.owed().filter(whose, invoice__currency__in=currencies)
    found: dict[str, dict[int, list[Candidate]]] = defaultdict(lambda: defaultdict(list))
    for item in items.select_related("invoice").order_by("invoice__due_date", "pk"):
        invoice = item.invoice
        assert invoice.due_date is not None
        candidate = Candidate(item.pk, str(invoice), invoice.due_date, item.open)
        found[invoice.currency][invoice.customer_id].append(candidate)
    return found
