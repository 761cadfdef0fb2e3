"""One invoice for several subscriptions while workers and people act at once: none twice, none lost (R37)."""

from __future__ import annotations

import contextlib
from datetime import UTC, date, datetime
from decimal import Decimal as D
from typing import Any

import pytest
from django.db import connection

from billing.models import BillingPeriod, Invoice, InvoiceLine, PeriodCharge
from billing.services import closing, issuing, life, runs
from catalog.models import PlanVersion
from config.base.audit import SYSTEM
from customers.models import Customer
from tests import factories as make
from tests.billing.months import contradictions
from tests.billing.side_by_side import at_once

pytestmark = [
    pytest.mark.postgresql,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer"),
]

NOV, LATER = datetime(2026, 11, 1, 1, tzinfo=UTC), datetime(2026, 11, 5, tzinfo=UTC)


class Killed(BaseException):
    """What no handler of errors catches."""


@pytest.fixture
def plan() -> PlanVersion:
    return make.published(make.flat(amount="10"))


def paid_by(payer: Customer, plan: PlanVersion, count: int) -> list[int]:
    return [
        make.subscription(make.customer(), plan, payer=payer, starts_on=date(2026, 11, 1)).pk
        for _ in range(count)
    ]


def close_each(*ids: int) -> Any:
    return lambda: closing.close_subscriptions(subscription_ids=list(ids), as_of=NOV)


def all_of(ids: list[int], *, invoices: int = 1) -> None:
    """Assert that each is billed once, on so many live invoices; the audit has nothing to say."""
    live = Invoice.objects.exclude(status__in=["void", "discarded"])
    assert live.count() == invoices
    lines = InvoiceLine.objects.filter(invoice__in=live)
    assert sorted(lines.values_list("subscription", flat=True)) == sorted(ids)
    assert sum(one.net_total for one in live) == D(10) * len(ids)
    assert PeriodCharge.objects.filter(is_live=True).count() == len(ids)
    assert contradictions(LATER, but=["periods_close_in_time"]) == []


@pytest.mark.parametrize("attempt", range(4))
def test_workers_with_a_subscription_each_meet_on_one_invoice(
    plan: PlanVersion, attempt: int
) -> None:
    ids = paid_by(make.customer(consolidation="one_invoice"), plan, 8)
    at_once(*[close_each(one) for one in ids])
    all_of(ids)


@pytest.mark.parametrize("attempt", range(3))
def test_workers_with_the_same_of_two_payers_never_wait_for_each_other_for_good(
    plan: PlanVersion, attempt: int
) -> None:
    first = paid_by(make.customer(consolidation="one_invoice"), plan, 4)
    second = paid_by(make.customer(consolidation="one_invoice"), plan, 4)
    mixed = [one for pair in zip(first, second, strict=True) for one in pair]
    at_once(*[close_each(*some) for some in (mixed, mixed[::-1], mixed[:4], mixed[4:])])
    closing.close_subscriptions(subscription_ids=mixed, as_of=NOV)  # what was left to another one
    all_of(mixed, invoices=2)


@pytest.mark.parametrize("attempt", range(3))
def test_joined_while_somebody_holds_it_or_issues_it(plan: PlanVersion, attempt: int) -> None:
    first, second = paid_by(make.customer(consolidation="one_invoice"), plan, 2)
    close_each(first)()
    opening = Invoice.objects.get()
    do = [
        lambda: issuing.hold_for_review(invoice_id=opening.pk, actor=SYSTEM),
        lambda: issuing.issue_invoices(invoice_ids=[opening.pk], as_of=NOV, actor=SYSTEM),
        lambda: issuing.recalculate_invoices(invoice_ids=[opening.pk], at=NOV, actor=SYSTEM),
    ][attempt]
    at_once(close_each(second), do)
    opening.refresh_from_db()
    together = opening.lines.count() == 2
    assert together or attempt < 2
    all_of([first, second], invoices=1 if together else 2)


@pytest.mark.parametrize("attempt", range(3))
def test_plans_change_while_the_others_are_closed(plan: PlanVersion, attempt: int) -> None:
    """Each change redraws the open draft that all of them share, which another one joins."""
    ids = paid_by(make.customer(consolidation="one_invoice"), plan, 4)
    same = make.published(make.flat(amount="10"))
    close_each(*ids[:3])()

    def change(pk: int) -> Any:
        return lambda: life.change_plan(
            subscription_id=pk, version=same, when=None, at=NOV, actor=SYSTEM
        )

    at_once(change(ids[0]), change(ids[1]), change(ids[2]), close_each(ids[3]))
    all_of(ids)
    drawn = InvoiceLine.objects.filter(price__version=same)
    assert sorted(drawn.values_list("subscription", flat=True)) == ids[:3]


@pytest.mark.parametrize("place", ["before the claims", "before the end"])
def test_killed_in_between_nothing_of_it_is_there_and_the_next_does_it(
    plan: PlanVersion, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = paid_by(make.customer(consolidation="one_invoice"), plan, 2)
    close_each(first)()

    def kill(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        if place == "before the claims":
            patched.setattr("billing.drafting.late_charges", kill)
        else:
            patched.setattr("billing.services.closing.Settlement.keep_rows", kill)
        with contextlib.suppress(Killed):
            close_each(second)()
    opening = Invoice.objects.get()
    assert (opening.lines.count(), opening.net_total) == (1, D(10))
    assert not BillingPeriod.objects.filter(subscription=second).exists()
    close_each(second)()
    all_of([first, second])


def test_two_runs_beside_each_other_issue_it_once_and_whole(
    plan: PlanVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "at_once", lambda: 2)
    ids = paid_by(make.customer(consolidation="one_invoice"), plan, 6)
    run = runs.start_run(as_of=LATER, now=LATER, actor=SYSTEM)
    chunks = list(runs.chunks(run))
    assert len(chunks) == 3

    def work(chunk: list[int]) -> Any:
        return lambda: runs.close_chunk(run_id=run.pk, subscription_ids=chunk, now=LATER)

    at_once(*[work(chunk) for chunk in (*chunks, *chunks)])
    runs.finish_if_done(run_id=run.pk, now=LATER)
    all_of(ids)
    assert Invoice.objects.get().status == "issued"
