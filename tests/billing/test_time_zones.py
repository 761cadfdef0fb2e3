"""A new time zone from the next boundary on: periods touch, what runs stays, nothing is charged twice (R2)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal as D
from typing import Any

import pytest

from billing.models import BillingPeriod, InvoiceLine
from billing.services import life
from billing.services.life import When
from billing.services.upcoming import upcoming_invoice
from catalog.models import PlanVersion, ValueMetric
from config.base.audit import SYSTEM
from config.base.errors import Invalid
from config.base.models import AuditEntry
from customers.models import Subscription
from customers.periods import first_instant, zone
from customers.services import NoFurtherPeriod, SubscriptionEnded, TimeZoneUnchanged
from customers.services.zoning import first_period
from customers.terms import in_force, today_of
from tests import factories as make
from tests.billing.months import close, contradictions, use
from tests.billing.test_cancelling import at, issue
from tests.billing.test_changing_plan import change, priced
from tests.billing.test_level_times_time import billed, storage
from tests.billing.test_own_intervals import charged, yearly
from tests.conftest import Caller
from tests.customers import door
from tests.staff import anna, page, said, stranger

pytestmark = pytest.mark.django_db


@pytest.fixture
def calls() -> ValueMetric:
    return make.metric("calls")


@pytest.fixture
def plan(calls: ValueMetric) -> PlanVersion:
    return priced(calls, "100", 300, "1")


@pytest.fixture
def ada(plan: PlanVersion) -> Subscription:
    """In Berlin since 1 April, its first fee billed."""
    buyer = make.customer("ada", time_zone="Europe/Berlin")
    one = make.subscription(buyer, plan, key="ada", starts_on=date(2026, 4, 1))
    close(at(4, 1))
    issue(at(4, 1))
    return one


@pytest.fixture(autouse=True)
def _sound(db: None) -> Any:
    yield
    assert contradictions(datetime(2028, 1, 1, tzinfo=UTC), but=["periods_close_in_time"]) == []


def move(one: Subscription, zone: str, moment: datetime) -> date:
    return life.change_time_zone(subscription_id=one.pk, time_zone=zone, at=moment, actor=SYSTEM)


def edges(one: Subscription) -> list[str]:
    """Return where each period that billing began starts, and the last ends, in UTC."""
    periods = list(one.billing_periods.order_by("number"))
    moments = [*(period.starts_at for period in periods), periods[-1].ends_at]
    return [f"{moment:%Y-%m-%dT%H:%M}" for moment in moments]


class TestFromTheNextBoundaryOn:
    def test_to_the_east_the_next_period_is_shorter(self, ada: Subscription) -> None:
        """Berlin is 7 hours behind Tokyo in summer: May has 31 × 24 − 7 hours."""
        running = BillingPeriod.objects.values().get()
        assert move(ada, "Asia/Tokyo", at(4, 15)) == date(2026, 5, 1)
        assert BillingPeriod.objects.values().get() == running
        use(ada, datetime(2026, 4, 30, 22, tzinfo=UTC), calls=310)  # May has begun
        use(ada, datetime(2026, 5, 31, 15, tzinfo=UTC), calls=320)  # and June, in Tokyo
        close(at(7, 2))
        assert edges(ada) == [
            "2026-03-31T22:00",
            "2026-04-30T22:00",
            "2026-05-31T15:00",
            "2026-06-30T15:00",
            "2026-07-31T15:00",
        ]
        assert charged(ada, "Calls") == [
            ("2026-04-01", "2026-05-01", D(0)),
            ("2026-05-01", "2026-06-01", D(10)),
            ("2026-06-01", "2026-07-01", D(20)),
        ]
        assert {net for _, _, net in charged(ada, "Base")} == {100}

    def test_to_the_west_it_is_longer(self, ada: Subscription) -> None:
        move(ada, "America/New_York", at(4, 15))
        close(at(6, 2))
        assert edges(ada)[1:3] == ["2026-04-30T22:00", "2026-06-01T04:00"]

    def test_across_a_clock_change(self, plan: PlanVersion) -> None:
        """Madrid goes to winter time on 25 October, New York on 1 November."""
        eve = make.subscription(
            make.customer("eve", time_zone="Europe/Madrid"), plan, starts_on=date(2026, 9, 1)
        )
        close(at(9, 1))
        move(eve, "America/New_York", at(9, 15))
        close(at(12, 2))
        assert edges(eve)[1:] == [
            "2026-09-30T22:00",
            "2026-11-01T04:00",
            "2026-12-01T05:00",
            "2027-01-01T05:00",
        ]

    @pytest.mark.parametrize(
        ("old", "new", "began"),
        [
            pytest.param(
                "Pacific/Pago_Pago",
                "Pacific/Kiritimati",
                ["2026-04-02T11:00", "2026-04-03T11:00", "2026-04-03T11:00", "2026-04-04T10:00"],
                id="over the date line: the day left out begins and ends at once",
            ),
            pytest.param(
                "Pacific/Kiritimati",
                "Pacific/Pago_Pago",
                ["2026-04-01T10:00", "2026-04-02T10:00", "2026-04-04T11:00", "2026-04-05T11:00"],
                id="and back: a day of 49 hours",
            ),
            pytest.param(
                "Pacific/Honolulu",
                "Pacific/Apia",
                ["2026-04-02T10:00", "2026-04-03T10:00", "2026-04-03T11:00", "2026-04-04T11:00"],
                id="Apia: a day of an hour",
            ),
        ],
    )
    def test_days_over_the_date_line(
        self, calls: ValueMetric, old: str, new: str, began: list[str]
    ) -> None:
        """A plan by the day, moved on its second one: from the third on."""
        version = priced(calls, "1", 0, "1", interval="day")
        eve = make.subscription(
            make.customer("eve", time_zone=old), version, starts_on=date(2026, 4, 1)
        )
        second = first_instant(date(2026, 4, 2), zone(old))
        close(second + timedelta(minutes=1))
        assert move(eve, new, second + timedelta(hours=2)) == date(2026, 4, 3)
        use(eve, second + timedelta(hours=24, minutes=30), calls=7)
        close(at(4, 8))
        assert edges(eve)[1:5] == began
        lines = InvoiceLine.objects.filter(subscription=eve, kind="usage")
        assert sum(line.quantity for line in lines) == 7

    def test_before_service_begins_it_begins_there(self, plan: PlanVersion) -> None:
        eve = make.subscription(make.customer("eve"), plan, starts_on=date(2026, 5, 1))
        assert move(eve, "Asia/Tokyo", at(4, 20)) == date(2026, 5, 1)
        close(at(5, 2))
        assert edges(eve) == ["2026-04-30T15:00", "2026-05-31T15:00"]

    def test_in_a_trial_from_its_end_on(self, calls: ValueMetric) -> None:
        version = priced(calls, "100", 300, "1", trial_days=10)
        eve = make.subscription(make.customer("eve"), version, starts_on=date(2026, 4, 1))
        close(at(4, 2))
        assert move(eve, "Asia/Tokyo", at(4, 5)) == date(2026, 4, 11)
        close(at(4, 12))
        assert edges(eve) == ["2026-04-01T00:00", "2026-04-11T00:00", "2026-05-10T15:00"]

    def test_a_yearly_fee_is_not_charged_again(self) -> None:
        """Billed every month, so that the next boundary is the next month's."""
        eve = make.subscription(make.customer("eve"), yearly(), starts_on=date(2026, 4, 1))
        close(at(4, 2))
        assert move(eve, "Asia/Tokyo", at(4, 15)) == date(2026, 5, 1)
        close(at(7, 2))
        assert charged(eve, "Base") == [("2026-04-01", "2027-04-01", D(1200))]
        assert edges(eve)[1:3] == ["2026-05-01T00:00", "2026-05-31T15:00"]

    def test_level_times_time_is_per_the_time_that_passes(self) -> None:
        """A GB kept throughout is a GB-month, also of a November 8 hours shorter."""
        eve = billed(storage())
        use(eve, datetime(2026, 9, 30, 22, tzinfo=UTC), type="storage.size", gb=100)
        close(datetime(2026, 10, 2, tzinfo=UTC))
        move(eve, "Asia/Tokyo", datetime(2026, 10, 15, tzinfo=UTC))
        close(datetime(2026, 12, 2, tzinfo=UTC))
        assert [str(line.quantity.normalize()) for line in InvoiceLine.objects.all()] == [
            "1E+2",
            "1E+2",
        ]

    def test_a_period_that_was_not_closed_in_time_keeps_its_end(self, ada: Subscription) -> None:
        assert move(ada, "Asia/Tokyo", at(5, 3)) == date(2026, 6, 1)
        close(at(6, 2))
        assert edges(ada)[1:3] == ["2026-04-30T22:00", "2026-05-31T22:00"]


