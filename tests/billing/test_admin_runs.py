"""Runs, periods and number sequences in the admin, and what a customer's page says of money."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.test import Client, override_settings

from billing.models import BillingPeriod, BillingRun, Invoice, PeriodStatus
from billing.services import closing
from billing.services.runs import start_run
from catalog.models import PlanVersion
from config.base.audit import SYSTEM
from config.base.models import AuditEntry
from customers.models import Issuer, Subscription
from metering.events import make_event
from metering.services.ingestion import ingest
from tests import factories as make
from tests.billing.months import close, use
from tests.staff import anna, dora, leo, page, queries, said, sam, stranger

pytestmark = pytest.mark.django_db
D = Decimal
NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)
RUNS = "/admin/billing/billingrun/"
CLOSE = "/admin/billing/billingrun/close/"
PERIODS = "/admin/billing/billingperiod/"


@pytest.fixture(autouse=True)
def _on_the_first_of_december() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def plan() -> PlanVersion:
    return make.published(
        make.flat("base", "10"),
        make.graduated(make.metric("calls"), "rest @ 1", key="calls", included_quantity=D(100)),
    )


@pytest.fixture
def ada(plan: PlanVersion) -> Subscription:
    subscription = make.subscription(
        make.customer("ada", name="Ada Works"), plan, key="ada", starts_on=date(2026, 11, 1)
    )
    use(subscription, datetime(2026, 11, 5, tzinfo=UTC), calls=142)
    return subscription


@pytest.fixture
def parked(ada: Subscription) -> BillingPeriod:
    """Nobody knows who sells to Ada: the run parks her first period."""
    Issuer.objects.create(name="Second seller", legal_name="Second seller")
    close(NOW)
    return BillingPeriod.objects.get(status=PeriodStatus.PARKED)


def run_page(run: BillingRun) -> str:
    return page("billing_billingrun", "change", run.pk)


# Closing


def test_anna_sees_what_is_due_before_she_closes(ada: Subscription) -> None:
    words = said(anna().get(CLOSE))
    assert "Due as of 1 Dec 2026, 09:00 UTC for everybody" in words
    assert "Subscriptions not billed before 1" in words
    assert not BillingRun.objects.exists()
    assert not BillingPeriod.objects.exists()


def waits(subject: str, *, number: int = 1) -> None:
    """Let a call of a type that nobody counts arrive."""
    event = make_event(
        source="test",
        id=f"{subject}-{number}",
        type="other.call",
        subject=subject,
        subscription=None,
        time=NOW,
        data={},
    )
    assert ingest([event], received_at=NOW).quarantined == 1


def test_the_oldest_and_what_waits_in_quarantine_are_named(
    ada: Subscription, plan: PlanVersion
) -> None:
    close(datetime(2026, 11, 1, tzinfo=UTC))
    later = make.subscription(
        make.customer("later"), plan, key="later-1", starts_on=date(2027, 1, 1)
    )
    for subject in (ada.customer.key, later.customer.key, "nobody"):
        waits(subject)
    client = anna()
    shown = client.get(CLOSE)
    words = said(shown)
    assert "Periods that have ended 1" in words
    assert "The oldest ada, 1–30 Nov 2026" in words
    assert "1 event of these customers waits in quarantine" in words
    assert "1 event in quarantine names a customer nobody knows" in words
    [one] = shown.context["unresolved"]["customers"]
    assert one["subject"] == ada.customer.key
    listed = client.get(one["url"]).context["cl"].result_list
    assert [row.subject for row in listed] == [ada.customer.key]


def test_a_run_names_what_it_left_out(ada: Subscription) -> None:
    waits(ada.customer.key)
    waits(ada.customer.key, number=2)
    close(NOW)
    words = said(anna().get(run_page(BillingRun.objects.get())))
    assert "2 events of these customers wait in quarantine" in words
    assert "names a customer nobody knows" not in words


def test_anna_closes_and_reads_the_run(ada: Subscription) -> None:
    response = anna().post(CLOSE, {"as_of": "", "customer": ""}, follow=True)
    run = BillingRun.objects.get()
    words = said(response)
    assert (run.status, run.started_by, run.as_of) == ("finished", "anna", NOW)
    assert response.redirect_chain[-1][0] == run_page(run)
    assert "Finished 100 %" in words
    assert "Drafted 2 invoices, 62.00 EUR" in words
    assert "Period 1–30 Nov 2026" in words


def test_one_customer_alone(ada: Subscription, plan: PlanVersion) -> None:
    ben = make.subscription(make.customer("ben"), plan, starts_on=date(2026, 11, 1))
    anna().post(CLOSE, {"customer": ben.customer_id})
    assert {one.customer.key for one in Invoice.objects.all()} == {"ben"}
    assert BillingRun.objects.get().customer == ben.customer


def test_nothing_due_offers_no_button(db: None) -> None:
    words = said(anna().get(CLOSE))
    assert "Nothing is due." in words
    assert "Close what is due" not in words


def test_leo_closes_as_of_an_earlier_moment(ada: Subscription) -> None:
    client = leo()
    assert "Invoices issued by this run are dated by 3 Nov 2026" in said(
        client.get(CLOSE, {"as_of": "2026-11-03T00:00"})
    )
    client.post(CLOSE, {"as_of": "2026-11-03T00:00"})
    run = BillingRun.objects.get()
    assert run.as_of == datetime(2026, 11, 3, tzinfo=UTC)
    assert AuditEntry.objects.filter(action="started billing run", actor_name="leo").exists()
    assert Invoice.objects.get().issue_date == date(2026, 11, 3)


@pytest.mark.parametrize(
    ("who", "as_of", "refusal"),
    [
        pytest.param(
            anna, "2026-11-03T00:00", "Only a Finance lead closes", id="Anna may not backdate"
        ),
        pytest.param(leo, "2026-12-02T00:00", "has not come yet", id="nobody closes tomorrow"),
        pytest.param(leo, "yesterday", "Enter a valid date/time", id="no date"),
    ],
)
def test_another_moment_is_refused(who: Any, as_of: str, refusal: str, ada: Subscription) -> None:
    client = who()
    for response in (client.get(CLOSE, {"as_of": as_of}), client.post(CLOSE, {"as_of": as_of})):
        assert refusal in said(response)
    assert not BillingRun.objects.exists()


def test_a_running_run_goes_on_from_its_page(ada: Subscription) -> None:
    """As when the page was left while it closed: nothing is closed twice."""
    run = start_run(as_of=NOW, now=NOW, actor=SYSTEM)
    client = anna()
    watch = page("billing_billingrun", "progress", run.pk)
    assert "Running 0 %" in said(client.get(watch))
    url = page("billing_billingrun", "continue", run.pk)
    client.get(url)
    assert "Running 0 %" in said(client.get(watch))
    for _ in range(3):
        client.post(url)
    assert "Finished 100 %" in said(client.get(watch))
    assert Invoice.objects.count() == 2


@override_settings(CELERY_TASK_ALWAYS_EAGER=False)
def test_with_workers_they_are_told(ada: Subscription, monkeypatch: Any) -> None:
    told: list[int] = []
    monkeypatch.setattr("billing.tasks.nudge_run", told.append)
    anna().post(CLOSE, {})
    assert told == [BillingRun.objects.get().pk]
    assert not Invoice.objects.exists()


# The list of runs


def test_the_list_of_runs_asks_as_much_for_3_as_for_30(plan: PlanVersion) -> None:
    client = sam()

    def run(times: int) -> None:
        for _ in range(times):
            make.subscription(make.customer(), plan, starts_on=date(2026, 12, 1))
            close(NOW)

    run(3)
    few = queries(lambda: client.get(RUNS))
    run(27)
    assert BillingRun.objects.count() == 30
    assert queries(lambda: client.get(RUNS)) == few


def test_the_list_says_how_far_each_came(ada: Subscription) -> None:
    close(NOW)
    assert "Finished 100 % Everybody 1 — 2 invoices 62.00 EUR" in said(sam().get(RUNS))


# Parked periods


def test_a_failure_is_named_and_tried_again(parked: BillingPeriod) -> None:
    run = BillingRun.objects.get()
    client = anna()
    words = said(client.get(run_page(run)))
    assert "1 parked" in words
    assert "Say who sells to" in words
    retry = page("billing_billingperiod", "retry", parked.pk)
    assert retry in client.get(run_page(run)).content.decode()
    assert "the next billing run closes it" in said(client.get(retry))
    parked.refresh_from_db()
    assert parked.status == "parked"
    client.post(retry)
    parked.refresh_from_db()
    assert (parked.status, parked.trouble) == ("open", "")
    assert "is open, not parked" in said(client.post(retry, follow=True))


def test_all_of_a_run_are_tried_again(parked: BillingPeriod) -> None:
    client, run = anna(), BillingRun.objects.get()
    url = page("billing_billingrun", "retry_parked", run.pk)
    assert "Try 1 parked period again?" in said(client.get(url))
    client.post(url)
    parked.refresh_from_db()
    assert parked.status == "open"


def test_periods_are_tried_again_from_their_list(parked: BillingPeriod, plan: PlanVersion) -> None:
    closed = BillingPeriod.objects.exclude(pk=parked.pk).first()
    chosen = {"action": "retry_many", "_selected_action": [parked.pk]}
    words = said(anna().post(PERIODS, chosen, follow=True))
    assert "1 period open again" in words
    assert closed is None or closed.status != "open"


def test_the_period_says_why_it_waits(parked: BillingPeriod) -> None:
    words = said(sam().get(page("billing_billingperiod", "change", parked.pk)))
    assert "Why it is parked Say who sells to" in words
    assert "IssuerUndecided" in words
    assert "Try again" not in words


def test_the_close_page_lists_what_is_parked(parked: BillingPeriod) -> None:
    words = said(anna().get(CLOSE))
    assert "1 period is parked." in words
    assert "Parked periods, to be tried again 1" in words
    assert "Parked, so left out Subscription Period Why ada 1–30 Nov 2026 Say who sells to" in words


# Periods and sequences


def test_the_period_shows_what_was_measured_and_billed(ada: Subscription) -> None:
    close(NOW)
    period = BillingPeriod.objects.get(number=0)
    words = said(sam().get(page("billing_billingperiod", "change", period.pk)))
    assert "Calls 142 calls 1" in words
    assert "First fee in advance" in words
    assert "a whole period of 30 days" in words


def test_the_list_of_periods_asks_as_much_for_3_as_for_30(plan: PlanVersion) -> None:
    client = sam()

    def begin(count: int) -> None:
        for _ in range(count):
            make.subscription(make.customer(), plan, starts_on=date(2026, 12, 1))
        close(NOW)

    begin(3)
    few = queries(lambda: client.get(PERIODS))
    begin(27)
    assert BillingPeriod.objects.count() == 30
    assert queries(lambda: client.get(PERIODS)) == few


def test_number_sequences_are_read(ada: Subscription) -> None:
    close(datetime(2026, 11, 3, tzinfo=UTC))
    words = said(sam().get("/admin/billing/documentsequence/"))
    assert "INV-2026 Your company 2026 1 2" in words


# A customer's page


def test_the_customer_page_says_what_is_coming(ada: Subscription) -> None:
    close(NOW)
    use(ada, datetime(2026, 12, 1, 1, tzinfo=UTC), calls=103)
    words = said(sam().get(page("customers_customer", "change", ada.customer_id)))
    assert "ada 1–31 Dec 2026 13.00 EUR so far, 13.00 EUR net" in words
    assert "Included in your plan 100 0.00 0.00" in words
    assert "Period 1–30 Nov 2026" in words


def test_the_customer_page_asks_as_much_for_2_subscriptions_as_for_8(ada: Subscription) -> None:
    fees = make.published(make.flat("base", "10"))

    def subscribed(count: int) -> str:
        buyer = make.customer()
        for _ in range(count):
            make.subscription(buyer, fees, starts_on=date(2026, 12, 1))
        return page("customers_customer", "change", buyer.pk)

    client = sam()
    two, eight = subscribed(2), subscribed(8)
    close(NOW)
    client.get(two)  # what a process asks once is asked
    assert queries(lambda: client.get(eight)) == queries(lambda: client.get(two))


def test_a_customer_nobody_knows_the_seller_of_still_has_a_page(parked: BillingPeriod) -> None:
    customer = parked.subscription.customer
    words = said(sam().get(page("customers_customer", "change", customer.pk)))
    assert "Say who sells to" in words


# Who may what


def test_sam_reads_and_starts_nothing(parked: BillingPeriod) -> None:
    client, run = sam(), BillingRun.objects.get()
    assert client.get(RUNS).status_code == client.get(run_page(run)).status_code == 200
    assert "Close periods" not in said(client.get(RUNS))
    for url in (
        CLOSE,
        page("billing_billingperiod", "retry", parked.pk),
        page("billing_billingrun", "retry_parked", run.pk),
        page("billing_billingrun", "continue", run.pk),
    ):
        assert client.post(url).status_code == 403, url
    parked.refresh_from_db()
    assert parked.status == "parked"
    assert BillingRun.objects.count() == 1


def test_a_stranger_sees_nothing(parked: BillingPeriod) -> None:
    client, run = stranger(), BillingRun.objects.get()
    for url in (
        RUNS,
        run_page(run),
        CLOSE,
        page("billing_billingrun", "progress", run.pk),
        PERIODS,
        page("billing_billingperiod", "change", parked.pk),
        "/admin/billing/documentsequence/",
    ):
        assert client.get(url).status_code == 403, url


def test_dora_sees_runs_but_no_money(ada: Subscription) -> None:
    close(NOW)
    client = dora()
    words = said(client.get(run_page(BillingRun.objects.get())))
    assert "Finished" in words
    assert "EUR" not in words
    assert "Upcoming invoices" not in said(
        client.get(page("customers_customer", "change", ada.customer_id))
    )


def test_a_page_of_somebody_elses_starts_nothing(ada: Subscription) -> None:
    signed_in = leo()
    careful = Client(enforce_csrf_checks=True)
    careful.cookies = signed_in.cookies
    assert careful.post(CLOSE, {}).status_code == 403
    assert not BillingRun.objects.exists()


def test_retrying_needs_a_parked_period(ada: Subscription) -> None:
    close(NOW)
    period = BillingPeriod.objects.get(number=0)
    with pytest.raises(closing.PeriodNotParked):
        closing.retry_parked(period_id=period.pk, actor=SYSTEM)
