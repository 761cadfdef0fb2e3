"""The audit ends every group of tests that writes billing data: a module's functions, a class.

What leaves a contradiction on purpose is marked `unaudited`: a planted one, or an invoice that is
written for its paper alone, without the books behind it.
"""

from __future__ import annotations

from collections.abc import Generator
from datetime import UTC, datetime
from itertools import groupby

import pytest
from django.db import connection

from config.base.invariants import INVARIANTS, audit
from customers.models import Customer

BEFORE_ALL = datetime(2000, 1, 1, tzinfo=UTC)
"""As of then nothing is overdue: what is left for later at a test's end contradicts nothing."""
SHARED = "documents_are_as_issued"
"""Its folder is that of all tests, while each has documents of its own only."""
_IS_LAST, _HAS_BEGUN = pytest.StashKey[bool](), pytest.StashKey[bool]()


def note_the_last_of_each_group(items: list[pytest.Item]) -> None:
    """Note which test is the last of its group, whatever else is selected and on which process."""
    for _, group in groupby(items, key=lambda item: item.parent):
        *_, last = group
        last.stash[_IS_LAST] = True


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Note that a test was not skipped before it began."""
    item.stash[_HAS_BEGUN] = True


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """Find nothing that contradicts itself, before the last test of a group lets its data go."""
    found = _contradictions() if _is_looked_at(item) else []
    yield
    if found:
        pytest.fail("\n".join(["The audit finds:", *found]), pytrace=False)


def _is_looked_at(item: pytest.Item) -> bool:
    if not (item.stash.get(_IS_LAST, False) and item.stash.get(_HAS_BEGUN, False)):
        return False
    return asks_for_a_database(item) and not item.get_closest_marker("unaudited")


def asks_for_a_database(item: pytest.Item) -> bool:
    fixtures = getattr(item, "fixturenames", ())
    return bool(
        item.get_closest_marker("django_db") or "db" in fixtures or "transactional_db" in fixtures
    )


def _contradictions() -> list[str]:
    if connection.needs_rollback or not Customer.objects.exists():
        return []
    names = [invariant.name for invariant in INVARIANTS if invariant.name != SHARED]
    return [
        f"{result.invariant.name}: {found}"
        for result in audit(at=BEFORE_ALL, names=names)
        for found in result.findings
    ]
