"""Drafts: what an invoice will charge, composed from rows and written in bulk."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import chain

from django.db.models import Exists, F, OuterRef, Q, QuerySet

from billing.add_ons import Sales, claim
from billing.calculation import Taxed, add_up
from billing.changed_fees import change_charges, charging_invoices, lasting, let_wait
from billing.composition import Composed, compose, compose_one_off
from billing.consolidation import Common, charged, filling_of, section, together
from billing.coupons import Spending
from billing.history import earlier_usage, period_key
from billing.late_usage.finding import Late
from billing.likeness import likeness
from billing.models import (
    BillingPeriod,
    Invoice,
    InvoiceAllowance,
    InvoiceLine,
    LineKind,
    PeriodCharge,
    Purpose,
    SoldAddOn,
    TaxSubtotal,
    UsageSnapshot,
)
from billing.models.invoices import PRICED, UNDONE
from billing.offers import Served
from billing.parties import buyer_of, payer_of, seller_of
from billing.rates import Taxation
from billing.unused import UnusedFees
from catalog.clocks import clocks
from catalog.models import Proration, Timing
from catalog.money import EXACT, ZERO
from config.base import audit
from config.base.audit import SYSTEM
from config.base.fields import ExactSum
from config.base.models import AuditEntry
from config.base.rows import insert_rows, update_rows
from customers.models import Issuer, Subscription
from customers.periods import local_date, zone
from customers.terms import prices_include_tax

CLOSES = (Purpose.REGULAR, Purpose.FINAL)
JOINED = (
    "net_total",
    "tax_total",
    "total",
    "likeness",
    "credited_beside",
    "sections",
    "auto_issue_at",
)


@dataclass(frozen=True)
class Draft:
    """An invoice to be: why, the period that ended with what was measured, the one that starts."""

    subscription: Subscription
    purpose: Purpose
    ended: Sequence[Served]
    """The parts of the period that ended, in order; more than one where the plan changed."""
    starting: Served | None
    issuer: Issuer
    taxation: Taxation
    replaces: int | None = None
    """The open invoice that is drawn anew."""
    one_off: Sequence[SoldAddOn] = ()
    """The add-ons that are all it charges (R33); then it charges no period."""
    drawn_at: datetime | None = None
    """When it was decided to charge just these, and so when it may be issued."""
    late: Sequence[Late] = ()
    """What came after earlier closes; charged beside the rest, or on its own (R31)."""
    group: str = ""
    """Drafts of the same group share an invoice (R37); empty: it has one to itself."""
    fees: Sequence[Served] = ()
    """Periods whose advance fee is charged beside the rest, or on its own, since their plan changed (R20)."""

    @property
    def periods(self) -> list[BillingPeriod]:
        """The periods it charges (R33): the parts of the one that ended, or at an opening the first.

        None where late usage or a change of plan is all that it charges.
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
        if self.purpose == Purpose.CHANGE:
            return self.fees[-1]
        return self.starting or self.ended[-1]

    @property
    def day(self) -> date:
        """The first day after what it charges in arrears, which is that of what is in advance.

        Of late usage alone it is the one on which service ended: so it credits what has waited since.
        """
        if self.purpose == Purpose.LATE and self.subscription.ends_on:
            return self.subscription.ends_on
        if self.starting:
            return self.starting.period.start_date
        if self.purpose == Purpose.CHANGE:
            return self._served.period.start_date
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
            likeness=likeness(composed.lines),
            prices_include_tax=composed.include_tax,
            seller=seller_of(self.issuer),
            buyer=buyer_of(payer),
            net_total=composed.totals.net,
            tax_total=composed.totals.tax,
            total=composed.totals.total,
            credited_beside=credited_beside(composed.leaving),
            auto_issue_at=self.auto_issue_at,
        )

    @property
    def section(self) -> dict[str, str]:
        """How an invoice that it shares names its subscription."""
        return section(self.subscription, self._served.offer.version.plan.name)

    @property
    def common(self) -> Common:
        """What drafts need to have in common with it to share its invoice (R37)."""
        issued_at = self.auto_issue_at
        return Common(
            payer_id=payer_of(self.subscription).pk,
            issuer_id=self.issuer.pk,
            currency=self.currency,
            tax_treatment=":".join([*self.taxation.treatment[:2], *self._priced]),
            day=self.day,
            issued_on=issued_at and local_date(issued_at, zone(self.issuer.time_zone)),
        )

    @property
    def _priced(self) -> list[str]:
        return ["gross"] if prices_include_tax(self.subscription) else []

    @property
    def auto_issue_at(self) -> datetime | None:
        """When it is issued by itself; None if a person does (R26)."""
        plan = None if self.one_off else self._served.offer.version.plan
        wait = clocks([payer_of(self.subscription), plan, self.issuer]).issue
        if wait is None:
            return None
        if self.one_off or self.purpose == Purpose.CHANGE:
            return self.drawn_at
        if self.purpose == Purpose.LATE:
            return self.late[-1].snapshot.taken_at + wait
        [first, *_] = self.periods
        could_close = first.usage_cutoff if self.ended else first.starts_at
        return could_close + wait


