"""What the next units cost, in the reader's words: of the prices that can be said in a line."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from billing.models import InvoiceLine
from billing.portal import words
from billing.presentation.reader import Reader, clean
from catalog import pricing
from catalog.drafts import PriceDraft, price_value
from catalog.money import EXACT, ZERO
from catalog.pricing import Graduated, Package, PerUnit, Tier

_SCALES = (Decimal(1), Decimal(1_000), Decimal(1_000_000))


def further(draft: PriceDraft, line: InvoiceLine, reader: Reader) -> str:
    """Say what more costs: "Each further 1,000 calls cost €2.00, and €1.50 beyond 150,000."

    Empty where a line can't say it: a part of a period, a cap, a discount, one price for all units.
    """
    price = price_value(draft)
    is_plain = price.maximum is None and not price.discount_percent
    if not is_plain or "period_fraction" in line.explanation:
        return ""
    say, names = words.of(reader.tag), (clean(line.unit), clean(line.unit_plural))
    match price.model:
        case PerUnit(unit_amount):
            return _sentence([(None, unit_amount)], price, line, names, reader)
        case Graduated(tiers) if not any(tier.flat_amount for tier in tiers):
            return _sentence(_ahead(tiers, price, line), price, line, names, reader)
        case Package(unit_amount, size):
            return say["further_package"].format(
                size=reader.units(size, *names), price=reader.price(unit_amount)
            )
    return ""


def _ahead(
    tiers: Sequence[Tier], price: pricing.Price, line: InvoiceLine
) -> list[tuple[Decimal | None, Decimal]]:
    """Return the tier that the next unit falls in, and the one after it, each with its end."""
    over = EXACT.subtract(line.quantity, price.included)
    ahead = [tier for tier in tiers if tier.up_to is None or tier.up_to > max(over, ZERO)]
    return [
        (None if tier.up_to is None else EXACT.add(tier.up_to, price.included), tier.unit_amount)
        for tier in ahead[:2]
    ]


def _sentence(
    ahead: Sequence[tuple[Decimal | None, Decimal]],
    price: pricing.Price,
    line: InvoiceLine,
    names: tuple[str, str],
    reader: Reader,
) -> str:
    """Say the first price and where the next begins, all of them for as many units."""
    (end, first), *then = ahead
    scale = _scale([amount for _, amount in ahead], reader)
    is_within = line.quantity < price.included
    said: dict[str, Any] = {
        "units": names[0] if scale == 1 else reader.units(scale, *names),
        "price": reader.price(EXACT.multiply(first, scale)),
    }
    key = "beyond_it" if is_within else "further"
    if scale != 1:
        key += "_many"
    sentence = words.of(reader.tag)[key].format(**said)
    if not then or end is None:
        return f"{sentence}."
    [(_, second)] = then
    later = words.of(reader.tag)["and_beyond"].format(
        price=reader.price(EXACT.multiply(second, scale)), end=reader.number(end)
    )
    return f"{sentence}{later}."


def _scale(amounts: Sequence[Decimal], reader: Reader) -> Decimal:
    """Choose 1, 1,000 or 1,000,000 units, so that the least price is a cent at least."""
    cent = Decimal(1).scaleb(-reader.exponent)
    least = min((amount for amount in amounts if amount), default=cent)
    return next((scale for scale in _SCALES if EXACT.multiply(least, scale) >= cent), _SCALES[-1])
