"""Payments: recorded, said to pay invoices, taken back and reversed (R25, R35).

Nothing is edited. Locks are taken in one order: the payment, then open items as they were made;
both come after the invoice and its number.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from django.db import IntegrityError, transaction

from billing.models import Allocation, Invoice, OpenItem, Payment, PaymentKind, PaymentMethod
from catalog.money import EXACT, ZERO, exponent, plain, round_half_up
from config.base import audit
from config.base.audit import Actor
from config.base.errors import Fault, Invalid, Path, Refusal
from customers.issuer import issuer_of
from customers.models import Customer
from customers.periods import local_date, zone

TOO_MUCH = Decimal(10) ** 12  # of a payment: an account adds up thousands within its 15 digits
COUNTERS = ("allocated", "refunded", "reversed_on", "reversed_because")


class PaymentReversed(Refusal):
    """A reversed payment pays nothing any more."""

    code = "payment_reversed"


class PaymentRefunded(Refusal):
    """What was paid back can't be reversed as if it had never come."""

    code = "payment_refunded"


class NotEnoughLeft(Refusal):
    """More was to be used of a payment than is left of it."""

    code = "not_enough_left"


class MoreThanOpen(Refusal):
    """More was to be settled of an invoice than is open of it."""

    code = "more_than_open"


class NotPayable(Refusal):
    """The invoice is not issued, another customer's or in another currency."""

    code = "not_payable"


class DepositLimited(Refusal):
    """An invoice takes no more of a deposit than agreed."""

    code = "deposit_limited"


class AlreadyReleased(Refusal):
    """The allocation was taken back before."""

    code = "already_released"


class OtherCurrency(Refusal):
    """No invoice of the customer is in the payment's currency, nor will its next one be."""

    code = "other_currency"


class StatementKnown(Refusal):
    """A payment of that name on the bank's statement was recorded before."""

    code = "already_recorded"


class Portion(NamedTuple):
    """How much is to go to an invoice; `path` is where a caller said so."""

    invoice_id: int
    amount: Decimal
    path: Path = ("allocations",)


def book_date(customer: Customer, *, at: datetime) -> date:
    """Return the day that our books of a customer say: the issuer's, else the customer's own."""
    keeper = issuer_of(customer) or customer
    return local_date(at, zone(keeper.time_zone))


@transaction.atomic
def record_payment(
    *,
    payment: Payment,
    portions: Sequence[Portion] = (),
    in_other_currency: bool = False,
    at: datetime,
    actor: Actor,
) -> Payment:
    """Record money that came, and what it pays; what it does not pay is the customer's balance.

    Each portion counts from the day the money was there, or its invoice was issued if later.
    `in_other_currency` says that the money did come in a currency that nothing of it can pay.

    :raises Invalid: for an amount that its currency can't be paid in, or a day still to come.
    :raises OtherCurrency: for such a currency, where that is not said.
    :raises StatementKnown: if its `bank_key` is known.
    :raises NotPayable, MoreThanOpen, NotEnoughLeft, DepositLimited: for what it is to pay.
    """
    today = book_date(payment.customer, at=at)
    faults = [*amount_faults(payment.amount, payment.currency, path=("amount",))]
    if payment.amount >= TOO_MUCH:
        told = f"No payment has {TOO_MUCH:,} {payment.currency} or more: look for a slip."
        faults.append(Fault(("amount",), "too_much", told))
    if payment.received_on > today:
        faults.append(Fault(("received_on",), "in_future", "Money can't have come after today."))
    if payment.method == PaymentMethod.CREDIT:
        faults.append(Fault(("method",), "by_itself", "Billing records credits by itself."))
    if payment.max_per_invoice is not None:
        if payment.kind != PaymentKind.DEPOSIT:
            told = "Only a deposit has a limit per invoice."
            faults.append(Fault(("max_per_invoice",), "not_a_deposit", told))
        limit = payment.max_per_invoice
        faults += amount_faults(limit, payment.currency, path=("max_per_invoice",))
    if faults:
        raise Invalid(faults)
    if not portions and not in_other_currency:
        _check_currency(payment)
    payment.bank_key = payment.bank_key or None
    payment.recorded_at, payment.recorded_by = at, actor.name
    try:
        with transaction.atomic():
            payment.save(force_insert=True)
    except IntegrityError as trouble:
        if Payment.objects.filter(bank_key=payment.bank_key).exists():
            raise StatementKnown(
                "This payment was recorded before.", path=("bank_key",)
            ) from trouble
        raise
    audit.record(
        actor=actor, action="recorded", subject=payment, changes=audit.changes({}, _told(payment))
    )
    if portions:
        _allocate(payment, portions, on=payment.received_on, actor=actor)
    return Payment.objects.select_related("customer").get(pk=payment.pk)


