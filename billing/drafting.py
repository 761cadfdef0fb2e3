"""Drafts: what an invoice will charge, composed from rows and written in bulk."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import chain

from django.db.models import Exists, F, OuterRef, QuerySet

from billing.add_ons import Sales, claim
from billing.calculation import Tax
from billing.composition import Composed, compose, compose_one_off
from billing.coupons import Spending
from billing.history import earlier_usage, period_key
from billing.late_usage.finding import Late
from billing.models import (
    BillingPeriod,
    Invoice,
    InvoiceAllowance,
    InvoiceLine,
    InvoiceStatus,
    LineKind,
    PeriodCharge,
    Purpose,
    SoldAddOn,
    TaxSubtotal,
    UsageSnapshot,
)
from billing.offers import Served
from billing.parties import buyer_of, payer_of, seller_of
from billing.unused import UnusedFees
from catalog.models import Timing
from catalog.money import EXACT, ZERO
from config.base.fields import ExactSum
from config.base.rows import insert_rows
from customers.models import Issuer, Subscription

_UNDONE = (InvoiceStatus.VOID, InvoiceStatus.DISCARDED)
AUTO_ISSUE = timedelta(hours=24)  # after the close could start (R26)


@dataclass(frozen=True)
class Draft:
    """An invoice to be: why, the period that ended with what was measured, the one that starts."""

    subscription: Subscription
    purpose: Purpose
    ended: Sequence[Served]
    """The parts of the period that ended, in order; more than one where the plan changed."""
    starting: Served | None
    issuer: Issuer
    tax: Tax
    replaces: int | None = None
    """The open invoice that is drawn anew."""
    one_off: Sequence[SoldAddOn] = ()
    """The add-ons that are all it charges (R33); then it charges no period."""
    drawn_at: datetime | None = None
    """When it was decided to charge just these, and so when it may be issued."""
    late: Sequence[Late] = ()
    """What came after earlier closes; charged beside the rest, or on its own (R31)."""

    @property
    def periods(self) -> list[BillingPeriod]:
        """The periods it charges (R33): the parts of the one that ended, or at an opening the first.

        None where late usage is all that it charges.
        """
        if self.purpose == Purpose.OPENING:
            assert self.starting is not None
            return [self.starting.period]
        return [part.period for part in self.ended]

    @property
    def snapshots(self) -> list[UsageSnapshot]:
        return [taken for part in self.ended for taken in part.snapshots.values()]

    @property
    def _served(self) -> Served:
        if self.purpose == Purpose.LATE:
            return self.late[-1].served
        return self.starting or self.ended[-1]

    @property
    def day(self) -> date:
        """The first day after what it charges in arrears, which is that of what is in advance."""
        if self.starting:
            return self.starting.period.start_date
        return self._served.period.end_date

    @property
    def currency(self) -> str:
        return self._served.offer.version.currency

    def invoice(self, composed: Composed, *, run_id: int | None) -> Invoice:
        """Return the unsaved invoice over composed lines."""
        payer = payer_of(self.subscription)
        return Invoice(
            issuer=self.issuer,
            customer=payer,
            run_id=run_id,
            currency=composed.currency,
            seller=seller_of(self.issuer),
            buyer=buyer_of(payer),
            net_total=composed.totals.net,
            tax_total=composed.totals.tax,
            total=composed.totals.total,
            auto_issue_at=None if payer.manual_approval else self._auto_issue_at,
        )

    @property
    def _auto_issue_at(self) -> datetime | None:
        if self.one_off:
            return self.drawn_at
        if self.purpose == Purpose.LATE:
            return self.late[-1].snapshot.taken_at + AUTO_ISSUE
        [first, *_] = self.periods
        could_close = first.usage_cutoff if self.ended else first.starts_at
        return could_close + AUTO_ISSUE


def compose_all(drafts: Sequence[Draft]) -> list[Composed]:
    """Compose the lines of drafts, each with its past and the coupons that those before it left.

    In a constant number of queries, however many they are.
    """
    sales = Sales(
        subscriptions=[draft.subscription.pk for draft in drafts if draft.replaces is None],
        redrawn=[draft.replaces for draft in drafts if draft.replaces is not None],
    )
    past = earlier_usage([draft.ended[0].period for draft in drafts if draft.ended])
    ahead = billed_ahead([part for draft in drafts for part in draft.ended])
    subscriptions = {draft.subscription.pk: draft.subscription for draft in drafts}.values()
    first_parts = [draft.ended[0] for draft in drafts if draft.ended]
    due, units = begun_with_a_change(first_parts), billed_units(first_parts)
    spending, unused = Spending(subscriptions), UnusedFees(subscriptions)
    found = []
    for draft in drafts:
        if draft.one_off:
            found.append(
                compose_one_off(
                    subscription=draft.subscription, add_ons=draft.one_off, tax=draft.tax
                )
            )
            continue
        composed = compose(
            subscription=draft.subscription,
            ended=[
                part._replace(
                    fee_is_due=part.fee_is_due or part.period.pk in due,
                    billed_units=units.get(part.period.pk, {}),
                )
                for part in draft.ended
            ],
            starting=draft.starting,
            past=past[period_key(draft.ended[0].period)] if draft.ended else {},
            ahead=ahead,
            tax=draft.tax,
            currency=draft.currency,
            late=[(line, tax) for late in draft.late for line, tax in late.to_bill],
            coupons=spending.held(
                draft.subscription, day=draft.day, currency=draft.currency, replaces=draft.replaces
            ),
            unused=unused.of(draft.subscription, day=draft.day, replaces=draft.replaces),
            add_ons=sales.of_invoice(draft.replaces)
            if draft.replaces is not None
            else sales.take(draft.subscription.pk, draft.currency),
        )
        unused.record(composed.lines, replaces=draft.replaces)
        spending.record(draft.subscription, composed.allowances, replaces=draft.replaces)
        found.append(composed)
    return found


def billed_ahead(served: Iterable[Served]) -> dict[int, Decimal]:
    """Return, by period, what invoices before the one that closes it charge for it: its fee.

    Of periods under a plan with a minimum commitment, which it counts towards (R16). Where one ends
    an interval of the plan that began earlier, with all that was charged for the periods before it.
    """
    committed = {
        one.period.pk: one
        for one in served
        if one.period.pk and one.offer.version.minimum_commitment
    }
    if not committed:
        return {}
    sums = _billed_before(committed).order_by().values("period").annotate(net=ExactSum("net"))
    found: dict[int, Decimal] = dict(sums.values_list("period", "net"))
    for pk, net in _billed_since(committed):
        found[pk] = EXACT.add(found.get(pk, ZERO), net)
    return found


def _billed_since(committed: Mapping[int, Served]) -> Iterator[tuple[int, Decimal]]:
    """Yield what is charged for earlier periods of the plan's interval that each of these ends."""
    spanning: dict[int, list[tuple[int, date, date]]] = defaultdict(list)
    for pk, one in committed.items():
        own, period = one.plan_period, one.period
        if own.ends_with(period) and not own.begins_with(period):
            spanning[period.subscription_id].append((pk, own.start_date, period.start_date))
    if not spanning:
        return
    first = min(since for spans in spanning.values() for _, since, _ in spans)
    closing = PeriodCharge.objects.filter(period__in=committed, is_live=True)
    closed_by = dict(
        closing.exclude(purpose=Purpose.OPENING).values_list("period_id", "invoice_id")
    )
    lines = InvoiceLine.objects.exclude(invoice__status__in=_UNDONE).exclude(
        kind=LineKind.COMMITMENT
    )
    nets = (
        lines.filter(subscription__in=spanning, period__start_date__gte=first)
        .order_by()
        .values("subscription_id", "period__start_date", "invoice_id")
        .annotate(net=ExactSum("net"))
    )
    for row in nets:
        for pk, since, start in spanning[row["subscription_id"]]:
            is_earlier = since <= row["period__start_date"] < start
            if is_earlier and row["invoice_id"] != closed_by.get(pk):
                yield pk, row["net"]


