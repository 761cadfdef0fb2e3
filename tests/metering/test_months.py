"""Months of events on PostgreSQL: made ahead, strays moved, archived and restored."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, connections, transaction

from catalog.models import ValueMetric
from catalog.services import change_metric
from config.base.audit import SYSTEM
from customers.models import Customer
from customers.periods import month_after
from metering.models import (
    ArchivedMonth,
    EventKey,
    PieceBatch,
    QuarantinedEvent,
    Rollup,
    UsageEvent,
    UsagePiece,
)
from metering.querysets import MonthArchived
from metering.services import archive, months, replay, void_events
from metering.services.rollups import build_rollups, differences, fold_pieces, rollup_of
from tests import factories as make
from tests.conftest import Caller
from tests.metering.usage import NOW, body, event, send, used

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite keeps one table"),
    pytest.mark.postgresql,
]

SEPTEMBER = date(2025, 9, 1)
IN_SEPTEMBER = "2025-09-30T23:59:59.999999Z"


@pytest.fixture(autouse=True)
def calls(transactional_db: None, settings: Any, tmp_path: Path) -> Iterator[None]:
    """acme and the metric calls; afterwards September has no partition, as before."""
    settings.DATA_DIR = tmp_path
    make.customer("acme")
    make.metric("calls")
    yield
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS {months.partition_of(SEPTEMBER)}")


def where() -> dict[str, str]:
    """Return in which table each event lies."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT event_id, tableoid::regclass::text FROM metering_usageevent")
        return dict(cursor.fetchall())


def until_built() -> None:
    """Build rollups, which wait for every transaction of the server."""
    for _ in range(600):
        if not build_rollups(at=NOW):
            return
        time.sleep(0.05)
    raise AssertionError("a transaction runs for half a minute")


def archived(month: date = SEPTEMBER) -> ArchivedMonth:
    return archive.archive_month(month=month, at=NOW, actor=SYSTEM)


def test_this_month_and_the_next_three_are_made_once() -> None:
    at = datetime(2031, 11, 30, 23, 59, 59, tzinfo=UTC)
    made = months.make_months(at=at)
    try:
        assert made == [date(2031, 11, 1), date(2031, 12, 1), date(2032, 1, 1), date(2032, 2, 1)]
        assert months.make_months(at=at) == []
    finally:
        with connection.cursor() as cursor:
            for month in made:
                cursor.execute(f"DROP TABLE {months.partition_of(month)}")


def test_whoever_migrates_has_the_months_around_now() -> None:
    this = months.month_of(datetime.now(UTC))
    around = [month_after(this, n) for n in range(4)]
    with connection.cursor() as cursor:
        for month in around:
            cursor.execute(f"DROP TABLE IF EXISTS {months.partition_of(month)}")
    for _ in range(2):
        call_command("migrate", verbosity=0)
        assert set(around) <= set(months.existing_months())


def test_strays_move_to_their_month_whole_and_keep_their_keys() -> None:
    first = body(id="first", time="2025-09-01T00:00:00Z")
    last, next_month = body(id="last", time=IN_SEPTEMBER), body(id="next", time="2025-10-01T00:00Z")
    next_month["time"] = "2025-10-01T00:00:00Z"
    ancient = body(id="ancient", time="1970-01-01T00:00:00Z")
    send(first, last, next_month, ancient)
    before = {row.event_id: row.pk for row in UsageEvent.objects.all()}
    assert set(where().values()) == {"metering_usageevent_default"}
    assert SEPTEMBER in months.make_months(at=NOW)
    assert where() == {
        "first": "metering_usageevent_2025_09",
        "last": "metering_usageevent_2025_09",
        "next": "metering_usageevent_2025_10",
        "ancient": "metering_usageevent_default",
    }
    assert {row.event_id: row.pk for row in UsageEvent.objects.all()} == before
    for sent in (first, ancient):
        key = UUID(bytes=event(**sent).key)
        assert UsageEvent.objects.under_key(key).get().event_id == sent["id"]
    assert send(last).duplicates == 1
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE metering_usageevent_2025_10")


