"""Moving many subscriptions to another version: what the preview promises is what the move does."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing.models import Invoice, MoveWhen, Outcome, PlanMove, PlanMoveRow
from billing.services import issuing, life, moving, portions
from billing.services.life import When
from billing.services.upcoming import NothingUpcoming, upcoming_invoice
from catalog import services as catalog
from catalog.drafts import PriceDraft
from catalog.models import PlanVersion, Price, ValueMetric
from config.base.audit import SYSTEM, Actor
from config.base.errors import Invalid
from config.base.models import ActorKind, AuditEntry
from customers import services as customers
from customers.models import Subscription
from tests import factories as make
from tests.billing.months import close, use

pytestmark = pytest.mark.django_db
D = Decimal
START, NOW = date(2026, 4, 1), datetime(2026, 4, 16, 12, tzinfo=UTC)
ANNA = Actor(ActorKind.USER, "anna")


@pytest.fixture
def calls() -> ValueMetric:
    return make.metric("calls")


def priced(metric: ValueMetric, base: str, each: str, **terms: Any) -> PlanVersion:
    usage = make.graduated(metric, f"rest @ {each}", key="calls", included_quantity=D(100))
    seats = PriceDraft(
        Price(key="seats", name="Seats", model="per_unit", timing="advance", unit_amount=D(5))
    )
    return make.published(make.flat("base", base), seats, usage, **terms)


@pytest.fixture
def old(calls: ValueMetric) -> PlanVersion:
    return priced(calls, "100", "1")


@pytest.fixture
def new(calls: ValueMetric) -> PlanVersion:
    return priced(calls, "130", "0.5")


def ten(version: PlanVersion, count: int = 10) -> list[Subscription]:
    """Customers of a version since 1 April, with 0, 30, 60, … calls on the 5th, their fees billed."""
    made = [
        make.subscription(make.customer(f"c{n}"), version, key=f"s{n}", starts_on=START)
        for n in range(count)
    ]
    for n, one in enumerate(made[1:], start=1):
        use(one, datetime(2026, 4, 5, tzinfo=UTC), calls=30 * n)
    close(datetime(2026, 4, 1, 1, tzinfo=UTC))
    issue()
    return made


def issue() -> None:
    ids = list(Invoice.objects.filter(status="draft").order_by("pk").values_list("pk", flat=True))
    issuing.issue_invoices(invoice_ids=ids, as_of=NOW, actor=SYSTEM)


def preview(
    old: PlanVersion, new: PlanVersion, when: MoveWhen = MoveWhen.BY_FEE, at: datetime = NOW
) -> PlanMove:
    move = moving.start_move(
        subscriptions=moving.on_version(old, today=at.date()),
        from_version=old,
        to_version=new,
        when=when,
        at=at,
        actor=ANNA,
    )
    walk(move, at)
    return move


def walk(move: PlanMove, at: datetime = NOW) -> None:
    while moving.take_step(move_id=move.pk, now=at):
        pass
    move.refresh_from_db()


def confirm(move: PlanMove, at: datetime = NOW) -> None:
    moving.confirm_move(move_id=move.pk, at=at, actor=ANNA)
    walk(move, at)


def row(move: PlanMove, subscription: Subscription) -> PlanMoveRow:
    return move.rows.get(subscription=subscription)


def upcoming(subscription: Subscription, at: datetime = NOW) -> Decimal | None:
    loaded = Subscription.objects.with_terms().get(pk=subscription.pk)
    try:
        return upcoming_invoice(subscription=loaded, at=at)[1].totals.net
    except NothingUpcoming:
        return None


def phases(subscription: Subscription) -> list[tuple[int, date]]:
    found = subscription.phases.values_list("plan_version", "starts_on")
    return list(found)


class TestPreview:
    def test_each_next_invoice_under_both_and_the_sum(
        self, old: PlanVersion, new: PlanVersion
    ) -> None:
        """At once on the 16th: 15 of 30 days under the new version, so 130 − 100 for May's fee, and
        15.00 more for April's; usage of the first half is rated with half the allowance."""
        subscriptions = ten(old)
        move = preview(old, new)
        first, last = row(move, subscriptions[0]), row(move, subscriptions[-1])
        assert (first.outcome, first.starts_on) == ("previewed", date(2026, 4, 16))
        assert (first.before, first.after, first.difference) == (D(105), D(150), D(45))
        assert (last.before, last.after) == (D(105 + 170), D(150 + 220))
        found = moving.summary(move)
        assert (found.total, found.movable, found.dearer, found.refused) == (10, 10, 10, 0)
        assert found.difference == found.after - found.before
        assert found.before == sum((upcoming(one) or D(0) for one in subscriptions), D(0))
        assert move.status == "previewed"

    def test_it_changes_nothing(self, old: PlanVersion, new: PlanVersion) -> None:
        subscriptions = ten(old)
        before = [(phases(one), upcoming(one)) for one in subscriptions]
        audited = AuditEntry.objects.exclude(subject_type="billing.planmove").count()
        preview(old, new, MoveWhen.IMMEDIATE)
        assert [(phases(one), upcoming(one)) for one in subscriptions] == before
        assert AuditEntry.objects.exclude(subject_type="billing.planmove").count() == audited

    def test_what_can_not_be_moved_is_named_with_its_reason(
        self, calls: ValueMetric, old: PlanVersion
    ) -> None:
        lacking = make.published(make.flat("base", "130"))
        ended, waiting, own, foreign, fine = ten(old, 5)
        life.cancel(subscription_id=ended.pk, when=When.AT_PERIOD_END, at=NOW, actor=SYSTEM)
        life.change_plan(
            subscription_id=waiting.pk,
            version=make.published(make.flat("base", "1")),
            when=When.AT_PERIOD_END,
            at=NOW,
            actor=SYSTEM,
        )
        agree(own, "calls", unit_price="0.2")
        Subscription.objects.filter(pk=foreign.pk).update(
            payer=make.customer("payer", currency="USD")
        )
        move = preview(old, lacking, MoveWhen.AT_PERIOD_END)
        said = {one.subscription.key: one.note for one in move.rows.filter(outcome="refused")}
        assert said[ended.key] == "There is no service on 2026-05-01: it ends before."
        assert "waits for 2026-05-01" in said[waiting.key]
        assert "own terms for “calls”" in said[own.key]
        assert "pays in USD" in said[foreign.key]
        assert row(move, fine).outcome == "previewed"
        assert moving.summary(move).refused == 4

    def test_own_terms_that_go_on_are_shown(self, old: PlanVersion, new: PlanVersion) -> None:
        one, _ = ten(old, 2)
        agree(one, "calls", unit_price="0.2")
        assert row(preview(old, new), one).note == "Its own terms for “calls” go on."

    def test_a_dearer_plan_begins_at_once_and_a_cheaper_one_waits(
        self, old: PlanVersion, new: PlanVersion
    ) -> None:
        [one] = ten(old, 1)
        assert row(preview(old, new), one).starts_on == date(2026, 4, 16)
        move = preview(old, priced(ValueMetric.objects.get(), "50", "1"))
        assert row(move, one).starts_on == date(2026, 5, 1)

    def test_who_has_not_begun_has_no_figures(self, old: PlanVersion, new: PlanVersion) -> None:
        one = make.subscription(make.customer(), old, starts_on=date(2026, 6, 1))
        move = preview(old, new)
        found = row(move, one)
        assert (found.before, found.after, found.difference) == (None, None, None)
        assert found.outcome == "previewed"
        confirm(move)
        assert phases(one) == [(new.pk, date(2026, 6, 1))]

    def test_one_customer_whose_invoice_can_not_be_worked_out_is_left_out(
        self, old: PlanVersion, new: PlanVersion
    ) -> None:
        bad, *good = ten(old, 3)
        move = moving.start_move(
            subscriptions=Subscription.objects.all(),
            from_version=None,
            to_version=new,
            when=MoveWhen.IMMEDIATE,
            at=NOW,
            actor=ANNA,
        )
        park(bad)
        walk(move)
        assert row(move, bad).outcome == "refused"
        assert "mend what is wrong" in row(move, bad).note
        assert {row(move, one).outcome for one in good} == {"previewed"}

    def test_the_number_of_queries_does_not_depend_on_the_number_of_rows(
        self, old: PlanVersion, new: PlanVersion
    ) -> None:
        ten(old, 2)
        few = counted(old, new)
        for n in range(2, 12):
            one = make.subscription(make.customer(f"c{n}"), old, key=f"s{n}", starts_on=START)
            use(one, datetime(2026, 4, 5, tzinfo=UTC), calls=3)
        close(datetime(2026, 4, 1, 1, tzinfo=UTC))
        issue()
        assert counted(old, new) == few


