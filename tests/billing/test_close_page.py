"""The close page: whether the month is ready, what it is expected to come to, and who may see it."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
import time_machine
from django.test import override_settings

from billing.models import BillingRun, CloseEstimate, Invoice, InvoiceLine, LateUsage
from billing.services import estimating
from billing.services.runs import start_run
from config.base.audit import SYSTEM
from customers.models import Issuer, Subscription
from tests import factories as make
from tests.billing.months import close, use
from tests.billing.test_admin_runs import CLOSE, ada, plan, waits  # noqa: F401 - fixtures
from tests.staff import anna, dora, page, queries, said, sam

pytestmark = [pytest.mark.django_db, pytest.mark.once]
NOW = datetime(2026, 12, 1, 9, tzinfo=UTC)
START = page("billing_closeestimate", "start")


@pytest.fixture(autouse=True)
def _on_the_first_of_december() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


def checks(client: Any, **asked: Any) -> list[tuple[str, str]]:
    return [(one.state, one.text) for one in client.get(CLOSE, asked).context["checks"]]


def begun() -> None:
    close(datetime(2026, 11, 3, tzinfo=UTC))


def late(status: str) -> LateUsage:
    """Note late usage of ada's November, as if it had been found."""
    close(NOW)
    line = InvoiceLine.objects.exclude(snapshot=None).get()
    named = {name: getattr(line, name) for name in ("period", "price", "invoice", "snapshot")}
    held = {"held_for": "age"} if status == "held" else {}
    return LateUsage.objects.create(
        **named, **held, currency="EUR", billed_quantity=1, quantity=4, amount=3, status=status,
        found_at=NOW,
    )  # fmt: skip


def test_when_all_is_well_it_says_so(ada: Subscription) -> None:  # noqa: F811
    begun()
    Issuer.objects.update(legal_name="We", line1="Kanalstr. 1", city="Leipzig", country="DE")
    estimating.start_estimate(month=date(2026, 11, 1), customer=None, at=NOW, actor=SYSTEM)
    assert checks(anna()) == [
        ("Clear", "1 open period ends before 1 Dec 2026, and all can be closed now."),
        ("Clear", "Nothing waits in quarantine."),
        ("Clear", "No period is parked."),
        ("Clear", "Usage is about what it always was, and no sender of events fell silent."),
        ("Clear", "No late usage waits."),
        ("Clear", "Who sells is complete."),
    ]


def test_what_stands_in_the_way_is_named(ada: Subscription) -> None:  # noqa: F811
    begun()
    waits(ada.customer.key)
    waits("nobody")
    found = {text: state for state, text in checks(anna())}
    assert found["1 event of these customers waits in quarantine."] == "Left out"
    assert found["1 event in quarantine names a customer nobody knows."] == "Look"
    unfinished = "would lack its legal name, address, city, country."
    assert any(text.endswith(unfinished) for text in found)


def test_before_its_end_the_month_is_looked_at_and_not_closed(
    ada: Subscription,  # noqa: F811
) -> None:
    begun()
    with time_machine.travel(datetime(2026, 11, 28, tzinfo=UTC), tick=False):
        client = anna()
        first, *_ = checks(client)
        assert first == (
            "Look",
            "1 open period ends before 1 Dec 2026; 1 can’t be closed yet: usage may come in until "
            "1 Dec 2026, 01:00 UTC.",
        )
        assert "Nothing is due." in said(client.get(CLOSE))
        assert checks(client, month="2026-10")[0][1].startswith("No open period ends before 1 Nov")


@pytest.mark.parametrize(
    ("status", "state", "text"),
    [
        ("held", "Look", "1 amount of late usage is held for a decision: 3.00 EUR net."),
        (
            "approved",
            "On its way",
            "1 amount of late usage is to be billed on the next invoices: 3.00 EUR net.",
        ),
    ],
)
def test_late_usage_is_on_the_page(
    status: str,
    state: str,
    text: str,
    ada: Subscription,  # noqa: F811
) -> None:
    late(status)
    client = anna()
    assert (state, text) in checks(client)
    [row] = [one for one in client.get(CLOSE).context["checks"] if one.text == text]
    assert len(client.get(row.url).context["cl"].result_list) == 1


