"""Tax rates from a table, or those of the EU that come with Plainbill."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing.rate_tables import packaged
from billing.services.tax_rates import ImportedRate, import_tax_rates, preview_tax_rates
from config.base.audit import SYSTEM
from config.base.errors import Invalid


class Command(BaseCommand):
    help = (
        "Import tax rates from a CSV file with the columns country, category, percent, valid_from "
        "and, if you like, valid_until and source; or with --eu the starting table for the EU, which "
        "you should compare with an official source. All of it or nothing; what is there already stays, so that it can be run again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, nargs="?")
        parser.add_argument("--eu", action="store_true", help="the table that is packaged")
        parser.add_argument("--dry-run", action="store_true", help="say what each row would do")

    def handle(self, *args: Any, **options: Any) -> None:
        if bool(options["file"]) == options["eu"]:
            raise CommandError("Name a file, or say --eu.")
        try:
            text = packaged() if options["eu"] else options["file"].read_text("utf-8-sig")
            rows = (
                preview_tax_rates(text)
                if options["dry_run"]
                else import_tax_rates(text=text, actor=SYSTEM)
            )
        except (OSError, UnicodeDecodeError, Invalid) as trouble:
            raise CommandError(str(trouble)) from trouble
        for row in rows if options["dry_run"] else ():
            self.stdout.write(f"line {row.line}: {row.outcome} {row.rate or ''} {row.message}")
        self.stdout.write(_counted(rows))


def _counted(rows: list[ImportedRate]) -> str:
    outcomes = [row.outcome for row in rows]
    return ", ".join(f"{outcomes.count(one)} {one}" for one in dict.fromkeys(outcomes))