def begun_with_a_change(served: Iterable[Served]) -> set[int]:
    """Return the periods whose advance fee no invoice before the one that closes them ever charged.

    That is so where the plan changed, or service was resumed, on a period's first day, after what
    is in advance was billed: their fee is due at their end, like that of a part (R20).
    """
    begun = {
        one.period.pk
        for one in served
        if one.period.pk
        and one.period.number
        and one.period.phase.starts_on == one.period.start_date
    }
    if not begun:
        return set()
    billed = _not_by_its_close(begun).filter(
        kind=LineKind.FEE,
        price__timing=Timing.ADVANCE,
        price__version=F("period__phase__plan_version"),
    )
    return begun - set(billed.values_list("period", flat=True))


def billed_units(served: Iterable[Served]) -> dict[int, dict[str, Decimal]]:
    """Return, by period and price, how many were billed ahead for periods whose count changed that day.

    An increase on the first day of a period, after its fee was billed, is charged at its end (R13).
    """
    changed = [
        one.period.pk
        for one in served
        if one.period.pk
        and any(
            stated.starts_on == one.period.start_date
            for stated in one.period.subscription.quantities.all()
        )
    ]
    if not changed:
        return {}
    found: dict[int, dict[str, Decimal]] = defaultdict(dict)
    lines = _billed_before(changed).filter(
        kind=LineKind.FEE, price__timing=Timing.ADVANCE, service_start=F("period__start_date")
    )
    for period, key, quantity in lines.values_list("period", "price__key", "quantity"):
        found[period][key] = quantity
    return found


