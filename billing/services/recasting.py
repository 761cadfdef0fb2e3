"""Changing a plan from a day that is billed already: the periods it falls into are cut and served anew (R20).

Nothing that was issued changes. A closed period that contains the day ends there, and a closed one
for the rest begins; those after it come under the new version. What their usage and fees amount to
since is found as a difference to what was billed, and settled on the next invoice; a draft that is
not issued yet is redrawn instead. What can't be settled to the cent in this way is refused by name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import date, datetime
from typing import NamedTuple

from django.db.models import Max, Q

from billing.models import (
    BillingPeriod,
    Invoice,
    InvoiceAllowance,
    InvoiceStatus,
    LateStatus,
    LateUsage,
    PeriodCharge,
    PeriodStatus,
    Purpose,
)
from billing.models.invoices import UNISSUED
from catalog.drafts import interval_of
from catalog.models import PlanVersion, Price, Proration, Timing
from config.base.errors import Refusal
from customers.models import Subscription, SubscriptionPhase
from customers.services import same_periods
from customers.terms import today_of, zones_of
from metering.models import ArchivedMonth
from metering.services.months import bounds


class PeriodBilled(Refusal):
    """The day on which the plan was to change is billed, in a way that can't be settled afterwards."""

    code = "period_billed"

    def __init__(self, message: str) -> None:
        super().__init__(message, path=("when",))


class Recast(NamedTuple):
    """The closed periods of a subscription that end after the day of a change, in order."""

    subscription: Subscription
    day: date
    periods: Sequence[BillingPeriod]


def periods_to_recast(
    days: Collection[tuple[Subscription, date]],
) -> list[Recast]:
    """Return those whose plan is to change from a day that is billed, with what is to be recast.

    Locks the invoices that bill them, then the periods. One query where there are none.
    """
    by_id = {one.pk: (one, day) for one, day in days}
    if not by_id:
        return []
    rows = BillingPeriod.objects.filter(
        subscription__in=by_id, end_date__gt=min(day for _, day in days)
    )
    done = rows.exclude(status=PeriodStatus.OPEN, number=0)
    dated_back = {
        period.subscription_id
        for period in done
        if period.end_date > (day := by_id[period.subscription_id][1])
        and (period.status != PeriodStatus.OPEN or period.start_date > day)
    }
    if not dated_back:
        return []
    rows = rows.filter(subscription__in=dated_back)
    billing = Invoice.objects.filter(
        Q(charges__period__in=rows) | Q(lines__subscription__in=dated_back, status__in=UNISSUED)
    )
    locked = Invoice.objects.filter(pk__in=billing.values("pk")).order_by("pk")
    list(locked.select_for_update().values("pk"))
    found: dict[int, list[BillingPeriod]] = defaultdict(list)
    for period in (
        rows.select_related("phase__plan_version", "subscription")
        .prefetch_related("subscription__phases")
        .select_for_update(of=("self",))
        .order_by("subscription", "number")
    ):
        if period.end_date > by_id[period.subscription_id][1]:
            found[period.subscription_id].append(period)
    return [Recast(*by_id[pk], periods) for pk, periods in found.items()]


def check_recast(recast: Recast, version: PlanVersion, *, at: datetime) -> None:
    """Refuse what can't be settled to the cent.

    :raises PeriodBilled: saying why, and which day could be chosen.
    """
    subscription, day, periods = recast
    *before, last = periods
    today = today_of(subscription, at=at)
    since = [
        phase.starts_on for phase in subscription.phases.all() if day <= phase.starts_on <= today
    ]
    if since and day == subscription.starts_on:
        raise PeriodBilled(f"{periods[0]} is billed already: choose a day after the first.")
    if since:
        raise PeriodBilled(f"Its terms changed on {since[-1]} already: choose a day after that.")
    closed = [*before, last] if last.status != PeriodStatus.OPEN else before
    for period in closed:
        if period.status == PeriodStatus.OPEN:
            raise PeriodBilled(f"{period} is to be billed anew: let the next run close it first.")
        if period.status != PeriodStatus.CLOSED or period.is_trial:
            raise _refused(period, f"it is {period.get_status_display().lower()}")
    for one in (periods[0].phase.plan_version, version):
        if reason := _unsettled(one):
            raise _refused(closed[-1], f"{one} {reason}")
    if not same_periods(periods[0].phase.plan_version, version):
        raise _refused(closed[-1], f"the periods of {version} last longer or shorter")
    ids = [period.pk for period in closed]
    invoices = PeriodCharge.objects.filter(period__in=ids, is_live=True).values("invoice")
    issued = Invoice.objects.filter(pk__in=invoices, status=InvoiceStatus.ISSUED)
    if InvoiceAllowance.objects.filter(invoice__in=issued).exists():
        raise _refused(closed[-1], "a coupon reduced its invoice")
    if LateUsage.objects.filter(period__in=ids, status=LateStatus.WRITTEN_OFF).exists():
        raise _refused(closed[-1], "late usage of it was written off")
    archived = ArchivedMonth.objects.aggregate(last=Max("month"))["last"]
    if archived and closed[0].starts_at < bounds(archived)[1]:
        raise _refused(closed[-1], "its usage is archived")


