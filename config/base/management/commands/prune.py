from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from config.base.services import pruning


class Command(BaseCommand):
    help = (
        "Delete what has served its time, such as idempotency keys, as the worker does every hour."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        pruning.prune(at=timezone.now(), told=self.stdout.write)
