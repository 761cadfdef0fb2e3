"""Finding late usage: what closed periods amount to now, and who decides on it (R31)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from django.conf import settings

from billing.calculation import Tax, add_up
from billing.chunk import Chunk
from billing.late_usage.candidates import candidates
from billing.late_usage.coupons import Key
from billing.late_usage.lines import (
    Billed,
    commitment_difference,
    difference,
    nothing_of,
    usage_lines,
)
from billing.late_usage.settled import Books, books_of, commitments_of, drawn_by
from billing.models import (
    BillingPeriod,
    HeldFor,
    InvoiceLine,
    LateStatus,
    LateUsage,
    LineKind,
    PeriodStatus,
    UsageSnapshot,
)
from billing.offers import Served
from billing.usage import Reading, Wanted, read_snapshots
from catalog.models import ValueMetric
from catalog.money import ZERO


class Policy(NamedTuple):
    """Up to which age late usage is billed without a person, and from which amount on."""

    age: timedelta
    thresholds: Mapping[str, Decimal]

    def held_for(self, line: InvoiceLine, served: Served, *, at: datetime) -> str:
        """Say why a person is to decide on a line found `at` a time; empty if nobody needs to."""
        assert served.period.closed_at is not None
        if at - served.period.closed_at > self.age:
            return HeldFor.AGE
        least = self.thresholds.get(served.offer.version.currency, ZERO)
        return HeldFor.SMALL if line.priced and abs(line.priced) < least else ""


def policy() -> Policy:
    """Return the one that the settings state."""
    return Policy(timedelta(days=settings.LATE_USAGE_DAYS), settings.LATE_USAGE_THRESHOLDS)


class LateLine(NamedTuple):
    """A line over a difference, unsaved; its tax, the close's invoice, why a person decides."""

    line: InvoiceLine
    tax: Tax
    invoice_id: int
    held_for: str


@dataclass(frozen=True)
class Late:
    """What one metric of a closed period amounts to now, and the differences of its prices.

    Without a line where nothing is late any more of what waited.
    """

    served: Served
    snapshot: UsageSnapshot
    lines: list[LateLine] = field(default_factory=list)

    @property
    def to_bill(self) -> list[tuple[InvoiceLine, Tax]]:
        """The differences that wait for nobody."""
        return [(one.line, one.tax) for one in self.lines if not one.held_for]

    @property
    def of_prices(self) -> list[LateLine]:
        """The differences but that of the commitment, which follows from them."""
        return [one for one in self.lines if one.line.kind == LineKind.LATE]

    @property
    def cause(self) -> str:
        """Name what is settled, so that it is settled once (R33)."""
        return f"{self.snapshot.metric_id}:{self.snapshot.revision}"


def find_late(
    chunk: Chunk,
    *,
    at: datetime,
    terms: Policy,
    replaced: Iterable[int] = (),
    however_old: bool = False,
) -> dict[int, list[Late]]:
    """Return what is late of a chunk's subscriptions, by subscription, the oldest period first.

    Of periods that are closed and whose invoice is issued. Without those past the age limit, save
    what was noted before, unless `however_old`. What invoices that are `replaced` bill counts as
    not billed. Five queries if nothing is late, however many subscriptions.
    """
    since = None if however_old else at - terms.age
    places, waiting = candidates(
        chunk.subscriptions,
        since=since,
        offers=chunk.offers,
        replaced=replaced,
        recast={
            period.pk: [metric.pk for metric in chunk.offer(period).metrics]
            for period in chunk.recast
        },
    )
    if not places:
        return {}
    wanted = _wanted(chunk, places)
    periods = [one.period for one in wanted]
    read = read_snapshots(wanted, at=at)
    books = books_of(periods, replaced=replaced)
    free = _decided(periods) | set(drawn_by(replaced).values_list("period_id", "price_id"))
    found: dict[int, list[Late]] = defaultdict(list)
    for period, snapshots in zip(periods, read, strict=True):
        served = Served(period, chunk.offer(period), snapshots)
        late = {metric: Late(served, snapshot) for metric, snapshot in snapshots.items()}
        for line, before in _differences(served, books):
            assert line.snapshot is not None
            taxation = chunk.taxation(period.subscription)
            tax = before.tax or taxation.on(line.rate_category, line.service_end)
            is_free = (period.pk, line.price_id) in free or period.recast_at is not None
            held_for = "" if is_free else terms.held_for(line, served, at=at)
            late[line.snapshot.metric_id].lines.append(
                LateLine(line, tax, before.invoice_id, held_for)
            )
        for metric, one in late.items():
            if one.lines or (period.pk, metric) in waiting:
                found[period.subscription_id].append(one)
    _add_commitments(found, replaced=replaced)
    return found


def maybe_late(subscriptions: Collection[int]) -> list[int]:
    """Return those of these of which something of any age may be late, or waits.

    Told by what arrived, and by whose plan was changed since: nothing is measured, and no terms are
    loaded but the plans'. Eight queries, however many.
    """
    closed = BillingPeriod.objects.filter(status=PeriodStatus.CLOSED)
    changed = closed.filter(subscription__in=subscriptions, recast_at__isnull=False)
    recast = dict.fromkeys(changed.order_by().values_list("pk", flat=True), ())
    places, _ = candidates(subscriptions, since=None, recast=recast)
    periods = BillingPeriod.objects.filter(pk__in={*recast, *(period for period, _ in places)})
    found = periods.order_by("subscription").values_list("subscription_id", flat=True)
    return list(found.distinct())


