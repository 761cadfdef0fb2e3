"""Kill the demo with SIGKILL at random moments; compare with one that was left in peace.

Both begin with copies of one database in which the company was just founded, so that they tell of
the same day. Both must end the same: the same rows, the same papers, the same printed table.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

COMPARED = (
    "SELECT number, status, issue_date, customer_id, net_total, total FROM billing_invoice",
    "SELECT description, quantity, net, service_start, position FROM billing_invoiceline",
    "SELECT subscription_id, number, start_date, end_date, status FROM billing_billingperiod",
    "SELECT as_of, status, invoices_issued FROM billing_billingrun",
    "SELECT source, event_id, time FROM metering_usageevent",
    "SELECT event_id, code, status FROM metering_quarantinedevent",
    "SELECT action, subject_type, COUNT(*) FROM base_auditentry GROUP BY 1, 2",
    # Without its status: what a killed process had claimed is pending until the claim runs out.
    "SELECT kind, COUNT(*) FROM base_outbox GROUP BY 1",
    "SELECT invoice_id, COUNT(*) FROM billing_invoicedocument GROUP BY 1",
)


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--kills", type=int, default=10)
    arguments.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = arguments.parse_args()
    print(f"seed {given.seed}: {given.kills} kills")
    chance = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as folder:
        founded, peace, killed = (Path(folder) / name for name in ("founded", "peace", "killed"))
        _found(founded)
        for copy in (peace, killed):
            shutil.copytree(founded, copy)
        started = time.monotonic()
        expected = _told(peace)
        lasts = time.monotonic() - started
        print(f"in peace: {lasts:.1f} s")
        for _ in range(given.kills):
            with _demo(killed) as process:
                time.sleep(chance.uniform(1, lasts / 2))
                process.send_signal(signal.SIGKILL)
        found = _told(killed)
        lost, extra = expected - found, found - expected
        print(f"{len(expected)} rows expected, {len(lost)} lost, {len(extra)} extra")
        if lost or extra:
            sys.exit(f"lost: {sorted(lost)[:5]}\nextra: {sorted(extra)[:5]}")
    print("nothing lost, nothing doubled")


def _found(folder: Path) -> None:
    """Start a demo, and kill it once its company is founded."""
    database = folder / "plainbill.sqlite3"
    with _demo(folder) as process:
        while not (_has_table(database) and _rows(database, "SELECT 1 FROM billing_billingrun")):
            assert process.poll() is None, "the demo ended before it could be killed"
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)


def _told(folder: Path) -> set[str]:
    """Let a demo come to its end; return a picture of what it left and printed."""
    with _demo(folder) as process:
        printed, _ = process.communicate()
    assert process.returncode == 0, printed
    table, _, _ = printed.partition("Where everything is")
    papers = sorted(path.name for path in (folder / "demo").glob("*.pdf"))
    rows = (str(row) for query in COMPARED for row in _rows(folder / "plainbill.sqlite3", query))
    return {table, *papers, *rows}


def _demo(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "manage.py", "demo"],
        env={**os.environ, "DATA_DIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def _has_table(database: Path) -> bool:
    query = "SELECT 1 FROM sqlite_master WHERE name = 'billing_billingrun'"
    return database.exists() and bool(_rows(database, query))


def _rows(database: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(database, timeout=20)) as connection:
        return connection.execute(query).fetchall()


if __name__ == "__main__":
    main()
