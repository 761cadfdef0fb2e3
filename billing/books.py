"""What must always hold of invoices and periods; `manage.py audit` looks for what contradicts it.

Amounts are computed here once more, from the rows alone and not with what wrote them.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache, reduce
from itertools import chain, groupby, pairwise
from operator import itemgetter
from typing import Any

from django.conf import settings
from django.db.models import Count, Exists, F, Max, Min, OuterRef, Q, QuerySet, Subquery

from billing.documents import document_path
from billing.exchange import converted
from billing.likeness import likeness
from billing.models import (
    BillingPeriod,
    CreditNote,
    CreditNoteDocument,
    DocumentSequence,
    Invoice,
    InvoiceAllowance,
    InvoiceDocument,
    InvoiceLine,
    LineKind,
    PeriodCharge,
    PeriodStatus,
    Purpose,
    TaxSubtotal,
    UsageSnapshot,
)
from billing.models.invoices import KEPT, NUMBERED, PRICED, UNDONE
from billing.services import noting
from billing.services.issuing import RENDER
from catalog.models import Price
from catalog.money import EXACT, ZERO, exponent, round_half_up
from config.base.invariants import Finding, Invariant
from config.base.models import Outbox
from customers.models import SubscriptionPhase
from customers.zones import Zones, zones_from

AT_ONCE = 2000  # rows in memory at once
LATE = timedelta(days=1)
"""How long after its cutoff a period may be open: workers sweep every few minutes."""


def _add(amounts: Iterable[Decimal]) -> Decimal:
    return reduce(EXACT.add, amounts, ZERO)


def _differ(id: str, what: str, expected: Decimal, actual: Decimal) -> Iterator[Finding]:
    if expected != actual:
        difference = f"{EXACT.subtract(actual, expected):f}"
        yield Finding(f"{id}, {what}", f"{expected:f}", f"{actual:f}", difference)


class _Parts:
    """The rows of one invoice after another, as a stream; ask in the order of the invoices."""

    def __init__(self, rows: QuerySet[Any], *columns: str) -> None:
        ordered = rows.order_by("invoice_id").values_list("invoice_id", *columns)
        self._groups = groupby(ordered.iterator(chunk_size=AT_ONCE), key=itemgetter(0))
        self._next = next(self._groups, None)

    def of(self, invoice_id: int) -> list[Any]:
        """Return what these columns hold for an invoice, row by row."""
        if self._next is None or self._next[0] != invoice_id:
            return []
        found = [values for _, *values in self._next[1]]
        self._next = next(self._groups, None)
        return found


def _invoices(*columns: str) -> Iterator[Any]:
    rows = Invoice.objects.order_by("pk").values_list("pk", "uuid", *columns)
    return rows.iterator(chunk_size=AT_ONCE)


def _totals_that_differ(at: datetime) -> Iterator[Finding]:
    lines = _Parts(InvoiceLine.objects.all(), "net")
    allowances = _Parts(InvoiceAllowance.objects.all(), "amount")
    taxes = _Parts(TaxSubtotal.objects.all(), "amount")
    for pk, uuid, net_total, tax_total, total in _invoices("net_total", "tax_total", "total"):
        who = f"invoice {uuid}"
        charged = _add(net for (net,) in lines.of(pk))
        taken_off = _add(amount for (amount,) in allowances.of(pk))
        yield from _differ(who, "net", EXACT.subtract(charged, taken_off), net_total)
        tax = _add(amount for (amount,) in taxes.of(pk))
        yield from _differ(who, "tax", tax, tax_total)
        yield from _differ(who, "total", EXACT.add(net_total, tax), total)


def _taxes_that_differ(at: datetime) -> Iterator[Finding]:
    lines = _Parts(InvoiceLine.objects.all(), "tax_category", "tax_rate", "net")
    allowances = _Parts(InvoiceAllowance.objects.all(), "tax_category", "tax_rate", "amount")
    taxes = _Parts(TaxSubtotal.objects.all(), "category", "rate", "base", "amount")
    for pk, uuid, currency, include_tax in _invoices("currency", "prices_include_tax"):
        bases: dict[tuple[str, Decimal], Decimal] = defaultdict(lambda: ZERO)
        for category, rate, net in lines.of(pk):
            bases[category, rate] = EXACT.add(bases[category, rate], net)
        for category, rate, amount in allowances.of(pk):
            bases[category, rate] = EXACT.subtract(bases[category, rate], amount)
        for category, rate, base, amount in taxes.of(pk):
            who = f"invoice {uuid}, {category} {rate:f} %"
            expected = bases.pop((category, rate), ZERO)
            yield from _differ(who, "base", expected, base)
            if not include_tax:
                tax = Fraction(expected) * Fraction(rate) / 100
                yield from _differ(who, "tax", round_half_up(tax, exponent(currency)), amount)
        for (category, rate), base in bases.items():
            where = f"invoice {uuid}, {category} {rate:f} %"
            yield Finding(where, f"the tax on {base:f}", "none")


def _included_taxes_that_differ(at: datetime) -> Iterator[Finding]:
    """Find invoices priced with tax whose tax does not follow from the prices, line by line (R29)."""
    lines = _Parts(InvoiceLine.objects.all(), "uuid", "tax_category", "tax_rate", "net", "gross")
    coupons = _Parts(InvoiceAllowance.objects.all(), "pk", "tax_category", "tax_rate", "amount", "gross", "shares")  # fmt: skip
    taxes = _Parts(TaxSubtotal.objects.all(), "category", "rate", "amount")
    for pk, uuid, currency, include_tax in _invoices("currency", "prices_include_tax"):
        who, places = f"invoice {uuid}", exponent(currency)
        mine, taken, taxed = lines.of(pk), coupons.of(pk), taxes.of(pk)
        if not include_tax:
            with_gross = [row for row in (*mine, *taken) if row[4] is not None]
            if with_gross:
                yield Finding(who, "prices before tax", f"{len(with_gross)} with tax")
            continue
        sums: dict[tuple[str, Decimal], Decimal] = defaultdict(lambda: ZERO)
        for line, category, rate, net, gross in mine:
            if gross is None:
                yield Finding(f"line {line}", "a price with tax", "none")
                continue
            sums[category, rate] = EXACT.add(sums[category, rate], gross)
            if taken:
                continue  # what coupons take off is rounded on its own
            exact = Fraction(gross) * 100 / (100 + Fraction(rate))
            if abs(Fraction(net) - exact) * 10**places >= 1:
                expected = round_half_up(exact, places)
                yield from _differ(f"line {line}", "net", expected, net)
        for coupon, category, rate, amount, gross, shares in taken:
            told = f"allowance {coupon}"
            if gross is None:
                yield Finding(told, "an amount with tax", "none")
                continue
            sums[category, rate] = EXACT.subtract(sums[category, rate], gross)
            for column, whole in (("amount", amount), ("gross", gross)):
                shared = _add(Decimal(share[column]) for share in shares)
                yield from _differ(told, f"shares of {column}", whole, shared)
        for category, rate, amount in taxed:
            due = Fraction(sums[category, rate]) * Fraction(rate) / (100 + Fraction(rate))
            what = f"tax in {category} {rate:f} %"
            yield from _differ(who, what, round_half_up(due, places), amount)


def _lines_unlike_their_rows(at: datetime) -> Iterator[Finding]:
    """Find charges that are not what their printed rows come to (R17, R34)."""
    explained = InvoiceLine.objects.filter(kind__in=[LineKind.FEE, LineKind.USAGE]).order_by("pk")
    rows = explained.values_list("uuid", PRICED, "explanation", "invoice__currency")
    for uuid, priced, said, currency in rows.iterator(chunk_size=AT_ONCE):
        who = f"line {uuid}"
        exact = _add(Decimal(step["amount"]) for step in said["steps"])
        yield from _differ(who, "rows", exact, Decimal(said["exact"]))
        rounded = EXACT.add(exact, Decimal(said["rounding"]))
        yield from _differ(who, "rows and rounding", rounded, priced)
        cents = round_half_up(exact, exponent(currency))
        yield from _differ(who, "rounded once", cents, priced)


def _usage_unlike_its_snapshot(at: datetime) -> Iterator[Finding]:
    """Find usage that is charged from the snapshot of another period or metric, or by no price."""
    theirs = UsageSnapshot.objects.filter(
        pk=OuterRef("snapshot"), period=OuterRef("period"), metric=OuterRef("price__metric")
    )
    astray = InvoiceLine.objects.filter(kind=LineKind.USAGE).exclude(Exists(theirs))
    for line in astray.order_by("pk").iterator():
        expected = "what was measured for its period and metric"
        yield Finding(f"line {line.uuid}", expected, f"snapshot {line.snapshot_id}")


def _parts_of_others(at: datetime) -> Iterator[Finding]:
    """Find lines and charges whose parts belong to different subscriptions or currencies (R37)."""
    within = InvoiceLine.every.filter(period__isnull=False)  # a sold add-on has none
    lines = within.exclude(period__subscription=F("subscription"))
    for line in lines.order_by("pk").iterator():
        yield Finding(f"line {line.uuid}", f"a period of subscription {line.subscription_id}",
                      f"period {line.period_id}")  # fmt: skip
    foreign = InvoiceLine.every.filter(price__isnull=False).exclude(
        price__version__currency=F("invoice__currency")
    )
    for line in foreign.select_related("invoice", "price__version").order_by("pk").iterator():
        assert line.price is not None
        sold = line.price.version.currency
        yield Finding(f"line {line.uuid}", f"a price in {line.invoice.currency}", f"in {sold}")
    for charge in PeriodCharge.objects.exclude(period__subscription=F("subscription")).iterator():
        yield Finding(f"charge {charge.pk}", f"a period of subscription {charge.subscription_id}",
                      f"period {charge.period_id}")  # fmt: skip


def _numbers_with_gaps(at: datetime) -> Iterator[Finding]:
    """Find series whose numbers are not 1, 2, … up to the counter's last (R27)."""
    series = ("issuer_id", "kind", "series", "year")
    spent = {
        tuple(row[name] for name in series): (row["count"], row["first"], row["last"])
        for numbered in _numbered()
        for row in numbered.order_by()
        .values(*series)
        .annotate(count=Count("pk"), first=Min("sequence"), last=Max("sequence"))
    }
    for counter in DocumentSequence.objects.order_by("pk"):
        key = tuple(getattr(counter, name) for name in series)
        last = counter.next_number - 1
        expected = (last, 1, last) if last else (0, None, None)
        found = spent.pop(key, (0, None, None))
        if found != expected:
            yield Finding(f"series {counter}", f"numbers 1 to {last}", _told(found))
    for key, found in spent.items():
        yield Finding(f"series {key}", "a counter", _told(found))


