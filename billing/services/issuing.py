"""Issuing, holding back, redrawing, discarding and voiding invoices (R25–R28, R32, R33)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import chain
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Coalesce

from billing.add_ons import give_back
from billing.beside import carriers_of
from billing.calculation import Tax
from billing.changed_fees import (
    change_charges,
    charging_invoices,
    claimed_fees,
    let_wait,
    waiting_fees,
)
from billing.chunk import Chunk
from billing.composition import Composed
from billing.consolidation import together
from billing.drafting import (
    Draft,
    attach,
    by_invoice,
    compose_all,
    late_charges,
    write_drafts,
)
from billing.electronic.demands import check_complete
from billing.exchange import keep_tax_in_books
from billing.history import earlier_usage, period_key
from billing.late_usage.finding import Late, find_late, policy, told
from billing.late_usage.settled import settling
from billing.models import (
    BillingPeriod,
    DeliveryStatus,
    Invoice,
    InvoiceAllowance,
    InvoiceLine,
    InvoiceStatus,
    LineKind,
    PeriodCharge,
    PeriodStatus,
    Purpose,
    SoldAddOn,
    Unsent,
    UsageSnapshot,
)
from billing.models.invoices import TEMPLATE_VERSION, UNDONE
from billing.offers import Served
from billing.parties import buyer_of, payer_of, seller_of
from billing.rates import Taxation, taxations
from billing.services import numbering
from billing.services.beside import issue_beside, lock_credited
from billing.services.closing import Measured, change_draft, draft_of
from billing.services.guarding import hold_unusual
from billing.services.lateness import Settlement, late_draft, release_late, waive_late
from billing.services.numbering import NumberBlock
from billing.services.one_offs import one_off_draft, sold_alone
from billing.services.sending import call_off, send_at_issue
from billing.services.settling import close_item, open_items
from billing.usage import latest_snapshots, read_snapshots, same_usage
from catalog.money import plain
from config.base import audit
from config.base.audit import Actor
from config.base.errors import Fault, Invalid, Refusal
from config.base.rows import update_rows
from config.base.services import outbox
from customers.models import Issuer, Subscription
from customers.periods import local_date, zone
from customers.services.locking import lock_customers_of

RENDER = "invoice.render"
KIND = "INV"
REDRAWN = (
    "issuer",
    "customer",
    "seller",
    "buyer",
    "net_total",
    "tax_total",
    "total",
    "likeness",
    "credited_beside",
)
FROZEN = [
    "status",
    "reason",
    "series",
    "year",
    "sequence",
    "number",
    "seller",
    "buyer",
    "issued_at",
    "issue_date",
    "due_date",
    "template_version",
    "tax_in_books",
]


class InvoiceNotDraft(Refusal):
    """The invoice was issued, voided or discarded before."""

    code = "invoice_not_draft"


class InvoiceNotIssued(Refusal):
    """Only an issued invoice can be voided."""

    code = "invoice_not_issued"


class DraftOutdated(Refusal):
    """The draft was taxed by what its buyer or seller no longer is."""

    code = "draft_outdated"


class VatIdMissing(Refusal):
    """A reverse charge names both VAT IDs, and one of them is missing."""

    code = "vat_id_missing"


class InvoiceCredited(Refusal):
    """A credit note, or another invoice, credits some of it (R32)."""

    code = "invoice_credited"


class InvoiceRecast(Refusal):
    """A change of plan since is settled as a difference to the invoice (R20)."""

    code = "invoice_recast"


class InvoiceSent(Refusal):
    """The customer has the invoice, or may have it (R32)."""

    code = "invoice_sent"


class TaxPeriodOver(Refusal):
    """The invoice belongs to a month whose tax may be declared already (R32)."""

    code = "tax_period_over"


class Redraft(NamedTuple):
    """An open invoice, what it would be if drawn now, and the metrics that measure otherwise.

    A draft for each subscription that shares it, in their order.
    """

    invoice: Invoice
    drafts: list[Draft]
    changed: list[UsageSnapshot]


@transaction.atomic
def issue_invoices(*, invoice_ids: Sequence[int], as_of: datetime, actor: Actor) -> list[Invoice]:
    """Number open invoices, in order of their making, and freeze them (R27, R28).

    The issue date is that of `as_of` where the issuer is, or the last of its series if later, so
    that numbers and dates rise together. Their documents are made after the commit. What leaves one
    because it would be below zero is given by credit notes; one over nothing else is settled by
    these, without a number (R32a).

    :raises InvoiceNotDraft: if one is issued, void or discarded; then none is issued.
    :raises DraftOutdated: if the tax of one is no longer that of its parties; then none is issued.
    :raises VatIdMissing: if a reverse charge can't name both parties' VAT IDs; then none is issued.
    :raises ElectronicInvoiceIncomplete: if one can't be written as XML; then none is issued.
    :raises ExchangeRateMissing: if tax can't be told in an issuer's currency; then none is issued.
    :raises CreditOutdated: if what one credits was undone since; then none is issued.
    """
    drafts = _locked(invoice_ids)
    for invoice in drafts:
        check_open(invoice)
        invoice.reason = ""  # of its review, which is over
    carriers = carriers_of(drafts)
    settled = _over_credits_alone(drafts)
    invoices = [one for one in drafts if one.pk not in settled]
    by_issuer = _by_issuer(invoices)
    issuers = Issuer.objects.in_bulk({one.issuer_id for one in drafts})
    _check_taxes(invoices, issuers)
    check_complete(invoices, issuers)
    if carriers:
        numbering.lock_counters({*issuers.values(), *lock_credited(carriers)})
    for issuer_id in sorted(by_issuer):
        _number(issuers[issuer_id], by_issuer[issuer_id], as_of=as_of)
    for carrier in carriers:
        carrier.invoice.issuer = issuers[carrier.invoice.issuer_id]
        issue_beside(carrier, at=as_of, actor=actor)
    keep_tax_in_books(invoices, issuers)
    update_rows(invoices, FROZEN)
    open_items(invoices)
    payloads = {str(invoice.uuid): {"id": invoice.pk} for invoice in invoices}
    outbox.put_all(kind=RENDER, payloads=payloads, due_at=as_of)
    send_at_issue(invoices, issuers, at=as_of)
    audit.record_all(actor=actor, action="issued", subjects=invoices)
    _settle([one for one in drafts if one.pk in settled], at=as_of, actor=actor)
    return drafts


def _over_credits_alone(drafts: Iterable[Invoice]) -> set[int]:
    """Return the ids of those that are over nothing but credits that leave them."""
    ids = {one.pk for one in drafts if one.credited_beside}
    if not ids:
        return ids
    charging = InvoiceLine.objects.filter(invoice__in=ids).order_by()
    return ids.difference(charging.values_list("invoice", flat=True).distinct())


def _settle(drafts: Sequence[Invoice], *, at: datetime, actor: Actor) -> None:
    """Note of drafts that charge nothing that credit notes settled them."""
    if drafts:
        for draft in drafts:
            draft.status, draft.issued_at = InvoiceStatus.SETTLED, at
        update_rows(drafts, ["status", "issued_at", "reason"])
        audit.record_all(actor=actor, action="settled by credit notes", subjects=drafts)


def numbers_ahead(invoices: Iterable[Invoice], *, as_of: datetime) -> list[NumberBlock]:
    """Return the numbers and dates these invoices would be issued with, per issuer; spend none."""
    invoices = list(invoices)
    settled = _over_credits_alone(invoices)
    by_issuer = _by_issuer(one for one in invoices if one.pk not in settled)
    issuers = Issuer.objects.in_bulk(by_issuer)
    sizes = {issuers[pk]: len(by_issuer[pk]) for pk in sorted(by_issuer)}
    return numbering.numbers_ahead(sizes, kind=KIND, as_of=as_of)


@transaction.atomic
def hold_for_review(*, invoice_id: int, actor: Actor, reason: str = "") -> Invoice:
    """Keep a draft from being issued by itself, until a person issues it; the reason stands on it.

    :raises InvoiceNotDraft: if it is no draft.
    """
    [invoice] = _locked([invoice_id])
    check_draft(invoice)
    invoice.status, invoice.reason = InvoiceStatus.REVIEW, reason
    invoice.save(update_fields=["status", "reason"])
    audit.record(actor=actor, action="held for review", subject=invoice, note=reason)
    return invoice


@transaction.atomic
def return_to_draft(*, invoice_id: int, actor: Actor) -> Invoice:
    """Let an invoice in review be issued by itself again; nobody joins what a person looked at.

    :raises InvoiceNotDraft: if it is not in review.
    """
    [invoice] = _locked([invoice_id])
    check_in_review(invoice)
    invoice.status, invoice.reason, invoice.group_key = InvoiceStatus.DRAFT, "", ""
    invoice.save(update_fields=["status", "reason", "group_key"])
    audit.record(actor=actor, action="returned to draft", subject=invoice)
    return invoice


@transaction.atomic
def recalculate_invoices(
    *, invoice_ids: Sequence[int], at: datetime, actor: Actor, only_if_changed: bool = False
) -> list[Invoice]:
    """Measure the periods of open invoices again and redraw their lines (R26).

    Writes the next snapshot revision; nothing is lost of the earlier ones. With
    `only_if_changed`, an invoice stays as it is if its usage, past, parties, tax and coupons do.
    One over nothing but a change of plan that was taken back is discarded. Returns those that were
    redrawn.

    :raises InvoiceNotDraft: if one is issued, void or discarded.
    """
    _lock_subscriptions(invoice_ids)
    invoices = _locked(invoice_ids)
    for invoice in invoices:
        check_open(invoice)
    redrawn = []
    subscriptions: set[int] = set()  # an invoice that comes after one of these has another past now
    redrafts = _redrafted(invoices, at=at)
    telling_otherwise = _with_another_past(redrafts)
    taxes: dict[int, set[tuple[Any, ...]]] = defaultdict(set)
    for invoice_id, *tax in _own_taxes(invoices):
        taxes[invoice_id].add(tuple(tax))
    allowances = _by_invoice(
        InvoiceAllowance.objects.filter(invoice__in=invoices),
        "applied",
        Coalesce("gross", "amount"),
    )
    late_before = _late_lines(invoices)
    for invoice, drafts, changed in redrafts:
        theirs = {draft.subscription.pk for draft in drafts}
        past_changed = invoice.pk in telling_otherwise or theirs & subscriptions
        if only_if_changed and not (
            changed
            or past_changed
            or _outdated(invoice, drafts, taxes[invoice.pk])
            or _reduced_otherwise(drafts, allowances[invoice.pk])
            or _late_otherwise(drafts, late_before.get(invoice.pk, []))
        ):
            continue
        if drawn := _redraw(invoice, drafts, at=at, actor=actor):
            redrawn += drawn
            subscriptions |= theirs
    _discard_taken_back(invoices, redrafts, at=at, actor=actor)
    hold_unusual(redrawn)
    return redrawn


def _discard_taken_back(
    invoices: Iterable[Invoice], redrafts: Iterable[Redraft], *, at: datetime, actor: Actor
) -> None:
    """Discard invoices over a change of plan alone that was taken back the same day (R30)."""
    without = {one.pk for one in invoices} - {one.invoice.pk for one in redrafts}
    if not without:
        return
    changes = PeriodCharge.objects.filter(purpose=Purpose.CHANGE, is_live=True, invoice__in=without)
    for pk in sorted(set(changes.values_list("invoice", flat=True))):
        reason = "The plan changed back, so that nothing is left to charge."
        discard_invoice(invoice_id=pk, reason=reason, reopen=False, at=at, actor=actor)


def redrawing(invoices: Sequence[Invoice], *, at: datetime) -> list[tuple[Invoice, Composed]]:
    """Return what recalculating these open invoices now would make of them; save nothing."""
    redrafts = _redrafted(invoices, at=at)
    composed = iter(compose_all([draft for _, drafts, _ in redrafts for draft in drafts]))
    found = []
    for invoice, drafts, _ in redrafts:
        staying, _ = _parted(invoice, [(draft, next(composed)) for draft in drafts])
        found.append((invoice, together([one for _, one in staying])))
    return found


@transaction.atomic
def discard_invoice(
    *, invoice_id: int, reason: str, reopen: bool, at: datetime, actor: Actor
) -> Invoice:
    """Throw an open invoice away: its period is billed anew by the next run, or waived (R33).

    :raises InvoiceNotDraft: if it is issued, void or discarded already.
    :raises Invalid: without a reason.
    """
    [invoice] = _locked([invoice_id])
    check_open(invoice)
    _check_reason(reason)
    invoice.status, invoice.discarded_at, invoice.reason = InvoiceStatus.DISCARDED, at, reason
    invoice.save(update_fields=["status", "discarded_at", "reason"])
    release_claims(invoice, reopen=reopen, at=at, actor=actor)
    audit.record(
        actor=actor,
        action="discarded, to be billed anew" if reopen else "discarded and waived",
        subject=invoice,
        changes={"total": [f"{invoice.total:f}", None]},
        note=reason,
    )
    return invoice


@transaction.atomic
def void_invoice(
    *, invoice_id: int, reason: str, reopen: bool, at: datetime, actor: Actor
) -> Invoice:
    """Declare an issued invoice void; it keeps its number, and its period is billed anew or waived.

    :raises InvoiceNotIssued: if it is not issued.
    :raises InvoiceCredited: if a credit note, or another invoice, credits some of it.
    :raises InvoiceRecast: if a plan was changed from a day that it bills.
    :raises InvoiceSent: if it was sent by e-mail.
    :raises InvoiceSettled: if anything was paid or written off of it since it was issued.
    :raises TaxPeriodOver: after the month of its issue date, where the issuer is (R32).
    :raises Invalid: without a reason.
    """
    [invoice] = _locked([invoice_id])
    check_voidable(invoice, at=at)
    _check_reason(reason)
    today = local_date(at, zone(invoice.seller["time_zone"]))
    close_item(invoice, on=today, actor=actor)
    invoice.status, invoice.voided_at, invoice.reason = InvoiceStatus.VOID, at, reason
    invoice.save(update_fields=["status", "voided_at", "reason"])
    call_off(invoice, why=Unsent.VOID, at=at)
    release_claims(invoice, reopen=reopen, at=at, actor=actor)
    audit.record(
        actor=actor,
        action="voided, to be billed anew" if reopen else "voided and waived",
        subject=invoice,
        changes={"total": [f"{invoice.total:f}", None]},
        note=reason,
    )
    return invoice


def check_open(invoice: Invoice) -> None:
    """Refuse what can't be issued, redrawn or discarded any more.

    :raises InvoiceNotDraft: if it is issued, void or discarded.
    """
    if not invoice.is_open:
        raise InvoiceNotDraft(f"{invoice} is {invoice.get_status_display().lower()} already.")


def check_draft(invoice: Invoice) -> None:
    """:raises InvoiceNotDraft: if it is anything but a draft."""
    if invoice.status != InvoiceStatus.DRAFT:
        raise InvoiceNotDraft(f"{invoice} is {invoice.get_status_display().lower()}, not a draft.")


def check_in_review(invoice: Invoice) -> None:
    """:raises InvoiceNotDraft: if it is anything but in review."""
    if invoice.status != InvoiceStatus.REVIEW:
        raise InvoiceNotDraft(
            f"{invoice} is {invoice.get_status_display().lower()}, not in review."
        )


def check_voidable(invoice: Invoice, *, at: datetime) -> None:
    """Refuse to void what is not issued, was sent, or was issued in another month where the issuer is (R32).

    :raises InvoiceNotIssued: if it is not issued.
    :raises InvoiceSent: if it was sent by e-mail.
    :raises InvoiceCredited: if a credit note, or another invoice, credits some of it.
    :raises InvoiceRecast: if a plan was changed from a day that it bills.
    :raises TaxPeriodOver: after the month of its issue date.
    """
    if invoice.status != InvoiceStatus.ISSUED:
        raise InvoiceNotIssued(f"{invoice} is not issued: only issued invoices can be voided.")
    if sent := invoice.deliveries.with_the_server().order_by("pk").first():
        done = "was sent" if sent.status == DeliveryStatus.SENT else "may have been sent"
        raise InvoiceSent(
            f"{invoice} {done} to {sent.address} on {sent.begun_at:%-d %B %Y}: correct it with a "
            "credit note."
        )
    if note := invoice.credit_notes.order_by("pk").first():
        raise InvoiceCredited(
            f"{note} credits some of {invoice}: credit the rest of it too, if nothing is owed."
        )
    check_undoable(invoice)
    today = local_date(at, zone(invoice.seller["time_zone"]))
    assert invoice.issue_date is not None
    if (today.year, today.month) != (invoice.issue_date.year, invoice.issue_date.month):
        raise TaxPeriodOver(
            f"{invoice} was issued in {invoice.issue_date:%B %Y}, whose tax may be declared: "
            "correct it with a credit note."
        )


def check_undoable(invoice: Invoice) -> None:
    """Refuse to let be billed anew what other invoices build on.

    :raises InvoiceCredited: if another invoice credits a fee of it.
    :raises InvoiceRecast: if a plan was changed from a day that it bills.
    """
    crediting = Invoice.objects.filter(lines__credited__invoice=invoice).exclude(status__in=UNDONE)
    if found := crediting.first():
        raise InvoiceCredited(f"“{found}” credits a fee of {invoice}: undo that one first.")
    closed = PeriodCharge.objects.filter(invoice=invoice, is_live=True).exclude(
        purpose__in=[Purpose.LATE, Purpose.CHANGE]
    )
    if closed.filter(period__recast_at__isnull=False).exists():
        raise InvoiceRecast(
            f"The plan was changed from a day that {invoice} bills: what it should have been is "
            "settled on the next invoice."
        )


def usage_since(invoice: Invoice, *, at: datetime) -> list[UsageSnapshot]:
    """Return, for an open invoice, what its metrics measure now where it differs from its lines."""
    return [snapshot for _, _, changed in _redrafted([invoice], at=at) for snapshot in changed]


def _lock_subscriptions(invoice_ids: Sequence[int]) -> None:
    """Keep a close from using what is left of a coupon that a redrawn invoice uses too."""
    billed = PeriodCharge.objects.filter(invoice__in=invoice_ids, is_live=True)
    sold = SoldAddOn.objects.filter(invoice__in=invoice_ids)
    mine = Subscription.objects.filter(
        Q(pk__in=billed.values("subscription")) | Q(pk__in=sold.values("subscription"))
    ).order_by("pk")
    lock_customers_of(mine)
    list(mine.select_for_update().values_list("pk"))


def _locked(invoice_ids: Sequence[int]) -> list[Invoice]:
    found = Invoice.objects.select_for_update(of=("self",)).select_related("customer")
    return list(found.filter(pk__in=invoice_ids).order_by("pk"))


def _check_taxes(invoices: Sequence[Invoice], issuers: Mapping[int, Issuer]) -> None:
    drawn = {invoice.pk: invoice for invoice in invoices}
    found = taxations((issuers[one.issuer_id], one.customer) for one in invoices)
    for invoice_id, *taxed in _own_taxes(invoices):
        invoice = drawn[invoice_id]
        category, rate, _, _ = taxed
        tax = _tax_now(found[invoice.issuer_id, invoice.customer_id], taxed)
        if (category, rate) != (tax.category, tax.rate):
            raise DraftOutdated(
                f"{invoice} was drawn with {category} {plain(rate)} % tax, but "
                f"{tax.category} {plain(tax.rate)} % applies now: recalculate it first."
            )
    for invoice in invoices:
        if lacks := found[invoice.issuer_id, invoice.customer_id].treatment.lacks:
            raise VatIdMissing(lacks)


def _own_taxes(invoices: Iterable[Invoice]) -> Any:
    """Return how what invoices charge is taxed, and what that rests on, by invoice.

    Late lines and credits keep the tax of what they settle (R29).
    """
    lines = InvoiceLine.objects.filter(invoice__in=invoices).exclude(kind=LineKind.CREDIT)
    charged = lines.exclude(pk__in=settling(lines).values("pk")).order_by()
    return charged.values_list(
        "invoice_id", "tax_category", "tax_rate", "rate_category", "service_end"
    ).distinct()


def _tax_now(taxation: Taxation, taxed: Sequence[Any]) -> Tax:
    """Return the tax that a line would bear if it were drawn now."""
    _, _, rate_category, service_end = taxed
    return taxation.on(rate_category, service_end)


def _by_invoice(rows: QuerySet[Any], *columns: str | Coalesce) -> dict[int, set[tuple[Any, ...]]]:
    found: dict[int, set[tuple[Any, ...]]] = defaultdict(set)
    for invoice_id, *values in rows.values_list("invoice_id", *columns):
        found[invoice_id].add(tuple(values))
    return found


def _redraw(
    invoice: Invoice, drafts: Sequence[Draft], *, at: datetime, actor: Actor
) -> list[Invoice]:
    """Draw an open invoice anew; what no longer shares it gets one of its own. None without a line."""
    composed = list(zip(drafts, compose_all(drafts), strict=True))
    if not any(one.every for _, one in composed):
        return []
    settlement = Settlement([(draft.late, one) for draft, one in composed])
    UsageSnapshot.objects.bulk_create(taken for draft in drafts for taken in draft.snapshots)
    settlement.keep_snapshots()
    before = audit.state(invoice)
    InvoiceLine.every.filter(invoice=invoice).delete()
    invoice.allowances.all().delete()
    invoice.taxes.all().delete()
    staying, leaving = _parted(invoice, composed)
    whole = together([one for _, one in staying])
    fresh = staying[0][0].invoice(whole, run_id=invoice.run_id)
    for name in REDRAWN:
        setattr(invoice, name, getattr(fresh, name))
    if invoice.sections:
        invoice.sections = [draft.section for draft, _ in staying]
    if invoice.group_key and invoice.group_key != staying[0][0].common.key:
        invoice.group_key = ""
    invoice.save()
    attach([(invoice, whole)])
    claims = invoice.charges.all()
    gone = [draft.subscription.pk for draft, _ in leaving]
    besides = Q(purpose__in=[Purpose.LATE, Purpose.CHANGE])
    claims.filter(besides | Q(subscription__in=gone)).delete()
    PeriodCharge.objects.bulk_create(
        claim
        for draft, one in staying
        for claim in (
            *change_charges([(invoice, draft.fees)]),
            *late_charges(invoice, draft.late, one.every),
        )
    )
    let_wait((one.period.pk for draft, _ in staying for one in draft.fees), is_due=False)
    apart = write_drafts(leaving, run_id=invoice.run_id)
    settlement.keep_rows(at=at)
    changes = audit.changes(before, audit.state(invoice))
    audit.record(actor=actor, action="recalculated", subject=invoice, changes=changes)
    return [invoice, *apart]


def _parted(
    invoice: Invoice, composed: Sequence[tuple[Draft, Composed]]
) -> tuple[list[tuple[Draft, Composed]], list[tuple[Draft, Composed]]]:
    """Tell apart what stays on an invoice that is drawn anew, and what leaves it (R37).

    Those stay that have its parties still, or else the first that have the same.
    """
    drawn = (invoice.customer_id, invoice.issuer_id)

    def rank(some: Sequence[tuple[Draft, Composed]]) -> tuple[bool, bool]:
        draft, _ = some[0]
        parties = (payer_of(draft.subscription).pk, draft.issuer.pk)
        return not any(one.every for _, one in some), parties != drawn

    staying, *others = sorted(by_invoice(composed), key=rank)
    return staying, [(replace(draft, group=""), one) for some in others for draft, one in some]


def _outdated(invoice: Invoice, drafts: Sequence[Draft], drawn: set[tuple[Any, ...]]) -> bool:
    """Say whether parties or tax changed since the invoice was drawn (R21)."""
    parties = {(draft.issuer.pk, payer_of(draft.subscription).pk) for draft in drafts}
    if parties != {(invoice.issuer_id, invoice.customer_id)}:
        return True
    taxation = drafts[0].taxation  # of the same parties
    return any(_tax_now(taxation, taxed)[:2] != taxed[:2] for taxed in drawn)


def _reduced_otherwise(drafts: Sequence[Draft], drawn: set[tuple[Any, ...]]) -> bool:
    """Say whether coupons take something else off now than when the invoice was drawn."""
    if not drawn and not any(draft.subscription.applied_coupons.all() for draft in drafts):
        return False
    composed = compose_all(drafts)
    return drawn != {(one.applied_id, one.priced) for part in composed for one in part.allowances}


def _with_another_past(redrafts: Sequence[Redraft]) -> set[int]:
    """Return the invoices whose lines tell of earlier periods what is not billed for them now."""
    ended = [
        (invoice.pk, draft.ended)
        for invoice, drafts, _ in redrafts
        for draft in drafts
        if draft.ended
    ]
    past = earlier_usage([parts[0].period for _, parts in ended])
    told = {
        (invoice, period, price): trend[:-1]
        for invoice, period, price, trend in InvoiceLine.objects.filter(
            invoice__in={invoice for invoice, _ in ended}, explanation__has_key="trend"
        ).values_list("invoice_id", "period_id", "price_id", "explanation__trend")
    }
    found = set()
    for invoice, parts in ended:
        earlier = past[period_key(parts[0].period)]
        for part in parts:
            for price in part.offer.metered:
                before = earlier.get(part.offer.past_key(price), ())
                place = (invoice, part.period.pk, price.pk)
                if told.get(place, []) != [one.as_json() for one in before]:
                    found.add(invoice)
    return found


def _check_reason(reason: str) -> None:
    if not reason.strip():
        raise Invalid([Fault(("reason",), "required", "Say why; it stays in the audit trail.")])


def _number(issuer: Issuer, invoices: Sequence[Invoice], *, as_of: datetime) -> None:
    """Spend a block of the issuer's numbers on these invoices and freeze their parties."""
    numbers = numbering.spend_numbers(issuer, kind=KIND, size=len(invoices), as_of=as_of)
    for invoice, number in zip(invoices, numbers, strict=True):
        invoice.status, invoice.kind = InvoiceStatus.ISSUED, KIND
        invoice.series, invoice.year = number.series, number.year
        invoice.sequence, invoice.number = number.sequence, number.text
        invoice.seller, invoice.buyer = seller_of(issuer), buyer_of(invoice.customer)
        invoice.issued_at, invoice.issue_date = as_of, number.issue_date
        invoice.due_date = number.issue_date + timedelta(days=invoice.customer.payment_terms_days)
        invoice.template_version = TEMPLATE_VERSION


