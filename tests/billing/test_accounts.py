"""Ageing and statements: as of any day, tying out to the invoices to the cent."""

from __future__ import annotations

from dataclasses import astuple
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as D
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.accounts import (
    currencies_of,
    open_invoices,
    position_at_issue,
    positions,
    statement_of,
)
from billing.models import Allocation, Invoice, OpenItem, Payment, Refund, WriteOff
from billing.money import BUCKETS, Entry, Moved, Owed, ageing, bucket, state_account
from billing.presentation import present
from billing.services import payments, refunds
from billing.services.issuing import void_invoice
from billing.services.payments import Portion
from billing.services.write_offs import reverse_write_off, write_off
from catalog.models import PlanVersion
from catalog.money import ZERO
from config.base.audit import SYSTEM
from config.base.errors import Invalid, Refusal
from customers.models import Customer
from tests import factories as make
from tests.billing.crediting import credit

DUE = date(2026, 12, 1)


@pytest.mark.parametrize(
    ("days", "name"),
    [
        pytest.param(-30, "current", id="not due for a month"),
        pytest.param(0, "current", id="on its due day it is not late"),
        pytest.param(1, "1–30", id="late from the day after"),
        pytest.param(30, "1–30", id="a month late"),
        pytest.param(31, "31–60", id="the next bucket begins"),
        pytest.param(60, "31–60", id="two months late"),
        pytest.param(61, "61–90", id="and one day"),
        pytest.param(90, "61–90", id="three months late"),
        pytest.param(91, "90+", id="later than all"),
        pytest.param(4000, "90+", id="for ever"),
    ],
)
def test_a_bucket_by_the_days_it_is_overdue(days: int, name: str) -> None:
    assert BUCKETS[bucket(DUE, as_of=DUE + timedelta(days=days))] == name


@given(st.lists(st.tuples(st.integers(-200, 200), st.integers(100, 10**8))))
def test_buckets_add_up(rows: list[tuple[int, int]]) -> None:
    owed = [Owed(1, "EUR", DUE + timedelta(days=days), D(cents) / 100) for days, cents in rows]
    assert ageing(owed, as_of=DUE).total == sum((one.open for one in owed), ZERO)


def test_a_statement_runs_from_an_opening_to_a_closing_balance() -> None:
    def entry(day: int, moved: Moved, amount: str) -> Entry:
        return Entry(date(2026, 11, day), moved, "", D(amount))

    entries = [
        entry(20, Moved.INVOICE, "50"),
        entry(5, Moved.PAYMENT, "-100"),
        entry(10, Moved.PAYMENT, "-10"),
        entry(1, Moved.INVOICE, "100"),
        entry(10, Moved.INVOICE, "30"),
    ]
    told = state_account(entries, since=date(2026, 11, 5), until=date(2026, 11, 10))
    assert (told.opening, told.closing) == (D(100), D(20))
    assert [(row.entry.amount, row.balance) for row in told.rows] == [
        (D(-100), D(0)),
        (D(30), D(30)),
        (D(-10), D(20)),
    ]


def at(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


@pytest.mark.django_db
class TestAsOfADay:
    def test_each_day_is_told_as_it_was(self) -> None:
        ada = make.customer("ada")
        invoice = make.issued(ada, "100", on=date(2026, 11, 1))
        payment = make.payment(
            ada, "120", at=at(date(2026, 12, 5)), portions={invoice: "100"}, reference="R"
        )
        payments.reverse_payment(
            payment_id=payment.pk, reason="Returned", at=at(date(2026, 12, 20)), actor=SYSTEM
        )
        told = {}
        for day in (date(2026, 10, 31), DUE, date(2026, 12, 5), date(2026, 12, 20)):
            found = positions(as_of=day).get((ada.pk, "EUR"))
            told[day.isoformat()] = found and (*found.ageing.buckets[:2], found.balance)
        assert told == {
            "2026-10-31": None,
            "2026-12-01": (D(100), D(0), D(0)),
            "2026-12-05": (D(0), D(0), D(20)),
            "2026-12-20": (D(0), D(100), D(0)),
        }
        rows = statement_of(ada, "EUR", until=date(2026, 12, 31)).rows
        assert [(row.entry.moved, row.entry.reference, row.balance) for row in rows] == [
            ("invoice", invoice.number, D(100)),
            ("payment", "R", D(-20)),
            ("reversed", "R", D(100)),
        ]

    def test_accounts_are_kept_by_currency(self) -> None:
        ada = make.customer("ada")
        make.payment(ada, "7", currency="USD", in_other_currency=True)
        assert currencies_of(ada) == ["EUR", "USD"]
        assert positions(as_of=DUE)[ada.pk, "USD"].total == D(-7)

    def test_another_customers_is_not_told(self) -> None:
        ada, bob = make.customer("ada"), make.customer("bob")
        make.issued(bob)
        make.payment(bob, "1")
        assert not positions(as_of=DUE, customer_ids=[ada.pk])
        assert not statement_of(ada, "EUR", until=DUE).rows

    def test_it_costs_as_many_queries_for_many(self, django_assert_num_queries: Any) -> None:
        for _ in range(3):
            make.issued(make.customer())
        with django_assert_num_queries(2):
            assert len(positions(as_of=DUE)) == 3

    def test_an_invoice_tells_the_account_it_was_issued_to(self) -> None:
        ada = make.customer("ada")
        first = make.issued(ada, "100", on=date(2026, 9, 1))
        make.payment(ada, "40", at=at(date(2026, 10, 1)), portions={first: "40"})
        make.payment(ada, "800", at=at(date(2026, 10, 2)), kind="deposit", max_per_invoice=D(20))
        second = make.issued(ada, "50", on=date(2026, 11, 1))
        told = position_at_issue(second)
        assert told == (D(100), D(40), D(50), D(20))
        assert told.outstanding == D(90) == sum(one.owed.open for one in open_invoices(as_of=DUE))
        assert position_at_issue(first) == (D(0), D(0), D(100), D(0))

    @pytest.mark.parametrize(
        ("locale", "balance", "deposit"),
        [
            ("en-GB", "Balance of 2 Oct 2026", "Deposit of 1 Oct 2026"),
            ("de", "Guthaben vom 02.10.2026", "Anzahlung vom 01.10.2026"),
            ("fr", "Solde créditeur du 2 oct. 2026", "Acompte du 1er oct. 2026"),
            ("es", "Saldo a favor del 2 oct 2026", "Anticipo del 1 oct 2026"),
        ],
    )
    def test_an_invoice_tells_what_it_took_of_which_deposit_and_balance(
        self, locale: str, balance: str, deposit: str
    ) -> None:
        ada = make.customer("ada", locale=locale)
        make.payment(ada, "80", at=at(date(2026, 10, 1)), kind="deposit", max_per_invoice=D(20))
        make.payment(ada, "5", at=at(date(2026, 10, 2)))
        first, second = (make.issued(ada, "50", on=date(2026, month, 3)) for month in (10, 11))
        assert _grants(first) == [
            (balance, "0.00", "5.00", "−5.00", "0.00"),
            (deposit, "0.00", "80.00", "−20.00", "60.00"),
        ]
        assert _grants(second) == [(deposit, "60.00", "0.00", "−20.00", "40.00")]
        assert _grants(make.issued(make.customer())) == []


def _grants(invoice: Invoice) -> list[tuple[str, ...]]:
    """Return what an invoice says of deposits and balances, with the decimal points of English."""
    view = present(Invoice.objects.with_lines().get(pk=invoice.pk))
    return [tuple(text.replace(",", ".") for text in astuple(one)) for one in view.grants]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "issue",
                "pay",
                "deposit",
                "allocate",
                "release",
                "reverse",
                "refund",
                "unrefund",
                "give_up",
                "take_back",
                "void",
                "credit",
                "credit_and_refund",
            ]
        ),
        st.integers(0, 5),
        st.integers(1, 3000),
    ),
    max_size=14,
)


