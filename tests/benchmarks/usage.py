"""How soon the usage of a customer is told, with millions of events stored.

    python tests/benchmarks/usage.py [--stored 5000000] [--large 1000000] [--keep]

Builds a PostgreSQL database of 10,000 customers and `--stored` events of 90 days, and lets one
customer have `--large` more in the last 30 days. In three rounds:

- that customer's 30 days of one metric are measured, 300 times, in one process;
- gunicorn with two sync workers is asked for the usage of 300 customers, one after the other: 30
  days of one metric by day, the same by a dimension, and 7 days by hour; and for the large one's
  days.

Ends with a line per figure: the 95th percentile in milliseconds, against what it may be at most.
With `--keep` the database is left for the next run, which takes it as it is. PostgreSQL is the
server of TEST_DATABASE_URL, by default the one on this machine.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median, quantiles
from urllib.parse import urlencode, urlsplit

import psycopg

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.benchmarks import dataset  # noqa: E402
from tests.benchmarks.ingest import gunicorn  # noqa: E402

SERVER = os.environ.get("TEST_DATABASE_URL") or "postgres://root@127.0.0.1:5432/postgres"
DATABASE = "plainbill_usage_benchmark"
URL = urlsplit(SERVER)._replace(path=f"/{DATABASE}").geturl()
LARGE = dataset.customer_key(0)
METRIC = "input_tokens"
DAYS = 30
ROUNDS, ASKED = 3, 300
AT_MOST_MS = {
    "usage_month": 5.0,
    "usage_by_day": 30.0,
    "usage_by_hour": 30.0,
    "usage_by_dimension": 30.0,
    "usage_large": 30.0,
}
QUERIES: dict[str, tuple[int, dict[str, str]]] = {
    "usage_by_day": (DAYS, {"granularity": "day"}),
    "usage_by_hour": (7, {"granularity": "hour"}),
    "usage_by_dimension": (DAYS, {"granularity": "day", "group_by": "model"}),
}


def build(stored: int, large: int) -> str:
    """Fill the database as far as it is not filled yet; return an API key."""
    from django.core.management import call_command  # noqa: PLC0415
    from django.utils import timezone  # noqa: PLC0415

    from catalog.models import ValueMetric  # noqa: PLC0415
    from config.base.audit import SYSTEM  # noqa: PLC0415
    from config.base.services.api_keys import SCOPES, create_api_key  # noqa: PLC0415
    from metering.models import EventKey  # noqa: PLC0415

    call_command("migrate", verbosity=0)
    if not EventKey.objects.exists():
        at = timezone.now().replace(minute=0, second=0, microsecond=0)
        dataset.make_catalogue()
        ValueMetric.objects.update(dimensions=["model"])
        dataset.build(at)
        dataset.store(stored, until=at)
        dataset.store(large, until=at, days=DAYS, only=LARGE)
        dataset.rebuild()
        with _connection().cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")
    _, key = create_api_key(name="benchmark", scopes=SCOPES, expires_at=None, actor=SYSTEM)
    return key


def _connection() -> psycopg.Connection:
    return psycopg.connect(URL, autocommit=True)


def p95(times: list[float]) -> float:
    """Return the 95th percentile of so many seconds, in milliseconds."""
    return quantiles(times, n=20)[-1] * 1000


def timed(*calls: Callable[[], None]) -> float:
    times = []
    for call in calls:
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return p95(times)


def month(until: datetime) -> float:
    """Measure the large customer's days of one metric, again and again."""
    from catalog.models import ValueMetric  # noqa: PLC0415
    from customers.models import Customer  # noqa: PLC0415
    from metering.querysets import Span, measure  # noqa: PLC0415

    metric = ValueMetric.objects.get(key=METRIC)
    customer = Customer.objects.get(key=LARGE)
    span = Span(customer.pk, None, until - timedelta(days=DAYS), until)

    def once() -> None:
        [found] = measure(metric, [span])
        assert found.events

    return timed(*[once] * ASKED)


def asked(port: int, key: str, customers: list[str], until: datetime, name: str) -> float:
    """Ask for the usage of these customers, one after the other."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    days, query = QUERIES[name]
    since = (until - timedelta(days=days)).isoformat()
    said = urlencode({"metric": METRIC, "from": since, "to": until.isoformat(), **query})

    def ask(customer: str) -> None:
        path = f"/api/v1/customers/{customer}/usage?{said}"
        connection.request("GET", path, headers={"Authorization": f"Bearer {key}"})
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200, body
        assert json.loads(body)["buckets"]

    return timed(*[lambda customer=customer: ask(customer) for customer in customers])


def compare(port: int, key: str, until: datetime) -> dict[str, list[float]]:
    chance = random.Random(7)
    found: dict[str, list[float]] = {name: [] for name in AT_MOST_MS}
    for number in range(1, ROUNDS + 1):
        print(f"round {number}", flush=True)
        found["usage_month"].append(month(until))
        for name in QUERIES:
            some = [
                dataset.customer_key(n) for n in chance.sample(range(1, dataset.CUSTOMERS), ASKED)
            ]
            found[name].append(asked(port, key, some, until, name))
        found["usage_large"].append(asked(port, key, [LARGE] * ASKED, until, "usage_by_day"))
        for name, times in found.items():
            print(f"  {name}: {times[-1]:.2f} ms", flush=True)
    return found


def report(found: dict[str, list[float]]) -> int:
    failed = []
    for name, most in AT_MOST_MS.items():
        took = median(found[name])
        print(f"{name} ratio={took / most:.2f} product={took:.2f} reference={most:g} (ms, p95)")
        if took > most:
            failed.append(name)
    return 1 if failed else 0


def main() -> int:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--stored", type=int, default=5_000_000)
    arguments.add_argument("--large", type=int, default=1_000_000)
    arguments.add_argument("--keep", action="store_true", help="leave the database, or take it")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as directory, psycopg.connect(SERVER, autocommit=True) as to:
        there = to.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
        if not (there and given.keep):
            to.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
            to.execute(f"CREATE DATABASE {DATABASE}")
        os.environ.update(
            DATABASE_URL=URL, DATA_DIR=directory, DJANGO_SETTINGS_MODULE="config.settings"
        )
        import django  # noqa: PLC0415

        django.setup()
        try:
            key = build(given.stored, given.large)
            [[last]] = _connection().execute("SELECT max(time) FROM metering_usageevent").fetchall()
            until = last.replace(hour=0, minute=0, second=0, microsecond=0)
            with gunicorn(dict(os.environ)) as (port, _):
                return report(compare(port, key, until))
        finally:
            from django.db import connection  # noqa: PLC0415

            connection.close()
            if not given.keep:
                to.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")


if __name__ == "__main__":
    sys.exit(main())