def _numbered() -> tuple[QuerySet[Any], ...]:
    """Return all documents that have a number."""
    return Invoice.objects.filter(status__in=NUMBERED), CreditNote.objects.all()


def _told(found: tuple[int, Any, Any]) -> str:
    count, first, last = found
    return f"{count} numbers from {first} to {last}"


def _dates_that_fall(at: datetime) -> Iterator[Finding]:
    """Find documents that are dated before one with a lower number of the same series (R27)."""
    last: dict[tuple[int, str, str], tuple[str, date]] = {}
    columns = ("issuer_id", "kind", "series", "number", "issue_date")
    rows = [one.order_by("year", "sequence").values_list(*columns) for one in _numbered()]
    for *series, number, day in chain.from_iterable(one.iterator() for one in rows):
        key = (series[0], series[1], series[2])
        before, latest = last.get(key, (number, day))
        if day < latest:
            yield Finding(number, f"{latest} or later, as {before}", f"{day}")
        last[key] = (number, max(day, latest))


def _likenesses(at: datetime) -> Iterator[Finding]:
    """Find invoices that would be compared with others than those like them."""
    rows: list[Any] = []
    columns = ("invoice_id", "invoice__uuid", "invoice__likeness", "kind", "subscription_id",
               "service_start", "service_end")  # fmt: skip
    lines = InvoiceLine.objects.order_by("invoice_id").values_list(*columns)
    for _, some in groupby(lines.iterator(chunk_size=AT_ONCE), key=itemgetter(0)):
        rows = list(some)
        expected = likeness(
            InvoiceLine(kind=kind, subscription_id=pk, service_start=start, service_end=end)
            for *_, kind, pk, start, end in rows
        )
        _, uuid, actual, *_ = rows[0]
        if actual != expected:
            yield Finding(f"invoice {uuid}, likeness", expected, actual)


