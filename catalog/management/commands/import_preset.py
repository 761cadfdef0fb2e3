from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from catalog import services
from catalog.presets import presets
from config.base.audit import SYSTEM
from config.base.errors import Invalid, Refusal


class Command(BaseCommand):
    help = "Make a plan from one of the ten examples, as a draft; without a key, list them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("key", nargs="?", help="which example, such as seats")
        parser.add_argument("--currency", help="what its amounts are in, such as EUR")

    def handle(self, *args: Any, key: str | None, currency: str | None, **options: Any) -> None:
        if key is None:
            for one in presets():
                self.stdout.write(f"{one.key:<18}{one.about}")
            return
        if currency is None:
            raise CommandError("Say what its amounts are in, such as --currency EUR.")
        try:
            version = services.import_preset(key=key, currency=currency, actor=SYSTEM)
        except (Invalid, Refusal) as refusal:
            raise CommandError(str(refusal)) from refusal
        self.stdout.write(
            f"{version} is a draft in {version.currency}, under the plan key {version.plan.key}. "
            "Change its prices as you like, then publish it."
        )
