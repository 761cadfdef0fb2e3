"""A line's quantity and price as EN 16931 wants them: their product is the net, to the cent (R34)."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from billing.electronic.units import ONE, unit_code
from billing.models import InvoiceLine, LineKind
from catalog.money import round_half_up, times
from catalog.pricing.explanation import step_from_json

_PRICED = (LineKind.FEE, LineKind.USAGE, LineKind.ADD_ON)
_SIMPLE = ("flat", "unit")


class Figures(NamedTuple):
    """How many of which unit (BT-129, BT-130), and what one of them costs, never below 0 (BT-146).

    `is_whole` says that the price is the net of the line, whose rows tell how it came about.
    """

    quantity: Decimal
    unit: str
    price: Decimal
    is_whole: bool = False


def figures(line: InvoiceLine, exponent: int) -> Figures:
    """Return quantity and price of a line; 1 and its net where no two numbers say more.

    A credit is −1 of what it takes off, as a price is never negative (BR-27).
    """
    steps = line.explanation["steps"]
    is_net = line.gross is None
    if line.kind in _PRICED and is_net and not line.is_late and len(steps) == 1:
        step = step_from_json(steps[0])
        exact = times(step.quantity, step.unit_amount)
        is_product = round_half_up(exact, exponent) == line.net and step.unit_amount >= 0
        if step.kind in _SIMPLE and step.part is None and is_product:
            return Figures(step.quantity, unit_code(line.unit), step.unit_amount)
    return Figures(Decimal(-1 if line.net < 0 else 1), ONE, abs(line.net), is_whole=True)
