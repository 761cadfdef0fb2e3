"""What came in since usage was read, told without measuring it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from config.base.audit import SYSTEM
from metering.events import event_key
from metering.querysets import Watch, changed
from metering.services import replace_event, void_events
from metering.services.rollups import appending, fold_pieces
from tests import factories as make
from tests.metering.usage import DEC, HOUR, NOV, NOW, body, build, send

pytestmark = pytest.mark.django_db
LATER = NOW + HOUR
EARLY = UUID(bytes=event_key("gateway", "early"))


def later(time: str, *, type: str = "api.call", subject: str = "acme") -> Callable[[], object]:
    return lambda: send(body(time=time, type=type, subject=subject), at=LATER)


def void() -> object:
    return void_events(keys=[EARLY], reason="A test.", at=LATER, actor=SYSTEM)


def replace() -> object:
    return replace_event(key=EARLY, data={"calls": 2}, reason="A test.", at=LATER, actor=SYSTEM)


@pytest.fixture(params=["events", "pieces", "folded", "a row per batch"])
def kept(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How usage is kept at the time."""
    if request.param == "a row per batch":
        monkeypatch.setattr(appending, "WORTH_A_BATCH", 1)
    return str(request.param)


@pytest.mark.parametrize(
    ("what", "found"),
    [
        pytest.param(lambda: None, False, id="nothing came"),
        pytest.param(later("2026-11-30T23:59:59Z"), True, id="just before the end"),
        pytest.param(later("2026-11-01T00:00:00Z"), True, id="at the start"),
        pytest.param(later("2026-12-03T00:00:00Z"), False, id="after the end"),
        pytest.param(later("2026-10-29T23:59:59Z"), False, id="before the start"),
        pytest.param(later("2026-11-10T00:00:00Z", type="other"), False, id="of another metric"),
        pytest.param(
            later("2026-11-10T00:00:00Z", subject="zeta"), False, id="of another customer"
        ),
        pytest.param(void, True, id="an event was voided"),
        pytest.param(replace, True, id="an event was replaced"),
    ],
)
def test_what_came_in_since(kept: str, what: Callable[[], object], found: bool) -> None:
    metric, acme = make.metric(), make.customer("acme")
    make.metric(event_type="other"), make.customer("zeta")
    if kept != "events":
        build()
    send(body(id="early"), at=NOW - HOUR)
    what()
    if kept == "folded":
        fold_pieces()
    assert changed([Watch(metric, acme.pk, NOV, DEC, NOW)]) == ({0} if found else set())


def test_since_ever_counts_what_lies_before_the_start() -> None:
    metric, acme = make.metric(), make.customer("acme")
    build()
    send(body(time="2024-01-01T00:00:00Z"), at=LATER)
    watches = [Watch(metric, acme.pk, start, DEC, NOW) for start in (NOV, None)]
    assert changed(watches) == {1}


def test_one_statement_however_many_are_asked_about() -> None:
    metric, acme = make.metric(), make.customer("acme")
    send(body(), at=LATER)
    watches = [
        Watch(metric, acme.pk, NOV - n * timedelta(days=30), DEC, NOW + n * HOUR) for n in range(40)
    ]
    with CaptureQueriesContext(
        connection,
    ) as asked:
        assert changed(watches) == {0}
    assert len(asked) == 1
    assert changed([]) == set()
