"""What holds for every price, quantity and part of a period, against an oracle of its own.

The oracle is written from the rules, in Fractions only and without steps, so that it shares no
mistake with the product: it sums unit by unit of the ladder instead of climbing it.
"""

from decimal import Decimal as D
from fractions import Fraction as F
from math import ceil, floor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.money import exact_sum
from catalog.pricing import (
    DayFraction,
    Flat,
    Graduated,
    Model,
    Package,
    PerUnit,
    Price,
    Rated,
    Tier,
    Volume,
    explanation,
    faults,
    rate,
)

pytestmark = pytest.mark.once

quantities = st.decimals(0, 5_000, places=3)
unit_amounts = st.decimals(0, 10, places=6)
fees = st.just(D(0)) | st.decimals(0, 50, places=2)
exponents = st.sampled_from([0, 2, 3])
parts = st.integers(1, 366).flatmap(
    lambda of: st.builds(DayFraction, st.integers(1, of), st.just(of))
)


@st.composite
def ladders(draw: st.DrawFn, fees: st.SearchStrategy[D] = fees) -> tuple[Tier, ...]:
    bounds = sorted(draw(st.sets(st.decimals("0.5", 3_000, places=1), max_size=5)))
    return tuple(Tier(bound, draw(unit_amounts), draw(fees)) for bound in [*bounds, None])


models: st.SearchStrategy[Model] = st.one_of(
    st.builds(Flat, unit_amounts),
    st.builds(PerUnit, unit_amounts),
    st.builds(Graduated, ladders()),
    st.builds(Volume, ladders()),
    st.builds(Package, unit_amounts, st.decimals("0.1", 500, places=1)),
)


@st.composite
def prices(draw: st.DrawFn, models: st.SearchStrategy[Model] = models) -> Price:
    model = draw(models)
    minimum, maximum = sorted(draw(st.tuples(*[st.decimals(0, 5_000, places=2)] * 2)))
    return Price(
        model,
        included=D(0) if isinstance(model, Flat) else draw(st.just(D(0)) | quantities),
        minimum=draw(st.sampled_from([None, minimum])),
        maximum=draw(st.sampled_from([None, maximum])),
        discount_percent=draw(st.just(D(0)) | st.decimals(0, 100, places=2)),
        metered=draw(st.booleans()),
        scale=draw(st.integers(0, 4)),
    )


def round_half_up(x: F, exponent: int) -> F:
    return F(floor(x * 10**exponent + F(1, 2)), 10**exponent)


def oracle(price: Price, quantity: D, part: DayFraction, exponent: int) -> tuple[F, F]:
    """Give the net and the shortfall, as the rules say them."""
    fraction = F(part.days, part.of)
    by_usage = price.metered and not isinstance(price.model, Flat)

    def bound(x: D) -> F:
        if not by_usage or fraction == 1:
            return F(x)
        return F(ceil(F(x) * fraction * 10**price.scale), 10**price.scale)

    units = max(F(0), F(quantity) - bound(price.included))
    amount = F(0)
    match price.model:
        case Flat(unit_amount) | PerUnit(unit_amount):
            amount = units * F(unit_amount)
        case Package(unit_amount, size):
            amount = ceil(units / F(size)) * F(unit_amount)
        case Graduated(tiers) | Volume(tiers):
            uppers = [None if t.up_to is None else bound(t.up_to) for t in tiers]
            lowers = [F(0), *(upper for upper in uppers if upper is not None)]
            for tier, low, high in zip(tiers, lowers, uppers, strict=True):
                held = max(F(0), (units if high is None else min(units, high)) - low)
                fee = F(tier.flat_amount) * (fraction if by_usage else 1)
                if isinstance(price.model, Graduated):
                    amount += held * F(tier.unit_amount) + (fee if units > low else 0)
                elif low < units and (high is None or units <= high):
                    amount += units * F(tier.unit_amount) + fee
    if not by_usage:
        amount *= fraction
    if price.maximum is not None:
        amount = min(amount, F(price.maximum) * fraction)
    net = round_half_up(amount * (1 - F(price.discount_percent) / 100), exponent)
    if price.minimum is None:
        return net, F(0)
    minimum = round_half_up(F(price.minimum) * fraction, exponent)
    return net, max(F(0), minimum - round_half_up(amount, exponent))


def before_limits(result: Rated) -> F:
    """Add up what the model charged, without cap and discount."""
    charges = [step.amount for step in result.steps if step.kind not in ("cap", "discount")]
    return F(exact_sum(charges))