@transaction.atomic
def allocate_payment(
    *, payment_id: int, portions: Sequence[Portion], at: datetime, actor: Actor
) -> list[Allocation]:
    """Let what is left of a payment pay invoices, from today on.

    :raises PaymentReversed, NotPayable, MoreThanOpen, NotEnoughLeft, DepositLimited: then none is
        paid.
    """
    payment = locked_payment(payment_id)
    today = book_date(payment.customer, at=at)
    return _allocate(payment, portions, on=max(today, payment.received_on), actor=actor)


@transaction.atomic
def release_allocation(*, allocation_id: int, at: datetime, actor: Actor) -> Allocation:
    """Take back what a payment was said to pay: it is open again, and the payment's to use.

    :raises AlreadyReleased: if it was taken back before.
    """
    found = Allocation.objects.get(pk=allocation_id)
    payment = locked_payment(found.payment_id)
    [allocation] = Allocation.objects.select_related("item__invoice").filter(pk=allocation_id)
    if allocation.released_on:
        raise AlreadyReleased(f"It was taken back on {allocation.released_on} already.")
    _release(payment, [allocation], on=book_date(payment.customer, at=at), actor=actor)
    return allocation


@transaction.atomic
def reverse_payment(*, payment_id: int, reason: str, at: datetime, actor: Actor) -> Payment:
    """Declare that a payment was none, such as a returned debit; what it paid is open again.

    :raises Invalid: without a reason.
    :raises PaymentReversed: if it was reversed before.
    :raises PaymentRefunded: if some of it was paid back.
    """
    check_reason(reason)
    payment = locked_payment(payment_id)
    if payment.refunded:
        raise PaymentRefunded("Some of it was paid back: take the refund back first.")
    today = max(book_date(payment.customer, at=at), payment.received_on)
    live = payment.allocations.filter(released_on=None).select_related("item__invoice")
    _release(payment, list(live), on=today, actor=actor)
    payment.reversed_on, payment.reversed_because = today, reason
    payment.save(update_fields=COUNTERS)
    audit.record(actor=actor, action="reversed", subject=payment, note=reason)
    return Payment.objects.select_related("customer").get(pk=payment.pk)


def release_taken_at_issue(invoice: Invoice, *, on: date, actor: Actor) -> None:
    """Give back what an invoice took by itself when it was issued; call it in its void's transaction."""
    taken = Allocation.objects.filter(item=invoice.pk, at_issue=True, released_on=None)
    payments = Payment.objects.select_for_update(of=("self",)).select_related("customer")
    by_id = {one.pk: one for one in payments.filter(pk__in=taken.values("payment")).order_by("pk")}
    for allocation in taken.select_related("item__invoice").order_by("payment_id"):
        if allocation.payment_id in by_id:  # the query's, as it was locked
            _release(by_id[allocation.payment_id], [allocation], on=on, actor=actor)


def locked_items(invoice_ids: Collection[int]) -> dict[int, OpenItem]:
    """Lock open items, in the order of their making; return them by invoice."""
    rows = OpenItem.objects.select_for_update(of=("self",)).select_related("invoice")
    return {row.pk: row for row in rows.filter(pk__in=invoice_ids).order_by("pk")}


def amount_faults(amount: Decimal, currency: str, *, path: Path) -> Iterable[Fault]:
    """Say what is wrong with an amount of money that was paid."""
    if amount <= 0:
        yield Fault(path, "not_positive", "Enter more than 0.")
    elif round_half_up(amount, exponent(currency)) != amount:
        places = exponent(currency)
        yield Fault(path, "too_fine", f"{currency} has {places} decimals.")


def check_reason(reason: str) -> None:
    """:raises Invalid: without a reason."""
    if not reason.strip():
        raise Invalid([Fault(("reason",), "required", "Say why; it stays in the audit trail.")])


def check_open(item: OpenItem, amount: Decimal, *, path: Path) -> None:
    """:raises MoreThanOpen: if an invoice has not so much to settle."""
    if amount > item.open:
        currency = item.invoice.currency
        places = exponent(currency)
        is_open = round_half_up(item.open, places)
        told = f"Of {item.invoice} {is_open:f} {currency} is open: settle no more than that."
        raise MoreThanOpen(told if is_open else f"Nothing of {item.invoice} is open.", path=path)


def locked_payment(payment_id: int) -> Payment:
    """Lock a payment and return it.

    :raises PaymentReversed: if it is one no more.
    """
    rows = Payment.objects.select_for_update(of=("self",)).select_related("customer")
    payment = rows.get(pk=payment_id)
    if payment.reversed_on:
        raise PaymentReversed(f"This payment was reversed on {payment.reversed_on}.")
    return payment


