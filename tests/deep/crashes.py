"""Die before and after every step of a close and of the money after it; start again; compare.

The close issues, and writes and sends the documents; then a bank's statement is taken, an invoice is
credited, one is written off, and customers are reminded.

    python -m tests.deep.crashes [--every 1] [--since 1]

One database is closed in peace. Then, for each statement and each commit that this took, and for
each file that was written, a copy of the same beginning is closed by a process that dies right there
(exit 137, nothing cleaned up), and once more by one that is left in peace. Each must end as the first
did: the same invoices, lines, numbers and documents, and an audit with nothing to say.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

SERVER = os.environ["DEEP_DATABASE_URL"]
TEMPLATE, PEACE, KILLED = "deep_crash_template", "deep_crash_peace", "deep_crash_killed"
FOLDER = Path(tempfile.mkdtemp(prefix="plainbill-crashes-"))
os.environ.update(
    DJANGO_SETTINGS_MODULE="config.settings",
    DATABASE_URL=f"{SERVER}/{TEMPLATE}",
    CELERY_BROKER_URL="",
    EMAIL_URL="dummymail://",
    DATA_DIR=str(FOLDER),
)

import django  # noqa: E402

django.setup()

from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402

from billing.models import (  # noqa: E402
    BillingRun,
    CreditNote,
    Delivery,
    Invoice,
    InvoiceDocument,
    LateUsage,
    OpenItem,
    Payment,
)
from billing.services import credit_notes, importing, life, runs, write_offs  # noqa: E402
from billing.services.lateness import settle_late_usage  # noqa: E402
from billing.services.life import When  # noqa: E402
from billing.services.reminders import remind  # noqa: E402
from config.base.audit import SYSTEM  # noqa: E402
from config.base.invariants import audit  # noqa: E402
from config.base.services import outbox  # noqa: E402
from customers.models import Issuer  # noqa: E402
from metering.events import make_event  # noqa: E402
from metering.services.ingestion import ingest  # noqa: E402
from tests import factories as make  # noqa: E402

FIRST = datetime(2026, 2, 2, 3, tzinfo=UTC)
AS_OF = datetime(2026, 3, 2, 3, tzinfo=UTC)
OVERDUE = datetime(2026, 3, 20, 9, tzinfo=UTC)
DIED = 137


def prepare() -> None:
    """Everything that a close can meet: a change of plan, a coupon, an end, usage that is late."""
    call_command("migrate", verbosity=0)
    Issuer.objects.update(email="us@example.test", sends_invoices=True, sends_reminders=True)
    calls = make.metric("calls")
    small, large = (
        make.published(
            make.flat("base", fee),
            make.graduated(calls, "50 @ 1, rest @ 0.5", key="calls", included_quantity=Decimal(3)),
        )
        for fee in ("10", "25")
    )
    subscriptions = {
        name: make.subscription(
            make.customer(name, email=f"{name}@example.test"),
            small,
            key=name,
            starts_on=date(2026, 1, 1),
        )
        for name in ("plain", "changed", "cheaper", "ended", "late")
    }
    off = make.coupon("welcome", percent=Decimal("12.5"), duration="forever")
    make.applied_coupon(subscriptions["cheaper"], off, starts_on=date(2026, 1, 1))
    use(subscriptions, month=1)
    close(FIRST)
    middle = datetime(2026, 2, 10, 12, tzinfo=UTC)
    life.change_plan(
        subscription_id=subscriptions["changed"].pk,
        version=large,
        when=When.IMMEDIATE,
        at=middle,
        actor=SYSTEM,
    )
    life.cancel(
        subscription_id=subscriptions["ended"].pk, when=When.IMMEDIATE, at=middle, actor=SYSTEM
    )
    use(subscriptions, month=2)
    use({"late": subscriptions["late"]}, month=1, name="afterwards")


def use(subscriptions: dict[str, Any], *, month: int, name: str = "on-time") -> None:
    events = [
        make_event(
            source="deep",
            id=f"{key}-{month}-{day}-{name}",
            type="api.call",
            subject=key,
            subscription=None,
            time=datetime(2026, month, day, tzinfo=UTC),
            data={"calls": 7 * day},
        )
        for key in subscriptions
        for day in (5, 20)
    ]
    ingest(events, received_at=AS_OF - timedelta(days=3))


def close(as_of: datetime, *, after: timedelta = timedelta(0)) -> None:
    """Settle, close, issue and deliver, as the beat and the workers do, taking up what is left."""
    settle_late_usage(as_of=as_of)
    run = BillingRun.objects.filter(as_of=as_of).first() or runs.start_run(
        as_of=as_of, now=as_of, actor=SYSTEM
    )
    for chunk in runs.chunks(run):
        runs.close_chunk(run_id=run.pk, subscription_ids=chunk, now=as_of)
    runs.finish_if_done(run_id=run.pk, now=as_of)
    outbox.deliver_due(at=datetime.now(UTC) + after, limit=1000)


def settle(*, after: timedelta = timedelta(0)) -> None:
    """Take what customers paid, credit, write off and remind; do what is left of it if some is done."""
    first = Invoice.objects.filter(issue_date=FIRST.date()).select_related("customer")
    january = {invoice.customer.key: invoice for invoice in first.order_by("-pk")}
    paid = [("plain", january["plain"].total + 5), ("changed", 1), ("cheaper", 7)]
    rows = [f"2026-03-{n:02};{january[key].number};{sum_}" for n, (key, sum_) in enumerate(paid, 3)]
    statement = importing.upload_statement(
        name="march.csv",
        content="\n".join(["Date;Reference;Amount", *rows]).encode(),
        at=OVERDUE,
        actor=SYSTEM,
    )
    _, mapped = importing.table_of(statement)
    importing.map_columns(import_id=statement.pk, mapped=mapped._replace(currency="EUR"))
    importing.take_lines(
        import_id=statement.pk, numbers=[1, 2, 3], chosen={}, at=OVERDUE, actor=SYSTEM
    )
    if not CreditNote.objects.exists():
        credited = january["cheaper"].pk
        credit_notes.issue_credit_note(
            invoice_id=credited, reason="Wrong", at=OVERDUE, actor=SYSTEM
        )
    if OpenItem.objects.get(invoice=january["ended"]).open:
        write_offs.write_off(
            invoice_id=january["ended"].pk, amount=None, reason="x", at=OVERDUE, actor=SYSTEM
        )
    remind(at=OVERDUE, actor=SYSTEM)
    outbox.deliver_due(at=datetime.now(UTC) + after, limit=1000)


def picture() -> list[str]:
    """Return all that must not depend on what happened in between."""
    shown = []
    for invoice in Invoice.objects.with_lines():
        lines = [
            f"{line.description} {line.net} {line.service_start}" for line in invoice.lines.all()
        ]
        documents = InvoiceDocument.objects.filter(invoice=invoice).count()
        owner = invoice.lines.all()[0].subscription.key
        shown.append(f"{owner} {invoice.status} {invoice.total} {lines} {documents}")
    shown += [f"{number}" for number in Invoice.objects.values_list("number", flat=True)]
    late = LateUsage.objects.values_list("period__subscription__key", "status", "amount")
    shown += [str(row) for row in late]
    shown += [str(row) for row in BillingRun.objects.values_list("as_of", "status")]
    for item in OpenItem.objects.select_related("invoice"):
        shown.append(f"{item.invoice} {item.paid} {item.credited} {item.written_off}")
    for payment in Payment.objects.all():
        shown.append(f"{payment.bank_key} {payment.amount} {payment.allocated} {payment.refunded}")
    for note in CreditNote.objects.select_related("document"):
        shown.append(f"{note.number} {note.total} X")
    mails = Delivery.objects.values_list("kind", "invoice__customer__key", "address", "status")
    shown += [str(row) for row in mails]
    for result in audit(at=datetime.now(UTC)):
        # Nobody closes what the real clock has reached since.
        if result.invariant.name != "periods_close_in_time":
            shown += [f"{result.invariant.name}: {finding}" for finding in result.findings]
    return sorted(shown)


class Steps:
    """Counts statements, commits and files of what it wraps, and dies at one of them."""

    def __init__(self, die_at: int) -> None:
        self.done, self.die_at = 0, die_at

    def step(self) -> None:
        self.done += 1
        if self.done == self.die_at:
            os._exit(DIED)

    def statement(self, execute: Callable[..., Any], *arguments: Any) -> Any:
        self.step()
        return execute(*arguments)

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            self.step()
            done = function(*arguments, **named)
            self.step()
            return done

        return wrapped


def in_child(database: str, work: Callable[[], object], *, answer: Path | None = None) -> int:
    """Run this in a process of its own, on this database; return how it ended."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        connection.settings_dict["NAME"] = database
        settings.DATA_DIR = FOLDER / database
        done = work()
        if answer:
            answer.write_text(str(done))
        os._exit(0)
    except BaseException as trouble:  # noqa: BLE001 - a child never returns to what forked it
        sys.stderr.write(f"{type(trouble).__name__}: {trouble}\n")
        os._exit(1)


