"""Remind customers of what is overdue, as the worker does every hour."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from billing.services.reminders import remind
from config.base.audit import SYSTEM


class Command(BaseCommand):
    help = (
        "Leave a mail to each customer for whom a reminder has come, of issuers who send them; each "
        "invoice once for each level. Deliver the outbox to send them."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        made = remind(at=timezone.now(), actor=SYSTEM)
        self.stdout.write(f"{len(made)} reminded.")
