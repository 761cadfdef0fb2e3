"""What `kill_close` does inside one database; each step is a process of its own."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import django
import time_machine

django.setup()

from django.core.management import call_command  # noqa: E402

from billing import tasks  # noqa: E402
from billing.models import BillingRun, Invoice, InvoiceDocument  # noqa: E402
from billing.services import runs  # noqa: E402
from config.base.audit import SYSTEM  # noqa: E402
from config.base.services import outbox  # noqa: E402
from metering.events import make_event  # noqa: E402
from metering.services.ingestion import ingest  # noqa: E402
from tests import factories as make  # noqa: E402

AS_OF = datetime(2026, 3, 2, 3, tzinfo=UTC)


def prepare(subscriptions: str) -> None:
    """Subscribe so many customers to one plan since January, with a little usage each."""
    call_command("migrate", verbosity=0)
    version = make.published(
        make.flat("base", "10"),
        make.graduated(make.metric("calls"), "rest @ 1", key="calls", included_quantity=Decimal(3)),
    )
    events = []
    for number in range(int(subscriptions)):
        key = f"c{number}"
        make.subscription(make.customer(key), version, key=key, starts_on=date(2026, 1, 1))
        events += [
            make_event(
                source="deep",
                id=f"{key}-{month}",
                type="api.call",
                subject=key,
                subscription=None,
                time=datetime(2026, month, 5, tzinfo=UTC),
                data={"calls": number % 7},
            )
            for month in (1, 2)
        ]
    ingest(events, received_at=AS_OF)


def start() -> None:
    run = runs.start_run(as_of=AS_OF, now=datetime.now(UTC), actor=SYSTEM)
    tasks.advance_run.delay(run.pk)


def sweep() -> None:
    """Do as the beat did on that day; say how the run stands."""
    with time_machine.travel(AS_OF):  # else it goes on to close what is due by now
        tasks.sweep()
    print(BillingRun.objects.order_by("pk")[0].status)


def deliver() -> None:
    """Make the documents left, also those a killed worker still has a claim on: as an hour later."""
    outbox.deliver_due(at=datetime.now(UTC) + timedelta(hours=1), limit=100_000)


def show() -> None:
    """Print all that must not depend on what happened in between; numbers apart from their order."""
    for invoice in Invoice.objects.with_lines().iterator(chunk_size=500):
        charge = invoice.charges.get()
        lines = [(line.description, str(line.net)) for line in invoice.lines.all()]
        documents = InvoiceDocument.objects.filter(invoice=invoice).count()
        print(
            charge.subscription.key, charge.period.number, charge.purpose, invoice.status,
            invoice.total, lines, documents,
        )  # fmt: skip
    for number in Invoice.objects.exclude(number=None).order_by("number"):
        print(number)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
