"""The admin's first page and sidebar: what needs a person, with the list of exactly those rows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.test import Client

from billing.admin.overview import _top_customers
from billing.models import BillingPeriod, BillingRun, Invoice
from billing.services import issuing
from config.base.audit import SYSTEM
from config.base.models import Outbox
from customers.models import Issuer, Subscription
from tests import factories as make
from tests.billing.months import close
from tests.metering.usage import body, send
from tests.staff import anna, dora, leo, nora, page, queries, said, sam, stranger

pytestmark = [pytest.mark.django_db, pytest.mark.once]
NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)
HOME = "/admin/"


@pytest.fixture(autouse=True)
def _on_the_first_of_december() -> Any:
    Issuer.objects.update(legal_name="We", line1="Kanalstr. 1", city="Leipzig", country="DE")
    with time_machine.travel(NOW, tick=False):
        yield


def needs(client: Client) -> dict[str, str]:
    """Return the sentences of what needs somebody, each with its address."""
    return {need.sentence: need.url for need in client.get(HOME).context["needs"]}


def issue(at: datetime) -> None:
    ids = Invoice.objects.filter(status="draft").values_list("pk", flat=True)
    issuing.issue_invoices(invoice_ids=list(ids), as_of=at, actor=SYSTEM)


def subscribe(name: str = "", **fields: Any) -> Subscription:
    return make.subscription(make.customer(name, **fields), starts_on=date(2026, 11, 1))


def by_hand() -> int:
    """Two drafts, for November and December, that only a person issues."""
    subscribe(manual_approval=True)
    return len(close(NOW))


def held() -> int:
    subscribe()
    [draft] = (one for one in close(NOW) if one.status == "draft")
    issuing.hold_for_review(invoice_id=draft.pk, actor=SYSTEM)
    return 1


def not_issued_in_time() -> int:
    subscribe()
    close(NOW - timedelta(hours=3))
    return Invoice.objects.filter(status="draft").update(auto_issue_at=NOW - timedelta(hours=3))


def parked() -> int:
    subscribe()
    close(datetime(2026, 11, 2, tzinfo=UTC))
    return BillingPeriod.objects.filter(status="open").update(status="parked", trouble="no\n\nT")


def due() -> int:
    subscribe()
    close(datetime(2026, 11, 2, tzinfo=UTC))
    return BillingPeriod.objects.filter(status="open").update(usage_cutoff=NOW)


def trial() -> int:
    subscribe()
    close(datetime(2026, 11, 2, tzinfo=UTC))
    return BillingPeriod.objects.filter(status="open").update(
        is_trial=True, end_date=date(2026, 12, 8), nominal_end_date=date(2026, 12, 8)
    )


def failed_run() -> int:
    for status in ("failed", "finished", "failed"):
        BillingRun.objects.create(
            as_of=NOW, started_at=NOW, finished_at=NOW, status=status, started_by="x"
        )
    return 1


def stuck_run() -> int:
    started = NOW - timedelta(hours=2)
    BillingRun.objects.create(as_of=started, started_at=started, started_by="x")
    return 1


def unmade_document() -> int:
    with time_machine.travel(NOW - timedelta(hours=2), tick=False):
        Outbox.objects.create(kind=issuing.RENDER, key="1", due_at=NOW)
    return 1


def given_up() -> int:
    Outbox.objects.create(kind="mail", key="1", due_at=NOW, status="failed")
    return 1


def overdue() -> int:
    """Two invoices that fell due on 30 November: one is paid in part, the other whole."""
    at = datetime(2026, 11, 2, tzinfo=UTC)
    with time_machine.travel(at, tick=False):
        for paid in ("100", "593.81"):
            payer = subscribe(payment_terms_days=28).customer
            close(at)
            issue(at)
            make.payment(payer, paid, portions={payer.invoices.get(): paid}, at=at)
    return 1


def quarantined() -> int:
    make.metric("calls")
    send(body(id="1", subject="nobody"))
    send(body(id="2", subject="nobody"))
    return 2


def unfinished() -> int:
    subscribe()
    Issuer.objects.update(city="")
    return 1


def ending() -> int:
    subscription = subscribe()
    return Subscription.objects.filter(pk=subscription.pk).update(ends_on=date(2026, 12, 8))


def unpublished() -> int:
    make.draft()
    return 1


@pytest.mark.parametrize(
    ("happen", "sentence"),
    [
        (by_hand, "2 drafts wait for somebody to approve and issue."),
        (held, "1 invoice is held for review."),
        (not_issued_in_time, "1 draft should have been issued by now: do worker and beat run?"),
        (parked, "1 period is parked: its close failed."),
        (due, "1 period has ended and can be closed."),
        (trial, "1 trial ends within a week."),
        (failed_run, "1 billing run failed, and none has finished since."),
        (stuck_run, "1 billing run has not finished for two hours."),
        (unmade_document, "1 invoice has waited two hours for the PDF."),
        (given_up, "1 message was given up after ten attempts: a PDF or a mail is missing."),
        (
            overdue,
            "1 invoice is overdue, with 493.81 EUR open.",
        ),
        (quarantined, "2 events name a customer nobody knows."),
        (ending, "1 subscription ends within a week."),
        (unpublished, "1 plan version is still a draft, not on sale."),
    ],
)
def test_what_waits_is_said_with_the_list_of_exactly_it(
    happen: Callable[[], int], sentence: str
) -> None:
    if happen is overdue:
        Issuer.objects.update(tax_status="standard", standard_tax_rate=Decimal(19))
    count = happen()
    subscribe("bystander")
    client = nora()
    address = needs(client)[sentence]
    listed = client.get(address)
    assert listed.status_code == 200
    assert listed.context["cl"].result_count == count


def test_an_unfinished_issuer_is_named_once_somebody_is_subscribed() -> None:
    Issuer.objects.update(city="")
    assert not needs(leo())
    subscribe()
    [(sentence, address)] = needs(nora()).items()
    assert sentence == "Your company is unfinished: its invoices lack the city."
    assert address == page("customers_issuer", "change", Issuer.objects.get().pk)


def test_the_most_urgent_comes_first() -> None:
    ending()
    parked()
    quarantined()
    assert [need.tone for need in nora().get(HOME).context["needs"]] == ["bad", "open", "quiet"]


def test_with_nothing_to_do_the_page_says_what_comes_next() -> None:
    subscribe()
    close(datetime(2026, 11, 2, tzinfo=UTC))
    Invoice.objects.all()
    BillingPeriod.objects.filter(status="open").update(usage_cutoff=NOW + timedelta(days=1))
    words = said(sam().get(HOME))
    assert "Nothing needs you today" in words
    assert "Wed 2 Dec, 09:00 UTC 1 period can be closed; usage may come in until then." in words


def test_a_draft_that_issues_by_itself_is_coming_and_needs_nobody() -> None:
    subscribe()
    draft = next(one for one in close(NOW) if one.status == "draft")
    response = sam().get(HOME)
    assert not response.context["needs"]
    first = response.context["coming"][0]
    assert (first.at, first.sentence) == (
        draft.auto_issue_at,
        "1 draft is issued unless somebody holds it.",
    )


def test_money_is_summed_by_currency_and_month() -> None:
    for name, currency in (("ada", "EUR"), ("bob", "USD"), ("cy", "EUR")):
        subscribe(name, currency=currency)
    with time_machine.travel(datetime(2026, 11, 2, tzinfo=UTC), tick=False):
        close(datetime(2026, 11, 2, tzinfo=UTC))
        issue(datetime(2026, 11, 2, tzinfo=UTC))
    close(NOW)
    issue(NOW)
    words = said(anna().get(HOME))
    assert "December so far Invoices November EUR 998.00 2 998.00 USD 499.00 1 499.00" in words
    most = "Billed most this month EUR Ada 499.00 EUR Cy 499.00 EUR USD Bob 499.00 USD"
    assert most in words


def test_each_currency_ranks_its_own_customers(django_assert_num_queries: Any) -> None:
    """However many buy in euros, the only one who pays in dollars is seen."""
    for number in range(6):
        subscribe(f"euro-{number}", currency="EUR")
    subscribe("dora", currency="USD")
    close(NOW)
    issue(NOW)
    with django_assert_num_queries(1):
        panel = _top_customers(date(2026, 12, 1))
    assert [(one["currency"], len(one["rows"])) for one in panel.context["currencies"]] == [
        ("EUR", 5),
        ("USD", 1),
    ]


@pytest.mark.parametrize(
    ("who", "sees"),
    [
        (anna, {"draft", "period", "event"}),
        (sam, {"draft", "period", "event"}),
        (dora, {"event", "period", "message"}),
        (stranger, set()),
    ],
)
def test_everybody_sees_only_what_they_may(who: Callable[[], Client], sees: set[str]) -> None:
    by_hand()
    parked()
    quarantined()
    given_up()
    client = who()
    kinds = {sentence.split()[1].rstrip("s") for sentence in needs(client)}
    assert kinds == sees
    assert ("Billed this month" in said(client.get(HOME))) == ("draft" in sees)


def test_the_sidebar_counts_what_waits() -> None:
    by_hand()
    quarantined()
    client = sam()
    words = said(client.get(HOME))
    assert "rule Review drafts , 2 waiting" in words
    assert "report Quarantine , 2 waiting" in words
    assert "Close periods" not in words  # Sam only reads
    listed = client.get(page("billing_invoice", "changelist")).content.decode()
    assert 'aria-current="page"' in listed


def test_more_than_99_are_not_counted_for_the_sidebar() -> None:
    for number in range(100):
        Outbox.objects.create(kind="mail", key=str(number), due_at=NOW, status="failed")
    assert "Outbox , 99+ waiting" in said(leo().get(HOME))


def test_the_page_takes_as_many_queries_for_30_rows_as_for_1() -> None:
    client = nora()

    def add() -> None:
        by_hand()
        ending()
        given_up_ = Outbox.objects.count()
        Outbox.objects.create(kind="mail", key=str(given_up_), due_at=NOW, status="failed")
        send(body(id=f"e{given_up_}", subject="nobody"))

    make.metric("calls")
    add()
    add()  # what the first one left is issued, and has its place on the page, too
    client.get(HOME)
    few = queries(lambda: client.get(HOME))
    for _ in range(29):
        add()
    assert queries(lambda: client.get(HOME)) == few
    assert few <= 54
