"""Seats: more from their day, fewer from the next period, over the API and in the admin (R13)."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from billing.models import Invoice
from billing.services import life
from catalog.drafts import PriceDraft
from catalog.models import Price
from config.base.audit import SYSTEM
from customers.models import Subscription
from tests import factories as make
from tests.billing.months import close, lines
from tests.billing.test_cancelling import at, issue
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
