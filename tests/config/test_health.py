"""An installation says whether it is ready, and what it lacks, but no secret."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from django.db.migrations.recorder import MigrationRecorder
from pytest_django import Settings
from rest_framework.test import APIClient

pytestmark = pytest.mark.django_db


def readiness() -> tuple[int, dict[str, Any]]:
    response = APIClient().get("/api/v1/health/ready", HTTP_AUTHORIZATION="Bearer nonsense")
    return response.status_code, {check["name"]: check for check in response.json()["checks"]}


def test_a_live_process_says_so_without_the_database(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        response = APIClient().get("/api/v1/health/live", HTTP_AUTHORIZATION="Bearer nonsense")
    assert (response.status_code, response.json()["status"]) == (200, "ok")


def test_a_sound_installation_is_ready(settings: Settings) -> None:
    settings.CELERY_BROKER_URL = None
    status, checks = readiness()
    assert status == 200
    assert [name for name, check in checks.items() if check["ok"]] == [
        "database",
        "migrations",
        "data_dir",
    ]


def test_a_missing_migration_is_named() -> None:
    MigrationRecorder.Migration.objects.filter(app="base").delete()
    status, checks = readiness()
    assert (status, checks["migrations"]["ok"]) == (503, False)


def test_a_directory_that_is_gone_is_named(settings: Settings, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path / "gone"
    status, checks = readiness()
    assert (status, checks["data_dir"]["ok"]) == (503, False)
    assert str(tmp_path) not in str(checks)


def test_a_broker_that_is_not_redis_is_named(settings: Settings) -> None:
    settings.CELERY_BROKER_URL = "amqp://worker:swordfish@broker/"
    status, checks = readiness()
    assert (status, checks["broker"]["ok"]) == (503, False)
    assert "is not Redis" in checks["broker"]["detail"]
    assert "swordfish" not in str(checks)


@pytest.mark.parametrize("answers", [False, True], ids=["refuses", "says nothing"])
def test_a_broker_that_does_not_answer_is_named(settings: Settings, answers: bool) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if answers:
            silent.listen()
        port = silent.getsockname()[1]
        settings.CELERY_BROKER_URL = f"redis://worker:swordfish@127.0.0.1:{port}/0"
        status, checks = readiness()
    assert (status, checks["broker"]["ok"]) == (503, False)
    assert "swordfish" not in str(checks)
    assert str(port) not in str(checks)
