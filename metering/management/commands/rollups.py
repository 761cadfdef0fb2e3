"""Sum usage up, from the command line: what the beat does every minute, to the end."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from metering.models import Rollup
from metering.services.rollups import build_rollups, fold_pieces

_PAUSE = 0.2  # seconds


class Command(BaseCommand):
    help = "Build the rollups of new metrics from events, and fold what ingestion appended."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--patience",
            type=float,
            default=60,
            help="seconds to wait for transactions that may not know of a new rollup; default: 60",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        until = time.monotonic() + options["patience"]
        while waiting := build_rollups(at=timezone.now()):
            if time.monotonic() > until:
                names = ", ".join(f"“{rollup.metric}”" for rollup in waiting)
                self.stderr.write(
                    f"Some transactions are older than the rollups of {names}, which wait for "
                    "them and are measured from events meanwhile: run this again later."
                )
                break
            time.sleep(_PAUSE)
        for rollup in Rollup.objects.exclude(knows_from=None).select_related("metric"):
            self.stdout.write(
                f"“{rollup.metric}” knows usage from {rollup.knows_from:%Y-%m-%d} UTC on: events from "
                "before were archived already. To have it know them, restore their months."
            )
        self.stdout.write(f"{fold_pieces():,} pieces folded.")
