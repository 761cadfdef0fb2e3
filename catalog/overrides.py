"""A customer's own terms for a price: what may differ, and the price as it then is (R22).

Metric, model, timing and currency stay those of the plan. Terms are JSON data: only what differs,
numbers as texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from decimal import Decimal
from typing import Any

from catalog.drafts import PriceDraft, price_errors
from catalog.models import PriceTier
from config.base.errors import Fault

NUMBERS = (
    "unit_amount",
    "percent_rate",
    "fixed_amount",
    "per_event_minimum",
    "per_event_maximum",
    "included_quantity",
    "minimum",
    "maximum",
    "discount_percent",
)
OVERRIDABLE = (*NUMBERS, "free_events", "tiers", "rows")
"""What may differ from the plan's price."""


def overridden(draft: PriceDraft, terms: Mapping[str, Any]) -> PriceDraft:
    """Return the price with these terms in place of its own; neither is saved."""
    price, tiers = copy(draft.price), draft.tiers
    for name, value in terms.items():
        if name in NUMBERS:
            setattr(price, name, None if value is None else Decimal(value))
        elif name == "tiers":
            tiers = [_tier(tier) for tier in value]
        else:
            assert name in OVERRIDABLE
            setattr(price, name, value)
    return PriceDraft(price, tiers)


def override_errors(draft: PriceDraft, terms: Mapping[str, Any]) -> list[Fault]:
    """List all that keeps the price from being charged under these terms; paths name the fields."""
    if not terms:
        return [Fault((), "nothing_differs", "Say at least one thing that differs from the plan.")]
    return price_errors(overridden(draft, terms))


def applies(draft: PriceDraft, terms: Mapping[str, Any]) -> bool:
    """Say whether the terms still fit the price: a later version may charge in another way."""
    return not override_errors(draft, terms)


def _tier(tier: Mapping[str, Any]) -> PriceTier:
    return PriceTier(
        up_to=None if tier["up_to"] is None else Decimal(tier["up_to"]),
        unit_amount=Decimal(tier["unit_amount"]),
        flat_amount=Decimal(tier["flat_amount"]),
    )
