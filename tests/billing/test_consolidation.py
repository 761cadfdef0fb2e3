"""One invoice for several subscriptions: which share it, and what each keeps of its own (R37)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from billing.models import BillingPeriod, Invoice, InvoiceLine, PeriodCharge, SoldAddOn
from billing.services import closing, issuing, life, runs
from billing.services.add_ons import withdraw_add_on
from billing.services.changing import When
from billing.services.upcoming import upcoming_invoice
from billing.shared_books import SHARED_BOOKS
from catalog.models import PlanVersion
from config.base.audit import SYSTEM
from config.base.invariants import audit
from config.base.models import AuditEntry
from customers.models import Customer, Issuer, Subscription
from tests import factories as make
from tests.billing.months import close, contradictions, lines, use

pytestmark = pytest.mark.django_db
D = Decimal
NOV, DEC = date(2026, 11, 1), date(2026, 12, 1)


def at(month: int, day: int, hour: int = 0, *, year: int = 2026) -> datetime:
    return datetime(year, month, day, hour, tzinfo=UTC)


CLOSED, LATER = at(12, 1, 1), at(12, 5)


@pytest.fixture(autouse=True)
def nothing_contradicts() -> Any:
    """At the end of each test, invoices and periods are as they must be."""
    yield
    assert contradictions(LATER, but=["periods_close_in_time"]) == []  # no worker runs here


@pytest.fixture
def plan() -> PlanVersion:
    """10 a month in advance, and 1 a call above 100 included."""
    return make.published(
        make.flat("base", "10"),
        make.graduated(make.metric("calls"), "rest @ 1", key="calls", included_quantity=D(100)),
    )


@pytest.fixture
def ada() -> Customer:
    """She wants one invoice."""
    return make.customer("ada", consolidation="one_invoice")


def both(ada: Customer, plan: PlanVersion) -> list[Subscription]:
    """Her own subscription, and a child's that she pays for, since the same day."""
    child = make.customer("child")
    return [
        make.subscription(ada, plan, key="first", starts_on=NOV),
        make.subscription(child, plan, key="second", starts_on=NOV, payer=ada),
    ]


def groups(of: list[Invoice]) -> list[list[str]]:
    """Return the subscriptions on each invoice."""
    return [
        sorted({line.subscription.key for line in invoice.lines.all()}, key=str) for invoice in of
    ]


def december(invoices: list[Invoice]) -> list[Invoice]:
    """Keep those over the periods that ended with November."""
    return [one for one in invoices if any(c.purpose != "opening" for c in one.charges.all())]


class Case:
    """Two subscriptions that meet in all that makes them share an invoice; a row changes one thing."""

    def __init__(self) -> None:
        self.plan = make.published(make.flat("base", "10"))
        self.payer = make.customer("ada", consolidation="one_invoice")
        self.first: dict[str, Any] = {"starts_on": NOV}
        self.second: dict[str, Any] = {"starts_on": NOV, "customer": self.payer}

    def invoices(self, as_of: datetime = CLOSED) -> list[list[str]]:
        make.subscription(self.payer, self.plan, key="first", **self.first)
        terms = {"version": self.plan, **self.second}
        make.subscription(key="second", **terms)
        return sorted(groups(december(close(as_of))))


def nothing(case: Case) -> None:
    pass


def a_child_pays(case: Case) -> None:
    case.second |= {"customer": make.customer("child"), "payer": case.payer}


def another_payer(case: Case) -> None:
    other = make.customer("other", consolidation="one_invoice")
    case.second |= {"payer": other}


def the_child_pays_itself(case: Case) -> None:
    case.second |= {"customer": make.customer("child", consolidation="one_invoice")}


def another_issuer(case: Case) -> None:
    only = Issuer.objects.get()
    case.first |= {"issuer": only}
    case.second |= {"issuer": Issuer.objects.create(name="Another", legal_name="Another")}


def another_day(case: Case) -> None:
    case.second |= {"starts_on": date(2026, 10, 31), "anchor_on": date(2026, 10, 31)}