def compose_all(
    drafts: Sequence[Draft], *, open_groups: Mapping[str, Invoice] | None = None
) -> list[Composed]:
    """Compose the lines of drafts, each with its past and the coupons that those before it left.

    What is credited is borne by all that shares an invoice, also by what an open one of its group
    charges already; load its `taxes`. In a constant number of queries, however many they are.
    """
    sales = Sales(
        subscriptions=[draft.subscription.pk for draft in drafts if draft.replaces is None],
        redrawn=[draft.replaces for draft in drafts if draft.replaces is not None],
    )
    past = earlier_usage([draft.ended[0].period for draft in drafts if draft.ended])
    ahead = billed_ahead([part for draft in drafts for part in draft.ended])
    subscriptions = {draft.subscription.pk: draft.subscription for draft in drafts}.values()
    first_parts = [draft.ended[0] for draft in drafts if draft.ended]
    parts = [part for draft in drafts for part in draft.ended]
    due, until = due_fees(parts), billed_until(parts)
    units = billed_units(first_parts)
    spending, unused = Spending(subscriptions), UnusedFees(subscriptions)
    beside: dict[str, list[Taxed]] = defaultdict(list)
    for group, invoice in (open_groups or {}).items():
        beside[group] += charged(invoice.taxes.all(), include_tax=invoice.prices_include_tax)
    found: dict[int, Composed] = {}
    for draft in _in_turn(
        drafts, credits=lambda draft: bool(draft.late) or unused.any_of(draft.subscription)
    ):
        if draft.one_off:
            found[id(draft)] = compose_one_off(
                subscription=draft.subscription, add_ons=draft.one_off, taxation=draft.taxation
            )
            continue
        composed = compose(
            subscription=draft.subscription,
            ended=[
                part._replace(
                    fee_is_due=part.period.pk in due,
                    billed_units=units.get(part.period.pk, {}),
                    billed_until=until.get(part.period.pk, {}),
                )
                for part in draft.ended
            ],
            starting=draft.starting,
            fees=draft.fees,
            past=past[period_key(draft.ended[0].period)] if draft.ended else {},
            ahead=ahead,
            taxation=draft.taxation,
            currency=draft.currency,
            late=[(line, tax) for late in draft.late for line, tax in late.to_bill],
            coupons=spending.held(
                draft.subscription, day=draft.day, currency=draft.currency, replaces=draft.replaces
            ),
            unused=unused.of(draft.subscription, day=draft.day, replaces=draft.replaces),
            add_ons=sales.of_invoice(draft.replaces, draft.subscription.pk)
            if draft.replaces is not None
            else sales.take(draft.subscription.pk, draft.currency),
            beside=beside[draft.group] if draft.group else (),
        )
        unused.record(composed.every, replaces=draft.replaces)
        spending.record(draft.subscription, composed.allowances, replaces=draft.replaces)
        if draft.group:
            beside[draft.group] += charged(composed.taxes, include_tax=composed.include_tax)
        found[id(draft)] = composed
    return [found[id(draft)] for draft in drafts]


