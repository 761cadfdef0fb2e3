"""How long the preview of moving 10,000 subscriptions to another version takes, and the move itself.

    DATABASE_URL=postgres://… python tests/benchmarks/move.py [--subscriptions 10000] [--drafts]

Into an empty PostgreSQL database, which it migrates: a base fee and metered calls, a version with
other prices, and customers in their first month with usage. With `--drafts` the first fees are still
drafts, so that a change at once redraws each. Ends with a line per figure; exit status 1 if the
preview took more than a minute or memory grew by more than 100 MB in it.
"""

import argparse
import os
import resource
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

import django  # noqa: E402

django.setup()

from django.core.management import call_command  # noqa: E402

from billing.models import MoveWhen, PlanMove  # noqa: E402
from billing.services import moving, runs  # noqa: E402
from catalog.models import PlanVersion  # noqa: E402
from config.base.audit import SYSTEM  # noqa: E402
from customers.models import Customer, Subscription, SubscriptionPhase  # noqa: E402
from metering.events import make_event  # noqa: E402
from metering.services.ingestion import ingest  # noqa: E402
from metering.services.months import make_months  # noqa: E402
from tests import factories as make  # noqa: E402

BOUND_SECONDS, BOUND_MB = 60, 100
START, NOW = date(2026, 11, 1), datetime(2026, 11, 10, 12, tzinfo=UTC)
BATCH = 500


def versions() -> tuple[PlanVersion, PlanVersion]:
    calls, plan = make.metric("calls"), make.plan("scale")
    ladder = "1000 @ 0.01, 10000 @ 0.008, rest @ 0.005"
    found = [
        make.published(
            make.flat("base", base),
            make.graduated(calls, ladder, "calls", included_quantity=Decimal(500)),
            plan=plan,
        )
        for base in ("100", "120")
    ]
    return found[0], found[1]


def subscribe(count: int, version: PlanVersion) -> None:
    """Subscribe so many customers to a version, each with usage of its own."""
    issuer = make.customer("first").issuer
    for start in range(0, count, BATCH):
        numbers = range(start, min(count, start + BATCH))
        customers = Customer.objects.bulk_create(
            Customer(key=f"c{n}", name=f"C {n}", currency="EUR", issuer=issuer) for n in numbers
        )
        made = Subscription.objects.bulk_create(
            Subscription(key=f"s-{one.key}", customer=one, starts_on=START) for one in customers
        )
        SubscriptionPhase.objects.bulk_create(
            SubscriptionPhase(
                subscription=one, plan_version=version, starts_on=START, time_zone="UTC"
            )
            for one in made
        )
        report = ingest(list(events(numbers)), received_at=NOW)
        assert report.accepted == len(numbers), report


def events(numbers: range) -> Iterator[Any]:
    for n in numbers:
        yield make_event(
            source="move",
            id=str(n),
            type="api.call",
            subject=f"c{n}",
            subscription=None,
            time=datetime(2026, 11, 5, tzinfo=UTC),
            data={"calls": n % 5000},
        )


def bill(as_of: datetime) -> None:
    run = runs.start_run(as_of=as_of, now=as_of, actor=SYSTEM)
    for chunk in runs.chunks(run):
        runs.close_chunk(run_id=run.pk, subscription_ids=chunk, now=as_of)
    assert runs.finish_if_done(run_id=run.pk, now=as_of).status == "finished"


def memory_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def walk(move: PlanMove) -> float:
    """Take every step of what a move is at; return the seconds that it took."""
    start = time.perf_counter()
    while moving.take_step(move_id=move.pk, now=NOW):
        pass
    return time.perf_counter() - start


def main() -> int:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--subscriptions", type=int, default=10_000)
    arguments.add_argument("--drafts", action="store_true")
    given = arguments.parse_args()
    call_command("migrate", verbosity=0)
    make_months(at=NOW)
    before, after = versions()
    subscribe(given.subscriptions, before)
    bill(datetime(2026, 11, 1 if given.drafts else 3, 2, tzinfo=UTC))
    move = moving.start_move(
        subscriptions=moving.on_version(before, today=NOW.date()),
        from_version=before,
        to_version=after,
        when=MoveWhen.IMMEDIATE,
        at=NOW,
        actor=SYSTEM,
    )
    moving.take_step(move_id=move.pk, now=NOW)  # the first fills caches
    used = memory_mb()
    previewed = walk(move)
    grown = memory_mb() - used
    print(f"preview {previewed:.1f} s, bound {BOUND_SECONDS} s; memory grew by {grown:.0f} MB")
    print(moving.summary(move))
    moving.confirm_move(move_id=move.pk, at=NOW, actor=SYSTEM)
    print(f"move {walk(move):.1f} s")
    print(moving.summary(move))
    return 0 if previewed < BOUND_SECONDS and grown < BOUND_MB else 1


if __name__ == "__main__":
    sys.exit(main())