def another_interval_that_ends_that_day(case: Case) -> None:
    fee = make.flat("base", "90")
    case.second |= {
        "version": make.published(fee, interval="quarter"),
        "starts_on": date(2026, 9, 1),
    }


def another_plan(case: Case) -> None:
    case.second |= {"version": make.published(make.flat("base", "25"))}


def a_zone_where_the_same_day_comes_earlier(case: Case) -> None:
    case.second |= {"time_zone": "Europe/Berlin"}


def a_zone_so_far_that_it_is_due_another_day(case: Case) -> None:
    Issuer.objects.update(time_zone="UTC")
    case.second |= {"time_zone": "Asia/Tokyo"}


def the_customer_wants_each_by_itself(case: Case) -> None:
    Customer.objects.filter(pk=case.payer.pk).update(consolidation="per_subscription")
    Issuer.objects.update(consolidation="one_invoice")


def nobody_says(case: Case) -> None:
    Customer.objects.filter(pk=case.payer.pk).update(consolidation="")


def the_issuer_says(case: Case) -> None:
    Customer.objects.filter(pk=case.payer.pk).update(consolidation="")
    Issuer.objects.update(consolidation="one_invoice")


def the_user_says_but_does_not_pay(case: Case) -> None:
    Customer.objects.filter(pk=case.payer.pk).update(consolidation="")
    child = make.customer("child", consolidation="one_invoice")
    case.second |= {"customer": child, "payer": case.payer}


def by_hand(case: Case) -> None:
    Customer.objects.filter(pk=case.payer.pk).update(manual_approval=True)


def it_begins_that_day(case: Case) -> None:
    case.second |= {"starts_on": DEC}


@pytest.mark.parametrize(
    ("change", "together"),
    [
        pytest.param(nothing, True, id="the same customer, day and terms"),
        pytest.param(another_plan, True, id="under different plans"),
        pytest.param(a_child_pays, True, id="of two customers that one pays for"),
        pytest.param(another_interval_that_ends_that_day, True, id="a quarter that ends that day"),
        pytest.param(it_begins_that_day, True, id="a first fee that is due that day"),
        pytest.param(by_hand, True, id="that a person issues"),
        pytest.param(the_issuer_says, True, id="as the issuer does it, where no customer says"),
        pytest.param(
            a_zone_where_the_same_day_comes_earlier, True, id="the same day in another zone"
        ),
        pytest.param(another_payer, False, id="another payer"),
        pytest.param(the_child_pays_itself, False, id="another customer that pays itself"),
        pytest.param(another_issuer, False, id="another issuer"),
        pytest.param(another_day, False, id="a period that ends on another day"),
        pytest.param(
            a_zone_so_far_that_it_is_due_another_day, False, id="a zone so far that it is due later"
        ),
        pytest.param(nobody_says, False, id="not unless somebody switches it on"),
        pytest.param(
            the_customer_wants_each_by_itself, False, id="a customer that wants each by itself"
        ),
        pytest.param(
            the_user_says_but_does_not_pay, False, id="it is the payer who decides, not the user"
        ),
    ],
)
def test_who_shares_an_invoice(change: Callable[[Case], None], together: bool) -> None:
    case = Case()
    change(case)
    case.payer.refresh_from_db()
    expected = [["first", "second"]] if together else [["first"], ["second"]]
    assert case.invoices() == expected


def test_subscriptions_in_another_currency_have_an_invoice_of_their_own() -> None:
    """A payer has one currency, so only rows of before a change of it can differ."""
    buyer = make.customer("ada", consolidation="one_invoice")
    make.subscription(buyer, make.published(make.flat()), key="euros")
    Customer.objects.filter(pk=buyer.pk).update(currency="USD")
    buyer.refresh_from_db()
    make.subscription(buyer, make.published(make.flat(), currency="USD"), key="dollars")
    assert sorted(groups(december(close(CLOSED)))) == [["dollars"], ["euros"]]


