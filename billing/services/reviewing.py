"""Looking over the drafts, so that people look at the few that are odd and not at all of them.

Nothing of a draft is changed. A draft that is redrawn is looked at again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from django.db.models import Count, Exists, F, Max, OuterRef, Q, Subquery

from billing.history import period_key
from billing.models import (
    BillingPeriod,
    DraftOddity,
    Invoice,
    InvoiceLine,
    InvoiceStatus,
    LineKind,
    Look,
    Oddity,
    PeriodCharge,
    Purpose,
)
from billing.models.invoices import UNDONE
from billing.querysets import InvoiceQuerySet
from billing.services.estimating import billed_last
from billing.services.portions import take_portion
from billing.trailing import trails, unusual
from billing.usage import latest_snapshots
from catalog import wording
from catalog.models import ValueMetric
from catalog.money import EXACT, ZERO, exponent, round_half_up

HALF = Decimal("0.5")
"""A draft that differs from the last invoice by more than this part of it has changed a lot."""
_OPEN = (InvoiceStatus.DRAFT, InvoiceStatus.REVIEW)
HELD, BY_HAND, ZERO_TOTAL = "held", "by_hand", "zero"
LIVE: Mapping[str, Q] = {
    HELD: Q(status=InvoiceStatus.REVIEW),
    BY_HAND: Q(status=InvoiceStatus.DRAFT, auto_issue_at=None),
    ZERO_TOTAL: Q(total=0),
}
"""Reasons to look at a draft that are read from the draft itself."""


def open_drafts() -> InvoiceQuerySet:
    """Return the invoices that are not issued yet."""
    return Invoice.objects.filter(status__in=_OPEN)


def unseen() -> InvoiceQuerySet:
    """Return the open invoices that nobody looked over as they are drawn now."""
    mine = InvoiceLine.every.filter(invoice=OuterRef("pk")).order_by()
    newest = mine.values("invoice").annotate(last=Max("pk")).values("last")
    drawn = open_drafts().annotate(newest=Subquery(newest))
    return drawn.filter(Q(look=None) | ~Q(look__last_line=F("newest"))).order_by("pk")


def with_reason(drafts: InvoiceQuerySet, reason: str) -> InvoiceQuerySet:
    """Keep the drafts that are to be looked at for this reason; empty: for any."""
    odd = DraftOddity.objects.filter(look__invoice=OuterRef("pk"))
    if reason in LIVE:
        return drafts.filter(LIVE[reason])
    if reason:
        return drafts.filter(Exists(odd.filter(kind=reason)))
    anything = Q(Exists(odd)) | Q(look=None)
    for live in LIVE.values():
        anything |= live
    return drafts.filter(anything)


def counted_reasons(drafts: InvoiceQuerySet) -> dict[str, int]:
    """Count these drafts by each reason to look at them; two queries."""
    live = drafts.order_by().aggregate(
        **{name: Count("pk", filter=condition) for name, condition in LIVE.items()}
    )
    odd = DraftOddity.objects.filter(look__invoice__in=drafts.order_by().values("pk"))
    kinds = odd.order_by().values_list("kind").annotate(Count("look", distinct=True))
    return {**live, **dict(kinds)}


def look_over(*, at: datetime) -> bool:
    """Look over the next 500 drafts; return whether more are left to do here.

    :raises OperationalError: if the database fails; the step is taken again.
    """
    found: dict[int, list[tuple[Oddity, str]]] = {}

    def refuse(invoice: Invoice, trouble: Exception) -> None:
        said = str(trouble) or type(trouble).__name__
        found[invoice.pk] = [(Oddity.UNKNOWN, f"It could not be compared: {said}")]

    taken = take_portion(
        unseen(),
        work=lambda invoices: found.update(_look(invoices, at=at)),
        refuse=refuse,
        save=lambda invoices: _keep(invoices, found, at=at),
    )
    return bool(taken.rows) and taken.is_left


def _keep(
    invoices: Sequence[Invoice],
    found: Mapping[int, Sequence[tuple[Oddity, str]]],
    *,
    at: datetime,
) -> None:
    Look.objects.filter(invoice__in=invoices).delete()
    newest = InvoiceLine.every.filter(invoice__in=invoices).order_by()
    last = dict(newest.values_list("invoice").annotate(Max("pk")))
    looks = [
        Look(invoice=invoice, last_line=last.get(invoice.pk, 0), looked_at=at)
        for invoice in invoices
    ]
    Look.objects.bulk_create(looks)
    DraftOddity.objects.bulk_create(
        DraftOddity(look=look, kind=kind, detail=detail)
        for look in looks
        for kind, detail in found[look.invoice_id]
    )


def _look(invoices: Sequence[Invoice], *, at: datetime) -> dict[int, list[tuple[Oddity, str]]]:
    """Return what is odd about each; a constant number of queries."""
    ended: dict[int, list[BillingPeriod]] = defaultdict(list)
    charges = PeriodCharge.objects.filter(
        invoice__in=invoices, is_live=True, purpose__in=[Purpose.REGULAR, Purpose.FINAL]
    )
    for charge in charges.select_related("period__subscription").order_by("pk"):
        ended[charge.invoice_id].append(charge.period)
    periods = [period for mine in ended.values() for period in mine]
    before = billed_last(periods, besides=[invoice.pk for invoice in invoices])
    strange = _unusual_usage(periods, at=at)
    first, late = _firsts(invoices), _with_late_usage(invoices)
    found: dict[int, list[tuple[Oddity, str]]] = {}
    for invoice in invoices:
        mine = ended[invoice.pk]
        odd = found[invoice.pk] = []
        if changed := _changed(invoice, mine, before):
            odd.append((Oddity.CHANGED, changed))
        odd += [(Oddity.USAGE, said) for period in mine for said in strange.get(period.pk, ())]
        if invoice.pk in first:
            odd.append((Oddity.FIRST, "The first invoice of this customer."))
        if invoice.pk in late:
            odd.append((Oddity.LATE, "It bills usage that came in after an earlier invoice."))
    return found


def _changed(
    invoice: Invoice, periods: Sequence[BillingPeriod], before: Mapping[int, Decimal]
) -> str:
    """Say that an invoice over periods differs from what they were billed last by more than half."""
    known = {
        p.subscription_id: before[p.subscription_id] for p in periods if p.subscription_id in before
    }
    if not known:
        return ""
    last = ZERO
    for amount in known.values():
        last = EXACT.add(last, amount)
    if abs(EXACT.subtract(invoice.net_total, last)) <= EXACT.multiply(abs(last), HALF):
        return ""
    return f"{_money(invoice.net_total, invoice)} net, {_money(last, invoice)} the last time."


def _unusual_usage(periods: Sequence[BillingPeriod], *, at: datetime) -> dict[int, list[str]]:
    """Say, by period, which usage is far from the mean of the periods before."""
    by_id = {period.pk: period for period in periods}
    past = trails(periods)
    latest = latest_snapshots(periods).values()
    metrics = ValueMetric.objects.in_bulk({snapshot.metric_id for snapshot in latest})
    found: dict[int, list[str]] = defaultdict(list)
    for snapshot in latest:
        period = snapshot.period = by_id[snapshot.period_id]
        metric = snapshot.metric = metrics[snapshot.metric_id]
        trail = past[period_key(period)].get(metric.pk)
        if trail and (finding := unusual(snapshot, period, trail, at=at)):
            found[period.pk].append(
                f"{metric.name}: {finding.label.lower()}, "
                f"{wording.number(snapshot.told, 'en')} against a mean of "
                f"{wording.number(round_half_up(trail.usual, 2), 'en')}."
            )
    return found


def _firsts(invoices: Sequence[Invoice]) -> set[int]:
    """Return those before which their customer has no other."""
    earlier = Invoice.objects.filter(customer=OuterRef("customer"), pk__lt=OuterRef("pk"))
    mine = Invoice.objects.filter(pk__in=[invoice.pk for invoice in invoices])
    fresh = mine.filter(~Exists(earlier.exclude(status__in=UNDONE)))
    return set(fresh.values_list("pk", flat=True))


def _with_late_usage(invoices: Sequence[Invoice]) -> set[int]:
    late = InvoiceLine.every.filter(invoice__in=invoices, kind=LineKind.LATE)
    return set(late.values_list("invoice_id", flat=True))


def _money(amount: Decimal, invoice: Invoice) -> str:
    return f"{wording.amount(amount, exponent(invoice.currency), 'en')} {invoice.currency}"
