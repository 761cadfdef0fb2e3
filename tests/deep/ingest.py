"""Events under faults, over HTTP to a real gunicorn on PostgreSQL: none lost, none counted twice.

    python -m tests.deep.ingest [--events 50000] [--kills 10] [--shuffles 20] [--seed N]

- *Kills*: two senders send the same events, each in an order of its own, again and again until
  every batch got a 2xx, while workers are killed with SIGKILL and Redis is stopped. Every event
  that got a 2xx is there, once, and the sums of both metrics are right to the unit.
- *Shuffles*: the events with 30 % duplicates, in random order and cuts, under another source each
  time: the same totals every time.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from tests.benchmarks import dataset
from tests.benchmarks.ingest import gunicorn

ROOT = Path(__file__).parents[2]
SERVER = os.environ["DEEP_DATABASE_URL"]
DATABASE = "deep_ingest"
URL = f"{SERVER}/{DATABASE}"


class Sender(threading.Thread):
    """Sends batches until each got a 2xx, and remembers what the answers said."""

    def __init__(self, port: int, key: str, batches: list[list[dict[str, Any]]]) -> None:
        super().__init__()
        self.port, self.key, self.batches = port, key, batches
        self.counts: Counter[str] = Counter()
        self.again = 0

    def run(self) -> None:
        for batch in self.batches:
            body = json.dumps(batch)
            deadline = time.monotonic() + 120
            while not self._send(body):
                assert time.monotonic() < deadline, "no answer in two minutes"
                self.again += 1
                time.sleep(0.05)

    def _send(self, body: str) -> bool:
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("POST", "/api/v1/events", body, headers)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            return False  # the worker died: nobody knows whether it had committed
        finally:
            connection.close()
        assert answer.status in (204, 500, 503), answer.status
        if answer.status == 204:
            for part in answer.headers["Usage-Report"].split(", "):
                name, _, count = part.partition("=")
                self.counts[name] += int(count)
        return answer.status == 204


def events(count: int, source: str) -> list[dict[str, Any]]:
    chance = random.Random(7)
    return [
        {
            "id": str(n),
            "source": source,
            "type": dataset.EVENT_TYPE,
            "subject": dataset.customer_key(chance.randrange(dataset.CUSTOMERS)),
            "time": f"2026-10-{chance.randint(1, 30):02}T{chance.randrange(24):02}:30:00Z",
            "data": {"input_tokens": chance.randrange(5000), "output_tokens": 1},
        }
        for n in range(count)
    ]


def cut(sent: list[Any], chance: random.Random) -> list[list[Any]]:
    """Cut into batches of 1 to 2,000."""
    batches = []
    while sent:
        size = chance.randint(1, 2000)
        batches.append(sent[:size])
        sent = sent[size:]
    return batches


def stored(source: str) -> tuple[int, int, int, int]:
    """Return events, different ids, and the sums of both metrics as the events have them."""
    with psycopg.connect(URL) as connection:
        row = connection.execute(
            "SELECT COUNT(*), COUNT(DISTINCT event_id), "
            "COALESCE(SUM((data->>'input_tokens')::bigint), 0)::bigint, "
            "COALESCE(SUM((data->>'output_tokens')::bigint), 0)::bigint "
            "FROM metering_usageevent WHERE source = %s",
            (source,),
        ).fetchone()
    assert row is not None
    return row


def summed_up() -> tuple[int, int]:
    """Return the totals of both metrics as their rollups have them, folded."""
    subprocess.run(
        [sys.executable, "manage.py", "rollups"],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": URL},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    with psycopg.connect(URL) as connection:
        rows = connection.execute(
            "SELECT SUM(p.total)::bigint FROM metering_usagepiece p JOIN metering_rollup r "
            "ON r.id = p.rollup_id JOIN catalog_valuemetric m ON m.id = r.metric_id "
            "GROUP BY m.key ORDER BY m.key"
        ).fetchall()
    [(first,), (second,)] = rows
    return first, second


def expect(what: str, found: object, expected: object) -> None:
    print(f"  {what}: {found}", flush=True)
    if found != expected:
        sys.exit(f"{what}: expected {expected}")


@contextmanager
def broker(directory: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    redis = subprocess.Popen(
        ["redis-server", "--port", str(port), "--save", "", "--dir", directory],
        stdout=subprocess.DEVNULL,
    )
    try:
        yield f"redis://127.0.0.1:{port}/0", redis
    finally:
        redis.kill()
        redis.wait()


def kills(port: int, pid: int, key: str, redis: Any, given: Any, chance: random.Random) -> None:
    once = events(given.events, "kills")
    senders = [Sender(port, key, cut(chance.sample(once, len(once)), chance)) for _ in range(2)]
    for sender in senders:
        sender.start()
    killed = done = 0
    while killed < given.kills and any(sender.is_alive() for sender in senders):
        time.sleep(chance.random() / 2)
        if done == (done := sum(sender.counts.total() for sender in senders)):
            continue  # the workers are still coming up
        if killed == given.kills // 2:
            redis.kill()
        workers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        if workers:
            os.kill(int(chance.choice(workers)), signal.SIGKILL)
            killed += 1
    for sender in senders:
        sender.join()
    again = sum(sender.again for sender in senders)
    counts = senders[0].counts + senders[1].counts
    print(f"{killed} workers killed, {again} batches sent again; answers: {dict(counts)}")
    total = sum(event["data"]["input_tokens"] for event in once)
    expect("stored", stored("kills"), (len(once), len(once), total, len(once)))
    expect("summed up", summed_up(), (total, len(once)))
    assert counts["accepted"] <= len(once)


def shuffles(port: int, key: str, given: Any, chance: random.Random) -> None:
    before = summed_up()
    once = events(given.shuffled, "")
    total = sum(event["data"]["input_tokens"] for event in once)
    for number in range(1, given.shuffles + 1):
        source = f"shuffle-{number}"
        sent = [{**event, "source": source} for event in once]
        sent += chance.sample(sent, len(sent) * 3 // 10)
        chance.shuffle(sent)
        sender = Sender(port, key, cut(sent, chance))
        sender.run()
        assert sender.counts["duplicates"] == len(once) * 3 // 10, sender.counts
        expect(source, stored(source), (len(once), len(once), total, len(once)))
        added = tuple(new - old for new, old in zip(summed_up(), before, strict=True))
        expect("summed up", added, (total * number, len(once) * number))


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--events", type=int, default=50_000)
    arguments.add_argument("--kills", type=int, default=10)
    arguments.add_argument("--shuffled", type=int, default=100_000)
    arguments.add_argument("--shuffles", type=int, default=20)
    arguments.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = arguments.parse_args()
    print(f"seed {given.seed}")
    chance = random.Random(given.seed)
    with psycopg.connect(f"{SERVER}/postgres", autocommit=True) as server:
        server.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        server.execute(f"CREATE DATABASE {DATABASE}")
    with tempfile.TemporaryDirectory() as directory, broker(directory) as (url, redis):
        environment = {
            **os.environ, "DATABASE_URL": URL, "DATA_DIR": directory, "CELERY_BROKER_URL": url
        }  # fmt: skip
        key = dataset.call(environment, "--events", "0").split()[-1]
        with gunicorn(environment) as (port, pid):
            kills(port, pid, key, redis, given, chance)
            shuffles(port, key, given, chance)
    print("nothing lost, nothing counted twice")


if __name__ == "__main__":
    main()
