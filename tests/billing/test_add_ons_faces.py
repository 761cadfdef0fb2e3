"""Where people sell, see and withdraw add-ons: API, admin, portal, paper."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal as D
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.urls import reverse

from billing.models import BillingRun, BillWhen, Invoice, SoldAddOn
from billing.presentation.invoice import present
from customers.models import Subscription
from tests import factories as make
from tests.billing.months import close
from tests.conftest import Caller
from tests.customers import door
from tests.staff import anna, nora, page, queries, said, sam, stranger

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 10, 12, tzinfo=UTC)
DAY = {"unit": "day", "unit_plural": "days"}


@pytest.fixture(autouse=True)
def _november() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def acme() -> Subscription:
    buyer = make.customer("acme", time_zone="Europe/Berlin")
    version = make.published(make.flat(amount="100"))
    return make.subscription(buyer, version, key="acme-scale", starts_on=date(2026, 11, 1))


@pytest.fixture
def training() -> Any:
    return make.add_on("training", name="Training", unit_amount=D(900), **DAY)


class TestApi:
    URL = "/api/v1/sold-add-ons"
    BODY = {
        "key": "t1",
        "subscription": "acme-scale",
        "add_on": "training",
        "quantity": "2",
        "service_start": "2026-11-12",
        "service_end": "2026-11-14",
        "note": "In Berlin",
    }

    def test_sold_read_billed_and_explained(
        self, caller: Caller, acme: Subscription, training: Any
    ) -> None:
        client = caller()
        made = client.post(self.URL, self.BODY)
        assert made.status_code == 201, made.json()
        found = made.json()
        expected = {
            **self.BODY,
            "name": "Training",
            "unit_amount": "900",
            "currency": "EUR",
            "net": "1800.00",
            "bill": "next_invoice",
            "status": "waiting",
            "invoice": None,
            "time_zone": "Europe/Berlin",
            "withdrawn_at": None,
        }
        assert {**found, **expected} == found
        upcoming = client.get("/api/v1/subscriptions/acme-scale/upcoming-invoice").json()
        assert [line["net"] for line in upcoming["lines"]] == ["100.00", "1800.00"]
        close(NOW)
        again = client.get(f"{self.URL}/t1").json()
        assert again["status"] == "billed"
        invoice = client.get(f"/api/v1/invoices/{again['invoice']}").json()
        [_, line] = invoice["lines"]
        assert (line["kind"], line["quantity"], line["net"]) == ("add_on", "2", "1800.00")
        assert line["period"] == {
            "start": "2026-11-12T00:00:00+01:00",
            "end": "2026-11-14T00:00:00+01:00",
        }
        assert line["explanation"]["note"] == "In Berlin"
        said = client.get(f"/api/v1/invoices/{again['invoice']}/explanation").json()
        assert said["lines"][1]["sentences"] == ["2 days × 900.00 = 1,800.00", "In Berlin"]

    def test_at_once_its_invoice_is_of_its_own_and_the_run_names_it(
        self, caller: Caller, acme: Subscription, training: Any
    ) -> None:
        client = caller()
        sold = client.post(self.URL, {**self.BODY, "bill": "at_once"}).json()
        assert sold["status"] == "drafted"
        invoice = client.get(f"/api/v1/invoices/{sold['invoice']}").json()
        assert (invoice["purpose"], invoice["total"]) == ("one_off", "1800.00")
        assert invoice["auto_issue_at"] == "2026-11-10T12:00:00Z"
        discard = {"reason": "x"}
        client.post(f"/api/v1/invoices/{sold['invoice']}/discard", discard)
        close(NOW)
        run = client.get(f"/api/v1/billing/runs/{BillingRun.objects.get().uuid}").json()
        named = [(one["subscription"], one["purpose"]) for one in run["invoices"]]
        assert named == [("acme-scale", "opening"), ("acme-scale", "one_off")]
        assert client.get(f"{self.URL}/t1").json()["status"] == "billed"

    def test_withdrawn_with_a_reason(
        self, caller: Caller, acme: Subscription, training: Any
    ) -> None:
        client = caller()
        client.post(self.URL, {**self.BODY, "bill": "at_once"})
        url = f"{self.URL}/t1/withdraw"
        assert client.post(url, {"reason": " "}).json()["errors"][0]["pointer"] == "/reason"
        withdrawn = client.post(url, {"reason": "Sold twice"}).json()
        assert (withdrawn["status"], withdrawn["withdrawn_because"]) == ("withdrawn", "Sold twice")
        assert Invoice.objects.get().status == "discarded"
        assert client.post(url, {"reason": "x"}).json()["code"] == "add_on_withdrawn"

    @pytest.mark.parametrize(
        ("fields", "pointers"),
        [
            ({"quantity": "0"}, {"/quantity"}),
            ({"quantity": "1e3"}, {"/quantity"}),
            ({"quantity": "9" * 21}, {"/quantity"}),
            ({"quantity": "99999999999"}, {"/quantity"}),
            ({"unit_amount": "-1"}, {"/unit_amount"}),
            ({"unit_amount": "0.001"}, {"/unit_amount"}),
            ({"service_start": None}, {"/service_start"}),
            ({"service_end": "2026-11-12"}, {"/service_end"}),
            ({"service_end": "2026-02-30"}, {"/service_end"}),
            ({"bill": "never", "key": "a b", "other": 1}, {"/bill", "/key", "/other"}),
            ({"add_on": "x", "subscription": "y"}, {"/add_on", "/subscription"}),
            ({"note": "a\u202eb"}, {"/note"}),
            ({"note": "a" * 301}, {"/note"}),
        ],
    )
    def test_every_fault_is_named(
        self,
        caller: Caller,
        acme: Subscription,
        training: Any,
        fields: dict[str, Any],
        pointers: set[str],
    ) -> None:
        refused = caller().post(self.URL, {**self.BODY, **fields})
        assert refused.status_code == 400, refused.json()
        assert {error["pointer"] for error in refused.json()["errors"]} == pointers
        assert not SoldAddOn.objects.exists()

    def test_sent_again_it_is_sold_once(
        self, caller: Caller, acme: Subscription, training: Any
    ) -> None:
        client = caller()
        assert client.post(self.URL, self.BODY).status_code == 201
        again = client.post(self.URL, self.BODY)
        assert (again.status_code, again.json()["code"]) == (409, "key_taken")
        assert SoldAddOn.objects.count() == 1

    def test_lists_are_filtered_and_cost_the_same(
        self, caller: Caller, acme: Subscription, training: Any
    ) -> None:
        client = caller()
        make.sold_add_on(acme, training, key="a", bill=BillWhen.AT_ONCE)
        client.get(self.URL)  # which notes that the key was used
        one = queries(lambda: client.get(self.URL))
        for key in "bcd":
            make.sold_add_on(acme, training, key=key)
        assert queries(lambda: client.get(self.URL)) == one

        def keys(query: str) -> str:
            found = client.get(f"{self.URL}?{query}").json()["results"]
            return "".join(sold["key"] for sold in found)

        assert keys("status=waiting") == "bcd"
        assert keys("status=drafted") == "a"
        assert keys("subscription=acme-scale&key=c") == "c"
        assert keys("customer=nobody") == ""

    def test_who_may_only_read_sells_nothing(
        self, caller: Caller, acme: Subscription, training: Any
    ) -> None:
        client = caller("billing:read")
        assert client.get(self.URL).status_code == 200
        assert client.post(self.URL, self.BODY).status_code == 403
        assert caller("catalog:read").get(self.URL).status_code == 403


class TestAdmin:
    ADD = page("billing_soldaddon", "add")

    def form(self, client: Client, subscription: Subscription, add_on: Any, **fields: Any) -> Any:
        shown = client.get(f"{self.ADD}?subscription={subscription.pk}")
        assert shown.status_code == 200
        initial = shown.context["adminform"].form.initial
        values = {
            "subscription": initial["subscription"],
            "add_on": add_on.pk,
            "key": initial["key"],
            "quantity": "2",
            "unit_amount": "",
            "service_start": "2026-11-12",
            "last_day": "2026-11-13",
            "bill": "next_invoice",
            "note": "In Berlin",
        }
        return {**values, **fields}

    def test_sold_from_the_subscriptions_page_seen_there_and_withdrawn(
        self, acme: Subscription, training: Any
    ) -> None:
        client = anna()
        subscription_page = page("customers_subscription", "change", acme.pk)
        assert "It was sold no add-on. Sell an add-on…" in said(client.get(subscription_page))
        body = self.form(client, acme, training)
        told = said(client.post(self.ADD, body, follow=True))
        assert "Sold “Training”, 2 days × 900.00 EUR = 1,800.00 EUR: its next invoice" in told
        sold = SoldAddOn.objects.get()
        assert (sold.service_start, sold.service_end) == (date(2026, 11, 12), date(2026, 11, 14))
        assert sold.sold_by == "anna"
        told = said(client.get(subscription_page))
        assert "Training 2 days × 900.00 EUR = 1,800.00 EUR 12–13 Nov 2026 Waits for its" in told
        withdraw = page("billing_soldaddon", "withdraw", sold.pk)
        assert "No invoice will charge it" in said(client.get(withdraw))
        assert "This field is required" in said(client.post(withdraw, {"reason": ""}))
        told = said(client.post(withdraw, {"reason": "Sold twice"}, follow=True))
        assert "nobody is charged it" in told
        assert "Sold twice" in told
        assert (
            withdraw
            not in client.get(page("billing_soldaddon", "change", sold.pk)).content.decode()
        )

    def test_sent_twice_it_is_sold_once(self, acme: Subscription, training: Any) -> None:
        client = anna()
        body = self.form(client, acme, training)
        client.post(self.ADD, body)
        assert "It is sold already: this form was sent before." in said(client.post(self.ADD, body))
        assert SoldAddOn.objects.count() == 1

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"quantity": "0"}, "Sell more than 0 of it."),
            ({"quantity": "x"}, "Enter a number."),
            ({"unit_amount": "1.005"}, "EUR has 2 decimals; 1.005 has more."),
            ({"last_day": "2026-11-11"}, "It ends after 2026-11-12, on which it begins."),
            ({"service_start": ""}, "Say when it begins, too."),
        ],
    )
    def test_what_is_wrong_stands_at_its_field(
        self, acme: Subscription, training: Any, fields: dict[str, str], message: str
    ) -> None:
        client = anna()
        shown = said(client.post(self.ADD, self.form(client, acme, training, **fields)))
        assert message in shown
        assert not SoldAddOn.objects.exists()

    def test_at_once_the_draft_is_a_press_away(self, acme: Subscription, training: Any) -> None:
        client = anna()
        body = self.form(client, acme, training, bill="at_once", unit_amount="850")
        told = said(client.post(self.ADD, body, follow=True))
        assert "2 days × 850.00 EUR = 1,700.00 EUR: its draft is there" in told
        invoice = Invoice.objects.get()
        assert (
            page("billing_invoice", "change", invoice.pk)
            in client.get(
                page("billing_soldaddon", "change", SoldAddOn.objects.get().pk)
            ).content.decode()
        )
        shown = said(client.get(page("billing_invoice", "changelist")))
        assert "Add-ons" in shown
        discard = page("billing_invoice", "step", "discard")
        assert "Bill it anew" in said(client.get(f"{discard}?ids={invoice.pk}"))

    def test_who_may_not_sell_sells_nothing(self, acme: Subscription, training: Any) -> None:
        sold = make.sold_add_on(acme, training)
        listed = page("billing_soldaddon", "changelist")
        support = sam()
        for client, seen in ((support, 200), (stranger(), 403), (Client(), 302)):
            assert client.get(listed).status_code == seen
            assert client.post(self.ADD, {}).status_code == (302 if seen == 302 else 403)
            client.post(page("billing_soldaddon", "withdraw", sold.pk), {"reason": "x"})
        assert SoldAddOn.objects.get().withdrawn_at is None
        shown = said(support.get(page("customers_subscription", "change", acme.pk)))
        assert "Sell an add-on" not in shown

    def test_a_long_list_costs_the_same(self, acme: Subscription, training: Any) -> None:
        client, listed = nora(), page("billing_soldaddon", "changelist")
        assert "Sell an add-on to a subscription" in said(client.get(listed))
        make.sold_add_on(acme, training, bill=BillWhen.AT_ONCE)
        shown = page("customers_subscription", "change", acme.pk)
        client.get(shown)  # which sets up the sidebar
        few, boxes = queries(lambda: client.get(listed)), queries(lambda: client.get(shown))
        for _ in range(5):
            make.sold_add_on(acme, training, bill=BillWhen.AT_ONCE)
        assert queries(lambda: client.get(listed)) == few
        assert queries(lambda: client.get(shown)) == boxes


def test_the_paper_says_how_many_times_what_for_which_days(
    acme: Subscription, training: Any
) -> None:
    make.sold_add_on(
        acme,
        training,
        quantity=D("2.5"),
        note="In Berlin",
        service_start=date(2026, 11, 12),
        service_end=date(2026, 11, 15),
    )
    make.sold_add_on(acme, make.add_on(name="Setup fee"))
    [opening] = close(NOW)
    _, line, setup = present(opening, locale="en").lines
    assert (line.name, line.quantity, line.unit_price, line.net) == (
        "Training",
        "2.5 days",
        "900.00",
        "2,250.00",
    )
    assert (line.period, line.notes, line.rows) == ("Nov 12 – 14, 2026", ("In Berlin",), ())
    assert (setup.quantity, setup.unit_price, setup.period) == ("1", "490.00", "Nov 1, 2026")
    german = present(opening, locale="de").lines[1]
    assert (german.quantity, german.unit_price, german.net) == ("2,5 days", "900,00", "2.250,00")


def test_a_half_cent_is_a_row_of_its_own(acme: Subscription) -> None:
    make.sold_add_on(acme, make.add_on(name="Fee", unit_amount=D("0.05")), quantity=D("0.5"))
    [opening] = close(NOW)
    line = present(opening, locale="en").lines[1]
    assert [(row.label, row.amount) for row in line.rows] == [
        ("Per unit", "0.025"),
        ("Rounding", "0.005"),
    ]
    assert line.net == "0.03"


class TestPortal:
    def test_the_upcoming_and_the_issued_invoice_explain_it(
        self, acme: Subscription, training: Any
    ) -> None:
        make.sold_add_on(acme, training, quantity=D(2), note="In Berlin")
        ada = door.signed_in(door.contact(acme.customer, "ada@acme.test"))
        shown = said(ada.get(reverse("portal:upcoming", args=(acme.key,))))
        assert "Training" in shown
        assert "2 days × 900.00 = 1,800.00" in shown
        close(datetime(2026, 11, 10, 13, tzinfo=UTC))
        [opening] = Invoice.objects.all()
        shown = said(ada.get(reverse("portal:invoice", args=(opening.uuid,))))
        assert "2 days × 900.00 = 1,800.00" in shown
        assert "In Berlin" in shown

    @pytest.mark.parametrize(
        ("locale", "words"), [("en", "One-off charges"), ("de", "Einmalige Posten")]
    )
    def test_the_list_says_that_an_invoice_is_over_them_alone(
        self, training: Any, locale: str, words: str
    ) -> None:
        buyer = make.customer(locale=locale)
        subscription = make.subscription(buyer, starts_on=date(2026, 11, 1))
        make.sold_add_on(subscription, training, bill=BillWhen.AT_ONCE)
        close(NOW)
        client = door.signed_in(door.contact(buyer, "bob@b.test"))
        assert words in said(client.get(reverse("portal:invoices")))
        [alone] = Invoice.objects.filter(charges=None)
        assert client.get(reverse("portal:invoice", args=(alone.uuid,))).status_code == 200