def test_who_is_taxed_otherwise_since_does_not_join(ada: Customer, plan: PlanVersion) -> None:
    Issuer.objects.update(tax_status="standard", standard_tax_rate=19)
    first, second = both(ada, plan)
    closing.close_subscriptions(subscription_ids=[first.pk], as_of=at(11, 1))
    Customer.objects.filter(pk=ada.pk).update(tax_status="reverse_charge")
    closing.close_subscriptions(subscription_ids=[second.pk], as_of=at(11, 1))
    assert [one.taxes.get().category for one in Invoice.objects.order_by("pk")] == ["S", "AE"]


class TestWhatItAddsUpTo:
    def test_lines_are_those_of_each_and_tax_is_taken_once(
        self, ada: Customer, plan: PlanVersion
    ) -> None:
        Issuer.objects.update(tax_status="standard", standard_tax_rate=19)
        odd = make.published(make.flat("base", "0.13"))
        for key in ("a", "b", "c"):
            make.subscription(ada, odd, key=key)
        [opening] = close(at(11, 1))
        assert [line.position for line in opening.lines.all()] == [1, 2, 3]
        assert (opening.net_total, opening.tax_total) == (D("0.39"), D("0.07"))  # not 3 × 0.02

    def test_each_is_named_with_its_customer_and_plan(
        self, ada: Customer, plan: PlanVersion
    ) -> None:
        make.subscription(ada, plan, key="hers")
        child = make.customer("child", name="Child Ltd")
        make.subscription(child, plan, key="theirs", payer=ada)
        [opening] = close(at(11, 1))
        assert opening.customer == ada
        assert [(one["subscription"], one["name"]) for one in opening.sections] == [
            ("hers", "Ada"),
            ("theirs", "Child Ltd"),
        ]
        assert {one["plan"] for one in opening.sections} == {plan.plan.name}

    def test_usage_and_allowance_stay_with_each(self, ada: Customer, plan: PlanVersion) -> None:
        child = make.customer("child")
        hers = make.subscription(ada, plan, key="hers")
        theirs = make.subscription(child, plan, key="theirs", payer=ada)
        use(hers, at(11, 5), calls=150)
        use(theirs, at(11, 5), calls=90)
        [_, november] = close(CLOSED)
        assert lines(november) == [
            ("Base", "10.00"),
            ("Calls", "50.00"),
            ("Base", "10.00"),
            ("Calls", "0.00"),
        ]

    def test_a_coupon_reduces_the_lines_of_its_own(self, ada: Customer, plan: PlanVersion) -> None:
        first, second = both(ada, plan)
        make.applied_coupon(second, make.coupon(amount=D(4)))
        make.applied_coupon(first, make.coupon(percent=D(10)))
        [opening] = close(at(11, 1))
        taken = [
            (one.applied.subscription.key, one.amount, one.shares)
            for one in opening.allowances.all()
        ]
        assert taken == [
            ("first", D(1), [{"line": 1, "amount": "1.00"}]),
            ("second", D(4), [{"line": 2, "amount": "4.00"}]),
        ]
        assert opening.net_total == D(15)

    def test_a_commitment_is_compared_with_its_own(self, ada: Customer) -> None:
        committed = make.published(
            make.graduated(make.metric("calls"), "rest @ 1"), minimum_commitment=D(50)
        )
        rich = make.published(make.flat("base", "500"))
        make.subscription(ada, committed, key="committed")
        make.subscription(ada, rich, key="rich")
        november = close(CLOSED)[-1]
        assert groups([november]) == [["committed", "rich"]]
        assert ("Minimum commitment", "50.00") in lines(november)

    def test_an_add_on_goes_with_its_subscription(self, ada: Customer, plan: PlanVersion) -> None:
        _, second = both(ada, plan)
        sold = make.sold_add_on(second, make.add_on(unit_amount=D(7)))
        [opening] = close(at(11, 1))
        line = opening.lines.get(kind="add_on")
        assert (line.subscription, line.position, line.net) == (second, 3, D(7))
        withdraw_add_on(sold_id=sold.pk, reason="A mistake.", at=at(11, 1, 2), actor=SYSTEM)
        opening.refresh_from_db()
        assert (opening.net_total, opening.lines.count()) == (D(20), 2)

    def test_a_credit_of_who_ends_that_day_is_borne_by_the_others(self, ada: Customer) -> None:
        """R32a asks of the total alone."""
        half = make.published(make.flat("base", "300"), interval="quarter")
        first = make.subscription(ada, half, key="first", starts_on=NOV)
        make.subscription(ada, make.published(make.flat("base", "250")), key="second")
        close(at(11, 2))
        life.cancel(subscription_id=first.pk, when=When.IMMEDIATE, at=at(11, 30, 5), actor=SYSTEM)
        last = close(CLOSED)[-1]
        assert groups([last]) == [["first", "second"]]
        assert lines(last) == [("Base", "-202.17"), ("Base", "250.00")]  # 300 × 62/92


