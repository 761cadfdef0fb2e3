"""Plans of many subscriptions, changed at once: the day of each, its phases, its running period (R20).

One subscription is changed in the same way as thousands, and a preview does it and undoes it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import date, datetime
from fractions import Fraction
from typing import NamedTuple

from django.db import models
from django.db.models import Exists, OuterRef, Q

from billing.chunk import period_after
from billing.models import BillingPeriod, Invoice, InvoiceLine, PeriodStatus
from billing.models.invoices import UNDONE, UNISSUED
from billing.parties import the_only_issuer
from billing.services.issuing import recalculate_invoices
from billing.services.recasting import (
    PeriodBilled,
    check_recast,
    periods_to_recast,
    recast_periods,
)
from catalog.base_fee import base_fee_per_year
from catalog.models import PlanVersion
from config.base.audit import Actor
from config.base.errors import Fault, Invalid, Refusal
from config.base.rows import update_rows
from customers import services as customers
from customers.models import Subscription, SubscriptionPhase
from customers.services import Change
from customers.terms import in_force, paid_period, paid_until, phase_terms, today_of

_FITTED = (
    "phase",
    "end_date",
    "nominal_start_date",
    "nominal_end_date",
    "ends_at",
    "usage_cutoff",
    "is_trial",
    "needs_opening",
)


class When(models.TextChoices):
    IMMEDIATE = "immediate", "At once"
    AT_PERIOD_END = "at_period_end", "At the end of what is paid for"


class PeriodParked(Refusal):
    """Billing holds the running period back, until somebody tries it again."""

    code = "period_parked"


class NotProrated(Refusal):
    """A price of the plan is never prorated, so the plan changes where a period ends (R15)."""

    code = "not_prorated"


class FirstFeeBilled(Refusal):
    """Its plan can't be replaced on its first day, since that is billed already."""

    code = "first_fee_billed"


class DaysOfChange:
    """The first day of subscriptions under a version; each version is looked up once.

    `when` may be a day that is over or still to come. Without it, a plan with a lower base fee waits
    and any other begins today; a trial runs to its end then in any case.
    """

    def __init__(self, version: PlanVersion, *, when: When | date | None, at: datetime) -> None:
        self._version, self._when, self._at = version, when, at
        self._is_whole: dict[int, bool] = {}
        self._fees: dict[int, Fraction] = {}

    def of(self, subscription: Subscription) -> date:
        """Return the day for a subscription, which is loaded `with_terms`.

        :raises NotProrated: at once or on a day within a period, where a price is never prorated.
        :raises Invalid: for a day within its trial.
        """
        if isinstance(self._when, date):
            return self._chosen(subscription, self._when)
        phase = in_force(subscription, at=self._at)
        today = today_of(subscription, at=self._at)
        when = self._when_of(phase.plan_version)
        if today < phase.starts_on and when == When.IMMEDIATE:
            return phase.starts_on
        waits = is_trial(phase, day=today) or when == When.AT_PERIOD_END
        return paid_until(phase, day=today) if waits else today

    def _chosen(self, subscription: Subscription, day: date) -> date:
        begun = [phase for phase in subscription.phases.all() if phase.starts_on <= day]
        if not begun:
            return day  # there is no service yet, which is refused with the day
        phase = begun[-1]
        if is_trial(phase, day=day):
            message = (
                f"Its trial runs until {phase_terms(phase).paid_from}: choose that day or later."
            )
            raise Invalid([Fault(("when",), "in_trial", message)])
        if whole := self._whole(phase.plan_version):
            paid = paid_period(phase, day=day)
            if paid.nominal_start != day:
                raise NotProrated(
                    f"A price of {whole[0]} is never prorated: choose a day on which a period "
                    f"begins, such as {paid.end}.",
                    path=("when",),
                )
        return day

    def _whole(self, before: PlanVersion) -> list[PlanVersion]:
        return [one for one in (before, self._version) if self._has_whole_prices(one)]

    def _when_of(self, before: PlanVersion) -> When:
        whole = self._whole(before)
        if self._when == When.IMMEDIATE and whole:
            raise NotProrated(
                f"A price of {whole[0]} is never prorated: change it at the end of the period.",
                path=("when",),
            )
        if self._when is not None:
            assert isinstance(self._when, When)
            return self._when
        is_lower = self._fee(self._version) < self._fee(before)
        return When.AT_PERIOD_END if whole or is_lower else When.IMMEDIATE

    def _has_whole_prices(self, version: PlanVersion) -> bool:
        if version.pk not in self._is_whole:
            self._is_whole[version.pk] = customers.has_whole_prices(version)
        return self._is_whole[version.pk]

    def _fee(self, version: PlanVersion) -> Fraction:
        if version.pk not in self._fees:
            self._fees[version.pk] = base_fee_per_year(version)
        return self._fees[version.pk]


