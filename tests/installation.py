"""A whole installation beside the tests: its own folder, processes and port, as a user has it."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 300  # seconds; machines may be loaded


@dataclass(frozen=True)
class Installation:
    """Where it answers, its folder, and the environment of its commands."""

    url: str
    folder: Path
    env: dict[str, str]

    def manage(self, *arguments: str) -> str:
        """Run a management command and return what it wrote."""
        return manage(self.env, *arguments)


def environment(folder: Path) -> dict[str, str]:
    """Return an environment with nothing but an installation's own folder."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TZ") if name in os.environ}
    return {**kept, "DATA_DIR": str(folder)}


def manage(env: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def demo_folder(shared: Path) -> Path:
    """Return the folder of a demo that all processes of this test run share; the first builds it.

    TEST_DEMO_DIR names one that was built before, which saves whoever writes tests the wait.
    """
    if built := os.environ.get("TEST_DEMO_DIR"):
        return Path(built)
    folder = shared / "demo"
    with (shared / "demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "demo.built").exists():
            folder.mkdir(exist_ok=True)
            manage(environment(folder), "demo")
            (shared / "demo.built").touch()
    return folder


@contextmanager
def served(built: Path, folder: Path) -> Iterator[Installation]:
    """Serve a copy of a built installation, in `folder`, until the end of the block."""
    shutil.copytree(built, folder, dirs_exist_ok=True)
    url = f"http://127.0.0.1:{free_port()}"
    env = environment(folder) | {"PUBLIC_URL": url}
    log = folder / "server.log"
    with log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "config.wsgi", "--bind", url.partition("//")[2]],
            cwd=ROOT,
            env=env | {"GUNICORN_CMD_ARGS": f"--workers 2 --timeout {PATIENCE}"},
            stdout=output,
            stderr=output,
        )
    try:
        _wait_until_live(url, server, log)
        yield Installation(url, folder, env)
    finally:
        server.terminate()
        server.wait(30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_live(url: str, server: subprocess.Popen[Any], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/api/v1/health/live", timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.1)
    raise AssertionError(f"the demo is not served: {log.read_text()[-2000:]}")
