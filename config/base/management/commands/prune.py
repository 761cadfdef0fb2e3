from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from config.base.services import idempotency


class Command(BaseCommand):
    help = "Delete idempotency keys older than 24 hours, as the worker does every hour."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"{idempotency.prune(at=timezone.now())} idempotency keys deleted.")
