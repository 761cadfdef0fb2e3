"""How many events import_usage takes from a CSV file in a second, on PostgreSQL and SQLite.

    python tests/benchmarks/import_usage.py [rows]

Writes a file of 200,000 rows with two values each, unless told otherwise, and imports it three
times under different sources into a new database of each kind; takes the middle run. PostgreSQL is
the server of TEST_DATABASE_URL, by default the one on this machine; without one it is left out.
Ends with a line per database, and with exit status 1 if one is below its target. The targets are
absolute, so they stand where a reference would.
"""

import os
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

TARGETS = {"postgresql": 20_000, "sqlite": 10_000}
DATABASE = "plainbill_import_benchmark"


def write_file(path: Path, rows: int) -> None:
    """Write so many requests, 40 ms apart, with seven decimals in their times."""
    start = datetime(2023, 11, 16, 18, 17, 3)  # noqa: DTZ001 - the file's times have no zone
    with path.open("w") as file:
        file.write("TIMESTAMP,ContextTokens,GeneratedTokens\n")
        for n in range(rows):
            at = start + timedelta(milliseconds=40 * n)
            file.write(f"{at:%Y-%m-%d %H:%M:%S.%f}0,{n * 7919 % 7500},{n * 104729 % 400}\n")


def run_child(path: str) -> None:
    """Import the file three times into the database of the environment; print each speed."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    import django  # noqa: PLC0415

    django.setup()
    from django.core.management import call_command  # noqa: PLC0415

    from tests import factories as make  # noqa: PLC0415

    call_command("migrate", verbosity=0)
    make.customer("acme")
    for name in ("input_tokens", "output_tokens"):
        make.metric(name, event_type="llm.request", value_property=name)
    rows = Path(path).read_text().count("\n") - 1
    for run in range(3):
        start = time.perf_counter()
        call_command(
            "import_usage", path, "--type", "llm.request", "--subject", "acme",
            "--time-column", "TIMESTAMP", "--value", "ContextTokens=input_tokens",
            "--value", "GeneratedTokens=output_tokens", "--source", f"run-{run}",
            stdout=StringIO(),
        )  # fmt: skip
        print(rows / (time.perf_counter() - start))


def speeds(path: Path, url: str = "") -> list[float]:
    """Import in a process of its own, into the database of this URL or a new SQLite file."""
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    if url:
        environment["DATABASE_URL"] = url
    with tempfile.TemporaryDirectory() as directory:
        child = subprocess.run(
            [sys.executable, __file__, "--child", str(path)],
            env={**environment, "DATA_DIR": directory},
            capture_output=True,
            text=True,
            check=True,
        )
    return [float(line) for line in child.stdout.split()]


def on_postgresql(path: Path) -> list[float] | None:
    """Import into a new database of the server, which is dropped again; None without a server."""
    import psycopg  # noqa: PLC0415

    url = os.environ.get("TEST_DATABASE_URL") or "postgres://root@127.0.0.1:5432/postgres"
    server = urlsplit(url)._replace(path="/postgres").geturl()
    try:
        connection = psycopg.connect(server, autocommit=True)
    except psycopg.OperationalError as broken:
        print(f"PostgreSQL is left out: {broken}")
        return None
    with connection:
        connection.execute(f"DROP DATABASE IF EXISTS {DATABASE}")
        connection.execute(f"CREATE DATABASE {DATABASE}")
        try:
            scratch = urlsplit(url)._replace(path=f"/{DATABASE}").geturl()
            return speeds(path, scratch)
        finally:
            connection.execute(f"DROP DATABASE {DATABASE}")


def main(rows: int) -> int:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "usage.csv"
        write_file(path, rows)
        print(f"{rows:,} rows, {path.stat().st_size / 1e6:.1f} MB, three runs")
        found = {"postgresql": on_postgresql(path), "sqlite": speeds(path)}
    ratios = []
    for name, runs in found.items():
        if runs is None:
            continue
        print(f"  {name}: {', '.join(f'{speed:,.0f}' for speed in runs)}")
        speed, target = median(runs), TARGETS[name]
        ratios.append(speed / target)
        figures = f"ratio={speed / target:.2f} product={speed:.0f} reference={target}"
        print(f"import_usage_{name} {figures} (events/s)")
    return 0 if min(ratios) >= 1 else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        run_child(sys.argv[2])
    else:
        sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000))