def close_and_die(at: int) -> int:
    """Close and settle, and die at this step; 0 is none. Return how many steps there were."""
    connection.ensure_connection()
    steps = Steps(at)
    connection.commit = steps.around(connection.commit)  # type: ignore[method-assign]
    for name in ("replace", "fsync"):
        setattr(os, name, steps.around(getattr(os, name)))
    with connection.execute_wrapper(steps.statement):
        close(AS_OF)
        settle()
    return steps.done


def take_up() -> None:
    """Do what is left, an hour later: by then the document that a dead process had claimed is free."""
    close(AS_OF, after=timedelta(hours=1))
    settle(after=timedelta(hours=1))


def fresh(database: str) -> None:
    with psycopg.connect(f"{SERVER}/postgres", autocommit=True) as server:
        server.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
        suffix = "" if database == TEMPLATE else f"TEMPLATE {TEMPLATE}"
        server.execute(f"CREATE DATABASE {database} {suffix}")
    shutil.rmtree(FOLDER / database, ignore_errors=True)
    if database != TEMPLATE:
        shutil.copytree(FOLDER / TEMPLATE, FOLDER / database)


def succeed(code: int) -> None:
    if code:
        sys.exit("a process that was left in peace failed")


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--every", type=int, default=1, help="die at every nth step only")
    arguments.add_argument("--since", type=int, default=1, help="the first step to die at")
    given = arguments.parse_args()
    answer = FOLDER / "answer"

    fresh(TEMPLATE)
    succeed(in_child(TEMPLATE, prepare))
    fresh(PEACE)
    succeed(in_child(PEACE, lambda: close_and_die(0), answer=answer))
    steps = int(answer.read_text())
    succeed(in_child(PEACE, lambda: "\n".join(picture()), answer=answer))
    expected = answer.read_text().splitlines()
    print(f"{steps} steps, {len(expected)} rows to compare", flush=True)
    started, points = time.monotonic(), range(given.since, steps + 1, given.every)
    for at in points:
        fresh(KILLED)
        if (code := in_child(KILLED, partial(close_and_die, at))) != DIED:
            sys.exit(f"step {at}: ended with {code}, not by dying")
        succeed(in_child(KILLED, take_up))
        succeed(in_child(KILLED, lambda: "\n".join(picture()), answer=answer))
        found = answer.read_text().splitlines()
        if found != expected:
            sys.exit(
                f"step {at}: missing {sorted({*expected} - {*found})[:5]}, "
                f"besides {sorted({*found} - {*expected})[:5]}"
            )
    print(
        f"died at {len(points)} steps, each time as in peace ({time.monotonic() - started:.0f} s)"
    )
    shutil.rmtree(FOLDER)


if __name__ == "__main__":
    main()
