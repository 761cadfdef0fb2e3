"""The period that a price is charged for: a billing period, or an interval of its own (R4)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from billing.models import BillingPeriod
from catalog.drafts import interval_of
from catalog.models import PlanVersion, Price
from customers.terms import own_period, zones_of
from customers.zones import Zones


@dataclass(frozen=True)
class ServicePeriod:
    """Local dates like those of a billing period, which may span several of them."""

    start_date: date
    end_date: date
    nominal_start_date: date
    nominal_end_date: date
    zones: Zones

    @property
    def starts_at(self) -> datetime:
        return self.zones.begins(self.start_date)

    @property
    def nominal_length(self) -> timedelta:
        """The time that passes in the whole of it, an hour less or more where clocks change."""
        return self.zones.begins(self.nominal_end_date) - self.zones.begins(self.nominal_start_date)

    def begins_with(self, period: BillingPeriod) -> bool:
        return self.start_date == period.start_date

    def ends_with(self, period: BillingPeriod) -> bool:
        return self.end_date == period.end_date


def service_period(price: Price, period: BillingPeriod, version: PlanVersion) -> ServicePeriod:
    """Return what a price is charged for in or across a billing period of a version.

    The period's subscription is loaded `with_terms`.
    """
    return _around(period, version, *interval_of(price, version))


def plan_period(period: BillingPeriod, version: PlanVersion) -> ServicePeriod:
    """Return the interval of the plan in which a billing period lies, which may be one of several.

    A plan of a year with prices of a month is billed twelve times in it. The period's subscription
    is loaded `with_terms`.
    """
    return _around(period, version, version.interval, version.interval_count)


def _around(
    period: BillingPeriod, version: PlanVersion, interval: str, count: int
) -> ServicePeriod:
    zones = zones_of(period.subscription)
    is_usual = (interval, count) == (version.billing_interval, version.billing_interval_count)
    if is_usual or period.is_trial:
        return ServicePeriod(
            period.start_date,
            period.end_date,
            period.nominal_start_date,
            period.nominal_end_date,
            zones,
        )
    phases = period.subscription.phases.all()
    [phase] = [phase for phase in phases if phase.pk == period.phase_id]
    own = own_period(phase, interval=interval, count=count, day=period.start_date)
    return ServicePeriod(own.start, own.end, own.nominal_start, own.nominal_end, zones)