def _by_issuer(invoices: Iterable[Invoice]) -> dict[int, list[Invoice]]:
    found: dict[int, list[Invoice]] = defaultdict(list)
    for invoice in invoices:
        found[invoice.issuer_id].append(invoice)
    return found


def _late_lines(invoices: Sequence[Invoice]) -> dict[int, list[InvoiceLine]]:
    """Return what invoices charge of late usage, by invoice."""
    found: dict[int, list[InvoiceLine]] = defaultdict(list)
    for line in settling(InvoiceLine.every.filter(invoice__in=invoices)):
        found[line.invoice_id].append(line)
    return found


def _late_otherwise(drafts: Sequence[Draft], drawn: Sequence[InvoiceLine]) -> bool:
    """Say whether late usage amounts to something else now than when its invoice was drawn."""
    if not drawn and not any(draft.late for draft in drafts):
        return False
    return told(drawn) != told(line for one in compose_all(drafts) for line in one.every)


def release_claims(invoice: Invoice, *, reopen: bool, at: datetime, actor: Actor) -> None:
    """Give up the invoice's claims, and bill what it charged anew or waive it (R33).

    Add-ons that are waived stay with the invoice, so that no other charges them. Late usage is
    found anew for the next invoice, or written off.
    """
    if reopen:
        give_back(invoice.pk)
    charges = list(PeriodCharge.objects.filter(invoice=invoice, is_live=True))
    if reopen:
        release_late(charges)
    else:
        waive_late(invoice, at=at, actor=actor)
    let_wait((one.period_id for one in charges if one.purpose == Purpose.CHANGE), is_due=reopen)
    purposes = {charge.period_id: charge.purpose for charge in charges if _is_of_a_close(charge)}
    for period in BillingPeriod.objects.select_for_update().filter(pk__in=purposes):
        if purposes[period.pk] == Purpose.OPENING:
            period.needs_opening = reopen
        elif reopen:
            period.status, period.closed_at = PeriodStatus.OPEN, None
        else:
            period.status, period.closed_at = PeriodStatus.WAIVED, at
        period.save(update_fields=["status", "closed_at", "needs_opening"])
    PeriodCharge.objects.filter(pk__in=[charge.pk for charge in charges]).update(is_live=False)