def _periods_that_do_not_touch(at: datetime) -> Iterator[Finding]:
    """Find gaps and overlaps between the periods of a subscription, and before its first (R1)."""
    subscription: int | None = None
    rows: list[Any] = []
    columns = ("subscription_id", "number", "start_date", "end_date", "starts_at", "ends_at",
               "subscription__starts_on")  # fmt: skip
    found = BillingPeriod.objects.order_by("subscription_id", "number").values_list(*columns)
    for row in found.iterator(chunk_size=AT_ONCE):
        if row[0] != subscription:
            yield from _untouched(rows)
            subscription, rows = row[0], []
        rows.append(row)
    yield from _untouched(rows)


def _untouched(rows: list[Any]) -> Iterator[Finding]:
    for pk, number, start, _, _, _, begun in rows[:1]:
        if (number, start) != (0, begun):
            who = f"subscription {pk}, first period"
            yield Finding(who, f"number 0 from {begun}", f"number {number} from {start}")
    for before, after in pairwise(rows):
        expected = (before[1] + 1, before[3], before[5])
        actual = (after[1], after[2], after[4])
        if expected != actual:
            who = f"subscription {after[0]}, period {after[1]}"
            yield Finding(who, " ".join(map(str, expected)), " ".join(map(str, actual)))


