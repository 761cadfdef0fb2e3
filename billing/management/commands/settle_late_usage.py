"""Look for late usage, from the command line: as the worker does every day."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from billing.models import OUTSTANDING, LateUsage
from billing.services.lateness import settle_late_usage


class Command(BaseCommand):
    help = (
        "Look for usage that came in, or was corrected, after its period was closed: note what the "
        "next invoice will charge, hold what a person is to decide, and draft an invoice of its own "
        "where no further period closes."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        drafted = settle_late_usage(as_of=timezone.now())
        waiting = LateUsage.objects.filter(status__in=OUTSTANDING).count()
        self.stdout.write(
            f"{len(drafted)} invoices drafted; {waiting} amounts of late usage are on their way or wait."
        )
