"""An invoice that several subscriptions share as people read it: on paper, on line, over the API (R37)."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing.models import BillingRun, Invoice
from billing.presentation import present
from config.base.audit import SYSTEM
from customers import services as customers
from customers.models import Customer, Issuer
from tests import factories as make
from tests.billing.months import close, use
from tests.billing.test_documents import text_of
from tests.conftest import Caller
from tests.customers import door
from tests.staff import anna, leo, said

pytestmark = pytest.mark.django_db
D = Decimal
NOW = datetime(2026, 12, 2, 1, tzinfo=UTC)


DAYS: list[dict[str, Any]] = [
    {"name": "API calls", "days": [], "by": [], "later": "0", "events": 1, "used": "1",
     "unit": "call", "unit_plural": "calls", "time_zone": "UTC", "as_of": "2026-12-01T01:00:00Z"}
]  # fmt: skip


@pytest.fixture(autouse=True)
def now() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def ada() -> Customer:
    return make.customer("ada", name="Ada Works", consolidation="one_invoice", locale="en-GB")


def november(ada: Customer, *, child: Customer | None = None) -> Invoice:
    """Ada's own subscription and a second one, billed together: 10 a month, and 1 a call above 100."""
    Issuer.objects.update(tax_status="standard", standard_tax_rate=19)
    calls = make.metric("calls", name="API calls")
    price = make.graduated(
        calls, "rest @ 1", key="calls", name="API calls", included_quantity=D(100)
    )
    plan = make.published(
        make.flat("base", "10", name="Base fee"), price, plan=make.plan("scale", name="Scale")
    )
    first = make.subscription(ada, plan, key="ada-scale")
    if child is None:
        other = make.published(make.flat("seats", "30"), plan=make.plan("team", name="Team"))
        second = make.subscription(ada, other, key="ada-team")
    else:
        second = make.subscription(child, plan, key="child-scale", payer=ada)
        use(second, datetime(2026, 11, 5, tzinfo=UTC), calls=20)
    use(first, datetime(2026, 11, 5, tzinfo=UTC), calls=150)
    make.applied_coupon(second, make.coupon(name="Launch", amount=D(4), duration="forever"))
    return close(NOW)[-1]


def headed(invoice: Invoice, locale: str = "en-GB") -> list[tuple[str, str, str]]:
    """Return the lines with the heading above and the subtotal below each."""
    return [
        (line.section, line.name, line.subtotal.value if line.subtotal else "")
        for line in present(invoice, locale=locale).lines
    ]


class TestTheInvoice:
    def test_each_subscription_has_a_heading_and_a_subtotal(self, ada: Customer) -> None:
        assert headed(november(ada)) == [
            ("Scale · ada-scale", "Base fee", ""),
            ("", "API calls", "60.00"),
            ("Team · ada-team", "Seats", "30.00"),
        ]

    def test_of_several_customers_each_is_named(self, ada: Customer) -> None:
        invoice = november(ada, child=make.customer("child", name="Child Ltd"))
        assert [section for section, *_ in headed(invoice) if section] == [
            "Ada Works · Scale · ada-scale",
            "Child Ltd · Scale · child-scale",
        ]

    def test_it_keeps_the_names_that_it_was_drawn_with(self, ada: Customer) -> None:
        child = make.customer("child", name="Child Ltd")
        invoice = november(ada, child=child)
        before = headed(invoice)
        customers.change_customer(
            customer_id=child.pk, fields={"name": "Grown Up Ltd"}, actor=SYSTEM
        )
        assert headed(Invoice.objects.with_lines().get(pk=invoice.pk)) == before

    def test_usage_at_a_glance_says_whose_it_is(self, ada: Customer) -> None:
        invoice = november(ada, child=make.customer("child", name="Child Ltd"))
        assert [(one.name, one.owner) for one in present(invoice).usage] == [
            ("API calls", "Ada Works · Scale · ada-scale"),
            ("API calls", "Child Ltd · Scale · child-scale"),
        ]

    def test_usage_day_by_day_says_whose_it_is(self, ada: Customer) -> None:
        told = [one | {"subscription": key} for key in ("ada-scale", "ada-team") for one in DAYS]
        views = present(november(ada), details=told).details
        assert [one.owner for one in views] == ["Scale · ada-scale", "Team · ada-team"]

    def test_a_coupon_says_whose_it_is(self, ada: Customer) -> None:
        labels = [total.label for total in present(november(ada)).totals]
        assert labels[:2] == ["Sum of lines", "Launch, Team · ada-team (before VAT)"]

    def test_in_german(self, ada: Customer) -> None:
        [*_, last] = present(november(ada), locale="de-DE").lines
        assert last.subtotal
        assert last.subtotal.label == "Zwischensumme, Team · ada-team"

    def test_one_alone_has_neither(self, ada: Customer) -> None:
        make.subscription(ada, make.published(make.flat()))
        assert headed(close(NOW)[-1]) == [("", "Base", "")]

    def test_on_paper_the_figures_add_up(self, ada: Customer) -> None:
        text = text_of(present(november(ada)))
        for said_once in (
            "Scale · ada-scale",
            "Subtotal, Scale · ada-scale 60.00",
            "Subtotal, Team · ada-team 30.00",
            "Sum of lines 90.00",
            "Net total 86.00",
            "VAT 19 % on 86.00 16.34",
        ):
            assert said_once in text