def counted(old: PlanVersion, new: PlanVersion) -> int:
    move = moving.start_move(
        subscriptions=moving.on_version(old, today=NOW.date()),
        from_version=old,
        to_version=new,
        when=MoveWhen.IMMEDIATE,
        at=NOW,
        actor=ANNA,
    )
    with CaptureQueriesContext(connection) as captured:
        moving.take_step(move_id=move.pk, now=NOW)
    assert moving.summary(move).movable > 1
    return len(captured)


def agree(subscription: Subscription, key: str, *, unit_price: str) -> None:
    tier = {"up_to": None, "unit_amount": unit_price, "flat_amount": "0"}
    customers.agree_price(
        subscription_id=subscription.pk,
        price_key=key,
        terms={"tiers": [tier]},
        starts_on=START,
        reason="Because",
        at=NOW,
        actor=SYSTEM,
    )


def park(subscription: Subscription) -> None:
    subscription.billing_periods.update(status="parked", trouble="x")


@pytest.mark.parametrize("when", MoveWhen.values)
@pytest.mark.parametrize("seed", range(3))
def test_the_previewed_invoice_is_the_next_one_after_the_move(
    when: str, seed: int, calls: ValueMetric
) -> None:
    """Whatever the customers' dates, usage, seats, own terms, coupons, and drafts not issued yet."""
    chance = random.Random(seed)
    old = priced(calls, "100", "1", trial_days=chance.choice([0, 0, 7]))
    new = priced(
        calls, chance.choice(["70", "130"]), "0.5", interval=chance.choice(["month", "year"])
    )
    for n in range(8):
        start = START - timedelta(days=chance.choice([0, 1, 17, 40]))
        one = make.subscription(
            make.customer(f"c{n}"),
            old,
            starts_on=start,
            quantities={"seats": chance.randrange(4)},
        )
        if chance.random() < 0.3:
            agree_from(one, start, chance)
        if chance.random() < 0.3:
            make.applied_coupon(one, make.coupon(duration="forever"), starts_on=start)
        for day in range(3):
            moment = NOW - timedelta(days=1 + 5 * day)
            if moment.date() >= start:
                use(one, moment, calls=chance.randrange(200))
    close(datetime(2026, 4, 1, 1, tzinfo=UTC))
    if chance.random() < 0.5:
        issue()
    close(datetime(2026, 4, 15, 1, tzinfo=UTC))
    move = preview(old, new, MoveWhen(when))
    assert not move.rows.exclude(outcome="previewed").exists()
    confirm(move)
    for moved in move.rows.select_related("subscription"):
        assert moved.outcome == "moved"
        assert upcoming(moved.subscription) == moved.after
        assert (new.pk, moved.starts_on) in phases(moved.subscription)