class TestWhatElseHappensKeepsIt:
    def test_a_change_of_plan_at_once(self, ada: Subscription, calls: ValueMetric) -> None:
        move(ada, "Asia/Tokyo", at(4, 10))
        change(ada, priced(calls, "200", 900, "0.5"), at(4, 15))
        close(at(6, 2))
        assert edges(ada) == [
            "2026-03-31T22:00",
            "2026-04-14T22:00",
            "2026-04-30T22:00",
            "2026-05-31T15:00",
            "2026-06-30T15:00",
        ]

    def test_a_change_to_longer_periods_before_it_holds(
        self, ada: Subscription, calls: ValueMetric
    ) -> None:
        move(ada, "Asia/Tokyo", at(4, 10))
        change(ada, priced(calls, "300", 0, "1", interval="quarter"), at(4, 15))
        close(at(6, 2))
        assert edges(ada)[1:] == ["2026-04-14T22:00", "2026-07-14T15:00"]

    def test_a_pause_and_its_end(self, ada: Subscription) -> None:
        move(ada, "Asia/Tokyo", at(4, 10))
        life.pause(subscription_id=ada.pk, when=When.IMMEDIATE, at=at(4, 15), actor=SYSTEM)
        life.resume(subscription_id=ada.pk, at=at(5, 20), actor=SYSTEM)
        close(at(6, 2))
        assert edges(ada)[2:6] == [
            "2026-04-30T22:00",
            "2026-05-19T15:00",
            "2026-05-31T15:00",
            "2026-06-30T15:00",
        ]

    def test_a_cancellation_in_the_new_zone(self, ada: Subscription) -> None:
        """At 16:00 UTC it is the 21st in Tokyo, which is the last day."""
        move(ada, "Asia/Tokyo", at(4, 10))
        close(at(5, 2))
        ends_on = life.cancel(
            subscription_id=ada.pk, when=When.IMMEDIATE, at=at(5, 20, 16), actor=SYSTEM
        )
        assert ends_on == date(2026, 5, 22)
        assert edges(ada)[-1] == "2026-05-21T15:00"

    def test_it_can_change_again_and_be_taken_back(self, ada: Subscription) -> None:
        move(ada, "Asia/Tokyo", at(4, 10))
        move(ada, "Asia/Seoul", at(4, 11))
        ada.refresh_from_db()
        assert ada.zone_changes == {"2026-05-01": "Asia/Seoul"}
        move(ada, "Europe/Berlin", at(4, 12))
        ada.refresh_from_db()
        assert ada.zone_changes is None
        entries = AuditEntry.objects.filter(action="changed time zone").order_by("pk")
        assert [one.changes for one in entries] == [
            {"time zone from 2026-05-01": ["Europe/Berlin", "Asia/Tokyo"]},
            {"time zone from 2026-05-01": ["Asia/Tokyo", "Asia/Seoul"]},
            {"time zone from 2026-05-01": ["Asia/Seoul", "Europe/Berlin"]},
        ]

    def test_what_day_it_is_follows_the_boundary(self, ada: Subscription) -> None:
        """In Tokyo 1 May begins at 15:00 UTC, here only with the period, at 22:00."""
        move(ada, "Asia/Tokyo", at(4, 10))
        one = Subscription.objects.with_terms().get(pk=ada.pk)
        days = [today_of(one, at=at(4, 30, hour)) for hour in (15, 21, 22)]
        assert days == [date(2026, 4, 30), date(2026, 4, 30), date(2026, 5, 1)]
        assert in_force(one, at=at(4, 30, 15)) == one.phases.all()[0]