def _periods_beside_their_zone(at: datetime) -> Iterator[Finding]:
    """Find periods of another zone than their first day's, or that don't end where a day begins (R2)."""
    first = SubscriptionPhase.objects.filter(subscription=OuterRef("subscription"))
    columns = ("subscription_id", "number", "start_date", "end_date", "starts_at", "ends_at",
               "time_zone", "subscription__zone_changes", "first")  # fmt: skip
    rows = BillingPeriod.objects.annotate(
        first=Subquery(first.order_by("starts_on").values("time_zone")[:1])
    )
    begins = lru_cache(maxsize=AT_ONCE)(Zones.begins)  # most periods of a month end together
    for pk, number, start, end, starts_at, ends_at, zone, changes, began in rows.values_list(
        *columns
    ).iterator(chunk_size=AT_ONCE):
        zones = zones_from(began, changes)
        expected = [zones.on(start), begins(zones, end)]
        actual = [zone, ends_at]
        if number == 0:
            expected.append(begins(zones, start))
            actual.append(starts_at)
        if expected != actual:
            who = f"subscription {pk}, period {number}"
            yield Finding(who, " ".join(map(str, expected)), " ".join(map(str, actual)))


def _periods_not_billed_once(at: datetime) -> Iterator[Finding]:
    """Find closed periods with usage to charge that no invoice took, or that two did (R33)."""
    live = Q(charges__is_live=True, charges__purpose__in=[Purpose.REGULAR, Purpose.FINAL])
    twice = BillingPeriod.objects.annotate(bills=Count("charges", filter=live)).filter(bills__gt=1)
    for period in twice.order_by("pk").iterator():
        yield Finding(f"period {period.uuid}, {period}", "one invoice", f"{period.bills} invoices")  # type: ignore[attr-defined]
    closed = BillingPeriod.objects.filter(status=PeriodStatus.CLOSED, is_trial=False)
    billed_whole = PeriodCharge.objects.filter(
        subscription=OuterRef("subscription"),
        period__nominal_start_date=OuterRef("nominal_start_date"),
    )
    # A part that was cut from what was billed is settled as a difference to that (R20).
    is_cut = Q(recast_at__isnull=False) & Exists(billed_whole)
    unbilled = closed.filter(
        Exists(Price.objects.filter(version=OuterRef("phase__plan_version"), metric__isnull=False))
    ).exclude(
        Exists(PeriodCharge.objects.filter(period=OuterRef("pk")))
        | Exists(InvoiceLine.every.filter(period=OuterRef("pk")))
        | is_cut
    )
    for period in unbilled.select_related("subscription").order_by("pk").iterator():
        yield Finding(f"period {period.uuid}, {period}", "an invoice", "none")


def _charges_unlike_their_invoice(at: datetime) -> Iterator[Finding]:
    """Find claims of periods that outlive their invoice, or are gone before it (R33)."""
    is_undone = Q(invoice__status__in=UNDONE)
    astray = PeriodCharge.objects.filter(
        is_undone & Q(is_live=True) | ~is_undone & Q(is_live=False)
    )
    for charge in astray.select_related("invoice").order_by("pk").iterator():
        state = charge.invoice.get_status_display().lower()
        is_live = "a claim" if charge.is_live else "no claim"
        yield Finding(f"charge {charge.pk}", f"as the {state} invoice", is_live)


def _periods_that_wait(at: datetime) -> Iterator[Finding]:
    """Find periods that should have been closed long ago; what is parked waits for a person."""
    waiting = BillingPeriod.objects.filter(
        status=PeriodStatus.OPEN, usage_cutoff__lte=at - LATE
    ).select_related("subscription")
    for period in waiting.order_by("pk").iterator():
        cutoff = f"{period.usage_cutoff:%Y-%m-%d %H:%M} UTC"
        yield Finding(f"period {period.uuid}, {period}", f"closed after {cutoff}", "open")


