"""The explanation as data: what the API answers and an invoice line stores (R34)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from catalog.money import EXACT, Exact, exact_sum, plain, printable
from catalog.pricing.rating import Rated
from catalog.pricing.values import DayFraction, Step


def explanation(rated: Rated) -> dict[str, Any]:
    """Write a rated quantity as JSON data: strings in plain notation, steps in order.

    The steps printed sum to `exact` printed, and `exact` plus `rounding` is `net`, even where a
    partial period left an endless fraction. `net`, `shortfall` and `amount` have the currency's
    decimals. Keys that say nothing are left out.
    """
    amounts = printable([step.amount for step in rated.steps])
    exact = exact_sum(amounts)
    assert isinstance(exact, Decimal)
    data: dict[str, Any] = {
        "used": plain(rated.used),
        "included": plain(rated.included),
        "overage": plain(rated.overage),
        "steps": [_step(step, amount) for step, amount in zip(rated.steps, amounts, strict=True)],
        "exact": plain(exact),
        "rounding": plain(EXACT.subtract(rated.net, exact)),
        "net": format(rated.net, "f"),
        "shortfall": format(rated.shortfall, "f"),
        "amount": format(rated.amount, "f"),
    }
    if not rated.part.is_whole:
        data["period_fraction"] = str(rated.part)
    if rated.scaled:
        data["scaled"] = [
            {"what": what, "whole": plain(_printed(whole)), "part": plain(_printed(part))}
            for what, whole, part in rated.scaled
        ]
    return data


def step_from_json(data: Mapping[str, Any]) -> Step:
    """Read one of the steps that `explanation` wrote, with the amounts it printed."""
    return Step(
        kind=data["kind"],
        quantity=Decimal(data["quantity"]),
        unit_amount=Decimal(data["unit_amount"]),
        flat_amount=Decimal(data["flat_amount"]),
        amount=Decimal(data["amount"]),
        from_=_read(data.get("from")),
        to=_read(data.get("to")),
        packages=int(data["packages"]) if "packages" in data else None,
        package_size=_read(data.get("package_size")),
        limit=_read(data.get("limit")),
        percent=_read(data.get("percent")),
        part=DayFraction.parse(data["period_fraction"]) if "period_fraction" in data else None,
        match=tuple(data["match"].items()) if "match" in data else None,
        events=data.get("events"),
        each=_read(data.get("each")),
    )


def _step(step: Step, amount: Decimal) -> dict[str, Any]:
    data: dict[str, Any] = {"kind": step.kind}
    if step.from_ is not None:
        data["from"] = plain(step.from_)
        data["to"] = None if step.to is None else plain(step.to)
    data["quantity"] = plain(step.quantity)
    data["unit_amount"] = plain(step.unit_amount)
    data["flat_amount"] = plain(_printed_flat(step, amount))
    data["amount"] = plain(amount)
    if step.packages is not None and step.package_size is not None:
        data["packages"] = str(step.packages)
        data["package_size"] = plain(step.package_size)
    if step.limit is not None:
        data["limit"] = plain(_printed(step.limit))
    if step.percent is not None:
        data["percent"] = plain(step.percent)
    if step.part is not None:
        data["period_fraction"] = str(step.part)
    if step.match is not None:
        data["match"] = dict(step.match)
    if step.events is not None:
        data["events"] = step.events
    if step.each is not None:
        data["each"] = plain(step.each)
    return data


def _printed_flat(step: Step, amount: Decimal) -> Decimal:
    """Print the flat fee so that quantity × price + fee gives the printed amount."""
    if isinstance(step.flat_amount, Fraction):
        return EXACT.subtract(amount, EXACT.multiply(step.quantity, step.unit_amount))
    return step.flat_amount


def _printed(amount: Exact) -> Decimal:
    [printed] = printable([amount])
    return printed


def _read(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
