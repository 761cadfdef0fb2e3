"""How fast a month is closed and issued, against a bare loop that writes as many rows.

    python tests/benchmarks/close.py [--subscriptions 10000] [--events 3000000] [--quick]

Builds a PostgreSQL database of 10,000 subscriptions with a base fee and three usage prices over the
rollups of 3,000,000 events of one month, and copies it for each measurement. In each of three
rounds, prototype and product bill that month:

- the product, in its own chunks, measures, rates, explains, taxes, drafts, guards, issues with
  numbers, and leaves the audit trail and the outbox; all of billing's own audit checks follow
  inside the time. PDFs are not part of it;
- the prototype, in chunks of 500, sums up the same rollups once a chunk and writes as many rows of
  every table with bulk_create, without rules: no rating, no explanation, no guards, no state but
  the final one.

Also measured: two processes against one, 10,000 against 1,000, SQL statements per 1,000
subscriptions, and the peak memory of a process. PostgreSQL is the server of TEST_DATABASE_URL, by
default the one on this machine.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import psycopg

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.benchmarks import dataset  # noqa: E402

SERVER = os.environ.get("TEST_DATABASE_URL") or "postgres://root@127.0.0.1:5432/postgres"
START, END = date(2026, 9, 1), date(2026, 10, 1)
AS_OF = datetime(2026, 10, 2, 6, tzinfo=UTC)  # drafts may be issued since 01:00
METRICS = ("input_tokens", "output_tokens", "requests")
CHUNK = 500
ROUNDS = 3
LARGE, SMALL = "plainbill_close_large", "plainbill_close_small"
WORKED_ON = "plainbill_close_benchmark"
TARGETS = {
    "close": 0.30,
    "close_two_processes": 1.7,
    "close_growth": 11,
    "close_statements": 60,
    "close_memory": 1.1,
}
AT_MOST = ("close_growth", "close_statements", "close_memory")


def url(database: str) -> str:
    return urlsplit(SERVER)._replace(path=f"/{database}").geturl()


# In a process of its own: build, or bill.


def build(subscriptions: int, events: int) -> None:
    """Fill the database of this process, as far as it is not filled yet."""
    from django.core.management import call_command  # noqa: PLC0415
    from django.utils import timezone  # noqa: PLC0415

    from billing.services.closing import begin_periods  # noqa: PLC0415
    from catalog.models import PlanVersion, ValueMetric  # noqa: PLC0415
    from customers.models import Customer, Subscription, SubscriptionPhase  # noqa: PLC0415
    from tests import factories as make  # noqa: PLC0415

    call_command("migrate", verbosity=0)
    if not ValueMetric.objects.exists():
        dataset.make_catalogue()
        make.metric("requests", event_type=dataset.EVENT_TYPE, aggregation="count", unit="request")
        dataset.build(timezone.now())
        end = datetime(END.year, END.month, END.day, tzinfo=UTC)
        dataset.store(events, until=end, days=(END - START).days)
        dataset.rebuild()
        metrics = {metric.key: metric for metric in ValueMetric.objects.all()}
        make.published(
            make.flat(key="base", name="Base fee", amount="49", timing="arrears"),
            make.graduated(
                metrics["input_tokens"],
                "500000 @ 0.000002, 1000000 @ 0.0000015, rest @ 0.000001",
                key="input",
                name="Input tokens",
                included_quantity=Decimal(100_000),
            ),
            make.graduated(metrics["output_tokens"], "rest @ 0.00001", key="output", name="Output"),
            make.graduated(
                metrics["requests"], "100 @ 0, rest @ 0.01", key="requests", name="Calls"
            ),
        )
    version = PlanVersion.objects.get()
    there = Subscription.objects.count()
    if not there:
        first = Customer.objects.order_by("pk")[0]
        make.subscription(first, version, key="s0", starts_on=START)
        there = 1
    phase = SubscriptionPhase.objects.order_by("pk")[0]
    buyers = list(Customer.objects.order_by("pk")[there:subscriptions])
    made = Subscription.objects.bulk_create(
        [Subscription(key=f"s-{one.key}", customer=one, starts_on=START) for one in buyers], 1000
    )
    SubscriptionPhase.objects.bulk_create(
        [
            SubscriptionPhase(
                subscription=one,
                plan_version=version,
                starts_on=START,
                alignment=phase.alignment,
                time_zone=phase.time_zone,
            )
            for one in made
        ],
        1000,
    )
    begin_periods(as_of=datetime(2026, 9, 2, tzinfo=UTC))
    with connected().cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def connected() -> Any:
    from django.db import connection  # noqa: PLC0415

    return connection


@contextmanager
def counted() -> Iterator[list[int]]:
    """Count the statements of the block, those that stream rows among them."""
    count = [0]

    def wrapper(execute: Any, *arguments: Any) -> Any:
        count[0] += 1
        return execute(*arguments)

    streamed = psycopg.Cursor.copy

    def copy(*arguments: Any) -> Any:
        return wrapper(streamed, *arguments)

    with (
        connected().execute_wrapper(wrapper),
        mock.patch.object(psycopg.Cursor, "copy", copy),
    ):
        yield count


def product(part: int, parts: int) -> int:
    """Close every `parts`-th chunk of the month and issue with the last; return how many closed."""
    from billing.books import BOOKS  # noqa: PLC0415
    from billing.models import BillingPeriod, BillingRun  # noqa: PLC0415
    from billing.services import runs  # noqa: PLC0415
    from config.base import invariants  # noqa: PLC0415
    from config.base.audit import SYSTEM  # noqa: PLC0415
    from customers.models import Subscription  # noqa: PLC0415

    ids = list(Subscription.objects.order_by("pk").values_list("pk", flat=True))
    run = BillingRun.objects.first() or runs.start_run(as_of=AS_OF, now=AS_OF, actor=SYSTEM)
    size = runs.at_once() if len(ids) >= parts * runs.at_once() else -(-len(ids) // parts)
    for start in range(part * size, len(ids), parts * size):
        chunk = ids[start : start + size]
        runs.close_chunk(run_id=run.pk, subscription_ids=chunk, now=AS_OF)
    runs.finish_if_done(run_id=run.pk, now=AS_OF)
    if parts == 1:
        names = [one.name for one in BOOKS if one.name != "periods_close_in_time"]
        for result in invariants.audit(at=AS_OF, names=names, limit=10):
            assert not result.findings, result
    return BillingPeriod.objects.filter(status="closed").count()


def prototype() -> int:
    """Write what the product writes, chunk by chunk, and decide nothing."""
    from django.db import transaction  # noqa: PLC0415

    from billing.models import BillingPeriod  # noqa: PLC0415

    with connected().cursor() as cursor:  # guards are rules, too
        cursor.execute(
            "SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal"
            " AND tgrelid::regclass::text ~ '^(billing|base)_'"
        )
        for (table,) in cursor.fetchall():
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    periods = BillingPeriod.objects.filter(status="open", end_date=END).order_by("pk")
    ids = list(periods.values_list("pk", flat=True))
    for start in range(0, len(ids), CHUNK):
        with transaction.atomic():
            _write(ids[start : start + CHUNK], first_number=start + 1)
    return len(ids)


def _write(ids: Sequence[int], *, first_number: int) -> None:
    from billing.models import (  # noqa: PLC0415
        BillingPeriod,
        Invoice,
        InvoiceLine,
        OpenItem,
        PeriodCharge,
        TaxSubtotal,
        UsageSnapshot,
    )
    from catalog.models import Price  # noqa: PLC0415
    from config.base.models import AuditEntry, Outbox  # noqa: PLC0415
    from customers.models import Issuer  # noqa: PLC0415

    prices = list(Price.objects.select_related("metric").order_by("pk"))
    [issuer] = Issuer.objects.all()
    periods = list(BillingPeriod.objects.filter(pk__in=ids).select_related("subscription"))
    sums = _sums([period.subscription.customer_id for period in periods])
    following = [
        BillingPeriod(
            subscription=one.subscription,
            phase_id=one.phase_id,
            number=one.number + 1,
            start_date=END,
            end_date=date(2026, 11, 1),
            nominal_start_date=END,
            nominal_end_date=date(2026, 11, 1),
            starts_at=one.ends_at,
            ends_at=one.ends_at + timedelta(days=31),
            usage_cutoff=one.usage_cutoff + timedelta(days=31),
            time_zone=one.time_zone,
        )
        for one in periods
    ]
    BillingPeriod.objects.bulk_create(following)
    party = {"name": "Somebody", "legal_name": "Somebody", "line1": "", "time_zone": "UTC"}
    invoices = Invoice.objects.bulk_create(
        Invoice(
            issuer=issuer,
            customer_id=period.subscription.customer_id,
            status="issued",
            year=2026,
            sequence=first_number + place,
            number=f"INV-2026-{first_number + place:06}",
            currency="EUR",
            seller=party,
            buyer=party,
            net_total=Decimal(100),
            tax_total=Decimal(0),
            total=Decimal(100),
            issued_at=AS_OF,
            issue_date=AS_OF.date(),
            due_date=AS_OF.date(),
            template_version=1,
        )
        for place, period in enumerate(periods)
    )
    snapshots = {
        (one.period_id, one.metric_id): one
        for one in UsageSnapshot.objects.bulk_create(
            UsageSnapshot(
                period=period,
                metric=price.metric,
                revision=1,
                quantity=sums.get((period.subscription.customer_id, price.metric_id), Decimal(0)),
                events=1,
                taken_at=AS_OF,
            )
            for period in periods
            for price in prices
            if price.metric_id
        )
    }
    explanation = {"steps": [{"kind": "tier", "quantity": "1", "amount": "25"}] * 3}
    InvoiceLine.objects.bulk_create(
        InvoiceLine(
            invoice=invoice,
            position=position,
            kind="usage" if price.metric_id else "fee",
            description=price.name,
            subscription=period.subscription,
            period=period,
            price=price,
            snapshot=snapshots.get((period.pk, price.metric_id or 0)),
            service_start=START,
            service_end=END,
            quantity=Decimal(1),
            net=Decimal(25),
            tax_category="O",
            tax_rate=Decimal(0),
            recognition="as_used" if price.metric_id else "over_time",
            explanation=explanation,
        )
        for invoice, period in zip(invoices, periods, strict=True)
        for position, price in enumerate(prices, 1)
    )
    TaxSubtotal.objects.bulk_create(
        TaxSubtotal(
            invoice=one, category="O", rate=Decimal(0), base=Decimal(100), amount=Decimal(0)
        )
        for one in invoices
    )
    PeriodCharge.objects.bulk_create(
        PeriodCharge(
            subscription=period.subscription, period=period, purpose="regular", invoice=invoice
        )
        for invoice, period in zip(invoices, periods, strict=True)
    )
    OpenItem.objects.bulk_create(OpenItem(invoice=one, total=Decimal(100)) for one in invoices)
    BillingPeriod.objects.filter(pk__in=ids).update(status="closed", closed_at=AS_OF)
    Outbox.objects.bulk_create(
        Outbox(kind="invoice.render", key=str(one.uuid), payload={"id": one.pk}, due_at=AS_OF)
        for one in invoices
    )
    AuditEntry.objects.bulk_create(
        AuditEntry(
            actor_kind="system",
            actor_name="plainbill",
            action="issued",
            subject_type="billing.invoice",
            subject_id=one.pk,
            subject_name=one.number or "",
        )
        for one in invoices
    )


def _sums(customers: Sequence[int]) -> dict[tuple[int, int], Decimal]:
    with connected().cursor() as cursor:
        cursor.execute(
            "SELECT p.customer_id, r.metric_id, sum(coalesce(p.total, p.events))"
            " FROM metering_usagepiece p JOIN metering_rollup r ON r.id = p.rollup_id"
            " WHERE p.customer_id = ANY(%s) GROUP BY 1, 2",
            [list(customers)],
        )
        return {(customer, metric): total for customer, metric, total in cursor.fetchall()}


def work(given: argparse.Namespace) -> None:
    """Do one thing in this process, and print its figures as JSON."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django  # noqa: PLC0415

    django.setup()
    if given.work == "build":
        build(given.subscriptions, given.events)
        return
    connected().ensure_connection()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    with counted() as statements:
        done = prototype() if given.work == "prototype" else product(given.part, given.parts)
    figures = {
        "seconds": time.perf_counter() - started,
        "done": done,
        "statements": statements[0],
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        "memory_before": before,
    }
    print(json.dumps(figures))


