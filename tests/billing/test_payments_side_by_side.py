"""Payments while several people act at once: nothing is used or paid twice."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal as D

import pytest
from django.db import connection

from billing.models import Invoice, OpenItem, Payment
from billing.money_books import MONEY_BOOKS
from billing.services import payments
from billing.services.issuing import issue_invoices, void_invoice
from billing.services.payments import Portion
from config.base.audit import SYSTEM
from config.base.errors import Refusal
from config.base.invariants import audit
from tests import factories as make
from tests.billing.months import close
from tests.billing.side_by_side import at_once

pytestmark = [
    pytest.mark.postgresql,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer"),
]
NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)


def allocate(payment: Payment, invoice: Invoice, amount: int) -> object:
    portions = [Portion(invoice.pk, D(amount))]
    return payments.allocate_payment(payment_id=payment.pk, portions=portions, at=NOW, actor=SYSTEM)


def sound() -> None:
    assert not [one for one in audit(at=NOW, names=[c.name for c in MONEY_BOOKS]) if one.findings]


@pytest.mark.parametrize("attempt", range(3))
def test_two_people_allocate_the_last_of_a_payment(attempt: int) -> None:
    ada = make.customer()
    one, two = make.issued(ada, "100"), make.issued(ada, "100")
    payment = make.payment(ada, "100")
    answers = at_once(lambda: allocate(payment, one, 100), lambda: allocate(payment, two, 100))
    assert [type(a) for a in answers if isinstance(a, Refusal)] == [payments.NotEnoughLeft]
    assert sorted(item.open for item in OpenItem.objects.all()) == [0, 100]
    sound()


@pytest.mark.parametrize("attempt", range(3))
def test_two_payments_pay_the_last_of_an_invoice(attempt: int) -> None:
    ada = make.customer()
    invoice = make.issued(ada, "100")
    one, two = make.payment(ada, "70"), make.payment(ada, "70")
    answers = at_once(lambda: allocate(one, invoice, 70), lambda: allocate(two, invoice, 70))
    assert [type(a) for a in answers if isinstance(a, Refusal)] == [payments.MoreThanOpen]
    assert OpenItem.objects.get().open == 30
    sound()


@pytest.mark.parametrize("attempt", range(3))
def test_reversed_while_it_is_allocated_it_pays_nothing(attempt: int) -> None:
    ada = make.customer()
    invoice = make.issued(ada, "100")
    payment = make.payment(ada, "100")
    at_once(
        lambda: allocate(payment, invoice, 100),
        lambda: payments.reverse_payment(payment_id=payment.pk, reason="x", at=NOW, actor=SYSTEM),
    )
    payment.refresh_from_db()
    assert (payment.reversed_on is not None, OpenItem.objects.get().open) == (True, 100)
    sound()


@pytest.mark.parametrize("attempt", range(3))
def test_voided_while_it_is_paid_it_is_one_or_the_other(attempt: int) -> None:
    ada = make.customer()
    invoice = make.issued(ada, "100")
    payment = make.payment(ada, "100")
    at_once(
        lambda: allocate(payment, invoice, 100),
        lambda: void_invoice(invoice_id=invoice.pk, reason="x", reopen=False, at=NOW, actor=SYSTEM),
    )
    is_void = Invoice.objects.get().status == "void"
    payment.refresh_from_db()
    assert (is_void, payment.allocated) in [(True, 0), (False, 100)]
    sound()


@pytest.mark.parametrize("attempt", range(3))
def test_two_invoices_issued_at_once_take_a_deposit_once(attempt: int) -> None:
    ada = make.customer(manual_approval=True)
    make.payment(ada, "100", kind="deposit")
    for _ in range(2):
        make.subscription(ada, make.published(make.flat(amount="80")))
    ids = [draft.pk for draft in close(datetime(2026, 11, 2, tzinfo=UTC))]
    at_once(
        *[lambda pk=pk: issue_invoices(invoice_ids=[pk], as_of=NOW, actor=SYSTEM) for pk in ids]
    )
    assert sorted(item.open for item in OpenItem.objects.all()) == [0, 60]
    assert Payment.objects.get().available == 0
    sound()


def test_a_bank_statement_imported_twice_at_once_is_recorded_once() -> None:
    ada = make.customer()
    record = lambda: make.payment(ada, "5", bank_key="k")  # noqa: E731
    answers = at_once(record, record, record)
    assert sum(isinstance(one, payments.StatementKnown) for one in answers) == 2
    assert Payment.objects.count() == 1
