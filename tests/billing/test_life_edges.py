"""Cancelling and taking it back over the API and in the admin: a look first, then the deed."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from billing.models import Invoice
from catalog.models import PlanVersion
from config.base.audit import SYSTEM
from customers.models import Subscription
from customers.services import agree_price
from tests import factories as make
from tests.billing.months import close
from tests.billing.test_cancelling import at, issue
from tests.conftest import Caller
from tests.staff import anna, page, said, sam

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def now(time_machine: Any) -> None:
    time_machine.move_to("2026-04-20T12:00:00Z", tick=False)


@pytest.fixture
def plan() -> PlanVersion:
    calls = make.graduated(
        make.metric("calls"), "rest @ 1", key="calls", included_quantity=Decimal(300)
    )
    return make.published(make.flat("base", "100"), calls)


@pytest.fixture
def ada(plan: PlanVersion) -> Subscription:
    one = make.subscription(make.customer("ada"), plan, key="ada", starts_on=date(2026, 4, 1))
    close(at(4, 1))
    issue(at(4, 1))
    return one


def post(caller: Caller, what: str, *scopes: str, key: str = "ada", **body: Any) -> Any:
    client = caller(*(scopes or ("customers:write",)))
    return client.post(f"/api/v1/subscriptions/{key}/{what}", body, format="json")


class TestOverTheApi:
    def test_a_dry_run_says_the_lines_and_changes_nothing(
        self, caller: Caller, ada: Subscription
    ) -> None:
        answer = post(caller, "cancel", when="immediate", dry_run=True).json()
        assert (answer["dry_run"], answer["takes_effect_on"]) == (True, "2026-04-21")
        assert answer["subscription"]["ends_on"] == "2026-04-21"
        assert answer["next_invoice"]["status"] == "upcoming"
        assert [(line["kind"], line["net"]) for line in answer["next_invoice"]["lines"]] == [
            ("usage", "0.00"),
        ]
        beside = answer["next_invoice"]["beside"]  # 33.33 has nothing to come off
        assert [(line["kind"], line["net"]) for line in beside["lines"]] == [("credit", "-33.33")]
        [note] = beside["credit_notes"]
        assert (note["number"], note["total"]) == (None, "33.33")
        assert note["invoice"]["number"] == "INV-2026-000001"
        ada.refresh_from_db()
        assert ada.ends_on is None

    def test_by_default_what_is_paid_is_served(self, caller: Caller, ada: Subscription) -> None:
        answer = post(caller, "cancel").json()
        assert (answer["dry_run"], answer["takes_effect_on"]) == (False, "2026-05-01")
        ada.refresh_from_db()
        assert ada.ends_on == date(2026, 5, 1)

    def test_a_cancellation_is_taken_back(self, caller: Caller, ada: Subscription) -> None:
        post(caller, "cancel")
        answer = post(caller, "reactivate")
        assert answer.json()["subscription"]["ends_on"] is None
        again = post(caller, "reactivate")
        assert (again.status_code, again.json()["code"]) == (409, "subscription_not_cancelled")

    def test_the_same_call_twice_is_one(self, caller: Caller, ada: Subscription) -> None:
        client = caller("customers:write")
        first, second = (
            client.post(
                "/api/v1/subscriptions/ada/cancel", {}, format="json", HTTP_IDEMPOTENCY_KEY="c1"
            )
            for _ in range(2)
        )
        assert first.content == second.content
        assert second.headers["Idempotent-Replayed"] == "true"

    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            pytest.param({"when": "tomorrow"}, "/when", id="no such time"),
            pytest.param({"dry_run": "maybe"}, "/dry_run", id="neither yes nor no"),
            pytest.param({"wen": "immediate"}, "/wen", id="a field that isn't there"),
        ],
    )
    def test_a_faulty_body_is_named(
        self, caller: Caller, ada: Subscription, body: dict[str, Any], pointer: str
    ) -> None:
        answer = post(caller, "cancel", **body)
        assert answer.status_code == 400
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]

    def test_who_may_not_change_is_refused(self, caller: Caller, ada: Subscription) -> None:
        assert post(caller, "cancel", "customers:read").status_code == 403
        assert post(caller, "cancel", key="nobody").status_code == 404


class TestAnotherPlanOverTheApi:
    @pytest.fixture(autouse=True)
    def large(self, ada: Subscription) -> PlanVersion:
        plan = make.plan("large")
        return make.published(make.flat("base", "200"), plan=plan)

    def test_a_dry_run_has_the_exact_lines(self, caller: Caller, ada: Subscription) -> None:
        answer = post(caller, "change-plan", plan="large", dry_run=True).json()
        assert answer["takes_effect_on"] == "2026-04-20"
        assert [phase["plan"] for phase in answer["subscription"]["phases"]][1] == "large"
        lines = answer["next_invoice"]["lines"]
        assert [(line["kind"], line["net"]) for line in lines] == [
            ("fee", "200.00"),
            ("fee", "73.33"),
            ("usage", "0.00"),
            ("credit", "-36.67"),
        ]
        assert lines[3]["explanation"]["period_fraction"] == "11/30"
        assert ada.phases.count() == 1

    def test_it_is_changed(self, caller: Caller, ada: Subscription) -> None:
        answer = post(caller, "change-plan", plan="large", when="at_period_end").json()
        assert (answer["dry_run"], answer["takes_effect_on"]) == (False, "2026-05-01")
        assert [phase.plan_version.plan.key for phase in ada.phases.all()][1] == "large"
        listed = caller("customers:read").get("/api/v1/subscriptions/ada/periods?count=2").json()
        assert [one["start_date"] for one in listed["results"]] == ["2026-04-01", "2026-05-01"]

    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            pytest.param({"plan": "nothing"}, "/plan", id="no such plan"),
            pytest.param({"plan": "large", "version": 9}, "/version", id="no such version"),
            pytest.param({}, "/plan", id="no plan"),
            pytest.param({"plan": "large", "when": "soon"}, "/when", id="no such time"),
            pytest.param({"plan": "large", "when": "2026-02-30"}, "/when", id="no such day"),
            pytest.param({"plan": "large", "when": "2026-03-31"}, "/when", id="before service"),
        ],
    )
    def test_a_fault_is_named(
        self, caller: Caller, ada: Subscription, body: dict[str, Any], pointer: str
    ) -> None:
        answer = post(caller, "change-plan", **body)
        assert answer.status_code == 400
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]

    @pytest.mark.parametrize(
        ("day", "cut"),
        [
            pytest.param("2026-04-11", ("133.33", "0.00", "-66.67"), id="over"),
            pytest.param("2026-04-25", ("40.00", "0.00", "-20.00"), id="still to come"),
        ],
    )
    def test_from_a_chosen_day(
        self, caller: Caller, ada: Subscription, day: str, cut: tuple[str, ...]
    ) -> None:
        looked = post(caller, "change-plan", plan="large", when=day, dry_run=True).json()
        assert ada.phases.count() == 1
        answer = post(caller, "change-plan", plan="large", when=day).json()
        assert answer["takes_effect_on"] == looked["takes_effect_on"] == day
        nets = [line["net"] for line in answer["next_invoice"]["lines"]]
        assert nets == [line["net"] for line in looked["next_invoice"]["lines"]]
        assert nets == ["200.00", *cut]

    def test_a_billed_day_is_a_conflict(self, caller: Caller, ada: Subscription) -> None:
        make.published(make.flat(), minimum_commitment=Decimal(9), plan=make.plan("committed"))
        close(at(5, 1, 1), now=at(5, 1, 1))
        answer = post(caller, "change-plan", plan="committed", when="2026-04-11").json()
        assert (answer["code"], answer["errors"][0]["pointer"]) == ("period_billed", "/when")

    def test_billed_at_once(self, caller: Caller, ada: Subscription) -> None:
        looked = post(caller, "change-plan", plan="large", bill_now=True, dry_run=True).json()
        assert not Invoice.objects.filter(status="draft").exists()
        answer = post(caller, "change-plan", plan="large", bill_now=True).json()
        for said_ in (looked, answer):
            drawn, after = said_["change_invoice"], said_["next_invoice"]
            assert (drawn["status"], drawn["purpose"]) == ("draft", "change")
            nets = [(line["kind"], line["net"]) for line in drawn["lines"]]
            assert nets == [("fee", "73.33"), ("credit", "-36.67")]
            assert [(line["kind"], line["net"]) for line in after["lines"]] == [
                ("fee", "200.00"),
                ("usage", "0.00"),
            ]

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            pytest.param("pause", {"when": "immediate"}, id="a pause before it"),
            pytest.param("cancel", {}, id="an end before it"),
            pytest.param("change-plan", {"plan": "small"}, id="another change before it"),
        ],
    )
    def test_a_change_to_come_that_is_dropped_is_named(
        self, caller: Caller, ada: Subscription, path: str, body: dict[str, Any]
    ) -> None:
        make.published(make.flat("base", "150"), plan=make.plan("small"))
        planned = post(caller, "change-plan", plan="large", when="2026-05-10").json()
        assert planned["dropped_phases"] == []
        looked = post(caller, path, **body, dry_run=True).json()
        answer = post(caller, path, **body).json()
        for said_ in (looked, answer):
            dropped = [(one["plan"], one["starts_on"]) for one in said_["dropped_phases"]]
            assert dropped == [("large", "2026-05-10")]

    def test_own_terms_that_are_lost_are_named_and_confirmed(
        self, caller: Caller, ada: Subscription
    ) -> None:
        agree_price(
            subscription_id=ada.pk,
            price_key="calls",
            terms={"included_quantity": "500"},
            starts_on=date(2026, 5, 1),
            ends_on=None,
            reason="A good customer.",
            at=at(4, 20),
            actor=SYSTEM,
        )
        looked = post(caller, "change-plan", plan="large", dry_run=True).json()
        assert looked["lost_own_terms"] == ["calls"]
        refused = post(caller, "change-plan", plan="large").json()
        assert (refused["code"], refused["errors"][0]["pointer"]) == (
            "own_price_lost",
            "/lose_own_terms",
        )
        assert ada.phases.count() == 1
        changed = post(caller, "change-plan", plan="large", lose_own_terms=True).json()
        assert changed["lost_own_terms"] == ["calls"]
        assert ada.phases.count() == 2

    def test_what_is_still_to_come_is_not_billed_at_once(
        self, caller: Caller, ada: Subscription
    ) -> None:
        answer = post(caller, "change-plan", plan="large", when="2026-04-25", bill_now=True)
        assert [error["pointer"] for error in answer.json()["errors"]] == ["/bill_now"]
        assert ada.phases.count() == 1

    def test_the_same_plan_is_a_conflict(self, caller: Caller, ada: Subscription) -> None:
        key = ada.phases.get().plan_version.plan.key
        answer = post(caller, "change-plan", plan=key)
        assert (answer.status_code, answer.json()["code"]) == (409, "plan_unchanged")

    def test_in_the_admin_it_is_shown_first(self, ada: Subscription, large: PlanVersion) -> None:
        client, address = anna(), page("customers_subscription", "change_plan", ada.pk)
        asked = client.post(address, {"version": large.pk, "when": ""})
        assert "11 of 30 days" in said(asked)
        assert "Credit: Base" in said(asked)
        seen = asked.context["shown"]["seen"]
        done = client.post(address, {"version": large.pk, "when": "", "seen": seen}, follow=True)
        assert "The plan changes on 20 Apr 2026." in said(done)
        assert ada.phases.count() == 2

    def test_in_the_admin_from_a_chosen_day(self, ada: Subscription, large: PlanVersion) -> None:
        client, address = anna(), page("customers_subscription", "change_plan", ada.pk)
        asked = {"version": large.pk, "when": "on_a_day"}
        assert "Say the first day" in said(client.post(address, asked))
        asked["day"] = "2026-04-11"
        assert "leave the day empty" in said(client.post(address, {**asked, "when": ""}))
        shown = client.post(address, asked)
        assert "20 of 30 days" in said(shown)
        seen = shown.context["shown"]["seen"]
        done = client.post(address, {**asked, "seen": seen}, follow=True)
        assert "The plan changes on 11 Apr 2026." in said(done)

    def test_in_the_admin_billed_at_once(self, ada: Subscription, large: PlanVersion) -> None:
        client, address = anna(), page("customers_subscription", "change_plan", ada.pk)
        asked = {"version": large.pk, "when": "immediate", "bill_now": "on"}
        shown = client.post(address, asked)
        assert "The change alone, billed at once" in said(shown)
        assert not Invoice.objects.filter(status="draft").exists()
        client.post(address, {**asked, "seen": shown.context["shown"]["seen"]})
        assert f"{Invoice.objects.get(status='draft').net_total:.2f}" == "36.66"


class TestInTheAdmin:
    def see(self, client: Client, ada: Subscription, what: str, **said_: str) -> Any:
        return client.post(page("customers_subscription", what, ada.pk), said_)

    def test_it_is_shown_before_it_is_done(self, ada: Subscription) -> None:
        client = anna()
        asked = self.see(client, ada, "cancel", when="immediate")
        assert "It takes effect on 21 Apr 2026." in said(asked)
        ada.refresh_from_db()
        assert ada.ends_on is None
        seen = asked.context["shown"]["seen"]
        done = self.see(client, ada, "cancel", when="immediate", seen=seen)
        assert done.status_code == 302
        ada.refresh_from_db()
        assert ada.ends_on == date(2026, 4, 21)

    def test_another_choice_is_shown_anew(self, ada: Subscription) -> None:
        client = anna()
        seen = self.see(client, ada, "cancel", when="immediate").context["shown"]["seen"]
        again = self.see(client, ada, "cancel", when="at_period_end", seen=seen)
        assert "It takes effect on 1 May 2026." in said(again)
        ada.refresh_from_db()
        assert ada.ends_on is None

    def test_a_cancelled_one_offers_to_go_on(self, ada: Subscription) -> None:
        client = anna()
        assert "Cancel…" in said(client.get(page("customers_subscription", "change", ada.pk)))
        seen = self.see(client, ada, "cancel", when="at_period_end").context["shown"]["seen"]
        self.see(client, ada, "cancel", when="at_period_end", seen=seen)
        offered = said(client.get(page("customers_subscription", "change", ada.pk)))
        assert "Reactivate…" in offered
        assert "Cancel…" not in offered
        seen = self.see(client, ada, "reactivate").context["shown"]["seen"]
        self.see(client, ada, "reactivate", seen=seen)
        ada.refresh_from_db()
        assert ada.ends_on is None

    def test_a_refusal_is_said_on_the_page(self, ada: Subscription) -> None:
        assert "is not cancelled" in said(self.see(anna(), ada, "reactivate"))

    def test_support_may_not(self, ada: Subscription) -> None:
        assert self.see(sam(), ada, "cancel", when="immediate").status_code == 403