class TestWhoJoinsLater:
    def closed_one_by_one(self, *subscriptions: Subscription, as_of: datetime = CLOSED) -> None:
        for one in subscriptions:
            closing.close_subscriptions(subscription_ids=[one.pk], as_of=as_of)

    def test_the_second_joins_the_open_draft(self, ada: Customer, plan: PlanVersion) -> None:
        Issuer.objects.update(tax_status="standard", standard_tax_rate=19)
        first, second = both(ada, plan)
        make.applied_coupon(second, make.coupon(amount=D(4)))
        use(second, at(11, 5), calls=103)
        self.closed_one_by_one(first, second)
        opening, november = Invoice.objects.with_lines().order_by("pk")
        assert groups([opening, november]) == [["first", "second"]] * 2
        assert [line.position for line in november.lines.all()] == [1, 2, 3, 4]
        assert (november.net_total, november.tax_total) == (D(23), D("4.37"))
        assert [one["subscription"] for one in november.sections] == ["first", "second"]
        assert [share["line"] for share in opening.allowances.get().shares] == [2]

    def test_what_joined_says_so_in_the_trail(self, ada: Customer, plan: PlanVersion) -> None:
        self.closed_one_by_one(*both(ada, plan), as_of=at(11, 1))
        entry = AuditEntry.objects.get(action="joined by another subscription")
        assert (entry.note, entry.changes["net_total"]) == ("second", ["10", "20"])

    def test_a_parked_one_does_not_hold_the_others(self, ada: Customer, plan: PlanVersion) -> None:
        first, second = both(ada, plan)
        only = Issuer.objects.get()
        Subscription.objects.filter(pk=first.pk).update(issuer=only)
        Issuer.objects.create(name="Another", legal_name="Another")  # who sells the second?
        [opening] = close(at(11, 1, 5))
        assert groups([opening]) == [["first"]]
        parked = BillingPeriod.objects.get(status="parked")
        Subscription.objects.filter(pk=second.pk).update(issuer=only)
        closing.retry_parked(period_id=parked.pk, actor=SYSTEM)
        [opening] = close(at(11, 1, 6))
        assert groups([opening]) == [["first", "second"]]

    def test_once_its_time_has_come_the_others_go_without_the_parked_one(
        self, ada: Customer, plan: PlanVersion
    ) -> None:
        first, _ = both(ada, plan)
        Subscription.objects.filter(pk=first.pk).update(issuer=Issuer.objects.get())
        Issuer.objects.create(name="Another", legal_name="Another")
        [opening] = close(at(11, 2))
        assert (opening.status, groups([opening])) == ("issued", [["first"]])

    def test_it_is_not_issued_while_another_one_is_still_to_close(
        self, ada: Customer, plan: PlanVersion
    ) -> None:
        first, second = both(ada, plan)
        run = runs.start_run(as_of=at(11, 2), now=at(11, 2), actor=SYSTEM)
        runs.close_chunk(run_id=run.pk, subscription_ids=[first.pk], now=at(11, 2))
        assert Invoice.objects.get().status == "draft"
        runs.close_chunk(run_id=run.pk, subscription_ids=[second.pk], now=at(11, 2))
        [opening] = Invoice.objects.with_lines()
        assert (opening.status, groups([opening])) == ("issued", [["first", "second"]])

    @pytest.mark.parametrize("step", ["held", "released", "issued", "discarded"])
    def test_what_somebody_took_up_is_never_joined(
        self, ada: Customer, plan: PlanVersion, step: str
    ) -> None:
        first, second = both(ada, plan)
        self.closed_one_by_one(first, as_of=at(11, 1))
        pk = Invoice.objects.get().pk
        match step:
            case "held":
                issuing.hold_for_review(invoice_id=pk, actor=SYSTEM)
            case "released":
                issuing.hold_for_review(invoice_id=pk, actor=SYSTEM)
                issuing.return_to_draft(invoice_id=pk, actor=SYSTEM)
            case "issued":
                issuing.issue_invoices(invoice_ids=[pk], as_of=at(11, 1), actor=SYSTEM)
            case "discarded":
                issuing.discard_invoice(
                    invoice_id=pk, reason="Why not.", reopen=False, at=at(11, 1), actor=SYSTEM
                )
        self.closed_one_by_one(second, as_of=at(11, 1))
        assert groups(list(Invoice.objects.with_lines().order_by("pk"))) == [["first"], ["second"]]

    def test_a_second_run_changes_nothing(self, ada: Customer, plan: PlanVersion) -> None:
        both(ada, plan)
        first = [(one.pk, one.total, one.lines.count()) for one in close(at(12, 3))]
        assert [(one.pk, one.total, one.lines.count()) for one in close(at(12, 3))] == first
        assert len(first) == 2

    def test_the_database_refuses_a_second_draft_of_a_group(
        self, ada: Customer, plan: PlanVersion
    ) -> None:
        both(ada, plan)
        [opening] = close(at(11, 1))
        assert opening.group_key
        twin = Invoice(issuer=opening.issuer, customer=ada, currency="EUR")
        twin.net_total = twin.tax_total = twin.total = D(0)
        twin.group_key = opening.group_key
        refused = pytest.raises(IntegrityError, match=r"invoice_one_draft_per_group|group_key")
        with refused, transaction.atomic():
            twin.save()

    def test_whose_other_bill_is_on_it_already_has_one_apart(
        self, ada: Customer, plan: PlanVersion
    ) -> None:
        """A subscription that goes on the day after its last period: its new first fee."""
        first, second = both(ada, plan)
        life.cancel(subscription_id=first.pk, when=When.AT_PERIOD_END, at=at(11, 5), actor=SYSTEM)
        close(CLOSED)
        life.reactivate(subscription_id=first.pk, at=at(12, 1, 2), actor=SYSTEM)
        *_, november, again = close(at(12, 1, 3))
        assert groups([november, again]) == [["first", "second"], ["first"]]


