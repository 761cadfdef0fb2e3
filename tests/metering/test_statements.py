"""Statements by libpq: in Django's transaction, refused as Django's cursors refuse, lost without harm."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from django.db import IntegrityError, OperationalError, ProgrammingError, connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from metering import statements, wire
from metering.models import CatalogueStamp, EventKey, UsageEvent
from metering.services import storage
from metering.services.rollups import appending
from metering.statements import Statement, run_together
from tests import factories as make
from tests.metering.usage import body, send

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.postgresql,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no libpq"),
]

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
ANY_KEY = UUID("5f0c3d1e-0000-4000-8000-000000000001").bytes
add_key = Statement(
    "INSERT INTO metering_eventkey (key, payload_hash) VALUES ($1::uuid, $2::bytea)"
)


@pytest.fixture
def other(transactional_db: None) -> Iterator[BaseDatabaseWrapper]:
    """Somebody else's connection."""
    found = connection.copy()
    yield found
    found.close()


def lose(other: BaseDatabaseWrapper) -> None:
    """End the connection from the server's side."""
    with other.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(%s, 5000)", (connection.connection.info.backend_pid,)
        )


@pytest.mark.parametrize(
    ("cast", "sent", "text"),
    [
        pytest.param("bigint", wire.bigint(-5), "-5", id="a number"),
        pytest.param("bigint", "17", "17", id="a text that the server reads"),
        pytest.param("bigint", None, None, id="nothing"),
        pytest.param("timestamptz", wire.instant(BEGINNING), "1970-01-01 00:00:00+00", id="a time"),
        pytest.param("jsonb", wire.jsonb(b'{"a": 1}'), '{"a": 1}', id="JSON"),
        pytest.param("bytea", b"\0\xff", "\\x00ff", id="bytes with NUL"),
        pytest.param("bigint[]", wire.bigints([1, -2]), "{1,-2}", id="numbers"),
        pytest.param("bigint[]", wire.bigints([]), "{}", id="no numbers"),
        pytest.param("uuid[]", wire.uuids([ANY_KEY]), f"{{{UUID(bytes=ANY_KEY)}}}", id="keys"),
        pytest.param("text[]", wire.words(["ü", 'a"b,', ""]), '{ü,"a\\"b,",""}', id="words"),
        pytest.param(
            "text[]", wire.words_or_nulls(["ü", None, ""]), '{ü,NULL,""}', id="texts or nothing"
        ),
        pytest.param("text[]", wire.words_or_nulls([None]), None, id="nothing at all"),
        pytest.param("jsonb[]", wire.jsonbs(['"ü"'.encode(), b"1"]), '{"\\"ü\\"",1}', id="JSON texts"),
        pytest.param("numeric[]", wire.texts([1, None]), "{1,NULL}", id="numbers and none"),
        pytest.param(
            "timestamptz[]", wire.instants([BEGINNING, BEGINNING]),
            '{"1970-01-01 00:00:00+00","1970-01-01 00:00:00+00"}', id="times",
        ),
    ],
)  # fmt: skip
def test_the_server_reads_what_was_meant(cast: str, sent: Any, text: str | None) -> None:
    shown = Statement(f"SELECT $1::{cast}::text").run(sent)
    assert shown == [[text if text is None else text.encode()]]


def test_values_come_back_in_binary() -> None:
    moment = datetime(2026, 11, 1, 12, 0, 0, 1, tzinfo=UTC)
    sent = wire.bigint(2**63 - 1), wire.instant(moment)
    [[number, time]] = Statement("SELECT $1::bigint, $2::timestamptz").run(*sent)
    assert wire.read_bigint(number) == 2**63 - 1
    assert wire.read_instant(time) == moment
    assert Statement("SELECT 1 WHERE FALSE").run() == []


def test_it_belongs_to_the_transaction_that_surrounds_it() -> None:
    """Also where it is the first, and begins it."""
    for expected, keep in ((0, False), (1, True)):
        with transaction.atomic():
            add_key.run(ANY_KEY, bytes(16))
            transaction.set_rollback(not keep)
        assert EventKey.objects.count() == expected
    with pytest.raises(IntegrityError, match="metering_eventkey_pkey"):
        _add_both(bytes(16), ANY_KEY)
    assert EventKey.objects.count() == 1


@transaction.atomic
def _add_both(*keys: bytes) -> None:
    for key in keys:
        add_key.run(key, bytes(16))


def test_what_is_no_statement_is_refused_each_time() -> None:
    for _ in range(2):
        with pytest.raises(ProgrammingError, match="no_such_table"):
            Statement("SELECT 1 FROM no_such_table").run()
    assert Statement("SELECT 1::bigint").run() == [[wire.bigint(1)]]


