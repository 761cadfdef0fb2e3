"""Room for the frames of deep calls.

CPython keeps the frames of a thread in pieces of 16 KiB, and gives a piece back to the system as
soon as its first frame returns. Where a busy function is called just across the end of a piece,
each call asks the system for memory and gives it back: a hundred times the price of a call. What
is that unlucky depends on how deep its caller is; a long invoice took a third longer under some.
A frame that is too large for such a piece gets one of the next power of two, and its callees the
rest of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

_SLOTS = 17_000  # of 8 bytes: more than 128 KiB with what CPython adds, so that 120 KiB are left

Answer = TypeVar("Answer")


def with_room(work: Callable[[], Answer]) -> Answer:
    """Do some work with at least 120 KiB for the frames of what it calls, all in one piece."""
    return work()


with_room.__code__ = with_room.__code__.replace(co_stacksize=_SLOTS)