# In the process that was started: copy databases, let others work, compare.


def admin(statement: str) -> None:
    with psycopg.connect(url("postgres"), autocommit=True) as server:
        server.execute(statement)


def started(database: str, directory: str, *options: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "DATABASE_URL": url(database), "DATA_DIR": directory}
    command = [sys.executable, __file__, *options]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> dict[str, Any]:
    output, _ = process.communicate()
    assert process.returncode == 0, process.args
    figures: dict[str, Any] = json.loads(output.splitlines()[-1]) if output.strip() else {}
    return figures


def measured(template: str, directory: str, *works: Sequence[str]) -> dict[str, Any]:
    """Copy a database and let processes work on it at once; return what they did together."""
    admin(f"DROP DATABASE IF EXISTS {WORKED_ON} WITH (FORCE)")
    admin(f"CREATE DATABASE {WORKED_ON} TEMPLATE {template}")
    admin("CHECKPOINT")
    found = [ended(one) for one in [started(WORKED_ON, directory, *work) for work in works]]
    seconds = max(one["seconds"] for one in found)
    done = max(one["done"] for one in found)
    return {**found[0], "seconds": seconds, "done": done, "rate": done / seconds}


def main() -> int:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--subscriptions", type=int, default=10_000)
    arguments.add_argument("--events", type=int, default=3_000_000)
    arguments.add_argument("--quick", action="store_true", help="a tenth of everything, one round")
    arguments.add_argument("--work", choices=["build", "product", "prototype"])
    arguments.add_argument("--part", type=int, default=0)
    arguments.add_argument("--parts", type=int, default=1)
    given = arguments.parse_args()
    if given.work:
        work(given)
        return 0
    large, events = given.subscriptions, given.events
    if given.quick:
        large, events = large // 10, events // 10
    with tempfile.TemporaryDirectory() as directory:
        try:
            return compare(
                directory, large=large, events=events, rounds=1 if given.quick else ROUNDS
            )
        finally:
            for database in (WORKED_ON, LARGE, SMALL):
                admin(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")


def compare(directory: str, *, large: int, events: int, rounds: int) -> int:
    small = large // 10
    admin(f"DROP DATABASE IF EXISTS {SMALL} WITH (FORCE)")
    admin(f"CREATE DATABASE {SMALL}")
    filling = ("--work", "build", "--events", str(events), "--subscriptions")
    ended(started(SMALL, directory, *filling, str(small)))
    admin(f"DROP DATABASE IF EXISTS {LARGE} WITH (FORCE)")
    admin(f"CREATE DATABASE {LARGE} TEMPLATE {SMALL}")
    ended(started(LARGE, directory, *filling, str(large)))
    found: dict[str, list[dict[str, Any]]] = {}
    for number in range(1, rounds + 1):
        print(f"round {number}", flush=True)
        for name, template, works in (
            ("prototype", LARGE, [["--work", "prototype"]]),
            ("product", LARGE, [["--work", "product"]]),
            (
                "two",
                LARGE,
                [["--work", "product", "--part", part, "--parts", "2"] for part in "01"],
            ),
            ("small", SMALL, [["--work", "product"]]),
        ):
            figures = measured(template, directory, *works)
            found.setdefault(name, []).append(figures)
            print(
                f"  {name}: {figures['done']:,} in {figures['seconds']:.1f} s, "
                f"{figures['rate']:,.0f}/s, {figures['statements']:,} statements, "
                f"{figures['memory']:,} KiB at most",
                flush=True,
            )
    return report(found)


def report(found: dict[str, list[dict[str, Any]]]) -> int:
    def of(name: str, figure: str) -> float:
        return float(median(one[figure] for one in found[name]))

    per_thousand = of("product", "statements") / of("product", "done") * 1000
    lines = [
        ("close", of("product", "rate"), of("prototype", "rate"), "subscriptions/s"),
        ("close_two_processes", of("two", "rate"), of("product", "rate"), "subscriptions/s"),
        ("close_growth", of("product", "seconds"), of("small", "seconds"), "s, for ten times"),
        ("close_statements", per_thousand, 1.0, "per 1,000 subscriptions"),
        ("close_memory", of("product", "memory"), of("small", "memory"), "KiB at most"),
    ]
    failed = []
    print()
    for name, product_, reference, unit in lines:
        ratio, target = product_ / reference, TARGETS[name]
        print(f"{name} ratio={ratio:.3f} product={product_:.4g} reference={reference:.4g} ({unit})")
        if ratio > target if name in AT_MOST else ratio < target:
            failed.append(f"{name}: {ratio:.3f}, to reach: {target}")
    print("\n".join(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