def _documents_that_differ(at: datetime) -> Iterator[Finding]:
    """Find what was issued without its document, and files that are not what was issued (R28).

    An invoice that was declared void before its document was made never gets one.
    """
    messages = Outbox.objects.filter(kind__in=[RENDER, noting.RENDER]).exclude(status="done")
    waiting = set(messages.values_list("key", flat=True))
    unmade = (
        Invoice.objects.filter(status__in=KEPT, documents=None),
        CreditNote.objects.filter(document=None),
    )
    for rows in unmade:
        for uuid, number in rows.order_by("pk").values_list("uuid", "number").iterator():
            if str(uuid) not in waiting:
                yield Finding(number or "", "a document, or a message to make it", "neither")
    known = set()
    for kept in (InvoiceDocument.objects.order_by("pk"), CreditNoteDocument.objects.order_by("pk")):
        for sha256 in kept.values_list("sha256", flat=True).iterator():
            known.add(sha256)
            path = document_path(sha256)
            if not path.exists():
                yield Finding(f"document {sha256}", "its file", "none")
            elif (found := hashlib.sha256(path.read_bytes()).hexdigest()) != sha256:
                yield Finding(f"document {sha256}", sha256, found)
    folder = settings.DATA_DIR / "documents"
    for path in sorted(folder.glob("*/*.pdf")):
        if path.stem not in known and _is_old(path.stat().st_mtime, at):
            yield Finding(f"file {path.name}", "a document of that hash", "none")


def _is_old(modified: float, at: datetime) -> bool:
    """Say whether a file is no longer one that is about to get its row."""
    return modified < (at - LATE).timestamp()


def _tax_in_books_that_differs(at: datetime) -> Iterator[Finding]:
    """Find tax in the issuer's currency that is not the tax at the rate that stands beside it."""
    stated = Invoice.objects.exclude(tax_in_books={}).order_by("pk")
    for invoice in stated.iterator():
        said = invoice.tax_in_books
        who, what = f"invoice {invoice.uuid}", f"tax in {said['currency']}"
        due = converted(invoice.tax_total, said)
        yield from _differ(who, what, due, Decimal(said["amount"]))


BOOKS = [
    Invariant(
        "tax_in_books_follows_from_its_rate",
        "Tax in the issuer's currency is the tax at the exchange rate that is printed with it.",
        _tax_in_books_that_differs,
    ),
    Invariant(
        "invoices_add_up",
        "An invoice's net is its lines less its allowances, its tax that of its categories, its "
        "total the two together.",
        _totals_that_differ,
    ),
    Invariant(
        "taxes_follow_from_lines",
        "The tax of each category and rate is rounded once, on its lines less its allowances.",
        _taxes_that_differ,
    ),
    Invariant(
        "included_taxes_follow_from_prices",
        "Of prices with tax, that of each category and rate is what they include, rounded once; no "
        "line’s net is a unit or more from its own.",
        _included_taxes_that_differ,
    ),
    Invariant(
        "lines_are_what_their_rows_come_to",
        "The printed rows of a line add up to its exact amount, and rounded once to its price.",
        _lines_unlike_their_rows,
    ),
    Invariant(
        "usage_is_charged_from_its_snapshot",
        "A line of usage is charged from what was measured for its own period and metric.",
        _usage_unlike_its_snapshot,
    ),
    Invariant(
        "invoices_are_of_one_subscription_and_currency",
        "Lines and charges are of a period of their subscription, and prices in the invoice's "
        "currency.",
        _parts_of_others,
    ),
    Invariant(
        "numbers_have_no_gap",
        "The numbers of a series run from 1 to its counter's last, and each is an invoice's.",
        _numbers_with_gaps,
    ),
    Invariant(
        "numbers_and_dates_rise_together",
        "No invoice is dated before one with a lower number of its series.",
        _dates_that_fall,
    ),
    Invariant(
        "invoices_are_compared_with_their_like",
        "What an invoice is like follows from its lines: their subscriptions, and how long they last.",
        _likenesses,
    ),
    Invariant(
        "periods_touch",
        "The periods of a subscription run from its start without gap or overlap.",
        _periods_that_do_not_touch,
    ),
    Invariant(
        "periods_follow_their_zone",
        "A period ends where a day begins in the time zone that holds on its last one.",
        _periods_beside_their_zone,
    ),
    Invariant(
        "periods_are_billed_once",
        "Every closed period with metered prices is on one invoice, and no period on two.",
        _periods_not_billed_once,
    ),
    Invariant(
        "charges_live_with_their_invoice",
        "An invoice claims its periods until it is void or discarded.",
        _charges_unlike_their_invoice,
    ),
    Invariant(
        "periods_close_in_time",
        "No period is open a day after it could be closed.",
        _periods_that_wait,
    ),
    Invariant(
        "documents_are_as_issued",
        "Every issued invoice has its document, or a message to make it, and every file is what "
        "was issued, by its SHA-256.",
        _documents_that_differ,
    ),
]
