"""Each named rule of the money tables, fired once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import uuid4

from django.db import models

from billing.models import (
    Allocation,
    BankImport,
    CreditNote,
    CreditNoteDocument,
    CreditNoteLine,
    CreditNoteTax,
    Invoice,
    OpenItem,
    Payment,
    Refund,
    WriteOff,
)
from billing.services.refunds import refund_payment
from billing.services.write_offs import write_off
from config.base.audit import SYSTEM
from tests import factories as make
from tests.billing.crediting import credit
from tests.billing.test_books import unguarded

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


def balance() -> Payment:
    """What an invoice owes that could not be credited of others."""
    invoice = make.issued()
    return Payment.objects.create(
        customer=invoice.customer,
        currency=invoice.currency,
        amount=1,
        received_on=LATER,
        method="credit",
        left_of=invoice,
        recorded_at=make.AT,
        recorded_by="x",
    )


def note() -> CreditNote:
    """A credit of 40 of an invoice over 100."""
    return credit(make.issued(), "base 40")


def note_line() -> CreditNoteLine:
    return note().lines.get()


def note_tax() -> CreditNoteTax:
    return note().taxes.get()


def note_document() -> CreditNoteDocument:
    return CreditNoteDocument.objects.create(note=note(), sha256="a" * 64, size_bytes=1)


def next_note(**fields: Any) -> CreditNote:
    """Another note of the same invoice, over 40 again, without a line yet."""
    found = note()
    insert(lambda: found, sequence=2, number="CN-2026-000002", **fields)()
    return CreditNote.objects.latest("pk")


def next_line(**fields: Any) -> Callable[[], Any]:
    """Credit the line once more, as another note would."""

    def write() -> None:
        other = next_note()
        line = CreditNoteLine.objects.get()
        line.pk, line._state.adding, line.note = None, True, other
        for name, value in {"credited_before": Decimal(40), **fields}.items():
            setattr(line, name, value)
        line.save(force_insert=True)

    return write


def of_anothers_invoice() -> None:
    other = make.issued().lines.get()
    next_line(line=other, credited_before=Decimal(0))()


def settling_what_stayed() -> None:
    next_line(settles=make.issued().lines.get())()


def as_two_at_once() -> None:
    """Two who credit a line at the same moment see the same: no guard tells them apart."""
    other = next_note()
    line = CreditNoteLine.objects.get()
    line.pk, line._state.adding, line.note = None, True, other
    unguarded()
    line.save(force_insert=True)


def taxed_twice_alike() -> None:
    found = next_note(tax_count=2)
    for position in (1, 2):
        CreditNoteTax.objects.create(
            note=found, position=position, category="O", rate=0, base=40, amount=0
        )


def note_of_a_void() -> None:
    found = note()
    void = make.issued()
    OpenItem.objects.filter(pk=void.pk).update(voided_on=LATER)
    Invoice.objects.filter(pk=void.pk).update(status="void", voided_at=make.AT, reason="x")
    insert(lambda: found, sequence=2, invoice=void)()


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
    "invoice_credited_only_if_all_of_it_is": change(
        lambda: note().invoice, status="credited", voided_at=make.AT, reason="x"
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
    "payment_by_credit_names_why": insert(payment, method="credit"),
    "payment_by_credit_once_per_invoice": insert(balance),
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
    "credit_note_number_once_per_series": insert(note),
    "credit_note_with_a_reason": insert(note, sequence=2, reason=""),
    "credit_note_of_something": insert(note, sequence=2, net_total=0, total=0, off_open=0),
    "credit_note_total_is_net_and_tax": insert(note, sequence=2, tax_total=1),
    "credit_note_uses_are_positive": insert(note, sequence=2, off_open=41, refunded=-1),
    "credit_note_is_used_whole": insert(note, sequence=2, off_open=39),
    "credit_note_corrects_an_issued_invoice": note_of_a_void,
    "credit_notes_never_beyond_their_invoice": insert(
        note, sequence=2, net_total=61, total=61, off_open=61
    ),
    "credit_note_never_changes": change(note, reason="y"),
    "credit_note_is_never_deleted": delete(note),
    "credit_line_position_once_per_note": insert(note_line, credited_before=Decimal(40)),
    "credit_line_takes_up_where_the_last_ended": as_two_at_once,
    "credit_line_never_beyond_its_line": next_line(net=Decimal("60.01")),
    "credit_line_settles_a_credit_that_left_its_notes_invoice": settling_what_stayed,
    "credit_line_of_some_units": next_line(quantity=Decimal(0)),
    "credit_line_is_one_of_its_notes_invoice": of_anothers_invoice,
    "credit_line_tells_what_was_credited_before": next_line(credited_before=Decimal(39)),
    "credit_line_never_of_more_units_than_its_line": next_line(quantity=Decimal(2)),
    "credit_line_never_changes": change(note_line, net=1),
    "credit_line_is_never_deleted": delete(note_line),
    "credit_tax_position_once_per_note": insert(note_tax, rate=1, category="S"),
    "credit_tax_once_per_category_and_rate": taxed_twice_alike,
    "credit_tax_category_is_known": insert(note_tax, position=1, category="x"),
    "credit_tax_only_where_it_is_due": insert(note_tax, category="E", amount=1),
    "credit_tax_is_one_of_its_note": insert(note_tax, position=2, category="E"),
    "credit_tax_never_changes": change(note_tax, amount=1),
    "credit_tax_is_never_deleted": delete(note_tax),
    "credit_document_never_changes": change(note_document, size_bytes=2),
    "credit_document_is_never_deleted": delete(note_document),
}