def _in_turn(drafts: Sequence[Draft], *, credits: Callable[[Draft], bool]) -> Sequence[Draft]:
    """Put what shares an invoice in a row, with what may credit something last."""
    if not any(draft.group for draft in drafts):
        return drafts
    rows: dict[str | int, list[Draft]] = defaultdict(list)
    for number, draft in enumerate(drafts):
        rows[draft.group or number].append(draft)
    return [draft for row in rows.values() for draft in sorted(row, key=credits)]


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
    sums = _billed_before(committed).order_by().values("period").annotate(charged=ExactSum(PRICED))
    found: dict[int, Decimal] = dict(sums.values_list("period", "charged"))
    for pk, priced in _billed_since(committed):
        found[pk] = EXACT.add(found.get(pk, ZERO), priced)
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
    closed_by = dict(closing.filter(purpose__in=CLOSES).values_list("period_id", "invoice_id"))
    lines = InvoiceLine.every.exclude(invoice__status__in=UNDONE).exclude(kind=LineKind.COMMITMENT)
    sums = (
        lines.filter(subscription__in=spanning, period__start_date__gte=first)
        .order_by()
        .values("subscription_id", "period__start_date", "invoice_id")
        .annotate(charged=ExactSum(PRICED))
    )
    for row in sums:
        for pk, since, start in spanning[row["subscription_id"]]:
            is_earlier = since <= row["period__start_date"] < start
            if is_earlier and row["invoice_id"] != closed_by.get(pk):
                yield pk, row["charged"]


def due_fees(parts: Sequence[Served]) -> set[int]:
    """Return the periods whose advance fee is due at their close, since no invoice charges it."""
    waiting = {one.period.pk for one in parts if one.fee_is_due}
    return waiting.difference(charging_invoices(waiting)) | begun_with_a_change(parts)


