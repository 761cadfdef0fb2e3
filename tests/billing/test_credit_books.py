"""Each check of credit notes finds the corruption it is there for, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal as D
from typing import Any

import pytest

from billing.credit_books import CREDIT_BOOKS
from billing.models import (
    CreditNote,
    CreditNoteLine,
    CreditNoteTax,
    ExchangeRate,
    Invoice,
    InvoiceAllowance,
    InvoiceLine,
    OpenItem,
    Payment,
)
from billing.services import life
from billing.services.closing import close_subscriptions
from billing.services.issuing import issue_invoices
from billing.services.life import When
from config.base.audit import SYSTEM
from config.base.invariants import audit
from customers.models import Issuer
from tests import factories as make
from tests.billing.crediting import NOV_20, credit
from tests.billing.months import contradictions
from tests.billing.test_books import change, unguarded

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def books() -> None:
    """An invoice in dollars of which two notes credit some, by amount and by unit; and another."""
    Issuer.objects.update(tax_status="standard", standard_tax_rate=D(19), currency="EUR")
    day = date(2026, 11, 1)
    ExchangeRate.objects.create(base="EUR", quote="USD", rate=D("1.07"), date=day, source="ECB")
    ada = make.customer("ada", currency="USD")
    invoice = make.issued(ada, "100")
    credit(invoice, "base 33.33")
    credit(invoice, "base ×0.5")
    make.issued(ada, "50")


def found() -> set[str]:
    names = [check.name for check in CREDIT_BOOKS]
    return {one.invariant.name for one in audit(at=NOV_20, names=names) if one.findings}


def note() -> CreditNote:
    return CreditNote.objects.latest("pk")


def line() -> CreditNoteLine:
    return CreditNoteLine.objects.latest("pk")


def tax() -> CreditNoteTax:
    return CreditNoteTax.objects.latest("pk")


def of_another_invoice() -> None:
    other = InvoiceLine.objects.exclude(pk=line().line_id).get()
    change(line(), line=other, creditable=50, credited_before=0)


def with_a_coupon() -> None:
    """Say that a coupon took most of the line, which the notes credited all the same."""
    found = line()
    sold = found.line.subscription
    applied = make.applied_coupon(sold, make.coupon(percent=D(50)))
    InvoiceAllowance.objects.create(
        invoice=found.note.invoice, position=1, applied=applied, description="x", tax_category="S",
        tax_rate=19, amount=50, shares=[{"line": found.line.position, "amount": "50.00"}],
    )  # fmt: skip


def carrier() -> Invoice:
    """What remains of a subscription that ended: a fee credited by a note, and no invoice."""
    issuer = Issuer.objects.get()
    eve = make.subscription(make.customer("eve"), make.published(make.flat(amount="100")))
    for day in (1, 2):
        at = datetime(2026, 11, day, 12, tzinfo=UTC)
        if day == 2:
            life.cancel(subscription_id=eve.pk, when=When.IMMEDIATE, at=at, actor=SYSTEM)
            at = datetime(2026, 11, 3, 2, tzinfo=UTC)
        close_subscriptions(subscription_ids=[eve.pk], as_of=at)
        [draft] = Invoice.objects.filter(status="draft", issuer=issuer)
        issue_invoices(invoice_ids=[draft.pk], as_of=at, actor=SYSTEM)
    return Invoice.objects.get(status="settled")


def kept_as_balance() -> None:
    invoice = carrier()
    Payment.objects.create(
        customer=invoice.customer, currency=invoice.currency, amount=1, method="credit",
        left_of=invoice, received_on=date(2026, 11, 3), recorded_at=NOV_20, recorded_by="x",
    )  # fmt: skip


def given_by_hand() -> None:
    change(CreditNoteLine.objects.get(settles__invoice=carrier()), settles=None)


CORRUPTIONS: list[tuple[Callable[[], Any], set[str]]] = [
    (lambda: change(note(), net_total=49, tax_total=D("10.50")),
     {"credit_notes_add_up", "credited_tax_in_books_follows_from_the_invoices_rate"}),
    (lambda: change(note(), line_count=2), {"credit_notes_add_up"}),
    (lambda: change(tax(), base=1),
     {"credit_notes_add_up", "credited_tax_follows_from_its_base"}),
    (lambda: change(line(), credited_before=1), {"lines_are_credited_once"}),
    (lambda: change(line(), quantity=2), {"lines_are_credited_once"}),
    (of_another_invoice, {"lines_are_credited_once"}),
    (with_a_coupon, {"lines_are_credited_once"}),
    (lambda: change(tax(), amount=1),
     {"credit_notes_add_up", "credited_tax_follows_from_its_base"}),
    (lambda: change(note(), tax_in_books={"amount": "1.00"}),
     {"credited_tax_in_books_follows_from_the_invoices_rate"}),
    (lambda: change(carrier(), credited_beside=1),
     {"credits_that_left_an_invoice_are_given_once"}),
    (kept_as_balance, {"credits_that_left_an_invoice_are_given_once"}),
    (given_by_hand, {"credits_that_left_an_invoice_are_given_once"}),
    (lambda: change(OpenItem.objects.earliest("pk"), credited=1),
     {"open_items_are_credited_by_their_notes"}),
]  # fmt: skip


def test_what_the_services_write_contradicts_nothing() -> None:
    assert contradictions(NOV_20) == []


@pytest.mark.unaudited
@pytest.mark.parametrize("number", range(len(CORRUPTIONS)))
def test_a_corruption_is_found(number: int) -> None:
    corrupt, checks = CORRUPTIONS[number]
    unguarded()
    corrupt()
    assert found() == checks


def test_every_check_has_its_corruption() -> None:
    assert {name for _, names in CORRUPTIONS for name in names} == {
        check.name for check in CREDIT_BOOKS
    }
