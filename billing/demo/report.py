"""What the demo holds, as lines of text of at most 100 columns."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar

from django.db.models import QuerySet

from billing.composition import Composed
from billing.demo.company import BUYERS
from billing.demo.story import Told
from billing.models import BillingPeriod, Invoice, InvoiceLine, InvoiceStatus, LineKind
from billing.services.upcoming import upcoming_invoices
from catalog import wording
from catalog.money import exact_sum, exponent, plain, round_half_up
from customers.models import Customer, Subscription
from metering.models import QuarantinedEvent, QuarantineStatus

Row = TypeVar("Row")

LOCALE = "en"
EXAMPLE = "fernwood"  # whose last overage is worked out


class Bills(NamedTuple):
    """The issued invoices of a customer or currency, added up."""

    number: int
    net: Decimal
    tax: Decimal
    total: Decimal


def overview(told: Told) -> Iterator[str]:
    """Yield a table of the customers, what they were billed, and how their period stands."""
    invoices = _by(_invoices(told), lambda invoice: invoice.customer.key)
    mine = Subscription.objects.filter(customer__in=_customers()).with_terms().order_by("pk")
    subscriptions = _by(mine, lambda one: one.customer.key)
    upcoming = upcoming_invoices(subscriptions=list(mine), at=told.reference)
    coming = _by(upcoming, lambda found: found[0].subscription.customer.key)
    yield _row("Customer", "Plan", "Invoices", "Invoiced", "Upcoming", "Where it stands")
    for buyer in BUYERS:
        found = [(period, composed) for period, _, composed in coming[buyer.key]]
        issued = _added(invoices[buyer.key])
        currency = buyer.details["currency"]
        yield _row(
            buyer.details["name"],
            ", ".join(_plan(one) for one in subscriptions[buyer.key]),
            str(issued.number or "–"),
            _money(issued.total, currency) if issued.number else "–",
            _money(_sum(c.totals.total for _, c in found), currency) if found else "–",
            "; ".join(_standing(subscriptions[buyer.key], found, invoices[buyer.key])),
        )


def totals(told: Told) -> Iterator[str]:
    """Yield a table of what was invoiced in each currency."""
    by_currency = _by(_invoices(told), lambda invoice: invoice.currency)
    yield f"  {'Currency':<10}{'Invoices':>8}{'Net':>16}{'VAT':>16}{'Total':>16}"
    for currency, invoices in sorted(by_currency.items()):
        added, places = _added(invoices), exponent(currency)
        net, tax, total = (
            wording.amount(amount, places, LOCALE) for amount in (added.net, added.tax, added.total)
        )
        yield f"  {currency:<10}{added.number:>8}{net:>16}{tax:>16}{total:>16}"


def worked_example(told: Told) -> Iterator[str]:
    """Yield the arithmetic of the example's last overage, step by step."""
    line = (
        InvoiceLine.objects.filter(
            invoice__issuer=told.issuer_id,
            invoice__customer__key=EXAMPLE,
            invoice__status=InvoiceStatus.ISSUED,
            price__key="calls",
            net__gt=0,
        )
        .select_related("invoice__customer")
        .order_by("pk")
        .last()
    )
    if line is None:
        return
    said, currency = line.explanation, line.invoice.currency
    steps = [step for step in said["steps"] if Decimal(step["amount"])]
    used, included = line.quantity, Decimal(said["included"])
    over = wording.number(used - included, LOCALE)
    terms = " + ".join(
        f"{wording.number(Decimal(step['quantity']), LOCALE)} × {step['unit_amount']}"
        for step in steps
    )
    exact = _sum(Decimal(step["amount"]) for step in steps)
    said_so = "" if exact == line.net else f"{plain(exact)}, rounded to "
    yield (
        f"  {line.invoice.number}, {line.invoice.customer}, {line.description} "
        f"in {line.service_start:%B %Y}:"
    )
    yield (
        f"  {wording.number(used, LOCALE)} used − {wording.number(included, LOCALE)} included "
        f"= {over} over"
    )
    yield f"  {terms} = {said_so}{_money(line.net, currency)}"


def quarantine() -> str:
    """Return how many events wait in quarantine, and why."""
    waiting = QuarantinedEvent.objects.filter(status=QuarantineStatus.OPEN).order_by("pk")
    reasons = Counter(str(event.get_code_display()).lower() for event in waiting)
    if not reasons:
        return "nothing waits"
    return "; ".join(f"{count} × {reason}" for reason, count in reasons.items())


def _customers() -> QuerySet[Customer]:
    return Customer.objects.filter(key__in=[buyer.key for buyer in BUYERS])


def _invoices(told: Told) -> list[Invoice]:
    mine = Invoice.objects.filter(issuer=told.issuer_id, customer__in=_customers())
    return list(mine.select_related("customer").order_by("pk"))


def _by(rows: Iterable[Row], key: Callable[[Row], str]) -> defaultdict[str, list[Row]]:
    found: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[key(row)].append(row)
    return found


def _plan(subscription: Subscription) -> str:
    return subscription.phases.all()[0].plan_version.plan.name


def _standing(
    subscriptions: Iterable[Subscription],
    coming: Iterable[tuple[BillingPeriod, Composed]],
    invoices: Iterable[Invoice],
) -> Iterator[str]:
    """Say of a customer what a person would want to know first."""
    for period, composed in coming:
        if period.is_trial:
            yield f"in trial until {_day(period.end_date - timedelta(days=1))}"
        else:
            yield from _used(composed)
    for subscription in subscriptions:
        if subscription.ends_on:
            yield f"ended on {_day(subscription.ends_on - timedelta(days=1))}"
    if waiting := sum(invoice.status == InvoiceStatus.REVIEW for invoice in invoices):
        yield f"{waiting} in review"


def _used(composed: Composed) -> Iterator[str]:
    """Say how much of the first allowance is used; or else how many seats, or what was used."""
    charges = [line for line in composed.lines if line.kind in (LineKind.FEE, LineKind.USAGE)]
    for line in charges:
        if included := Decimal(line.explanation["included"]):
            share = round_half_up(line.quantity * 100 / included, 0)
            yield f"{line.description} at {share} %"
            return
    for line in charges[:1]:
        quantity = wording.number(line.quantity, LOCALE)
        if line.kind == LineKind.USAGE:
            yield f"{line.description}: {quantity} {line.unit_plural}"
        else:
            yield f"{quantity} {line.unit_plural or line.description.lower()}"


def _row(*cells: str) -> str:
    customer, plan, count, billed, upcoming, standing = cells
    line = f"  {customer:<19}{plan:<12}{count:>8}{billed:>14}{upcoming:>14}  {standing}"
    return line.rstrip()


def _added(invoices: Iterable[Invoice]) -> Bills:
    """Add up those of these invoices that are issued."""
    found = [invoice for invoice in invoices if invoice.status == InvoiceStatus.ISSUED]
    return Bills(
        len(found),
        _sum(invoice.net_total for invoice in found),
        _sum(invoice.tax_total for invoice in found),
        _sum(invoice.total for invoice in found),
    )


def _sum(amounts: Iterable[Any]) -> Decimal:
    total = exact_sum(amounts)
    assert isinstance(total, Decimal)
    return total


def _money(amount: Decimal, currency: str) -> str:
    return f"{wording.amount(amount, exponent(currency), LOCALE)} {currency}"


def _day(day: date) -> str:
    return f"{day.day} {day:%B}"
