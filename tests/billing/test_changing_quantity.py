"""Seats: more from their day, fewer from the next period, over the API and in the admin (R13)."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from billing.models import Invoice, InvoiceLine
from billing.services import life
from catalog.drafts import PriceDraft
from catalog.models import PlanVersion, Price
from config.base.audit import SYSTEM
from customers.models import Subscription
from tests import factories as make
from tests.billing.months import close, lines
from tests.billing.test_cancelling import at, issue
from tests.billing.test_changing_plan import change
from tests.conftest import Caller
from tests.staff import anna, page, said

pytestmark = pytest.mark.django_db
D = Decimal


@pytest.fixture
def team() -> Subscription:
    """12 seats at 30 a month from 1 April; the first month is billed."""
    seats = Price(key="seats", name="Seats", model="per_unit", unit_amount=D(30), timing="advance")
    one = make.subscription(
        make.customer("team"),
        make.published(PriceDraft(seats)),
        key="team",
        starts_on=date(2026, 4, 1),
        quantities={"seats": D(12)},
    )
    close(at(4, 1))
    issue(at(4, 1))
    return one


def seats(one: Subscription, quantity: int, day: int, *, month: int = 4) -> None:
    life.change_quantity(
        subscription_id=one.pk,
        price_key="seats",
        quantity=D(quantity),
        starts_on=None,
        at=at(month, day),
        actor=SYSTEM,
    )


@pytest.mark.parametrize(
    ("changes", "billed"),
    [
        pytest.param({15: 15}, ["450.00", "48.00"], id="three more for 16 of 30 days"),
        pytest.param({10: 9}, ["270.00"], id="fewer from the next period on"),
        pytest.param({11: 15, 20: 9}, ["270.00", "60.00"], id="more for 20 days, then fewer"),
    ],
)
def test_by_day(team: Subscription, changes: dict[int, int], billed: list[str]) -> None:
    for day, quantity in changes.items():
        seats(team, quantity, day)
    assert [net for _, net in lines(close(at(5, 1, 1))[-1])] == billed


def by_the_seat(amount: int, *, timing: str = "advance", **terms: Any) -> PlanVersion:
    price = Price(key="seats", name="Seats", model="per_unit", unit_amount=D(amount), timing=timing)
    return make.published(PriceDraft(price), **terms)


@pytest.mark.parametrize(
    ("changes", "changed_on", "billed"),
    [
        pytest.param(
            {10: 9},
            16,
            ["360.00", "240.00", "-180.00"],  # 9 × 40; 12 × 40 × 15/30; 12 × 30 × 15/30
            id="fewer before the change: it is no boundary, so 12 count until the end",
        ),
        pytest.param(
            {16: 9},
            16,
            ["360.00", "240.00", "-180.00"],
            id="fewer on the day of the change",
        ),
        pytest.param(
            {10: 9, 20: 14},
            16,
            ["560.00", "240.00", "29.33", "-180.00"],  # 2 × 40 × 11/30 for the two above 12
            id="and more after it, beyond what counts",
        ),
        pytest.param(
            {10: 15, 12: 9},
            16,
            ["360.00", "18.00", "300.00", "-180.00"],  # 3 × 30 × 6/30; 15 × 40 × 15/30
            id="more, then fewer, before it",
        ),
    ],
)
def test_fewer_in_a_month_in_which_the_plan_changes(
    team: Subscription, changes: dict[int, int], changed_on: int, billed: list[str]
) -> None:
    """12 seats at 30 from 1 April, at 40 from the 16th; the quantity falls at the next boundary."""
    version = by_the_seat(40)
    for day in sorted({*changes, changed_on}):
        if day in changes:
            seats(team, changes[day], day)
        if day == changed_on:
            change(team, version, at(4, day), "immediate")
    assert sorted(net for _, net in lines(close(at(5, 1, 1))[-1])) == sorted(billed)


def test_fewer_are_charged_afterwards_from_the_next_boundary_on_too(team: Subscription) -> None:
    """In arrears: 12 × 30 × 15/30 and 12 × 40 × 15/30 in April, 9 × 40 in May."""
    eve = make.subscription(
        make.customer("eve"),
        by_the_seat(30, timing="arrears"),
        starts_on=date(2026, 4, 1),
        quantities={"seats": D(12)},
    )
    close(at(4, 1))
    seats(eve, 9, 10)
    change(eve, by_the_seat(40, timing="arrears"), at(4, 16), "immediate")
    close(at(6, 1, 1))
    nets = InvoiceLine.objects.filter(subscription=eve).order_by("service_start")
    assert [f"{line.net:.2f}" for line in nets] == ["180.00", "240.00", "360.00"]


def test_fewer_from_a_change_that_is_a_boundary(team: Subscription) -> None:
    """To periods of a year on the 16th: the running one ends, so 9 count from there."""
    seats(team, 9, 10)
    change(team, by_the_seat(400, interval="year"), at(4, 16), "immediate")
    billed = InvoiceLine.objects.filter(subscription=team)
    close(at(4, 16, 2))
    assert "3600.00" in [f"{line.net:.2f}" for line in billed]


def test_fewer_in_a_trial_from_its_end_on() -> None:
    """With the calendar: the trial ends on the 11th, 20 of 30 days are paid for 9 seats at 30."""
    eve = make.subscription(
        make.customer("eve"),
        by_the_seat(30, trial_days=10),
        starts_on=date(2026, 4, 1),
        alignment="calendar",
        quantities={"seats": D(12)},
    )
    close(at(4, 1))
    seats(eve, 9, 5)
    assert lines(close(at(4, 11, 2))[-1]) == [("Seats", "180.00")]


def test_more_on_the_first_day_of_a_period_that_was_billed(team: Subscription) -> None:
    seats(team, 15, 1)
    assert lines(close(at(5, 1, 1))[-1]) == [("Seats", "450.00"), ("Seats", "90.00")]


def test_fewer_and_then_more_on_such_a_day_charge_only_what_was_never_billed(
    team: Subscription,
) -> None:
    seats(team, 10, 1)
    seats(team, 13, 16)
    assert lines(close(at(5, 1, 1))[-1]) == [("Seats", "390.00"), ("Seats", "15.00")]


def test_on_the_first_day_an_open_draft_is_redrawn(team: Subscription) -> None:
    close(at(5, 1, 1))
    seats(team, 15, 1, month=5)
    assert lines(Invoice.objects.latest("pk")) == [("Seats", "450.00")]
    assert lines(close(at(6, 1, 1))[-1]) == [("Seats", "450.00")]


def test_over_the_api_it_can_be_seen_first(
    caller: Caller, team: Subscription, time_machine: Any
) -> None:
    time_machine.move_to(at(4, 15), tick=False)
    client, path = caller("customers:write"), "/api/v1/subscriptions/team/quantities"
    body = {"price": "seats", "quantity": "15", "dry_run": True}
    answer = client.post(path, body, format="json").json()
    assert [line["net"] for line in answer["next_invoice"]["lines"]] == ["450.00", "48.00"]
    assert team.quantities.count() == 1
    answer = client.post(path, {**body, "dry_run": False}, format="json").json()
    assert answer["subscription"]["quantities"] == {"seats": "15"}
    refused = client.post(path, {**body, "starts_on": "2026-04-14"}, format="json")
    assert [one["pointer"] for one in refused.json()["errors"]] == ["/starts_on"]


def test_in_the_admin_it_is_shown_first(team: Subscription, time_machine: Any) -> None:
    time_machine.move_to(at(4, 15), tick=False)
    client, address = anna(), page("customers_subscription", "change_quantity", team.pk)
    assert "How many does team have?" in said(client.get(address))
    asked = {"price": "seats", "quantity": "15", "starts_on": "2026-04-15"}
    shown = client.post(address, asked)
    assert "16 of 30 days" in said(shown) or "16/30" in said(shown)
    client.post(address, {**asked, "seen": shown.context["shown"]["seen"]})
    assert team.quantities.count() == 2