def _allocate(
    payment: Payment, portions: Sequence[Portion], *, on: date, actor: Actor
) -> list[Allocation]:
    items = locked_items([portion.invoice_id for portion in portions])
    faults: list[Fault] = []
    for portion in portions:
        faults += amount_faults(portion.amount, payment.currency, path=(*portion.path, "amount"))
    if len(items) < len(portions) and len({one.invoice_id for one in portions}) < len(portions):
        faults.append(Fault(portions[-1].path, "twice", "Name each invoice once."))
    if faults:
        raise Invalid(faults)
    total = ZERO
    made = []
    for portion in portions:
        item = items.get(portion.invoice_id)
        _check_payable(item, payment, path=(*portion.path, "invoice"))
        assert item is not None
        assert item.invoice.issue_date is not None
        check_open(item, portion.amount, path=(*portion.path, "amount"))
        _check_limit(payment, portion)
        total = EXACT.add(total, portion.amount)
        check_left(payment, total, path=(*portion.path, "amount"))
        item.paid = EXACT.add(item.paid, portion.amount)
        made.append(
            Allocation(
                item=item,
                payment=payment,
                amount=portion.amount,
                allocated_on=max(on, item.invoice.issue_date),
            )
        )
    for item in items.values():
        item.save(update_fields=["paid"])
    payment.allocated = EXACT.add(payment.allocated, total)
    payment.save(update_fields=COUNTERS)
    Allocation.objects.bulk_create(made)
    _record("allocated", payment, made, actor=actor)
    return made


def _release(
    payment: Payment, allocations: Sequence[Allocation], *, on: date, actor: Actor
) -> None:
    items = locked_items([one.item_id for one in allocations])
    for allocation in allocations:
        allocation.released_on = max(on, allocation.allocated_on)
        item = items[allocation.item_id]
        item.paid = EXACT.subtract(item.paid, allocation.amount)
        payment.allocated = EXACT.subtract(payment.allocated, allocation.amount)
        allocation.save(update_fields=["released_on"])
    for item in items.values():
        item.save(update_fields=["paid"])
    payment.save(update_fields=COUNTERS)
    _record("released", payment, allocations, actor=actor)


def _record(
    action: str, payment: Payment, allocations: Sequence[Allocation], *, actor: Actor
) -> None:
    if not allocations:
        return
    told = {str(one.item.invoice): plain(one.amount) for one in allocations}
    sides = [{}, told] if action == "allocated" else [told, {}]
    audit.record(actor=actor, action=action, subject=payment, changes=audit.changes(*sides))


def _check_currency(payment: Payment) -> None:
    customer, currency = payment.customer, payment.currency
    is_billed = Invoice.objects.filter(
        customer=customer, currency=currency, open_item__isnull=False
    ).exists()
    if currency != customer.currency and not is_billed:
        raise OtherCurrency(
            f"{customer} is billed in {customer.currency} and has no invoice in {currency}: nothing "
            f"would take this money, and it would lie on an account in {currency} until it is "
            f"refunded. Look whether the currency is right; if it did come in {currency}, say so.",
            path=("in_other_currency",),
        )


def _check_payable(item: OpenItem | None, payment: Payment, *, path: Path) -> None:
    if item is None:
        raise NotPayable("Only an issued invoice can be paid.", path=path)
    invoice = item.invoice
    if item.voided_on:
        raise NotPayable(f"{invoice} is void.", path=path)
    if invoice.customer_id != payment.customer_id:
        raise NotPayable(f"{invoice} is another customer's.", path=path)
    if invoice.currency != payment.currency:
        raise NotPayable(
            f"{invoice} is in {invoice.currency}, the payment in {payment.currency}.", path=path
        )


def check_left(payment: Payment, amount: Decimal, *, path: Path) -> None:
    """:raises NotEnoughLeft: if there is not so much to use of a payment."""
    used = EXACT.add(payment.allocated, payment.refunded)
    left = EXACT.subtract(payment.amount, used)
    if amount > left:
        left = round_half_up(left, exponent(payment.currency))
        told = f"{left:f} {payment.currency} is left of this payment: use no more than that."
        raise NotEnoughLeft(told if left else "Nothing is left of this payment.", path=path)


def _check_limit(payment: Payment, portion: Portion) -> None:
    if payment.max_per_invoice is None:
        return
    live = payment.allocations.filter(item=portion.invoice_id, released_on=None)
    taken = portion.amount
    for one in live:
        taken = EXACT.add(taken, one.amount)
    if taken > payment.max_per_invoice:
        limit = round_half_up(payment.max_per_invoice, exponent(payment.currency))
        raise DepositLimited(
            f"An invoice takes no more than {limit:f} {payment.currency} of this deposit.",
            path=(*portion.path, "amount"),
        )


def _told(payment: Payment) -> dict[str, object]:
    hidden = (
        "uuid",
        "customer",
        "allocated",
        "refunded",
        "available",
        "recorded_at",
        "reversed_on",
    )
    return {name: value for name, value in audit.state(payment, without=hidden).items() if value}
