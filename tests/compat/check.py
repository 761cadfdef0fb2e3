"""Runs each sender, unmodified and in an environment of its own, against a real server.

Checks by the API that every event counted once, with the right quantity. With `--record` it keeps
what each put on the wire in `requests/`, which the normal suite replays.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.compat.expected import SENDERS, Sender
from tests.compat.wire import Recorder

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", help="names of senders; none: all")
    parser.add_argument("--record", action="store_true", help="write requests/*.json")
    parser.add_argument("--port", type=int, default=8130)
    parser.add_argument("--environments", type=Path, help="keep the senders' packages here")
    options = parser.parse_args()
    wanted = [sender for sender in SENDERS if not options.only or sender.name in options.only]
    with tempfile.TemporaryDirectory() as folder:
        environments = options.environments or Path(folder) / "environments"
        with server(Path(folder) / "data", options.port) as key:
            prepare(options.port, key, wanted)
            failed = [
                sender.name
                for sender in wanted
                if not passes(sender, environments / sender.name, options, key)
            ]
    print(f"{len(wanted) - len(failed)} of {len(wanted)} senders counted right")
    return 1 if failed else 0


def passes(sender: Sender, environment: Path, options: Any, key: str) -> bool:
    """Let one sender send, and compare what the API says was used with what must have been."""
    command = installed(sender, environment)
    with Recorder(("127.0.0.1", options.port)) as recorder:
        ran = subprocess.run(
            [*command, str(HERE / "senders" / sender.script)],
            env={**os.environ, "SERVER": recorder.address, "KEY": key,
                 "NODE_PATH": str(environment / "node_modules")},
            timeout=120, check=False, capture_output=True, text=True,
        )  # fmt: skip
        requests = recorder.requests(secret=key)
    found = {type_: used(options.port, key, type_) for type_ in sender.usage}
    wanted = {type_: (total, count) for type_, (_, total, count) in sender.usage.items()}
    right = ran.returncode == 0 and found == wanted
    print(f"{'ok  ' if right else 'FAIL'} {sender.package}: {found}", flush=True)
    if not right:
        print(f"wanted {wanted}\n{ran.stdout[-2000:]}{ran.stderr[-2000:]}")
    elif options.record:
        lines = ",\n".join(json.dumps(request, ensure_ascii=False) for request in requests)
        (HERE / "requests" / f"{sender.name}.json").write_text(f"[\n{lines}\n]\n")
    return right


def installed(sender: Sender, environment: Path) -> list[str]:
    """Install the sender's package where it is missing; return what runs its program."""
    if sender.script.endswith(".cjs"):
        if not environment.exists():
            run("npm", "install", "--silent", "--prefix", str(environment), sender.package)
        return ["node"]
    python = environment / "bin" / "python"
    if not python.exists():
        run(sys.executable, "-m", "venv", str(environment))
        run(str(python), "-m", "pip", "install", "-q", sender.package, *sender.also)
    return [str(python)]


@contextlib.contextmanager
def server(data: Path, port: int) -> Iterator[str]:
    """Serve an empty installation; yield an API key that may do everything."""
    environment = {**os.environ, "DATA_DIR": str(data), "PUBLIC_URL": f"http://127.0.0.1:{port}"}
    manage = [sys.executable, "manage.py"]
    run(*manage, "migrate", "-v", "0", env=environment)
    scopes = "events:read,events:write,catalog:write,customers:read,customers:write,catalog:read"
    told = run(*manage, "create_api_key", "compat", "--scope", scopes, env=environment)
    gunicorn = [sys.executable, "-m", "gunicorn", "config.wsgi", "--bind", f"127.0.0.1:{port}"]
    process = subprocess.Popen(
        [*gunicorn, "--workers", "2", "--log-level", "warning"], cwd=ROOT, env=environment
    )
    try:
        wait_for(port)
        yield told.split()[-1]
    finally:
        process.terminate()
        process.wait(timeout=30)


def prepare(port: int, key: str, senders: list[Sender]) -> None:
    """Make acme, its subscription acme-scale, and a metric for each type of event."""
    post(port, key, "customers", {"key": "acme", "name": "Acme", "currency": "EUR"})
    post(port, key, "plans", {"key": "scale", "name": "Scale"})
    price = {
        "key": "base",
        "name": "Base",
        "model": "flat",
        "unit_amount": "1",
        "timing": "advance",
    }
    version = {"currency": "EUR", "interval": "month", "prices": [price]}
    post(port, key, "plans/scale/versions", version)
    post(port, key, "plans/scale/versions/1/publish", {})
    terms = {"key": "acme-scale", "customer": "acme", "plan": "scale", "starts_on": "2026-11-01"}
    post(port, key, "subscriptions", terms)
    for sender in senders:
        for type_, (name, _, _) in sender.usage.items():
            post(port, key, "metrics", {
                "key": type_, "name": type_, "unit": "unit", "unit_plural": "units",
                "kind": "consumption", "event_type": type_, "aggregation": "sum",
                "value_property": name,
            })  # fmt: skip


def used(port: int, key: str, metric: str) -> tuple[str, int]:
    query = f"metric={metric}&from=2020-01-01&to=2035-01-01&granularity=month"
    answer = call(port, key, f"customers/acme/usage?{query}")
    return answer["total"]["quantity"], answer["total"]["events"]


def post(port: int, key: str, path: str, body: dict[str, Any]) -> Any:
    return call(port, key, path, json.dumps(body).encode())


def call(port: int, key: str, path: str, body: bytes | None = None) -> Any:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/v1/{path}",
        data=body,
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def wait_for(port: int) -> None:
    for _ in range(100):
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/health/live", timeout=1)
            return
        time.sleep(0.1)
    raise TimeoutError("the server does not answer")


def run(*command: str, env: dict[str, str] | None = None) -> str:
    return subprocess.run(
        command, cwd=ROOT, env=env, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


if __name__ == "__main__":
    sys.exit(main())
