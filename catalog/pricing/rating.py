"""The one function that turns a quantity into an amount (R18).

Invoice, preview, portal, alert, calculator and simulation all call `rate`; nothing else in the
system multiplies a quantity by a price.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal

import msgspec

from catalog.money import EXACT, ZERO, Exact, exact_sum, minus, plus, round_half_up, round_up, times
from catalog.pricing.graduated import Graduated
from catalog.pricing.matrix import Matrix
from catalog.pricing.percentage import Percentage
from catalog.pricing.price import Model, Price
from catalog.pricing.usage import Cells, Payments, Usage
from catalog.pricing.values import WHOLE, DayFraction, Scaled, Step
from catalog.pricing.volume import Volume

_ONE_PERCENT = Decimal("0.01")


class Rated(msgspec.Struct, frozen=True, gc=False):
    """What a quantity costs, and why.

    `used`, `included` (the allowance, all of it) and `overage` are the numbers printed in a
    line's head. The steps sum to `exact`; their quantities sum to `used`. `net` is the line,
    rounded once (R17), `rounding` what that added, and `shortfall` the minimum-charge line
    (R16). `negative` says that less than nothing was measured, which bills as 0 (R10). `scaled`
    holds what a partial period made of the price's own numbers, in the order they are read.
    """

    used: Decimal
    included: Decimal
    overage: Decimal
    part: DayFraction
    steps: tuple[Step, ...]
    exact: Exact
    net: Decimal
    rounding: Exact
    shortfall: Decimal
    amount: Decimal
    exponent: int
    negative: bool
    scaled: tuple[Scaled, ...]


class _Terms(msgspec.Struct, frozen=True, gc=False):
    """The price as it is in this part of a period."""

    model: Model
    included: Decimal
    minimum: Exact | None
    maximum: Exact | None


def rate(price: Price, usage: Usage, *, exponent: int, part: DayFraction = WHOLE) -> Rated:
    """Price what was used: allowance, model, cap, discount, then rounding and floor (R11–R18).

    A `percentage` reads Payments, a `matrix` Cells, every other model a quantity; give it what it
    reads. `exponent` is the currency's. `part` is the clipped share of a partial period (R5); the
    usage is what was used in it. Less than nothing counts 0. The price must have no `faults`.
    """
    terms = _terms(price, part)
    used, steps, negative = _charged(terms, usage)
    overage = EXACT.subtract(used, terms.included) if used > terms.included else ZERO
    if price.prorates_amount and not part.is_whole:
        steps = [step.in_part(part) for step in steps]
    if terms.included:
        within = used if used < terms.included else terms.included
        steps.insert(0, Step("included", within, ZERO, ZERO, ZERO))

    capped = exact_sum([step.amount for step in steps])
    if terms.maximum is not None and capped > terms.maximum:
        steps.append(_cap(capped, terms.maximum))
        capped = terms.maximum
    exact = capped
    if price.discount_percent and capped:
        steps.append(_discount(capped, price.discount_percent))
        exact = plus(capped, steps[-1].amount)

    net = round_half_up(exact, exponent)
    shortfall = _shortfall(terms.minimum, capped, exponent)
    return Rated(
        used,
        terms.included,
        overage,
        part,
        tuple(steps),
        exact,
        net,
        minus(net, exact),
        shortfall,
        EXACT.add(net, shortfall),
        exponent,
        negative,
        () if part.is_whole else tuple(_scaled(price, terms)),
    )


def _charged(terms: _Terms, usage: Usage) -> tuple[Decimal, list[Step], bool]:
    """Return what was used, the steps beyond the allowance, and whether it was below nothing."""
    model = terms.model
    if isinstance(model, Percentage) and isinstance(usage, Payments):
        steps = model.charge_each(usage.amounts)
        moved = _sum(step.quantity for step in steps)
        charge = exact_sum(step.amount for step in steps)
        if charge < 0:  # more was given back than charged: it bills as 0, and says so (R10)
            steps.append(Step("negative", ZERO, ZERO, ZERO, minus(ZERO, charge)))
        return moved, steps, charge < 0
    if isinstance(model, Matrix) and isinstance(usage, Cells):
        used = _sum(cell.quantity for cell in usage.cells if cell.quantity > 0)
        negative = any(cell.quantity < 0 for cell in usage.cells)
        return used, model.charge_cells(usage.cells, terms.included), negative
    if isinstance(model, Percentage | Matrix) or not isinstance(usage, Decimal):
        raise TypeError(f"A {model.name} price can't be charged on {type(usage).__name__}.")
    used = usage if usage > 0 else ZERO
    overage = EXACT.subtract(used, terms.included) if used > terms.included else ZERO
    return used, model.charge(overage), usage < 0


def _sum(quantities: Iterable[Decimal]) -> Decimal:
    total = exact_sum(quantities)
    assert isinstance(total, Decimal)
    return total


def _terms(price: Price, part: DayFraction) -> _Terms:
    """Scale what a partial period scales before the model charges (R15)."""
    if part.is_whole:
        return _Terms(price.model, price.included, price.minimum, price.maximum)
    minimum = None if price.minimum is None else times(price.minimum, part.value)
    maximum = None if price.maximum is None else times(price.maximum, part.value)
    if price.prorates_amount:
        return _Terms(price.model, price.included, minimum, maximum)
    included = round_up(times(price.included, part.value), price.scale)
    return _Terms(price.model.in_part(part, price.scale), included, minimum, maximum)


def _scaled(price: Price, terms: _Terms) -> Iterator[Scaled]:
    """Pair each number of the price with what the partial period made of it (R15)."""
    if price.included and not price.prorates_amount:
        yield Scaled("included", price.included, terms.included)
    match price.model, terms.model:
        case (Graduated() | Volume()) as whole, (Graduated() | Volume()) as part if whole != part:
            for before, after in zip(whole.tiers, part.tiers, strict=True):
                if before.up_to is not None and after.up_to is not None:
                    yield Scaled("limit", before.up_to, after.up_to)
                if before.flat_amount:
                    yield Scaled("flat", before.flat_amount, after.flat_amount)
        case Percentage() as whole, Percentage() as part if whole.free_events:
            yield Scaled("free", Decimal(whole.free_events), Decimal(part.free_events))
    if price.minimum is not None and terms.minimum is not None:
        yield Scaled("minimum", price.minimum, terms.minimum)
    if price.maximum is not None and terms.maximum is not None:
        yield Scaled("maximum", price.maximum, terms.maximum)


def _cap(amount: Exact, maximum: Exact) -> Step:
    """Take off what exceeds the cap (R16)."""
    return Step("cap", ZERO, ZERO, ZERO, minus(maximum, amount), limit=maximum)


def _discount(amount: Exact, percent: Decimal) -> Step:
    """Take a percentage off the capped amount (R16)."""
    share = times(amount, EXACT.multiply(percent, _ONE_PERCENT))
    return Step("discount", ZERO, ZERO, ZERO, minus(ZERO, share), percent=percent)


def _shortfall(minimum: Exact | None, capped: Exact, exponent: int) -> Decimal:
    """Say what the capped amount, before its discount, lacks of the floor; both rounded (R16)."""
    if minimum is None:
        return round_half_up(ZERO, exponent)
    missing = EXACT.subtract(round_half_up(minimum, exponent), round_half_up(capped, exponent))
    return missing if missing > 0 else round_half_up(ZERO, exponent)
