"""The portal as its readers use it: Ada of Fernwood, who pays; Bob of Brenner, who must see none of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import time_machine
from celery import current_app
from django.conf import settings as django_settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, reverse

from billing.models import CreditNote, Invoice
from billing.portal import french, spanish, words
from billing.presentation.colours import NIGHT, _contrast, on_dark
from billing.services import issuing
from catalog.models import Plan
from config import portal
from config.base.audit import SYSTEM
from customers import french as door_french
from customers import spanish as door_spanish
from customers import words as door_words
from customers.models import Contact, Customer, Issuer, Subscription
from customers.services import zoning
from metering.models import UsageEvent
from metering.services import adjustments
from metering.services.behind import Page
from tests import factories as make
from tests.billing.crediting import credit
from tests.billing.machine import ON
from tests.billing.months import close, use
from tests.customers import door
from tests.staff import said

pytestmark = [pytest.mark.django_db, pytest.mark.once]

NOVEMBER = datetime(2026, 11, 20, 12, tzinfo=UTC)
FIRST_HOURS = datetime(2026, 12, 1, 2, tzinfo=UTC)  # drafted, not issued
DECEMBER = datetime(2026, 12, 2, 9, tzinfo=UTC)
HOME = "/portal/"


@pytest.fixture(autouse=True)
def issuer() -> Issuer:
    """Northlight, the only seller, taxed at 19 percent."""
    Issuer.objects.update(
        name="Northlight",
        email="billing@northlight.example",
        tax_status="standard",
        standard_tax_rate=19,
    )
    return Issuer.objects.get()


@pytest.fixture
def november() -> Any:
    with time_machine.travel(NOVEMBER, tick=False):
        yield


def scale(customer: Customer, **terms: Any) -> Subscription:
    """Subscribe to 499 a month with 100,000 calls included, then 2.00 and 1.50 per 1,000."""
    calls = make.metric("api_calls", name="API calls", dimensions=["region"])
    version = make.published(
        make.flat(name="Base fee"),
        make.graduated(
            calls,
            "50000 @ 0.002, rest @ 0.0015",
            name="API calls",
            included_quantity=Decimal(100_000),
        ),
        currency=customer.currency,
    )
    return make.subscription(customer, version, **terms)


@pytest.fixture
def fernwood(november: None) -> Subscription:
    """Fernwood's subscription since 1 November, 187,340 calls so far, above since the 10th."""
    customer = make.customer("fernwood", name="Fernwood Analytics", locale="en-GB")
    subscription = scale(customer, key="fernwood-scale")
    use(subscription, datetime(2026, 11, 3, tzinfo=UTC), calls=60_000, region="eu")
    use(subscription, datetime(2026, 11, 10, tzinfo=UTC), calls=80_000, region="us")
    use(subscription, datetime(2026, 11, 19, tzinfo=UTC), calls=47_340, region="eu")
    return subscription


@pytest.fixture
def ada(fernwood: Subscription) -> Client:
    return door.signed_in(door.contact(fernwood.customer, "ada@fernwood.example"))


@pytest.fixture
def bob(november: None) -> Client:
    brenner = make.customer("brenner", name="Brenner Logistik", locale="de-DE")
    return door.signed_in(door.contact(brenner, "bob@brenner.example"))


def issued(subscription: Subscription, *, at: datetime = DECEMBER) -> Invoice:
    """Close what is over at that moment, which issues what is a day old; return the last invoice."""
    with time_machine.travel(at, tick=False):
        close(at)
    return Invoice.objects.filter(customer=subscription.payer or subscription.customer).latest("pk")


def electronic(subscription: Subscription) -> Invoice:
    """Issue what is over as an electronic invoice."""
    Issuer.objects.update(**ON)
    Customer.objects.filter(pk=subscription.customer_id).update(country="DE")
    return issued(subscription)


