"""Drafts: what an invoice will charge, composed from rows and written in bulk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from itertools import chain

from django.db.models import Exists, OuterRef

from billing.calculation import Tax
from billing.composition import Composed, compose
from billing.coupons import Spending
from billing.history import earlier_usage, period_key
from billing.models import (
    BillingPeriod,
    Invoice,
    InvoiceAllowance,
    InvoiceLine,
    InvoiceStatus,
    PeriodCharge,
    Purpose,
    TaxSubtotal,
    UsageSnapshot,
)
from billing.offers import Served
from billing.parties import buyer_of, payer_of, seller_of
from billing.unused import UnusedFees
from catalog.money import ZERO
from config.base.fields import ExactSum
from customers.models import Issuer, Subscription

AUTO_ISSUE = timedelta(hours=24)  # after the close could start (R26)


@dataclass(frozen=True)
class Draft:
    """An invoice to be: why, the period that ended, the one that starts, what was measured."""

    subscription: Subscription
    purpose: Purpose
    ended: Served | None
    starting: Served | None
    issuer: Issuer
    tax: Tax
    snapshots: Mapping[int, UsageSnapshot]
    replaces: int | None = None
    """The open invoice that is drawn anew."""

    @property
    def period(self) -> BillingPeriod:
        """The period it charges (R33): the one that ended, or at an opening the first."""
        served = self.starting if self.purpose == Purpose.OPENING else self.ended
        assert served is not None
        return served.period

    @property
    def day(self) -> date:
        """The first day after what it charges in arrears, which is that of what is in advance."""
        if self.starting:
            return self.starting.period.start_date
        assert self.ended is not None
        return self.ended.period.end_date

    @property
    def currency(self) -> str:
        served = self.ended or self.starting
        assert served is not None
        return served.offer.version.currency

    def invoice(self, composed: Composed, *, run_id: int | None) -> Invoice:
        """Return the unsaved invoice over composed lines."""
        payer = payer_of(self.subscription)
        could_close = self.ended.period.usage_cutoff if self.ended else self.period.starts_at
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
            auto_issue_at=None if payer.manual_approval else could_close + AUTO_ISSUE,
        )


def compose_all(drafts: Sequence[Draft]) -> list[Composed]:
    """Compose the lines of drafts, each with its past and the coupons that those before it left.

    In a constant number of queries, however many they are.
    """
    past = earlier_usage([draft.ended.period for draft in drafts if draft.ended])
    ahead = billed_ahead([draft.ended for draft in drafts if draft.ended])
    subscriptions = {draft.subscription.pk: draft.subscription for draft in drafts}.values()
    spending, unused = Spending(subscriptions), UnusedFees(subscriptions)
    found = []
    for draft in drafts:
        ended = draft.ended.period if draft.ended else None
        composed = compose(
            subscription=draft.subscription,
            ended=draft.ended,
            starting=draft.starting,
            snapshots=draft.snapshots,
            past=past[period_key(ended)] if ended else {},
            ahead=ahead.get(ended.pk, ZERO) if ended else ZERO,
            tax=draft.tax,
            coupons=spending.held(
                draft.subscription, day=draft.day, currency=draft.currency, replaces=draft.replaces
            ),
            unused=unused.of(draft.subscription, day=draft.day, replaces=draft.replaces),
        )
        unused.record(composed.lines, replaces=draft.replaces)
        spending.record(draft.subscription, composed.allowances, replaces=draft.replaces)
        found.append(composed)
    return found


def billed_ahead(served: Iterable[Served]) -> dict[int, Decimal]:
    """Return, by period, what invoices before the one that closes it charge for it: its fee.

    Of periods under a plan with a minimum commitment, which it counts towards (R16).
    """
    committed = [
        one.period.pk for one in served if one.period.pk and one.offer.version.minimum_commitment
    ]
    if not committed:
        return {}
    closes_it = PeriodCharge.objects.filter(
        invoice=OuterRef("invoice"), period=OuterRef("period")
    ).exclude(purpose=Purpose.OPENING)
    lines = InvoiceLine.objects.filter(~Exists(closes_it), period__in=committed).exclude(
        invoice__status__in=[InvoiceStatus.VOID, InvoiceStatus.DISCARDED]
    )
    sums = lines.order_by().values("period").annotate(net=ExactSum("net"))
    return dict(sums.values_list("period", "net"))


def write_drafts(drafts: Sequence[tuple[Draft, Composed]], *, run_id: int | None) -> list[Invoice]:
    """Save an invoice per draft that has a line (R30), with all its parts and its period's charge.

    The drafts' periods and snapshots are saved already.
    """
    written = [(draft, composed) for draft, composed in drafts if composed.lines]
    invoices = Invoice.objects.bulk_create(
        draft.invoice(composed, run_id=run_id) for draft, composed in written
    )
    attach(list(zip(invoices, (composed for _, composed in written), strict=True)))
    PeriodCharge.objects.bulk_create(
        PeriodCharge(
            subscription=draft.subscription,
            period=draft.period,
            purpose=draft.purpose,
            invoice=invoice,
        )
        for invoice, (draft, _) in zip(invoices, written, strict=True)
    )
    return invoices


def attach(composed: Sequence[tuple[Invoice, Composed]]) -> None:
    """Save the lines, allowances and taxes of invoices that have none."""
    for invoice, parts in composed:
        for part in chain[InvoiceLine | InvoiceAllowance | TaxSubtotal](
            parts.lines, parts.allowances, parts.taxes
        ):
            part.invoice = invoice
    InvoiceLine.objects.bulk_create(chain.from_iterable(parts.lines for _, parts in composed))
    allowances = chain.from_iterable(parts.allowances for _, parts in composed)
    InvoiceAllowance.objects.bulk_create(allowances)
    TaxSubtotal.objects.bulk_create(chain.from_iterable(parts.taxes for _, parts in composed))
