"""Errors that services raise and edges translate: a refusal, or faults in named fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple


class Refusal(Exception):
    """The state of things forbids it; `str()` is a sentence a customer could read."""

    code: ClassVar[str] = "refused"
    status: ClassVar[int] = 409


class FieldError(NamedTuple):
    """What is wrong, and where: `path` leads to the field, as in ("prices", 1, "tiers", 0, "up_to")."""

    path: tuple[str | int, ...]
    code: str
    message: str


class Invalid(Exception):
    """The input can't be accepted; every faulty field at once."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__("; ".join(error.message for error in errors))
        self.errors = list(errors)

    @classmethod
    def field(cls, *path: str | int, code: str, message: str) -> Invalid:
        """Return the error of a single field."""
        return cls([FieldError(path, code, message)])
