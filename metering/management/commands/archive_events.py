from argparse import ArgumentParser
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from config.base.audit import Actor
from config.base.errors import Refusal
from config.base.models import ActorKind
from metering.management.months import month
from metering.services import archive


class Command(BaseCommand):
    help = (
        "Archive the events of a month on PostgreSQL: write them to a compressed file in "
        "DATA_DIR/archive, keep its hash and count, and drop the partition. Only a month whose "
        "periods are all settled. Keys, rollups and snapshots stay; an event that arrives for the "
        "month later waits in quarantine. restore_events brings the events back."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("month", type=month, help="in UTC, such as 2025-09")

    def handle(self, *args: Any, month: date, **options: Any) -> None:
        actor = Actor(ActorKind.SYSTEM, "archive_events")
        try:
            row = archive.archive_month(month=month, at=timezone.now(), actor=actor)
        except Refusal as refusal:
            raise CommandError(str(refusal)) from refusal
        path = archive.file_of(month)
        self.stdout.write(f"{row.events:,} events are in {path}, SHA-256 {row.sha256}.")
        self.stdout.write("Copy the file to where your backups are: the database has them no more.")
