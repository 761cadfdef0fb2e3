"""Moving many subscriptions in the admin: from the version's page to the last row, and who may."""

from __future__ import annotations

import csv
from datetime import UTC, date, datetime
from io import StringIO
from typing import Any

import pytest
import time_machine
from django.contrib.auth.models import User
from django.test import Client

from billing.models import PlanMove
from catalog.models import PlanVersion
from customers.models import Subscription, SubscriptionPhase
from tests import factories as make
from tests.billing.months import close
from tests.staff import anna, dora, leo, page, queries, said, sam, stranger

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 16, 12, tzinfo=UTC)
START = page("billing_planmove", "start")


@pytest.fixture(autouse=True)
def _in_the_middle_of_november() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def old() -> PlanVersion:
    return make.published(make.flat("base", "100"), plan=make.plan("scale", name="Scale"))


@pytest.fixture
def new(old: PlanVersion) -> PlanVersion:
    return make.published(make.flat("base", "130"), plan=old.plan)


@pytest.fixture
def ten(old: PlanVersion) -> list[Subscription]:
    made = [
        make.subscription(make.customer(f"c{n}", name=f"C {n}"), old, key=f"s{n}")
        for n in range(10)
    ]
    close(datetime(2026, 11, 1, 1, tzinfo=UTC))
    close(datetime(2026, 11, 3, tzinfo=UTC))
    return made


def start(client: Client, old: PlanVersion, new: PlanVersion, when: str = "") -> Any:
    return client.post(START, {"from": old.pk, "to_version": new.pk, "when": when}, follow=True)


def moves(move: PlanMove, name: str) -> str:
    return page("billing_planmove", name, move.pk)


def test_anna_moves_ten_customers_after_a_preview(
    ten: list[Subscription], old: PlanVersion, new: PlanVersion
) -> None:
    client = anna()
    version = said(client.get(page("catalog_planversion", "change", old.pk)))
    assert "10 subscriptions on it now or later" in version
    assert "Move subscriptions…" in version
    asked = client.get(START, {"from": old.pk})
    assert "Move 10 subscriptions to another version" in said(asked)
    words = said(start(client, old, new))
    assert "Previewed, nothing changed yet" in words
    assert "Looked at 10 of 10 subscriptions" in words
    assert "Next invoices now 1,000.00 EUR net, with usage until 16 Nov 2026, 12:00 UTC" in words
    assert "Under the new version 1,450.00 EUR net" in words
    assert "+450.00 EUR : 10 pay more, 0 less, 0 the same" in words
    assert "C 3 s3 16 Nov 2026 100.00 145.00 +45.00 EUR" in words
    assert SubscriptionPhase.objects.filter(plan_version=new).count() == 0
    move = PlanMove.objects.get()
    words = said(client.get(moves(move, "move")))
    assert "Move 10 subscriptions to Scale v2?" in words
    assert "come to 1,450.00 EUR instead of 1,000.00 EUR before tax: +450.00 EUR" in words
    done = client.post(moves(move, "move"), follow=True)
    if PlanMove.objects.get().status == "moving":
        client.post(moves(move, "continue"))
        done = client.get(moves(move, "change"))
    assert "Finished 100 %" in said(done)
    assert SubscriptionPhase.objects.filter(plan_version=new).count() == 10
    assert "Moved 10 of 10" not in said(client.get(page("billing_planmove", "changelist")))
    assert "10 of 10" in said(client.get(page("billing_planmove", "changelist")))


def test_who_confirms_second_is_told(
    ten: list[Subscription], old: PlanVersion, new: PlanVersion
) -> None:
    start(anna(), old, new)
    move = PlanMove.objects.get()
    client = leo()
    client.get(moves(move, "move"))
    _signed_in("anna").post(moves(move, "move"))
    words = said(client.post(moves(move, "move"), follow=True))
    assert "anna has confirmed this move already." in words


def _signed_in(name: str) -> Client:
    client = Client()
    client.force_login(User.objects.get(username=name))
    return client


def test_what_stays_is_listed_with_its_reason(
    ten: list[Subscription], old: PlanVersion, new: PlanVersion
) -> None:
    ten[4].billing_periods.update(status="parked", trouble="x")
    words = said(start(anna(), old, new))
    assert "Stay as they are 1 subscription" in words
    assert "C 4 s4 Billing holds s4 2026-11-01 to 2026-12-01 back" in words


