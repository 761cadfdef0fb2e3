"""What becomes of an invoice's money when some of it is credited (R32, R35)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db import transaction

from billing.calculation import add_up
from billing.models import Allocation, Invoice, OpenItem, Payment, PaymentKind, WriteOff
from billing.services.payments import COUNTERS, locked_items
from billing.services.refunds import pay_back
from catalog.money import EXACT, ZERO, plain
from config.base import audit
from config.base.audit import Actor


class _PaidMeanwhile(Exception):
    """A payment paid the invoice after those that paid it were locked."""


@dataclass(frozen=True)
class Uses:
    """What a credit is used for, in this order; what was written off or paid, from the newest on.

    What was paid is the customer's again: what a deposit paid is left of that, other payments are
    its balance, or are paid back.
    """

    off_open: Decimal
    write_offs: list[tuple[WriteOff, Decimal]] = field(default_factory=list)
    allocations: list[tuple[Allocation, Decimal]] = field(default_factory=list)

    @property
    def off_written_off(self) -> Decimal:
        return add_up(part for _, part in self.write_offs)

    @property
    def to_deposits(self) -> Decimal:
        return add_up(part for one, part in self.allocations if _is_deposit(one))

    @property
    def freed(self) -> Decimal:
        """What comes free of other payments."""
        return add_up(part for one, part in self.allocations if not _is_deposit(one))


def uses_of(total: Decimal, invoice: Invoice) -> Uses:
    """Return what a credit of an invoice would be used for now."""
    return _uses(total, invoice.open_item, _live(invoice.pk))


def take_back(
    invoice: Invoice,
    total: Decimal,
    *,
    on: date,
    refund: bool,
    reference: str,
    at: datetime,
    actor: Actor,
) -> Uses:
    """Use a credit of a locked invoice, from its issue date on; call it in the note's transaction.

    Of a payment or write-off that is used in part, the rest is allocated or written off anew. With
    `refund`, what comes free of payments is paid back.
    """
    item, payments, live = _locked(invoice.pk)
    uses = _uses(total, item, live)
    _take_back_write_offs(uses.write_offs, on=on, reference=reference, at=at, actor=actor)
    freed = list(_release(uses.allocations, payments, on=on))
    item.credited = EXACT.add(item.credited, total)
    item.paid = EXACT.subtract(item.paid, EXACT.add(uses.to_deposits, uses.freed))
    item.written_off = EXACT.subtract(item.written_off, uses.off_written_off)
    item.save(update_fields=["credited", "paid", "written_off"])
    for payment, part in freed:
        payment.save(update_fields=COUNTERS)
        changes = audit.changes({str(invoice): plain(part)}, {})
        audit.record(
            actor=actor, action="released", subject=payment, changes=changes, note=reference
        )
        if refund and payment.kind == PaymentKind.PAYMENT:
            day = max(on, payment.received_on)
            pay_back(payment, part, on=day, reference=reference, at=at, actor=actor)
    return uses


def _locked(invoice_id: int) -> tuple[OpenItem, dict[int, Payment], list[Allocation]]:
    """Lock what pays an invoice, then its open item; again, where a payment came in between."""
    while True:
        with suppress(_PaidMeanwhile), transaction.atomic():
            paying = Allocation.objects.filter(item=invoice_id, released_on=None)
            rows = Payment.objects.select_for_update(of=("self",)).select_related("customer")
            found = rows.filter(pk__in=paying.values("payment")).order_by("pk")
            payments = {one.pk: one for one in found}
            item = locked_items([invoice_id])[invoice_id]
            live = _live(invoice_id)
            if any(one.payment_id not in payments for one in live):
                raise _PaidMeanwhile
            return item, payments, live


def _live(invoice_id: int) -> list[Allocation]:
    rows = Allocation.objects.filter(item=invoice_id, released_on=None)
    return list(rows.select_related("payment").order_by("-pk"))


def _uses(total: Decimal, item: OpenItem, allocations: Sequence[Allocation]) -> Uses:
    settled = [item.paid, item.credited, item.written_off]
    is_open = EXACT.subtract(item.total, add_up(settled))
    off_open = min(total, is_open)
    rest = EXACT.subtract(total, off_open)
    write_offs: list[tuple[WriteOff, Decimal]] = []
    if rest and item.written_off:
        rows = WriteOff.objects.filter(item=item, reversed_on=None).order_by("-pk")
        write_offs = list(_spread(rest, rows))
        rest = EXACT.subtract(rest, add_up(part for _, part in write_offs))
    return Uses(off_open, write_offs, list(_spread(rest, allocations)))


def _spread(amount: Decimal, rows: Iterable[Any]) -> Iterator[tuple[Any, Decimal]]:
    for row in rows:
        if part := min(amount, row.amount):
            yield row, part
            amount = EXACT.subtract(amount, part)


def _take_back_write_offs(
    parts: Iterable[tuple[WriteOff, Decimal]],
    *,
    on: date,
    reference: str,
    at: datetime,
    actor: Actor,
) -> None:
    for one, part in parts:
        one.reversed_on, one.reversed_because = max(on, one.written_off_on), reference
        one.save(update_fields=["reversed_on", "reversed_because"])
        if rest := EXACT.subtract(one.amount, part):
            WriteOff.objects.create(
                item_id=one.item_id,
                amount=rest,
                written_off_on=one.reversed_on,
                reason=one.reason,
                recorded_at=at,
                recorded_by=actor.name,
            )


def _release(
    parts: Iterable[tuple[Allocation, Decimal]], payments: dict[int, Payment], *, on: date
) -> Iterator[tuple[Payment, Decimal]]:
    """Release allocations and allocate their rest anew; yield each payment with what came free.

    The payments are saved by the caller.
    """
    freed: dict[int, Decimal] = {}
    for one, part in parts:
        payment = payments[one.payment_id]
        one.released_on = max(on, one.allocated_on)
        one.save(update_fields=["released_on"])
        if rest := EXACT.subtract(one.amount, part):
            Allocation.objects.create(
                item_id=one.item_id, payment=payment, amount=rest, allocated_on=one.released_on
            )
        payment.allocated = EXACT.subtract(payment.allocated, part)
        freed[payment.pk] = EXACT.add(freed.get(payment.pk, ZERO), part)
    for pk, part in freed.items():
        yield payments[pk], part


def _is_deposit(allocation: Allocation) -> bool:
    return allocation.payment.kind == PaymentKind.DEPOSIT