class TestItIsRefused:
    def test_for_what_is_no_zone(self, ada: Subscription) -> None:
        with pytest.raises(Invalid, match="not a time zone"):
            move(ada, "Mars/Olympus", at(4, 15))

    def test_for_the_one_that_holds(self, ada: Subscription) -> None:
        with pytest.raises(TimeZoneUnchanged):
            move(ada, "Europe/Berlin", at(4, 15))

    def test_where_service_ends_with_the_period(self, ada: Subscription) -> None:
        life.cancel(subscription_id=ada.pk, when=When.AT_PERIOD_END, at=at(4, 15), actor=SYSTEM)
        with pytest.raises(NoFurtherPeriod, match="2026-05-01"):
            move(ada, "Asia/Tokyo", at(4, 16))

    def test_once_it_has_ended(self, ada: Subscription) -> None:
        life.cancel(subscription_id=ada.pk, when=When.IMMEDIATE, at=at(4, 15), actor=SYSTEM)
        with pytest.raises(SubscriptionEnded):
            move(ada, "Asia/Tokyo", at(4, 17))


def test_its_first_period_is_told(ada: Subscription) -> None:
    boundary = move(ada, "Asia/Tokyo", at(4, 15))
    one = Subscription.objects.with_terms().get(pk=ada.pk)
    first = first_period(one, boundary)
    assert (first.start, first.end) == (date(2026, 5, 1), date(2026, 6, 1))
    assert first.longer == -timedelta(hours=7)