class TestTheFirstPage:
    def test_it_says_what_the_next_invoice_comes_to(self, ada: Client) -> None:
        page = said(ada.get(HOME))
        assert "November 2026 so far" in page
        assert "Fernwood Analytics · " in page
        assert "€779.46 €655.01 net + €124.45 VAT" in page
        assert "2 December 2026 on its own, a day after the period ends · 10 days left" in page

    def test_a_metric_says_used_included_over_and_since_when(self, ada: Client) -> None:
        page = said(ada.get(HOME))
        assert "used 187,340 included 100,000 over so far 87,340 comes to €156.01" in page
        assert "You passed the allowance on 10 November 2026." in page
        assert "Each further 1,000 calls cost €1.50." in page
        assert "3 events, counted until 20 Nov 2026" in page

    def test_its_figures_are_those_of_the_invoice(
        self, ada: Client, fernwood: Subscription
    ) -> None:
        expected = re.findall(r"comes to (€[\d.,]+)", said(ada.get(HOME)))
        invoice = issued(fernwood)
        usage = [f"€{line.net:.2f}" for line in invoice.lines.all() if line.kind == "usage"]
        assert expected == usage

    def test_within_the_allowance_it_says_how_much_is_left(self, november: None) -> None:
        subscription = scale(make.customer("small", locale="en-GB"))
        use(subscription, datetime(2026, 11, 3, tzinfo=UTC), calls=30_000)
        page = said(door.signed_in(door.contact(subscription.customer)).get(HOME))
        assert "You are within the allowance: 70,000 calls left." in page
        assert "Beyond it, each 1,000 calls cost €2.00, and €1.50 beyond 150,000." in page

    def test_nothing_running_says_what_will_be_here(self, bob: Client) -> None:
        page = said(bob.get(HOME))
        assert "Zur Zeit läuft nichts" in page
        assert "Die erste erscheint hier, sobald sie ausgestellt ist" in page

    def test_a_later_start_is_announced(self, november: None) -> None:
        subscription = make.subscription(
            make.customer(locale="en-GB"), starts_on=date(2026, 12, 24)
        )
        page = said(door.signed_in(door.contact(subscription.customer)).get(HOME))
        assert "begins on 24 December 2026." in page

    def test_a_trial_counts_and_does_not_charge(self, november: None) -> None:
        calls = make.metric("api_calls", name="API calls")
        version = make.published(
            make.flat(), make.graduated(calls, "rest @ 0.01", name="API calls"), trial_days=30
        )
        subscription = make.subscription(make.customer(locale="en-GB"), version)
        use(subscription, datetime(2026, 11, 3, tzinfo=UTC), calls=500)
        page = said(door.signed_in(door.contact(subscription.customer)).get(HOME))
        assert "Trial until 30 November 2026" in page
        assert "used 500" in page
        assert "not charged in the trial" in page

    def test_two_sellers_that_nobody_chose_between_stop_no_page(
        self, ada: Client, issuer: Issuer
    ) -> None:
        Issuer.objects.create(name="Southlight", legal_name="Southlight")
        page = said(ada.get(HOME))
        assert "The next invoice can't be shown yet" in page

    def test_of_many_subscriptions_it_says_that_some_are_left_out(
        self, ada: Client, fernwood: Subscription, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("billing.portal.usage.SUBSCRIPTIONS", 1)
        [phase] = fernwood.phases.all()
        assert "Only the first" not in said(ada.get(HOME))
        make.subscription(fernwood.customer, phase.plan_version)
        assert "Only the first 1 subscriptions are shown" in said(ada.get(HOME))

    @pytest.mark.parametrize(
        ("locale", "so_far"),
        [
            ("de-DE", "November 2026 bisher"),
            ("fr-FR", "Novembre 2026, à ce jour"),
            ("es-ES", "Noviembre de 2026, hasta ahora"),
        ],
    )
    def test_words_are_in_the_customers_language(
        self, november: None, locale: str, so_far: str
    ) -> None:
        subscription = scale(make.customer("brenner", locale=locale))
        page = said(door.signed_in(door.contact(subscription.customer)).get(HOME))
        assert so_far in page
        assert "593,81 €" in page


class TestWhoPays:
    @pytest.fixture
    def group(self, november: None) -> tuple[Client, Client, Subscription]:
        """Holding, which pays, and Works, which uses."""
        holding, works = (make.customer(key, locale="en-GB") for key in ("holding", "works"))
        subscription = scale(works, key="works-scale", payer=holding)
        use(subscription, datetime(2026, 11, 3, tzinfo=UTC), calls=1_000)
        clients = [door.signed_in(door.contact(one, f"a@{one.key}.x")) for one in (holding, works)]
        return clients[0], clients[1], subscription

    def test_the_payer_sees_money_and_no_days(
        self, group: tuple[Client, Client, Subscription]
    ) -> None:
        payer, _, _ = group
        page = payer.get(HOME)
        assert "Used by Works" in said(page)
        assert "€593.81" in said(page)
        assert "chart-usage" not in page.content.decode()
        assert payer.get("/portal/upcoming/works-scale/").status_code == 200
        assert payer.get("/portal/usage/api_calls/").status_code == 404

    def test_the_user_sees_days_and_no_money(
        self, group: tuple[Client, Client, Subscription]
    ) -> None:
        _, user, subscription = group
        page = user.get(HOME)
        assert "Paid by Holding" in said(page)
        assert "€" not in said(page)
        assert "chart-usage" in page.content.decode()
        assert user.get("/portal/upcoming/works-scale/").status_code == 404
        plan = said(user.get("/portal/plan/"))
        assert "Paid by Holding." in plan
        assert "flat fee" not in plan
        assert user.get("/portal/usage/api_calls/").status_code == 200

    def test_invoices_go_to_the_payer_alone(
        self, group: tuple[Client, Client, Subscription]
    ) -> None:
        payer, user, subscription = group
        url = reverse("portal:invoice", args=(issued(subscription).uuid,))
        assert payer.get(url).status_code == 200
        assert user.get(url).status_code == 404


class TestAnInvoice:
    def test_every_line_is_explained_in_place(self, ada: Client, fernwood: Subscription) -> None:
        invoice = issued(fernwood)
        page = said(ada.get(reverse("portal:invoice", args=(invoice.uuid,))))
        assert str(invoice.number) in page
        assert (
            "First 50,000 calls over 50,000 × 2.00 per 1,000 50,000 2.00 per 1,000 100.00" in page
        )
        assert "Above 50,000 calls over 37,340 × 1.50 per 1,000 37,340 1.50 per 1,000 56.01" in page
        assert "187,340 calls · 3 events, counted until" in page
        assert "100,000 are included; 87,340 are over." in page
        assert (
            "How to check this Add up the events of these days, and take off what is included: "
            "87,340 left. In each row, quantity × price gives the amount: "
            "50,000 × 2.00 per 1,000 = 100.00; 37,340 × 1.50 per 1,000 = 56.01. Together: 156.01."
            in page
        )
        assert "Invoice total €779.46" in page

    @pytest.mark.parametrize(
        ("locale", "used", "counted", "floor"),
        [
            (
                "en-GB",
                "1–30 Nov 2026 · used 7 · included none How this is made up",
                "Counted 7 calls · 1 event,",
                "Minimum charge: Usage 18.00 1–30 Nov 2026 How this is made up",
            ),
            (
                "de-DE",
                "1.–30. Nov. 2026 · genutzt 7 · nichts enthalten",
                "Gezählt 7 calls · 1 Ereignis,",
                "18,00 1.–30. Nov. 2026 Wie sich das zusammensetzt",
            ),
        ],
    )
    def test_its_lines_say_what_there_is_and_no_more(
        self, november: None, locale: str, used: str, counted: str, floor: str
    ) -> None:
        """Nothing is included, so what is over is what was used; a minimum has no quantity."""
        ladder = make.graduated(make.metric(), "rest @ 1", minimum=Decimal(25))
        small = make.customer("small", locale=locale)
        subscription = make.subscription(small, make.published(ladder))
        use(subscription, datetime(2026, 11, 3, tzinfo=UTC), calls=7)
        reader = door.signed_in(door.contact(small))
        page = said(reader.get(reverse("portal:invoice", args=(issued(subscription).uuid,))))
        for words_ in (used, counted, floor):
            assert words_ in page

    def test_the_list_says_which_one_asks_for_the_first_fee(self, fernwood: Subscription) -> None:
        issued(fernwood)
        with time_machine.travel(DECEMBER, tick=False):
            ada = door.signed_in(door.contact(fernwood.customer))
            page = ada.get("/portal/invoices/")
        spans = [row["period"] for row in page.context["invoices"]]
        assert sorted(spans) == ["1–30 Nov 2026", "1–30 Nov 2026 · first fee in advance"]

    def test_a_draft_is_nobodys_business(self, ada: Client, fernwood: Subscription) -> None:
        [draft] = [one for one in close(FIRST_HOURS) if one.is_open]
        for name in ("invoice", "pdf", "xml"):
            assert ada.get(reverse(f"portal:{name}", args=(draft.uuid,))).status_code == 404
        assert "Oct" not in said(ada.get("/portal/invoices/"))

    def test_a_void_one_is_void_everywhere(self, ada: Client, fernwood: Subscription) -> None:
        invoice = issued(fernwood)
        issuing.void_invoice(
            invoice_id=invoice.pk, reason="Wrong", reopen=True, at=DECEMBER, actor=SYSTEM
        )
        assert "void" in said(ada.get("/portal/invoices/"))
        page = said(ada.get(reverse("portal:invoice", args=(invoice.uuid,))))
        assert "Nothing to pay: this invoice is void" in page

    @pytest.mark.parametrize(
        ("days", "paid", "told"),
        [
            pytest.param(0, "", "due 1 Jan 2027", id="not yet due"),
            pytest.param(30, "", "due 1 Jan 2027", id="still on its day"),
            pytest.param(31, "", "overdue since 1 Jan 2027", id="the day after"),
            pytest.param(0, "100", "due 1 Jan 2027", id="what is left of it is due"),
            pytest.param(31, "all", "paid", id="paid it is never overdue"),
        ],
    )
    def test_it_is_due_until_it_is_overdue_or_paid(
        self, fernwood: Subscription, days: int, paid: str, told: str
    ) -> None:
        invoice = issued(fernwood)
        if paid:
            amount = str(invoice.total) if paid == "all" else paid
            make.payment(fernwood.customer, amount, portions={invoice: amount}, at=DECEMBER)
        with time_machine.travel(DECEMBER + timedelta(days=days), tick=False):
            ada = door.signed_in(door.contact(fernwood.customer))
            page = said(ada.get(reverse("portal:invoice", args=(invoice.uuid,))))
        assert told in page
        assert ("overdue" in told) == ("overdue" in page)

    def test_it_says_what_is_still_to_pay(self, fernwood: Subscription) -> None:
        invoice = issued(fernwood)
        make.payment(fernwood.customer, "100", portions={invoice: "100"}, at=DECEMBER)
        with time_machine.travel(DECEMBER, tick=False):
            ada = door.signed_in(door.contact(fernwood.customer))
            page = said(ada.get(reverse("portal:invoice", args=(invoice.uuid,))))
        left = f"€{invoice.total - 100:,.2f}"
        assert f"{left} due 1 Jan 2027 Still to pay {left}" in page

    def test_its_pdf_is_a_download(self, ada: Client, fernwood: Subscription) -> None:
        invoice = issued(fernwood)
        answer = ada.get(reverse("portal:pdf", args=(invoice.uuid,)))
        assert answer.content.startswith(b"%PDF-")
        assert (
            answer.headers["Content-Disposition"] == f'attachment; filename="{invoice.number}.pdf"'
        )
        assert answer.headers["Cache-Control"] == "private, no-store"

    def test_a_pdf_that_workers_make_is_waited_for(
        self, ada: Client, fernwood: Subscription, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        invoice = issued(fernwood)
        monkeypatch.setitem(current_app.conf, "task_always_eager", False)
        nudged: list[str] = []
        monkeypatch.setattr("billing.tasks.nudge_outbox", lambda: nudged.append("outbox"))
        answer = ada.get(reverse("portal:pdf", args=(invoice.uuid,)))
        assert answer.status_code == 202
        assert answer.headers["Refresh"] == "3; url=?waited"
        assert "The PDF is being made" in said(answer)
        assert nudged == ["outbox"]

    def test_who_waited_for_a_pdf_sees_that_it_is_ready(
        self, ada: Client, fernwood: Subscription
    ) -> None:
        address = reverse("portal:pdf", args=(issued(fernwood).uuid,))
        answer = ada.get(address, {"waited": ""})
        assert (answer.status_code, answer.headers["Refresh"]) == (200, f"0; url={address}")
        assert "The PDF is ready" in said(answer)
        assert "being made" not in said(answer)

    def test_the_one_on_its_way_has_the_same_shape(self, ada: Client) -> None:
        page = said(ada.get("/portal/upcoming/fernwood-scale/"))
        assert "It is issued from 2 December 2026" in page
        assert "Above 50,000 calls over" in page
        assert "Invoice total €779.46" in page
        assert not Invoice.objects.exists()

    def test_the_list_is_paged(
        self, ada: Client, fernwood: Subscription, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("billing.portal.invoices.PER_PAGE", 1)
        for month in (datetime(2026, 12, 3, tzinfo=UTC), datetime(2027, 1, 3, tzinfo=UTC)):
            issued(fernwood, at=month)
        first = ada.get("/portal/invoices/")
        assert "Page 1 of 3 Older" in said(first)
        assert "Newer Page 2 of 3 Older" in said(ada.get("/portal/invoices/?page=2"))
        for wild in ("99", "x", "-1", ""):
            assert ada.get(f"/portal/invoices/?page={wild}").status_code == 200


class TestAMetric:
    URL = "/portal/usage/api_calls/"

    def test_it_shows_this_month_by_default(self, ada: Client) -> None:
        page = said(ada.get(self.URL))
        assert "1–20 Nov 2026" in page
        assert "187,340 calls used in this time, in 3 events." in page

    def test_it_is_broken_down(self, ada: Client) -> None:
        page = said(ada.get(self.URL, {"by": "region"}))
        assert "eu 107,340 57.3 % 2" in page
        assert "us 80,000 42.7 % 1" in page

    def test_the_usual_times_are_a_press_away(self, ada: Client) -> None:
        spans = {}
        for name, url, _ in ada.get(self.URL).context["shortcuts"]:
            answer = ada.get(f"{self.URL}{url}")
            spans[name] = answer.context["span"]
            assert [label for label, _, shown in answer.context["shortcuts"] if shown] == [name]
        assert spans == {
            "This month": "1–20 Nov 2026",
            "Last month": "1–31 Oct 2026",
            "Twelve months": "1 Dec 2025 – 20 Nov 2026",
        }

    @pytest.mark.parametrize("step", ["hour", "day", "month"])
    def test_its_bars_lead_closer(self, ada: Client, step: str) -> None:
        answer = ada.get(self.URL, {"from": "2026-11-03", "to": "2026-11-10", "step": step})
        links = re.findall(r'href="(/portal/usage/[^"]+)"', answer.content.decode())
        assert links
        assert all(("/events/" in link) == (step != "month") for link in links[2:])
        for link in links:
            assert ada.get(link.replace("&amp;", "&")).status_code == 200

    def test_its_csv_adds_up_and_is_no_formula(self, ada: Client, fernwood: Subscription) -> None:
        use(fernwood, datetime(2026, 11, 5, tzinfo=UTC), calls=1, region="=1+1")
        answer = ada.get(self.URL, {"by": "region", "format": "csv"})
        head, *rows = answer.content.decode().splitlines()
        assert head == "from,to,calls,eu,us,'=1+1"
        assert len(rows) == 20
        assert sum(int(row.split(",")[2]) for row in rows) == 187_341
        assert rows[0].startswith("2026-11-01T00:00:00+00:00,2026-11-02T00:00:00+00:00,0,")

    @pytest.mark.parametrize(
        ("query", "says"),
        [
            ("from=2026-11-10&to=2026-11-09", "Choose a first day that is not after the last one."),
            ("from=2026-11-21", "Choose a first day that is not after the last one."),
            ("from=yesterday", "“from=yesterday” is no day."),
            ("to=2026-13-01", "“to=2026-13-01” is no day. Write it as in to=2026-11-30."),
            ("from=0001-01-01", "“from=0001-01-01” is out of reach."),
            ("to=9999-12-31", "“to=9999-12-31” is out of reach. Choose a time from 1970 to 2200."),
            ("step=second", "“step=second” is no length of a bar. Choose hour, day or month."),
            ("by=colour", "“by=colour” is nothing that this usage is split by."),
            ("by=colour", "Choose one of these: region."),
            ("from=2020-01-01&step=hour", "That would be more than 400 bars."),
        ],
    )
    def test_what_cant_be_shown_is_said(self, ada: Client, query: str, says: str) -> None:
        answer = ada.get(f"{self.URL}?{query}")
        assert answer.status_code == 400
        assert 'role="alert"' in answer.content.decode()
        assert says in said(answer)
        assert "This month" in said(answer)

    def test_a_last_day_alone_ends_its_month_so_far(self, ada: Client) -> None:
        assert "1–9 Oct 2026" in said(ada.get(self.URL, {"to": "2026-10-09"}))

    def test_a_metric_that_one_is_not_charged_for_is_not_there(self, ada: Client) -> None:
        make.metric("secret_metric")
        assert ada.get("/portal/usage/secret_metric/").status_code == 404


class TestSingleEvents:
    URL = "/portal/usage/api_calls/events/"

    def test_a_bar_leads_to_the_events_of_its_day(self, ada: Client) -> None:
        bars = "/portal/usage/api_calls/"
        for page_ in (HOME, bars, f"{bars}?from=2026-11-10&to=2026-11-10&step=hour"):
            links = re.findall(r'href="([^"]+/events/[^"]+)"', ada.get(page_).content.decode())
            shown = [said(ada.get(link.replace("&amp;", "&"))) for link in links]
            assert any("80,000 calls used in this time, in 1 event." in page for page in shown)

    def test_days_are_the_customer_s_and_what_each_event_counted_is_said(
        self, ada: Client, fernwood: Subscription
    ) -> None:
        Customer.objects.filter(pk=fernwood.customer_id).update(time_zone="America/New_York")
        use(fernwood, datetime(2026, 11, 11, 4, 59, 59, tzinfo=UTC), calls=5, region="eu", id="eve")
        use(fernwood, datetime(2026, 11, 11, 5, tzinfo=UTC), calls=7, region="us", id="dawn")
        page = said(ada.get(self.URL, {"from": "2026-11-10", "to": "2026-11-10"}))
        assert "10 Nov 2026" in page
        assert "Time zone: America/New_York." in page
        assert "10 Nov 2026, 23:59:59 eu eve eu eve 5" in page
        assert "dawn" not in page

    def test_what_was_corrected_is_shown_with_both_values(
        self, ada: Client, fernwood: Subscription
    ) -> None:
        correct(fernwood)
        html = ada.get(self.URL, {"from": "2026-11-12", "to": "2026-11-12"}).content.decode()
        assert re.search(r"<s[^>]*>1,000</s>\s*<span[^>]*>void</span>", html)
        assert re.search(r"<s[^>]*>2,000</s>\s*20\s*<span[^>]*>corrected</span>", html)
        assert "20 calls used in this time, in 1 event." in html
        assert "A secret reason." not in html

    def test_its_csv_has_the_very_events_and_no_formula(
        self, ada: Client, fernwood: Subscription
    ) -> None:
        correct(fernwood)
        use(fernwood, datetime(2026, 11, 12, 9, tzinfo=UTC), calls=-3, region="@eu", id="=1+1")
        page = ada.get(self.URL, {"from": "2026-11-12", "to": "2026-11-12"})
        answer: Any = ada.get(page.context["csv_url"])
        assert answer.streaming
        assert answer.headers["Cache-Control"] == "private, no-store"
        assert b"".join(answer.streaming_content).decode().splitlines() == [
            "time,id,source,counts,before,correction,region",
            "2026-11-12T00:00:00+00:00,gone,test,,1000,void,eu",
            "2026-11-12T00:00:00+00:00,less,test,20,2000,replace,us",
            "2026-11-12T09:00:00+00:00,'=1+1,test,-3,,,'@eu",
        ]

    def test_pages_have_every_event_once_at_the_same_cost(
        self, ada: Client, fernwood: Subscription, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        url = f"{self.URL}?from=2026-11-13&to=2026-11-13"
        use(fernwood, datetime(2026, 11, 13, tzinfo=UTC), calls=1, region="eu", id="n0")
        before = queries(ada, url)
        for number in range(1, 9):
            use(fernwood, datetime(2026, 11, 13, tzinfo=UTC), calls=1, region="eu", id=f"n{number}")
        assert queries(ada, url) == before <= 10
        monkeypatch.setattr("metering.services.behind.PER_PAGE", 4)
        seen, pages = [], 0
        while url:
            answer = ada.get(url)
            seen += [row["id"] for row in answer.context["rows"]]
            url, pages = answer.context["later_url"], pages + 1
        assert (sorted(seen), pages) == ([f"n{number}" for number in range(9)], 3)

    def test_where_there_is_none_it_says_so(self, ada: Client) -> None:
        page = said(ada.get(self.URL, {"from": "2026-11-04", "to": "2026-11-04"}))
        assert "No event lies in this time." in page
        assert "CSV" not in page

    def test_what_is_archived_is_not_called_missing(
        self, ada: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The usage of an archived month stays; its events went to a file."""
        monkeypatch.setattr("billing.portal.events.page_behind", lambda **_: Page([], ""))
        page = said(ada.get(self.URL, {"from": "2026-11-03", "to": "2026-11-03"}))
        assert "The single events of this time are in the archive by now." in page

    @pytest.mark.parametrize(
        ("query", "span"),
        [
            ({}, "1–20 Nov 2026"),
            ({"from": "2026-11-09"}, "9–20 Nov 2026"),
            ({"from": "2026-11-09T00:00:00Z"}, "9–20 Nov 2026"),
            ({"to": "2026-10-31"}, "1–31 Oct 2026"),
            ({"to": "2026-11-01T00:00:00Z"}, "1–31 Oct 2026"),
        ],
    )
    def test_what_is_left_out_is_the_month_so_far(
        self, ada: Client, query: dict[str, str], span: str
    ) -> None:
        answer = ada.get(self.URL, query)
        assert (answer.status_code, answer.context["span"]) == (200, span)

    @pytest.mark.parametrize(
        ("start", "end", "says"),
        [
            ("2026-11-10", "2026-11-09", "Choose a first day that is not after the last one."),
            ("soon", "2026-11-09", "“from=soon” is no day."),
            ("2026-11-10T00:00", "2026-11-11", "“from=2026-11-10T00:00” is no moment."),
            ("0001-01-01", "2026-11-11", "“from=0001-01-01” is out of reach."),
            ("2026-11-01", "9999-12-31", "“to=9999-12-31” is out of reach."),
            ("1970-01-01T00:00:00+01:00", "2026-11-11", "is out of reach."),
            ("2026-11-01", "2999-01-01T00:00:00Z", "is out of reach."),
            ("1970-01-02", "2200-01-01", "Choose a shorter time."),
        ],
    )
    def test_what_cant_be_shown_is_said(self, ada: Client, start: str, end: str, says: str) -> None:
        answer = ada.get(self.URL, {"from": start, "to": end})
        assert answer.status_code == 400
        assert 'role="alert"' in answer.content.decode()
        assert says in said(answer)
        assert f'href="{self.URL}"' in answer.content.decode()

    def test_a_wild_place_to_go_on_from_is_the_start(self, ada: Client) -> None:
        asked = {"from": "2026-11-03", "to": "2026-11-03"}
        for wild in ("x", "2026-11-03T00:00:00Z 1e5", f"2026-11-03T00:00:00Z {'9' * 30}"):
            assert ada.get(self.URL, {**asked, "after": wild}).status_code == 200

    def test_who_only_pays_does_not_see_them(self, fernwood: Subscription) -> None:
        payer = make.customer("holding")
        Subscription.objects.filter(pk=fernwood.pk).update(payer=payer)
        pay = door.signed_in(door.contact(payer, "pay@holding.example"))
        asked = {"from": "2026-11-03", "to": "2026-11-03"}
        assert pay.get(self.URL, asked).status_code == 404

    def test_in_german(self, ada: Client, fernwood: Subscription) -> None:
        correct(fernwood)
        Customer.objects.filter(pk=fernwood.customer_id).update(locale="de-DE")
        page = said(ada.get(self.URL, {"from": "2026-11-12", "to": "2026-11-12"}))
        assert "API calls: einzelne Ereignisse" in page
        assert "1.000 storniert" in page
        assert "2.000 20 berichtigt" in page


def correct(subscription: Subscription) -> None:
    """Void one event of 12 November, and let another count 20 where it counted 2,000."""
    at = datetime(2026, 11, 12, tzinfo=UTC)
    use(subscription, at, calls=1_000, region="eu", id="gone")
    use(subscription, at, calls=2_000, region="us", id="less")
    gone, less = (UsageEvent.objects.get(event_id=id).key for id in ("gone", "less"))
    said_why: dict[str, Any] = {"reason": "A secret reason.", "at": at, "actor": SYSTEM}
    adjustments.void_events(keys=[gone], **said_why)
    adjustments.replace_event(key=less, data={"calls": 20, "region": "us"}, **said_why)


class TestPlanAndAccount:
    def test_prices_are_sentences(self, ada: Client) -> None:
        page = said(ada.get("/portal/plan/"))
        assert "A flat fee of 499.00." in page
        assert "100,000 calls included, then 2.00 per 1,000 for the first 50,000" in page
        assert "Billed every month · since 1 November 2026 · time zone UTC" in page

    @pytest.mark.parametrize(
        ("locale", "said_as"),
        [
            ("en-GB", "Time zone of Scale UTC, from 1 December 2026 America/New York"),
            ("de-DE", "Zeitzone von Scale UTC, ab 1. Dezember 2026 America/New York"),
            (
                "fr-FR",
                "Fuseau horaire de Scale UTC, à partir du 1er décembre 2026 America/New York",
            ),
            (
                "es-ES",
                "Zona horaria de Scale UTC, desde el 1 de diciembre de 2026 America/New York",
            ),
        ],
    )
    def test_the_account_says_which_time_zone_a_subscription_is_still_on(
        self, ada: Client, fernwood: Subscription, locale: str, said_as: str
    ) -> None:
        assert "Time zone of" not in said(ada.get("/portal/account/"))
        Plan.objects.update(name="Scale")
        zone = "America/New_York"
        customer = Customer.objects.filter(pk=fernwood.customer_id)
        customer.update(time_zone=zone, locale=locale)
        assert "Scale UTC" in said(ada.get("/portal/account/"))
        zoning.change_time_zone(
            subscription_id=fernwood.pk, time_zone=zone, today=date(2026, 11, 12), actor=SYSTEM
        )
        assert said_as in said(ada.get("/portal/account/"))
        assert said_as.partition(" UTC")[2] in said(ada.get("/portal/plan/"))

    def test_the_account_says_who_gets_invoices(self, ada: Client, fernwood: Subscription) -> None:
        door.contact(fernwood.customer, "ed@fernwood.example", receives_invoices=False)
        page = said(ada.get("/portal/account/"))
        assert "ada@fernwood.example (you) yes" in page
        assert "ed@fernwood.example no" in page
        assert "Write to billing@northlight.example" in page

    def test_a_long_address_breaks_after_its_at_sign(self, ada: Client) -> None:
        html = ada.get("/portal/account/").content.decode()
        assert "ada@<wbr>fernwood.example" in html


def test_terms_are_as_wide_for_strangers_as_for_customers(
    ada: Client, fernwood: Subscription
) -> None:
    version = fernwood.phases.get().plan_version
    url = reverse("portal:terms", args=(version.plan.key, version.number))
    for reader in (Client(), ada):
        assert 'class="door"' not in reader.get(url).content.decode()
    assert 'class="door"' in Client().get("/portal/sign-in/").content.decode()


# The account


def test_the_statement_tells_what_was_billed_and_paid(fernwood: Subscription, ada: Client) -> None:
    invoice = issued(fernwood)
    make.payment(fernwood.customer, "100", portions={invoice: "100"}, at=DECEMBER, reference="Wire")
    make.payment(make.customer("stranger"), "77", at=DECEMBER, reference="Hidden")
    with time_machine.travel(DECEMBER + timedelta(days=1), tick=False):
        ada = door.signed_in(door.contact(fernwood.customer, "ada2@customer.example"))
        page = said(ada.get("/portal/statement/"))
        pdf = ada.get("/portal/statement/pdf/")
        earlier = said(ada.get("/portal/statement/?until=2026-11-30"))
        odd = ada.get("/portal/statement/?until=2026-13-45&currency=XXX")
    billed = sum(one.total for one in Invoice.objects.filter(status="issued"))
    assert f"To pay: €{billed - 100:,.2f}" in page
    assert "Wire" in page
    assert "Hidden" not in page
    assert pdf.content.startswith(b"%PDF-")
    assert "Wire" not in earlier
    assert odd.status_code == 200


# Every route: strangers, others, methods, headers


def routes() -> list[URLPattern]:
    return list(portal.urlpatterns)


PUBLIC = {
    "sign_in",
    "sign_in_sent",
    "sign_in_confirm",
    "sign_in_link",
    "sign_out",
    "colours",
    "terms",
    "terms_pdf",
    "calculator",
    "plan_calculator",
}
POSTED = {
    "sign_in", "sign_in_sent", "sign_in_confirm", "sign_out", "choose", "language", "dispute",
}  # fmt: skip
Address = Callable[[Subscription], list[Any]]


def credited(subscription: Subscription) -> CreditNote:
    """A credit of some of the November invoice; one, however often it is asked for."""
    invoice = issued(subscription)
    return invoice.credit_notes.first() or credit(invoice, "base fee 1", at=DECEMBER)


def credited_electronically(subscription: Subscription) -> CreditNote:
    invoice = electronic(subscription)
    return invoice.credit_notes.first() or credit(invoice, "base fee 1", at=DECEMBER)


OF_A_CUSTOMER: dict[str, Address] = {
    "metric": lambda subscription: ["api_calls"],
    "events": lambda subscription: ["api_calls"],
    "upcoming": lambda subscription: [subscription.key],
    "invoice": lambda subscription: [issued(subscription).uuid],
    "pdf": lambda subscription: [issued(subscription).uuid],
    "xml": lambda subscription: [electronic(subscription).uuid],
    "dispute": lambda subscription: [issued(subscription).uuid],
    "credit_note": lambda subscription: [credited(subscription).uuid],
    "credit_note_pdf": lambda subscription: [credited(subscription).uuid],
    "credit_note_xml": lambda subscription: [credited_electronically(subscription).uuid],
}
MISSING = {
    "metric": ["nothing"],
    "events": ["nothing"],
    "upcoming": ["nothing"],
    "invoice": ["00000000-0000-0000-0000-000000000000"],
    "pdf": ["00000000-0000-0000-0000-000000000000"],
    "xml": ["00000000-0000-0000-0000-000000000000"],
    "dispute": ["00000000-0000-0000-0000-000000000000"],
    "credit_note": ["00000000-0000-0000-0000-000000000000"],
    "credit_note_pdf": ["00000000-0000-0000-0000-000000000000"],
    "credit_note_xml": ["00000000-0000-0000-0000-000000000000"],
}
ANY_TIME = {"from": "2026-11-01", "to": "2026-11-30"}
PLAIN = {
    "usage", "invoices", "plan", "account", "choose", "language", "statement", "statement_pdf",
}  # fmt: skip


def test_every_route_is_in_one_of_these_lists() -> None:
    """A new route fails here until somebody says who may see it, and it is walked below."""
    assert {str(route.name) for route in routes()} == PUBLIC | PLAIN | set(OF_A_CUSTOMER)


def body(answer: Any) -> str:
    return re.sub(r'value="[A-Za-z0-9]{64}"|value="/portal/[^"]*"', "", answer.content.decode())


@pytest.mark.parametrize("name", sorted(PLAIN | set(OF_A_CUSTOMER)))
@pytest.mark.parametrize("method", ["get", "post"])
def test_a_stranger_is_sent_to_the_door(
    name: str, method: str, ada: Client, fernwood: Subscription
) -> None:
    args = OF_A_CUSTOMER[name](fernwood) if name in OF_A_CUSTOMER else []
    answer = getattr(Client(), method)(reverse(f"portal:{name}", args=args))
    if answer.status_code != 405:
        assert (answer.status_code, answer.headers["Location"]) == (302, "/portal/sign-in/")


@pytest.mark.parametrize("name", sorted(OF_A_CUSTOMER))
def test_anothers_is_as_missing_as_what_there_is_not(
    name: str, ada: Client, bob: Client, fernwood: Subscription
) -> None:
    theirs = reverse(f"portal:{name}", args=OF_A_CUSTOMER[name](fernwood))
    nothing = reverse(f"portal:{name}", args=MISSING[name])
    assert ada.get(theirs, ANY_TIME).status_code == 200
    seen, gone = bob.get(theirs), bob.get(nothing)
    assert (seen.status_code, gone.status_code) == (404, 404)
    assert body(seen) == body(gone)
    assert sorted(seen.headers) == sorted(gone.headers)


@pytest.mark.parametrize("name", sorted(POSTED))
def test_nothing_is_posted_without_a_token(name: str, ada: Client) -> None:
    careful = Client(enforce_csrf_checks=True)
    if not name.startswith("sign_in_"):  # there who is in already goes on
        careful.cookies = ada.cookies
    answer = careful.post(reverse(f"portal:{name}", args=MISSING.get(name)))
    assert answer.status_code == 403
    assert "That took too long, or came from elsewhere" in said(answer)


@pytest.mark.parametrize("name", sorted((PLAIN | set(OF_A_CUSTOMER)) - POSTED))
def test_reading_takes_no_post(name: str, ada: Client, fernwood: Subscription) -> None:
    args = OF_A_CUSTOMER[name](fernwood) if name in OF_A_CUSTOMER else []
    assert ada.post(reverse(f"portal:{name}", args=args)).status_code == 405


def pages(ada: Client, fernwood: Subscription) -> list[Any]:
    """Return every page that is read, and the door's."""
    names = sorted(
        (PLAIN | set(OF_A_CUSTOMER) | PUBLIC)
        - {"language", "sign_out", "pdf", "xml", "terms_pdf", "statement_pdf", "credit_note_pdf"}
        - {"credit_note_xml"}
    )
    version = fernwood.phases.get().plan_version
    args = {
        **{name: OF_A_CUSTOMER[name](fernwood) for name in ("metric", "events", "upcoming")},
        "sign_in_link": ["a" * 43],
        "colours": ["0f5c5c"],
        "terms": [version.plan.key, version.number],
        "calculator": [version.plan.key, version.number],
        "plan_calculator": [version.plan.key],
    }
    found = [
        (name, ada.get(reverse(f"portal:{name}", args=args.get(name, [])), ANY_TIME))
        for name in names
        if name not in ("invoice", "credit_note", "dispute")
    ]
    for name in ("invoice", "credit_note", "dispute"):
        address = reverse(f"portal:{name}", args=OF_A_CUSTOMER[name](fernwood))
        found.append((name, ada.get(address)))
    return found


def test_pages_are_nobodys_to_keep_frame_or_script(ada: Client, fernwood: Subscription) -> None:
    for name, answer in pages(ada, fernwood):
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy, name
        assert "frame-ancestors 'none'" in policy, name
        assert "unsafe" not in policy, name
        if name != "colours":
            assert answer.headers["Cache-Control"] == "private, no-store", name
        html = answer.content.decode()
        if name == "calculator":  # one library of our own, and nothing works only with it
            html, count = re.subn(r'<script src="/static/unfold/js/htmx/[^"]+" defer>', "", html)
            assert count == 1
        assert not re.search(r"<script|<style|\sstyle=|\son[a-z]+=|javascript:", html), name


def test_pages_can_be_read_aloud(ada: Client, fernwood: Subscription) -> None:
    for name, answer in pages(ada, fernwood):
        if not answer.headers["Content-Type"].startswith("text/html") or not answer.content:
            continue
        html = answer.content.decode()
        assert len(re.findall(r"<h1", html)) == 1, name
        assert re.search(r'<html lang="(en|de)"', html), name
        for landmark in ("<header", "<main", "<footer", 'class="skip"'):
            assert landmark in html, (name, landmark)
        for table in re.findall(r"<table.*?</table>", html, re.S):
            assert '<th scope="col"' in table, name
        labelled = set(re.findall(r'<label for="([^"]+)"', html))
        fields = re.findall(r'<(?:input|select|textarea)\s+id="([^"]+)"', html)
        assert labelled == set(fields), name


def test_what_customers_type_is_text(november: None) -> None:
    evil = make.customer("evil", name="<script>alert(1)</script>", locale="en-GB")
    scale(evil)
    ada = door.signed_in(door.contact(evil))
    for url in (HOME, "/portal/account/"):
        assert b"<script" not in ada.get(url).content
        assert b"&lt;script&gt;" in ada.get(url).content


# Cost


def queries(client: Client, url: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert client.get(url).status_code == 200
    return len(captured)


def test_queries_do_not_grow_with_what_runs(ada: Client, fernwood: Subscription) -> None:
    urls = [
        HOME,
        "/portal/plan/",
        "/portal/account/",
        "/portal/choose/",
        "/portal/upcoming/fernwood-scale/",
        "/portal/usage/api_calls/?by=region",
        "/portal/usage/api_calls/events/?from=2026-11-01&to=2026-11-30",
    ]
    [phase] = fernwood.phases.all()
    make.subscription(fernwood.customer)
    for url in urls:
        ada.get(url)
    before = {url: queries(ada, url) for url in urls}
    for number in range(5):
        use(fernwood, datetime(2026, 11, number + 11, tzinfo=UTC), calls=10, region=f"r{number}")
    for number in range(5):
        make.subscription(fernwood.customer, phase.plan_version)
        door.contact(fernwood.customer, f"more{number}@fernwood.example")
    assert {url: queries(ada, url) for url in urls} == before
    assert max(before.values()) <= 30


def test_queries_do_not_grow_with_what_was_issued(ada: Client, fernwood: Subscription) -> None:
    invoice = issued(fernwood)
    urls = [HOME, "/portal/invoices/", reverse("portal:invoice", args=(invoice.uuid,))]
    for url in urls:
        ada.get(url)
    before = {url: queries(ada, url) for url in urls}
    issued(fernwood, at=datetime(2027, 1, 3, tzinfo=UTC))
    assert {url: queries(ada, url) for url in urls} == before


# Words and colours


LANGUAGES = [
    pytest.param(words._WORDS["en"], words._WORDS["de"], id="German pages"),
    pytest.param(words._WORDS["en"], french.FRENCH, id="French pages"),
    pytest.param(words._WORDS["en"], spanish.SPANISH, id="Spanish pages"),
    pytest.param(door_words._WORDS["en"], door_words._WORDS["de"], id="the German door"),
    pytest.param(door_words._WORDS["en"], door_french.FRENCH, id="the French door"),
    pytest.param(door_words._WORDS["en"], door_spanish.SPANISH, id="the Spanish door"),
]


@pytest.mark.parametrize(("english", "other"), LANGUAGES)
def test_every_language_says_the_same_things(
    english: dict[str, str], other: dict[str, str]
) -> None:
    assert english.keys() == other.keys()
    for key in english:
        places = [set(re.findall(r"{(\w+)}", text)) for text in (english[key], other[key])]
        assert places[0] == places[1], key


def test_the_portal_is_in_each_language_that_it_offers() -> None:
    offered = door_words.LANGUAGES.keys()
    assert words._WORDS.keys() == door_words._WORDS.keys() == offered
    assert dict(django_settings.LANGUAGES).keys() == offered


def test_templates_use_words_that_there_are() -> None:
    templates = Path(django_settings.BASE_DIR) / "templates" / "portal"
    for path in templates.glob("*.html"):
        html = path.read_text()
        for known, name in ((words._WORDS, "words"), (door_words._WORDS, "frame")):
            used = set(re.findall(rf"(?<![\w.]){name}\.(\w+)", html))
            assert used <= known["en"].keys(), path.name


@pytest.mark.parametrize(
    "accent", ["#0f5c5c", "#000000", "#ffffff", "#ffff00", "#1b1f24", "#ff0000"]
)
def test_the_accent_can_be_read_in_the_dark(accent: str) -> None:
    assert _contrast(on_dark(accent).text, NIGHT) >= 4.5


def test_the_issuers_colour_is_a_sheet_of_its_own(issuer: Issuer, bob: Client) -> None:
    Issuer.objects.update(accent_colour="#AA0000")
    html = bob.get(HOME).content.decode()
    assert "/portal/colours/aa0000.css" in html
    sheet = Client().get("/portal/colours/aa0000.css")
    assert sheet.headers["Content-Type"] == "text/css; charset=utf-8"
    assert "--accent-text: #aa0000" in sheet.content.decode()
    assert "prefers-color-scheme: dark" in sheet.content.decode()
    assert Client().get("/portal/colours/red;}.css").status_code == 404


def test_yen_has_no_cents(november: None) -> None:
    subscription = scale(make.customer("kaede", currency="JPY", locale="ja-JP"))
    page = said(door.signed_in(door.contact(subscription.customer)).get(HOME))
    assert "¥594" in page
    assert "¥594." not in page
    assert "November 2026 so far" in page
    assert "月" not in page


def test_contacts_of_nobody_else_are_shown(ada: Client, bob: Client) -> None:
    page = bob.get("/portal/account/").content.decode()
    assert "ada@fernwood.example" not in page
    assert Contact.objects.count() == 2
