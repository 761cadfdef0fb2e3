"""What every price model is made of: steps, and the part of a period they are charged for."""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from typing import Literal, NamedTuple, TypeAlias

import msgspec

from catalog.money import Exact, times

StepKind: TypeAlias = Literal[
    "included",
    "unit",
    "tier",
    "volume",
    "package",
    "flat",
    "cell",
    "free",
    "percentage",
    "raised",
    "cut",
    "reversal",
    "negative",
    "cap",
    "discount",
]


class BadDayFraction(ValueError):
    """This is not a number of days out of a number of days."""


class _DayFraction(NamedTuple):
    days: int
    of: int


class DayFraction(_DayFraction):
    """The part of a nominal period that counts: 16 of 30 days (R5).

    Kept as it was counted, not reduced, because that is how it is printed.

    :raises BadDayFraction: unless 0 < days <= of.
    """

    __slots__ = ()

    def __new__(cls, days: int, of: int) -> DayFraction:
        if not 0 < days <= of:
            raise BadDayFraction(f"{days} of {of} days is not a part of a period.")
        return super().__new__(cls, days, of)

    @classmethod
    def parse(cls, text: str) -> DayFraction:
        """Read "16/30".

        :raises BadDayFraction: for anything else.
        """
        match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
        if match is None:
            raise BadDayFraction(
                f"“{text}” is not a part of a period: write days/days, as in 16/30."
            )
        return cls(int(match[1]), int(match[2]))

    @property
    def value(self) -> Fraction:
        return Fraction(self.days, self.of)

    @property
    def is_whole(self) -> bool:
        return self.days == self.of

    def __str__(self) -> str:
        return f"{self.days}/{self.of}"


WHOLE = DayFraction(1, 1)


class Step(msgspec.Struct, frozen=True, gc=False):
    """One row of the explanation: `quantity` × `unit_amount` + `flat_amount` = `amount`, exactly.

    A package counts packages instead of units; a cap and a discount have no quantity, only a
    negative amount; with `part`, the whole row was multiplied by that fraction (R15). The rows of
    a percentage hold the money moved as their quantity and say by how many `events`.
    """

    kind: StepKind
    quantity: Decimal
    unit_amount: Decimal
    flat_amount: Exact
    amount: Exact
    from_: Decimal | None = None
    """Lower bound of a tier, exclusive (R12)."""
    to: Decimal | None = None
    """Upper bound of a tier, inclusive; None for the open one."""
    packages: int | None = None
    package_size: Decimal | None = None
    limit: Exact | None = None
    """The cap that holds."""
    percent: Decimal | None = None
    part: DayFraction | None = None
    match: tuple[tuple[str, str], ...] | None = None
    """The dimension values that a cell of a matrix is for; empty for all others."""
    events: int | None = None
    each: Decimal | None = None
    """What each event pays besides its share: the fixed fee, or the bound that replaced both."""

    def in_part(self, part: DayFraction) -> Step:
        """Charge only a part of the row: days out of days."""
        return msgspec.structs.replace(self, amount=times(self.amount, part.value), part=part)


ScaledKind: TypeAlias = Literal["included", "limit", "flat", "free", "minimum", "maximum"]


class Scaled(NamedTuple):
    """What a partial period scaled: a value of the price, whole and for the part (R15)."""

    what: ScaledKind
    whole: Exact
    part: Exact


class Fault(NamedTuple):
    """What is wrong with a price, and where: `path` leads to the field, as in ("tiers", 1, "up_to")."""

    path: tuple[str | int, ...]
    code: str
    message: str
