"""Settling late usage: what invoices carry of it, what waits, and what a person decides (R31, R32a)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from django.db import connection, transaction
from django.db.models import Exists, OuterRef

from billing.chunk import Chunk
from billing.composition import Composed
from billing.drafting import Draft, compose_all, write_drafts
from billing.late_usage.coupons import Key
from billing.late_usage.finding import Late, LateLine, find_late, maybe_late, policy, told
from billing.models import (
    OUTSTANDING,
    BillingPeriod,
    Invoice,
    InvoiceLine,
    LateStatus,
    LateUsage,
    LineKind,
    PeriodCharge,
    PeriodStatus,
    Purpose,
    UsageSnapshot,
)
from billing.models.invoices import UNDONE
from catalog.money import EXACT, ZERO
from config.base import audit
from config.base.audit import SYSTEM, Actor
from config.base.errors import Fault, Invalid, Refusal
from customers.models import Subscription

_AT_ONCE = 500
_NOTED = ["snapshot", "billed_quantity", "quantity", "amount", "status", "held_for", "found_at"]


class LateUsageDecided(Refusal):
    """It is billed, written off or on its way, so there is nothing to decide."""

    code = "late_usage_decided"


class Outcome(NamedTuple):
    """What becomes of the difference of one price: the line that carries it, and the row of what waits.

    `is_drawn` says whether an invoice was drawn that could carry it.
    """

    late: Late
    one: LateLine
    carried: tuple[Decimal, Decimal] | None
    row: LateUsage | None
    is_drawn: bool

    @property
    def rest(self) -> Decimal:
        """What is not on the invoice."""
        return EXACT.subtract(self.one.line.priced, self.carried[0] if self.carried else ZERO)

    @property
    def status(self) -> LateStatus:
        if self.one.held_for:
            return LateStatus.HELD
        return LateStatus.BILLED if self.is_drawn else LateStatus.APPROVED

    @property
    def used(self) -> Decimal:
        return Decimal(self.one.line.explanation["used"])

    @property
    def is_news(self) -> bool:
        """Whether its snapshot is to be kept: something is billed, or waits that did not before."""
        if self.carried:
            return True
        return self.row is None or (self.row.amount, self.row.quantity) != (self.rest, self.used)

    def noted(self, at: datetime) -> LateUsage | None:
        """Return the row of what waits as it is to be saved; None if there is none."""
        if self.status == LateStatus.BILLED and self.row is None:
            return None
        if not self.is_news:
            return self._kept()
        line = self.one.line
        assert line.price is not None
        row = self.row or LateUsage(
            period=self.late.served.period,
            price=line.price,
            invoice_id=self.one.invoice_id,
            currency=self.late.served.offer.version.currency,
        )
        row.snapshot = self.late.snapshot
        row.quantity = self.used
        row.billed_quantity = (
            self.used if self.carried else EXACT.subtract(self.used, line.quantity)
        )
        row.amount = line.priced if self.status == LateStatus.BILLED else self.rest
        row.status, row.held_for, row.found_at = self.status, self.one.held_for, at
        return row

    def _kept(self) -> LateUsage | None:
        """Return a row of which nothing but its status is new, if that is."""
        if self.row is None or self.row.status == self.status:
            return None
        self.row.status = self.status
        return self.row


class Settlement:
    """What becomes of late usage and the invoices composed of it; None where there is none."""

    def __init__(self, found: Sequence[tuple[Sequence[Late], Composed | None]]) -> None:
        measured = {
            (late.served.period.pk, late.snapshot.metric_id) for lates, _ in found for late in lates
        }
        rows = self._rows({period for period, _ in measured})
        self.outcomes = []
        for lates, composed in found:
            carried = told(composed.every) if composed else {}
            for late in lates:
                for one in late.of_prices:
                    key = (late.served.period.pk, one.line.price_id or 0)
                    row, is_drawn = rows.pop(key, None), composed is not None
                    self.outcomes.append(Outcome(late, one, carried.get(key), row, is_drawn))
        self.over = [
            row for row in rows.values() if (row.period_id, row.price.metric_id) in measured
        ]

    @staticmethod
    def _rows(periods: Iterable[int]) -> dict[Key, LateUsage]:
        if not periods:
            return {}
        rows = LateUsage.objects.filter(period__in=periods, status__in=OUTSTANDING)
        return {(row.period_id, row.price_id): row for row in rows.select_related("price")}

    def keep_snapshots(self) -> None:
        """Save the snapshots of what is billed or waits, before the lines that refer to them."""
        fresh = {id(one.late): one.late.snapshot for one in self.outcomes if one.is_news}
        if fresh:
            UsageSnapshot.objects.bulk_create(fresh.values())

    def keep_rows(self, *, at: datetime) -> None:
        """Save what waits; what waited and is no longer late goes, and the trail says so."""
        rows = [row for one in self.outcomes if (row := one.noted(at))]
        if rows:
            LateUsage.objects.bulk_create(row for row in rows if not row.pk)
            LateUsage.objects.bulk_update([row for row in rows if row.pk], _NOTED)
        for row in self.over:
            changes = {"amount": [f"{row.amount:f}", None]}
            audit.record(actor=SYSTEM, action="no longer late", subject=row, changes=changes)
            row.delete()


def settle_late_usage(*, as_of: datetime) -> list[Invoice]:
    """Look for late usage of any age: note it, hold what a person is to decide, bill what no close will.

    A document of its own is drafted where no further period closes (R32a); the rest goes on the
    next invoice, however long until then. What another closer holds is left to it. Subscriptions of
    which nothing came in since they were billed are neither locked nor loaded. Returns the drafts.
    """
    drafted = []
    last = 0
    closed = BillingPeriod.objects.filter(subscription=OuterRef("pk"), status=PeriodStatus.CLOSED)
    wanted = Subscription.objects.filter(Exists(closed)).order_by("pk").values_list("pk", flat=True)
    while ids := list(wanted.filter(pk__gt=last)[:_AT_ONCE]):
        last = ids[-1]
        if some := maybe_late(ids):
            drafted += _settle(some, as_of=as_of)
    return drafted


@transaction.atomic
def _settle(subscription_ids: Sequence[int], *, as_of: datetime) -> list[Invoice]:
    rows = Subscription.objects.filter(pk__in=subscription_ids)
    if connection.features.has_select_for_update_skip_locked:
        rows = rows.select_for_update(skip_locked=True, of=("self",))
    chunk = Chunk(list(rows.with_terms()))
    found = find_late(chunk, at=as_of, terms=policy(), however_old=True)
    over = _over(chunk, found)
    drafts = [
        late_draft(chunk, late)
        for pk, late in found.items()
        if pk in over and any(one.to_bill for one in late)
    ]
    composed = compose_all(drafts)
    ours = {draft.subscription.pk: one for draft, one in zip(drafts, composed, strict=True)}
    settlement = Settlement([(late, ours.get(pk)) for pk, late in found.items()])
    settlement.keep_snapshots()
    invoices = write_drafts(list(zip(drafts, composed, strict=True)), run_id=None)
    settlement.keep_rows(at=as_of)
    return invoices


def late_draft(chunk: Chunk, late: Sequence[Late], *, replaces: int | None = None) -> Draft:
    """Return the invoice to be over nothing but late usage of one subscription."""
    subscription = late[0].served.period.subscription
    return Draft(
        subscription=subscription,
        purpose=Purpose.LATE,
        ended=[],
        starting=None,
        issuer=chunk.issuer(subscription),
        taxation=chunk.taxation(subscription),
        replaces=replaces,
        late=late,
    )


def _over(chunk: Chunk, found: Mapping[int, Sequence[Late]]) -> set[int]:
    """Return those of these subscriptions that will have no further close."""
    last: dict[int, BillingPeriod] = {}
    periods = BillingPeriod.objects.filter(subscription__in=list(found)).select_related("phase")
    for period in periods.order_by("subscription", "number"):
        last[period.subscription_id] = period
    done = (PeriodStatus.CLOSED, PeriodStatus.WAIVED)
    return {
        pk
        for pk, period in last.items()
        if period.status in done and chunk.following(chunk.subscriptions[pk], period) is None
    }


def release_late(charges: Iterable[PeriodCharge]) -> None:
    """Let what an undone invoice settled of what a person approved wait again."""
    for charge in charges:
        if charge.purpose == Purpose.LATE:
            metric, revision = charge.cause.split(":")
            waiting = LateUsage.objects.filter(period=charge.period_id, status__in=OUTSTANDING)
            rows = LateUsage.objects.filter(
                period=charge.period_id,
                status=LateStatus.BILLED,
                snapshot__metric=int(metric),
                snapshot__revision=int(revision),
            )
            rows.exclude(price__in=waiting.values("price")).update(status=LateStatus.APPROVED)


def waive_late(invoice: Invoice, *, at: datetime, actor: Actor) -> None:
    """Write off what an invoice charged of late usage, for the reason for which it is undone."""
    lines = InvoiceLine.every.filter(invoice=invoice, kind=LineKind.LATE)
    for line in lines.select_related("snapshot", "price"):
        assert line.price
        assert line.snapshot
        assert line.period_id
        used = Decimal(line.explanation["used"])
        billed = _closing(line, invoice)
        if billed is None:
            continue  # nothing else bills its period, so the next invoice finds it anew
        LateUsage.objects.create(
            period_id=line.period_id,
            price=line.price,
            invoice=billed.invoice,
            snapshot=line.snapshot,
            currency=invoice.currency,
            billed_quantity=EXACT.subtract(used, line.quantity),
            quantity=used,
            amount=line.priced,
            status=LateStatus.WRITTEN_OFF,
            found_at=line.snapshot.taken_at,
            decided_by=actor.name,
            decided_at=at,
            reason=invoice.reason,
        )


def _closing(late: InvoiceLine, undone: Invoice) -> InvoiceLine | None:
    """Return the usage that a close billed of a late line's price; of a price that its plan got since,
    any of the same period (R20)."""
    assert late.period
    lines = (
        InvoiceLine.objects.filter(
            subscription=late.subscription_id,
            period__nominal_start_date=late.period.nominal_start_date,
            kind=LineKind.USAGE,
        )
        .exclude(invoice__status__in=UNDONE)
        .exclude(invoice=undone)
        .order_by("-pk")
    )
    own = lines.filter(period=late.period_id, price=late.price_id)
    return own.first() or (lines.first() if late.period.recast_at else None)


@transaction.atomic
def bill_late_usage(*, late_id: int, at: datetime, actor: Actor) -> LateUsage:
    """Have held late usage billed on the next invoice, whatever its age or amount.

    :raises LateUsageDecided: if it is not held.
    """
    return _decide(late_id, LateStatus.APPROVED, "to be billed", reason="", at=at, actor=actor)


@transaction.atomic
def write_off_late_usage(*, late_id: int, reason: str, at: datetime, actor: Actor) -> LateUsage:
    """Bill or credit late usage never; what comes later is again a difference to all of it.

    :raises LateUsageDecided: if it is neither held nor waits.
    :raises Invalid: without a reason.
    """
    if not reason.strip():
        raise Invalid([Fault(("reason",), "required", "Say why; it stays in the audit trail.")])
    return _decide(
        late_id, LateStatus.WRITTEN_OFF, "written off", reason=reason.strip(), at=at, actor=actor
    )


def _decide(
    late_id: int, status: LateStatus, action: str, *, reason: str, at: datetime, actor: Actor
) -> LateUsage:
    """Decide on a row, while no close that could bill it runs."""
    owner = BillingPeriod.objects.filter(late_usage=late_id).values("subscription")
    list(Subscription.objects.select_for_update().filter(pk__in=owner).values_list("pk"))
    row = LateUsage.objects.select_for_update(of=("self",)).select_related("price").get(pk=late_id)
    check_undecided(row, status)
    before = audit.state(row)
    row.status, row.reason = status, reason
    row.decided_by, row.decided_at = actor.name, at
    row.save()
    changes = audit.changes(before, audit.state(row))
    audit.record(actor=actor, action=action, subject=row, changes=changes, note=reason)
    return row


def check_undecided(row: LateUsage, status: LateStatus) -> None:
    """Refuse to decide what is billed or written off, or to have billed what is on its way.

    :raises LateUsageDecided: saying what became of it.
    """
    undecided = OUTSTANDING if status == LateStatus.WRITTEN_OFF else (LateStatus.HELD,)
    if row.status not in undecided:
        raise LateUsageDecided(f"{row}: {row.get_status_display().lower()} already.")
