"""What was billed, credited or let go of a period so far, as rows tell it (R31)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.db.models import Q

from billing.calculation import add_up
from billing.creditable import credited_by_notes
from billing.late_usage.coupons import Key, Reduced, Share, key_of, reduced_by_coupons
from billing.late_usage.lines import Billed, Settled
from billing.models import (
    BillingPeriod,
    InvoiceLine,
    LateStatus,
    LateUsage,
    LineKind,
    PeriodCharge,
    Purpose,
)
from billing.models.invoices import UNDONE
from billing.rates import tax_of
from catalog.money import EXACT, ZERO, exponent, round_half_up

_CHARGES_USAGE = (LineKind.USAGE, LineKind.MINIMUM, LineKind.LATE)


@dataclass
class Books:
    """All that was settled of some periods, by period and price; what coupons took, by invoice and subscription."""

    billed: dict[Key, Billed] = field(default_factory=lambda: defaultdict(Billed))
    lines: dict[Key, InvoiceLine] = field(default_factory=dict)
    """The newest line that charges or settles usage of each price of a period."""
    closes: dict[int, InvoiceLine] = field(default_factory=dict)
    """A line of the invoice that billed a period that was recast since, by period."""
    reduced: dict[Share, Reduced] = field(default_factory=dict)

    def as_its_close(self, key: Key, before: Billed) -> Billed:
        """Return what was settled of a price that the plan had not when a period was billed (R20).

        It is as if its invoice had billed nothing of it. Without tax, where nothing was settled yet.
        """
        period, _ = key
        own = self.lines.get(key)
        mine = [line for (pk, _), line in self.lines.items() if pk == period]
        closing = self.closes.get(period) or next(iter(mine), None)
        if closing is None:
            return before
        nothing = Settled(closing.invoice.number or "", ZERO, ZERO)
        settled = before.settled or [nothing]
        tax = tax_of(own) if own else None
        return Billed(settled, tax, closing.invoice_id, before.credited)


@dataclass
class Commitment:
    """What was charged for a period towards its commitment, by line; and for the commitment itself."""

    charged: dict[Key, Decimal] = field(default_factory=lambda: defaultdict(lambda: ZERO))
    settled: list[Settled] = field(default_factory=list)
    credited: Decimal = ZERO
    """What credit notes took off what was charged for the commitment itself."""

    def charged_with(self, whole: dict[Key, Decimal]) -> Decimal:
        """Return what is charged in all if these prices amount to `whole`."""
        return add_up((self.charged | whole).values())


def standing(replaced: Iterable[int]) -> Any:
    """Return the lines of invoices that stand, in order."""
    lines = InvoiceLine.every.exclude(invoice__status__in=UNDONE)
    return lines.exclude(invoice__in=list(replaced)).order_by("invoice_id", "position")


def metered(replaced: Iterable[int]) -> Any:
    """Return the lines that charge what was measured, on invoices that stand."""
    return standing(replaced).filter(kind__in=_CHARGES_USAGE, price__metric__isnull=False)


def drawn_by(invoices: Iterable[int]) -> Any:
    """Return the late lines of invoices that are drawn anew: what they carried, they may again."""
    return InvoiceLine.every.filter(kind=LineKind.LATE, invoice__in=list(invoices))


def settling(lines: Any) -> Any:
    """Keep the lines that settle what was late, and the commitment beside it."""
    corrected = Q(kind=LineKind.COMMITMENT, explanation__has_key="billed")
    return lines.filter(Q(kind=LineKind.LATE) | corrected)


def books_of(periods: Sequence[BillingPeriod], *, replaced: Iterable[int]) -> Books:
    """Return what was settled of each price of these periods, before tax and after coupons."""
    books = Books(closes=_closes([period for period in periods if period.recast_at]))
    lines = list(
        metered(replaced)
        .filter(period__in=periods)
        .select_related("invoice", "price")
        .prefetch_related("invoice__taxes")
    )
    for line in lines:
        if line.kind != LineKind.MINIMUM:
            books.lines[key_of(line)] = line
        if line.kind == LineKind.USAGE:
            billed = books.billed[key_of(line)]
            billed.tax, billed.invoice_id = tax_of(line), line.invoice_id
    late = [
        line
        for line in lines
        if line.kind == LineKind.LATE and line.invoice_id > books.billed[key_of(line)].invoice_id
    ]  # what was late before a period was closed anew is not of that close
    closes = {billed.invoice_id for billed in books.billed.values()}
    books.reduced = reduced_by_coupons(closes, late)
    noted = credited_by_notes(line.pk for line in lines)
    for line in lines:
        reduced = books.reduced.get((line.invoice_id, line.subscription_id))
        taken = reduced.taken.get(line.position, ZERO) if reduced else ZERO
        billed = books.billed[key_of(line)]
        _add(billed.settled, _settled(line, taken))
        if line.priced > 0:
            billed.credited = EXACT.add(billed.credited, noted.get(line.pk, ZERO))
    let_go = LateUsage.objects.filter(period__in=periods, status=LateStatus.WRITTEN_OFF)
    for row in let_go.exclude(invoice__status__in=UNDONE).order_by("pk"):
        quantity = EXACT.subtract(row.quantity, row.billed_quantity)
        net = round_half_up(row.amount, exponent(row.currency))
        settled = Settled("", quantity, net, waived=True)
        _add(books.billed[row.period_id, row.price_id].settled, settled)
    return books


def _closes(recast: Sequence[BillingPeriod]) -> dict[int, InvoiceLine]:
    """Return a line of what billed each of these, or the whole that it was a part of."""
    if not recast:
        return {}
    charges = PeriodCharge.objects.filter(
        subscription__in={period.subscription_id for period in recast},
        purpose__in=[Purpose.REGULAR, Purpose.FINAL],
        is_live=True,
    ).select_related("period")
    billed = {
        (charge.subscription_id, charge.period.nominal_start_date): charge.invoice_id
        for charge in charges.order_by("period__number")
    }
    charged = InvoiceLine.objects.filter(invoice__in=billed.values()).exclude(kind=LineKind.CREDIT)
    lines = {
        (line.subscription_id, line.invoice_id): line for line in charged.select_related("invoice")
    }
    found = {
        period.pk: lines.get(
            (
                period.subscription_id,
                billed.get((period.subscription_id, period.nominal_start_date), 0),
            )
        )
        for period in recast
    }
    return {pk: line for pk, line in found.items() if line}


def commitments_of(periods: Iterable[int], *, replaced: Iterable[int]) -> dict[int, Commitment]:
    """Return what counts towards the commitment of each of these periods, before coupons (R16)."""
    found: dict[int, Commitment] = defaultdict(Commitment)
    kinds = (LineKind.FEE, LineKind.CREDIT, *_CHARGES_USAGE, LineKind.COMMITMENT)
    lines = standing(replaced).filter(period__in=list(periods), kind__in=kinds)
    rows = list(lines.select_related("invoice", "price"))
    noted = credited_by_notes(line.pk for line in rows if line.kind == LineKind.COMMITMENT)
    for line in rows:
        one, key = found[line.period_id], key_of(line)
        match line.kind:
            case LineKind.COMMITMENT:
                _add(one.settled, _settled(line, ZERO))
                if line.priced > 0:
                    one.credited = EXACT.add(one.credited, noted.get(line.pk, ZERO))
            case LineKind.CREDIT:
                one.charged[-(line.credited_id or 0), 1] = EXACT.minus(_unused(line))
            case LineKind.LATE:
                one.charged[key] = Decimal(line.explanation["whole"])
            case LineKind.MINIMUM:
                one.charged[key] = EXACT.add(one.charged[key], line.priced)
            case _:
                one.charged[key] = line.priced
    return found


def _unused(line: InvoiceLine) -> Decimal:
    """Return what is credited of a fee in all, before this invoice and after it."""
    said = line.explanation
    parts = (said.get("credited_before", "0"), said["amount"].lstrip("-"))
    return add_up(map(Decimal, parts))


def _settled(line: InvoiceLine, taken: Decimal) -> Settled:
    quantity = line.quantity if line.kind in (LineKind.USAGE, LineKind.LATE) else ZERO
    net = round_half_up(EXACT.subtract(line.priced, taken), exponent(line.invoice.currency))
    return Settled(line.invoice.number or "", quantity, net)


def _add(settled: list[Settled], one: Settled) -> None:
    """Put together what one invoice charged in several lines."""
    if settled and (settled[-1].invoice, settled[-1].waived) == (one.invoice, one.waived):
        last = settled.pop()
        one = one._replace(
            quantity=EXACT.add(last.quantity, one.quantity), net=EXACT.add(last.net, one.net)
        )
    settled.append(one)
