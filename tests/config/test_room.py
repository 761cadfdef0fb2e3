"""Calls that are equally cheap however deep their caller is."""

from __future__ import annotations

import resource
from collections.abc import Callable

import pytest

from config.base.room import with_room

CALLS = 2_000


@pytest.mark.once
def test_calls_in_a_room_ask_the_system_for_no_memory_however_deep_they_start() -> None:
    faults = [_deeper(depth, lambda: with_room(_faults_of_calls)) for depth in range(120)]
    assert max(faults) < CALLS / 4


@pytest.mark.once
def test_a_room_passes_on_what_its_work_returns_and_raises() -> None:
    assert with_room(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        with_room(lambda: 1 // 0)


def _deeper(depth: int, work: Callable[[], int]) -> int:
    return _deeper(depth - 1, work) if depth else work()


def _faults_of_calls() -> int:
    """Call and call again, and return how many pages of memory were new to this process."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for number in range(CALLS):
        _called(number)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def _called(number: int) -> int:
    return number
