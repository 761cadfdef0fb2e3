"""Pausing, resuming, and taking up what had ended: what is charged, credited and not billed."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from billing.models import BillingPeriod, Invoice
from billing.services import life
from billing.services.life import When
from catalog.models import PlanVersion, ValueMetric
from config.base.audit import SYSTEM
from config.base.errors import Invalid
from customers.models import Subscription
from customers.services import (
    SubscriptionEnded,
    SubscriptionNotCancelled,
    SubscriptionNotPaused,
    SubscriptionPaused,
)
from tests import factories as make
from tests.billing.months import close, left, lines, use
from tests.billing.test_cancelling import at, issue
from tests.billing.test_changing_plan import change, invoiced, priced
from tests.conftest import Caller
from tests.customers import door
from tests.staff import anna, leo, page, said

pytestmark = pytest.mark.django_db


@pytest.fixture
def calls() -> ValueMetric:
    return make.metric("calls")


@pytest.fixture
def plan(calls: ValueMetric) -> PlanVersion:
    """100 a month with 300 calls, 1 for each more."""
    return priced(calls, "100", 300, "1")


@pytest.fixture
def ada(plan: PlanVersion) -> Subscription:
    """From 1 April, its first fee billed."""
    one = make.subscription(make.customer("ada"), plan, key="ada", starts_on=date(2026, 4, 1))
    close(at(4, 1))
    issue(at(4, 1))
    return one


def pause(one: Subscription, month: int, day: int, when: str = "immediate") -> date:
    return life.pause(subscription_id=one.pk, when=When(when), at=at(month, day), actor=SYSTEM)


def resume(one: Subscription, month: int, day: int) -> date:
    return life.resume(subscription_id=one.pk, at=at(month, day), actor=SYSTEM)


def reactivate(one: Subscription, month: int, day: int) -> date:
    return life.reactivate(subscription_id=one.pk, at=at(month, day), actor=SYSTEM)


class TestAPause:
    def test_credits_the_days_without_service(self, ada: Subscription) -> None:
        use(ada, at(4, 5), calls=250)  # 150 of 300 are included in 15 days
        assert pause(ada, 4, 15) == date(2026, 4, 16)
        assert invoiced(at(5, 1, 1)) == [("Calls", "100.00"), ("Base", "-50.00")]

    def test_bills_no_usage_of_its_days(self, ada: Subscription) -> None:
        pause(ada, 4, 15)
        use(ada, at(4, 20), calls=1000)
        [usage] = close(at(5, 1, 1))[-1].lines.all()
        assert (usage.quantity, usage.net) == (0, 0)

    def test_of_whole_months_bills_nothing(self, ada: Subscription) -> None:
        pause(ada, 4, 15, "at_period_end")
        assert invoiced(at(5, 1, 1)) == [("Calls", "0.00")]
        assert len(close(at(8, 1, 1))) == 2
        assert BillingPeriod.objects.filter(status="closed").count() == 4

    def test_ends_on_the_day_it_is_resumed(self, ada: Subscription) -> None:
        pause(ada, 4, 15, "at_period_end")
        close(at(6, 1, 1))
        assert resume(ada, 6, 11) == date(2026, 6, 11)
        assert invoiced(at(7, 1, 1)) == [
            ("Base", "100.00"),  # July
            ("Base", "66.67"),  # 20 of 30 days of June
            ("Calls", "0.00"),
        ]

    def test_within_a_month_charges_the_days_of_service(self, ada: Subscription) -> None:
        pause(ada, 4, 10)
        resume(ada, 4, 21)
        assert invoiced(at(5, 1, 1)) == [
            ("Base", "100.00"),
            ("Base", "33.33"),  # 10 of 30 days
            ("Calls", "0.00"),
            ("Calls", "0.00"),
            ("Base", "-66.67"),  # 20 of 30 days
        ]

    def test_resumed_on_the_first_day_of_a_period(self, ada: Subscription) -> None:
        pause(ada, 4, 15, "at_period_end")
        close(at(6, 1, 1))
        resume(ada, 6, 1)
        assert invoiced(at(7, 1, 1)) == [
            ("Base", "100.00"),
            ("Base", "100.00"),
            ("Calls", "0.00"),
        ]

    def test_is_taken_back_before_it_begins(self, ada: Subscription) -> None:
        pause(ada, 4, 15)
        resume(ada, 4, 15)
        assert ada.phases.count() == 1
        assert invoiced(at(5, 1, 1)) == [("Base", "100.00"), ("Calls", "0.00")]

    def test_is_one_at_a_time(self, ada: Subscription, calls: ValueMetric) -> None:
        pause(ada, 4, 15)
        with pytest.raises(SubscriptionPaused):
            pause(ada, 4, 17)
        with pytest.raises(SubscriptionPaused):
            change(ada, priced(calls, "300", 0, "1"), at(4, 17))
        resume(ada, 4, 20)
        with pytest.raises(SubscriptionNotPaused):
            resume(ada, 4, 21)

    def test_needs_a_day_of_service(self, ada: Subscription) -> None:
        life.cancel(subscription_id=ada.pk, when=When.IMMEDIATE, at=at(4, 15), actor=SYSTEM)
        with pytest.raises(Invalid, match="2026-04-16 is the first day without service"):
            pause(ada, 4, 15)
        later = make.subscription(
            make.customer("bob"), ada.phases.get().plan_version, starts_on=date(2026, 5, 1)
        )
        with pytest.raises(Invalid, match="It begins on 2026-05-01"):
            pause(later, 4, 15)

    def test_can_be_cancelled(self, ada: Subscription) -> None:
        pause(ada, 4, 15)
        life.cancel(subscription_id=ada.pk, when=When.IMMEDIATE, at=at(4, 20), actor=SYSTEM)
        assert invoiced(at(4, 21, 1)) == [("Calls", "0.00")]
        assert left(Invoice.objects.latest("pk")) == [("Base", "-50.00")]
        with pytest.raises(SubscriptionEnded):
            resume(ada, 4, 22)

    def test_commits_to_nothing(self, calls: ValueMetric) -> None:
        least = priced(calls, "100", 300, "1", minimum_commitment=300)
        eve = make.subscription(make.customer("eve"), least, starts_on=date(2026, 4, 1))
        close(at(4, 1))
        issue(at(4, 1))
        pause(eve, 4, 15)
        assert invoiced(at(5, 1, 1))[:2] == [("Calls", "0.00"), ("Minimum commitment", "100.00")]


class TestTakingUpAgain:
    def test_goes_on_from_the_day_with_a_new_anchor(self, ada: Subscription) -> None:
        life.cancel(subscription_id=ada.pk, when=When.AT_PERIOD_END, at=at(4, 20), actor=SYSTEM)
        close(at(5, 1, 1))
        assert reactivate(ada, 5, 20) == date(2026, 5, 20)
        assert invoiced(at(5, 20, 1)) == [("Base", "100.00")]
        running = BillingPeriod.objects.get(status="open")
        assert (running.start_date, running.end_date) == (date(2026, 5, 20), date(2026, 6, 20))

    def test_on_the_day_it_ended_bills_its_fee_at_once(self, ada: Subscription) -> None:
        life.cancel(subscription_id=ada.pk, when=When.AT_PERIOD_END, at=at(4, 20), actor=SYSTEM)
        close(at(5, 1, 1))
        reactivate(ada, 5, 1)
        assert invoiced(at(5, 1, 13)) == [("Base", "100.00")]

    def test_before_the_last_invoice_is_drawn(self, ada: Subscription) -> None:
        life.cancel(subscription_id=ada.pk, when=When.AT_PERIOD_END, at=at(4, 20), actor=SYSTEM)
        reactivate(ada, 5, 1)
        assert invoiced(at(5, 1, 13)) == [("Base", "100.00"), ("Calls", "0.00")]

    def test_is_refused_for_what_goes_on(self, ada: Subscription) -> None:
        with pytest.raises(SubscriptionNotCancelled):
            reactivate(ada, 4, 20)


def test_over_the_api(caller: Caller, ada: Subscription, time_machine: Any) -> None:
    time_machine.move_to(at(4, 15), tick=False)
    client = caller("customers:write")

    def post(what: str, **body: Any) -> Any:
        return client.post(f"/api/v1/subscriptions/ada/{what}", body, format="json").json()

    answer = post("pause", when="immediate", dry_run=True)
    assert answer["takes_effect_on"] == "2026-04-16"
    assert [one["is_paused"] for one in answer["subscription"]["phases"]] == [False, True]
    assert answer["next_invoice"]["beside"]["lines"][0]["net"] == "-50.00"
    assert ada.phases.count() == 1
    post("pause", when="immediate")
    assert ada.phases.count() == 2
    assert post("resume")["subscription"]["phases"][0]["ends_on"] is None
    assert lines(close(at(4, 1))[-1]) == [("Base", "100.00")]


def test_the_admin_names_a_change_to_come_that_it_drops(
    ada: Subscription, calls: ValueMetric, time_machine: Any
) -> None:
    time_machine.move_to(at(4, 15), tick=False)
    larger = priced(calls, "300", 0, "1")
    life.change_plan(
        subscription_id=ada.pk, version=larger, when=date(2026, 5, 10), at=at(4, 15), actor=SYSTEM
    )
    asked = anna().post(page("customers_subscription", "pause", ada.pk), {"when": "immediate"})
    assert f"Planned before, and dropped by this: {larger} from 10 May 2026." in said(asked)


def test_in_the_admin_and_the_portal(ada: Subscription, time_machine: Any) -> None:
    time_machine.move_to(at(4, 15), tick=False)
    client, address = anna(), page("customers_subscription", "pause", ada.pk)
    asked = client.post(address, {"when": "immediate"})
    assert "It takes effect on 16 Apr 2026." in said(asked)
    seen = asked.context["shown"]["seen"]
    client.post(address, {"when": "immediate", "seen": seen})
    time_machine.move_to(at(4, 16, 0), tick=False)
    shown = said(leo().get(page("customers_subscription", "change", ada.pk)))
    assert "Paused" in shown
    assert "Resume…" in shown
    assert "Pause…" not in shown
    asked = client.post(page("customers_subscription", "cancel", ada.pk), {"when": "immediate"})
    assert "dropped by this" not in said(asked)
    portal = door.signed_in(door.contact(ada.customer, "ada@ada.example"))
    assert "Paused from April 16, 2026: no fee" in said(portal.get("/portal/plan/"))