def _refused(period: BillingPeriod, why: str) -> PeriodBilled:
    return PeriodBilled(
        f"{period} is billed already and can't be settled afterwards, since {why}: choose "
        f"{period.end_date} or a later day."
    )


def _unsettled(version: PlanVersion) -> str:
    """Say what of a version can't be settled afterwards; empty if all can."""
    if version.minimum_commitment:
        return "has a minimum commitment"
    usual = (version.billing_interval, version.billing_interval_count)
    for price in Price.objects.filter(version=version).select_related("version"):
        if interval_of(price, version) != usual:
            return f"charges “{price.name}” for an interval of its own"
        if price.proration == Proration.NONE:
            return f"never prorates “{price.name}”"
        if price.metric_id is None and price.timing != Timing.ADVANCE:
            return f"charges “{price.name}” in arrears"
    return ""


def recast_periods(recast: Recast, *, at: datetime) -> list[int]:
    """Cut the closed period that contains the day, and serve all from it on under the new phase.

    The phase is saved already. Returns the drafts that are to be redrawn for it.
    """
    subscription, day, periods = recast
    phase = SubscriptionPhase.objects.select_related("plan_version").get(
        subscription=subscription, starts_on=day
    )
    drafts = _drafts(periods)
    first, rest = periods[0], list(periods[1:])
    is_billed = first.pk not in drafts
    if first.start_date < day:
        for period in reversed(rest):
            period.number += 1
            period.save(update_fields=["number"])
        part = _cut(first, phase, day=day, at=at if is_billed else None)
        if not is_billed:
            _claim_as(first, part)
    else:
        rest = list(periods)
        before = BillingPeriod.objects.filter(subscription=subscription, number=first.number - 1)
        is_billed = not _drafts(list(before))
    for period in rest:
        period.fee_is_due = period.fee_is_due or is_billed
        is_billed = period.pk not in drafts
        if period.status == PeriodStatus.CLOSED:
            period.phase = phase
            period.recast_at = at if is_billed else None
        period.save(update_fields=["fee_is_due", "phase", "recast_at"])
    charging = Invoice.objects.filter(lines__period__in=rest, status__in=UNISSUED)
    return sorted({*drafts.values(), *charging.values_list("pk", flat=True)})


def _drafts(periods: Sequence[BillingPeriod]) -> dict[int, int]:
    """Return, by period, the invoice not issued yet that bills it."""
    charges = PeriodCharge.objects.filter(
        period__in=periods, is_live=True, invoice__status__in=UNISSUED
    ).filter(purpose__in=[Purpose.REGULAR, Purpose.FINAL])
    return dict(charges.values_list("period_id", "invoice_id"))


def _cut(
    period: BillingPeriod, phase: SubscriptionPhase, *, day: date, at: datetime | None
) -> BillingPeriod:
    """Let a closed period end before a day; save and return one for the rest, under a phase.

    `at` is when it is recast; None where its draft is redrawn.
    """
    part = BillingPeriod.objects.get(pk=period.pk)
    closed_at = period.closed_at
    # The database keeps the dates of a period as long as it is closed.
    period.status, period.closed_at = PeriodStatus.OPEN, None
    period.save(update_fields=["status", "closed_at"])
    period.status, period.closed_at = PeriodStatus.CLOSED, closed_at
    period.end_date, period.recast_at = day, at
    period.ends_at = zones_of(period.subscription).begins(day)
    period.save()
    part.pk, part.uuid = None, BillingPeriod._meta.get_field("uuid").get_default()
    part.number, part.phase = period.number + 1, phase
    part.start_date, part.starts_at = day, period.ends_at
    part.fee_is_due, part.recast_at = True, at
    part._state.adding = True
    part.save(force_insert=True)
    return part


def _claim_as(period: BillingPeriod, part: BillingPeriod) -> None:
    """Let the draft that bills a period bill a part that was cut from it, too."""
    charge = PeriodCharge.objects.get(
        period=period, is_live=True, purpose__in=[Purpose.REGULAR, Purpose.FINAL]
    )
    charge.pk, charge.period = None, part
    charge.save(force_insert=True)
