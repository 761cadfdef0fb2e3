"""Coupons on invoices (R22a): what they reduce, how often, and what is left of them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal as D
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing.models import Invoice
from billing.services.issuing import (
    discard_invoice,
    recalculate_invoices,
    redrawing,
    void_invoice,
)
from billing.services.upcoming import running_periods
from config.base.audit import SYSTEM
from customers.models import AppliedCoupon, Issuer, Subscription
from customers.services import end_coupon
from tests import factories as make
from tests.billing.months import close, use
from tests.conftest import Caller
from tests.staff import leo, page, said

pytestmark = pytest.mark.django_db

NOV, DEC, JAN = date(2026, 11, 1), date(2026, 12, 1), date(2027, 1, 1)


def at(month: int, day: int, *, year: int = 2026) -> datetime:
    return datetime(year, month, day, 2, tzinfo=UTC)


def subscribed(*prices: Any, approved: bool = False, **terms: Any) -> Subscription:
    """To a fee of 100 in advance and calls at 1 each, from November; `approved` by a person."""
    own = prices or (
        make.flat(amount="100"),
        make.graduated(make.metric("calls"), "rest @ 1", key="calls"),
    )
    buyer = make.customer(manual_approval=approved)
    return make.subscription(buyer, make.published(*own, **terms), starts_on=NOV)


def give(subscription: Subscription, *, since: date = NOV, **coupon: Any) -> AppliedCoupon:
    return make.applied_coupon(subscription, make.coupon(**coupon), starts_on=since)


def taken() -> list[str]:
    """Give what coupons took off each invoice that is neither void nor discarded, in order."""
    live = Invoice.objects.exclude(status__in=["void", "discarded"]).order_by("pk")
    return [
        " ".join(f"{one.amount.normalize():f}" for one in invoice.allowances.all()) or "-"
        for invoice in live
    ]


@pytest.mark.parametrize(
    ("coupon", "since", "expected"),
    [
        pytest.param({"amount": D(30)}, NOV, ["30", "-", "-", "-"], id="once: the first"),
        pytest.param({"amount": D(30)}, DEC, ["-", "30", "-", "-"], id="once, from December"),
        pytest.param(
            {"amount": D(30)}, date(2026, 11, 2), ["-", "30", "-", "-"], id="given the day after"
        ),
        pytest.param({"percent": D(20)}, NOV, ["20", "-", "-", "-"], id="a fifth, once"),
        pytest.param(
            {"percent": D(20), "duration": "periods", "periods": 2},
            DEC,
            ["-", "20", "20", "-"],
            id="a fifth for two periods",
        ),
        pytest.param(
            {"amount": D("0.01"), "duration": "forever"},
            NOV,
            ["0.01", "0.01", "0.01", "0.01"],
            id="a cent for good",
        ),
        pytest.param(
            {"amount": D(250), "duration": "until_used_up"},
            NOV,
            ["100", "100", "50", "-"],
            id="until used up",
        ),
        pytest.param(
            {"amount": D(250)}, NOV, ["100", "-", "-", "-"], id="the rest lapses without it"
        ),
        pytest.param({"percent": D(100)}, NOV, ["100", "-", "-", "-"], id="all of it"),
    ],
)
def test_how_often_a_coupon_reduces(
    coupon: dict[str, Any], since: date, expected: list[str]
) -> None:
    give(subscribed(), since=since, **coupon)
    close(at(1, 2, year=2027))
    close(at(1, 2, year=2027))
    assert taken() == expected[:3]
    close(at(2, 2, year=2027))
    assert taken() == expected


def test_amounts_come_before_percentages_each_oldest_first_and_never_below_zero() -> None:
    subscription = subscribed()
    give(subscription, key="tenth", percent=D(10))
    give(subscription, key="sixty", amount=D(60))
    give(subscription, key="half", percent=D(50))
    opening, *_ = close(at(11, 2))
    assert [(one.applied.coupon.key, one.amount) for one in opening.allowances.all()] == [
        ("sixty", D(60)),
        ("tenth", D(4)),
        ("half", D(18)),
    ]
    assert opening.net_total == D(18)


def test_fees_usage_and_minimum_charges_are_reduced_but_no_commitment() -> None:
    calls = make.metric("calls")
    subscription = subscribed(
        make.flat(amount="100"),
        make.graduated(calls, "rest @ 1", key="calls", minimum=D(30)),
        minimum_commitment=D(200),
    )
    use(subscription, at(11, 30), calls=10)
    give(subscription, since=DEC, percent=D(10))
    [_, november] = close(at(12, 2))
    assert [(line.kind, line.net) for line in november.lines.all()] == [
        ("fee", D(100)),
        ("usage", D(10)),
        ("minimum", D(20)),
        ("commitment", D(70)),  # what coupons took off does not count towards it
    ]
    [allowance] = november.allowances.all()
    assert allowance.amount == D(13)
    assert allowance.shares == [
        {"line": 1, "amount": "10.00"},
        {"line": 2, "amount": "1.00"},
        {"line": 3, "amount": "2.00"},
    ]
    assert november.net_total == D(187)


def test_tax_is_on_what_is_left() -> None:
    Issuer.objects.update(tax_status="standard", standard_tax_rate=D(19))
    give(subscribed(), amount=D("33.33"))
    [opening] = close(at(11, 2))
    assert (opening.net_total, opening.tax_total, opening.total) == (
        D("66.67"),
        D("12.67"),
        D("79.34"),
    )
    assert opening.taxes.get().base == D("66.67")


def test_nothing_to_reduce_does_not_use_a_coupon() -> None:
    subscription = subscribed(make.graduated(make.metric("calls"), "rest @ 1", key="calls"))
    use(subscription, at(12, 15), calls=5)
    give(subscription, amount=D(3))
    close(at(1, 2, year=2027))
    assert taken() == ["-", "3"]


def test_a_coupon_in_another_currency_reduces_nothing() -> None:
    """Its customer's currency may change until the first invoice."""
    subscription = subscribed()
    foreign = make.coupon(amount=D(3), currency="USD", duration="forever")
    AppliedCoupon.objects.create(
        subscription=subscription, coupon=foreign, starts_on=NOV, applied_at=make.AT
    )
    close(at(11, 2))
    assert taken() == ["-"]