def test_chosen_subscriptions_are_moved_from_their_list(
    ten: list[Subscription], old: PlanVersion, new: PlanVersion
) -> None:
    client = anna()
    asked = client.post(
        page("customers_subscription", "changelist"),
        {"action": "move_subscriptions", "_selected_action": [ten[0].pk, ten[3].pk]},
    )
    assert "Move 2 subscriptions to another version" in said(asked)
    ids = f"{ten[0].pk},{ten[3].pk}"
    client.post(START, {"ids": ids, "to_version": new.pk, "when": "at_period_end"})
    move = PlanMove.objects.get()
    assert move.from_version is None
    assert [row.subscription.key for row in move.rows.all()] == ["s0", "s3"]
    assert {row.starts_on for row in move.rows.all()} == {date(2026, 12, 1)}


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"to_version": ""}, "This field is required."),
        ({"to_version": "999999"}, "Select a valid choice."),
        ({"when": "x"}, "Select a valid choice."),
    ],
)
def test_a_wrong_answer_is_told_at_its_field(
    given: dict[str, str],
    complaint: str,
    ten: list[Subscription],
    old: PlanVersion,
    new: PlanVersion,
) -> None:
    data = {"from": old.pk, "to_version": new.pk, "when": ""} | given
    answer = anna().post(START, data)
    assert answer.status_code == 200
    assert complaint in said(answer)
    assert not PlanMove.objects.exists()


@pytest.mark.parametrize("given", [{}, {"from": "x"}, {"ids": "a,b"}, {"from": "9" * 30}])
def test_nobody_chosen_leads_back(given: dict[str, str]) -> None:
    assert "Choose the subscriptions first." in said(anna().get(START, given, follow=True))


def test_every_row_as_csv(ten: list[Subscription], old: PlanVersion, new: PlanVersion) -> None:
    client = anna()
    start(client, old, new)
    answer: Any = client.get(moves(PlanMove.objects.get(), "csv"))
    text = b"".join(answer.streaming_content).decode()
    rows = list(csv.DictReader(StringIO(text)))
    assert len(rows) == 10
    assert rows[2] == {
        "subscription": "s2",
        "customer": "C 2",
        "customer_key": "c2",
        "outcome": "previewed",
        "from_day": "2026-11-16",
        "currency": "EUR",
        "net_now": "100.00",
        "net_after": "145.00",
        "difference": "45.00",
        "note": "",
    }


def test_pages_sorts_and_queries_do_not_grow(
    ten: list[Subscription], old: PlanVersion, new: PlanVersion
) -> None:
    client = anna()
    start(client, old, new)
    first = PlanMove.objects.get()
    for n in range(60):
        make.subscription(make.customer(f"d{n}"), old, key=f"d{n}")
    start(client, old, new)
    second = PlanMove.objects.exclude(pk=first.pk).get()
    few = queries(lambda: client.get(moves(first, "change")))
    assert queries(lambda: client.get(moves(second, "change"))) == few
    words = said(client.get(moves(second, "change"), {"p": "2", "sort": "customer"}))
    assert "Page 2 of 2" in words
    listed = page("billing_planmove", "changelist")
    both = queries(lambda: client.get(listed))
    start(client, old, new)
    assert queries(lambda: client.get(listed)) == both
    for sort in ("up", "down", "nonsense"):
        assert client.get(moves(first, "change"), {"sort": sort}).status_code == 200


def test_sam_looks_and_dora_and_a_stranger_do_not(
    ten: list[Subscription], old: PlanVersion, new: PlanVersion
) -> None:
    start(anna(), old, new)
    move = PlanMove.objects.get()
    support = sam()
    assert "Move them…" not in said(support.get(moves(move, "change")))
    assert support.post(moves(move, "move")).status_code == 403
    assert support.post(moves(move, "continue")).status_code == 403
    assert support.get(START, {"from": old.pk}).status_code == 403
    for client in (dora(), stranger()):
        assert client.get(moves(move, "change")).status_code == 403
        assert client.get(moves(move, "csv")).status_code == 403
    assert PlanMove.objects.get().status == "previewed"
