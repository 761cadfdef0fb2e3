"""What an invoice tells besides its lines: read from rows, kept with the document, on every face."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from billing.annexes import annex_of, told_change
from billing.documents import document_path, pdf_of, store_document
from billing.models import Invoice, InvoiceAnnex
from billing.services import issuing, life
from billing.services.life import When
from catalog.models import PlanVersion, ValueMetric
from config.base.audit import SYSTEM
from config.base.invariants import audit
from customers.models import Subscription
from metering.services.rollups.building import build_rollups
from tests import factories as make
from tests.billing.months import close, use
from tests.conftest import Caller
from tests.customers import door
from tests.staff import leo, page, said, stranger

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def data_dir(settings: LazySettings, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path
    return tmp_path


def at(month: int, day: int, hour: int = 1) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=UTC)


@pytest.fixture
def calls() -> ValueMetric:
    return make.metric("calls", name="Calls", dimensions=["region"])


def priced(calls: ValueMetric, base: str, each: str) -> PlanVersion:
    usage = make.graduated(calls, f"rest @ {each}", key="calls", included_quantity=D(100))
    return make.published(make.flat("base", base, name="Base fee"), usage)


@pytest.fixture
def ada(calls: ValueMetric) -> Subscription:
    """100 a month with 100 calls, 1 for each more, from September."""
    version = priced(calls, "100", "1")
    return make.subscription(make.customer("ada"), version, starts_on=date(2026, 9, 1))


def issued(month: int) -> Invoice:
    """Close and issue what is due early in a month; return the last."""
    drafts = [one.pk for one in close(at(month, 1)) if one.is_open]
    issuing.issue_invoices(invoice_ids=drafts, as_of=at(month, 1), actor=SYSTEM)
    return Invoice.objects.with_lines().get(pk=drafts[-1])


def asked(invoice: Invoice) -> int:
    """Count the queries that telling of an invoice takes."""
    with CaptureQueriesContext(connection) as captured:
        annex_of(Invoice.objects.with_lines().get(pk=invoice.pk))
    return len(captured)


def drivers(invoice: Invoice) -> list[tuple[str, str, str]]:
    told = told_change(invoice)
    assert told
    return [(one["kind"], one["name"], one["amount"]) for one in told["drivers"]]


class TestWhyItChanged:
    def test_the_first_invoice_has_nothing_to_compare_with(self, ada: Subscription) -> None:
        issued(9)
        first = Invoice.objects.with_lines().get()
        assert told_change(first) is None

    def test_usage_is_compared_from_month_to_month(self, ada: Subscription) -> None:
        issued(9)
        use(ada, at(9, 3), calls=120)
        september = issued(10)
        use(ada, at(10, 3), calls=150)
        october = issued(11)
        assert drivers(september) == [("usage", "Calls", "20.00")]
        assert drivers(october) == [("usage", "Calls", "30.00")]
        told = told_change(october)
        assert told
        assert told["last"] == [september.number]
        assert told["last_period"] == {"start": "2026-09-01", "end": "2026-10-01"}

    def test_a_new_plan_is_told_apart_from_usage(
        self, ada: Subscription, calls: ValueMetric
    ) -> None:
        issued(9)
        use(ada, at(9, 3), calls=120)
        issued(10)
        life.change_plan(
            subscription_id=ada.pk,
            version=priced(calls, "150", "3"),
            when=When.AT_PERIOD_END,
            at=at(10, 3),
            actor=SYSTEM,
        )
        use(ada, at(10, 4), calls=150)
        issued(11)
        use(ada, at(11, 4), calls=160)
        november = issued(12)
        assert drivers(november) == [
            ("usage", "Calls", "10.00"),  # 60 over at 1, before 50
            ("price", "Calls", "120.00"),  # 60 × 3 − 60 × 1
        ]

    def test_a_void_invoice_is_not_the_last(self, ada: Subscription) -> None:
        issued(9)
        use(ada, at(9, 3), calls=120)
        september = issued(10)
        issuing.void_invoice(
            invoice_id=september.pk, reason="Wrong", reopen=True, at=at(10, 2), actor=SYSTEM
        )
        again = close(at(10, 2))[-1]
        told = told_change(again)
        assert told
        assert told["last"] != [september.number]

    def test_another_customers_invoice_is_never_the_last(
        self, ada: Subscription, calls: ValueMetric
    ) -> None:
        issued(9)
        bob = make.subscription(
            make.customer("bob"), ada.phases.get().plan_version, starts_on=date(2026, 10, 1)
        )
        issued(10)
        opening = Invoice.objects.with_lines().get(customer=bob.customer)
        assert told_change(opening) is None

    def test_coupons_are_drivers(self, ada: Subscription) -> None:
        issued(9)
        coupon = make.coupon("launch", name="Launch", amount=D(30))
        make.applied_coupon(ada, coupon, starts_on=date(2026, 10, 1))
        assert drivers(issued(10)) == [("credit", "Launch", "-30.00")]


class TestUsageInDetail:
    def months(self, ada: Subscription) -> Invoice:
        issued(9)
        for day, amount, region in ((3, 60, "eu"), (4, 30, "us"), (10, 50, "eu"), (11, 7, None)):
            data: dict[str, Any] = {"calls": amount} | ({"region": region} if region else {})
            use(ada, at(9, day), **data)
        return issued(10)

    def test_days_and_dimension_values_add_up_to_what_is_billed(self, ada: Subscription) -> None:
        [told] = annex_of(self.months(ada)).usage
        assert [day for day in told["days"] if day[1] != "0"] == [
            ["2026-09-03", "60"],
            ["2026-09-04", "30"],
            ["2026-09-10", "50"],
            ["2026-09-11", "7"],
        ]
        assert len(told["days"]) == 30
        assert told["used"] == "147"
        assert told["by"] == [
            {"name": "region", "values": [["eu", "110"], ["us", "30"]], "other": "7"}
        ]
        assert (told["events"], told["later"], told["included"]) == (4, "0", "100")

    def test_only_the_greatest_values_are_named(self, ada: Subscription) -> None:
        issued(9)
        for number in range(1, 9):
            use(ada, at(9, 3), calls=number, region=f"r{number}")
        [told] = annex_of(issued(10)).usage
        [by] = told["by"]
        assert [value for value, _ in by["values"]] == ["r8", "r7", "r6", "r5", "r4"]
        assert by["other"] == "6"

    def test_values_are_rounded_so_that_they_add_up_to_the_rounded_whole(self) -> None:
        thousands = make.metric(
            "tokens",
            value_property="tokens",
            unit_divisor=1000,
            rounding_scale=2,
            dimensions=["region"],
        )
        version = make.published(make.graduated(thousands, "rest @ 1", key="tokens"))
        sold = make.subscription(make.customer("ada"), version, starts_on=date(2026, 9, 1))
        for region in ("eu", "us", "ap"):  # each 1.006, all 3.018: 1.01 three times would be 3.03
            use(sold, at(9, 3), tokens=1006, region=region)
        [told] = annex_of(issued(10)).usage
        assert told["used"] == "3.02"
        assert told["by"] == [
            {
                "name": "region",
                "values": [["ap", "1.01"], ["eu", "1.01"], ["us", "1"]],
                "other": "0",
            }
        ]

    def test_what_came_in_after_the_count_is_said(self, ada: Subscription) -> None:
        invoice = self.months(ada)
        use(ada, at(9, 20), received_at=at(10, 1, 12), calls=5, region="eu")
        [told] = annex_of(invoice).usage
        assert told["later"] == "5"
        [by] = told["by"]
        assert sum(D(used) for _, used in by["values"]) + D(by["other"]) == 152

    def test_summed_up_usage_says_the_same(self, ada: Subscription) -> None:
        invoice = self.months(ada)
        before = annex_of(invoice).usage
        build_rollups(at=at(10, 2))
        assert annex_of(invoice).usage == before

    def test_it_is_kept_before_the_document_and_stays(self, ada: Subscription) -> None:
        invoice = self.months(ada)
        document = store_document(invoice.pk)
        kept = InvoiceAnnex.objects.get()
        assert kept.usage[0]["used"] == "147"
        pdf = document_path(document.sha256).read_bytes()
        use(ada, at(9, 20), received_at=at(10, 1, 12), calls=5, region="eu")
        document_path(document.sha256).unlink()
        assert pdf_of(Invoice.objects.with_lines().get(pk=invoice.pk)) == pdf  # the same bytes


class TestAudit:
    def found(self) -> list[str]:
        [result] = audit(at=at(10, 2), names=["annexes_add_up"])
        return [finding.id for finding in result.findings]

    def test_what_is_kept_adds_up(self, ada: Subscription) -> None:
        store_document(TestUsageInDetail().months(ada).pk)
        assert self.found() == []

    @pytest.mark.unaudited
    def test_a_driver_or_a_value_too_much_is_found(self, ada: Subscription) -> None:
        invoice = TestUsageInDetail().months(ada)
        _, usage, url = annex = annex_of(invoice)
        assert annex.change
        annex.change["drivers"].append({"amount": "0.01"})
        usage[0]["by"][0]["other"] = "8"
        InvoiceAnnex.objects.create(
            invoice=invoice, change=annex.change, usage=usage, portal_url=url
        )
        assert self.found() == [
            f"invoice {invoice.number}, why it changed",
            f"invoice {invoice.number}, Calls by region",
        ]


class TestFaces:
    def september(self, ada: Subscription) -> Invoice:
        issued(9)
        use(ada, at(9, 3), calls=120)
        return issued(10)

    SENTENCES = "Net charges rose by €20.00 to €120.00. All of it is Calls, which was not charged last time."

    def test_the_portal_tells_the_payer_and_nobody_else(self, ada: Subscription) -> None:
        invoice = self.september(ada)
        url = reverse("portal:invoice", args=(invoice.uuid,))
        mine = door.signed_in(door.contact(ada.customer))
        assert self.SENTENCES in said(mine.get(url))
        other = door.signed_in(door.contact(make.customer("bob"), "bob@other.example"))
        assert other.get(url).status_code == 404

    def test_the_admin_tells_finance(self, ada: Subscription) -> None:
        invoice = self.september(ada)
        url = page("billing_invoice", "change", invoice.pk)
        assert self.SENTENCES in said(leo().get(url))
        assert self.SENTENCES not in said(stranger().get(url))

    def test_the_api_tells_it_as_data(self, ada: Subscription, caller: Caller) -> None:
        invoice = self.september(ada)
        answer: dict[str, Any] = (
            caller("billing:read").get(f"/api/v1/invoices/{invoice.uuid}/explanation").json()
        )
        change = answer["change"]
        assert " ".join(change.pop("sentences")) == self.SENTENCES
        assert change == {
            "last": ["INV-2026-000001"],
            "last_net": "100.00",
            "net": "120.00",
            "difference": "20.00",
            "drivers": [
                {"kind": "usage", "name": "Calls", "before": None, "now": "120", "amount": "20.00"}
            ],
        }

    def test_it_costs_the_same_queries_whatever_is_on_the_invoice(self, ada: Subscription) -> None:
        issued(9)
        counts = []
        for month, many in ((9, 1), (10, 2), (11, 8)):
            for number in range(many):
                coupon = make.coupon(f"c{month}-{number}", amount=D(1))
                make.applied_coupon(ada, coupon, starts_on=date(2026, month, 1))
                use(ada, at(month, number + 2), calls=120, region=f"r{number}")
            counts.append(asked(issued(month + 1)))
        assert counts[1] == counts[2]
