"""The quarantine as a work list: groups by reason, each worked off whole."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest

from config.base.models import AuditEntry
from customers.models import Customer
from metering.models import QuarantinedEvent, UsageEvent
from metering.services import groups
from tests import factories as make
from tests.metering.usage import NOW, D, body, send
from tests.staff import anna, leo, page, queries, said, sam, stranger

pytestmark = pytest.mark.django_db
LIST = "metering_quarantinedevent"


@pytest.fixture(autouse=True)
def _acme() -> None:
    """Acme's calls are counted, and storage; globex has two subscriptions that bill calls."""
    calls = make.metric("calls")
    make.metric("storage", event_type="storage.level")
    make.customer("acme")
    version = make.published(make.graduated(calls, "rest @ 1"))
    globex = make.customer("globex")
    for key in ("globex-a", "globex-b"):
        make.subscription(globex, version, key=key)


def group(code: str, about: str) -> str:
    return f"{page(LIST, 'group')}?code={code}&about={about}"


def waiting() -> int:
    return QuarantinedEvent.objects.filter(status="open").count()


@pytest.mark.parametrize(
    ("sent", "code", "about", "words"),
    [
        pytest.param({"subject": "acmee"}, "unknown_customer", "acmee",
                     "Create customer “acmee”", id="a customer nobody knows"),
        pytest.param({"type": "llm.call"}, "unknown_type", "llm.call",
                     "A Finance lead can create one.", id="a type nobody counts"),
        pytest.param({"data": {}}, "missing_value", "api.call", "Fix and count", id="no value"),
        pytest.param({"data": {"calls": "x"}}, "bad_value", "api.call", "Fix and count", id="no number"),
        pytest.param({"subject": "globex"}, "ambiguous_subscription", "globex",
                     "They are billed by", id="two subscriptions"),
        pytest.param({"subscription": "old"}, "unknown_subscription", "acme",
                     "They are billed by", id="a subscription nobody knows"),
        pytest.param({"time": "2099-01-01T00:00:00Z"}, "future_time", "gateway",
                     "once the time has come", id="in the future"),
    ],
)  # fmt: skip
def test_each_reason_has_a_group_with_its_likely_fix(
    sent: dict[str, Any], code: str, about: str, words: str
) -> None:
    send(body(**sent), body(**sent))
    client = anna()
    listed = client.get(page(LIST, "changelist"))
    [row] = listed.context["groups"]
    assert (row["about"], row["count"]) == (about, "2")
    assert "What waits" in said(listed)
    shown = said(client.get(group(code, about)))
    assert "2 events wait here" in shown
    assert words in shown
    assert QuarantinedEvent.objects.all()[0].detail in shown


@pytest.mark.parametrize(
    ("events", "button"), [(1, "Count this event"), (2, "Count these 2 events")]
)
def test_the_button_says_how_many_will_count(events: int, button: str) -> None:
    send(*[body(subject="acmee") for _ in range(events)])
    assert button in said(anna().get(group("unknown_customer", "acmee")))


def test_a_phone_reads_each_group_as_a_card_whose_values_are_labelled() -> None:
    send(body(subject="acmee"))
    listed = anna().get(page(LIST, "changelist")).content.decode()
    for label in ("Why", "About", "Events", "Since", "The likely fix"):
        assert f'data-label="{label}"' in listed


def test_a_conflict_stands_beside_what_counts() -> None:
    send(body(id="evt-1", data={"calls": 1, "region": "eu"}))
    send(body(id="evt-1", data={"calls": 9, "region": "eu"}))
    client = anna()
    assert "Try all again" not in said(client.get(group("conflict", "gateway")))
    shown = client.get(page(LIST, "change", QuarantinedEvent.objects.get().pk))
    sides = {side.name: side for side in shown.context["compared"].rows}
    assert (sides["calls"].counts, sides["calls"].waits, sides["calls"].differs) == ("1", "9", True)
    assert not sides["region"].differs
    assert page("metering_usageevent", "change", UsageEvent.objects.get().pk) in str(shown.content)


def test_a_new_customer_begins_with_the_key() -> None:
    send(body(subject="initech"))
    client = anna()
    [row] = client.get(page(LIST, "changelist")).context["groups"]
    form = client.get(row["fix_url"]).context["adminform"].form
    assert (form["key"].value(), form["name"].value()) == ("initech", "initech")


def test_a_new_metric_begins_with_the_type_and_its_first_number() -> None:
    send(body(type="llm.call", data={"model": "m", "tokens": 12}))
    client = leo()
    [row] = client.get(page(LIST, "changelist")).context["groups"]
    form = client.get(row["fix_url"]).context["adminform"].form
    begun = [form[name].value() for name in ("event_type", "value_property", "aggregation")]
    assert begun == ["llm.call", "tokens", "sum"]


def test_a_subject_that_is_no_key_offers_no_customer() -> None:
    send(body(subject="Initech Inc"))
    client = anna()
    [row] = client.get(page(LIST, "changelist")).context["groups"]
    assert row["fix_url"] == ""
    shown = said(client.get(group("unknown_customer", "Initech Inc")))
    assert "No customer can have such a key" in shown


def test_a_misspelt_customer_is_recognised_and_all_its_events_count_for_it() -> None:
    send(*(body(subject="acmee", data={"calls": 2}) for _ in range(3)))
    client = anna()
    shown = client.get(group("unknown_customer", "acmee"))
    assert shown.context["fix"].choices == [("acme", "Acme (acme)")]
    words = said(
        client.post(
            group("unknown_customer", "acmee"), {"do": "mend", "value": "acme"}, follow=True
        )
    )
    assert "3 events counted." in words
    assert set(UsageEvent.objects.values_list("customer__key", flat=True)) == {"acme"}
    assert AuditEntry.objects.filter(action="replayed", actor_name="anna").count() == 3