def _is_of_a_close(charge: PeriodCharge) -> bool:
    """Whether an invoice claims a period by it that it closes or opens, not just a part of its money."""
    return charge.purpose not in (Purpose.LATE, Purpose.CHANGE)


def _redrafted(invoices: Sequence[Invoice], *, at: datetime) -> list[Redraft]:
    """Draft open invoices again from what is measured now; say which metrics differ.

    Without an invoice over nothing but late usage of which nothing is late any more: the next
    difference takes it back; or a change of plan that was taken back.
    """
    charges: dict[int, list[PeriodCharge]] = defaultdict(list)
    live = PeriodCharge.objects.filter(invoice__in=invoices, is_live=True)
    for charge in live.select_related("period__phase").order_by("period__number"):
        charges[charge.invoice_id].append(charge)
    one_offs = sold_alone(invoice.pk for invoice in invoices if invoice.pk not in charges)
    subscriptions = Subscription.objects.with_terms().filter(
        pk__in=[
            *(charge.subscription_id for charge in chain(*charges.values())),
            *(sold[0].subscription_id for sold in one_offs.values()),
        ]
    )
    chunk = Chunk(list(subscriptions))
    following = _following(charge.period for charge in chain(*charges.values()))
    periods = []
    for charge in chain.from_iterable(charges.values()):
        if _is_of_a_close(charge) and charge.purpose != Purpose.OPENING:
            periods.append(charge.period)
    for period in chain(following.values(), (c.period for c in chain(*charges.values()))):
        period.subscription = chunk.subscriptions[period.subscription_id]
    latest = latest_snapshots(periods)
    read = read_snapshots([chunk.wanted(period) for period in periods], at=at)
    now = {period_key(period): taken for period, taken in zip(periods, read, strict=True)}
    carriers = _carriers(invoices, charges)
    late = _late_now(chunk, invoices, carriers, at=at)
    fees = {(carriers[pk], pk): due for pk, due in waiting_fees(chunk).items() if pk in carriers}
    claims = (one for one in chain(*charges.values()) if one.purpose == Purpose.CHANGE)
    elsewhere = charging_invoices(one.period_id for one in claims)
    found = []
    for invoice in invoices:
        if sold := one_offs.get(invoice.pk):
            draft = one_off_draft(chunk, sold, at=at, replaces=invoice.pk)
            found.append(Redraft(invoice, [draft], []))
            continue
        drafts = []
        for mine in _by_subscription(charges[invoice.pk]):
            place = (invoice.pk, mine[0].subscription_id)
            due = [*claimed_fees(chunk, mine, elsewhere=elsewhere), *fees.get(place, ())]
            again = _redraft_of(chunk, mine, following, now, late.get(place, ()), due, at=at)
            if again:
                drafts.append(replace(again, group=_staying_with(again)))
        if not drafts:
            continue
        changed = [
            snapshot
            for draft in drafts
            for snapshot in draft.snapshots
            if not (before := latest.get((snapshot.period_id, snapshot.metric_id)))
            or not same_usage(snapshot, before)
        ]
        found.append(Redraft(invoice, drafts, changed))
    return found


