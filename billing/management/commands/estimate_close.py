"""Estimate a month's close, from the command line: as the worker does every day."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from billing.admin import words
from billing.services import estimating, expectation
from config.base.audit import Actor
from config.base.models import ActorKind


class Command(BaseCommand):
    help = "Work out what the close of a month comes to, against the last invoices; bill nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--month", type=_month, help="such as 2026-11; default: the next that is to be closed"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        estimate = estimating.start_estimate(
            month=options["month"] or estimating.month_to_close(at=now),
            customer=None,
            at=now,
            actor=Actor(ActorKind.SYSTEM, "estimate_close"),
        )
        while estimating.take_step(estimate_id=estimate.pk, now=timezone.now()):
            pass
        for row in expectation.by_currency(estimate):
            self.stdout.write(
                f"{estimate}: {words.counted(row.bills, 'invoice')}, "
                f"{words.money(row.expected, row.currency)} net expected, "
                f"{words.money(row.before, row.currency)} last."
            )


def _month(text: str) -> date:
    month = words.month_from(text)
    if month is None:
        raise ArgumentTypeError(f"“{text}” is no month such as 2026-11.")
    return month
