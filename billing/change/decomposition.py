"""Last net → this net, told apart by what drove it [pure].

Usage is what this period's use would have cost at last period's price, less what was charged then;
the price is the rest. Every charge belongs to one driver, so the drivers add up to the difference.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from catalog import pricing
from catalog.money import EXACT, ZERO
from catalog.pricing import WHOLE, DayFraction, rate


class DriverKind(StrEnum):
    FEE = "fee"
    USAGE = "usage"
    PRICE = "price"
    CREDIT = "credit"
    ADJUSTMENT = "adjustment"
    OTHER = "other"


@dataclass(frozen=True)
class Charge:
    """What an invoice charges, or takes off: before tax, or with it where prices include it.

    Charges of one `kind` and `key` are compared with each other. The rest is of metered usage only:
    `used` in the metric's unit, within `part` of a period, under `terms`: equal where the price and
    the customer's own terms are. `value` is that price, where it can charge a plain quantity.
    `is_of_both` says that the other invoice knows the plan version, so that nothing but usage can
    have made this charge appear or vanish.
    """

    kind: DriverKind
    key: Hashable
    name: str
    net: Decimal
    said_as: str = ""
    unit: str = ""
    unit_plural: str = ""
    used: Decimal | None = None
    price_key: str = ""
    terms: Hashable = None
    value: pricing.Price | None = None
    part: DayFraction = WHOLE
    is_of_both: bool = True


@dataclass(frozen=True)
class Driver:
    """One reason for the difference; `amount` is what it adds to the last net.

    `before` and `now` are quantities of usage, and of everything else amounts; None where there
    was, or is, none. `said_as` is the kind of line, or empty for a coupon.
    """

    kind: DriverKind
    name: str
    amount: Decimal
    before: Decimal | None
    now: Decimal | None
    said_as: str = ""
    unit: str = ""
    unit_plural: str = ""


@dataclass(frozen=True)
class Change:
    last_net: Decimal
    net: Decimal
    drivers: tuple[Driver, ...]
    """Those of an amount other than zero, in the order of the invoice, then what is gone."""

    @property
    def difference(self) -> Decimal:
        return EXACT.subtract(self.net, self.last_net)


def decompose(last: Iterable[Charge], now: Iterable[Charge], *, exponent: int) -> Change:
    """Tell the difference of two invoices' charges apart; the drivers sum to it, exactly."""
    before, after = _grouped(last), _grouped(now)
    drivers: list[Driver] = []
    for key in dict.fromkeys((*after, *before)):
        old, new = before.get(key, []), after.get(key, [])
        if key[0] == DriverKind.USAGE:
            drivers += _of_usage(old, new, exponent=exponent)
        else:
            drivers.append(_of_amounts(old, new))
    change = Change(
        last_net=_sum(charge.net for group in before.values() for charge in group),
        net=_sum(charge.net for group in after.values() for charge in group),
        drivers=tuple(driver for driver in drivers if driver.amount),
    )
    assert _sum(driver.amount for driver in change.drivers) == change.difference
    return change


_Groups = Mapping[tuple[DriverKind, Hashable], list[Charge]]


def _grouped(charges: Iterable[Charge]) -> _Groups:
    found: dict[tuple[DriverKind, Hashable], list[Charge]] = {}
    for charge in charges:
        found.setdefault((charge.kind, charge.key), []).append(charge)
    return found


def _of_amounts(old: Sequence[Charge], new: Sequence[Charge]) -> Driver:
    [*_, like] = [*old, *new]
    before, now = _sum(one.net for one in old), _sum(one.net for one in new)
    return Driver(
        like.kind,
        like.name,
        EXACT.subtract(now, before),
        before if old else None,
        now if new else None,
        like.said_as,
    )


def _of_usage(old: Sequence[Charge], new: Sequence[Charge], *, exponent: int) -> list[Driver]:
    """Part a metric's difference into usage at last period's price, and the price."""
    [*_, like] = [*old, *new]
    before, now = _sum(one.net for one in old), _sum(one.net for one in new)
    at_last = _at_last(old, new, exponent=exponent)

    def driver(kind: DriverKind, amount: Decimal) -> Driver:
        return Driver(
            kind,
            like.name,
            amount,
            _used(old),
            _used(new),
            like.said_as,
            like.unit,
            like.unit_plural,
        )

    if at_last is None:
        return [driver(DriverKind.PRICE, EXACT.subtract(now, before))]
    return [
        driver(DriverKind.USAGE, EXACT.subtract(at_last, before)),
        driver(DriverKind.PRICE, EXACT.subtract(now, at_last)),
    ]


def _at_last(old: Sequence[Charge], new: Sequence[Charge], *, exponent: int) -> Decimal | None:
    """Return what this usage costs at last period's price (R18); None where that can't be told.

    Where only one invoice charges the metric, the plan decides: one that came or went with the plan
    is the plan's doing, any other is usage.
    """
    if not old or not new:
        if not all(charge.is_of_both for charge in (*old, *new)):
            return None
        return _sum(charge.net for charge in new)
    costs = [_cost_at_last(charge, old, exponent=exponent) for charge in new]
    return None if None in costs else _sum(cost for cost in costs if cost is not None)


def _cost_at_last(charge: Charge, old: Sequence[Charge], *, exponent: int) -> Decimal | None:
    alike = [one for one in old if one.price_key == charge.price_key]
    if not alike and len({one.terms for one in old}) == 1:
        alike = [old[-1]]
    if not alike:
        return None
    last = alike[-1]
    if last.terms == charge.terms:
        return charge.net
    if last.value is None or charge.used is None:
        return None
    return rate(last.value, charge.used, exponent=exponent, part=charge.part).amount


def _used(charges: Sequence[Charge]) -> Decimal | None:
    if not charges:
        return None
    return _sum(charge.used for charge in charges if charge.used is not None)


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    total = ZERO
    for amount in amounts:
        total = EXACT.add(total, amount)
    return total