def _by_subscription(charges: Iterable[PeriodCharge]) -> list[list[PeriodCharge]]:
    """Tell an invoice's claims apart by subscription, one customer after the other."""
    found: dict[tuple[int, int], list[PeriodCharge]] = defaultdict(list)
    for charge in charges:
        customer_id = charge.period.subscription.customer_id
        found[customer_id, charge.subscription_id].append(charge)
    return [found[key] for key in sorted(found)]


def _redraft_of(
    chunk: Chunk,
    charges: Sequence[PeriodCharge],
    following: Mapping[tuple[int, int], BillingPeriod],
    now: Measured,
    late: Sequence[Late],
    fees: Sequence[Served],
    *,
    at: datetime,
) -> Draft | None:
    """Draft again what an open invoice charges for one subscription; None if nothing is late any more."""
    replaces = charges[0].invoice_id
    mine = [charge for charge in charges if _is_of_a_close(charge)]
    if not mine and fees:
        return change_draft(chunk, fees, late, at=at, replaces=replaces)
    if not mine:
        return late_draft(chunk, late, replaces=replaces) if late else None
    parts = [charge.period for charge in mine]
    opening = mine[0].purpose == Purpose.OPENING
    return draft_of(
        chunk,
        Purpose(mine[0].purpose),
        [] if opening else parts,
        parts[0] if opening else following.get(period_key(parts[-1])),
        now,
        replaces=replaces,
        late=late,
        fees=fees,
    )