@pytest.mark.parametrize("table", ["metering_usageevent_2025_09", "metering_usageevent_default"])
@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        pytest.param("UPDATE {} SET type = 'x'", "usage_event_never_changes", id="no change"),
        pytest.param("DELETE FROM {}", "usage_event_is_never_deleted", id="no deletion"),
        pytest.param("TRUNCATE {}", "metering_usageevent_is_never_emptied", id="no emptying"),
    ],
)
def test_guards_hold_on_every_partition(table: str, statement: str, rule: str) -> None:
    send(body(time=IN_SEPTEMBER))
    months.make_months(at=NOW)
    send(body(time="1970-01-01T00:00:00Z"))
    with pytest.raises(IntegrityError, match=rule), transaction.atomic():
        connection.cursor().execute(statement.format(table))


def test_a_month_is_made_beside_itself_and_beside_senders() -> None:
    failures: list[BaseException] = []

    def work(call: Any) -> None:
        try:
            for _ in range(5):
                call()
        except BaseException as failure:  # noqa: BLE001 - shown by the test
            failures.append(failure)
        finally:
            connections.close_all()

    def sender() -> None:
        send(*(body(time=IN_SEPTEMBER) for _ in range(50)))

    def maker() -> None:
        months.make_months(at=NOW)

    threads = [threading.Thread(target=work, args=(call,)) for call in (sender, maker, maker)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    months.make_months(at=NOW)
    assert failures == []
    assert list(where().values()) == ["metering_usageevent_2025_09"] * 250


def test_an_archived_month_comes_back_as_it_was() -> None:
    nasty = {"calls": 1, "text": 'tab\t line\n back\\slash "é" \\N', "n": "1"}
    send(body(id="back\\slash", time=IN_SEPTEMBER, data=nasty), body(time="2025-09-02T00:00:00Z"))
    months.make_months(at=NOW)
    before = list(UsageEvent.objects.order_by("pk").values())
    row = archived()
    assert (row.events, row.archived_at) == (2, NOW)
    assert not UsageEvent.objects.exists()
    assert EventKey.objects.count() == 2
    path = archive.file_of(SEPTEMBER)
    assert gzip.decompress(path.read_bytes()).count(b"\n") == 2
    assert archive.restore_month(month=SEPTEMBER, actor=SYSTEM) == 2
    assert list(UsageEvent.objects.order_by("pk").values()) == before
    assert not ArchivedMonth.objects.exists()
    assert archived().sha256 == row.sha256


def test_what_arrives_for_an_archived_month_waits_and_what_is_there_stays_a_duplicate() -> None:
    known = body(time=IN_SEPTEMBER)
    send(known)
    months.make_months(at=NOW)
    archived()
    assert send(known).duplicates == 1
    report = send(body(id="late", time=IN_SEPTEMBER), body(time="2025-10-01T00:00:00Z"))
    assert report.accepted == 1
    assert report.problems[0].code == "archived_month"
    assert (
        report.problems[0].detail == "The events of 2025-09 are archived; restore them to count it."
    )
    late = QuarantinedEvent.objects.get()
    assert replay(ids=[late.pk], at=NOW, actor=SYSTEM)[0].status == "open"
    archive.restore_month(month=SEPTEMBER, actor=SYSTEM)
    assert replay(ids=[late.pk], at=NOW, actor=SYSTEM)[0].status == "replayed"
    assert where()["late"] == "metering_usageevent_2025_09"


def test_usage_of_an_archived_month_is_measured_by_its_sums_or_refused_by_name() -> None:
    acme, metric = Customer.objects.get(key="acme"), ValueMetric.objects.get(key="calls")
    until_built()
    sent = body(time=IN_SEPTEMBER, data={"calls": 5})
    send(sent, body(time="2025-09-02T12:00:00Z", data={"calls": 2}))
    months.make_months(at=NOW)
    archived()
    start, end = months.bounds(SEPTEMBER)
    noon = datetime(2025, 9, 2, 12, tzinfo=UTC)
    assert used(metric, acme, start=start, end=end).quantity == 7
    assert used(metric, acme, start=end, end=NOW).quantity == 0
    new = make.metric("new")
    key = UUID(bytes=event(**sent).key)
    for refused in (
        lambda: used(metric, acme, start=start, end=noon),  # within a day: only events can tell
        lambda: used(new, acme, start=start, end=end),
        lambda: void_events(keys=[key], reason="A test.", at=NOW, actor=SYSTEM),
    ):
        with pytest.raises(MonthArchived, match="manage.py restore_events 2025-09"):
            refused()
    until_built()
    with pytest.raises(MonthArchived):
        used(new, acme, start=start, end=end)
    assert used(new, acme, start=end, end=NOW).quantity == 0
    archive.restore_month(month=SEPTEMBER, actor=SYSTEM)
    until_built()
    assert used(metric, acme, start=start, end=noon).quantity == 0
    assert used(new, acme, start=start, end=end).quantity == 7


@pytest.mark.parametrize("change", [("void", {}), ("replace", {"data": {"calls": 2}})])
def test_the_api_says_that_an_event_is_archived(
    caller: Caller, change: tuple[str, dict[str, Any]]
) -> None:
    sent = body(time=IN_SEPTEMBER)
    send(sent)
    months.make_months(at=NOW)
    archived()
    verb, fields = change
    url = f"/api/v1/events/{UUID(bytes=event(**sent).key)}/{verb}"
    answer = caller("events:write").post(url, {**fields, "reason": "A test."}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (409, "month_archived")


def test_the_audit_goes_on_beside_an_archive() -> None:
    """A level that carries over can't be checked after it; everything else is."""
    make.metric("held", aggregation="max", value_is="level", carry_over=True)
    until_built()
    send(body(time=IN_SEPTEMBER), body(time="2025-10-05T12:00:00Z"))
    months.make_months(at=NOW)
    archived()
    assert list(differences()) == []
    UsagePiece.objects.filter(starts_at__gte="2025-10-01T00:00Z").update(total=9)
    assert {one.metric for one in differences()} == {"calls"}


def test_an_archive_that_was_interrupted_is_finished_by_the_next() -> None:
    send(body(time=IN_SEPTEMBER))
    months.make_months(at=NOW)
    archive._close_month(SEPTEMBER, [], at=NOW)
    assert send(body(time=IN_SEPTEMBER)).problems[0].code == "archived_month"
    with pytest.raises(archive.MonthNotArchivable, match="never archived to its end"):
        archive.restore_month(month=SEPTEMBER, actor=SYSTEM)
    assert archived().events == 1
    with pytest.raises(archive.MonthNotArchivable, match="archived already"):
        archived()


def test_a_damaged_file_is_not_restored() -> None:
    send(body(time=IN_SEPTEMBER))
    months.make_months(at=NOW)
    archived()
    path = archive.file_of(SEPTEMBER)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(archive.ArchiveDamaged):
        archive.restore_month(month=SEPTEMBER, actor=SYSTEM)
    path.unlink()
    with pytest.raises(archive.ArchiveDamaged):
        archive.restore_month(month=SEPTEMBER, actor=SYSTEM)
    assert ArchivedMonth.objects.get().archived_at


def test_only_a_month_that_is_over_and_settled_is_archived() -> None:
    version = make.published(make.graduated(ValueMetric.objects.get(), "rest @ 1"))
    acme = Customer.objects.get(key="acme")
    make.subscription(acme, version, starts_on=date(2025, 9, 15))
    send(body(time=IN_SEPTEMBER))
    months.make_months(at=NOW)
    errors = []
    for month in ("2025-09", "2026-12", "2019-01"):
        with pytest.raises(CommandError) as refusal:
            call_command("archive_events", month)
        errors.append(str(refusal.value))
    assert "2025-09 can't be archived: 1" in errors[0]
    assert "it is not over" in errors[1]
    assert "it has no partition, so no events either" in errors[2]
    assert not ArchivedMonth.objects.exists()


def test_the_commands_say_what_they_did() -> None:
    send(body(time=IN_SEPTEMBER))
    months.make_months(at=NOW)
    out = StringIO()
    call_command("archive_events", "2025-09", stdout=out)
    call_command("restore_events", "2025-09", stdout=out)
    call_command("make_months", stdout=out)
    assert "1 events are in" in out.getvalue()
    assert "1 events of 2025-09 are back." in out.getvalue()
    with pytest.raises(CommandError, match="is no month such as 2025-09"):
        call_command("archive_events", "September")


OCTOBER_1 = datetime(2025, 10, 1, tzinfo=UTC)


def in_autumn(metric: ValueMetric, start: str, end: str) -> Any:
    """Return what acme used, or what keeps that from being told."""
    acme = Customer.objects.get(key="acme")
    begins, ends = (
        datetime.fromisoformat(f"2025-{day}").replace(tzinfo=UTC) for day in (start, end)
    )
    try:
        return used(metric, acme, start=begins, end=ends).quantity
    except MonthArchived:
        return "archived"


SPANS = (
    ("08-01", "09-01"),
    ("09-01", "10-01"),
    ("09-30", "11-01"),
    ("10-01", "11-01"),
    ("11-01", "12-01"),
)


def autumn() -> None:
    """An event a month, whose values tell them apart, and September in the archive."""
    for month, calls in ((8, 1), (9, 2), (10, 4), (11, 8)):
        for day in (1, 15):
            send(
                body(
                    time=f"2025-{month:02}-{day:02}T00:30:00Z",
                    data={"calls": calls, "more": calls * 100},
                )
            )
    months.make_months(at=NOW)
    archived()


def test_a_metric_made_after_an_archive_knows_usage_from_its_end_on_and_says_so() -> None:
    Customer.objects.filter(key="acme").update(time_zone="Europe/Berlin")
    autumn()
    late = make.metric("late", value_property="more")
    unbuilt = [in_autumn(late, *span) for span in SPANS]
    assert unbuilt == [200, "archived", "archived", 800, 1600]
    out = StringIO()
    call_command("rollups", stdout=out)
    assert "“Late” knows usage from 2025-10-01 UTC on" in out.getvalue()
    assert rollup_of(late).knows_from == OCTOBER_1  # type: ignore[union-attr]
    assert [in_autumn(late, *span) for span in SPANS] == unbuilt
    send(body(time="2025-10-01T00:10:00Z", data={"calls": 1, "more": 7}))
    send(body(time="2025-08-20T00:10:00Z", data={"calls": 1, "more": 9}))
    for _ in range(2):
        found = [in_autumn(late, *span) for span in SPANS]
        assert found == [209, "archived", "archived", 807, 1600]
        fold_pieces()
    assert list(differences()) == []


def test_a_month_is_archived_only_when_all_is_summed_up() -> None:
    send(body(time=IN_SEPTEMBER, data={"calls": 3}))
    months.make_months(at=NOW)
    for kept in (UsagePiece, PieceBatch, Rollup):  # as before a worker came by
        kept.objects.all().delete()
    writer = connections.create_connection("default")
    try:
        with writer.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT pg_current_xact_id()")
            with pytest.raises(
                archive.MonthNotArchivable, match="“Calls” is still being summed up"
            ):
                archived()
            cursor.execute("ROLLBACK")
    finally:
        writer.close()
    assert archived().types == ["api.call"]
    start, end = months.bounds(SEPTEMBER)
    acme = Customer.objects.get(key="acme")
    assert used(ValueMetric.objects.get(), acme, start=start, end=end).quantity == 3


def test_what_is_restored_is_known_again() -> None:
    autumn()
    late = make.metric("late", value_property="more")
    until_built()
    archive.restore_month(month=SEPTEMBER, actor=SYSTEM)
    expected = [200, 400, 800, 800, 1600]
    assert [in_autumn(late, *span) for span in SPANS] == expected
    until_built()
    assert rollup_of(late).knows_from is None  # type: ignore[union-attr]
    archived()
    assert [in_autumn(late, *span) for span in SPANS[:2]] == expected[:2]


def test_a_level_that_carries_over_needs_what_is_archived() -> None:
    autumn()
    held = make.metric("held", aggregation="max", value_is="level", carry_over=True)
    for _ in range(2):
        assert in_autumn(held, "11-01", "12-01") == "archived"
        until_built()
    archive.restore_month(month=SEPTEMBER, actor=SYSTEM)
    assert in_autumn(held, "11-01", "12-01") == 8


def test_a_metric_of_a_type_that_no_archive_has_knows_all() -> None:
    autumn()
    fresh = make.metric(
        "fresh", event_type="fresh", aggregation="latest", value_is="level", carry_over=True
    )
    send(body(time="2025-10-15T00:00:00Z", type="fresh"))
    for _ in range(2):
        assert [in_autumn(fresh, *span) for span in SPANS[1:]] == [0, 1, 1, 1]
        until_built()
    assert rollup_of(fresh).knows_from is None  # type: ignore[union-attr]


def test_a_metric_changed_after_an_archive_and_changed_back_has_lost_nothing() -> None:
    autumn()
    calls = ValueMetric.objects.get(key="calls")
    for name, expected in (
        ("more", [200, "archived", "archived", 800, 1600]),
        ("calls", [2, 4, 8, 8, 16]),
    ):
        change_metric(metric_id=calls.pk, fields={"value_property": name}, actor=SYSTEM)
        calls.refresh_from_db()
        until_built()
        send(body(time="2025-11-16T00:00:00Z", data={"calls": 0, "more": 0}))
        fold_pieces()
        assert [in_autumn(calls, *span) for span in SPANS] == expected
    assert list(differences()) == []
