"""What becomes of a customer's own terms when the plan changes (R22)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from catalog.drafts import PriceDraft, drafts_of
from catalog.models import PlanVersion
from catalog.overrides import applies
from config.base.errors import Refusal
from customers.models import PriceOverride, Subscription


class OwnPriceLost(Refusal):
    """The new version has no price that its own terms could go on with."""

    code = "own_price_lost"


def prices_of(version: PlanVersion) -> dict[str, PriceDraft]:
    """Return a version's prices by their key."""
    loaded = PlanVersion.objects.with_prices().get(pk=version.pk)
    return {draft.price.key: draft for draft in drafts_of(list(loaded.prices.all()))}


def own_terms(subscription: Subscription, day: date) -> list[PriceOverride]:
    """Return what was agreed for a day or later."""
    return [one for one in subscription.overrides.all() if one.ends_on is None or one.ends_on > day]


def lost_terms(
    subscription: Subscription, prices: dict[str, PriceDraft], *, day: date
) -> list[str]:
    """Return the keys of prices that have own terms which these prices have no place for, from a day on."""
    return sorted({one.price_key for one in own_terms(subscription, day) if not _fits(one, prices)})


def _fits(override: PriceOverride, prices: dict[str, PriceDraft]) -> bool:
    draft = prices.get(override.price_key)
    return draft is not None and applies(draft, override.terms)


def quoted(keys: Iterable[str]) -> str:
    return ", ".join(f"“{key}”" for key in keys)
