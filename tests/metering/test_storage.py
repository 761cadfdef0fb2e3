"""How events lie in the database: their ids, and the keys that lead to them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from django.db import connection

from config.base.audit import SYSTEM
from metering.models import EventKey, QuarantinedEvent, UsageEvent
from metering.services import replay
from metering.services.storage import IDS_PER_BLOCK, reserve_ids
from tests import factories as make
from tests.metering.usage import NOW, body, event, send

pytestmark = pytest.mark.django_db


@pytest.fixture
def calls() -> Any:
    make.customer("acme")
    return make.metric("calls")


def leads(key: UUID) -> list[str]:
    """Return what the sender called the event that a key leads to."""
    return list(UsageEvent.objects.under_key(key).values_list("event_id", flat=True))


def key_of(sent: dict[str, Any]) -> UUID:
    return UUID(bytes=event(**sent).key)


def test_a_key_leads_to_its_event(calls: Any) -> None:
    sent = [body(id=name, time=f"20{n}6-11-01T12:00:00Z") for n, name in enumerate("abc")]
    send(*sent)
    assert [leads(key_of(one)) for one in sent] == [["a"], ["b"], ["c"]]
    assert leads(UUID(int=1)) == []


def test_a_key_in_quarantine_leads_nowhere_until_its_event_counts(calls: Any) -> None:
    replayed, resent = body(subject="globex"), body(subject="globex")
    send(replayed, resent)
    assert leads(key_of(replayed)) == leads(key_of(resent)) == []
    make.customer("globex")
    send(resent)
    waiting = QuarantinedEvent.objects.get(status="open")
    replay(ids=[waiting.pk], at=NOW, actor=SYSTEM)
    for sent in (replayed, resent):
        assert leads(key_of(sent)) == [sent["id"]]
    assert not EventKey.objects.filter(stored_as=None).exists()


def test_ids_rise_in_the_order_of_arrival(calls: Any) -> None:
    """Also where the keys sort otherwise, and from batch to batch."""
    names = [str(n) for n in range(30)]
    send(*(body(id=name) for name in names[:20]))
    send(*(body(id=name, subject="globex" if name == "25" else "acme") for name in names[15:]))
    make.customer("globex")
    send(body(id="25", subject="globex"))
    stored = UsageEvent.objects.order_by("pk").values_list("event_id", flat=True)
    assert list(stored) == [name for name in names if name != "25"] + ["25"]


def test_reserved_ids_are_above_all_that_are_stored(calls: Any) -> None:
    send(body())
    [stored] = UsageEvent.objects.values_list("pk", flat=True)
    assert reserve_ids(IDS_PER_BLOCK)[0] > stored
    if connection.vendor == "postgresql":
        assert reserve_ids(1)[0] >= stored + 2 * IDS_PER_BLOCK
