"""The two clocks: when a period may be closed and its invoice issued, by customer, plan or issuer (R26)."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

import pytest

from billing.models import BillingPeriod, Invoice
from billing.services import life
from catalog.clocks import clocks
from catalog.models import Plan
from config.base.audit import SYSTEM
from customers.models import Customer, Issuer, Subscription
from tests import factories as make
from tests.billing.months import close
from tests.billing.test_changing_plan import at, change
from tests.conftest import Caller
from tests.staff import anna, page, said

pytestmark = pytest.mark.django_db


class Said(NamedTuple):
    usage_cutoff_hours: int | None = None
    auto_issue_hours: int | None = None
    manual_approval: bool | None = None


HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("customer", "plan", "issuer", "expected"),
    [
        pytest.param(Said(), Said(), Said(1, 24, False), (1, 24), id="the issuer's"),
        pytest.param(Said(), Said(5), Said(1, 24, False), (5, 24), id="the plan's before it"),
        pytest.param(Said(7), Said(5), Said(1, 24, False), (7, 24), id="the customer's first"),
        pytest.param(Said(0, 0), Said(5, 9), Said(1, 24, False), (0, 0), id="none is a wait, too"),
        pytest.param(Said(), Said(None, None, True), Said(1, 24, False), (1, None), id="by hand"),
        pytest.param(
            Said(None, None, False), Said(None, None, True), Said(1, 24, True), (1, 24),
            id="by itself for one customer",
        ),
        pytest.param(Said(None, 3), None, None, (1, 3), id="without plan and issuer"),
    ],
)  # fmt: skip
def test_the_most_specific_holds(
    customer: Said, plan: Said | None, issuer: Said | None, expected: tuple[int, int | None]
) -> None:
    cutoff, issue = clocks([customer, plan, issuer])
    assert (cutoff / HOUR, None if issue is None else issue / HOUR) == expected


@pytest.fixture
def plan() -> Plan:
    return make.plan("small")


@pytest.fixture
def ada(plan: Plan) -> Subscription:
    calls = make.graduated(make.metric("calls"), "rest @ 1", key="calls")
    version = make.published(make.flat("base", "100"), calls, plan=plan)
    return make.subscription(make.customer("ada"), version, key="ada", starts_on=date(2026, 4, 1))


def cutoffs() -> list[datetime]:
    return list(BillingPeriod.objects.order_by("number").values_list("usage_cutoff", flat=True))


def test_a_plan_waits_longer_for_usage(ada: Subscription, plan: Plan) -> None:
    Plan.objects.update(usage_cutoff_hours=48, auto_issue_hours=2)
    close(at(4, 1, 0))
    assert len(close(at(5, 2, 23))) == 1
    april = close(at(5, 3, 0))[-1]
    assert april.auto_issue_at == at(5, 3, 2)


def test_what_was_said_when_a_period_began_holds_for_it(ada: Subscription) -> None:
    close(at(4, 1, 0))
    Customer.objects.update(usage_cutoff_hours=30)
    close(at(5, 1, 1))
    assert cutoffs() == [at(5, 1, 1), at(6, 2, 6)]


def test_parts_of_a_period_wait_together(ada: Subscription) -> None:
    other = make.published(make.flat("base", "200"), plan=make.plan("slow", usage_cutoff_hours=48))
    close(at(4, 1, 0))
    change(ada, other, at(4, 15))
    close(at(5, 1, 1))
    assert cutoffs() == [at(5, 1, 1), at(5, 1, 1), at(6, 3, 0)]


def test_a_part_that_is_billed_at_once_ends_with_the_whole(ada: Subscription) -> None:
    close(at(4, 1, 0))
    life.change_plan(
        subscription_id=ada.pk,
        version=make.published(make.flat("base", "200")),
        when=life.When.IMMEDIATE,
        at=at(4, 15),
        actor=SYSTEM,
        bill_now=True,
    )
    assert cutoffs() == [at(5, 1, 1), at(5, 1, 1)]
    life.cancel(subscription_id=ada.pk, when=life.When.IMMEDIATE, at=at(4, 20), actor=SYSTEM)
    assert cutoffs() == [at(4, 21, 1), at(4, 21, 1)]


@pytest.mark.parametrize(
    ("whose", "said_", "by_hand"),
    [
        pytest.param(Issuer, {"manual_approval": True}, True, id="all invoices"),
        pytest.param(Plan, {"manual_approval": True}, True, id="a plan's"),
        pytest.param(Customer, {"manual_approval": True}, True, id="a customer's"),
        pytest.param(Customer, {"manual_approval": False}, False, id="nobody's"),
    ],
)
def test_a_person_issues(
    ada: Subscription, whose: Any, said_: dict[str, bool], by_hand: bool
) -> None:
    whose.objects.update(**said_)
    [opening] = close(at(4, 1, 0))
    assert (opening.auto_issue_at is None) is by_hand


def test_a_customer_whose_invoices_issue_by_themselves_all_the_same(
    ada: Subscription, plan: Plan
) -> None:
    Plan.objects.update(manual_approval=True)
    Customer.objects.update(manual_approval=False)
    [opening] = close(at(4, 1, 0))
    assert opening.auto_issue_at == at(4, 2, 0)


class TestFaces:
    @pytest.mark.parametrize("what", ["customers/ada", "plans/small"])
    def test_over_the_api(self, caller: Caller, ada: Subscription, what: str) -> None:
        client = caller("customers:write", "catalog:write", "customers:read", "catalog:read")
        address = f"/api/v1/{what}"
        assert client.get(address).json()["usage_cutoff_hours"] is None
        body = {"usage_cutoff_hours": 72, "auto_issue_hours": 0, "manual_approval": False}
        answer = client.patch(address, body, format="json").json()
        assert {name: answer[name] for name in body} == body
        answer = client.patch(address, {"manual_approval": None}, format="json").json()
        assert (answer["manual_approval"], answer["usage_cutoff_hours"]) == (None, 72)

    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            pytest.param({"usage_cutoff_hours": 745}, "/usage_cutoff_hours", id="above 31 days"),
            pytest.param({"auto_issue_hours": -1}, "/auto_issue_hours", id="before the close"),
            pytest.param({"manual_approval": "yes"}, "/manual_approval", id="neither yes nor no"),
        ],
    )
    @pytest.mark.parametrize("what", ["customers/ada", "plans/small"])
    def test_a_fault_is_named(
        self, caller: Caller, ada: Subscription, what: str, body: dict[str, Any], pointer: str
    ) -> None:
        answer = caller("customers:write", "catalog:write").patch(
            f"/api/v1/{what}", body, format="json"
        )
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]

    def test_the_page_of_the_close_tells(self, ada: Subscription) -> None:
        Plan.objects.update(usage_cutoff_hours=48)
        shown = said(anna().get(page("billing_billingrun", "close")))
        assert "1 hour after its end" in shown
        assert "24 hours later" in shown
        assert "1 plan and 0 customers" in shown

    def test_they_are_edited_in_the_admin(self, ada: Subscription, plan: Plan) -> None:
        client = anna()
        for name, pk in (("catalog_plan", plan.pk), ("customers_customer", ada.customer_id),
                         ("customers_issuer", Issuer.objects.get().pk)):  # fmt: skip
            shown = said(client.get(page(name, "change", pk)))
            assert "Hours to wait for usage" in shown


def test_a_draft_keeps_its_time(ada: Subscription) -> None:
    [opening] = close(at(4, 1, 0))
    Issuer.objects.update(auto_issue_hours=1)
    assert Invoice.objects.get(pk=opening.pk).auto_issue_at == at(4, 2, 0)
