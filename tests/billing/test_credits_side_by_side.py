"""Credit notes while several people act at once: nothing is credited twice."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal as D

import pytest
from django.db import connection

from billing.crediting import MoreThanCreditable
from billing.models import CreditNote, DocumentSequence, Invoice, OpenItem
from billing.services import payments
from billing.services.credit_notes import CreditedMeanwhile, NotCreditable
from billing.services.issuing import InvoiceCredited, void_invoice
from billing.services.payments import MoreThanOpen, Portion
from config.base.audit import SYSTEM
from config.base.errors import Refusal
from tests import factories as make
from tests.billing.crediting import NOV_20, credit
from tests.billing.months import contradictions
from tests.billing.side_by_side import at_once

pytestmark = [
    pytest.mark.postgresql,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer"),
]


def sound() -> None:
    assert contradictions(datetime(2026, 11, 21, tzinfo=UTC)) == []


def refusals(answers: list[object]) -> list[type[object]]:
    return [type(one) for one in answers if isinstance(one, Refusal)]


@pytest.mark.parametrize("attempt", range(3))
def test_two_people_credit_the_last_of_a_line(attempt: int) -> None:
    invoice = make.issued(make.customer(), "100")
    answers = at_once(*[lambda: credit(invoice, "base 60")] * 2)
    assert refusals(answers) == [MoreThanCreditable]
    assert OpenItem.objects.get().credited == 60
    assert DocumentSequence.objects.get(kind="CN").next_number == 2
    sound()


@pytest.mark.parametrize("attempt", range(3))
def test_two_who_looked_at_the_same_credit_it_once(attempt: int) -> None:
    invoice = make.issued(make.customer(), "100")
    answers = at_once(*[lambda: credit(invoice, "base 10", seen=D(0))] * 3)
    assert refusals(answers) == [CreditedMeanwhile] * 2
    sound()


@pytest.mark.parametrize("attempt", range(3))
def test_paid_while_it_is_credited_what_is_too_much_comes_free_or_is_refused(attempt: int) -> None:
    ada = make.customer()
    invoice = make.issued(ada, "100")
    payment = make.payment(ada, "100", at=NOV_20)

    def pay() -> object:
        return payments.allocate_payment(
            payment_id=payment.pk, portions=[Portion(invoice.pk, D(100))], at=NOV_20, actor=SYSTEM
        )

    answers = at_once(pay, lambda: credit(invoice, "base 60"))
    note = CreditNote.objects.get()
    if refusals(answers) == [MoreThanOpen]:
        assert (note.off_open, note.to_balance) == (60, 0)
    else:
        assert (note.off_open, note.to_balance) == (0, 60)
    sound()


@pytest.mark.parametrize("attempt", range(3))
def test_voided_while_it_is_credited_it_is_one_or_the_other(attempt: int) -> None:
    invoice = make.issued(make.customer(), "100")
    answers = at_once(
        lambda: credit(invoice),
        lambda: void_invoice(
            invoice_id=invoice.pk, reason="x", reopen=False, at=NOV_20, actor=SYSTEM
        ),
    )
    is_void = Invoice.objects.get().status == "void"
    assert refusals(answers) == [NotCreditable if is_void else InvoiceCredited]
    assert CreditNote.objects.exists() is not is_void
    sound()


def test_notes_of_many_invoices_at_once_are_numbered_without_a_gap() -> None:
    invoices = [make.issued(make.customer(), "100") for _ in range(6)]
    at_once(*[lambda one=one: credit(one, "base 10") for one in invoices])
    numbers = CreditNote.objects.order_by("sequence").values_list("sequence", flat=True)
    assert list(numbers) == [1, 2, 3, 4, 5, 6]
    sound()
