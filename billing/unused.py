"""Fees that were paid in advance for days without service under their version, and their credit.

What is unused follows from the phases, what was credited from the credits of live invoices and from
credit notes; neither is kept anywhere else. So no fee is credited twice or beyond its net (R21a).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from django.db.models import Exists, F, Min, OuterRef, Q

from billing.calculation import Tax, add_up
from billing.creditable import credited_by_notes, shares_of
from billing.models import (
    InvoiceAllowance,
    InvoiceLine,
    InvoiceStatus,
    LineKind,
    Recognition,
)
from billing.models.invoices import FINAL, PRICED, UNDONE
from billing.rates import tax_of
from catalog.models import Proration, Timing
from catalog.money import EXACT, ZERO, exponent, round_half_up
from catalog.pricing import DayFraction
from customers.models import Subscription, SubscriptionPhase


class Unused(NamedTuple):
    """A fee of an issued invoice that is unused from a day on.

    `paid` is its price after coupons, `left` what is still to credit of it: before tax, or with it
    where prices include it.
    """

    line: InvoiceLine
    since: date
    paid: Decimal
    left: Decimal

    @property
    def part(self) -> DayFraction:
        """The days without service out of those that were paid."""
        start, end = self.line.service_start, self.line.service_end
        return DayFraction((end - self.since).days, (end - start).days)


class UnusedFees:
    """What is unused of the fees of these subscriptions; load them `with_terms`.

    Drafts that are composed one after another each find what those before them left to credit.
    """

    def __init__(self, subscriptions: Iterable[Subscription]) -> None:
        self._drafts = 0
        self._unused = _unused(subscriptions)
        lines = [line for found in self._unused.values() for line, *_ in found]
        self._paid = _paid(lines)
        self._noted = credited_by_notes(line.pk for line in lines)
        self._credited = _credited(lines)

    def of(self, subscription: Subscription, *, day: date, replaces: int | None) -> list[Unused]:
        """Return what is still to credit on an invoice of a day; its own credits don't count.

        `replaces` is the open invoice that is drawn anew.
        """
        found = []
        for line, since in self._unused.get(subscription.pk, ()):
            given = add_up(
                amount for invoice, amount in self._credited[line.pk].items() if invoice != replaces
            )
            given = EXACT.add(given, self._noted.get(line.pk, ZERO))
            one = Unused(line, since, self._paid[line.pk], ZERO)
            places = exponent(line.invoice.currency)
            worth = round_half_up(Fraction(one.paid) * one.part.value, places)
            left = round_half_up(EXACT.subtract(worth, given), places)
            if since <= day and left > 0:
                found.append(one._replace(left=left))
        return found

    def any_of(self, subscription: Subscription) -> bool:
        """Say whether a fee of a subscription may be to credit."""
        return subscription.pk in self._unused

    def record(self, lines: Iterable[InvoiceLine], *, replaces: int | None) -> None:
        """Note what an invoice credits that was just composed."""
        self._drafts += 1
        for line in lines:
            if line.kind == LineKind.CREDIT:
                assert line.credited_id is not None
                self._credited[line.credited_id][replaces or -self._drafts] = EXACT.minus(
                    line.priced
                )


def credits(unused: Sequence[Unused], *, exponent: int) -> Iterator[tuple[InvoiceLine, Tax]]:
    """Yield unsaved lines that credit unused fees, each with the tax of the fee (R21a)."""
    for one in unused:
        yield _credit(one, exponent), tax_of(one.line)


def _credit(one: Unused, exponent: int) -> InvoiceLine:
    exact = Fraction(one.paid) * one.part.value
    worth, credited = round_half_up(exact, exponent), EXACT.minus(one.left)
    said: dict[str, Any] = {
        "model": "credit",
        "invoice": one.line.invoice.number,
        "line": str(one.line.uuid),
        "paid": f"{one.paid:f}",
        "period_fraction": str(one.part),
        "amount": f"{credited:f}",
        "steps": [],
    }
    if before := EXACT.subtract(worth, one.left):
        said["credited_before"] = f"{before:f}"
    return InvoiceLine(
        kind=LineKind.CREDIT,
        description=one.line.description,
        period=one.line.period,
        price=one.line.price,
        credited=one.line,
        service_start=one.since,
        service_end=one.line.service_end,
        quantity=Decimal(1),
        net=credited,
        rate_category=one.line.rate_category,
        recognition=Recognition.OVER_TIME,
        explanation=said,
    )


def _unused(subscriptions: Iterable[Subscription]) -> dict[int, list[tuple[InvoiceLine, date]]]:
    """Return, by subscription, the issued fees that a phase's end left unused, and since when.

    Also of periods that are under another plan by now, since it changed before they began. What an
    issued invoice credits of a fee it does not serve again, should its plan come back that day.
    """
    by_id = {one.pk: one for one in subscriptions if _has_ended_phase(one)}
    if not by_id:
        return {}
    ended = SubscriptionPhase.objects.filter(
        subscription=OuterRef("subscription"),
        ends_on__gte=OuterRef("service_start"),
        ends_on__lt=OuterRef("service_end"),
    )
    of_another_plan = ~Q(price__version=F("period__phase__plan_version"))
    lines = (
        InvoiceLine.objects.filter(
            Exists(ended) | of_another_plan,
            subscription__in=by_id,
            kind=LineKind.FEE,
            invoice__status=InvoiceStatus.ISSUED,
            price__timing=Timing.ADVANCE,
            price__proration=Proration.DAYS,
            net__gt=0,
        )
        .select_related("invoice", "price__version", "period")
        .annotate(
            credited_since=Min(
                "credits__service_start",
                filter=Q(credits__invoice__status__in=FINAL),
            )
        )
        .prefetch_related("invoice__taxes")
        .order_by("pk")
    )
    found: dict[int, list[tuple[InvoiceLine, date]]] = defaultdict(list)
    for line in lines:
        ends = (_served_until(line, by_id[line.subscription_id]), line.credited_since)
        since = min((day for day in ends if day), default=line.service_end)
        if since < line.service_end:
            found[line.subscription_id].append((line, since))
    return found


def _has_ended_phase(subscription: Subscription) -> bool:
    return any(phase.ends_on for phase in subscription.phases.all())


def _served_until(line: InvoiceLine, subscription: Subscription) -> date | None:
    """Return the first day of a fee's service that its version does not serve; None if it goes on.

    None too for who cancelled at once under a version that credits nothing then.
    """
    assert line.price is not None
    version, day = line.price.version, line.service_start
    for phase in subscription.phases.all():
        is_served = phase.plan_version_id == version.pk and not phase.is_paused
        if is_served and phase.starts_on <= day:
            if phase.ends_on is None:
                return None
            day = max(day, phase.ends_on)
    if day == subscription.ends_on and not version.refund_unused:
        return None
    return day


def _paid(lines: Sequence[InvoiceLine]) -> dict[int, Decimal]:
    """Return what each fee came to after its share of coupons."""
    allowances = InvoiceAllowance.objects.filter(invoice__in={line.invoice_id for line in lines})
    taken = shares_of(allowances)
    return {
        line.pk: EXACT.subtract(line.priced, taken.get((line.invoice_id, line.position), ZERO))
        for line in lines
    }


def _credited(lines: Sequence[InvoiceLine]) -> dict[int, dict[int, Decimal]]:
    """Return, by fee and invoice, what live invoices credit of it."""
    found: dict[int, dict[int, Decimal]] = defaultdict(dict)
    given = InvoiceLine.every.filter(credited__in=[line.pk for line in lines]).exclude(
        invoice__status__in=UNDONE
    )
    for line, invoice, amount in given.values_list("credited_id", "invoice_id", PRICED):
        found[line][invoice] = EXACT.minus(amount)
    return found
