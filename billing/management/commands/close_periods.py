"""Close what is due, from the command line: the same run as the beat's, the API's and the admin's."""

from __future__ import annotations

import time
from argparse import ArgumentParser, ArgumentTypeError
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from billing.models import BillingRun, RunStatus
from billing.services import runs
from config.base.audit import Actor
from config.base.errors import Invalid
from config.base.models import ActorKind
from config.base.services import outbox
from customers.models import Customer

TRIES = 60
PAUSE = 1  # second, in which another run goes on with what it holds


class Command(BaseCommand):
    help = "Close every period that is due, and issue the drafts whose time has come."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--as-of",
            type=_instant,
            help="act as the clock reads this, such as 2026-12-01T02:00:00Z; default: now",
        )
        parser.add_argument("--customer", help="only this customer's key")

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        customer = _customer(options["customer"])
        try:
            run = runs.start_run(
                as_of=options["as_of"] or now,
                now=now,
                actor=Actor(ActorKind.SYSTEM, "close_periods"),
                customer=customer,
            )
        except Invalid as wrong:
            raise CommandError(str(wrong)) from None
        for _ in range(TRIES):
            run = self.close(run)
            if run.status != RunStatus.RUNNING:
                break
            time.sleep(PAUSE)  # another run holds what is left
        _deliver_outbox()
        self.stdout.write(
            f"Run {run.uuid} {run.get_status_display().lower()}: {run.periods_closed} periods closed, "
            f"{run.invoices.count()} invoices drafted, {run.invoices_issued} issued."
        )
        if parked := runs.parked_in(run):
            for period in parked:
                self.stderr.write(f"Parked {period}: {period.trouble.splitlines()[0]}")
            raise CommandError(f"{len(parked)} periods are parked; the others are closed.")

    def close(self, run: BillingRun) -> BillingRun:
        """Close what of a run nobody else holds; return it as it is then."""
        for chunk in runs.chunks(run):
            run = runs.close_chunk(run_id=run.pk, subscription_ids=chunk, now=timezone.now())
            self.stderr.write(f"{run.subscriptions_done} of {run.subscriptions_total} closed")
        return runs.finish_if_done(run_id=run.pk, now=timezone.now())


def _instant(text: str) -> datetime:
    try:
        instant = parse_datetime(text)
    except ValueError:  # it looks like a time, but there is no 31 November
        instant = None
    if instant is None or instant.tzinfo is None:
        raise ArgumentTypeError(f"“{text}” is no time with an offset: 2026-12-01T02:00:00Z.")
    return instant


def _deliver_outbox() -> None:
    """Deliver until nothing is due; each round reads the clock, as claims are timed by it."""
    while any(outbox.deliver_due(at=timezone.now(), limit=100)):
        pass


def _customer(key: str | None) -> Customer | None:
    if not key:
        return None
    try:
        return Customer.objects.get(key=key)
    except Customer.DoesNotExist:
        raise CommandError(f"--customer: there is no customer with the key “{key}”.") from None