def agree_from(subscription: Subscription, day: date, chance: random.Random) -> None:
    tier = {"up_to": None, "unit_amount": f"0.{chance.randrange(1, 9)}", "flat_amount": "0"}
    customers.agree_price(
        subscription_id=subscription.pk,
        price_key="calls",
        terms={"tiers": [tier]},
        starts_on=day,
        reason="Because",
        at=NOW,
        actor=SYSTEM,
    )


class TestMove:
    def test_all_are_moved_and_each_is_in_the_audit_trail(
        self, old: PlanVersion, new: PlanVersion
    ) -> None:
        subscriptions = ten(old)
        move = preview(old, new)
        confirm(move)
        assert (move.status, move.confirmed_by, move.finished_at) == ("finished", "anna", NOW)
        assert moving.summary(move).moved == 10
        for one in subscriptions:
            assert phases(one) == [(old.pk, START), (new.pk, date(2026, 4, 16))]
            entry = AuditEntry.objects.get(action="changed plan", subject_id=one.pk)
            assert entry.actor_name == "anna"

    def test_it_is_confirmed_once(self, old: PlanVersion, new: PlanVersion) -> None:
        ten(old, 2)
        move = preview(old, new)
        moving.confirm_move(move_id=move.pk, at=NOW, actor=ANNA)
        with pytest.raises(moving.MoveNotPreviewed, match="anna has confirmed this move already"):
            moving.confirm_move(move_id=move.pk, at=NOW, actor=Actor(ActorKind.USER, "leo"))

    def test_it_is_not_confirmed_before_the_preview_is_complete(
        self, old: PlanVersion, new: PlanVersion
    ) -> None:
        ten(old, 2)
        move = preview(old, new)
        move.rows.update(outcome=Outcome.WAITING)
        PlanMove.objects.update(status="previewing")
        with pytest.raises(moving.MoveNotPreviewed, match="not complete"):
            moving.confirm_move(move_id=move.pk, at=NOW, actor=ANNA)

    def test_twice_over_the_same_subscriptions_the_second_is_told(
        self, old: PlanVersion, new: PlanVersion
    ) -> None:
        ten(old, 3)
        first, second = preview(old, new), preview(old, new)
        confirm(first)
        confirm(second)
        assert moving.summary(second)[2:5] == (0, 0, 3)
        assert "preview it anew" in second.rows.all()[0].note

    def test_taken_up_again_after_it_was_killed_it_does_the_rest(
        self, old: PlanVersion, new: PlanVersion, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(portions, "PORTION", 3)
        subscriptions = ten(old, 8)
        move = preview(old, new)
        moving.confirm_move(move_id=move.pk, at=NOW, actor=ANNA)
        assert moving.take_step(move_id=move.pk, now=NOW)
        assert moving.summary(move).moved == 3
        walk(move)
        walk(move)
        assert (move.status, moving.summary(move).moved) == ("finished", 8)
        assert all(len(phases(one)) == 2 for one in subscriptions)

    @pytest.mark.parametrize(
        "happens",
        ["its own terms", "seats", "a cancellation", "an invoice", "another day", "a coupon"],
    )
    def test_what_changed_since_the_preview_stays_and_is_told(
        self, happens: str, old: PlanVersion, new: PlanVersion
    ) -> None:
        changed, same = ten(old, 2)
        move = preview(old, new)
        at = NOW
        match happens:
            case "its own terms":
                agree(changed, "calls", unit_price="0.1")
            case "seats":
                customers.change_quantity(
                    subscription_id=changed.pk,
                    price_key="seats",
                    quantity=D(3),
                    starts_on=date(2026, 4, 20),
                    today=date(2026, 4, 16),
                    actor=SYSTEM,
                )
            case "a cancellation":
                life.cancel(
                    subscription_id=changed.pk, when=When.AT_PERIOD_END, at=NOW, actor=SYSTEM
                )
            case "an invoice":
                void(changed)
            case "a coupon":
                make.applied_coupon(changed, make.coupon(), starts_on=date(2026, 4, 16))
            case "another day":
                at = NOW + timedelta(days=1)
        confirm(move, at)
        assert row(move, changed).outcome == "refused"
        assert "preview it anew" in row(move, changed).note
        assert phases(changed) == [(old.pk, START)]
        assert row(move, same).outcome == ("refused" if happens == "another day" else "moved")

    def test_usage_that_comes_after_the_preview_keeps_nobody_back(
        self, old: PlanVersion, new: PlanVersion
    ) -> None:
        [one] = ten(old, 1)
        move = preview(old, new)
        use(one, NOW, calls=5)
        confirm(move)
        assert row(move, one).outcome == "moved"

    def test_a_version_retired_since_is_refused_as_a_whole(
        self, old: PlanVersion, new: PlanVersion
    ) -> None:
        [one] = ten(old, 1)
        move = preview(old, new)
        catalog.retire_version(version_id=new.pk, at=NOW, actor=SYSTEM)
        with pytest.raises(customers.VersionNotOffered):
            moving.confirm_move(move_id=move.pk, at=NOW, actor=ANNA)
        assert phases(one) == [(old.pk, START)]

    def test_a_version_retired_in_the_middle_stops_the_rest(
        self, old: PlanVersion, new: PlanVersion, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(portions, "PORTION", 1)
        ten(old, 2)
        move = preview(old, new)
        moving.confirm_move(move_id=move.pk, at=NOW, actor=ANNA)
        moving.take_step(move_id=move.pk, now=NOW)
        catalog.retire_version(version_id=new.pk, at=NOW, actor=SYSTEM)
        walk(move)
        found = moving.summary(move)
        assert (found.moved, found.refused, move.status) == (1, 1, "finished")


def void(subscription: Subscription) -> None:
    invoice = Invoice.objects.get(charges__subscription=subscription)
    issuing.void_invoice(invoice_id=invoice.pk, reason="x", reopen=True, at=NOW, actor=SYSTEM)


class TestStart:
    def test_the_version_they_are_on_is_refused(self, old: PlanVersion) -> None:
        ten(old, 1)
        with pytest.raises(Invalid, match="another version"):
            preview(old, old)

    def test_another_currency_is_refused(self, old: PlanVersion) -> None:
        ten(old, 1)
        with pytest.raises(Invalid, match="priced in USD"):
            preview(old, make.published(currency="USD"))

    def test_a_draft_is_refused(self, old: PlanVersion) -> None:
        ten(old, 1)
        with pytest.raises(customers.VersionNotOffered):
            preview(old, make.draft())

    def test_nobody_to_move_leaves_nothing(self, old: PlanVersion, new: PlanVersion) -> None:
        with pytest.raises(moving.NothingToMove):
            preview(old, new)
        assert not PlanMove.objects.exists()

    def test_those_chosen_may_be_on_different_versions(
        self, old: PlanVersion, new: PlanVersion
    ) -> None:
        one, _ = ten(old, 2)
        other = make.subscription(make.customer(), make.published(), starts_on=START)
        there = make.subscription(make.customer(), new, starts_on=START)
        move = moving.start_move(
            subscriptions=Subscription.objects.filter(pk__in=[one.pk, other.pk, there.pk]),
            from_version=None,
            to_version=new,
            when=MoveWhen.AT_PERIOD_END,
            at=NOW,
            actor=ANNA,
        )
        walk(move)
        outcomes = {one.subscription_id: one.outcome for one in move.rows.all()}
        assert outcomes == {one.pk: "previewed", other.pk: "previewed", there.pk: "refused"}
