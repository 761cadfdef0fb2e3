from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from config.base.services import outbox


class Command(BaseCommand):
    help = "Deliver the outbox messages that are due, as the worker does every minute."

    def handle(self, *args: Any, **options: Any) -> None:
        succeeded, failed = outbox.deliver_due(at=timezone.now())
        self.stdout.write(f"{succeeded} delivered, {failed} failed.")
