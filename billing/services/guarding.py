"""The guard: a draft that looks wrong by its customer's past is seen by a person before it is issued."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from statistics import median
from typing import Any, NamedTuple

from django.db.models import Exists, F, OuterRef, Q, Subquery, Window
from django.db.models.functions import RowNumber

from billing.models import Invoice, InvoiceLine, InvoiceStatus, LineKind
from billing.models.invoices import FINAL, UNISSUED
from catalog import wording
from catalog.money import EXACT, exponent
from config.base import audit
from config.base.audit import SYSTEM
from config.base.models import AuditEntry

TIMES = 10
"""A net amount of more than so many times the usual one is held."""
LATEST = 12
"""The usual amount is the median of so many invoices before, like it or of its customer."""
FEWEST = 3
"""Fewer invoices before are no past to compare with."""
_HELD = "held by the guard"
_LIVE = (*UNISSUED, *FINAL)


class Before(NamedTuple):
    """An invoice of a customer in a currency: its id, what it is like, and its net amount."""

    pk: int
    likeness: str
    net: Decimal


Past = Mapping[tuple[int, str], Sequence[Before]]


def hold_unusual(invoices: Sequence[Invoice]) -> list[Invoice]:
    """Put those drafts in review that need a person's look, each with the reason; return them.

    These are held: a net amount above ten times the median of the last twelve invoices like it, from
    three on, or, until there are so many, above ten times that of those and of the customer's last
    twelve invoices in that currency, whatever they are for; and a fee that another live invoice charges for the same
    service period, without being credited. What the guard held once and a person released passes. Call it inside the
    transaction that wrote or redrew them; up to five queries, however many invoices.
    """
    drafts = {one.pk: one for one in invoices if one.status == InvoiceStatus.DRAFT}
    if not drafts:
        return []
    reasons: dict[int, list[str]] = defaultdict(list)
    past = _past(drafts.values())
    for invoice in drafts.values():
        if reason := _too_much(invoice, past):
            reasons[invoice.pk].append(reason)
    for pk, reason in _charged_twice(drafts):
        reasons[pk].append(reason)
    for pk in _released(reasons):
        del reasons[pk]
    held = [drafts[pk] for pk in sorted(reasons)]
    for invoice in held:
        invoice.status, invoice.reason = InvoiceStatus.REVIEW, " ".join(reasons[invoice.pk])
    Invoice.objects.bulk_update(held, ["status", "reason"])
    AuditEntry.objects.bulk_create(
        audit.entry(actor=SYSTEM, action=_HELD, subject=invoice, note=invoice.reason)
        for invoice in held
    )
    return held


def usual(amounts: Iterable[Decimal]) -> Decimal | None:
    """Return the median of the amounts before; None where they are too few to say what is usual."""
    before = list(amounts)
    return median(before) if len(before) >= FEWEST else None


def _past(drafts: Iterable[Invoice]) -> Past:
    """Return what each customer was billed in each currency, latest first; one query."""
    drafts = list(drafts)
    together = Counter((one.customer_id, one.currency) for one in drafts)
    earlier = Invoice.objects.filter(
        customer__in={one.customer_id for one in drafts},
        status__in=[InvoiceStatus.ISSUED, InvoiceStatus.DRAFT],
    )
    newest, account = F("pk").desc(), ["customer", "currency"]
    most = LATEST + max(together.values())
    latest = earlier.annotate(
        place=Window(RowNumber(), partition_by=account, order_by=newest),
        alike=Window(RowNumber(), partition_by=[*account, "likeness"], order_by=newest),
    ).filter(Q(place__lte=most) | Q(alike__lte=most))
    past = defaultdict(list)
    columns = ("customer_id", "currency", "pk", "likeness", "net_total")
    for customer_id, currency, *row in latest.order_by("-pk").values_list(*columns):
        past[customer_id, currency].append(Before(*row))
    return past


def _too_much(invoice: Invoice, past: Past) -> str:
    rows = past.get((invoice.customer_id, invoice.currency), ())
    before = [row for row in rows if row.pk < invoice.pk]
    like = [row for row in before if row.likeness == invoice.likeness][:LATEST]
    before = before[:LATEST]
    if like and invoice.net_total <= EXACT.multiply(median(row.net for row in like), TIMES):
        return ""
    is_alike = len(like) >= FEWEST
    compared = like if is_alike else before
    often = usual(row.net for row in compared)
    if often is None or invoice.net_total <= EXACT.multiply(often, TIMES):
        return ""
    which = "like it, for the same subscriptions and as long a time" if is_alike else ""
    told = f" {which}." if which and like != before else "."
    if not is_alike and like != before:
        told += f" {'Too few' if like else 'None'} of them were for the same subscriptions and as long a time."
    return (
        f"{_money(invoice.net_total, invoice)} net is more than {TIMES} times "
        f"{_money(often, invoice)}, the median of this customer's last {len(compared)} invoices{told}"
    )


def _charged_twice(drafts: Mapping[int, Invoice]) -> Iterable[tuple[int, str]]:
    """Yield the fees that another live invoice charges for the same service period.

    One query where there is none.
    """
    fees = InvoiceLine.objects.filter(kind=LineKind.FEE, net__gt=0)
    credited = InvoiceLine.every.filter(credited=OuterRef("pk"), invoice__status__in=_LIVE)
    same = fees.filter(
        ~Exists(credited),
        subscription=OuterRef("subscription"),
        price__key=OuterRef("price__key"),
        service_start=OuterRef("service_start"),
        service_end=OuterRef("service_end"),
        invoice__status__in=_LIVE,
    ).exclude(invoice=OuterRef("invoice"))
    others = same.order_by("invoice").values("invoice")[:1]
    twice = fees.filter(invoice__in=drafts).annotate(other=Subquery(others))
    found = list(twice.filter(other__isnull=False).order_by("invoice", "position"))
    by_pk = Invoice.objects.in_bulk([line.other for line in found]) if found else {}
    for line in found:
        yield (
            line.invoice_id,
            f"“{line.description}” from {line.service_start} to before {line.service_end} "
            f"is charged by {by_pk[line.other]} already.",
        )


def _released(held: Mapping[int, Any]) -> list[int]:
    """Return which of these the guard held before."""
    if not held:
        return []
    before = AuditEntry.objects.filter(
        subject_type=Invoice._meta.label_lower,
        subject_id__in=held,
        action=_HELD,
        actor_kind=SYSTEM.kind,
    )
    return list(before.values_list("subject_id", flat=True).distinct())


def _money(amount: Decimal, invoice: Invoice) -> str:
    return f"{wording.amount(amount, exponent(invoice.currency), 'en')} {invoice.currency}"
