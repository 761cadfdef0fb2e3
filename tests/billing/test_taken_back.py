"""What ends a paid period early and is taken back once the shorter fee is issued: the rest is billed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from billing.models import Invoice, InvoiceLine
from billing.services import life
from billing.services.issuing import issue_invoices
from billing.services.life import When
from catalog.models import PlanVersion
from config.base.audit import SYSTEM
from customers.models import Subscription
from tests import factories as make
from tests.billing.months import close

pytestmark = pytest.mark.django_db
OPENED = datetime(2026, 4, 1, 12, tzinfo=UTC)
NOW = datetime(2026, 4, 1, 15, tzinfo=UTC)
OVER = datetime(2026, 5, 1, 2, tzinfo=UTC)
Step = Callable[[Subscription], Any]


def plan(fee: str, **terms: Any) -> PlanVersion:
    seats = make.flat("seats", fee)
    seats.price.model = "per_unit"
    return make.published(seats, **terms)


@pytest.fixture
def small() -> PlanVersion:
    """10 a seat."""
    return plan("10")


@pytest.fixture
def ada(small: PlanVersion) -> Subscription:
    """From 1 April with three seats, its first fee drafted."""
    one = make.subscription(
        make.customer("ada"),
        small,
        key="ada",
        starts_on=date(2026, 4, 1),
        quantities={"seats": Decimal(3)},
    )
    close(OPENED)
    return one


def act(do: Callable[..., Any], one: Subscription, **how: Any) -> None:
    do(subscription_id=one.pk, at=NOW.replace(day=16), actor=SYSTEM, **how)


def change_and_back(one: Subscription, small: PlanVersion) -> tuple[Step, Step]:
    large = plan("25")
    return (
        lambda one: act(life.change_plan, one, version=large, when=When.IMMEDIATE),
        lambda one: act(life.change_plan, one, version=small, when=When.IMMEDIATE),
    )


def cancel_and_keep(one: Subscription, small: PlanVersion) -> tuple[Step, Step]:
    return (
        lambda one: act(life.cancel, one, when=When.IMMEDIATE),
        lambda one: act(life.reactivate, one),
    )


def pause_and_resume(one: Subscription, small: PlanVersion) -> tuple[Step, Step]:
    return (
        lambda one: act(life.pause, one, when=When.IMMEDIATE),
        lambda one: act(life.resume, one),
    )


@pytest.mark.parametrize("steps", [change_and_back, cancel_and_keep, pause_and_resume])
def test_the_whole_month_is_paid(ada: Subscription, small: PlanVersion, steps: Any) -> None:
    there, back = steps(ada, small)
    there(ada)
    [opening] = Invoice.objects.all()
    assert opening.net_total < 30
    issue_invoices(invoice_ids=[opening.pk], as_of=NOW, actor=SYSTEM)
    back(ada)
    close(OVER)
    april = InvoiceLine.every.filter(service_start__lt=date(2026, 5, 1)).order_by("pk")
    assert sum(line.net for line in april) == 30
    assert [(line.quantity, line.service_end) for line in april][-1] == (3, date(2026, 5, 1))
    assert {line.subscription_id for line in april} == {ada.pk}


def test_a_fee_that_was_billed_whole_is_not_billed_again(
    ada: Subscription, small: PlanVersion
) -> None:
    [opening] = Invoice.objects.all()
    issue_invoices(invoice_ids=[opening.pk], as_of=NOW, actor=SYSTEM)
    for step in change_and_back(ada, small):
        step(ada)
    close(OVER)
    april = InvoiceLine.every.filter(service_start__lt=date(2026, 5, 1))
    assert [line.net for line in april] == [30]
