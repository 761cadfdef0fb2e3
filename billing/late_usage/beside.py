"""What billing noted late usage moves of the minimum commitment of its period (R16, R31).

Usage that is charged later makes up for what a period lacked, so its invoice takes that back beside it.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from billing.calculation import add_up
from billing.chunk import Chunk
from billing.late_usage.coupons import Key
from billing.late_usage.finding import is_committed
from billing.late_usage.lines import commitment_difference, usage_lines
from billing.late_usage.settled import Commitment, commitments_of
from billing.models import LateStatus, LateUsage
from billing.offers import Served
from catalog.models import PriceModel
from catalog.money import EXACT, ZERO
from customers.models import Subscription

UNDECIDED = (LateStatus.HELD, LateStatus.APPROVED)


def commitments_beside(rows: Iterable[LateUsage]) -> dict[int, Decimal]:
    """Return, by id, what an invoice moves of a commitment when it bills these rows in this order.

    Nothing of rows that are settled, or beside which nothing moves. Seldom a query where no plan
    commits to anything, and else a constant number, however many rows.
    """
    wanted = [
        row
        for row in rows
        if row.status in UNDECIDED and row.period.phase.plan_version.minimum_commitment
    ]
    if not wanted:
        return {}
    ids = {row.period.subscription_id for row in wanted}
    chunk = Chunk(list(Subscription.objects.filter(pk__in=ids).with_phases()))
    commitments = commitments_of({row.period_id for row in wanted}, replaced=())
    whole: dict[Key, Decimal] = {}
    found = {}
    for row in wanted:
        period = chunk.adopt(row.period)
        served = Served(period, chunk.offer(period), {row.snapshot.metric_id: row.snapshot})
        commitment = commitments[row.period_id]
        mine = {key: amount for key, amount in whole.items() if key[0] == row.period_id}
        before = _moved(served, commitment, mine)
        key = (row.period_id, row.price_id)
        mine[key] = whole[key] = _whole(row, served, commitment)
        if moved := EXACT.subtract(_moved(served, commitment, mine), before):
            found[row.pk] = moved
    return found


def _moved(served: Served, commitment: Commitment, whole: dict[Key, Decimal]) -> Decimal:
    if not is_committed(served):
        return ZERO
    line = commitment_difference(
        served, commitment.charged_with(whole), commitment.settled, commitment.credited
    )
    return line.net if line else ZERO


def _whole(row: LateUsage, served: Served, commitment: Commitment) -> Decimal:
    """Return what all of the usage costs that was measured when the row was noted."""
    if row.price.model == PriceModel.PERCENTAGE:  # whose single events no snapshot keeps
        return EXACT.add(commitment.charged[row.period_id, row.price_id], row.amount)
    return add_up(line.net for line in usage_lines(served) if line.price_id == row.price_id)
