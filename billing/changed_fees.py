"""Advance fees that no invoice charged ahead, since the plan changed: which wait, and who claims them (R20).

A fee waits where its period says so. An invoice that charges it claims it by a charge of purpose
`change`, which names the phase and version that it is for; undone, it waits again. Where the plan
came back on a day on which it was billed and credited already, its fee is charged anew.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from django.db.models import Exists, F, Max, OuterRef, QuerySet

from billing.chunk import Chunk
from billing.models import (
    BillingPeriod,
    Invoice,
    InvoiceLine,
    LineKind,
    PeriodCharge,
    Purpose,
)
from billing.models.invoices import FINAL, UNDONE
from billing.offers import Served
from catalog.models import Timing


def waiting_fees(chunk: Chunk) -> dict[int, list[Served]]:
    """Return, by subscription, the closed periods whose fee the next invoice charges, in order."""
    found: dict[int, list[Served]] = defaultdict(list)
    for period in chunk.recast:
        if period.fee_is_due:
            found[period.subscription_id].append(_served(chunk, period))
    return found


def claimed_fees(
    chunk: Chunk, charges: Iterable[PeriodCharge], *, elsewhere: Mapping[int, Collection[int]]
) -> list[Served]:
    """Return the periods whose fee an open invoice charges, by its charges, in order.

    Without those that are charged `elsewhere`, as `charging_invoices` says.
    """
    return [
        _served(chunk, charge.period)
        for charge in charges
        if charge.purpose == Purpose.CHANGE
        and not set(elsewhere.get(charge.period_id, ())) - {charge.invoice_id}
    ]


def charging_invoices(periods: Iterable[int]) -> dict[int, set[int]]:
    """Return, by period, the live invoices that charge its advance fee under its plan, for good.

    One query; none for no periods.
    """
    found: dict[int, set[int]] = defaultdict(set)
    if ids := list(periods):
        live = _fees_of(ids).exclude(invoice__status__in=UNDONE)
        for period, invoice in lasting(live).values_list("period", "invoice"):
            found[period].add(invoice)
    return found


def lasting(fees: QuerySet[InvoiceLine]) -> QuerySet[InvoiceLine]:
    """Leave out the fees that an issued invoice credits from their first day on: they serve none (R21a)."""
    credits = InvoiceLine.every.filter(
        credited=OuterRef("pk"),
        service_start__lte=OuterRef("service_start"),
        invoice__status__in=FINAL,
    )
    return fees.exclude(Exists(credits))


def _fees_of(periods: Sequence[int]) -> QuerySet[InvoiceLine]:
    return InvoiceLine.objects.filter(
        period__in=periods,
        kind=LineKind.FEE,
        price__timing=Timing.ADVANCE,
        price__version=F("period__phase__plan_version"),
    )


def _served(chunk: Chunk, period: BillingPeriod) -> Served:
    period.subscription = chunk.subscriptions[period.subscription_id]
    return Served(period, chunk.offer(period))


def change_charges(
    charging: Iterable[tuple[Invoice, Sequence[Served]]],
) -> Iterator[PeriodCharge]:
    """Yield the claims of invoices on the fees that each charges, unsaved (R33).

    A fee that was charged before and credited is another cause than it was then. One query; none
    where there is no fee.
    """
    claims = [(invoice, one.period) for invoice, fees in charging for one in fees]
    credited = _last_credits(period.pk for _, period in claims)
    for invoice, period in claims:
        phase, last = period.phase, credited.get(period.pk)
        yield PeriodCharge(
            subscription_id=period.subscription_id,
            period=period,
            purpose=Purpose.CHANGE,
            cause=f"{phase.pk}:{phase.plan_version_id}" + (f":{last}" if last else ""),
            invoice=invoice,
        )


def _last_credits(periods: Iterable[int]) -> dict[int, int]:
    """Return, by period, the last issued invoice that credits its fee under its plan."""
    if not (ids := list(periods)):
        return {}
    credited = _fees_of(ids).filter(credits__invoice__status__in=FINAL)
    last = credited.order_by().values("period").annotate(last=Max("credits__invoice"))
    return dict(last.values_list("period", "last"))


def let_wait(periods: Iterable[int], *, is_due: bool) -> None:
    """Let the fees of these periods wait, or no longer."""
    if ids := list(periods):
        BillingPeriod.objects.filter(pk__in=ids).update(fee_is_due=is_due)
