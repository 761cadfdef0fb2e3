"""Look over the drafts, from the command line: as the worker does after each run."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from billing.services import reviewing


class Command(BaseCommand):
    help = "Compare new and redrawn drafts with the past, and say how many need eyes."

    def handle(self, *args: Any, **options: Any) -> None:
        while reviewing.look_over(at=timezone.now()):
            pass
        drafts = reviewing.open_drafts()
        odd = reviewing.with_reason(drafts, "").count()
        self.stdout.write(f"{odd:,} of {drafts.count():,} drafts need eyes.")
