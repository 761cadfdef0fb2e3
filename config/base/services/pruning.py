"""What is deleted when it has served its time; apps add theirs when they are ready."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from config.base.services import idempotency


class Pruner(Protocol):
    """Deletes what nobody needs at that time any more, and says how many rows that were."""

    def __call__(self, *, at: datetime) -> int: ...


PRUNERS: dict[str, Pruner] = {"idempotency keys": idempotency.prune}


def prune(*, at: datetime, told: Callable[[str], object] = lambda said: None) -> None:
    """Prune everything; `told` hears a sentence of each."""
    for what, pruner in PRUNERS.items():
        told(f"{pruner(at=at)} {what} deleted.")
