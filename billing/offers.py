"""What a plan version offers: its prices as rows and as values, and what to measure for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from datetime import date
from decimal import Decimal
from functools import cached_property
from typing import Any, NamedTuple

from billing.history import PastKey
from billing.models import BillingPeriod, UsageSnapshot
from billing.service_periods import ServicePeriod, plan_period, service_period
from billing.usage import Reading
from catalog import money, pricing
from catalog.drafts import drafts_of, interval_of, price_value
from catalog.models import PlanVersion, Price, PriceModel, ValueMetric
from customers.models import Subscription
from customers.terms import with_own_terms
from metering.properties import meets


class Offered(NamedTuple):
    """A price as a row and as a value, and since when its terms are the customer's own (R22)."""

    price: Price
    value: pricing.Price
    own_since: date | None = None


class Offer:
    """A plan version with its prices as rows and as values; load the version `with_prices`."""

    def __init__(self, version: PlanVersion) -> None:
        self.version = version
        self.exponent = money.exponent(version.currency)
        self._drafts = drafts_of(list(version.prices.all()))
        self.prices = [Offered(draft.price, price_value(draft)) for draft in self._drafts]

    def to(self, subscription: Subscription, *, day: date) -> Offer:
        """Return the offer with the subscription's own terms for a period that begins on a day."""
        if not subscription.overrides.all():
            return self
        own = copy(self)
        own.prices = []
        for draft in self._drafts:
            priced, override = with_own_terms(draft, subscription, day=day)
            since = override.starts_on if override else None
            own.prices.append(Offered(draft.price, price_value(priced), since))
        return own

    def paused(self) -> Offer:
        """Return the offer while service rests: nothing is measured, nothing charged."""
        nothing = copy(self)
        nothing.__dict__.pop("metrics", None)
        nothing.__dict__.pop("readings", None)
        nothing.prices = []
        return nothing

    @property
    def metered(self) -> list[Price]:
        """The prices of what is used, in order."""
        return [one.price for one in self.prices if one.price.metric_id]

    @cached_property
    def metrics(self) -> list[ValueMetric]:
        """The metrics it measures, each once, in the order of its prices."""
        found = {price.metric.pk: price.metric for price in self.metered if price.metric}
        return list(found.values())

    @cached_property
    def readings(self) -> list[Reading]:
        """What to read of each metric: by the dimensions that any of its prices looks at."""
        return [
            Reading(
                metric,
                tuple(dict.fromkeys(name for price in prices for name in _looked_at(price))),
                any(price.model == PriceModel.PERCENTAGE for price in prices),
            )
            for metric in self.metrics
            if (prices := [price for price in self.metered if price.metric_id == metric.pk])
        ]

    def readings_at_the_end_of(self, period: BillingPeriod) -> list[Reading]:
        """What to read to close a period: of metrics that are charged where it ends (R4)."""
        found = []
        for reading in self.readings:
            price = next(one for one in self.metered if one.metric_id == reading.metric.pk)
            own = service_period(price, period, self.version)
            if own.ends_with(period):
                since = None if own.begins_with(period) else own.starts_at
                found.append(reading._replace(since=since))
        return found

    def reach(self, metric_id: int) -> tuple[ValueMetric, bool]:
        """Return a metric, and whether what came before a period may matter to it.

        It does where the last value is carried over, or a price spans several periods (R4).
        """
        [metric] = [one for one in self.metrics if one.pk == metric_id]
        version = self.version
        usual = (version.billing_interval, version.billing_interval_count)
        own = {interval_of(one, version) for one in self.metered if one.metric_id == metric_id}
        return metric, metric.carry_over or own != {usual}

    def takes(self, price: Price, values: Mapping[str, Any]) -> bool:
        """Say whether usage under these dimension values belongs to a price: the first it meets."""
        for other in self.metered:
            if other.metric_id == price.metric_id and meets(other.filters, values):
                return other.pk == price.pk
        return False

    def past_key(self, price: Price) -> PastKey:
        """Name the past of a metered price: that of its metric, or its own where several share it."""
        sharing = [one for one in self.prices if one.price.metric_id == price.metric_id]
        assert price.metric_id is not None
        return price.metric_id, price.key if len(sharing) > 1 else ""


def offers_of(versions: Iterable[int]) -> dict[int, Offer]:
    """Load plan versions with all that they offer, in a constant number of queries."""
    loaded = PlanVersion.objects.with_prices().in_bulk(list(versions))
    return {pk: Offer(version) for pk, version in loaded.items()}


def _looked_at(price: Price) -> list[str]:
    return [*(condition["property"] for condition in price.filters), *price.dimensions]


class Served(NamedTuple):
    """A period, the offer it is billed under, and what was measured in it, by metric.

    `fee_is_due` says that its advance fee was not billed ahead, since it began with a change;
    `billed_units` how many were billed ahead, by the price's key, where that changed on its first day;
    `billed_until` how far, where that is not to its end.
    """

    period: BillingPeriod
    offer: Offer
    snapshots: Mapping[int, UsageSnapshot] = {}
    fee_is_due: bool = False
    billed_units: Mapping[str, Decimal] = {}
    billed_until: Mapping[str, date] = {}

    def service_period(self, price: Price) -> ServicePeriod:
        """Return what a price is charged for in this period, or across it (R4)."""
        return service_period(price, self.period, self.offer.version)

    @property
    def plan_period(self) -> ServicePeriod:
        """What the plan's minimum commitment is compared over: an interval of the plan (R16)."""
        return plan_period(self.period, self.offer.version)
