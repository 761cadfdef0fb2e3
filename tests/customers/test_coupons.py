"""Coupons of subscriptions (R22a): given from a day on, ended on one; in API and admin."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal as D
from typing import Any

import pytest
import time_machine
from django.test import Client

from catalog.coupons import CouponRetired, retire_coupon
from config.base.audit import SYSTEM
from config.base.errors import Invalid
from config.base.models import AuditEntry
from customers.models import AppliedCoupon, Subscription
from customers.services import CouponEnded, CouponExpired, apply_coupon, end_coupon
from tests import factories as make
from tests.conftest import Caller
from tests.staff import anna, page, said, sam

pytestmark = pytest.mark.django_db

NOV, DEC, JAN = date(2026, 11, 1), date(2026, 12, 1), date(2027, 1, 1)


def give(
    subscription: Subscription, coupon: Any, *, since: date = NOV, at: datetime = make.AT
) -> AppliedCoupon:
    return apply_coupon(
        subscription_id=subscription.pk, coupon=coupon, starts_on=since, at=at, actor=SYSTEM
    )


@pytest.mark.parametrize(
    ("since", "fields", "expected"),
    [
        (date(2026, 10, 31), {}, ("starts_on", "out_of_range")),
        (NOV, {"amount": D(5), "currency": "USD"}, ("coupon", "currency_mismatch")),
    ],
)
def test_what_does_not_fit_is_named(
    since: date, fields: dict[str, Any], expected: tuple[str, str]
) -> None:
    with pytest.raises(Invalid) as refusal:
        give(make.subscription(), make.coupon(**fields), since=since)
    [fault] = refusal.value.faults
    assert (fault.path[0], fault.code) == expected
    assert not AppliedCoupon.objects.exists()


def test_it_runs_once_at_a_time() -> None:
    subscription, coupon = make.subscription(), make.coupon()
    first = give(subscription, coupon)
    with pytest.raises(Invalid) as refusal:
        give(subscription, coupon, since=DEC)
    assert refusal.value.faults[0].code == "coupon_running"
    end_coupon(applied_id=first.pk, ends_on=DEC, actor=SYSTEM)
    give(subscription, coupon, since=DEC)
    give(make.subscription(), coupon)
    assert AppliedCoupon.objects.count() == 3


def test_nobody_is_given_a_retired_one_but_who_has_it_keeps_it() -> None:
    kept, coupon = make.subscription(), make.coupon()
    give(kept, coupon)
    coupon = retire_coupon(coupon_id=coupon.pk, actor=SYSTEM)
    with pytest.raises(CouponRetired):
        give(make.subscription(), coupon)
    assert kept.applied_coupons.get().ends_on is None


def test_its_last_day_is_that_of_the_customer() -> None:
    zone = make.subscription(make.customer(time_zone="Asia/Tokyo"))
    coupon = make.coupon(redeemable_until=NOV)
    with pytest.raises(CouponExpired):
        give(zone, coupon, at=datetime(2026, 11, 1, 15, tzinfo=UTC))  # 2 November in Tokyo
    give(zone, coupon, since=JAN, at=datetime(2026, 11, 1, 14, 59, tzinfo=UTC))


def test_it_ends_for_good_and_even_before_it_took_anything() -> None:
    applied = give(make.subscription(), make.coupon())
    with pytest.raises(Invalid):
        end_coupon(applied_id=applied.pk, ends_on=date(2026, 10, 31), actor=SYSTEM)
    end_coupon(applied_id=applied.pk, ends_on=DEC, actor=SYSTEM)
    with pytest.raises(CouponEnded):
        end_coupon(applied_id=applied.pk, ends_on=JAN, actor=SYSTEM)
    ended = end_coupon(applied_id=applied.pk, ends_on=NOV, actor=SYSTEM)
    assert not ended.holds_on(NOV)


def test_the_trail_says_what_was_given() -> None:
    give(make.subscription(), make.coupon("launch"))
    entry = AuditEntry.objects.get(action="applied coupon")
    assert entry.changes == {"coupon from 2026-11-01": [None, "launch"]}


class TestApi:
    def test_given_listed_and_ended(self, caller: Caller) -> None:
        one, client = make.subscription(), caller()
        make.coupon("launch")
        url = f"/api/v1/subscriptions/{one.key}/coupons"
        made = client.post(url, {"coupon": "launch", "starts_on": "2026-12-01"})
        assert made.status_code == 201, made.json()
        assert client.get(url).json() == [made.json()]
        assert (made.json()["coupon"], made.json()["ends_on"]) == ("launch", None)
        again = client.post(url, {"coupon": "launch", "starts_on": "2026-12-01"})
        assert [error["code"] for error in again.json()["errors"]] == ["coupon_running"]
        ended = client.post(f"{url}/{made.json()['id']}/end", {"ends_on": "2027-01-01"})
        assert ended.json()["ends_on"] == "2027-01-01"

    def test_another_subscriptions_coupon_is_not_there(self, caller: Caller) -> None:
        applied, other = give(make.subscription(), make.coupon()), make.subscription()
        assert caller().get(f"/api/v1/subscriptions/{other.key}/coupons").json() == []
        url = f"/api/v1/subscriptions/{other.key}/coupons/{applied.uuid}/end"
        assert caller().post(url, {"ends_on": "2027-01-01"}).status_code == 404

    def test_every_fault_is_named(self, caller: Caller) -> None:
        url = f"/api/v1/subscriptions/{make.subscription().key}/coupons"
        refused = caller().post(url, {"coupon": "none", "starts_on": "x", "percent": "5"})
        found = {(error["pointer"], error["code"]) for error in refused.json()["errors"]}
        assert found == {
            ("/coupon", "unknown_coupon"),
            ("/starts_on", "invalid"),
            ("/percent", "unknown_field"),
        }


class TestAdmin:
    @pytest.fixture(autouse=True)
    def _in_november(self) -> Iterator[None]:
        with time_machine.travel(datetime(2026, 11, 20, tzinfo=UTC)):
            yield

    def test_it_is_given_and_ended(self) -> None:
        one, coupon, client = make.subscription(), make.coupon(name="Launch"), anna()
        make.coupon(name="Dollars", amount=D(5), currency="USD")
        make.coupon(name="Over", redeemable_until=NOV)
        url = page("customers_subscription", "apply_coupon", one.pk)
        shown = said(client.get(url))
        assert "Launch · 10 % once" in shown
        assert "Dollars" not in shown
        assert "Over" not in shown
        early = {"coupon": coupon.pk, "starts_on": "2026-10-01"}
        assert "Its service begins on 2026-11-01" in said(client.post(url, early))
        client.post(url, {"coupon": coupon.pk, "starts_on": "2026-12-01"})
        applied = AppliedCoupon.objects.get()
        assert (applied.starts_on, applied.applied_by) == (DEC, "anna")
        shown = said(client.get(page("customers_subscription", "change", one.pk)))
        assert "Launch 10 % once 1 Dec 2026 as it lasts" in shown
        end = page("customers_subscription", "end_coupon", one.pk)
        client.post(f"{end}?coupon={applied.uuid}", {"ends_on": "2026-12-15"})
        applied.refresh_from_db()
        assert applied.ends_on == date(2026, 12, 15)

    def test_without_a_coupon_it_says_to_add_one(self) -> None:
        url = page("customers_subscription", "apply_coupon", make.subscription().pk)
        assert "There is no coupon to give" in said(anna().get(url, follow=True))

    def test_only_who_may_gives(self) -> None:
        one, coupon = make.subscription(), make.coupon()
        url = page("customers_subscription", "apply_coupon", one.pk)
        form = {"coupon": coupon.pk, "starts_on": "2026-12-01"}
        assert sam().post(url, form).status_code == 403
        assert Client().post(url, form).status_code == 302
        assert not AppliedCoupon.objects.exists()