def _staying_with(draft: Draft) -> str:
    """Name what those have in common that still share an invoice when it is drawn anew."""
    common = draft.common
    shared = (common.payer_id, common.issuer_id, common.currency, common.tax_treatment)
    return " ".join(map(str, (draft.replaces, *shared)))


def _carriers(
    invoices: Sequence[Invoice], charges: Mapping[int, Sequence[PeriodCharge]]
) -> dict[int, int]:
    """Return the open invoice of each subscription that carries what is settled besides: its oldest."""
    carriers: dict[int, int] = {}
    for invoice in invoices:
        for charge in charges.get(invoice.pk, []):  # one over add-ons alone has none
            if charge.purpose != Purpose.OPENING:
                carriers.setdefault(charge.subscription_id, invoice.pk)
    return carriers


def _late_now(
    chunk: Chunk, invoices: Sequence[Invoice], carriers: Mapping[int, int], *, at: datetime
) -> dict[tuple[int, int], list[Late]]:
    """Return what is late now, by the open invoice that is to carry it and by subscription."""
    replaced = [invoice.pk for invoice in invoices]
    found = find_late(chunk, at=at, terms=policy(), replaced=replaced) if carriers else {}
    return {(carriers[pk], pk): late for pk, late in found.items() if pk in carriers}


def _following(periods: Iterable[BillingPeriod]) -> dict[tuple[int, int], BillingPeriod]:
    """Return, by `period_key`, the period after each of these, where there is one."""
    places = {(period.subscription_id, period.number + 1): period_key(period) for period in periods}
    candidates = BillingPeriod.objects.select_related("phase").filter(
        subscription__in={subscription for subscription, _ in places},
        number__in={number for _, number in places},
    )
    return {places[key]: period for period in candidates if (key := period_key(period)) in places}
