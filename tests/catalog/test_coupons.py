"""Coupons in the catalog (R22a): made once, said in words, retired; in API and admin."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import pytest
from django.test import Client

from catalog.coupons import (
    CouponRetired,
    coupon_errors,
    coupon_in_words,
    create_coupon,
    retire_coupon,
)
from catalog.models import Coupon
from config.base.audit import SYSTEM
from config.base.errors import Invalid
from config.base.models import AuditEntry
from tests import factories as make
from tests.conftest import Caller
from tests.staff import anna, leo, page, said, stranger

FIFTY: dict[str, Any] = {"amount": D(50), "currency": "EUR"}


def coupon(**fields: Any) -> Coupon:
    return Coupon(**{"key": "c", "name": "C", **fields})


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"percent": D(100)}, set()),
        (FIFTY, set()),
        ({**FIFTY, "currency": "JPY"}, set()),
        ({}, {("percent", "required")}),
        ({**FIFTY, "percent": D(5)}, {("amount", "percent_and_amount")}),
        ({"percent": D(0)}, {("percent", "out_of_range")}),
        ({"percent": D("100.0001")}, {("percent", "out_of_range")}),
        ({"percent": D(5), "currency": "EUR"}, {("currency", "not_for_percent")}),
        ({**FIFTY, "amount": D(0)}, {("amount", "out_of_range")}),
        ({"amount": D(50)}, {("currency", "unknown_currency")}),
        ({**FIFTY, "currency": "XXX"}, {("currency", "unknown_currency")}),
        ({**FIFTY, "amount": D("0.005")}, {("amount", "too_precise")}),
        ({"amount": D("0.5"), "currency": "JPY"}, {("amount", "too_precise")}),
        ({"amount": D("0.005"), "currency": "KWD"}, set()),
        ({**FIFTY, "duration": "periods"}, {("periods", "required")}),
        ({**FIFTY, "duration": "periods", "periods": 0}, {("periods", "required")}),
        ({**FIFTY, "periods": 3}, {("periods", "not_for_this_duration")}),
        ({"percent": D(5), "duration": "until_used_up"}, {("duration", "not_for_percent")}),
    ],
)
def test_what_contradicts_itself_is_named(
    fields: dict[str, Any], expected: set[tuple[str, str]]
) -> None:
    faults = coupon_errors(coupon(**fields))
    assert {(str(fault.path[0]), fault.code) for fault in faults} == expected


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"percent": D("12.5000")}, "12.5 % once"),
        ({**FIFTY, "duration": "periods", "periods": 1}, "50.00 EUR for 1 period"),
        ({"percent": D(20), "duration": "periods", "periods": 3}, "20 % for 3 periods"),
        ({"percent": D(20), "duration": "forever"}, "20 % every period, for good"),
        ({**FIFTY, "duration": "until_used_up"}, "50.00 EUR in all, until used up"),
        ({"amount": D(5000), "currency": "JPY"}, "5,000 JPY once"),
    ],
)
def test_it_is_said_in_words(fields: dict[str, Any], words: str) -> None:
    assert coupon_in_words(coupon(**fields)) == words


@pytest.mark.django_db
def test_only_a_sound_one_is_made_and_the_trail_says_so() -> None:
    with pytest.raises(Invalid):
        create_coupon(coupon=coupon(), actor=SYSTEM)
    made = make.coupon()
    assert Coupon.objects.get() == made
    assert AuditEntry.objects.get(subject_type="catalog.coupon").action == "created"


@pytest.mark.django_db
def test_it_is_retired_once() -> None:
    made = make.coupon()
    assert retire_coupon(coupon_id=made.pk, actor=SYSTEM).status == "retired"
    with pytest.raises(CouponRetired):
        retire_coupon(coupon_id=made.pk, actor=SYSTEM)


@pytest.mark.django_db
class TestApi:
    def test_made_read_listed_and_retired(self, caller: Caller) -> None:
        client = caller()
        body = {
            "key": "launch",
            "name": "Launch promotion",
            "amount": "50.00",
            "currency": "EUR",
            "duration": "periods",
            "periods": 3,
            "redeemable_until": "2026-12-31",
        }
        made = client.post("/api/v1/coupons", body)
        assert made.status_code == 201, made.json()
        coupon = made.json()
        assert {**coupon, **body, "amount": "50", "percent": None, "status": "active"} == coupon
        assert client.get("/api/v1/coupons/launch").json() == coupon
        assert client.get("/api/v1/coupons?status=active").json()["results"] == [coupon]
        assert client.post("/api/v1/coupons", body).json()["code"] == "key_taken"
        assert client.post("/api/v1/coupons/launch/retire").json()["status"] == "retired"
        assert client.post("/api/v1/coupons/launch/retire").json()["code"] == "coupon_retired"

    def test_a_percentage_has_no_currency(self, caller: Caller) -> None:
        made = caller().post("/api/v1/coupons", {"key": "c", "name": "C", "percent": "20"}).json()
        assert (made["percent"], made["amount"], made["currency"]) == ("20", None, None)
        assert (made["duration"], made["periods"]) == ("once", None)

    @pytest.mark.parametrize(
        ("fields", "pointers"),
        [
            ({}, {"/percent"}),
            ({"percent": "x", "periods": 0, "other": 1}, {"/percent", "/periods", "/other"}),
            ({"percent": "101"}, {"/percent"}),
            ({"percent": "5", "amount": "5", "currency": "EUR"}, {"/amount"}),
            ({"amount": "-5", "currency": "eur"}, {"/amount", "/currency"}),
            ({"percent": "5", "duration": "until_used_up"}, {"/duration"}),
        ],
    )
    def test_every_fault_is_named(
        self, caller: Caller, fields: dict[str, Any], pointers: set[str]
    ) -> None:
        refused = caller().post("/api/v1/coupons", {"key": "c", "name": "C", **fields})
        assert refused.status_code == 400
        assert {error["pointer"] for error in refused.json()["errors"]} == pointers
        assert not Coupon.objects.exists()


@pytest.mark.django_db
class TestAdmin:
    FORM: dict[str, Any] = {
        "name": "Launch promotion",
        "key": "launch",
        "percent": "",
        "amount": "50.00",
        "currency": "EUR",
        "duration": "once",
        "periods": "",
        "redeemable_until": "",
    }

    def test_it_is_made_read_and_retired(self) -> None:
        client = leo()
        client.post(page("catalog_coupon", "add"), self.FORM)
        made = Coupon.objects.get()
        assert (made.amount, made.currency) == (D(50), "EUR")
        listed = said(client.get(page("catalog_coupon", "changelist")))
        assert "50.00 EUR once" in listed
        shown = said(client.get(page("catalog_coupon", "change", made.pk)))
        assert "Takes off 50.00 EUR once" in shown
        retire = page("catalog_coupon", "retire", made.pk)
        assert "Nobody can be given it any more" in said(client.get(retire))
        client.post(retire)
        made.refresh_from_db()
        assert made.status == "retired"

    def test_what_is_wrong_stands_at_its_field(self) -> None:
        shown = said(leo().post(page("catalog_coupon", "add"), {**self.FORM, "amount": ""}))
        assert "Give a percentage, or an amount and its currency." in shown
        assert not Coupon.objects.exists()

    def test_only_who_leads_makes_and_retires(self) -> None:
        made = make.coupon()
        retire = page("catalog_coupon", "retire", made.pk)
        for client, status in ((anna(), 403), (stranger(), 403), (Client(), 302)):
            assert client.post(page("catalog_coupon", "add"), self.FORM).status_code == status
            assert client.post(retire).status_code == status
        made.refresh_from_db()
        assert (Coupon.objects.count(), made.status) == (1, "active")

    def test_an_empty_list_says_what_to_do(self) -> None:
        assert "Add one, then give it" in said(leo().get(page("catalog_coupon", "changelist")))