@settings(max_examples=400)
@given(price=prices(), quantity=quantities, part=parts, exponent=exponents)
def test_an_independent_oracle_agrees(
    price: Price, quantity: D, part: DayFraction, exponent: int
) -> None:
    assert faults(price) == []
    result = rate(price, quantity, exponent=exponent, part=part)
    assert (F(result.net), F(result.shortfall)) == oracle(price, quantity, part, exponent)
    assert result.amount == result.net + result.shortfall


@given(price=prices(), quantity=quantities, part=parts)
def test_every_unit_is_charged_once(price: Price, quantity: D, part: DayFraction) -> None:
    result = rate(price, quantity, exponent=2, part=part)
    assert sum(step.quantity for step in result.steps) == result.used == quantity
    assert result.overage == max(D(0), result.used - result.included)


@given(price=prices(), quantity=quantities, part=parts, exponent=exponents)
def test_no_cent_is_lost(price: Price, quantity: D, part: DayFraction, exponent: int) -> None:
    result = rate(price, quantity, exponent=exponent, part=part)
    assert F(exact_sum(step.amount for step in result.steps)) == F(result.exact)
    assert F(result.net) - F(result.rounding) == F(result.exact)
    assert abs(F(result.rounding)) <= F(1, 2 * 10**exponent)


@given(price=prices(), quantity=quantities, part=parts, exponent=exponents)
def test_the_printed_explanation_adds_up(
    price: Price, quantity: D, part: DayFraction, exponent: int
) -> None:
    data = explanation(rate(price, quantity, exponent=exponent, part=part))
    assert sum(D(step["amount"]) for step in data["steps"]) == D(data["exact"])
    assert round_half_up(F(data["exact"]), exponent) == F(data["net"])
    assert D(data["exact"]) + D(data["rounding"]) == D(data["net"])
    assert D(data["net"]) + D(data["shortfall"]) == D(data["amount"])
    for step in data["steps"]:
        if step["kind"] in ("included", "unit", "tier", "volume") and "period_fraction" not in step:
            by_hand = F(step["quantity"]) * F(step["unit_amount"]) + F(step["flat_amount"])
            assert by_hand == F(step["amount"])


@given(price=prices(), quantity=quantities)
def test_a_whole_part_changes_nothing(price: Price, quantity: D) -> None:
    whole = rate(price, quantity, exponent=2)
    in_days = rate(price, quantity, exponent=2, part=DayFraction(30, 30))
    assert whole.steps == in_days.steps
    assert all(isinstance(step.amount, D) for step in whole.steps)


@given(price=prices(st.builds(Graduated, ladders())), used=st.tuples(quantities, quantities))
def test_more_usage_is_never_cheaper(price: Price, used: tuple[D, D]) -> None:
    less, more = (rate(price, quantity, exponent=2) for quantity in sorted(used))
    assert less.exact <= more.exact
    assert before_limits(less) <= before_limits(more)


@given(tiers=ladders(fees=st.just(D(0))), step=st.decimals("0.001", "0.5", places=3))
def test_graduated_does_not_jump_at_a_bound(tiers: tuple[Tier, ...], step: D) -> None:
    price = Price(Graduated(tiers))
    for tier, following in zip(tiers, tiers[1:], strict=False):
        assert tier.up_to is not None
        at, above = (rate(price, tier.up_to + d, exponent=2).exact for d in (D(0), step))
        if following.up_to is None or tier.up_to + step <= following.up_to:
            assert F(above) - F(at) == F(step) * F(following.unit_amount)


@given(price=prices(), quantity=quantities, part=parts)
def test_cap_and_floor_hold(price: Price, quantity: D, part: DayFraction) -> None:
    result = rate(price, quantity, exponent=2, part=part)
    assert result.shortfall >= 0
    if price.maximum is not None:
        assert F(result.exact) <= F(price.maximum) * part.value
    if price.minimum is not None and not price.discount_percent:
        assert F(result.amount) >= round_half_up(F(price.minimum) * part.value, 2)


@given(price=prices(), quantity=st.decimals(-5_000, "-0.001", places=3))
def test_less_than_nothing_is_nothing(price: Price, quantity: D) -> None:
    less, nothing = (rate(price, q, exponent=2) for q in (quantity, D(0)))
    assert less.negative
    assert (less.steps, less.amount) == (nothing.steps, nothing.amount)
