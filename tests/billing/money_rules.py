"""Each named rule of the money tables, fired once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import uuid4

from django.db import models

from billing.models import Allocation, BankImport, Invoice, OpenItem, Payment, Refund, WriteOff
from billing.services.refunds import refund_payment
from billing.services.write_offs import write_off
from config.base.audit import SYSTEM
from tests import factories as make

LATER = date(2026, 12, 1)


def change(row: Callable[[], models.Model], **fields: Any) -> Callable[[], Any]:
    def write() -> None:
        found = row()
        type(found)._default_manager.filter(pk=found.pk).update(**fields)

    return write


def delete(row: Callable[[], models.Model]) -> Callable[[], Any]:
    def write() -> None:
        found = row()
        type(found)._default_manager.filter(pk=found.pk)._raw_delete("default")

    return write


def insert(row: Callable[[], models.Model], **fields: Any) -> Callable[[], Any]:
    """Insert a copy that differs in these fields."""

    def write() -> None:
        found = row()
        found.pk, found._state.adding = None, True
        for name, value in {"uuid": uuid4(), **fields}.items():
            setattr(found, name, value)
        found.save(force_insert=True)

    return write


def item() -> OpenItem:
    return OpenItem.objects.get(pk=make.issued().pk)


def item_of_a_draft() -> None:
    draft = Invoice.objects.create(
        issuer=make.issued().issuer, customer=make.customer(), currency="EUR",
        net_total=0, tax_total=0, total=0,
    )  # fmt: skip
    OpenItem.objects.create(invoice=draft, total=0)


def payment() -> Payment:
    return make.payment(make.customer(), "100")


def reversed_payment() -> Payment:
    found = payment()
    change(lambda: found, reversed_on=LATER, reversed_because="x")()
    return found


def allocation() -> Allocation:
    invoice = make.issued()
    return make.payment(invoice.customer, "60", portions={invoice: "60"}).allocations.get()


def released() -> Allocation:
    found = allocation()
    change(lambda: found, released_on=LATER)()
    return found


def anothers_money() -> None:
    insert(allocation, payment=payment())()


def refund() -> Refund:
    return refund_payment(
        payment_id=payment().pk, amount=Decimal(1), refunded_on=None, reference="",
        at=make.AT, actor=SYSTEM,
    )  # fmt: skip


def given_up() -> WriteOff:
    return write_off(invoice_id=make.issued().pk, amount=None, reason="x", at=make.AT, actor=SYSTEM)


def taken_back(row: Callable[[], Any]) -> Callable[[], Any]:
    def make_row() -> Any:
        found = row()
        change(lambda: found, reversed_on=LATER, reversed_because="x")()
        return found

    return make_row


def statement() -> BankImport:
    return BankImport.objects.create(
        name="x", format="csv", content=b"", uploaded_at=make.AT, uploaded_by="ada"
    )


MONEY_RULES: dict[str, Callable[[], Any]] = {
    "open_item_parts_are_positive": change(item, paid=-1),
    "open_item_never_settled_beyond_its_total": change(item, paid=60, written_off=40, credited=1),
    "open_item_of_a_void_invoice_is_settled_by_nothing": change(item, voided_on=LATER, paid=1),
    "open_item_changes_only_as_it_is_settled": change(item, total=1),
    "open_item_is_never_deleted": delete(item),
    "open_item_is_of_an_issued_invoice": item_of_a_draft,
    "invoice_void_only_if_nothing_settles_it": change(
        make.issued, status="void", voided_at=make.AT, reason="x"
    ),
    "payment_kind_is_known": insert(payment, kind="x"),
    "payment_method_is_known": insert(payment, method="x"),
    "payment_of_something": insert(payment, amount=0),
    "payment_parts_are_positive": change(payment, allocated=-1),
    "payment_never_used_beyond_its_amount": change(payment, allocated=60, refunded=41),
    "payment_is_used_or_reversed_not_both": change(
        payment, allocated=1, reversed_on=LATER, reversed_because="x"
    ),
    "payment_reversed_exactly_with_a_reason": change(payment, reversed_on=LATER),
    "payment_limited_per_invoice_only_as_a_deposit": insert(payment, max_per_invoice=1),
    "payment_changes_only_by_being_reversed": change(payment, amount=200),
    "payment_is_reversed_for_good": change(reversed_payment, reversed_on=None, reversed_because=""),
    "payment_is_never_deleted": delete(payment),
    "allocation_of_something": insert(allocation, amount=0),
    "allocation_released_not_before_it_was_made": change(
        allocation, released_on=date(2026, 10, 31)
    ),
    "allocation_at_issue_says_what_there_was": insert(allocation, at_issue=True),
    "allocation_pays_what_its_payer_owes": anothers_money,
    "allocation_changes_only_by_release": change(released, released_on=None),
    "allocation_is_never_deleted": delete(allocation),
    "bank_import_format_is_known": change(statement, format="x"),
    "refund_of_something": insert(refund, amount=0),
    "refund_reversed_exactly_with_a_reason": change(refund, reversed_on=LATER),
    "refund_changes_only_by_being_reversed": change(refund, amount=2),
    "refund_is_reversed_for_good": change(taken_back(refund), reversed_because="y"),
    "refund_is_never_deleted": delete(refund),
    "write_off_of_something": insert(given_up, amount=0),
    "write_off_with_a_reason": insert(given_up, reason=""),
    "write_off_reversed_exactly_with_a_reason": change(given_up, reversed_because="x"),
    "write_off_changes_only_by_being_reversed": change(given_up, amount=2),
    "write_off_is_reversed_for_good": change(taken_back(given_up), reversed_because="y"),
    "write_off_is_never_deleted": delete(given_up),
}