def test_in_one_round_trip_nothing_runs_after_what_failed() -> None:
    """And what ran before it, for the first time, can be run again."""
    one, never = Statement("SELECT 1::bigint"), Statement("SELECT 2::bigint")
    key = add_key, (ANY_KEY, bytes(16))
    assert run_together((one, ()), (one, ())) == [[[wire.bigint(1)]]] * 2
    for _ in range(2):
        with pytest.raises(IntegrityError, match="metering_eventkey_pkey"):
            run_together(key, key, (never, ()))
        assert EventKey.objects.count() == 0
    assert run_together((never, ()), key) == [[[wire.bigint(2)]], []]


def test_with_commit_nothing_is_left_for_the_end_of_the_transaction() -> None:
    """And where a statement failed, nothing is committed."""
    with transaction.atomic():
        run_together((add_key, (ANY_KEY, bytes(16))), commit=True)
        transaction.set_rollback(True)  # too late
    assert EventKey.objects.count() == 1
    other = bytes(15) + b"\1"
    with pytest.raises(IntegrityError), transaction.atomic():
        run_together((add_key, (other, bytes(16))), (add_key, (ANY_KEY, bytes(16))), commit=True)
    assert EventKey.objects.count() == 1
    with transaction.atomic():
        add_key.run(other, bytes(16))
    assert EventKey.objects.count() == 2


def test_a_connection_that_was_lost_is_told_as_such(other: BaseDatabaseWrapper) -> None:
    """The server says nothing then, so there is no code that would tell what it was."""
    one = Statement("SELECT 1::bigint")
    for _ in range(2):
        assert one.run() == [[wire.bigint(1)]]
        lose(other)
        for _ in range(2):
            with pytest.raises(OperationalError):
                one.run()
        with pytest.raises(OperationalError):
            run_together((one, ()), (one, ()))
        connection.close()


def test_nothing_is_left_of_a_batch_whose_connection_was_lost_halfway(
    other: BaseDatabaseWrapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sent again whole, it counts whole."""
    make.customer("acme")
    make.metric("calls")
    batch = [body(id=str(n)) for n in range(30)]

    def lost(*asked: Any, **options: Any) -> Any:
        lose(other)
        return run_together(*asked, **options)

    with monkeypatch.context() as patch:
        patch.setattr(appending, "run_together", lost)
        with pytest.raises(OperationalError):
            send(*batch)
    connection.close()
    assert (EventKey.objects.count(), UsageEvent.objects.count()) == (0, 0)
    assert send(*batch).accepted == 30


def test_a_batch_takes_two_round_trips(monkeypatch: pytest.MonkeyPatch) -> None:
    """One to ask what is known, one to store the rest and to commit."""
    make.customer("acme")
    make.metric("calls")
    batch = [body(id=str(n), source=f"source {n % 3}") for n in range(30)]
    send(*batch[:10])
    trips: list[Any] = []
    wait = statements._until_synced

    def waited(libpq: Any) -> Any:
        trips.append(libpq)
        return wait(libpq)

    monkeypatch.setattr(statements, "_until_synced", waited)
    report = send(*batch, batch[0])
    assert (report.accepted, report.duplicates, len(trips)) == (20, 11, 2)
    assert connection.connection.info.transaction_status == 0  # idle
    assert UsageEvent.objects.count() == 30


def test_who_is_overtaken_asks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody stores a part of a batch after it was asked which of its keys are new."""
    make.customer("acme")
    make.metric("calls")
    batch = [body(id=str(n)) for n in range(30)]
    store_new, faster = storage.store_new, iter([batch[10:20], batch[15:25]])

    def overtaken(*columns: Any, **options: Any) -> Any:
        if part := next(faster, None):
            sender = threading.Thread(target=_send_apart, args=(part,))
            sender.start()
            sender.join()
        return store_new(*columns, **options)

    with monkeypatch.context() as patch:
        patch.setattr("metering.services.ingestion.store_new", overtaken)
        report = send(*batch)
    assert (report.accepted, report.duplicates) == (15, 15)
    assert UsageEvent.objects.count() == EventKey.objects.count() == 30


def _send_apart(events: list[dict[str, Any]]) -> None:
    try:
        send(*events)
    finally:
        connection.close()


def test_the_stamp_is_that_of_the_catalogue() -> None:
    make.metric("calls")
    [[stamp]] = Statement("SELECT metering_current_stamp()").run()
    assert stamp == CatalogueStamp.objects.get().stamp.encode()


def test_keys_are_found_by_their_index_however_few_there_were_at_first() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT proconfig FROM pg_proc WHERE proname = 'metering_known_keys'")
        assert cursor.fetchall() == [(["enable_seqscan=off"],)]
