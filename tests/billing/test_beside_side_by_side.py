"""Credits that leave an invoice while several people act at once: given once, by numbers without a gap."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal as D

import pytest
from django.db import connection

from billing.models import CreditNote, DocumentSequence, Invoice, OpenItem
from billing.services import life
from billing.services.issuing import InvoiceNotDraft, issue_invoices
from billing.services.life import When
from billing.services.payments import Portion, allocate_payment
from config.base.audit import SYSTEM
from config.base.errors import Refusal
from customers.models import Subscription
from tests import factories as make
from tests.billing.crediting import credit
from tests.billing.months import close, contradictions
from tests.billing.side_by_side import ROUNDS, at_once

pytestmark = [
    pytest.mark.postgresql,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer"),
]
APRIL_22 = datetime(2026, 4, 22, 12, tzinfo=UTC)


def ended(key: str = "") -> Invoice:
    """A draft that credits ten days of a fee of 100, and charges nothing; its opening is issued."""
    eve = make.subscription(
        make.customer(key), make.published(make.flat("base", "100")), starts_on=date(2026, 4, 1)
    )
    close(datetime(2026, 4, 1, 12, tzinfo=UTC))
    issue(draft_of(eve), datetime(2026, 4, 1, 12, tzinfo=UTC))
    at = datetime(2026, 4, 20, 12, tzinfo=UTC)
    life.cancel(subscription_id=eve.pk, when=When.IMMEDIATE, at=at, actor=SYSTEM)
    close(datetime(2026, 4, 21, 1, tzinfo=UTC))
    return draft_of(eve)


def draft_of(one: Subscription) -> Invoice:
    return Invoice.objects.get(charges__subscription=one, status="draft")


def issue(draft: Invoice, at: datetime = APRIL_22) -> list[Invoice]:
    return issue_invoices(invoice_ids=[draft.pk], as_of=at, actor=SYSTEM)


def sound() -> None:
    assert contradictions(APRIL_22) == []


@pytest.mark.parametrize("attempt", range(ROUNDS))
def test_two_people_issue_the_same(attempt: int) -> None:
    draft = ended()
    answers = at_once(lambda: issue(draft), lambda: issue(draft))
    assert [type(one) for one in answers if isinstance(one, Refusal)] == [InvoiceNotDraft]
    assert CreditNote.objects.get().total == D("33.33")
    sound()


@pytest.mark.parametrize("attempt", range(ROUNDS))
def test_somebody_credits_the_same_invoice(attempt: int) -> None:
    draft = ended()
    opening = Invoice.objects.get(status="issued")
    answers = at_once(lambda: issue(draft), lambda: credit(opening, at=APRIL_22))
    assert not any(isinstance(one, Refusal) for one in answers)
    assert sorted(note.total for note in CreditNote.objects.all()) == [D("33.33"), D("66.67")]
    assert OpenItem.objects.get().open == 0
    sound()


@pytest.mark.parametrize("attempt", range(ROUNDS))
def test_the_credited_invoice_is_paid_meanwhile(attempt: int) -> None:
    draft = ended()
    opening = Invoice.objects.get(status="issued")
    payment = make.payment(opening.customer, "50", at=APRIL_22)
    at_once(
        lambda: issue(draft),
        lambda: allocate_payment(
            payment_id=payment.pk, portions=[Portion(opening.pk, D(50))], at=APRIL_22, actor=SYSTEM
        ),
    )
    assert OpenItem.objects.get().open == D("16.67")
    sound()


def test_many_at_once_are_numbered_without_a_gap() -> None:
    drafts = [ended() for _ in range(5)]
    at_once(*[lambda one=one: issue(one) for one in drafts])
    numbers = CreditNote.objects.order_by("sequence").values_list("sequence", flat=True)
    assert list(numbers) == [1, 2, 3, 4, 5]
    assert DocumentSequence.objects.get(kind="INV").next_number == 6
    sound()
