"""How fast events are taken in over HTTP, against what PostgreSQL itself can write.

    python tests/benchmarks/ingest.py [--stored 5000000] [--quick]

Starts gunicorn with two sync workers on a new database of 10,000 customers and two metrics, with
rollups, keys, hashes and quarantine as in production, PostgreSQL as it is configured. In each of
three rounds, reference and product run one after the other, each with two senders:

- batches of 1,000 and of 100 events against raw COPY of batches of 1,000 into a bare table with a
  unique text key,
- single events against single-row INSERTs, each committed; also their p99 when they come at half
  the rate just measured.

One event in twenty is a duplicate. Bodies are encoded before the clock starts; the senders say
which share of one core they took from the product. With --stored, so many events are stored on
either side afterwards, and the first comparison is repeated: the line `ingest_stored` is the
product's rate then and before, divided by the reference's. PostgreSQL is the server of
TEST_DATABASE_URL, by default the one on this machine.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median, quantiles
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from uuid import UUID

import psycopg

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.benchmarks import dataset  # noqa: E402

SERVER = os.environ.get("TEST_DATABASE_URL") or "postgres://root@127.0.0.1:5432/postgres"
DATABASE = "plainbill_ingest_benchmark"
URL = urlsplit(SERVER)._replace(path=f"/{DATABASE}").geturl()
SENDERS = 2
ROUNDS = 3
TARGETS = {
    "ingest_1000": 0.35,
    "ingest_100": 0.20,
    "ingest_1": 0.30,
    "ingest_1_p99": 2.0,
    "ingest_stored": 0.85,
    "ingest_worker_memory": 1.1,
}
AT_MOST = ("ingest_1_p99", "ingest_worker_memory")

fork = multiprocessing.get_context("fork")


class Run(NamedTuple):
    """What the senders of one run did: events a second, cores they took, latencies in seconds."""

    rate: float
    cores: float
    latencies: list[float]

    @property
    def p99(self) -> float:
        return quantiles(self.latencies, n=100)[98]


Send = Callable[[bytes], None]


# What is sent.


class Events:
    """Reproducible events as they happen: of the last hour, some customers busier than others
    (a hundredth of them send a fifth), one in twenty sent before."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._until = datetime.now(UTC).replace(microsecond=0)
        self._sent: list[dict[str, Any]] = []

    def batch(self, size: int) -> list[dict[str, Any]]:
        events = [self._event() for _ in range(size)]
        self._sent = [*self._sent[-5000:], *events]
        return events

    def _event(self) -> dict[str, Any]:
        chance = self._chance
        if self._sent and chance.random() < 0.05:
            return chance.choice(self._sent)
        time = self._until - timedelta(seconds=chance.randrange(3600))
        return {
            "specversion": "1.0",
            "id": str(UUID(int=chance.getrandbits(128))),
            "source": "gateway",
            "type": dataset.EVENT_TYPE,
            "subject": dataset.customer_key(int(dataset.CUSTOMERS * chance.random() ** 3)),
            "time": f"{time:%Y-%m-%dT%H:%M:%SZ}",
            "data": {
                "input_tokens": chance.randrange(5000),
                "output_tokens": chance.randrange(900),
                "model": "m-large",
            },
        }


def requests(seed: int, *, count: int, size: int, key: str) -> list[bytes]:
    """Return whole HTTP requests."""
    events = Events(seed)
    return [_request(events.batch(size), key) for _ in range(count)]


