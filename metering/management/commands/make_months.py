from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from metering.services import months


class Command(BaseCommand):
    help = (
        "Make the partitions of events for this month and the next three, and for months that "
        "lie in the default one, as the worker does every day. SQLite has no partitions."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        made = months.make_months(at=timezone.now())
        names = ", ".join(f"{month:%Y-%m}" for month in made)
        self.stdout.write(f"Made {names}." if made else "All months are there.")
