"""Ten real shapes of price pages, to begin a plan from.

One file each: what is measured, what it costs, and a month of usage to show what comes of it.
Amounts are numbers without a currency; whoever imports a preset says which one. Owns reading the
files. Does not save: `catalog.services.import_preset` does.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from django.db.models import Field, Model

from catalog import money
from catalog.calculator import calculate
from catalog.drafts import METERED, PriceDraft
from catalog.models import Plan, PlanVersion, Price, PriceTier, Timing, ValueMetric
from catalog.money import ZERO
from catalog.pricing import WHOLE, Payments, Usage

Row = TypeVar("Row", bound=Model)

KEYS = (
    "llm-tokens",
    "resolved-tickets",
    "stored-contacts",
    "seats",
    "messages",
    "storage",
    "card-payments",
    "flat-fee",
    "revenue-share",
    "prepaid-credits",
)
"""The presets in the order in which they are shown."""


@dataclass(frozen=True)
class Preset:
    """A price page as data. Its key becomes the plan's; `month` is usage by the price's key."""

    key: str
    name: str
    about: str
    description: str
    metrics: Sequence[Mapping[str, Any]]
    prices: Sequence[Mapping[str, Any]]
    month: Mapping[str, str | Sequence[str]]

    def new_plan(self) -> Plan:
        return Plan(key=self.key, name=self.name, description=self.description)

    def new_metrics(self) -> list[ValueMetric]:
        return [_row(ValueMetric, fields) for fields in self.metrics]

    def new_version(self, currency: str) -> PlanVersion:
        """Return a monthly version without its prices."""
        return PlanVersion(currency=currency)

    def new_prices(self, metrics: Sequence[ValueMetric]) -> list[PriceDraft]:
        """Return its prices on these metrics, which are its own, saved or not."""
        by_key = {metric.key: metric for metric in metrics}
        return [_draft(fields, by_key) for fields in self.prices]


@dataclass(frozen=True)
class MonthLine:
    """What a price comes to in a month: the explanation of `calculate`, whose steps have labels."""

    name: str
    explanation: Mapping[str, Any]


@dataclass(frozen=True)
class Month:
    """A month of usage as its invoice would say it, before tax."""

    lines: Sequence[MonthLine]
    total: Decimal


@cache
def preset(key: str) -> Preset:
    """Read a preset.

    :raises KeyError: if there is none of this key.
    """
    if key not in KEYS:
        raise KeyError(key)
    with (Path(__file__).parent / f"{key}.toml").open("rb") as file:
        return Preset(key=key, **tomllib.load(file))


def presets() -> list[Preset]:
    """Read all of them, in the order in which they are shown."""
    return [preset(key) for key in KEYS]


def worked_month(chosen: Preset, *, currency: str, locale: str) -> Month:
    """Work out the preset's month of usage, price by price; a price without usage counts once."""
    lines = []
    total = ZERO
    for draft in chosen.new_prices(chosen.new_metrics()):
        explanation = calculate(
            draft,
            usage=_usage(chosen.month.get(draft.price.key, "1")),
            part=WHOLE,
            currency=currency,
            locale=locale,
        )
        lines.append(MonthLine(draft.price.name, explanation))
        total = money.EXACT.add(total, Decimal(explanation["amount"]))
    return Month(lines, total)


def _draft(fields: Mapping[str, Any], metrics: Mapping[str, ValueMetric]) -> PriceDraft:
    own = {name: value for name, value in fields.items() if name not in ("metric", "tiers")}
    price = _row(Price, own)
    price.metric = metrics[fields["metric"]] if "metric" in fields else None
    is_usage = price.metric is not None or price.model in METERED
    price.timing = Timing.ARREARS if is_usage else Timing.ADVANCE
    return PriceDraft(price, [_row(PriceTier, tier) for tier in fields.get("tiers", ())])


def _row(model: type[Row], fields: Mapping[str, Any]) -> Row:
    """Make an unsaved row; numbers stand in the file as text, so that they stay exact."""
    values = {}
    for name, value in fields.items():
        column = model._meta.get_field(name)
        assert isinstance(column, Field)
        values[name] = column.to_python(value)
    return model(**values)


def _usage(text: str | Sequence[str]) -> Usage:
    if isinstance(text, str):
        return Decimal(text)
    return Payments([Decimal(amount) for amount in text])