def _request(events: list[dict[str, Any]], key: str) -> bytes:
    body = json.dumps(events if len(events) > 1 else events[0]).encode()
    head = (
        "POST /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: Bearer {key}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def copies(seed: int, *, count: int, size: int) -> list[bytes]:
    """Return batches of rows as COPY reads them, with as much in them as an event has."""
    events = Events(seed)
    events._sent.clear()
    return [
        "".join(
            f"{event['source']}/{event['id']}-{seed}-{n}-{place}\t{event['subject']}\t"
            f"{event['type']}\t{event['time']}\t{json.dumps(event['data'])}\n"
            for place, event in enumerate(events.batch(size))
        ).encode()
        for n in range(count)
    ]


BARE = (
    "CREATE TABLE bare (key text PRIMARY KEY, subject text, type text, time timestamptz, "
    "data jsonb)"
)


# Who sends it.


@contextmanager
def http(port: int) -> Iterator[Send]:
    """Send requests, on a new connection whenever the server closed the last one."""
    connection: socket.socket | None = None

    def send(request: bytes) -> None:
        nonlocal connection
        if connection is None:
            connection = socket.create_connection(("127.0.0.1", port))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer:
            received = connection.recv(65536)
            assert received, answer
            answer += received
        assert answer.startswith(b"HTTP/1.1 204"), answer
        assert b"quarantined=0, conflicts=0, invalid=0" in answer, answer
        if b"connection: close" in answer.lower():
            connection.close()
            connection = None

    yield send
    if connection is not None:
        connection.close()


@contextmanager
def copying() -> Iterator[Send]:
    with psycopg.connect(URL, autocommit=True) as connection, connection.cursor() as cursor:

        def send(rows: bytes) -> None:
            with cursor.copy("COPY bare FROM STDIN") as copy:
                copy.write(rows)

        yield send


@contextmanager
def inserting() -> Iterator[Send]:
    with psycopg.connect(URL, autocommit=True) as connection, connection.cursor() as cursor:

        def send(row: bytes) -> None:
            cursor.execute(
                "INSERT INTO bare VALUES (%s, %s, %s, %s, %s)", row.decode().rstrip().split("\t"),
                prepare=True,
            )  # fmt: skip

        yield send


def run(connect: Callable[[], Any], work: Sequence[list[bytes]], size: int, pace: float = 0) -> Run:
    """Let one process per list send it; with `pace`, together so many a second."""
    barrier = fork.Barrier(len(work))
    results: Any = fork.Queue()
    senders = [
        fork.Process(target=_sender, args=(connect, items, barrier, results, pace / len(work)))
        for items in work
    ]
    for sender in senders:
        sender.start()
    found = [results.get(timeout=600) for _ in senders]
    for sender in senders:
        sender.join()
    start, end = min(one[0] for one in found), max(one[1] for one in found)
    latencies = [latency for one in found for latency in one[3]]
    events = size * sum(len(items) for items in work)
    return Run(events / (end - start), sum(one[2] for one in found) / (end - start), latencies)


def _sender(
    connect: Callable[[], Any], items: list[bytes], barrier: Any, results: Any, pace: float
) -> None:
    with connect() as send:
        barrier.wait()
        start, cpu = time.monotonic(), time.process_time()
        latencies = []
        for n, item in enumerate(items):
            if pace:
                time.sleep(max(0.0, start + n / pace - time.monotonic()))
            sent = time.monotonic()
            send(item)
            latencies.append(time.monotonic() - sent)
        results.put((start, time.monotonic(), time.process_time() - cpu, latencies))


# What receives it.


@contextmanager
def database() -> Iterator[None]:
    with psycopg.connect(
        urlsplit(SERVER)._replace(path="/postgres").geturl(), autocommit=True
    ) as server:
        server.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        server.execute(f"CREATE DATABASE {DATABASE}")
        try:
            yield
        finally:
            server.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")


@contextmanager
def gunicorn(environment: dict[str, str]) -> Iterator[tuple[int, int]]:
    """Serve with two sync workers; yield port and process id."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        *(sys.executable, "-m", "gunicorn", "config.wsgi", "--bind", f"127.0.0.1:{port}"),
        *("--workers", "2", "--log-level", "warning"),
    ]
    server = subprocess.Popen(command, cwd=ROOT, env=environment)
    try:
        for _ in range(100):
            time.sleep(0.1)
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
        yield port, server.pid
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait()


def memory_of_workers(pid: int) -> int:
    """Return the resident memory of the workers, in KiB."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    status = [Path(f"/proc/{child}/status").read_text() for child in children]
    return sum(int(text.split("VmRSS:")[1].split()[0]) for text in status)


# The comparison.


class Benchmark:
    def __init__(self, *, port: int, pid: int, key: str, quick: bool) -> None:
        self.port, self.pid, self.key = port, pid, key
        self.share = 5 if quick else 1
        self.figures: dict[str, list[tuple[float, float]]] = {}
        self.accepted = 0
        self._seed = 0

    def _seeds(self) -> list[int]:
        self._seed += SENDERS
        return [self._seed + n for n in range(SENDERS)]

    def product(self, *, count: int, size: int, pace: float = 0) -> Run:
        work = [
            requests(seed, count=count // self.share, size=size, key=self.key)
            for seed in self._seeds()
        ]
        return run(lambda: http(self.port), work, size, pace)

    def reference(self, connect: Any, *, count: int, size: int, pace: float = 0) -> Run:
        work = [copies(seed, count=count // self.share, size=size) for seed in self._seeds()]
        return run(connect, work, size, pace)

    def note(self, name: str, product: float, reference: float, cores: float) -> None:
        self.figures.setdefault(name, []).append((product, reference))
        print(
            f"  {name}: product {product:,.4g}, reference {reference:,.4g}, "
            f"ratio {product / reference:.3f}; senders took {cores:.2f} cores",
            flush=True,
        )

    def batches(self, name: str = "ingest_1000") -> None:
        reference = self.reference(copying, count=100, size=1000)
        product = self.product(count=100, size=1000)
        self.note(name, product.rate, reference.rate, product.cores)

    def round(self) -> None:
        reference = self.reference(copying, count=100, size=1000)
        product = self.product(count=100, size=1000)
        self.note("ingest_1000", product.rate, reference.rate, product.cores)
        product = self.product(count=300, size=100)
        self.note("ingest_100", product.rate, reference.rate, product.cores)
        reference = self.reference(inserting, count=3000, size=1)
        product = self.product(count=1500, size=1)
        self.note("ingest_1", product.rate, reference.rate, product.cores)
        slow_reference = self.reference(inserting, count=3000, size=1, pace=reference.rate / 2)
        slow_product = self.product(count=1500, size=1, pace=product.rate / 2)
        self.note(
            "ingest_1_p99", slow_product.p99 * 1000, slow_reference.p99 * 1000, slow_product.cores
        )

    def lines(self) -> Iterator[tuple[str, float, str]]:
        for name, pairs in self.figures.items():
            if name == "ingest_1000_stored":
                continue
            unit = "ms" if name.endswith("p99") else "events/s"
            unit = "KiB" if name.endswith("memory") else unit
            yield _line(name, [p for p, _ in pairs], [r for _, r in pairs], unit)
        if "ingest_1000_stored" in self.figures:
            empty, stored = self.figures["ingest_1000"], self.figures["ingest_1000_stored"]
            yield _line(
                "ingest_stored",
                [median(p for p, _ in stored) / median(p for p, _ in empty)],
                [median(r for _, r in stored) / median(r for _, r in empty)],
                "of the rate when empty",
            )


def _line(
    name: str, products: list[float], references: list[float], unit: str
) -> tuple[str, float, str]:
    ratio = median(p / r for p, r in zip(products, references, strict=True))
    product, reference = median(products), median(references)
    return (
        name,
        ratio,
        f"{name} ratio={ratio:.3f} product={product:.4g} reference={reference:.4g} ({unit})",
    )


def main() -> int:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--stored", type=int, default=0)
    arguments.add_argument("--quick", action="store_true", help="a fifth of everything")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as directory, database():
        environment = {**os.environ, "DATABASE_URL": URL, "DATA_DIR": directory}
        prepared = dataset.call(environment, "--events", "0")
        with psycopg.connect(URL, autocommit=True) as connection:
            connection.execute(BARE)
        with gunicorn(environment) as (port, pid):
            key = prepared.split()[-1]
            benchmark = Benchmark(port=port, pid=pid, key=key, quick=given.quick)
            benchmark.product(count=20, size=1000)  # the workers fill their memories
            benchmark.product(count=100, size=1)
            before = memory_of_workers(pid)
            for number in range(1, ROUNDS + 1):
                print(f"round {number}", flush=True)
                benchmark.round()
            if given.stored:
                print(f"{given.stored:,} events stored on either side", flush=True)
                dataset.call(environment, "--events", str(given.stored))
                _fill_bare(given.stored)
                for _ in range(ROUNDS):
                    benchmark.batches("ingest_1000_stored")
            benchmark.note("ingest_worker_memory", memory_of_workers(pid), before, 0)
    print()
    failed = []
    for name, ratio, line in benchmark.lines():
        print(line)
        target = TARGETS[name]
        if ratio > target if name in AT_MOST else ratio < target:
            failed.append(f"{name}: {ratio:.3f}, to reach: {target}")
    print("\n".join(failed))
    return 1 if failed else 0


def _fill_bare(rows: int) -> None:
    with psycopg.connect(URL, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO bare SELECT 'gateway/' || gen_random_uuid(), "
            "'customer-' || n %% 10000, 'llm.request', now() - n %% 2592000 * interval '1 second', "
            '\'{"model": "m-large", "input_tokens": 4808, "output_tokens": 17}\' '
            "FROM generate_series(1, %s) n",
            (rows,),
        )
        connection.execute("CHECKPOINT")


if __name__ == "__main__":
    sys.exit(main())