def test_once_the_customer_is_there_all_are_tried_again() -> None:
    send(*(body(subject="initech") for _ in range(3)))
    make.customer("initech")
    assert "3 events counted." in said(
        anna().post(group("unknown_customer", "initech"), {"do": "replay"}, follow=True)
    )


def test_what_still_can_t_be_counted_is_said_with_its_reason() -> None:
    send(body(subject="acmee", data={}), body(subject="acmee"))
    words = said(
        anna().post(
            group("unknown_customer", "acmee"), {"do": "mend", "value": "acme"}, follow=True
        )
    )
    assert "1 event counted." in words
    assert "1 event: “Calls” needs the property “calls”." in words
    assert QuarantinedEvent.objects.get(status="open").code == "missing_value"


def test_a_subscription_is_chosen_for_all() -> None:
    send(*(body(subject="globex") for _ in range(2)))
    client = anna()
    address = group("ambiguous_subscription", "globex")
    offered = [key for key, _ in client.get(address).context["fix"].choices]
    assert offered == ["globex-a", "globex-b"]
    client.post(address, {"do": "mend", "value": "globex-b"})
    assert set(UsageEvent.objects.values_list("subscription__key", flat=True)) == {"globex-b"}


def test_many_take_several_pages_and_each_is_looked_at_once() -> None:
    send(*(body(subject="acmee") for _ in range(4)), body(subject="acmee", data={}))
    make.customer("acmee")
    client, address = anna(), group("unknown_customer", "acmee")
    with patch.object(groups, "AT_ONCE", 2):
        shown = client.post(address, {"do": "replay"})
        while "data-go-on" in shown.content.decode():
            hidden = dict(shown.context["hidden"])
            assert int(hidden["done"]) + int(shown.context["left"]) <= 5
            shown = client.post(address, hidden, follow=True)
    assert "4 events counted." in said(shown)
    assert (UsageEvent.objects.count(), waiting()) == (4, 1)


def test_one_refusal_does_not_hold_up_the_others() -> None:
    """A text that only one of them makes no event of."""
    send(body(subject="acmee"), body(subject="acmee"))
    client = anna()
    words = said(
        client.post(
            group("unknown_customer", "acmee"), {"do": "mend", "value": "a\x01"}, follow=True
        )
    )
    assert "2 events:" in words
    assert waiting() == 2


def test_all_are_dismissed_with_one_reason() -> None:
    send(*(body(subject="test") for _ in range(3)), body(subject="other"))
    client, address = anna(), group("unknown_customer", "test")
    assert "Say why they are never to be counted." in said(client.post(address, {"do": "dismiss"}))
    unseen = client.post(address, {"do": "dismiss", "reason": "a\x07b"})
    assert "Control characters" in said(unseen)
    words = said(client.post(address, {"do": "dismiss", "reason": "A load test."}, follow=True))
    assert "3 events dismissed." in words
    assert waiting() == 1
    assert AuditEntry.objects.filter(action="dismissed", note="A load test.").count() == 3


def test_mending_needs_a_value() -> None:
    send(body(subject="acmee"))
    shown = anna().post(group("unknown_customer", "acmee"), {"do": "mend", "value": ""})
    assert "Say what they should have said." in said(shown)


def test_a_group_that_is_worked_off_leads_back_to_the_list() -> None:
    response: Any = anna().get(group("unknown_customer", "nobody"))
    assert response.url == page(LIST, "changelist")


def test_an_empty_quarantine_says_so() -> None:
    shown = anna().get(page(LIST, "changelist"))
    assert "every event counts" in said(shown)
    assert "What waits" not in said(shown)


def test_a_search_shows_no_groups() -> None:
    send(body(subject="acmee"))
    assert "What waits" not in said(anna().get(page(LIST, "changelist") + "?q=evt"))


def test_many_groups_take_as_many_queries_as_one() -> None:
    send(body(subject="acmee"))
    client = anna()
    address = group("unknown_customer", "acmee")
    client.get(address)
    before = [queries(lambda: client.get(page(LIST, "changelist"))),
              queries(lambda: client.get(address))]  # fmt: skip
    send(*(body(subject=f"x{n}") for n in range(60)), *(body(subject="acmee") for _ in range(30)))
    Customer.objects.bulk_create(
        Customer(key=f"acme-{n}", name=f"Acme {n}", legal_name="x", currency="EUR")
        for n in range(20)
    )
    after = [queries(lambda: client.get(page(LIST, "changelist"))),
             queries(lambda: client.get(address))]  # fmt: skip
    assert after == before


def test_many_events_take_few_queries_to_count(django_assert_max_num_queries: Any) -> None:
    send(*(body(subject="acmee") for _ in range(100)))
    client = anna()
    make.customer("acmee")
    with django_assert_max_num_queries(150):  # a key each is led to its event
        client.post(group("unknown_customer", "acmee"), {"do": "replay"})
    assert waiting() == 0


def test_support_looks_but_decides_nothing() -> None:
    send(body(subject="acmee"))
    client, address = sam(), group("unknown_customer", "acmee")
    shown = said(client.get(address))
    assert "acmee" in shown
    assert "Dismiss 1 event" not in shown
    refused: Any = client.post(address, {"do": "dismiss", "reason": "x"})
    assert refused.status_code == 403
    assert waiting() == 1


def test_a_stranger_sees_no_group() -> None:
    send(body(subject="acmee"))
    assert stranger().get(group("unknown_customer", "acmee")).status_code == 403


def test_amounts_are_not_touched_by_looking() -> None:
    send(body(subject="acmee", data={"calls": D("2.50")}), at=NOW)
    anna().get(group("unknown_customer", "acmee"))
    assert waiting() == 1
