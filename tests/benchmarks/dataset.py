"""The large data set: 10,000 customers and 5,000,000 events, always the same, in minutes.

    DATABASE_URL=postgres://… python tests/benchmarks/dataset.py [--events 5000000]

Into an empty migrated PostgreSQL database, or one that this script has filled before: it migrates
it and makes what is missing of the customers and of two metrics. The events, spread over the last
90 days, go straight in, with the keys that ingestion would give them, so that one of them
sent over HTTP is a duplicate. Prints an API key at the end.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
CUSTOMERS = 10_000
EVENT_TYPE = "llm.request"
DAYS = 90
ROWS_AT_ONCE = 10_000
SOURCE = "dataset"


def customer_key(number: int) -> str:
    return f"customer-{number}"


def call(environment: dict[str, str], *options: str) -> str:
    """Run this script in a process of its own; return what it printed."""
    done = subprocess.run(
        [sys.executable, __file__, *options],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--events", type=int, default=5_000_000)
    count = arguments.parse_args().events
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django  # noqa: PLC0415

    django.setup()
    from django.core.management import call_command  # noqa: PLC0415
    from django.utils import timezone  # noqa: PLC0415

    from config.base.audit import SYSTEM  # noqa: PLC0415
    from config.base.services.api_keys import SCOPES, create_api_key  # noqa: PLC0415

    call_command("migrate", verbosity=0)
    at = timezone.now().replace(minute=0, second=0, microsecond=0)
    make_catalogue()
    build(at)
    if count:
        started = time.perf_counter()
        store(count, until=at)
        print(f"{count:,} events in {time.perf_counter() - started:.0f} s", file=sys.stderr)
        rebuild()
        print(f"summed up after {time.perf_counter() - started:.0f} s", file=sys.stderr)
    _, key = create_api_key(name="benchmark", scopes=SCOPES, expires_at=None, actor=SYSTEM)
    print(key)


def make_catalogue() -> None:
    """Make the metrics and customers that are missing."""
    from catalog.models import ValueMetric  # noqa: PLC0415
    from customers.models import Customer  # noqa: PLC0415
    from tests import factories as make  # noqa: PLC0415

    for name in ("input_tokens", "output_tokens"):
        if not ValueMetric.objects.filter(key=name).exists():
            make.metric(name, event_type=EVENT_TYPE, value_property=name, unit="token")
    if Customer.objects.filter(key=customer_key(0)).exists():
        return
    first = make.customer(customer_key(0))
    Customer.objects.bulk_create(
        (
            Customer(
                key=customer_key(n),
                name=f"Customer {n}",
                legal_name=f"Customer {n}",
                currency="EUR",
                issuer=first.issuer,
            )
            for n in range(1, CUSTOMERS)
        ),
        batch_size=1000,
    )


def store(count: int, *, until: datetime, days: int = DAYS, only: str = "") -> None:
    """Store so many events of the days before `until`, and their keys, beside what is stored.

    Of all customers, or of `only` the one with that key.
    """
    from django.db import connection, transaction  # noqa: PLC0415

    from metering.services.months import make_months  # noqa: PLC0415
    from metering.services.storage import IDS_PER_BLOCK, store_apart  # noqa: PLC0415

    assert connection.vendor == "postgresql", "the large data set is for PostgreSQL"
    assert ROWS_AT_ONCE <= IDS_PER_BLOCK
    make_months(at=until - timedelta(days=days))
    rows: Iterator[Any] = _events(count, until=until, days=days, only=only)
    while batch := list(islice(rows, ROWS_AT_ONCE)):
        with transaction.atomic():
            store_apart(*zip(*batch, strict=True), received_at=until)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE metering_eventkey, metering_usageevent")


def build(at: datetime) -> None:
    """Make the rollups of both metrics ready, which waits for every transaction of the server."""
    from metering.services.rollups import build_rollups  # noqa: PLC0415

    while build_rollups(at=at):
        time.sleep(0.2)


def rebuild() -> None:
    """Sum up anew what was put past ingestion, customer by customer."""
    from customers.models import Customer  # noqa: PLC0415
    from metering.models import Rollup  # noqa: PLC0415
    from metering.querysets import Target  # noqa: PLC0415
    from metering.services.rollups.rebuilding import EVER  # noqa: PLC0415
    from metering.services.rollups.rebuilding import rebuild as sum_up  # noqa: PLC0415

    customers = list(Customer.objects.order_by("pk").values_list("pk", "time_zone"))
    for rollup in Rollup.objects.all():
        for start in range(0, len(customers), 500):
            chunk = customers[start : start + 500]
            sum_up(rollup, [Target(pk, place, *EVER) for pk, place in chunk])


def _events(count: int, *, until: datetime, days: int, only: str) -> Iterator[Any]:
    from customers.models import Customer  # noqa: PLC0415
    from metering.events import make_event  # noqa: PLC0415
    from metering.services.memory import Holder, Verdict  # noqa: PLC0415
    from metering.services.storage import reserve_ids  # noqa: PLC0415

    chance = random.Random(1)
    holders = {
        key: Verdict(Holder(pk, zone, has_several=False))
        for key, pk, zone in Customer.objects.values_list("key", "pk", "time_zone")
    }
    block: Iterator[int] = iter(())
    for n in range(count):
        if n % ROWS_AT_ONCE == 0:
            block = iter(reserve_ids(ROWS_AT_ONCE))
        key = only or customer_key(chance.randrange(CUSTOMERS))
        event = make_event(
            source=f"{SOURCE}-{only}" if only else SOURCE,
            id=str(n),
            type=EVENT_TYPE,
            subject=key,
            subscription=None,
            time=until - timedelta(seconds=chance.randrange(days * 86_400)),
            data={
                "input_tokens": chance.randrange(5000),
                "model": "m-large" if chance.random() < 0.3 else "m-small",
                "output_tokens": chance.randrange(900),
            },
        )
        assert event.time is not None
        yield next(block), event, holders[key], event.time


if __name__ == "__main__":
    main()
