"""A price as a value, and what can be wrong with one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, Protocol, TypeAlias

from catalog.money import ZERO
from catalog.pricing.checks import not_negative
from catalog.pricing.flat import Flat
from catalog.pricing.graduated import Graduated
from catalog.pricing.matrix import Matrix
from catalog.pricing.package import Package
from catalog.pricing.per_unit import PerUnit
from catalog.pricing.percentage import Percentage
from catalog.pricing.values import DayFraction, Fault, Step
from catalog.pricing.volume import Volume


class _Partial(Protocol):
    """What every model answers. A new model is one file with one such class."""

    name: ClassVar[str]

    def in_part(self, part: DayFraction, scale: int) -> Any:
        """Give this model for a part of a period of metered usage (R15).

        Bounds are rounded up at `scale`, the metric's; unit prices stay.
        """

    def faults(self) -> Iterator[Fault]: ...


class UnitModel(_Partial, Protocol):
    """How units become money."""

    def charge(self, units: Decimal) -> list[Step]:
        """Price the units beyond the allowance, exactly, in a whole period; no step for none."""


Model: TypeAlias = UnitModel | Percentage | Matrix
MODELS: dict[str, type[_Partial]] = {
    model.name: model for model in (Flat, PerUnit, Graduated, Volume, Package, Percentage, Matrix)
}
"""Every price model by the name that the API and the database know it by."""


@dataclass(frozen=True, slots=True)
class Price:
    """All that decides what a quantity costs.

    `metered` says that the quantity is usage of a metric, not seats or a base fee; `scale` is the
    metric's number of decimals. Both matter in a partial period only (R15).
    """

    model: Model
    included: Decimal = ZERO
    minimum: Decimal | None = None
    maximum: Decimal | None = None
    discount_percent: Decimal = ZERO
    metered: bool = True
    scale: int = 0

    @property
    def prorates_amount(self) -> bool:
        """Whether a partial period scales the amount itself, not allowance and bounds (R15)."""
        return not self.metered or isinstance(self.model, Flat)


def faults(price: Price) -> list[Fault]:
    """List everything that makes a price impossible, all at once; empty if it is sound.

    Paths use the field names of the API, so that API, admin and models can point at the field.
    """
    return [
        *price.model.faults(),
        *_allowance_faults(price),
        *_bound_faults(price),
        *_discount_faults(price),
    ]


def _allowance_faults(price: Price) -> Iterator[Fault]:
    path = ("included_quantity",)
    yield from not_negative(path, price.included, "The included quantity")
    if price.included and isinstance(price.model, Flat):
        yield Fault(
            path, "included_on_flat", "A flat price has no usage, so nothing can be included in it."
        )
    if price.included and isinstance(price.model, Percentage):
        message = "A percentage has free events instead of an included quantity."
        yield Fault(path, "included_on_percentage", message)


def _bound_faults(price: Price) -> Iterator[Fault]:
    found: list[Fault] = []
    if price.minimum is not None:
        found += not_negative(("minimum",), price.minimum, "The minimum")
    if price.maximum is not None:
        found += not_negative(("maximum",), price.maximum, "The maximum")
    yield from found
    if found or price.minimum is None or price.maximum is None:
        return
    if price.minimum > price.maximum:
        yield Fault(
            ("minimum",), "minimum_above_maximum", "The minimum must not be above the maximum."
        )


def _discount_faults(price: Price) -> Iterator[Fault]:
    percent = price.discount_percent
    if not percent.is_finite() or not 0 <= percent <= 100:
        yield Fault(
            ("discount_percent",),
            "not_a_percentage",
            "The discount must be between 0 and 100 percent.",
        )
