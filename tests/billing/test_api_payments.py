"""Payments, write-offs, ageing and statements over the API."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from billing.models import Invoice, Payment
from tests import factories as make
from tests.conftest import Caller

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 12, 10, 9, tzinfo=UTC)
API = "/api/v1"


@pytest.fixture(autouse=True)
def _today() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def finance(caller: Caller) -> APIClient:
    return caller("billing:read", "billing:write")


@pytest.fixture
def invoice() -> Invoice:
    return make.issued(make.customer("acme"), "500")


def record(client: APIClient, **fields: Any) -> Any:
    body = {"customer": "acme", "amount": "500.00", "received_on": "2026-12-10", **fields}
    return client.post(f"{API}/payments", body, format="json")


def pays(invoice: Invoice, amount: str = "500.00") -> list[dict[str, str]]:
    return [{"invoice": str(invoice.uuid), "amount": amount}]


def faults(response: Any) -> list[tuple[str, str]]:
    assert response.status_code == 400, response.json()
    return [(error["pointer"], error["code"]) for error in response.json()["errors"]]


class TestRecording:
    def test_an_invoice_is_paid(self, finance: APIClient, invoice: Invoice) -> None:
        made = record(
            finance, currency="EUR", reference="INV-2026-000001", allocations=pays(invoice)
        )
        assert made.status_code == 201, made.json()
        told = made.json()
        assert (told["allocated"], told["available"], told["refunded"]) == (
            "500.00", "0.00", "0.00",
        )  # fmt: skip
        [allocation] = told["allocations"]
        assert (allocation["number"], allocation["amount"]) == (invoice.number, "500.00")
        read = finance.get(f"{API}/invoices/{invoice.uuid}").json()
        assert (read["payment_status"], read["amount_due"]) == ("paid", "0.00")
        assert finance.get(f"{API}/payments/{told['id']}").json() == told

    def test_sent_again_under_its_key_it_is_recorded_once(
        self, finance: APIClient, invoice: Invoice
    ) -> None:
        body = {
            "customer": "acme", "amount": "500.00", "received_on": "2026-12-10",
            "allocations": pays(invoice),
        }  # fmt: skip
        answers = [
            finance.post(f"{API}/payments", body, format="json", headers={"Idempotency-Key": "k"})
            for _ in range(2)
        ]
        assert answers[0].json() == answers[1].json()
        assert Payment.objects.count() == 1

    def test_every_fault_is_named(self, finance: APIClient, invoice: Invoice) -> None:
        response = record(
            finance, customer="nobody", amount="0", received_on="yesterday", paid=True,
            allocations=[{"invoice": "x", "amount": "-1"}],
        )  # fmt: skip
        assert {pointer for pointer, _ in faults(response)} == {
            "/customer", "/amount", "/received_on", "/paid", "/allocations/0/invoice",
            "/allocations/0/amount",
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("fields", "fault"),
        [
            ({"amount": "1.001"}, ("/amount", "too_fine")),
            ({"received_on": "2026-12-11"}, ("/received_on", "in_future")),
            ({"max_per_invoice": "5"}, ("/max_per_invoice", "not_a_deposit")),
            (
                {"allocations": [{"invoice": str(uuid4()), "amount": "1"}]},
                ("/allocations/0/invoice", "unknown_invoice"),
            ),
        ],
    )
    def test_what_is_wrong_is_named(
        self, finance: APIClient, invoice: Invoice, fields: Any, fault: tuple[str, str]
    ) -> None:
        assert faults(record(finance, **fields)) == [fault]

    @pytest.mark.parametrize(
        ("fields", "code"),
        [
            ({"amount": "600"}, "more_than_open"),
            ({"amount": "300"}, "not_enough_left"),
            ({"amount": "600", "currency": "USD"}, "not_payable"),
            ({"amount": "600", "currency": "USD", "allocations": []}, "other_currency"),
        ],
    )
    def test_what_cannot_be_is_refused_whole(
        self, finance: APIClient, invoice: Invoice, fields: Any, code: str
    ) -> None:
        portion = "500.01" if code == "more_than_open" else "500.00"
        response = record(finance, **{"allocations": pays(invoice, portion), **fields})
        assert (response.status_code, response.json()["code"]) == (409, code)
        assert not Payment.objects.exists()

    def test_money_in_a_currency_that_nothing_is_billed_in_is_kept_if_it_did_come(
        self, finance: APIClient, invoice: Invoice
    ) -> None:
        response = record(finance, currency="USD", allocations=[], in_other_currency=True)
        assert (response.status_code, response.json()["available"]) == (201, "500.00")

    def test_who_may_only_read_may_not_record(self, caller: Caller, invoice: Invoice) -> None:
        assert record(caller("billing:read")).status_code == 403
        assert caller("customers:read").get(f"{API}/payments").status_code == 403


class TestAfterwards:
    def post(self, client: APIClient, told: Any, what: str, body: Any) -> Any:
        return client.post(f"{API}/payments/{told['id']}/{what}", body, format="json")

    def test_a_rest_is_allocated_released_and_refunded(
        self, finance: APIClient, invoice: Invoice
    ) -> None:
        told = record(finance, amount="600").json()
        told = self.post(finance, told, "allocate", {"allocations": pays(invoice)}).json()
        assert told["available"] == "100.00"
        read = finance.get(f"{API}/invoices/{invoice.uuid}").json()
        assert read["payment_status"] == "overpaid"
        told = self.post(finance, told, "refund", {"amount": "100"}).json()
        assert (told["available"], told["refunds"][0]["refunded_on"]) == ("0.00", "2026-12-10")
        name = told["allocations"][0]["id"]
        told = self.post(finance, told, "release", {"allocation": name}).json()
        assert (told["available"], told["allocations"][0]["released_on"]) == (
            "500.00", "2026-12-10",
        )  # fmt: skip
        again = self.post(finance, told, "release", {"allocation": name})
        assert (again.status_code, again.json()["code"]) == (409, "already_released")

    def test_a_refund_that_came_back_is_left_again_and_the_payment_can_be_reversed(
        self, finance: APIClient, invoice: Invoice
    ) -> None:
        told = record(finance, amount="600").json()
        told = self.post(finance, told, "refund", {"amount": "100"}).json()
        assert self.post(finance, told, "reverse", {"reason": "Returned"}).status_code == 409
        body = {"refund": told["refunds"][0]["id"], "reason": "Account closed"}
        told = self.post(finance, told, "reverse-refund", body).json()
        assert (told["available"], told["refunded"]) == ("600.00", "0.00")
        assert told["refunds"][0]["reversed_because"] == "Account closed"
        again = self.post(finance, told, "reverse-refund", body)
        assert (again.status_code, again.json()["code"]) == (409, "already_reversed")
        other = self.post(finance, told, "reverse-refund", {**body, "refund": str(uuid4())})
        assert faults(other) == [("/refund", "unknown_refund")]
        assert self.post(finance, told, "reverse", {"reason": "Returned"}).status_code == 200

    def test_a_reversal_needs_a_reason_and_comes_once(
        self, finance: APIClient, invoice: Invoice
    ) -> None:
        told = record(finance, allocations=pays(invoice)).json()
        assert faults(self.post(finance, told, "reverse", {})) == [("/reason", "required")]
        told = self.post(finance, told, "reverse", {"reason": "Returned"}).json()
        assert (told["available"], told["reversed_because"]) == ("0.00", "Returned")
        again = self.post(finance, told, "reverse", {"reason": "Returned"})
        assert (again.status_code, again.json()["code"]) == (409, "payment_reversed")
        read = finance.get(f"{API}/invoices/{invoice.uuid}").json()
        assert (read["payment_status"], read["amount_due"]) == ("unpaid", "500.00")


class TestLists:
    def test_payments_are_filtered(self, finance: APIClient, invoice: Invoice) -> None:
        record(finance, amount="600", allocations=pays(invoice))
        record(finance, amount="1", kind="deposit", max_per_invoice="1", reference="D")
        for query, amounts in {
            f"invoice={invoice.uuid}": ["600.00"],
            "kind=deposit": ["1.00"],
            "customer=nobody": [],
            "has_rest=true": ["1.00", "600.00"],
            "reference=D": ["1.00"],
        }.items():
            found = finance.get(f"{API}/payments?{query}").json()["results"]
            assert [one["amount"] for one in found] == amounts, query
        assert finance.get(f"{API}/payments?x=1").status_code == 400

    def test_a_list_costs_as_many_queries_for_many(
        self, finance: APIClient, invoice: Invoice
    ) -> None:
        counted = []
        for _ in range(2):
            for _ in range(3):
                record(finance, amount="10", allocations=pays(invoice, "10"))
            with CaptureQueriesContext(connection) as queries:
                assert finance.get(f"{API}/payments").status_code == 200
            counted.append(len(queries))
        assert counted[0] == counted[1]

    def test_invoices_by_how_far_they_are_paid(self, finance: APIClient, invoice: Invoice) -> None:
        record(finance, allocations=pays(invoice, "200"))
        for status in ("unpaid", "part_paid", "paid", "overpaid"):
            found = finance.get(f"{API}/invoices?payment_status={status}").json()["results"]
            assert len(found) == (status == "part_paid")


class TestWriteOffs:
    def test_written_off_and_taken_back(self, finance: APIClient, invoice: Invoice) -> None:
        body = {"invoice": str(invoice.uuid), "reason": "Insolvent"}
        made = finance.post(f"{API}/write-offs", body, format="json")
        assert (made.status_code, made.json()["amount"]) == (201, "500.00")
        assert finance.get(f"{API}/invoices/{invoice.uuid}").json()["amount_due"] == "0.00"
        again = finance.post(f"{API}/write-offs", body, format="json")
        assert again.status_code == 409
        assert again.json()["code"] == "more_than_open"
        assert again.json()["errors"][0]["pointer"] == "/amount"
        url = f"{API}/write-offs/{made.json()['id']}"
        back = finance.post(f"{url}/reverse", {"reason": "Paid after all"}, format="json").json()
        assert back["reversed_on"] == "2026-12-10"
        assert finance.get(url).json() == back
        found = finance.get(f"{API}/write-offs?customer=acme").json()["results"]
        assert found == [back]


class TestAccounts:
    def test_the_ageing_ties_out_to_the_statement(
        self, finance: APIClient, invoice: Invoice
    ) -> None:
        record(finance, amount="120", allocations=pays(invoice, "100"))
        told = finance.get(f"{API}/ageing").json()
        assert told["as_of"] == "2026-12-10"
        [account] = told["accounts"]
        assert account == {
            "customer": "acme", "currency": "EUR", "current": "0.00", "days_1_30": "400.00",
            "days_31_60": "0.00", "days_61_90": "0.00", "days_over_90": "0.00", "open": "400.00",
            "balance": "20.00", "deposits": "0.00", "total": "380.00",
        }  # fmt: skip
        statement = finance.get(f"{API}/customers/acme/statement").json()
        assert (statement["opening"], statement["closing"]) == ("0.00", account["total"])
        assert [(one["kind"], one["balance"]) for one in statement["entries"]] == [
            ("invoice", "500.00"),
            ("payment", "380.00"),
        ]
        earlier = finance.get(f"{API}/customers/acme/statement?until=2026-11-30").json()
        assert earlier["closing"] == "500.00"
        assert finance.get(f"{API}/ageing?as_of=2026-10-01").json()["accounts"] == []

    def test_nobody_has_no_statement(self, finance: APIClient) -> None:
        assert finance.get(f"{API}/customers/nobody/statement").status_code == 404
        assert finance.get(f"{API}/ageing?as_of=x").status_code == 400

    def test_a_statement_that_begins_after_its_end_is_refused(
        self, finance: APIClient, invoice: Invoice
    ) -> None:
        asked = "since=2026-12-02&until=2026-12-01"
        [fault] = finance.get(f"{API}/customers/acme/statement?{asked}").json()["errors"]
        assert fault["parameter"] == "since"
        assert "up to 2026-12-01" in fault["detail"]
