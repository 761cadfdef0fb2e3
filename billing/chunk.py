"""All that billing needs to know of a chunk of subscriptions, loaded in a constant number of queries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date, timedelta
from functools import cached_property
from itertools import takewhile

from billing.models import BillingPeriod, PeriodStatus
from billing.offers import Offer, offers_of
from billing.parties import IssuerUndecided, issuer_of, payer_of, the_only_issuer
from billing.rates import Taxation, taxations
from billing.usage import Stretch, Wanted
from catalog.clocks import clocks
from customers.models import Issuer, Subscription, SubscriptionPhase
from customers.periods import Period
from customers.terms import periods, zones_of

_NEVER = date(9999, 1, 1)


class Chunk:
    """Terms, offers and neighbours of some subscriptions, which are loaded `with_phases`.

    It loads the phases' versions, one of each for all of them.
    """

    def __init__(self, subscriptions: Sequence[Subscription]) -> None:
        self.subscriptions = {subscription.pk: subscription for subscription in subscriptions}
        self._phases = {
            phase.pk: phase for subscription in subscriptions for phase in subscription.phases.all()
        }
        self._neighbours = _neighbours(self.subscriptions)
        versions = {
            phase.plan_version_id
            for family in self._neighbours.values()
            for subscription in family
            for phase in subscription.phases.all()
        }
        self.offers = offers_of(versions)
        for phase in self._phases.values():
            phase.plan_version = self.offers[phase.plan_version_id].version
        self._only_issuer = the_only_issuer()

    def adopt(self, period: BillingPeriod) -> BillingPeriod:
        """Return a period of one of the subscriptions, with subscription and phase as loaded here."""
        period.subscription = self.subscriptions[period.subscription_id]
        period.phase = self._phases[period.phase_id]
        return period

    def offer(self, period: BillingPeriod) -> Offer:
        """Return the plan version a period is billed under, with the customer's own terms (R22)."""
        offer = self.offers[period.phase.plan_version_id]
        if period.phase.is_paused:
            return offer.paused()
        subscription = self.subscriptions[period.subscription_id]
        return offer.to(subscription, day=period.start_date)

    def issuer(self, subscription: Subscription) -> Issuer:
        """Return who sells.

        :raises IssuerUndecided: if several could.
        """
        return issuer_of(subscription, only=self._only_issuer)

    def taxation(self, subscription: Subscription) -> Taxation:
        """Return how what this subscription is charged is taxed.

        :raises IssuerUndecided: if several could sell.
        """
        return self._taxations[self.issuer(subscription).pk, payer_of(subscription).pk]

    @cached_property
    def _taxations(self) -> dict[tuple[int, int], Taxation]:
        """Of all sales of the chunk, with the rates that they ask for; by issuer and payer."""
        sales = []
        for subscription in self.subscriptions.values():
            with suppress(IssuerUndecided):
                sales.append((self.issuer(subscription), payer_of(subscription)))
        return taxations(sales)

    @cached_property
    def recast(self) -> list[BillingPeriod]:
        """The closed periods whose plan was changed after they were billed, in order (R20)."""
        rows = BillingPeriod.objects.filter(
            subscription__in=self.subscriptions,
            recast_at__isnull=False,
            status=PeriodStatus.CLOSED,
        )
        return [self.adopt(period) for period in rows.order_by("subscription", "number")]

    def following(
        self, subscription: Subscription, before: BillingPeriod | None
    ) -> BillingPeriod | None:
        """Return, unsaved, the period after `before` (or the first), or None after the last."""
        return period_after(subscription, before, only_issuer=self._only_issuer)

    def wanted(self, period: BillingPeriod) -> Wanted:
        """Say which metrics to measure for a period.

        Events that name no subscription count for the earliest made of those that price the
        metric at the same time (R6), so that none counts twice.
        """
        subscription = period.subscription
        elsewhere: dict[int, tuple[Stretch, ...]] = {}
        for other in self._neighbours[subscription.customer_id]:
            if other.pk < subscription.pk:
                for phase in _in_service(other):
                    stretch = _stretch(other, phase)
                    for metric in self.offers[phase.plan_version_id].metrics:
                        elsewhere[metric.pk] = (*elsewhere.get(metric.pk, ()), stretch)
        readings = self.offer(period).readings_at_the_end_of(period)
        return Wanted(period, readings, elsewhere)


def period_after(
    subscription: Subscription, before: BillingPeriod | None, *, only_issuer: Issuer | None
) -> BillingPeriod | None:
    """Return, unsaved, a subscription's period after `before` (or the first), or None after the last.

    Load it `with_terms`; `only_issuer` is the one that sells where there is only one.
    """
    coming = periods(subscription, since=before.end_date if before else None)
    found = next(coming, None)
    if found is None:
        return None
    phase, period = found
    last = period
    if period.end < period.nominal_end:
        *_, last = [period, *takewhile(period.is_cut_from, (other for _, other in coming))]
    issuer = subscription.issuer or subscription.customer.issuer or only_issuer
    buyer = payer_of(subscription)
    cutoff = clocks([buyer, phase.plan_version.plan, issuer]).cutoff
    return _billing_period(subscription, phase, period, before, whole_until=last.end, cutoff=cutoff)


def _neighbours(subscriptions: Mapping[int, Subscription]) -> dict[int, list[Subscription]]:
    """Return all subscriptions of these subscriptions' customers, by customer."""
    found: dict[int, list[Subscription]] = defaultdict(list)
    for one in subscriptions.values():
        found[one.customer_id].append(one)
    others = Subscription.objects.filter(customer__in=list(found)).exclude(pk__in=subscriptions)
    for other in others.prefetch_related("phases"):
        found[other.customer_id].append(other)
    return found


def _in_service(subscription: Subscription) -> list[SubscriptionPhase]:
    return [phase for phase in subscription.phases.all() if not phase.is_paused]


def _stretch(subscription: Subscription, phase: SubscriptionPhase) -> Stretch:
    """Return when a phase is served, in UTC; a phase for good ends with the calendar."""
    zones = zones_of(subscription)
    ends = [day for day in (phase.ends_on, subscription.ends_on) if day is not None]
    return zones.begins(phase.starts_on), zones.begins(min(ends, default=_NEVER))


def _billing_period(
    subscription: Subscription,
    phase: SubscriptionPhase,
    period: Period,
    before: BillingPeriod | None,
    *,
    whole_until: date,
    cutoff: timedelta,
) -> BillingPeriod:
    """Return an unsaved period; it is billed where the whole ends of which it is a part (R20).

    All parts of a whole are billed together, so a later one waits as long as the first.
    """
    zones = zones_of(subscription)
    ends_at = zones.begins(whole_until)
    found = BillingPeriod(
        subscription=subscription,
        phase=phase,
        number=before.number + 1 if before else 0,
        start_date=period.start,
        end_date=period.end,
        nominal_start_date=period.nominal_start,
        nominal_end_date=period.nominal_end,
        starts_at=before.ends_at if before else zones.begins(period.start),
        ends_at=zones.begins(period.end),
        time_zone=zones.on(period.start),
        is_trial=period.trial,
        needs_opening=not period.trial and (before is None or before.is_trial),
        usage_cutoff=ends_at + cutoff,
    )
    if before and before.is_open_part_of(found) and before.usage_cutoff >= ends_at:
        found.usage_cutoff = before.usage_cutoff
    found.fee_is_due = before is not None and found.continues(before)
    return found
