"""Usage from a CSV file, however large, counted once however often it is imported."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from catalog.models import MetricStatus, ValueMetric
from customers.models import Customer
from customers.periods import UnknownTimeZone, zone
from metering.events import NotAnEvent, check_text
from metering.services import Outcome, Report, ingest
from metering.usage_files import (
    Layout,
    RefusedRow,
    Row,
    UnknownColumn,
    UnreadableFile,
    read_rows,
)

ROWS_PER_TRANSACTION = 5000
SHOWN = 20
LINE_EVERY = 5.0  # seconds, where there is no terminal


class Command(BaseCommand):
    help = (
        "Import usage from a CSV file whose first line names the columns. Importing a file again, "
        "also after rows were added at its end, counts every row once: without --id-column a "
        "row's id is its number and content. Rows that moved count again: where files are sorted "
        "anew or overlap, name an id column. Two files of one name are told apart by their rows; "
        "give them different --source if equal rows may stand at the same place. A row that is no "
        "event is refused with its line, the others are kept; then the exit status is 1."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--type", required=True, help="the type of the events: llm.request")
        parser.add_argument("--subject", required=True, metavar="KEY", help="the customer's key")
        parser.add_argument("--time-column", required=True, metavar="COLUMN")
        parser.add_argument(
            "--value",
            action="append",
            default=[],
            metavar="COLUMN=property",
            help="a column of numbers and the property it becomes; may be repeated",
        )
        parser.add_argument(
            "--text",
            action="append",
            default=[],
            metavar="COLUMN=property",
            help="a column of texts, such as a model, and the property it becomes",
        )
        parser.add_argument("--source", help="who sent them; import:<file name> unless given")
        parser.add_argument("--id-column", metavar="COLUMN", help="the column of the events' ids")
        parser.add_argument(
            "--time-zone", default="UTC", help="of times without an offset (default: UTC)"
        )
        parser.add_argument("--delimiter", default=",", help="between columns (default: a comma)")
        parser.add_argument(
            "--quarantine-unknown",
            action="store_true",
            help="keep events of an unknown customer or type in quarantine",
        )

    def handle(self, *args: Any, file: Path, **options: Any) -> None:
        layout = _layout(file, options)
        delimiter = options["delimiter"].replace("\\t", "\t")
        if len(delimiter) != 1:
            raise CommandError("--delimiter takes one character; a tab is \\t.")
        if not options["quarantine_unknown"]:
            _require_known(layout)
        try:
            with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
                self._import(lines, layout, delimiter, file)
        except OSError as broken:
            raise CommandError(f"{file} can't be read: {broken.strerror}.") from broken

    def _import(self, lines: TextIOWrapper, layout: Layout, delimiter: str, file: Path) -> None:
        rows = read_rows(lines, layout, delimiter=delimiter)
        tally = _Tally(self, file, lines)
        try:
            for batch in _batches(rows):
                tally.add(batch, _keep(batch))
        except UnknownColumn as refusal:
            raise CommandError(f"{file}: {refusal} Nothing was imported.") from refusal
        except UnreadableFile as broken:
            tally.finish()
            raise CommandError(
                f"{file}: {broken} {tally.before()} Mend the file and import it again: each row "
                "counts once."
            ) from broken
        tally.finish()
        if tally.refused:
            raise CommandError(
                f"{tally.refused:,} {'row was' if tally.refused == 1 else 'rows were'} refused. "
                "Mend them where they stand and import the file again: each row counts once."
            )


def _batches(rows: Iterable[Row | RefusedRow]) -> Iterator[list[Row | RefusedRow]]:
    """Yield rows in batches; where the file can't be read further, first those before it."""
    batch: list[Row | RefusedRow] = []
    try:
        for row in rows:
            batch.append(row)
            if len(batch) == ROWS_PER_TRANSACTION:
                yield batch
                batch = []
    except UnreadableFile:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def _keep(batch: list[Row | RefusedRow]) -> Report:
    events = [row.event for row in batch if isinstance(row, Row)]
    return ingest(events, received_at=timezone.now())


