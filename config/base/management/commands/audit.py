import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from config.base import invariants
from config.base.invariants import Result


class Command(BaseCommand):
    help = (
        "Check what must always hold of the data, in one snapshot, changing nothing. "
        "Prints each row that contradicts it; ends with 1 if there is one, else with 0."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        names = ", ".join(invariant.name for invariant in invariants.INVARIANTS)
        parser.add_argument(
            "--only", action="append", default=[], metavar="NAME", help=f"one of: {names}"
        )
        parser.add_argument("--json", action="store_true", help="a line of JSON per row found")
        parser.add_argument(
            "--limit", type=int, default=1000, help="rows to print per check (1000)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        found = 0
        tell = self._as_json if options["json"] else self._as_text
        try:
            for result in invariants.audit(
                at=timezone.now(), names=options["only"], limit=max(1, options["limit"])
            ):
                found += len(result.findings)
                tell(result)
        except KeyError as unknown:
            raise CommandError(f"There is no check {unknown}; --help lists them.") from None
        if found:
            sys.exit(1)

    def _as_text(self, result: Result) -> None:
        name = result.invariant.name
        if not result.findings:
            self.stdout.write(f"ok    {name}")
            return
        more = " or more" if result.is_cut else ""
        self.stdout.write(f"FAIL  {name}: {len(result.findings)}{more}. {result.invariant.holds}")
        for row in result.findings:
            difference = f" ({row.difference})" if row.difference else ""
            self.stdout.write(
                f"      {row.id}: expected {row.expected}, is {row.actual}{difference}"
            )

    def _as_json(self, result: Result) -> None:
        for row in result.findings:
            self.stdout.write(
                json.dumps({"check": result.invariant.name, **row._asdict()}, ensure_ascii=False)
            )
