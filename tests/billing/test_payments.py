"""Payments: what they pay, what is left, and what is refused, each by name (R25, R35)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal as D
from typing import Any

import pytest

from billing.models import Allocation, Invoice, OpenItem, Payment
from billing.services import payments, refunds
from billing.services.issuing import void_invoice
from billing.services.payments import Portion
from billing.services.settling import InvoiceSettled
from billing.services.write_offs import WriteOffReversed, reverse_write_off, write_off
from config.base.audit import SYSTEM
from config.base.errors import Invalid, Refusal
from config.base.models import AuditEntry
from customers.models import Customer
from tests import factories as make

pytestmark = pytest.mark.django_db

NOV_10 = datetime(2026, 11, 10, 9, tzinfo=UTC)


@pytest.fixture
def ada() -> Customer:
    return make.customer("ada")


def status(invoice: Invoice) -> tuple[str | None, str]:
    found = Invoice.objects.with_payment().get(pk=invoice.pk)
    return found.payment_status, f"{found.open_item.open:.2f}"


def left(payment: Payment) -> str:
    return f"{Payment.objects.get(pk=payment.pk).available:.2f}"


def reverse(payment: Payment, reason: str = "The bank took it back.") -> Payment:
    return payments.reverse_payment(payment_id=payment.pk, reason=reason, at=NOV_10, actor=SYSTEM)


def allocate(payment: Payment, portions: dict[Invoice, str]) -> list[Allocation]:
    return payments.allocate_payment(
        payment_id=payment.pk,
        portions=[Portion(invoice.pk, D(amount)) for invoice, amount in portions.items()],
        at=NOV_10,
        actor=SYSTEM,
    )


def refund(payment: Payment, amount: str, on: date | None = None) -> Any:
    return refunds.refund_payment(
        payment_id=payment.pk, amount=D(amount), refunded_on=on, reference="", at=NOV_10,
        actor=SYSTEM,
    )  # fmt: skip


class TestHowFarAnInvoiceIsPaid:
    @pytest.mark.parametrize(
        ("received", "portion", "told", "is_open"),
        [
            pytest.param("40", "40", "part_paid", "60.00", id="a part leaves the rest open"),
            pytest.param("100", "100", "paid", "0.00", id="all of it leaves nothing"),
            pytest.param("120", "100", "overpaid", "0.00", id="more came than is owed"),
            pytest.param("120", "40", "part_paid", "60.00", id="a rest elsewhere pays nothing"),
        ],
    )
    def test_it_follows_what_is_allocated(
        self, ada: Customer, received: str, portion: str, told: str, is_open: str
    ) -> None:
        invoice = make.issued(ada, "100")
        assert status(invoice) == ("unpaid", "100.00")
        make.payment(ada, received, portions={invoice: portion})
        assert status(invoice) == (told, is_open)
        assert list(Invoice.objects.in_payment_status(told)) == [invoice]

    def test_an_invoice_over_nothing_is_paid(self, ada: Customer) -> None:
        assert status(make.issued(ada, "0")) == ("paid", "0.00")

    def test_a_draft_is_neither(self, ada: Customer) -> None:
        draft = Invoice.objects.with_payment().filter(pk=make.issued(ada).pk)
        assert [one.payment_status for one in draft] == ["unpaid"]
        assert not Invoice.objects.in_payment_status("unpaid").exclude(status="issued")

    def test_overpaid_ends_when_the_rest_is_used(self, ada: Customer) -> None:
        invoice = make.issued(ada, "100")
        payment = make.payment(ada, "120", portions={invoice: "100"})
        refund(payment, "20")
        assert status(invoice) == ("paid", "0.00")

    def test_it_is_overdue_from_the_day_after_it_was_due_until_it_is_paid(
        self, ada: Customer
    ) -> None:
        invoice = make.issued(ada)
        due = invoice.due_date
        assert due == date(2026, 12, 1)
        assert not Invoice.objects.overdue(on=due)
        assert list(Invoice.objects.overdue(on=date(2026, 12, 2))) == [invoice]
        make.payment(ada, "100", portions={invoice: "100"})
        assert not Invoice.objects.overdue(on=date(2026, 12, 2))


def test_a_payment_is_never_so_large_that_its_account_could_not_be_added_up(ada: Customer) -> None:
    with pytest.raises(Invalid, match=r"No payment has 1,000,000,000,000 EUR or more"):
        make.payment(ada, "1000000000000")
    make.payment(ada, "999999999999.99")
    assert make.issued(ada, "100")


class TestAllocating:
    def test_one_payment_pays_several_and_the_remainder_is_balance(self, ada: Customer) -> None:
        one, two = make.issued(ada, "100"), make.issued(ada, "50")
        payment = make.payment(ada, "200", portions={one: "100", two: "30"})
        assert left(payment) == "70.00"
        allocate(payment, {two: "20"})
        assert (status(two)[0], left(payment)) == ("overpaid", "50.00")
        dates = list(Allocation.objects.order_by("pk").values_list("allocated_on", flat=True))
        assert dates == [date(2026, 11, 1), date(2026, 11, 1), date(2026, 11, 10)]

    def test_released_it_is_open_again_and_the_payments_to_use(self, ada: Customer) -> None:
        invoice = make.issued(ada)
        payment = make.payment(ada, "100", portions={invoice: "100"})
        first = payment.allocations.get()
        payments.release_allocation(allocation_id=first.pk, at=NOV_10, actor=SYSTEM)
        assert (status(invoice), left(payment)) == (("unpaid", "100.00"), "100.00")
        with pytest.raises(payments.AlreadyReleased):
            payments.release_allocation(allocation_id=first.pk, at=NOV_10, actor=SYSTEM)

    def test_cents_that_floats_miss_still_fit(self, ada: Customer) -> None:
        invoice = make.issued(ada, "0.30")
        make.payment(ada, "0.10", portions={invoice: "0.10"})
        make.payment(ada, "0.20", portions={invoice: "0.20"})
        assert status(invoice) == ("paid", "0.00")


def too_much(ada: Customer, invoice: Invoice) -> None:
    make.payment(ada, "500", portions={invoice: "100.01"})


def more_than_came(ada: Customer, invoice: Invoice) -> None:
    make.payment(ada, "50", portions={invoice: "50.01"})


def twice_the_last(ada: Customer, invoice: Invoice) -> None:
    make.payment(ada, "60", portions={invoice: "60"})
    make.payment(ada, "60", portions={invoice: "60"})


def anothers(ada: Customer, invoice: Invoice) -> None:
    make.payment(make.customer("bob"), "50", portions={invoice: "50"})


def another_currency(ada: Customer, invoice: Invoice) -> None:
    make.payment(ada, "50", currency="USD", portions={invoice: "50"})


def no_invoice_in_its_currency(ada: Customer, invoice: Invoice) -> None:
    make.payment(ada, "50", currency="USD")


def of_a_void(ada: Customer, invoice: Invoice) -> None:
    void_invoice(invoice_id=invoice.pk, reason="x", reopen=False, at=NOV_10, actor=SYSTEM)
    make.payment(ada, "50", portions={invoice: "50"})


def beyond_the_limit(ada: Customer, invoice: Invoice) -> None:
    deposit = make.payment(ada, "500", kind="deposit", max_per_invoice=D(30))
    allocate(deposit, {invoice: "20"})
    allocate(deposit, {invoice: "11"})


def after_its_reversal(ada: Customer, invoice: Invoice) -> None:
    allocate(reverse(make.payment(ada, "50")), {invoice: "50"})


def reversed_twice(ada: Customer, invoice: Invoice) -> None:
    reverse(reverse(make.payment(ada, "50")))


def reversed_though_refunded(ada: Customer, invoice: Invoice) -> None:
    payment = make.payment(ada, "50")
    refund(payment, "10")
    reverse(payment)


def refunded_beyond(ada: Customer, invoice: Invoice) -> None:
    refund(make.payment(ada, "50", portions={invoice: "40"}), "10.01")


def imported_twice(ada: Customer, invoice: Invoice) -> None:
    make.payment(ada, "50", bank_key="k")
    make.payment(ada, "50", bank_key="k")


def given_up_beyond(ada: Customer, invoice: Invoice) -> None:
    write_off(invoice_id=invoice.pk, amount=D("100.01"), reason="x", at=NOV_10, actor=SYSTEM)


def void_though_paid(ada: Customer, invoice: Invoice) -> None:
    make.payment(ada, "50", portions={invoice: "50"})
    void_invoice(invoice_id=invoice.pk, reason="x", reopen=False, at=NOV_10, actor=SYSTEM)


@pytest.mark.parametrize(
    ("act", "refusal"),
    [
        (too_much, payments.MoreThanOpen),
        (more_than_came, payments.NotEnoughLeft),
        (twice_the_last, payments.MoreThanOpen),
        (anothers, payments.NotPayable),
        (another_currency, payments.NotPayable),
        (no_invoice_in_its_currency, payments.OtherCurrency),
        (of_a_void, payments.NotPayable),
        (beyond_the_limit, payments.DepositLimited),
        (after_its_reversal, payments.PaymentReversed),
        (reversed_twice, payments.PaymentReversed),
        (reversed_though_refunded, payments.PaymentRefunded),
        (refunded_beyond, payments.NotEnoughLeft),
        (imported_twice, payments.StatementKnown),
        (given_up_beyond, payments.MoreThanOpen),
        (void_though_paid, InvoiceSettled),
    ],
)
def test_it_is_refused_by_name(
    ada: Customer, act: Callable[[Customer, Invoice], None], refusal: type[Refusal]
) -> None:
    invoice = make.issued(ada, "100")
    with pytest.raises(refusal):
        act(ada, invoice)


@pytest.mark.parametrize(
    ("currency", "fields"),
    [
        pytest.param("USD", {}, id="as its next invoice will be"),
        pytest.param("EUR", {}, id="as an invoice before was"),
        pytest.param("JPY", {"in_other_currency": True}, id="neither, and somebody said so"),
    ],
)
def test_a_payment_is_taken_in_a_currency_of_the_customers(
    ada: Customer, currency: str, fields: Any
) -> None:
    make.issued(ada, "100")
    ada.currency = "USD"  # as when another pays for its subscriptions now
    ada.save()
    assert left(make.payment(ada, "50", currency=currency, **fields)) == "50.00"


def test_of_what_is_settled_it_is_said_that_nothing_is_open_or_left(ada: Customer) -> None:
    invoice = make.issued(ada, "100")
    payment = make.payment(ada, "100", portions={invoice: "100"})
    with pytest.raises(payments.MoreThanOpen, match=f"Nothing of {invoice} is open"):
        make.payment(ada, "1", portions={invoice: "1"})
    with pytest.raises(payments.MoreThanOpen, match=f"Nothing of {invoice} is open"):
        write_off(invoice_id=invoice.pk, amount=None, reason="x", at=NOV_10, actor=SYSTEM)
    with pytest.raises(payments.NotEnoughLeft, match="Nothing is left of this payment"):
        refund(payment, "1")


@pytest.mark.parametrize(
    ("fields", "faulty"),
    [
        pytest.param({"amount": "0"}, "amount", id="nothing came"),
        pytest.param({"amount": "-5"}, "amount", id="less than nothing came"),
        pytest.param({"amount": "1.001"}, "amount", id="a tenth of a cent came"),
        pytest.param({"received_on": date(2026, 11, 2)}, "received_on", id="it came tomorrow"),
        pytest.param({"max_per_invoice": D(1)}, "max_per_invoice", id="a limit of no deposit"),
        pytest.param(
            {"kind": "deposit", "max_per_invoice": D("0.001")}, "max_per_invoice",
            id="a limit finer than a cent",
        ),
    ],
)  # fmt: skip
def test_faults_of_a_payment_name_the_field(
    ada: Customer, fields: dict[str, Any], faulty: str
) -> None:
    with pytest.raises(Invalid) as refused:
        make.payment(ada, fields.pop("amount", "10"), **fields)
    assert [fault.path for fault in refused.value.faults] == [(faulty,)]


class TestReversing:
    def test_what_it_paid_is_open_again_and_both_stay_told(self, ada: Customer) -> None:
        invoice = make.issued(ada)
        payment = reverse(make.payment(ada, "130", portions={invoice: "100"}))
        assert (status(invoice), left(payment)) == (("unpaid", "100.00"), "0.00")
        assert (payment.reversed_on, payment.allocated) == (date(2026, 11, 10), 0)
        said = AuditEntry.objects.filter(subject_type="billing.payment").order_by("pk")
        assert [one.action for one in said] == ["recorded", "allocated", "released", "reversed"]

    def test_it_needs_a_reason(self, ada: Customer) -> None:
        with pytest.raises(Invalid):
            reverse(make.payment(ada, "1"), " ")

    def test_a_refund_taken_back_is_left_again(self, ada: Customer) -> None:
        payment = make.payment(ada, "50")
        made = refund(payment, "20")
        assert left(payment) == "30.00"
        refunds.reverse_refund(refund_id=made.pk, reason="x", at=NOV_10, actor=SYSTEM)
        assert left(payment) == "50.00"
        with pytest.raises(refunds.AlreadyReversed):
            refunds.reverse_refund(refund_id=made.pk, reason="x", at=NOV_10, actor=SYSTEM)

    @pytest.mark.parametrize("day", [date(2026, 10, 31), date(2026, 11, 11)])
    def test_a_refund_is_dated_between_the_payment_and_today(
        self, ada: Customer, day: date
    ) -> None:
        with pytest.raises(Invalid):
            refund(make.payment(ada, "50"), "20", day)


class TestWritingOff:
    def test_nothing_is_open_and_it_stays_unpaid(self, ada: Customer) -> None:
        invoice = make.issued(ada)
        made = write_off(invoice_id=invoice.pk, amount=None, reason="x", at=NOV_10, actor=SYSTEM)
        assert (status(invoice), made.amount) == (("unpaid", "0.00"), D(100))
        assert not Invoice.objects.overdue(on=date(2027, 1, 1))

    def test_taken_back_it_is_open_again(self, ada: Customer) -> None:
        invoice = make.issued(ada)
        made = write_off(invoice_id=invoice.pk, amount=D(40), reason="x", at=NOV_10, actor=SYSTEM)
        assert status(invoice) == ("unpaid", "60.00")
        for refused in (False, True):
            if refused:
                with pytest.raises(WriteOffReversed):
                    reverse_write_off(write_off_id=made.pk, reason="y", at=NOV_10, actor=SYSTEM)
            else:
                reverse_write_off(write_off_id=made.pk, reason="y", at=NOV_10, actor=SYSTEM)
        assert status(invoice) == ("unpaid", "100.00")


class TestWhatAnInvoiceTakesWhenItIsIssued:
    def test_balance_first_then_deposits_up_to_their_limit(self, ada: Customer) -> None:
        deposit = make.payment(ada, "800", kind="deposit", max_per_invoice=D(200))
        balance = make.payment(ada, "30")
        invoice = make.issued(ada, "724.60")
        assert status(invoice) == ("part_paid", "494.60")
        assert (left(balance), left(deposit)) == ("0.00", "600.00")
        told = Allocation.objects.order_by("pk").values_list("amount", "available_before")
        assert list(told) == [(D(30), D(30)), (D(200), D(800))]

    def test_it_takes_no_more_than_it_is_over(self, ada: Customer) -> None:
        balance = make.payment(ada, "120")
        assert status(make.issued(ada, "100")) == ("paid", "0.00")
        assert status(make.issued(ada, "100")) == ("part_paid", "80.00")
        assert left(balance) == "0.00"

    def test_it_takes_nothing_of_others_of_other_currencies_or_of_later(
        self, ada: Customer
    ) -> None:
        make.payment(make.customer("bob"), "100")
        make.payment(ada, "100", currency="USD", in_other_currency=True)
        make.payment(ada, "100", at=NOV_10)
        reverse(make.payment(ada, "100"))
        assert status(make.issued(ada, "100")) == ("unpaid", "100.00")

    def test_a_void_gives_it_back(self, ada: Customer) -> None:
        deposit = make.payment(ada, "150", kind="deposit")
        invoice = make.issued(ada, "100")
        void_invoice(invoice_id=invoice.pk, reason="x", reopen=False, at=NOV_10, actor=SYSTEM)
        assert (status(invoice), left(deposit)) == ((None, "0.00"), "150.00")
        assert OpenItem.objects.get(pk=invoice.pk).voided_on == date(2026, 11, 10)
