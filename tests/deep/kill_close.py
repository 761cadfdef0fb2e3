"""Kill the worker with SIGKILL at random moments of a close; compare with a close left in peace.

Two databases start as copies of one. In the first, a worker closes everything undisturbed. In the
second, the worker is killed again and again: one of its children, or the whole process group. Both
must end the same: the same invoices with the same lines, numbered 1 to n, each document once.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psycopg
import redis

SERVER = os.environ["DEEP_DATABASE_URL"]
BROKER = os.environ["DEEP_BROKER_URL"]
TEMPLATE, PEACE, KILLED = "deep_template", "deep_peace", "deep_killed"


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--subscriptions", type=int, default=500)
    arguments.add_argument("--kills", type=int, default=10)
    arguments.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = arguments.parse_args()
    print(f"seed {given.seed}: {given.subscriptions} subscriptions, {given.kills} kills")
    chance = random.Random(given.seed)

    for name in (TEMPLATE, PEACE, KILLED):
        _admin(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    _admin(f"CREATE DATABASE {TEMPLATE}")
    _python(TEMPLATE, f"prepare {given.subscriptions}")
    for name in (PEACE, KILLED):
        _admin(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")

    started = time.monotonic()
    expected = _close(PEACE, kills=0, chance=chance)
    print(f"in peace: {time.monotonic() - started:.1f} s")
    started = time.monotonic()
    found = _close(KILLED, kills=given.kills, chance=chance)
    print(f"with {given.kills} kills: {time.monotonic() - started:.1f} s")

    lost, extra = expected - found, found - expected
    print(
        f"{len(expected)} rows expected, {len(found)} found, {len(lost)} lost, {len(extra)} extra"
    )
    if lost or extra or not expected:
        sys.exit(f"lost: {sorted(lost)[:5]}\nextra: {sorted(extra)[:5]}")
    print("nothing lost, nothing doubled")


def _close(database: str, *, kills: int, chance: random.Random) -> set[str]:
    """Close with a worker that is killed so many times; return a picture of the result."""
    redis.Redis.from_url(BROKER).flushdb()
    _python(database, "start")
    worker = None
    for number in range(kills):
        worker = worker or _worker(database)
        time.sleep(2.5 + chance.random() * 2)  # a worker takes two seconds to come up
        if not (chance.random() < 0.5 and _killed_a_child(worker, chance)):
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
            worker = None
        if chance.random() < 0.3:
            redis.Redis.from_url(BROKER).flushdb()  # the broker may lose everything, too
        if number % 3 == 2:
            _python(database, "sweep")
    worker = worker or _worker(database)
    try:
        deadline = time.monotonic() + 300
        while "finished" not in _python(database, "sweep"):
            assert time.monotonic() < deadline, "the run did not finish in five minutes"
            time.sleep(2)
    finally:
        os.killpg(worker.pid, signal.SIGTERM)
        worker.wait()
    _python(database, "deliver")
    return set(_python(database, "show").splitlines())


def _worker(database: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "celery", "-A", "config", "worker", "-c", "2", "-l", "ERROR"]
    return subprocess.Popen(
        command,
        env=_environment(database),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _killed_a_child(worker: subprocess.Popen[bytes], chance: random.Random) -> bool:
    """Kill one of the processes that do the work; false if there is none yet."""
    children = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()
    if not children:
        return False
    with suppress(ProcessLookupError):
        os.kill(int(chance.choice(children)), signal.SIGKILL)
    return True


def _python(database: str, step: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tests.deep.kill_close_steps", *step.split()],
        env=_environment(database),
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return done.stdout


def _environment(database: str) -> dict[str, str]:
    directory = os.path.join(tempfile.gettempdir(), f"plainbill-{database}")
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATABASE_URL": f"{SERVER}/{database}",
        "CELERY_BROKER_URL": BROKER,
        "DATA_DIR": directory,
    }


def _admin(statement: str) -> None:
    with psycopg.connect(f"{SERVER}/postgres", autocommit=True) as connection:
        connection.execute(statement.encode())


if __name__ == "__main__":
    main()
