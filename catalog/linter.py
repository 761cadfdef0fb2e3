"""The price linter: prices that are possible, but hardly meant, in plain words with an example.

What is impossible is an error of `drafts.version_errors`; a warning stops nobody. Paths lead to
the field as errors do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from catalog import money, pricing
from catalog.drafts import PriceDraft, price_errors, price_value, units_of
from catalog.models import MetricStatus, PlanVersion, PriceModel, PriceTier
from catalog.money import EXACT, ZERO, exact_sum
from catalog.wording import amount, number
from config.base.errors import Fault

LOCALE = "en"
MANY = Decimal(1_000_000_000)
"""More units than one customer is expected to use in a period."""


class _Linted(NamedTuple):
    """A sound price with what its warnings speak of."""

    path: tuple[str | int, ...]
    draft: PriceDraft
    value: pricing.Price
    currency: str

    @property
    def exponent(self) -> int:
        return money.exponent(self.currency)

    @property
    def step(self) -> Decimal:
        """The smallest difference between two quantities of its metric."""
        return Decimal(1).scaleb(-self.value.scale) if self.value.metered else Decimal(1)

    def cost(self, quantity: Decimal) -> Decimal:
        return pricing.rate(self.value, quantity, exponent=self.exponent).amount

    def says(self, field: str, code: str, message: str) -> Fault:
        return Fault((*self.path, field), code, message)

    def money(self, value: Decimal) -> str:
        return f"{amount(value, self.exponent, LOCALE)} {self.currency}"

    def units(self, quantity: Decimal) -> str:
        one, many = units_of(self.draft.price)
        return (
            f"{number(quantity, LOCALE)} {(one or 'unit') if quantity == 1 else (many or 'units')}"
        )


def warnings(version: PlanVersion, drafts: Sequence[PriceDraft]) -> list[Fault]:
    """Warn of what is hardly meant in these prices, in their order; nothing of a faulty price."""
    if version.currency not in money.CURRENCIES:
        return []
    sound = [
        _Linted(("prices", i), draft, price_value(draft), version.currency)
        for i, draft in enumerate(drafts)
        if not price_errors(draft)
    ]
    base_fee = exact_sum(
        one.draft.price.unit_amount or ZERO
        for one in sound
        if one.draft.price.model == PriceModel.FLAT
    )
    assert isinstance(base_fee, Decimal)
    return [warning for one in sound for warning in _of(one, base_fee)]


def _of(one: _Linted, base_fee: Decimal) -> Iterator[Fault]:
    yield from _deprioritised(one)
    yield from _inversions(one)
    yield from _allowance_above_first_tier(one)
    yield from _never_reached(one)
    yield from _cap_below_base_fee(one, base_fee)
    yield from _never_a_cent(one)
    yield from _below_cost(one)


def _deprioritised(one: _Linted) -> Iterator[Fault]:
    metric = one.draft.price.metric
    if metric and metric.status == MetricStatus.DEPRIORITISED:
        message = f"“{metric}” is deprioritised on its worksheet: are you sure to charge by it?"
        yield one.says("metric", "metric_deprioritised", message)


def _inversions(one: _Linted) -> Iterator[Fault]:
    """A volume price that makes more usage cheaper than less (R13)."""
    if one.draft.price.model != PriceModel.VOLUME:
        return
    for i, tier in enumerate(one.draft.tiers):
        if tier.up_to is None:
            continue
        last = one.value.included + tier.up_to
        less, more = one.cost(last), one.cost(last + one.step)
        if more < less:
            yield Fault(
                (*one.path, "tiers", i + 1, "unit_amount"),
                "volume_inversion",
                f"{one.units(last + one.step)} cost {one.money(more)}, fewer than the "
                f"{one.money(less)} of {one.units(last)}: a customer near the bound pays less by "
                "using more. A graduated price has no such step.",
            )


def _allowance_above_first_tier(one: _Linted) -> Iterator[Fault]:
    bounds = [tier.up_to for tier in one.draft.tiers if tier.up_to is not None]
    included = one.value.included
    if bounds and included > bounds[0]:
        end = EXACT.add(included, bounds[0])
        yield one.says(
            "included_quantity",
            "allowance_above_first_tier",
            f"{one.units(included)} are included, and the first tier ends at "
            f"{number(bounds[0], LOCALE)}. Tiers count from the end of the allowance: this one ends "
            f"at {one.units(end)} used.",
        )


def _never_reached(one: _Linted) -> Iterator[Fault]:
    """A tier that holds no quantity, or that the maximum makes meaningless."""
    lower = ZERO
    for i, tier in enumerate(one.draft.tiers):
        path = (*one.path, "tiers", i, "up_to")
        if tier.up_to is not None and tier.up_to < lower + one.step:
            yield Fault(
                path,
                "tier_never_reached",
                f"No quantity falls into tier {i + 1}: the metric counts in steps of "
                f"{number(one.step, LOCALE)}.",
            )
        elif i and one.value.maximum is not None and _charged(one, lower) >= one.value.maximum:
            yield Fault(
                path,
                "tier_never_reached",
                f"At {one.units(one.value.included + lower)} the maximum of "
                f"{one.money(one.value.maximum)} is reached, so the price of tier {i + 1} never "
                "counts.",
            )
            return
        lower = tier.up_to if tier.up_to is not None else lower


def _charged(one: _Linted, overage: Decimal) -> Decimal:
    """Return what this much overage costs before any maximum."""
    assert isinstance(one.value.model, pricing.Graduated | pricing.Volume)
    charged = exact_sum(step.amount for step in one.value.model.charge(overage))
    assert isinstance(charged, Decimal)
    return charged


def _cap_below_base_fee(one: _Linted, base_fee: Decimal) -> Iterator[Fault]:
    price = one.draft.price
    if price.metric and price.maximum is not None and price.maximum < base_fee:
        yield one.says(
            "maximum",
            "cap_below_base_fee",
            f"All usage of it together costs at most {one.money(price.maximum)}, less than the base "
            f"fee of {one.money(base_fee)}. Is the maximum meant per period?",
        )


def _never_a_cent(one: _Linted) -> Iterator[Fault]:
    """A unit price so fine that what it is charged for never rounds to a cent (R17)."""
    half = Decimal(5).scaleb(-one.exponent - 1)
    for path, unit_amount, width in _unit_amounts(one):
        if unit_amount and EXACT.multiply(unit_amount, width) < half:
            smallest = Decimal(1).scaleb(-one.exponent)
            yield Fault(
                path,
                "never_bills_a_cent",
                f"Even {one.units(width)} cost less than half of {one.money(smallest)} at this "
                "price, so they are charged nothing. Is it the price of a thousand or a million?",
            )


def _below_cost(one: _Linted) -> Iterator[Fault]:
    metric = one.draft.price.metric
    if metric is None or not metric.unit_cost or one.draft.price.model == PriceModel.PERCENTAGE:
        return
    discount = one.value.discount_percent
    kept = EXACT.subtract(100, discount).scaleb(-2)
    less = f", less the discount of {number(discount, LOCALE)} %," if discount else ""
    for path, unit_amount, _ in _unit_amounts(one):
        earned = EXACT.multiply(unit_amount, kept)
        if earned < metric.unit_cost:
            cost, price = (
                amount(EXACT.multiply(value, 1000), one.exponent, LOCALE)
                for value in (metric.unit_cost, earned)
            )
            yield Fault(
                path,
                "below_cost",
                f"1,000 {metric.unit_plural} are sold for {price} {one.currency}{less} and cost "
                f"you {cost}.",
            )


def _unit_amounts(one: _Linted) -> Iterator[tuple[tuple[str | int, ...], Decimal, Decimal]]:
    """Yield the path of every price of a unit, the price, and how many units it may be for."""
    price = one.draft.price
    match price.model:
        case PriceModel.PER_UNIT if price.metric and price.unit_amount is not None:
            yield (*one.path, "unit_amount"), price.unit_amount, MANY
        case PriceModel.PACKAGE if price.unit_amount is not None and price.package_size:
            each = money.round_half_up(
                Fraction(price.unit_amount) / Fraction(price.package_size), 12
            )
            yield (*one.path, "unit_amount"), each, MANY
        case PriceModel.MATRIX:
            for i, row in enumerate(price.rows):
                yield (*one.path, "rows", i, "unit_amount"), Decimal(row["unit_amount"]), MANY
            if price.unit_amount is not None:  # of what no row covers
                yield (*one.path, "unit_amount"), price.unit_amount, MANY
        case PriceModel.GRADUATED | PriceModel.VOLUME:
            yield from _tier_amounts(one, one.draft.tiers)


def _tier_amounts(
    one: _Linted, tiers: Sequence[PriceTier]
) -> Iterator[tuple[tuple[str | int, ...], Decimal, Decimal]]:
    lower = ZERO
    for i, tier in enumerate(tiers):
        upper = MANY if tier.up_to is None else tier.up_to
        width = (
            upper if one.draft.price.model == PriceModel.VOLUME else EXACT.subtract(upper, lower)
        )
        if not tier.flat_amount:
            yield (*one.path, "tiers", i, "unit_amount"), tier.unit_amount, max(width, ZERO)
        lower = upper