def test_over_the_api(caller: Caller, ada: Subscription, time_machine: Any) -> None:
    time_machine.move_to(at(4, 15), tick=False)
    client = caller("customers:write", "customers:read")
    path = "/api/v1/subscriptions/ada/time-zone"
    body = {"time_zone": "Asia/Tokyo"}
    looked = client.post(path, {**body, "dry_run": True}, format="json").json()
    assert Subscription.objects.get().zone_changes is None
    done = client.post(path, body, format="json").json()
    assert {**looked, "dry_run": False} == done
    assert done["takes_effect_on"] == "2026-05-01"
    assert done["first_period"] == {
        "start": "2026-05-01T07:00:00+09:00",
        "end": "2026-06-01T00:00:00+09:00",
        "start_date": "2026-05-01",
        "end_date": "2026-06-01",
        "minutes_longer": -420,
    }
    assert done["subscription"]["time_zone"] == "Europe/Berlin"
    changes = [{"starts_on": "2026-05-01", "time_zone": "Asia/Tokyo"}]
    assert done["subscription"]["time_zone_changes"] == changes
    refused = client.post(path, body, format="json")
    assert refused.json()["code"] == "time_zone_unchanged"
    listed = client.get("/api/v1/subscriptions/ada/periods?count=2").json()
    assert [one["end"] for one in listed["results"]] == [
        "2026-05-01T00:00:00+02:00",
        "2026-06-01T00:00:00+09:00",
    ]


def test_in_the_admin(ada: Subscription, time_machine: Any) -> None:
    time_machine.move_to(at(4, 15), tick=False)
    client, address = anna(), page("customers_subscription", "change_time_zone", ada.pk)
    assert "from the next boundary on" in said(client.get(address))
    asked = client.post(address, {"time_zone": "Asia/Tokyo"})
    assert "It takes effect on 1 May 2026." in said(asked)
    assert "From 30 Apr 2026, 22:00 UTC on, its days begin in Asia/Tokyo." in said(asked)
    ends = "The period from 1 May 2026 ends at midnight there, 31 May 2026, 15:00 UTC: 7 h shorter"
    assert ends in said(asked)
    seen = asked.context["shown"]["seen"]
    client.post(address, {"time_zone": "Asia/Tokyo", "seen": seen})
    shown = said(client.get(page("customers_subscription", "change", ada.pk)))
    assert "Days begin in Asia/Tokyo from 1 May 2026" in shown
    assert stranger().get(address).status_code == 403


def test_a_customer_s_new_zone_leaves_its_subscriptions_and_says_so(
    ada: Subscription, time_machine: Any
) -> None:
    time_machine.move_to(at(4, 15), tick=False)
    client, address = anna(), page("customers_customer", "change", ada.customer_id)
    form = client.get(address).context["adminform"].form
    filled = {name: value for name, value in form.initial.items() if value is not None}
    inline = {
        f"contacts-{name}": 0
        for name in ("TOTAL_FORMS", "INITIAL_FORMS", "MIN_NUM_FORMS", "MAX_NUM_FORMS")
    }
    saved = client.post(address, {**filled, **inline, "time_zone": "Asia/Tokyo"}, follow=True)
    assert "Subscriptions keep their own until it is changed on their page" in said(saved)
    assert page("customers_subscription", "change", ada.pk) in saved.content.decode()
    assert Subscription.objects.get().zone_changes is None


def test_the_portal_and_the_next_invoice_follow_it(ada: Subscription, time_machine: Any) -> None:
    move(ada, "America/New_York", at(4, 15))
    time_machine.move_to(at(5, 1, 3), tick=False)  # 30 April in New York, but May has begun
    use(ada, at(5, 1, 1), calls=320)
    close(at(5, 1, 3))
    found = upcoming_invoice(subscription=Subscription.objects.with_terms().get(), at=at(5, 1, 3))
    assert found is not None
    portal = door.signed_in(door.contact(ada.customer, "ada@ada.example"))
    assert "320" in said(portal.get("/portal/"))
