"""What every test may ask for."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import TransactionTestCase
from rest_framework.test import APIClient

from config.base.audit import SYSTEM
from config.base.services.api_keys import SCOPES, create_api_key
from metering import tasks
from tests.audited import (  # noqa: F401 # hooks
    asks_for_a_database,
    note_the_last_of_each_group,
    pytest_runtest_call,
    pytest_runtest_teardown,
)
from tests.emptied import empty
from tests.installation import Installation, demo_folder, served

Caller = Callable[..., APIClient]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None, None, None]:
    """Begin with what takes longest, so that at the end no process waits for another's."""
    note_the_last_of_each_group(items)
    yield
    items.sort(key=lambda item: not _uses_an_installation(item))


def _uses_an_installation(item: pytest.Item) -> bool:
    """Say whether a test has a whole installation beside it, and needs no database of its own."""
    marks = (item.get_closest_marker(name) for name in ("browser", "broker"))
    uses = "demo" in getattr(item, "fixturenames", ()) or any(marks)
    return uses and not asks_for_a_database(item)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Empty what tests commit; end what a server or worker still holds open before all is dropped."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda test: empty())
        yield
    with django_db_blocker.unblock():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )


@pytest.fixture(autouse=True)
def _nothing_is_folded_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the tests of a process take, each finds what it sent as it was appended."""
    monkeypatch.setattr(tasks, "FOLDED_AFTER", 1e9)


@pytest.fixture
def caller(db: None) -> Caller:
    """Make a client whose API key has these scopes: `caller("catalog:read")`; none given: all.

    A crash shows as the 500 that a caller would get.
    """

    def call(*scopes: str, name: str = "gateway") -> APIClient:
        _, text = create_api_key(name=name, scopes=scopes or SCOPES, expires_at=None, actor=SYSTEM)
        client = APIClient(raise_request_exception=False)
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {text}")
        return client

    return call


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Serve a copy of the demo, which this process may change; built once for all processes."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with served(demo_folder(shared), tmp_path_factory.mktemp("served")) as installation:
        yield installation