@pytest.mark.django_db
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=STEPS)
def test_statement_ageing_and_open_items_tie_out_on_every_day(
    steps: list[tuple[str, int, int]],
) -> None:
    ada = make.customer()
    version = make.published(make.flat(amount="33.33"))
    day = date(2026, 10, 1)
    for step, which, cents in steps:
        day += timedelta(days=which)
        try:
            act(step, which, D(cents) / 100, day, ada, version)
        except (Refusal, Invalid):
            continue
    for later in range(0, 400, 19):
        as_of = date(2026, 10, 1) + timedelta(days=later)
        found = positions(as_of=as_of, customer_ids=[ada.pk]).get((ada.pk, "EUR"))
        assert statement_of(ada, "EUR", until=as_of).closing == (found.total if found else 0)
    mine = OpenItem.objects.filter(invoice__customer=ada)
    at_last = date(2027, 12, 31)  # issue dates rise over all examples, which share an issuer
    owed = {pk: one.open for pk, one in open_invoices(as_of=at_last, customer_ids=[ada.pk])}
    assert owed == {item.pk: item.open for item in mine.owed()}
    for payment in Payment.objects.filter(customer=ada):
        live = payment.allocations.filter(released_on=None)
        assert payment.allocated == sum(one.amount for one in live)


def act(step: str, which: int, amount: D, day: date, ada: Customer, version: PlanVersion) -> None:
    invoices = Invoice.objects.filter(customer=ada, status="issued").order_by("pk")
    received = Payment.objects.filter(customer=ada).order_by("pk")
    when: Any = {"at": at(day), "actor": SYSTEM}
    match step:
        case "issue":
            make.issued(ada, on=day, version=version)
        case "pay":
            make.payment(ada, str(amount), at=at(day))
        case "deposit":
            make.payment(ada, str(amount), at=at(day), kind="deposit", max_per_invoice=D(5))
        case "allocate" if invoices and received:
            portion = Portion(invoices[which % len(invoices)].pk, amount)
            payments.allocate_payment(
                payment_id=received[which % len(received)].pk, portions=[portion], **when
            )  # fmt: skip
        case "release" if live := Allocation.objects.filter(payment__customer=ada):
            payments.release_allocation(allocation_id=live[which % len(live)].pk, **when)
        case "reverse" if received:
            payments.reverse_payment(
                payment_id=received[which % len(received)].pk, reason="x", **when
            )  # fmt: skip
        case "refund" if received:
            refunds.refund_payment(
                payment_id=received[which % len(received)].pk, amount=amount, refunded_on=None,
                reference="", **when,
            )  # fmt: skip
        case "unrefund" if made := Refund.objects.filter(payment__customer=ada):
            refunds.reverse_refund(refund_id=made[which % len(made)].pk, reason="x", **when)
        case "give_up" if invoices:
            write_off(
                invoice_id=invoices[which % len(invoices)].pk, amount=amount, reason="x", **when
            )
        case "take_back" if given := WriteOff.objects.filter(item__invoice__customer=ada):
            reverse_write_off(write_off_id=given[which % len(given)].pk, reason="x", **when)
        case "credit" | "credit_and_refund" if invoices:
            invoice = invoices[which % len(invoices)]
            share = min(amount, D("12.34"))
            credit(invoice, f"base {share}", refund=step == "credit_and_refund", at=at(day))
        case "void" if invoices:
            void_invoice(
                invoice_id=invoices[which % len(invoices)].pk, reason="x", reopen=False, **when
            )  # fmt: skip