class TestDrawnAnew:
    def test_recalculated_it_measures_all_of_it(self, ada: Customer, plan: PlanVersion) -> None:
        first, second = both(ada, plan)
        make.applied_coupon(second, make.coupon(percent=D(50), duration="forever"))
        november = close(CLOSED)[-1]
        child_usage = at(11, 30, 23)
        use(first, child_usage, calls=150)
        [changed] = issuing.usage_since(november, at=at(12, 1, 2))
        assert changed.period.subscription == first
        [(_, foreseen)] = issuing.redrawing([november], at=at(12, 1, 2))
        issuing.recalculate_invoices(invoice_ids=[november.pk], at=at(12, 1, 2), actor=SYSTEM)
        november = Invoice.objects.with_lines().get(pk=november.pk)
        assert foreseen.totals.net == november.net_total == D(65)
        assert [line.position for line in november.lines.all()] == [1, 2, 3, 4]
        assert [share["line"] for share in november.allowances.get().shares] == [3]
        assert PeriodCharge.objects.filter(invoice=november, is_live=True).count() == 2

    def test_auto_issue_takes_what_came_in_since(self, ada: Customer, plan: PlanVersion) -> None:
        _, second = both(ada, plan)
        close(CLOSED)
        use(second, at(11, 30), calls=150)
        november = close(at(12, 2, 1))[-1]
        assert (november.status, november.net_total) == ("issued", D(70))

    def test_nothing_new_changes_nothing(self, ada: Customer, plan: PlanVersion) -> None:
        both(ada, plan)
        november = close(CLOSED)[-1]
        redrawn = issuing.recalculate_invoices(
            invoice_ids=[november.pk], at=at(12, 1, 2), actor=SYSTEM, only_if_changed=True
        )
        assert redrawn == []

    def test_a_change_of_plan_redraws_its_part(self, ada: Customer, plan: PlanVersion) -> None:
        first, _ = both(ada, plan)
        close(at(11, 1))
        better = make.published(make.flat("base", "40"))
        life.change_plan(
            subscription_id=first.pk, version=better, when=None, at=at(11, 1, 2), actor=SYSTEM
        )
        [opening] = Invoice.objects.with_lines()
        assert lines(opening) == [("Base", "40.00"), ("Base", "10.00")]
        assert [one["plan"] for one in opening.sections] == [better.plan.name, plan.plan.name]

    def test_who_pays_by_another_now_leaves_it(self, ada: Customer, plan: PlanVersion) -> None:
        first, second = both(ada, plan)
        other = make.customer("other")
        opening = close(at(11, 1))[0]
        sold = make.sold_add_on(second, make.add_on(unit_amount=D(7)))
        assert SoldAddOn.objects.get(pk=sold.pk).invoice is None
        Subscription.objects.filter(pk=second.pk).update(payer=other)
        drawn = issuing.recalculate_invoices(
            invoice_ids=[opening.pk], at=at(11, 1, 1), actor=SYSTEM
        )
        hers, theirs = Invoice.objects.with_lines().order_by("pk")
        assert [one.pk for one in drawn] == [hers.pk, theirs.pk]
        assert [(one.customer, lines(one)) for one in (hers, theirs)] == [
            (ada, [("Base", "10.00")]),
            (other, [("Base", "10.00")]),
        ]
        assert theirs.charges.get().subscription == second
        assert close(at(11, 1, 2)) == [hers, theirs]
        assert first.key == hers.sections[0]["subscription"]

    def test_who_pays_is_seen_before_it_is_issued(self, ada: Customer, plan: PlanVersion) -> None:
        first, _ = both(ada, plan)
        close(at(11, 1))
        Subscription.objects.filter(pk=first.pk).update(payer=make.customer("other"))
        issued = close(at(11, 2))
        assert {(one.customer.key, one.status) for one in issued} == {
            ("ada", "issued"),
            ("other", "issued"),
        }


