"""Usage and its quarantine as Finance works with them."""

from __future__ import annotations

from typing import Any

import pytest

from config.base.models import AuditEntry
from metering.models import QuarantinedEvent, UsageEvent
from tests import factories as make
from tests.metering.usage import body, send
from tests.staff import anna, page, queries, said, sam, stranger

pytestmark = pytest.mark.django_db
LIST = "metering_quarantinedevent"


@pytest.fixture
def misspelt() -> QuarantinedEvent:
    """An event for “acmee”, whose calls would be counted if it were acme."""
    make.metric("calls")
    make.customer("acme")
    send(body(id="evt-1", subject="acmee"))
    return QuarantinedEvent.objects.get()


def detail(row: QuarantinedEvent, name: str) -> str:
    return page(LIST, "change", row.pk).replace("change", name)


def test_the_list_says_why_in_plain_words(misspelt: QuarantinedEvent) -> None:
    words = said(
        anna().get(page(LIST, "changelist") + "?status__exact=open&code__exact=unknown_customer")
    )
    assert "Unknown customer" in words
    assert "There is no customer “acmee”." in words


def test_a_fixed_event_counts(misspelt: QuarantinedEvent) -> None:
    client = anna()
    form = client.get(detail(misspelt, "fix")).context["form"]
    assert form.initial["subject"] == "acmee"
    words = said(
        client.post(detail(misspelt, "fix"), {**form.initial, "subject": "acme"}, follow=True)
    )
    assert "evt-1 from gateway counts now." in words
    assert UsageEvent.objects.get().customer.key == "acme"
    assert AuditEntry.objects.filter(action="replayed", actor_name="anna").count() == 1


@pytest.mark.parametrize(
    ("fix", "words"),
    [
        pytest.param({"subject": "nobody"}, "There is no customer “nobody”.", id="still unknown"),
        pytest.param({"data": "{"}, "This is not JSON.", id="no JSON"),
        pytest.param({"time": "noon"}, "The time is RFC 3339", id="no time"),
        pytest.param(
            {"data": "{}", "subject": "acme"}, "needs the property “calls”", id="no value"
        ),
    ],
)
def test_what_still_cannot_be_counted_is_said(
    misspelt: QuarantinedEvent, fix: dict[str, str], words: str
) -> None:
    client = anna()
    form = client.get(detail(misspelt, "fix")).context["form"]
    assert words in said(client.post(detail(misspelt, "fix"), {**form.initial, **fix}, follow=True))
    assert not UsageEvent.objects.exists()


def test_many_are_tried_again_at_once(misspelt: QuarantinedEvent) -> None:
    send(body(id="evt-2", subject="late"), body(id="evt-3", subject="late"))
    make.customer("late")
    ids = list(QuarantinedEvent.objects.values_list("pk", flat=True))
    words = said(
        anna().post(
            page(LIST, "changelist"),
            {"action": "replay_selected", "_selected_action": ids},
            follow=True,
        )
    )
    assert "2 events count now." in words
    assert "evt-1 from gateway: There is no customer “acmee”." in words


def test_dismissing_needs_a_reason(misspelt: QuarantinedEvent) -> None:
    client = anna()
    assert "This field is required." in said(
        client.post(detail(misspelt, "dismiss"), {"reason": ""})
    )
    unseen = client.post(detail(misspelt, "dismiss"), {"reason": "a\u202eb"})
    assert "Control characters" in said(unseen)
    client.post(detail(misspelt, "dismiss"), {"reason": "A load\r\ntest."})
    misspelt.refresh_from_db()
    assert (misspelt.status, misspelt.resolved_by) == ("dismissed", "anna")
    assert "Dismiss…" not in said(client.get(page(LIST, "change", misspelt.pk)))


def test_many_are_dismissed_after_a_question(misspelt: QuarantinedEvent) -> None:
    send(body(id="evt-2", subject="x"))
    client, ids = anna(), list(QuarantinedEvent.objects.values_list("pk", flat=True))
    question = {"action": "dismiss_selected", "_selected_action": ids}
    asked = client.post(page(LIST, "changelist"), question)
    assert "Dismiss 2 events?" in said(asked)
    assert QuarantinedEvent.objects.filter(status="open").count() == 2
    client.post(page(LIST, "changelist"), {**question, "reason": "A load test."})
    assert QuarantinedEvent.objects.filter(status="dismissed").count() == 2


def test_a_conflict_is_refused_by_name(misspelt: QuarantinedEvent) -> None:
    send(body(id="evt-9"))
    send(body(id="evt-9", data={"calls": 9}))
    conflict = QuarantinedEvent.objects.get(code="conflict")
    client = anna()
    chosen = {"action": "replay_selected", "_selected_action": [conflict.pk]}
    words = said(client.post(page(LIST, "changelist"), chosen, follow=True))
    assert "another event with this source and id counts already" in words


@pytest.mark.parametrize(
    ("term", "found"),
    [("acme", 2), ("Globex", 1), ("gateway evt-1", 1), ("evt-1", 0), ("nobody", 0), ("", 3)],
)
def test_events_are_found_by_what_an_index_finds(term: str, found: int) -> None:
    make.metric("calls")
    make.customer("acme")
    make.customer("globex")
    send(body(id="evt-1"), body(id="evt-2"), body(id="evt-3", subject="globex"))
    response = anna().get(page("metering_usageevent", "changelist"), {"q": term})
    assert len(response.context["cl"].result_list) == found


def test_an_event_is_found_by_its_uuid_and_changed_by_nobody() -> None:
    make.metric("calls")
    make.customer("acme")
    send(body())
    event = UsageEvent.objects.get()
    client = anna()
    response = client.get(page("metering_usageevent", "changelist"), {"q": str(event.key)})
    assert len(response.context["cl"].result_list) == 1
    shown = said(client.get(page("metering_usageevent", "change", event.pk)))
    assert '{"calls":1}' in shown
    assert client.post(page("metering_usageevent", "change", event.pk), {}).status_code == 403
    assert client.get(page("metering_usageevent", "add")).status_code == 403


def test_a_long_list_takes_as_many_queries_as_a_short_one(misspelt: QuarantinedEvent) -> None:
    client = anna()
    lists = [page(LIST, "changelist"), page("metering_usageevent", "changelist")]

    def count() -> list[int]:
        return [queries(lambda: client.get(address)) for address in lists]  # noqa: B023

    send(body())
    before = count()
    send(*(body() for _ in range(40)), *(body(subject="x") for _ in range(40)))
    assert count() == before


@pytest.mark.parametrize("name", ["fix", "dismiss"])
def test_support_reads_but_does_not_decide(misspelt: QuarantinedEvent, name: str) -> None:
    client = sam()
    assert client.get(page(LIST, "changelist")).status_code == 200
    refused: Any = client.post(detail(misspelt, name), {"reason": "x", "subject": "acme"})
    assert refused.status_code == 403
    misspelt.refresh_from_db()
    assert misspelt.status == "open"


def test_a_stranger_sees_nothing(misspelt: QuarantinedEvent) -> None:
    client = stranger()
    for address in (page(LIST, "changelist"), page("metering_usageevent", "changelist")):
        assert client.get(address).status_code == 403
    assert client.get(page(LIST, "change", misspelt.pk)).status_code == 403