def change_plans(
    *,
    subscriptions: Sequence[Subscription],
    version: PlanVersion,
    days: DaysOfChange,
    at: datetime,
    actor: Actor,
) -> dict[int, date | Refusal | Invalid]:
    """Put subscriptions under another version; return the first day of each, or why it stays.

    They are locked, in the caller's transaction. In a constant number of queries, but for drafts
    that are redrawn and for what was to change later, which is dropped.
    """
    found: dict[int, date | Refusal | Invalid] = {}
    ids = [one.pk for one in subscriptions]
    parked = _parked(ids)
    for subscription in subscriptions:
        try:
            if period := parked.get(subscription.pk):
                raise held_back(period)
            found[subscription.pk] = days.of(subscription)
        except (Refusal, Invalid) as refusal:
            found[subscription.pk] = refusal
    on_the_first = [one.pk for one in subscriptions if found[one.pk] == one.starts_on]
    for pk, invoice in _billed_on_the_first_day(on_the_first, version).items():
        found[pk] = FirstFeeBilled(
            f"“{invoice}” bills its first day already: undo that invoice and let the day be billed "
            "anew, or change the plan tomorrow."
        )
    billed = periods_to_recast(
        [(one, day) for one in subscriptions if isinstance(day := found[one.pk], date)]
    )
    for recast in billed:
        try:
            check_recast(recast, version, at=at)
        except PeriodBilled as refusal:
            found[recast.subscription.pk] = refusal
    changes = [
        Change(one, day, today_of(one, at=at))
        for one in subscriptions
        if isinstance(day := found[one.pk], date)
    ]
    refused = customers.change_versions(changes, version=version, actor=actor)
    found |= refused
    changed = [one.subscription.pk for one in changes if one.subscription.pk not in refused]
    drafts = [
        draft
        for recast in billed
        if recast.subscription.pk in changed
        for draft in recast_periods(recast, at=at)
    ]
    fit_periods(changed, at=at, actor=actor, drafts=drafts)
    return found


def fit_periods(
    subscription_ids: Collection[int], *, at: datetime, actor: Actor, drafts: Sequence[int] = ()
) -> None:
    """Let the last period that billing began of each end where the terms say now, and redraw its drafts.

    A draft that charged it in advance, but is not issued, charges what is served (R21); `drafts` are
    further ones to redraw.

    :raises PeriodParked: if one is held back.
    """
    # Invoices before periods, as whoever discards one locks them.
    lines = InvoiceLine.every.filter(
        subscription__in=subscription_ids, invoice__status__in=UNISSUED
    )
    open_ = Invoice.objects.filter(pk__in=lines.values("invoice")).order_by("pk")
    list(open_.select_for_update().values("pk"))
    begun = _begun_periods(subscription_ids)
    running = [period for tail in begun.values() for period in tail.running]
    subscriptions = Subscription.objects.with_terms().filter(pk__in=begun)
    only_issuer = the_only_issuer()
    for subscription in subscriptions:
        parts, before = begun[subscription.pk]
        for period in parts:
            if period.status == PeriodStatus.PARKED:
                raise held_back(period)
            fresh = period_after(subscription, before, only_issuer=only_issuer)
            assert fresh is not None
            assert fresh.start_date == period.start_date
            fresh.needs_opening = period.needs_opening and not fresh.is_trial
            for name in _FITTED:
                setattr(period, name, getattr(fresh, name))
            before = period
    update_rows(running, _FITTED)
    charging = Invoice.objects.filter(lines__period__in=running, status__in=UNISSUED)
    if ids := sorted({*charging.values_list("pk", flat=True), *drafts}):
        recalculate_invoices(invoice_ids=ids, at=at, actor=actor)


def held_back(period: BillingPeriod) -> PeriodParked:
    return PeriodParked(f"Billing holds {period} back: mend what is wrong and try it again first.")


def is_trial(phase: SubscriptionPhase, *, day: date) -> bool:
    """Say whether a day of a phase lies in its trial."""
    terms = phase_terms(phase)
    return bool(terms.trial_days) and day < terms.paid_from


def _parked(subscription_ids: Collection[int]) -> dict[int, BillingPeriod]:
    further = BillingPeriod.objects.filter(
        subscription=OuterRef("subscription"), number=OuterRef("number") + 1
    )
    held = BillingPeriod.objects.filter(
        ~Exists(further), subscription__in=subscription_ids, status=PeriodStatus.PARKED
    )
    return {period.subscription_id: period for period in held.select_related("subscription")}


def _billed_on_the_first_day(
    subscription_ids: Collection[int], version: PlanVersion
) -> dict[int, Invoice]:
    """Return an invoice of each whose plan can't be replaced on its first day any more.

    That is once it is issued, or drawn at all where the new plan begins with a trial.
    """
    if not subscription_ids:
        return {}
    gone = UNDONE if version.trial_days else (*UNDONE, *UNISSUED)
    lines = InvoiceLine.objects.filter(subscription__in=subscription_ids)
    live = lines.exclude(invoice__status__in=gone).select_related("invoice")
    return {line.subscription_id: line.invoice for line in live.order_by("-pk")}


class Tail(NamedTuple):
    """The parts of the last period of a subscription that billing began, and the period before them.

    No parts where that is closed.
    """

    running: list[BillingPeriod]
    before: BillingPeriod | None


def _begun_periods(subscription_ids: Collection[int]) -> dict[int, Tail]:
    """Lock the last periods that billing began of each, and return them."""
    further = BillingPeriod.objects.filter(
        subscription=OuterRef("subscription"), number=OuterRef("number") + 2
    )
    mine = BillingPeriod.objects.filter(
        ~Exists(further) | Q(status=PeriodStatus.OPEN), subscription__in=subscription_ids
    )
    rows: dict[int, list[BillingPeriod]] = defaultdict(list)
    for period in (
        mine.select_related("subscription").select_for_update(of=("self",)).order_by("number")
    ):
        rows[period.subscription_id].append(period)
    return {pk: _tail(periods) for pk, periods in rows.items()}


def _tail(periods: Sequence[BillingPeriod]) -> Tail:
    last = len(periods) - 1
    if periods[last].status in (PeriodStatus.CLOSED, PeriodStatus.WAIVED):
        return Tail([], periods[last])
    first = last
    while (
        first
        and periods[first - 1].status == PeriodStatus.OPEN
        and (periods[first].continues(periods[first - 1]))
    ):
        first -= 1
    return Tail(list(periods[first:]), periods[first - 1] if first else None)
