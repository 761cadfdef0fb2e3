"""What real senders put on the wire, as `tests/compat/run` recorded it, counts once and exactly."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import time_machine
from rest_framework.test import APIClient

from catalog.models import ValueMetric
from customers.models import Customer
from metering.models import QuarantinedEvent
from tests import compat
from tests import factories as make
from tests.compat.expected import SENDERS, Sender
from tests.conftest import Caller
from tests.metering.usage import HOUR, D, used

RECORDED = Path(compat.__file__).parent / "requests"
SOON_AFTER = datetime(2026, 11, 26, tzinfo=UTC)
ONCE = datetime(2020, 1, 1, tzinfo=UTC)
pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("sender", SENDERS, ids=[sender.name for sender in SENDERS])
@time_machine.travel(SOON_AFTER, tick=False)
def test_recorded_requests_count_once_however_often_they_come(
    sender: Sender, caller: Caller
) -> None:
    acme = make.customer("acme")
    make.subscription(acme, key="acme-scale")
    for type_, (name, _, _) in sender.usage.items():
        make.metric(type_, event_type=type_, value_property=name)
    requests = json.loads((RECORDED / f"{sender.name}.json").read_text())
    client = caller("events:write")
    for _ in range(2):
        assert {replayed(client, request).status_code for request in requests} <= {200, 204}
        assert counted(acme) == {
            type_: (D(total), events) for type_, (_, total, events) in sender.usage.items()
        }
    assert not QuarantinedEvent.objects.exists()


def replayed(client: APIClient, request: dict[str, Any]) -> Any:
    sent = {name: value for name, value in request["headers"] if name.lower() not in OUR_OWN}
    named = {name.lower(): value for name, value in request["headers"]}
    return client.generic(
        request["method"],
        request["path"],
        request["body"].encode(),
        content_type=named.get("content-type", ""),
        headers=sent,
    )


OUR_OWN = {"authorization", "host", "content-length", "content-type", "transfer-encoding"}


def counted(customer: Customer) -> dict[str, tuple[D, int]]:
    found = {}
    for metric in ValueMetric.objects.all():
        usage = used(metric, customer, start=ONCE, end=SOON_AFTER + HOUR)
        found[metric.key] = (usage.quantity, usage.events)
    return found
