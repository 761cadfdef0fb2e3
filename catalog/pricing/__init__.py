"""Rating: what a quantity costs under a price, and why.

Owns the price models (one file each), partial periods, caps, discounts and floors, and the
explanation of every amount. Does not own where a price is stored, what was used, tax, or words:
a step is data, and `catalog.wording` says it in the reader's language.
"""

from catalog.pricing.explanation import explanation
from catalog.pricing.flat import Flat
from catalog.pricing.graduated import Graduated
from catalog.pricing.matrix import Matrix, Row
from catalog.pricing.package import Package
from catalog.pricing.per_unit import PerUnit
from catalog.pricing.percentage import Percentage
from catalog.pricing.price import MODELS, Model, Price, faults
from catalog.pricing.rating import Rated, rate
from catalog.pricing.tiers import Tier
from catalog.pricing.usage import Cell, Cells, Payments, Usage
from catalog.pricing.values import (
    WHOLE,
    BadDayFraction,
    DayFraction,
    Fault,
    ScaledKind,
    Step,
    StepKind,
)
from catalog.pricing.volume import Volume

__all__ = [
    "MODELS",
    "WHOLE",
    "BadDayFraction",
    "Cell",
    "Cells",
    "DayFraction",
    "Fault",
    "Flat",
    "Graduated",
    "Matrix",
    "Model",
    "Package",
    "Payments",
    "PerUnit",
    "Percentage",
    "Price",
    "Rated",
    "Row",
    "ScaledKind",
    "Step",
    "StepKind",
    "Tier",
    "Usage",
    "Volume",
    "explanation",
    "faults",
    "rate",
]