class TestUndone:
    @pytest.mark.parametrize("reopen", [True, False])
    def test_discarded_all_of_it_is_billed_anew_or_waived(
        self, ada: Customer, plan: PlanVersion, reopen: bool
    ) -> None:
        both(ada, plan)
        november = close(CLOSED)[-1]
        issuing.discard_invoice(
            invoice_id=november.pk, reason="A test.", reopen=reopen, at=CLOSED, actor=SYSTEM
        )
        ended = BillingPeriod.objects.filter(number=0)
        assert {one.status for one in ended} == {"open" if reopen else "waived"}
        after = close(at(12, 1, 2))
        assert groups(after[2:]) == ([["first", "second"]] if reopen else [])

    def test_void_all_of_it_is_billed_anew(self, ada: Customer, plan: PlanVersion) -> None:
        both(ada, plan)
        november = close(at(12, 2, 1))[-1]
        issuing.void_invoice(
            invoice_id=november.pk, reason="A test.", reopen=True, at=at(12, 2, 2), actor=SYSTEM
        )
        again = close(at(12, 2, 3))[-1]
        assert (again.status, groups([again])) == ("issued", [["first", "second"]])
        assert again.total == november.total


class TestLateUsage:
    def test_it_comes_on_the_next_one_beside_its_subscription(
        self, ada: Customer, plan: PlanVersion
    ) -> None:
        first, second = both(ada, plan)
        make.applied_coupon(second, make.coupon(percent=D(50), duration="forever"))
        use(first, at(11, 5), calls=120)
        close(at(12, 2, 1))
        use(first, at(11, 6), calls=5, received_at=at(12, 3))
        december = close(at(1, 1, 1, year=2027))[-1]
        [late] = december.lines.filter(kind="late")
        assert (late.subscription, late.net) == (first, D(5))  # no coupon of the other reduces it
        assert late.position == 3
        assert PeriodCharge.objects.filter(purpose="late", invoice=december).count() == 1

    def test_coupons_take_off_it_what_they_would_have(
        self, ada: Customer, plan: PlanVersion
    ) -> None:
        _, second = both(ada, plan)
        make.applied_coupon(second, make.coupon(percent=D(50), duration="forever"))
        use(second, at(11, 5), calls=120)
        close(at(12, 2, 1))
        use(second, at(11, 6), calls=8, received_at=at(12, 3))
        december = close(at(1, 1, 1, year=2027))[-1]
        assert december.lines.get(kind="late").net == D(4)