def test_an_ended_coupon_reduces_nothing_more() -> None:
    applied = give(subscribed(), amount=D(3), duration="forever")
    close(at(11, 2))
    end_coupon(applied_id=applied.pk, ends_on=DEC, actor=SYSTEM)
    close(at(12, 2))
    assert taken() == ["3", "-"]


class TestUndone:
    """What is left of a coupon is told by live invoices alone."""

    def test_redrawn_it_is_used_once(self) -> None:
        subscription = subscribed(approved=True)
        give(subscription, since=DEC, amount=D(30), duration="until_used_up")
        [_, november] = close(at(12, 1))
        for _ in range(2):
            recalculate_invoices(invoice_ids=[november.pk], at=at(12, 1), actor=SYSTEM)
        assert taken() == ["-", "30"]
        [(_, composed)] = redrawing([november], at=at(12, 1))
        assert composed.totals.net == D(70)

    def test_two_drafts_redrawn_together_share_it(self) -> None:
        subscription = subscribed(approved=True)
        give(subscription, since=DEC, amount=D(150), duration="until_used_up")
        drafts = close(at(1, 2, year=2027))[1:]
        assert taken() == ["-", "100", "50"]
        found = redrawing(drafts, at=at(1, 2, year=2027))
        assert [composed.totals.net for _, composed in found] == [D(0), D(50)]
        ids = [draft.pk for draft in drafts]
        recalculate_invoices(invoice_ids=ids, at=at(1, 2, year=2027), actor=SYSTEM)
        assert taken() == ["-", "100", "50"]

    def test_a_discarded_draft_gives_it_back(self) -> None:
        give(subscribed(approved=True), since=DEC, amount=D(30))
        [_, november] = close(at(12, 1))
        discard_invoice(invoice_id=november.pk, reason="x", reopen=True, at=at(12, 1), actor=SYSTEM)
        close(at(12, 1))
        assert taken() == ["-", "30"]

    def test_what_is_waived_leaves_it_for_the_next(self) -> None:
        give(subscribed(approved=True), since=DEC, amount=D(30))
        [_, november] = close(at(12, 1))
        discard_invoice(
            invoice_id=november.pk, reason="x", reopen=False, at=at(12, 1), actor=SYSTEM
        )
        close(at(1, 2, year=2027))
        assert taken() == ["-", "30"]

    def test_a_void_invoice_gives_it_back_but_only_once(self) -> None:
        give(subscribed(), amount=D(30))
        [opening] = close(at(11, 3))
        void_invoice(invoice_id=opening.pk, reason="x", reopen=True, at=at(11, 3), actor=SYSTEM)
        close(at(12, 1))
        assert taken() == ["30", "-"]

    def test_two_drafts_of_one_close_do_not_both_use_it(self) -> None:
        """The opening comes again while the period after it is due."""
        subscription = subscribed()
        [opening] = close(at(11, 3))
        close(at(12, 1))
        void_invoice(invoice_id=opening.pk, reason="x", reopen=True, at=at(11, 3), actor=SYSTEM)
        give(subscription, amount=D(30))
        close(at(1, 2, year=2027))
        assert sorted(taken()) == ["-", "-", "30"]

    def test_given_or_ended_after_the_draft_it_counts_when_the_draft_is_looked_at(self) -> None:
        subscription = subscribed(approved=True)
        [_, november] = close(at(12, 1))

        def look() -> int:
            return len(
                recalculate_invoices(
                    invoice_ids=[november.pk], at=at(12, 1), actor=SYSTEM, only_if_changed=True
                )
            )

        assert look() == 0
        applied = give(subscription, since=DEC, amount=D(30))
        assert (look(), look(), taken()) == (1, 0, ["-", "30"])
        end_coupon(applied_id=applied.pk, ends_on=DEC, actor=SYSTEM)
        assert (look(), look(), taken()) == (1, 0, ["-", "-"])


