"""How long the server takes for the pages of the close and of money, on the large data set.

    python tests/benchmarks/pages.py [--subscriptions 10000] [--months 10] [--events 3000000] [--keep]

Builds a PostgreSQL database of so many subscriptions with a base fee and three usage prices, closes
and issues all months but the last, which is due and estimated; a third of the customers paid ahead.
Then each page is asked for 20 times through Django's test client, so that everything but the network
and the server process counts; those of a customer or an invoice for another one each time.

Ends with a line per page: the 95th percentile in milliseconds against what it may be at most, and
how many queries it took. With `--keep` the database is left for the next run, which takes it as it
is. PostgreSQL is the server of TEST_DATABASE_URL, by default the one on this machine.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import psycopg
import time_machine

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.benchmarks import close  # noqa: E402

SERVER = os.environ.get("TEST_DATABASE_URL") or "postgres://root@127.0.0.1:5432/postgres"
DATABASE = "plainbill_pages_benchmark"
URL = urlsplit(SERVER)._replace(path=f"/{DATABASE}").geturl()
NOW = datetime(2026, 10, 1, 9, tzinfo=UTC)
AT_MOST_MS = 300
OTHERWISE = {"ageing": 1000}  # it adds up all that is open, which is most of 90,000 invoices here
TIMES, WARM = 20, 2
PAYS_ONE_IN = 3


class Page(NamedTuple):
    """Addresses to ask for in turn, and who asks: staff, a customer, or a program."""

    name: str
    who: str
    addresses: Sequence[str]


def build(subscriptions: int, months: int, events: int) -> None:
    """Fill the database: all months billed but the last, which is due and estimated."""
    from billing.models import Invoice  # noqa: PLC0415
    from billing.services import estimating  # noqa: PLC0415
    from config.base.audit import SYSTEM  # noqa: PLC0415
    from customers.periods import month_after  # noqa: PLC0415

    close.START = month_after(close.END, -months)
    close.build(subscriptions, events)
    if Invoice.objects.exists():
        return
    _pay()
    for number in range(1, months):
        first = month_after(close.START, number)
        _bill(datetime(first.year, first.month, 2, 6, tzinfo=UTC))
        print(f"billed until {first}", flush=True)
    estimate = estimating.start_estimate(
        month=estimating.month_to_close(at=NOW), customer=None, at=NOW, actor=SYSTEM
    )
    while estimating.take_step(estimate_id=estimate.pk, now=NOW):
        pass
    with close.connected().cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def _bill(as_of: datetime) -> None:
    from billing.services import runs  # noqa: PLC0415
    from config.base.audit import SYSTEM  # noqa: PLC0415

    run = runs.start_run(as_of=as_of, now=as_of, actor=SYSTEM)
    for chunk in runs.chunks(run):
        runs.close_chunk(run_id=run.pk, subscription_ids=chunk, now=as_of)
    runs.finish_if_done(run_id=run.pk, now=as_of)


def _pay() -> None:
    """Let every third customer pay ahead what its first invoices take as they are issued."""
    from billing.models import Payment  # noqa: PLC0415
    from billing.services import payments  # noqa: PLC0415
    from config.base.audit import SYSTEM  # noqa: PLC0415
    from customers.models import Customer  # noqa: PLC0415

    at = datetime(close.START.year, close.START.month, 1, 9, tzinfo=UTC)
    for customer in Customer.objects.order_by("pk")[::PAYS_ONE_IN]:
        payment = Payment(
            customer=customer, amount=Decimal(300), currency="EUR", received_on=close.START
        )
        payments.record_payment(payment=payment, at=at, actor=SYSTEM)


def pages() -> Iterator[Page]:
    from django.urls import reverse  # noqa: PLC0415

    from billing.models import Invoice  # noqa: PLC0415
    from customers.models import Customer, Subscription  # noqa: PLC0415

    def of(model: str, name: str, *keys: Any) -> list[str]:
        address = f"admin:{model}_{name}"
        return [reverse(address, args=[key]) for key in keys] if keys else [reverse(address)]

    customers = list(Customer.objects.order_by("pk").values_list("pk", flat=True)[:TIMES])
    keys = list(Customer.objects.order_by("pk").values_list("key", flat=True)[:TIMES])
    invoices = list(Invoice.objects.order_by("-pk").values_list("pk", flat=True)[:TIMES])
    subscriptions = list(Subscription.objects.order_by("pk").values_list("pk", flat=True)[:TIMES])
    yield Page("home", "staff", [reverse("admin:index")])
    yield Page("cockpit", "staff", of("billing_billingrun", "close"))
    yield Page("runs", "staff", of("billing_billingrun", "changelist"))
    yield Page("periods", "staff", of("billing_billingperiod", "changelist"))
    yield Page("invoices", "staff", of("billing_invoice", "changelist"))
    found = [f"{of('billing_invoice', 'changelist')[0]}?q=customer-{n}" for n in range(TIMES)]
    yield Page("invoices_found", "staff", found)
    yield Page("invoice", "staff", of("billing_invoice", "change", *invoices))
    yield Page("review", "staff", of("billing_invoice", "review"))
    yield Page("customers", "staff", of("customers_customer", "changelist"))
    yield Page("customer", "staff", of("customers_customer", "change", *customers))
    yield Page("subscriptions", "staff", of("customers_subscription", "changelist"))
    yield Page("subscription", "staff", of("customers_subscription", "change", *subscriptions))
    yield Page("usage", "staff", of("metering_usageevent", "usage", *keys))
    yield Page("events", "staff", of("metering_usageevent", "changelist"))
    yield Page("payments", "staff", of("billing_payment", "changelist"))
    yield Page("ageing", "staff", of("billing_writeoff", "ageing"))
    yield Page("statement", "staff", of("billing_writeoff", "statement", *customers))
    yield Page("portal_usage", "customer", [reverse("portal:usage")])
    yield Page("portal_invoices", "customer", [reverse("portal:invoices")])
    yield Page("api_invoices", "program", ["/api/v1/invoices"])
    yield Page("api_customers", "program", ["/api/v1/customers"])
    yield Page("api_subscriptions", "program", ["/api/v1/subscriptions"])


def clients() -> dict[str, Any]:
    from django.contrib.auth.models import User  # noqa: PLC0415
    from django.test import Client  # noqa: PLC0415

    from config.base.audit import SYSTEM  # noqa: PLC0415
    from config.base.services.api_keys import SCOPES, create_api_key  # noqa: PLC0415
    from customers.models import Contact, Customer  # noqa: PLC0415
    from tests.customers.door import contact, signed_in  # noqa: PLC0415

    User.objects.filter(username="benchmark").delete()
    staff = Client()
    staff.force_login(User.objects.create_superuser("benchmark"))
    buyer = Customer.objects.order_by("pk")[0]
    person = Contact.objects.filter(customer=buyer).first() or contact(buyer)
    _, key = create_api_key(name="benchmark", scopes=SCOPES, expires_at=None, actor=SYSTEM)
    program = Client(headers={"Authorization": f"Bearer {key}"})
    return {"staff": staff, "customer": signed_in(person), "program": program}


def measured(page: Page, client: Any) -> tuple[float, int]:
    """Return the 95th percentile in milliseconds and how many queries it takes at most."""
    from django.test.utils import CaptureQueriesContext  # noqa: PLC0415

    took, queries = [], 0
    for address in islice(cycle(page.addresses), WARM + TIMES):
        started = time.perf_counter()
        answer = client.get(address)
        took.append(time.perf_counter() - started)
        assert answer.status_code == 200, (address, answer)
    for address in page.addresses:
        with CaptureQueriesContext(close.connected()) as seen:
            client.get(address)
        queries = max(queries, len(seen))
    return sorted(took[WARM:])[int(TIMES * 0.95) - 1] * 1000, queries


def compare() -> int:
    people, failed = clients(), False
    for page in pages():
        took, queries = measured(page, people[page.who])
        most = OTHERWISE.get(page.name, AT_MOST_MS)
        print(
            f"pages_{page.name} ratio={took / most:.2f} product={took:.0f} reference={most} "
            f"(ms, p95; {queries} queries)",
            flush=True,
        )
        failed = failed or took > most
    return 1 if failed else 0


def main() -> int:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--subscriptions", type=int, default=10_000)
    arguments.add_argument("--months", type=int, default=10)
    arguments.add_argument("--events", type=int, default=3_000_000)
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
        from django.conf import settings  # noqa: PLC0415

        settings.ALLOWED_HOSTS.append("testserver")
        try:
            build(given.subscriptions, given.months, given.events)
            with time_machine.travel(NOW):
                return compare()
        finally:
            close.connected().close()
            if not given.keep:
                to.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")


if __name__ == "__main__":
    sys.exit(main())