def _billed_before(periods: Iterable[int]) -> QuerySet[InvoiceLine]:
    """Return the lines of these periods on live invoices, without those of the one that closes each."""
    return _not_by_its_close(periods).exclude(invoice__status__in=_UNDONE)


def _not_by_its_close(periods: Iterable[int]) -> QuerySet[InvoiceLine]:
    closes_it = PeriodCharge.objects.filter(
        invoice=OuterRef("invoice"), period=OuterRef("period")
    ).exclude(purpose=Purpose.OPENING)
    return InvoiceLine.objects.filter(~Exists(closes_it), period__in=list(periods))


def write_drafts(drafts: Sequence[tuple[Draft, Composed]], *, run_id: int | None) -> list[Invoice]:
    """Save an invoice per draft that has a line (R30), with all its parts and its period's charge.

    The drafts' periods and snapshots are saved already.
    """
    written = [(draft, composed) for draft, composed in drafts if composed.lines]
    invoices = insert_rows(draft.invoice(composed, run_id=run_id) for draft, composed in written)
    attach(list(zip(invoices, (composed for _, composed in written), strict=True)))
    paired = list(zip(invoices, written, strict=True))
    charges = [
        PeriodCharge(
            subscription=draft.subscription,
            period=period,
            purpose=draft.purpose,
            invoice=invoice,
        )
        for invoice, (draft, _) in paired
        for period in draft.periods
    ]
    charges += [
        charge
        for invoice, (draft, composed) in paired
        for charge in late_charges(invoice, draft.late, composed.lines)
    ]
    insert_rows(charges)
    return invoices


def late_charges(
    invoice: Invoice, late: Sequence[Late], lines: Sequence[InvoiceLine]
) -> Iterator[PeriodCharge]:
    """Yield an invoice's claims on the late usage that its lines carry, unsaved (R33)."""
    carried = [line.snapshot for line in lines if line.kind == LineKind.LATE]
    for one in late:
        if any(one.snapshot is snapshot for snapshot in carried):
            yield PeriodCharge(
                subscription=one.served.period.subscription,
                period=one.served.period,
                purpose=Purpose.LATE,
                cause=one.cause,
                invoice=invoice,
            )


def attach(composed: Sequence[tuple[Invoice, Composed]]) -> None:
    """Save the lines, allowances and taxes of invoices that have none."""
    for invoice, parts in composed:
        for part in chain[InvoiceLine | InvoiceAllowance | TaxSubtotal](
            parts.lines, parts.allowances, parts.taxes
        ):
            part.invoice = invoice
    claim(line for _, parts in composed for line in parts.lines)
    insert_rows(chain.from_iterable(parts.lines for _, parts in composed))
    allowances = chain.from_iterable(parts.allowances for _, parts in composed)
    insert_rows(allowances)
    insert_rows(chain.from_iterable(parts.taxes for _, parts in composed))
