"""Selling add-ons to subscriptions, and taking a sale back as long as nothing is issued."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.db import transaction

from billing.models import BillWhen, Invoice, InvoiceStatus, PeriodCharge, SoldAddOn
from billing.services.issuing import recalculate_invoices
from billing.services.one_offs import bill_one_offs_of
from catalog import money
from catalog.add_ons import AddOnArchived, rate_add_on
from catalog.amounts import amount_errors, amount_in_words
from catalog.models import AddOn, AddOnStatus
from config.base import audit, records
from config.base.audit import Actor
from config.base.errors import Fault, Invalid, Refusal
from customers.models import Subscription
from customers.periods import local_date, zone
from customers.services.locking import lock_customers_of

MOST = Decimal(10) ** 12
"""What one sale comes to is less than this, in whole units of its currency."""


class AddOnBilled(Refusal):
    """It is on an issued invoice: void that, or credit it."""

    code = "add_on_billed"


class AddOnWithdrawn(Refusal):
    """It was withdrawn, or waived with its invoice, already."""

    code = "add_on_withdrawn"


@transaction.atomic
def sell_add_on(
    *,
    subscription_id: int,
    add_on: AddOn,
    key: str,
    quantity: Decimal,
    at: datetime,
    actor: Actor,
    unit_amount: Decimal | None = None,
    service_start: date | None = None,
    service_end: date | None = None,
    note: str = "",
    bill: BillWhen = BillWhen.NEXT_INVOICE,
) -> SoldAddOn:
    """Charge a subscription an add-on, once, on its next invoice or at once on one of its own.

    On the invoice drawn next, whatever it is for: an open draft stays as it is. The amount for one
    is the add-on's unless another is agreed on; the service is of the customer's day, or from
    `service_start` until before `service_end`, a day unless given.

    :raises AddOnArchived: if it is sold to nobody any more.
    :raises KeyTaken: if another sale has its key.
    :raises Invalid: naming every field at fault.
    :raises IssuerUndecided: billed at once, if several could be who sells.
    """
    found = Subscription.objects.select_for_update(of=("self",)).select_related("customer")
    subscription = found.get(pk=subscription_id)
    if AddOn.objects.get(pk=add_on.pk).status == AddOnStatus.ARCHIVED:
        raise AddOnArchived(f"“{add_on}” is archived: it is sold to nobody any more.")
    time_zone = subscription.customer.time_zone
    start = service_start or local_date(at, zone(time_zone))
    sold = SoldAddOn(
        subscription=subscription,
        add_on=add_on,
        key=key,
        name=add_on.name,
        unit=add_on.unit,
        unit_plural=add_on.unit_plural,
        unit_amount=add_on.unit_amount if unit_amount is None else unit_amount,
        currency=add_on.currency,
        quantity=quantity,
        recognition=add_on.recognition,
        tax_category=add_on.tax_category,
        service_start=start,
        service_end=service_end or start + timedelta(days=1),
        time_zone=time_zone,
        note=note,
        bill=bill,
        sold_by=actor.name,
        sold_at=at,
    )
    if faults := list(sale_faults(sold)):
        raise Invalid(faults)
    records.create_keyed(sold, actor=actor)
    changes = {add_on.name: [None, sale_in_words(sold)]}
    audit.record(actor=actor, action="sold add-on", subject=subscription, changes=changes)
    if bill == BillWhen.AT_ONCE:
        bill_one_offs_of(subscription_id=subscription.pk, at=at)
        sold.refresh_from_db()
    return sold


@transaction.atomic
def withdraw_add_on(*, sold_id: int, reason: str, at: datetime, actor: Actor) -> SoldAddOn:
    """Take a sale back: no invoice charges it, and a draft that does is redrawn without it.

    A draft over nothing else is discarded.

    :raises AddOnBilled: if its invoice is issued.
    :raises AddOnWithdrawn: if it is withdrawn or waived already.
    :raises Invalid: without a reason.
    """
    if not reason.strip():
        raise Invalid([Fault(("reason",), "required", "Say why; it stays in the audit trail.")])
    # In the order in which everybody locks: customers, subscription, invoice, sale.
    subscriptions = Subscription.objects.filter(sold_add_ons=sold_id)
    lock_customers_of(subscriptions)
    subscriptions.select_for_update(of=("self",)).get()
    invoice = Invoice.objects.select_for_update(of=("self",)).filter(sold_add_ons=sold_id).first()
    sold = (
        SoldAddOn.objects.select_for_update(of=("self",)).select_related("invoice").get(pk=sold_id)
    )
    check_withdrawable(sold)
    fields = {"invoice": None, "withdrawn_at": at, "withdrawn_because": reason.strip()}
    records.change(sold, fields=fields, actor=actor)
    if invoice:
        _redraw_without(invoice, sold, at=at, actor=actor)
    return sold


def check_withdrawable(sold: SoldAddOn) -> None:
    """Refuse to withdraw what is issued, withdrawn or waived.

    :raises AddOnBilled: if its invoice is issued.
    :raises AddOnWithdrawn: if it is withdrawn or waived already.
    """
    if sold.withdrawn_at:
        raise AddOnWithdrawn(f"“{sold}” is withdrawn already.")
    if sold.invoice and sold.invoice.status == InvoiceStatus.ISSUED:
        raise AddOnBilled(f"“{sold}” is billed by {sold.invoice}: void that, or credit it.")
    if sold.invoice and not sold.invoice.is_open:
        raise AddOnWithdrawn(f"“{sold}” was waived with its invoice.")


def _redraw_without(invoice: Invoice, sold: SoldAddOn, *, at: datetime, actor: Actor) -> None:
    if invoice.lines.exclude(sold_add_on=sold).exists():
        recalculate_invoices(invoice_ids=[invoice.pk], at=at, actor=actor)
        return
    reason = f"“{sold}”, all that it charged, was withdrawn."
    invoice.status, invoice.discarded_at, invoice.reason = InvoiceStatus.DISCARDED, at, reason
    invoice.save(update_fields=["status", "discarded_at", "reason"])
    PeriodCharge.objects.filter(invoice=invoice).update(is_live=False)
    changes = {"total": [f"{invoice.total:f}", None]}
    audit.record(actor=actor, action="discarded", subject=invoice, changes=changes, note=reason)


def sale_faults(sold: SoldAddOn) -> Iterator[Fault]:
    """Find what of a sale is at fault."""
    if sold.quantity <= 0:
        yield Fault(("quantity",), "out_of_range", "Sell more than 0 of it.")
    if sold.unit_amount < 0:
        yield Fault(("unit_amount",), "out_of_range", "It costs 0 or more.")
    yield from amount_errors("unit_amount", sold.unit_amount, sold.currency)
    if sold.service_end <= sold.service_start:
        message = f"It ends after {sold.service_start}, on which it begins."
        yield Fault(("service_end",), "out_of_range", message)
    currencies = sold.subscription.phases.values_list("plan_version__currency", flat=True)
    if sold.currency not in set(currencies):
        message = f"“{sold}” is priced in {sold.currency}, and it is billed in {currencies[0]}."
        yield Fault(("add_on",), "currency_mismatch", message)
    if money.times(sold.quantity, sold.unit_amount) >= MOST:
        message = f"All of it comes to less than {MOST:,f} {sold.currency}."
        yield Fault(("quantity",), "out_of_range", message)


def sale_in_words(sold: SoldAddOn) -> str:
    """Say what was sold: “2 days × 900.00 EUR = 1,800.00 EUR”."""
    net = rate_add_on(sold.quantity, sold.unit_amount, sold.currency).net
    unit = sold.unit if sold.quantity == 1 else sold.unit_plural
    counted = f"{money.plain(sold.quantity)} {unit}".rstrip()
    one = amount_in_words(sold.unit_amount, sold.currency)
    return f"{counted} × {one} = {amount_in_words(net, sold.currency)}"
