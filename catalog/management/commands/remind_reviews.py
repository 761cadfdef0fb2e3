from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from catalog.reviews import remind_of_reviews


class Command(BaseCommand):
    help = (
        "Ask for a mail for each value metric whose review is due, as the worker does every hour: "
        "one for each date. Deliver the outbox to send them."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        names = [metric.name for metric in remind_of_reviews(at=timezone.now())]
        said = f"Reminded of {', '.join(names)}." if names else "Nothing is due that was not said."
        self.stdout.write(said)
