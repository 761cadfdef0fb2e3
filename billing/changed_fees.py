"""Advance fees that no invoice charged ahead, since the plan changed: which wait, and who claims them (R20).

A fee waits where its period says so. An invoice that charges it claims it by a charge of purpose
`change`, which names the phase and version that it is for; undone, it waits again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from billing.chunk import Chunk
from billing.models import BillingPeriod, Invoice, PeriodCharge, Purpose
from billing.offers import Served


def waiting_fees(chunk: Chunk) -> dict[int, list[Served]]:
    """Return, by subscription, the closed periods whose fee the next invoice charges, in order."""
    found: dict[int, list[Served]] = defaultdict(list)
    for period in chunk.recast:
        if period.fee_is_due:
            found[period.subscription_id].append(_served(chunk, period))
    return found


def claimed_fees(chunk: Chunk, charges: Iterable[PeriodCharge]) -> list[Served]:
    """Return the periods whose fee an open invoice charges, by its charges, in order."""
    mine = [charge.period for charge in charges if charge.purpose == Purpose.CHANGE]
    return [_served(chunk, period) for period in mine]


def _served(chunk: Chunk, period: BillingPeriod) -> Served:
    period.subscription = chunk.subscriptions[period.subscription_id]
    return Served(period, chunk.offer(period))


def change_charges(invoice: Invoice, fees: Sequence[Served]) -> Iterator[PeriodCharge]:
    """Yield an invoice's claims on the fees that it charges, unsaved (R33)."""
    for one in fees:
        phase = one.period.phase
        yield PeriodCharge(
            subscription_id=one.period.subscription_id,
            period=one.period,
            purpose=Purpose.CHANGE,
            cause=f"{phase.pk}:{phase.plan_version_id}",
            invoice=invoice,
        )


def let_wait(periods: Iterable[int], *, is_due: bool) -> None:
    """Let the fees of these periods wait, or no longer."""
    if ids := list(periods):
        BillingPeriod.objects.filter(pk__in=ids).update(fee_is_due=is_due)
