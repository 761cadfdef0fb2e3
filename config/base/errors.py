"""How services and checkers say no, without knowing who asked.

Edges translate: the API into RFC 9457 problems, the admin into messages.
"""

from collections.abc import Iterable
from typing import ClassVar, NamedTuple

Path = tuple[str | int, ...]


class Refusal(Exception):
    """A use case that can't happen in the present state; subclass it beside the service.

    The message is one a customer could read. `status` and `code` are what an API answers; `path`
    names the field at fault, where there is one. `retry_after`, in seconds, is for what passes.
    """

    status: ClassVar[int] = 409
    retry_after: ClassVar[int | None] = None
    code: str = "conflict"

    def __init__(self, message: str, *, code: str = "", path: Path = ()) -> None:
        super().__init__(message)
        self.code = code or self.code
        self.path = path


class KeyTaken(Refusal):
    """Another row has this key."""

    code = "key_taken"

    def __init__(self, message: str = "This key is taken.", *, path: Path = ("key",)) -> None:
        super().__init__(message, path=path)


class Fault(NamedTuple):
    """One thing wrong with what was sent: where in the body, a code for programs, a sentence."""

    path: Path
    code: str
    message: str


class Invalid(Exception):
    """What was sent is faulty; carries every fault at once. An API answers 400.

    >>> raise Invalid([Fault(("prices", 1, "tiers", 0, "up_to"), "not_rising", "Tiers must rise.")])
    """

    def __init__(self, faults: Iterable[tuple[Path, str, str]]) -> None:
        self.faults = [Fault(*fault) for fault in faults]
        super().__init__("; ".join(fault.message for fault in self.faults))
