"""Each check of money finds the corruption it is there for, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal as D
from typing import Any

import pytest

from billing.models import Allocation, OpenItem, Payment, Refund, WriteOff
from billing.money_books import MONEY_BOOKS
from billing.services import payments, refunds
from billing.services.issuing import void_invoice
from billing.services.write_offs import write_off
from config.base.audit import SYSTEM
from config.base.invariants import audit
from tests import factories as make
from tests.billing.test_books import change, unguarded

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)


@pytest.fixture(autouse=True)
def books() -> None:
    """A deposit that is used, a part-paid, a given up and a void invoice, a refund and a reversal."""
    ada = make.customer("ada")
    make.payment(ada, "500", kind="deposit", max_per_invoice=D(30), reference="deposit")
    first = make.issued(ada, "100")
    paid = make.payment(ada, "60", portions={first: "40"}, reference="paid")
    refunds.refund_payment(
        payment_id=paid.pk, amount=D(5), refunded_on=None, reference="", at=NOW, actor=SYSTEM
    )
    write_off(invoice_id=first.pk, amount=D(10), reason="x", at=NOW, actor=SYSTEM)
    back = make.payment(ada, "7", portions={first: "7"})
    payments.reverse_payment(payment_id=back.pk, reason="x", at=NOW, actor=SYSTEM)
    bob = make.issued(make.customer("bob"), "9")
    void_invoice(invoice_id=bob.pk, reason="x", reopen=False, at=NOW, actor=SYSTEM)


def found() -> set[str]:
    names = [check.name for check in MONEY_BOOKS]
    return {one.invariant.name for one in audit(at=NOW, names=names) if one.findings}


def item(key: str = "ada") -> OpenItem:
    return OpenItem.objects.get(invoice__customer__key=key)


def payment() -> Payment:
    return Payment.objects.get(reference="paid")


def allocation() -> Allocation:
    return payment().allocations.get()


def an_item_lost() -> None:
    OpenItem.objects.filter(invoice__customer__key="bob").delete()


def anothers_invoice() -> None:
    change(allocation().payment, customer=make.customer("zoe"))


def a_day_too_early() -> None:
    change(allocation(), allocated_on=date(2026, 10, 31))


def beyond_the_limit() -> None:
    change(Payment.objects.get(reference="deposit"), max_per_invoice=29)


CORRUPTIONS: list[tuple[Callable[[], Any], set[str]]] = [
    (an_item_lost, {"open_items_are_their_invoices"}),
    (lambda: change(item(), total=101), {"open_items_are_their_invoices"}),
    (lambda: change(item("bob"), voided_on=None), {"open_items_are_their_invoices"}),
    (lambda: change(item(), paid=71), {"open_items_are_what_settles_them"}),
    (lambda: change(item(), written_off=0), {"open_items_are_what_settles_them"}),
    (lambda: change(payment(), allocated=41), {"payments_are_used_once"}),
    (lambda: change(payment(), refunded=0), {"payments_are_used_once"}),
    (lambda: change(allocation(), amount=39),
     {"payments_are_used_once", "open_items_are_what_settles_them"}),
    (lambda: change(Refund.objects.get(), amount=4), {"payments_are_used_once"}),
    (lambda: change(WriteOff.objects.get(), amount=9), {"open_items_are_what_settles_them"}),
    (anothers_invoice, {"payments_pay_their_own"}),
    (beyond_the_limit, {"payments_pay_their_own"}),
    (a_day_too_early, {"payments_pay_from_their_day"}),
    (lambda: change(payment(), amount=D("60.001")), {"payments_are_in_whole_units"}),
]  # fmt: skip


def test_what_the_services_write_contradicts_nothing() -> None:
    assert found() == set()


@pytest.mark.parametrize("number", range(len(CORRUPTIONS)))
def test_a_corruption_is_found(number: int) -> None:
    corrupt, checks = CORRUPTIONS[number]
    unguarded()
    corrupt()
    assert found() == checks


def test_every_check_has_its_corruption() -> None:
    assert {name for _, names in CORRUPTIONS for name in names} == {
        check.name for check in MONEY_BOOKS
    }