def test_the_upcoming_invoice_is_that_of_one(ada: Customer, plan: PlanVersion) -> None:
    first, _ = both(ada, plan)
    close(at(11, 2))
    loaded = Subscription.objects.with_terms().get(pk=first.pk)
    _, composed = upcoming_invoice(subscription=loaded, at=at(11, 10))
    assert {line.subscription.key for line in composed.lines} == {"first"}
    assert composed.totals.net == D(10)


def test_as_many_queries_for_many_as_for_few(plan: PlanVersion) -> None:
    counts = []
    for size in (2, 12):
        payer = make.customer(consolidation="one_invoice")
        ids = [make.subscription(payer, plan).pk for _ in range(size)]
        with CaptureQueriesContext(connection) as queries:
            closing.close_subscriptions(subscription_ids=ids, as_of=CLOSED)
        counts.append(len(queries))
        assert payer.invoices.count() == 2
    assert counts[0] == counts[1]


def test_as_many_queries_to_join_as_for_few(plan: PlanVersion) -> None:
    counts = []
    for size in (1, 6):
        payers = [make.customer(consolidation="one_invoice") for _ in range(size)]
        first = [make.subscription(payer, plan).pk for payer in payers]
        second = [make.subscription(payer, plan).pk for payer in payers]
        closing.close_subscriptions(subscription_ids=first, as_of=at(11, 1))
        with CaptureQueriesContext(connection) as queries:
            closing.close_subscriptions(subscription_ids=second, as_of=at(11, 1))
        counts.append(len(queries))
    assert counts[0] == counts[1]
    assert InvoiceLine.objects.count() == 14


def _unnamed(invoice: Invoice) -> None:
    Invoice.objects.filter(pk=invoice.pk).update(sections=invoice.sections[:1])


def _of_another_day(invoice: Invoice) -> None:
    claim = invoice.charges.order_by("-pk")[0]
    BillingPeriod.objects.filter(pk=claim.period_id).update(start_date=date(2026, 11, 2))


@pytest.mark.parametrize(
    ("corrupt", "check"),
    [
        (_unnamed, "shared_invoices_name_their_subscriptions"),
        (_of_another_day, "shared_invoices_are_of_one_day"),
    ],
)
def test_each_check_finds_its_corruption(
    ada: Customer, plan: PlanVersion, corrupt: Callable[[Invoice], None], check: str
) -> None:
    both(ada, plan)
    [opening] = close(at(11, 1))
    names = [one.name for one in SHARED_BOOKS]
    assert not [one for result in audit(at=LATER, names=names) for one in result.findings]
    with transaction.atomic():
        corrupt(opening)
        found = [one.invariant.name for one in audit(at=LATER, names=names) if one.findings]
        transaction.set_rollback(True)
    assert found == [check]