def test_the_month_that_is_shown_is_chosen_in_the_form(ada: Subscription) -> None:  # noqa: F811
    begun()
    shown = anna().get(CLOSE)
    assert '<option value="2026-11" selected>November 2026</option>' in shown.content.decode()
    assert "0 drafts not issued yet: 0 need eyes. Review drafts" in said(shown)


def test_a_wrong_month_is_refused(ada: Subscription) -> None:  # noqa: F811
    assert "Select a valid choice" in said(anna().get(CLOSE, {"month": "2026-13"}))


# What it comes to


def test_anna_has_it_worked_out(ada: Subscription) -> None:  # noqa: F811
    begun()
    client = anna()
    words = said(client.get(CLOSE))
    assert "Not worked out yet." in words
    words = said(client.post(START, {"month": "2026-11"}, follow=True))
    assert "What the close of November 2026 comes to" in words
    assert "Complete 100 %" in words
    assert "Worked out 1 of 1 subscription" in words
    assert "EUR 1 1 first 0.00 52.00 +52.00 EUR" in words
    words = said(client.get(CLOSE))
    assert "What it comes to net, with usage until 1 Dec 2026, 09:00 UTC" in words
    assert "Ada Works ada first period 52.00 +52.00 EUR" in words
    assert Invoice.objects.count() == 1


def test_who_would_be_parked_is_on_the_page(ada: Subscription) -> None:  # noqa: F811
    begun()
    Issuer.objects.create(name="Second seller", legal_name="Second seller")
    client = anna()
    client.post(START, {"month": "2026-11"})
    assert ("Left out", "1 subscription can’t be billed as things are.") in checks(client)
    assert "Say who sells to Ada Works" in said(client.get(CLOSE))


@override_settings(CELERY_TASK_ALWAYS_EAGER=False)
def test_with_workers_they_are_told(
    ada: Subscription,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun()
    told: list[int] = []
    monkeypatch.setattr("billing.tasks.nudge_estimate", told.append)
    client = anna()
    answer = client.post(START, {"month": "2026-11"}, follow=True)
    estimate = CloseEstimate.objects.get()
    assert told == [estimate.pk]
    assert "Being worked out 0 %" in said(answer)
    assert "Being worked out." in said(client.get(CLOSE))
    client.post(page("billing_closeestimate", "continue", estimate.pk))
    assert told == [estimate.pk] * 2


@pytest.mark.parametrize("given", [{}, {"month": "soon"}, {"month": "2026-13"}])
def test_without_a_month_it_leads_back(given: dict[str, str]) -> None:
    assert anna().post(START, given).headers["Location"] == CLOSE
    assert not CloseEstimate.objects.exists()


def test_a_running_run_is_named(ada: Subscription) -> None:  # noqa: F811
    start_run(as_of=NOW, now=NOW, actor=SYSTEM)
    assert "A run is going on: 0 of 1 subscriptions. Watch it" in said(anna().get(CLOSE))


def test_pages_ask_as_much_for_3_as_for_30(plan: Any) -> None:  # noqa: F811
    client = anna()

    def made(count: int) -> int:
        for n in range(count):
            one = make.subscription(
                make.customer(f"of{count}-{n}"), plan, starts_on=date(2026, 11, 1)
            )
            use(one, datetime(2026, 11, 5, tzinfo=UTC), calls=142)
            waits(one.customer.key)
        begun()
        client.post(START, {"month": "2026-11"})
        shown = page("billing_closeestimate", "change", CloseEstimate.objects.get().pk)
        client.get(shown)
        return queries(lambda: client.get(CLOSE)) + queries(lambda: client.get(shown))

    few = made(3)
    assert made(27) == few


def test_sam_reads_an_estimate_and_starts_none(ada: Subscription) -> None:  # noqa: F811
    begun()
    estimating.start_estimate(month=date(2026, 11, 1), customer=None, at=NOW, actor=SYSTEM)
    shown = page("billing_closeestimate", "change", CloseEstimate.objects.get().pk)
    support = sam()
    assert support.get(shown).status_code == 200
    assert support.post(START, {"month": "2026-11"}).status_code == 403
    assert dora().get(shown).status_code == 403
    assert BillingRun.objects.count() == 1
