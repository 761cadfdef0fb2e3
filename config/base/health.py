"""Is this installation alive, and ready for calls? Answers name no host, user or secret."""

import shutil
import tempfile
from collections.abc import Callable, Iterable
from typing import NamedTuple

import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from redis.backoff import NoBackoff
from redis.retry import Retry

FREE_BYTES = 100 * 1024 * 1024
BROKER_SECONDS = 1


class Check(NamedTuple):
    """What was looked at, whether it is well, and what was found."""

    name: str
    ok: bool
    detail: str


class Unwell(Exception):
    """What a check found; the message is shown to everybody."""


def ready() -> list[Check]:
    """Look at all that a call may need; takes about a second at most, where a server is silent."""
    checks: list[tuple[str, Callable[[], str]]] = [
        ("database", _database),
        ("migrations", _migrations),
        ("data_dir", _data_dir),
    ]
    if settings.CELERY_BROKER_URL:
        checks.append(("broker", _broker))
    return list(_run(checks))


def _run(checks: Iterable[tuple[str, Callable[[], str]]]) -> Iterable[Check]:
    for name, look in checks:
        try:
            yield Check(name, True, look())
        except Unwell as found:
            yield Check(name, False, str(found))


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        raise Unwell(f"can't be queried ({type(error).__name__})") from error
    return connection.vendor


def _migrations() -> str:
    try:
        executor = MigrationExecutor(connection)
        waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as error:
        raise Unwell(f"can't be read ({type(error).__name__})") from error
    if waiting:
        raise Unwell(f"{len(waiting)} not applied; run manage.py migrate")
    return "all applied"


def _data_dir() -> str:
    try:
        with tempfile.TemporaryFile(dir=settings.DATA_DIR) as file:
            file.write(b"plainbill")
            file.flush()
        free = shutil.disk_usage(settings.DATA_DIR).free
    except OSError as error:
        raise Unwell(f"can't be written ({type(error).__name__})") from error
    if free < FREE_BYTES:
        raise Unwell(f"{free // 1024**2} MiB free, fewer than {FREE_BYTES // 1024**2}")
    return f"{free // 1024**2} MiB free"


def _broker() -> str:
    try:
        client = redis.Redis.from_url(
            str(settings.CELERY_BROKER_URL),
            socket_connect_timeout=BROKER_SECONDS,
            socket_timeout=BROKER_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError as error:
        raise Unwell("is not Redis; CELERY_BROKER_URL takes redis:// or rediss://") from error
    try:
        client.ping()
    except redis.RedisError as error:
        raise Unwell(f"can't be reached ({type(error).__name__})") from error
    finally:
        client.close()
    return "answers"