def begun_with_a_change(served: Iterable[Served]) -> set[int]:
    """Return the periods whose advance fee no invoice before the one that closes them ever charged.

    That is so where the plan changed, or service was resumed, on a period's first day, after what
    is in advance was billed: their fee is due at their end, like that of a part (R20). What was
    charged and credited since, before the plan came back, is charged anew.
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
    billed = lasting(_not_by_its_close(begun)).filter(
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
    lines = lasting(_billed_before(changed)).filter(
        kind=LineKind.FEE, price__timing=Timing.ADVANCE, service_start=F("period__start_date")
    )
    for period, key, quantity in lines.values_list("period", "price__key", "quantity"):
        found[period][key] = quantity
    return found


def billed_until(served: Iterable[Served]) -> dict[int, dict[str, date]]:
    """Return, by period and price, until when advance fees were billed that end before what they are for.

    That is so where a draft was issued that charged until a change or an end which was taken back
    since: the rest is due at the period's end.
    """
    ended = {one.period.pk: one for one in served if one.period.pk}
    found: dict[int, dict[str, date]] = defaultdict(dict)
    lines = lasting(_billed_before(ended)).filter(
        Q(service_end__lt=F("period__end_date")) | ~Q(price__interval=""),
        kind=LineKind.FEE,
        price__timing=Timing.ADVANCE,
        price__proration=Proration.DAYS,
        price__version=F("period__phase__plan_version"),
    )
    for period, key, until in lines.order_by("service_end").values_list(
        "period", "price__key", "service_end"
    ):
        found[period][key] = until
    return found


def _billed_before(periods: Iterable[int]) -> QuerySet[InvoiceLine]:
    """Return the lines of these periods on live invoices, without those of the one that closes each."""
    return _not_by_its_close(periods).exclude(invoice__status__in=UNDONE)


def _not_by_its_close(periods: Iterable[int]) -> QuerySet[InvoiceLine]:
    closes_it = PeriodCharge.objects.filter(
        invoice=OuterRef("invoice"), period=OuterRef("period"), purpose__in=CLOSES
    )
    return InvoiceLine.every.filter(~Exists(closes_it), period__in=list(periods))


def write_drafts(
    drafts: Sequence[tuple[Draft, Composed]],
    *,
    run_id: int | None,
    open_groups: Mapping[str, Invoice] | None = None,
) -> list[Invoice]:
    """Save an invoice per draft or group that has a line (R30), with all its parts and claims.

    Also one that has none but credits which leave it: it is settled by their credit notes (R32a).

    What belongs to the group of an open invoice joins that. The drafts' periods and snapshots are
    saved already. Returns the invoices that were written or joined.
    """
    written = [(draft, composed) for draft, composed in drafts if composed.every]
    sharing = by_invoice(written)
    open_ = open_groups or {}
    joining = [(open_[some[0][0].group], some) for some in sharing if some[0][0].group in open_]
    fresh = [some for some in sharing if some[0][0].group not in open_]
    composed = [together([one for _, one in some]) for some in fresh]
    invoices = insert_rows(
        _invoice(some, whole, run_id=run_id) for some, whole in zip(fresh, composed, strict=True)
    )
    attach(list(zip(invoices, composed, strict=True)))
    if joining:
        _join(joining)
    paired = [*zip(invoices, fresh, strict=True), *joining]
    charges = [
        PeriodCharge(
            subscription=draft.subscription,
            period=period,
            purpose=draft.purpose,
            invoice=invoice,
        )
        for invoice, some in paired
        for draft, _ in some
        for period in draft.periods
    ]
    charges += change_charges(
        (invoice, draft.fees) for invoice, some in paired for draft, _ in some
    )
    charges += [
        charge
        for invoice, some in paired
        for draft, composed in some
        for charge in late_charges(invoice, draft.late, composed.every)
    ]
    insert_rows(charges, keyed=False)
    let_wait((one.period.pk for draft, _ in written for one in draft.fees), is_due=False)
    return [invoice for invoice, _ in paired]


def by_invoice(written: Iterable[tuple[Draft, Composed]]) -> list[list[tuple[Draft, Composed]]]:
    """Tell apart by invoice what is charged; on each, one customer comes after the other (R37)."""
    found: dict[str | int, list[tuple[Draft, Composed]]] = defaultdict(list)
    for number, (draft, composed) in enumerate(written):
        found[draft.group or number].append((draft, composed))
    return [sorted(some, key=_place) for some in found.values()]


def _place(one: tuple[Draft, Composed]) -> tuple[int, int]:
    subscription = one[0].subscription
    return subscription.customer_id, subscription.pk


def _invoice(
    some: Sequence[tuple[Draft, Composed]], whole: Composed, *, run_id: int | None
) -> Invoice:
    """Return the unsaved invoice over drafts that share it; others of their group may join it."""
    draft, _ = some[0]
    invoice = draft.invoice(whole, run_id=run_id)
    if draft.group:
        invoice.group_key = draft.group
        invoice.sections = [one.section for one, _ in some]
        invoice.auto_issue_at = _last_issue(one for one, _ in some)
    return invoice


def _last_issue(drafts: Iterable[Draft]) -> datetime | None:
    """Return when the last of drafts of one group would be issued; None if a person does."""
    return max((at for draft in drafts if (at := draft.auto_issue_at) is not None), default=None)


def _join(joining: Sequence[tuple[Invoice, Sequence[tuple[Draft, Composed]]]]) -> None:
    """Add drafts to the open invoices of their groups, which are loaded with their parts."""
    parts, entries = [], []
    for invoice, some in joining:
        before = audit.state(invoice)
        whole = together([composed for _, composed in some], after=filling_of(invoice))
        invoice.net_total, invoice.tax_total = whole.totals.net, whole.totals.tax
        invoice.total = whole.totals.total
        beside = EXACT.add(invoice.credited_beside, credited_beside(whole.leaving))
        invoice.credited_beside = beside
        invoice.likeness = likeness([*invoice.lines.all(), *whole.lines])
        invoice.sections = [*invoice.sections, *(draft.section for draft, _ in some)]
        if invoice.auto_issue_at:
            last = _last_issue(draft for draft, _ in some)
            invoice.auto_issue_at = max(invoice.auto_issue_at, last or invoice.auto_issue_at)
        parts.append((invoice, whole))
        entries.append(
            audit.entry(
                actor=SYSTEM,
                action="joined by another subscription",
                subject=invoice,
                changes=audit.changes(before, audit.state(invoice)),
                note=", ".join(draft.subscription.key for draft, _ in some),
            )
        )
    update_rows([invoice for invoice, _ in parts], JOINED)
    TaxSubtotal.objects.filter(invoice__in=[invoice for invoice, _ in parts]).delete()
    attach(parts)
    AuditEntry.objects.bulk_create(entries)


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


def credited_beside(leaving: Iterable[InvoiceLine]) -> Decimal:
    """Return what credits that leave an invoice come to, before tax; more than 0."""
    return EXACT.minus(add_up(line.net for line in leaving))


def attach(composed: Sequence[tuple[Invoice, Composed]]) -> None:
    """Save the lines, allowances and taxes of invoices that have none."""
    for invoice, parts in composed:
        for part in chain[InvoiceLine | InvoiceAllowance | TaxSubtotal](
            parts.every, parts.allowances, parts.taxes
        ):
            part.invoice = invoice
    claim(line for _, parts in composed for line in parts.lines)
    insert_rows(chain.from_iterable(parts.every for _, parts in composed))
    allowances = chain.from_iterable(parts.allowances for _, parts in composed)
    insert_rows(allowances)
    insert_rows(chain.from_iterable(parts.taxes for _, parts in composed), keyed=False)