def test_a_close_costs_the_same_whatever_the_coupons() -> None:
    def queries(subscriptions: int, coupons: int) -> int:
        for _ in range(subscriptions):
            one = subscribed(make.flat(amount="100"))
            for _ in range(coupons):
                give(one, amount=D(1))
        running = running_periods(
            subscriptions=list(Subscription.objects.with_terms()), at=at(11, 3)
        )
        assert len(running) >= subscriptions
        with CaptureQueriesContext(connection) as asked:
            running_periods(subscriptions=list(Subscription.objects.with_terms()), at=at(11, 3))
        return len(asked)

    assert queries(1, 1) == queries(4, 3)


def test_the_api_shows_it_on_invoice_and_upcoming_invoice(caller: Caller) -> None:
    subscription = subscribed()
    give(subscription, key="launch", name="Launch promotion", percent=D("12.5"), duration="forever")
    [opening] = close(at(11, 2))
    client = caller()
    answer = client.get(f"/api/v1/invoices/{opening.uuid}").json()
    [line] = answer["lines"]
    assert answer["allowances"] == [
        {
            "coupon": "launch",
            "description": "Launch promotion",
            "percent": "12.5",
            "amount": "12.50",
            "gross": None,
            "tax_category": "O",
            "tax_rate": "0",
            "shares": [{"line": line["id"], "position": 1, "amount": "12.50", "gross": None}],
        }
    ]
    assert (line["net"], answer["net_total"]) == ("100.00", "87.50")
    with time_machine.travel(at(11, 20)):
        url = f"/api/v1/subscriptions/{subscription.key}/upcoming-invoice"
        upcoming = client.get(url).json()
    assert [one["amount"] for one in upcoming["allowances"]] == ["12.50"]
    assert upcoming["net_total"] == "87.50"


def test_the_subscriptions_page_says_what_was_taken_and_what_is_left() -> None:
    subscription = subscribed()
    give(subscription, name="Welcome", amount=D(150), duration="until_used_up")
    give(subscription, name="Later", since=JAN, percent=D(10))
    close(at(11, 2))
    shown = said(leo().get(page("customers_subscription", "change", subscription.pk)))
    assert "Welcome 150.00 EUR in all, until used up 1 Nov 2026 as it lasts" in shown
    assert "100.00 EUR on 1 invoice, 50.00 EUR left" in shown
    assert "Later 10 % once 1 Jan 2027 as it lasts nothing yet" in shown