class _Tally:
    """Counts what became of the rows, and says so while they are read."""

    def __init__(self, command: BaseCommand, file: Path, lines: TextIOWrapper) -> None:
        self.out, self.err = command.stdout, command.stderr
        self.file, self.lines = file, lines
        self.size = max(file.stat().st_size, 1)
        self.total = Report()
        self.rows = self.refused = self.told = 0
        self.started = self.last_line = time.monotonic()
        self.is_terminal = bool(getattr(command.stdout, "isatty", lambda: False)())

    def add(self, batch: list[Row | RefusedRow], report: Report) -> None:
        self.rows += len(batch)
        for name in ("accepted", "duplicates", "quarantined", "conflicts"):
            setattr(self.total, name, getattr(self.total, name) + getattr(report, name))
        for line, message in _troubles(batch, report):
            self._tell(f"{self.file}, line {line}{message}")
        self.refused += sum(isinstance(row, RefusedRow) for row in batch)
        self._progress()

    def finish(self) -> None:
        if self.is_terminal:
            self.out.write("\r\x1b[K", ending="")
        if self.told > SHOWN:
            self.err.write(f"… and {self.told - SHOWN:,} more.")
        total = self.total
        self.out.write(
            f"{self.rows:,} rows: {total.accepted:,} kept, {total.duplicates:,} duplicates, "
            f"{total.quarantined:,} quarantined, {total.conflicts:,} conflicts, "
            f"{self.refused:,} refused ({self._speed():,.0f} rows/s)."
        )
        if total.conflicts:
            self.out.write(
                "Conflicts are rows whose id arrived before with other content, under the same "
                "source; they are in quarantine. If it was another file, give it a --source."
            )

    def before(self) -> str:
        """Say what became of the rows before the one that can't be read."""
        if not self.rows:
            return "Nothing was imported."
        imported = f"{self.rows - self.refused:,} imported"
        refused = f" and {self.refused:,} refused" if self.refused else ""
        return f"Rows before it: {imported}{refused}."

    def _tell(self, message: str) -> None:
        self.told += 1
        if self.told <= SHOWN:
            self.err.write(message)

    def _progress(self) -> None:
        read = self.lines.buffer.tell()  # type: ignore[attr-defined]
        share = min(read / self.size, 1)
        text = f"{self.rows:,} rows, {self._speed():,.0f} rows/s, {share:.0%}"
        now = time.monotonic()
        if self.is_terminal:
            done = round(share * 30)
            self.out.write(f"\r\x1b[K[{'█' * done}{' ' * (30 - done)}] {text}", ending="")
            self.out.flush()
        elif now - self.last_line >= LINE_EVERY:
            self.out.write(text)
            self.last_line = now

    def _speed(self) -> float:
        return self.rows / max(time.monotonic() - self.started, 1e-9)


def _troubles(batch: list[Row | RefusedRow], report: Report) -> Iterator[tuple[int, str]]:
    """Yield line and message of each row that was not kept as it is, in the order of lines."""
    kept = [row.line for row in batch if isinstance(row, Row)]
    found = [
        (row.line, f", column {row.column}: {row.message}" if row.column else f": {row.message}")
        for row in batch
        if isinstance(row, RefusedRow)
    ]
    for problem in report.problems:
        is_conflict = problem.outcome == Outcome.CONFLICT
        what = "conflict" if is_conflict else f"{problem.outcome}, {problem.code}"
        found.append((kept[problem.index], f": {problem.detail} ({what})"))
    yield from sorted(found)


def _layout(file: Path, options: dict[str, Any]) -> Layout:
    names = {"type": options["type"], "subject": options["subject"]}
    names["source"] = options["source"] or f"import:{file.name}"
    for name, value in names.items():
        try:
            check_text(value, name)
        except NotAnEvent as refusal:
            raise CommandError(f"--{name}: {refusal}") from refusal
    try:
        place = zone(options["time_zone"])
    except UnknownTimeZone as refusal:
        raise CommandError(f"--time-zone: {refusal}") from refusal
    return Layout(
        **names,
        time_column=options["time_column"],
        values=_pairs("value", options["value"]),
        texts=_pairs("text", options["text"]),
        id_column=options["id_column"],
        zone=place,
    )


def _pairs(option: str, texts: list[str]) -> dict[str, str]:
    """Read COLUMN=property pairs; a column alone is its own property."""
    pairs = {}
    for text in texts:
        column, _, name = text.rpartition("=") if "=" in text else (text, "", text)
        if not column or not name:
            raise CommandError(f"--{option} takes COLUMN=property, not “{text}”.")
        pairs[column] = name
    return pairs


def _require_known(layout: Layout) -> None:
    """Refuse before reading what would all end up in quarantine."""
    otherwise = "or keep the events in quarantine with --quarantine-unknown. Nothing was imported."
    if not Customer.objects.filter(key=layout.subject).exists():
        raise CommandError(
            f"There is no customer “{layout.subject}”. Create it in the admin under Customers, or "
            f'with POST /api/v1/customers {{"key": "{layout.subject}", "name": "…", '
            f'"currency": "EUR"}}, {otherwise}'
        )
    counting = ValueMetric.objects.filter(event_type=layout.type)
    if not counting.exclude(status=MetricStatus.RETIRED).exists():
        raise CommandError(
            f"No metric counts “{layout.type}” events. Create one in the admin under Metrics, or "
            f"with POST /api/v1/metrics, {otherwise}"
        )