def told(lines: Iterable[InvoiceLine]) -> dict[Key, tuple[Decimal, Decimal]]:
    """Return amount and quantity of what settles late usage by period and price, to compare two
    drawings."""
    return {
        (line.period_id or 0, line.price_id or 0): (line.priced, line.quantity)
        for line in lines
        if "billed" in line.explanation
    }


def _wanted(chunk: Chunk, places: set[Key]) -> list[Wanted]:
    """Say what to measure again, subscription by subscription, the oldest period first."""
    rows = BillingPeriod.objects.filter(pk__in={period for period, _ in places})
    found = []
    for period in rows.select_related("phase").order_by("subscription", "number"):
        period.subscription = chunk.subscriptions[period.subscription_id]
        one = chunk.wanted(period)
        asked = [reading for reading in one.readings if (period.pk, reading.metric.pk) in places]
        if period.recast_at:
            asked += _of_the_plan_before(period, asked, places)
        found.append(one._replace(readings=asked))
    return found


def _of_the_plan_before(
    period: BillingPeriod, asked: Sequence[Reading], places: set[Key]
) -> Iterator[Reading]:
    """Yield what to read of metrics that were billed for a period and are not priced any more."""
    known = {reading.metric.pk for reading in asked}
    billed = [metric for pk, metric in places if pk == period.pk and metric not in known]
    for metric in ValueMetric.objects.filter(pk__in=billed).order_by("pk"):
        yield Reading(metric)


def _decided(periods: Sequence[BillingPeriod]) -> set[Key]:
    """Return what was approved or noted before: it is billed, whatever its age and amount."""
    rows = LateUsage.objects.filter(
        period__in=[period.pk for period in periods],
        status=LateStatus.APPROVED,
    )
    return set(rows.values_list("period_id", "price_id"))


def _differences(served: Served, books: Books) -> Iterator[tuple[InvoiceLine, Billed]]:
    """Yield a line over the difference of each price of a period that is not billed in full."""
    full: dict[Key, list[InvoiceLine]] = defaultdict(list)
    for line in usage_lines(served):
        assert line.price is not None
        full[served.period.pk, line.price.pk].append(line)
    closes = {books.billed[key].invoice_id for key in full}
    whole = {key: add_up(line.priced for line in lines) for key, lines in full.items()}
    taken: dict[Key, Decimal] = {}
    for invoice_id in closes:
        if reduced := books.reduced.get((invoice_id, served.period.subscription_id)):
            taken |= reduced.shares_of(whole, exponent=served.offer.exponent)
    if served.period.recast_at:
        full |= _charged_no_more(served, books, full)
        whole |= dict.fromkeys(full.keys() - whole.keys(), ZERO)
    for key, lines in full.items():
        before = books.billed[key]
        if before.tax is None:
            if not served.period.recast_at:
                continue  # its close did not bill it, so nothing can be late of it
            before = books.as_its_close(key, before)
        line = difference(
            lines, before, coupons=taken.get(key, ZERO), exponent=served.offer.exponent
        )
        if line.priced or line.quantity:
            yield line, before


def _charged_no_more(
    served: Served, books: Books, full: Mapping[Key, Sequence[InvoiceLine]]
) -> dict[Key, list[InvoiceLine]]:
    """Return a line over nothing for each price that was billed and that its plan lacks now (R20)."""
    found = {}
    for key, line in books.lines.items():
        usage = served.snapshots.get((line.price and line.price.metric_id) or 0)
        if usage and key[0] == served.period.pk and key not in full:
            found[key] = [nothing_of(line, usage)]
    return found


def is_committed(served: Served) -> bool:
    """Whether a period is compared with its plan's commitment by itself, not with others of a year."""
    own, period = served.plan_period, served.period
    is_alone = own.begins_with(period) and own.ends_with(period)
    return bool(served.offer.version.minimum_commitment) and is_alone


def _add_commitments(found: Mapping[int, Sequence[Late]], *, replaced: Iterable[int]) -> None:
    """Beside what is late of a period, settle what it lacks of its commitment then (R16)."""
    by_period: dict[int, list[Late]] = defaultdict(list)
    for lates in found.values():
        for late in lates:
            if late.to_bill and is_committed(late.served):
                by_period[late.served.period.pk].append(late)
    if not by_period:
        return
    for period, commitment in commitments_of(by_period, replaced=replaced).items():
        whole = {
            (period, line.price_id or 0): Decimal(line.explanation["whole"])
            for late in by_period[period]
            for line, _ in late.to_bill
        }
        late = by_period[period][-1]
        line = commitment_difference(
            late.served,
            commitment.charged_with(whole),
            commitment.settled,
            commitment.credited,
        )
        if line:
            late.lines.append(late.lines[-1]._replace(line=line, held_for=""))
