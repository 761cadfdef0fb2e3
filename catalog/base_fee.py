"""What a plan version costs a year before any usage, to tell a dearer plan from a cheaper one (R20)."""

from __future__ import annotations

from fractions import Fraction

from catalog.drafts import interval_of
from catalog.models import Interval, PlanVersion, PriceModel

PER_YEAR = {
    Interval.DAY: 365,
    Interval.WEEK: 52,
    Interval.MONTH: 12,
    Interval.QUARTER: 4,
    Interval.YEAR: 1,
}


def base_fee_per_year(version: PlanVersion) -> Fraction:
    """Add up its flat prices, each as often as it falls due in a year; 0 without one."""
    total = Fraction(0)
    for price in version.prices.filter(model=PriceModel.FLAT, metric=None):
        interval, count = interval_of(price, version)
        assert price.unit_amount is not None
        total += Fraction(price.unit_amount) * PER_YEAR[Interval(interval)] / count
    return total