class TestThePortal:
    def test_the_payer_reads_each_under_its_heading(self, ada: Customer) -> None:
        invoice = november(ada, child=make.customer("child", name="Child Ltd"))
        client = door.signed_in(door.contact(ada))
        page = said(client.get(f"/portal/invoices/{invoice.uuid}/"))
        assert page.index("Ada Works · Scale") < page.index("Child Ltd · Scale")
        assert "Subtotal, Child Ltd · Scale · child-scale" in page

    def test_only_its_own_usage_leads_to_its_days(self, ada: Customer) -> None:
        invoice = november(ada, child=make.customer("child"))
        lines = door.signed_in(door.contact(ada)).get(f"/portal/invoices/{invoice.uuid}/")
        urls = [line["days_url"] for line in lines.context["lines"]]
        assert [bool(url) for url in urls] == [False, True, False, False]

    def test_who_uses_but_does_not_pay_sees_no_invoice(self, ada: Customer) -> None:
        child = make.customer("child")
        invoice = november(ada, child=child)
        client = door.signed_in(door.contact(child))
        assert client.get(f"/portal/invoices/{invoice.uuid}/").status_code == 404


class TestTheApi:
    def test_an_invoice_says_whom_it_charges(self, ada: Customer, caller: Caller) -> None:
        invoice = november(ada, child=make.customer("child"))
        answer = caller("billing:read").get(f"/api/v1/invoices/{invoice.uuid}").json()
        assert answer["customer"] == "ada"
        assert answer["subscriptions"] == [
            {"subscription": "ada-scale", "customer": "ada", "net": "60.00"},
            {"subscription": "child-scale", "customer": "child", "net": "10.00"},
        ]

    def test_a_run_lists_what_its_subscriptions_joined(self, ada: Customer, caller: Caller) -> None:
        plan, api, runs = make.published(make.flat()), caller("billing:read"), []
        make.subscription(ada, plan, key="first", time_zone="Europe/Berlin")
        make.subscription(ada, plan, key="second")
        for hour in (0, 1):
            close(datetime(2026, 12, 1, hour, tzinfo=UTC))
            runs.append(api.get(f"/api/v1/billing/runs/{BillingRun.objects.latest('pk').uuid}"))
        [*_, drafted], [joined] = [run.json()["invoices"] for run in runs]
        assert drafted["id"] == joined["id"]
        assert joined["subscriptions"] == ["first", "second"]
        listed = api.get(f"/api/v1/invoices?run={runs[1].json()['id']}").json()["results"]
        assert [one["id"] for one in listed] == [joined["id"]]

    def test_a_customer_is_switched(self, caller: Caller) -> None:
        api = caller("customers:read", "customers:write")
        body = {"key": "ada", "name": "Ada", "currency": "EUR"}
        assert api.post("/api/v1/customers", body, format="json").json()["consolidation"] is None
        url = "/api/v1/customers/ada"
        for value in ("one_invoice", "per_subscription", None):
            change = {"consolidation": value}
            assert api.patch(url, change, format="json").json()["consolidation"] == value
        answer = api.patch(url, {"consolidation": "x"}, format="json")
        assert answer.status_code == 400
        assert answer.json()["errors"][0]["pointer"] == "/consolidation"

    def test_as_many_queries_however_many_share_it(self, ada: Customer, caller: Caller) -> None:
        plan = make.published(make.flat())
        counts = []
        for size in (2, 9):
            payer = make.customer(consolidation="one_invoice")
            for _ in range(size):
                make.subscription(make.customer(), plan, payer=payer, starts_on=date(2026, 12, 2))
            close(NOW)
            invoice = payer.invoices.get()
            api = caller("billing:read")
            api.get(f"/api/v1/invoices/{invoice.uuid}")
            with CaptureQueriesContext(connection) as queries:
                api.get(f"/api/v1/invoices/{invoice.uuid}")
            counts.append(len(queries))
        assert counts[0] == counts[1]


class TestTheAdmin:
    def test_the_page_shows_headings_and_whose_period_each_is(self, ada: Customer) -> None:
        invoice = november(ada)
        page = said(anna().get(f"/admin/billing/invoice/{invoice.pk}/change/"))
        assert "Scale · ada-scale" in page
        assert "Subtotal, Team · ada-team" in page
        assert "of ada-team" in page

    def test_the_list_says_how_many_share_it(self, ada: Customer) -> None:
        november(ada)
        page = said(anna().get("/admin/billing/invoice/"))
        assert "2 subscriptions: Period 1–30 Nov 2026" in page

    def test_it_is_switched_on_the_customer_s_page(self) -> None:
        ada = make.customer("ada")
        page = said(leo().get(f"/admin/customers/customer/{ada.pk}/change/"))
        assert "As the issuer does it" in page
        assert "One invoice for subscriptions billed on the same day" in page

    def test_and_on_the_issuer_s(self) -> None:
        issuer = Issuer.objects.get()
        page = said(leo().get(f"/admin/customers/issuer/{issuer.pk}/change/"))
        assert "Several subscriptions" in page
