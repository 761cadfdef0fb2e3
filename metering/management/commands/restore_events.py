from argparse import ArgumentParser
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from config.base.audit import Actor
from config.base.errors import Refusal
from config.base.models import ActorKind
from metering.management.months import month
from metering.services import archive


class Command(BaseCommand):
    help = (
        "Bring the events of an archived month back from its file in DATA_DIR/archive, if the "
        "file is as it was written. Events that wait in quarantine for the month can be tried "
        "again afterwards."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("month", type=month, help="in UTC, such as 2025-09")

    def handle(self, *args: Any, month: date, **options: Any) -> None:
        actor = Actor(ActorKind.SYSTEM, "restore_events")
        try:
            count = archive.restore_month(month=month, actor=actor)
        except Refusal as refusal:
            raise CommandError(str(refusal)) from refusal
        self.stdout.write(f"{count:,} events of {month:%Y-%m} are back.")
