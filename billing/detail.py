"""The usage behind an invoice, day by day and by dimension, for its appendix."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import reduce
from typing import Any

from billing.chunk import Chunk
from billing.days import ADDITIVE, DayUsed, read_days
from billing.models import Invoice, InvoiceLine, LineKind, UsageSnapshot
from billing.usage import Wanted, span_of
from catalog.metrics import rounded
from catalog.models import Aggregation, ValueMetric
from catalog.money import EXACT, ZERO, Exact, plain, split
from customers.models import Subscription
from metering.properties import canonical
from metering.querysets import MonthArchived, billable, measure_by

MOST_METRICS = 6  # as many as the first page shows at a glance
MOST_DIMENSIONS = 2
MOST_VALUES = 5  # of a dimension; the rest is added up
_COUNTED = (Aggregation.COUNT, Aggregation.SUM)  # what dimensions part without a remainder


@dataclass(frozen=True)
class _Billed:
    """What an invoice bills of one metric in one period, on one or more lines."""

    lines: list[InvoiceLine]
    wanted: Wanted
    snapshot: UsageSnapshot
    metric: ValueMetric

    @property
    def used(self) -> Decimal:
        return _sum([line.quantity for line in self.lines])

    @property
    def is_all(self) -> bool:
        """Whether its lines bill all that was measured, and no price leaves a part of it aside."""
        is_counted = self.metric.aggregation in _COUNTED
        return not is_counted or self.used == billable(self.metric, self.snapshot.quantity)


def usage_details(invoice: Invoice) -> list[dict[str, Any]]:
    """Return the days and the greatest dimension values of the metrics that an invoice bills.

    Of at most six, in the order of its lines; nothing where the events of a month are archived.
    Figures are in the metric's unit. Values and "other" add up to the quantity that is billed;
    where more came in since it was counted, to that and `later`. A query per metric, and one more
    per dimension.
    """
    billed = _billed(invoice)
    if not billed:
        return []
    until = max(one.snapshot.taken_at for one in billed)
    try:
        days = read_days([one.wanted for one in billed], until=until)
        return [
            _detail(one, found.get(one.metric.pk, []))
            for one, found in zip(billed, days, strict=True)
        ]
    except MonthArchived:
        return []


def _billed(invoice: Invoice) -> list[_Billed]:
    lines = [
        line
        for line in invoice.lines.all()
        if line.kind == LineKind.USAGE and line.quantity and line.period_id and line.metric
    ]
    if not lines:
        return []
    by_place: dict[tuple[int, int], list[InvoiceLine]] = {}
    for line in lines:
        assert line.period_id
        assert line.metric
        by_place.setdefault((line.period_id, line.metric.pk), []).append(line)
    shown = dict(list(by_place.items())[:MOST_METRICS])
    subscriptions = Subscription.objects.with_terms().filter(
        pk__in={line.subscription_id for line in lines}
    )
    chunk = Chunk(list(subscriptions))
    snapshots = UsageSnapshot.objects.select_related(
        "metric", "period__phase__plan_version"
    ).in_bulk([lines[0].snapshot_id for lines in shown.values()])
    return list(_placed(shown, chunk, snapshots))


def _placed(
    shown: dict[tuple[int, int], list[InvoiceLine]],
    chunk: Chunk,
    snapshots: dict[Any, UsageSnapshot],
) -> Iterator[_Billed]:
    for (_, metric_id), lines in shown.items():
        snapshot = snapshots[lines[0].snapshot_id]
        period = snapshot.period
        period.subscription = chunk.subscriptions[period.subscription_id]
        whole = chunk.wanted(period)
        mine = [one for one in whole.readings if one.metric.pk == metric_id]
        if mine and not mine[0].since:  # an interval of its own has days before the period
            billed = _Billed(lines, whole._replace(readings=mine), snapshot, mine[0].metric)
            if billed.is_all:
                yield billed


def _detail(billed: _Billed, days: Sequence[DayUsed]) -> dict[str, Any]:
    lines, metric, period = billed.lines, billed.metric, billed.snapshot.period
    said = lines[0].explanation
    adds_up = metric.aggregation in ADDITIVE
    found = {
        "subscription": period.subscription.key,
        "name": lines[0].description if len(lines) == 1 else metric.name,
        "unit": lines[0].unit,
        "unit_plural": lines[0].unit_plural,
        "start": period.start_date.isoformat(),
        "end": period.end_date.isoformat(),
        "time_zone": period.time_zone,
        "used": plain(billed.used),
        "included": said["included"] if len(lines) == 1 else "0",
        "adds_up": adds_up,
        "days": [[one.day.isoformat(), plain(one.used)] for one in days],
        "by": [],
        "later": "0",
        "events": billed.snapshot.events,
        "as_of": billed.snapshot.taken_at.isoformat(),
    }
    if metric.aggregation in _COUNTED:
        found |= _by_dimension(billed, days)
    return found


def _by_dimension(billed: _Billed, days: Sequence[DayUsed]) -> dict[str, Any]:
    metric = billed.metric
    now = rounded(_sum([one.used for one in days]), metric) if days else billed.used
    return {
        "later": plain(EXACT.subtract(now, billed.used)),
        "by": [_values(billed, name, now) for name in metric.dimensions[:MOST_DIMENSIONS]],
    }


def _values(billed: _Billed, name: str, whole: Decimal) -> dict[str, Any]:
    """Return the greatest values of a dimension, and what of the whole is none of them."""
    metric = billed.metric
    [groups] = measure_by(metric, [span_of(billed.wanted, metric.pk)], (name,))
    values = [group[0] for group in groups]
    shares = _shares(metric, whole, [measured.quantity for measured in groups.values()])
    used = sorted(zip(values, shares, strict=True), key=lambda one: (-one[1], str(one[0])))
    top = [(value, quantity) for value, quantity in used[:MOST_VALUES] if value is not None]
    return {
        "name": name,
        "values": [[_text(value), plain(quantity)] for value, quantity in top],
        "other": plain(EXACT.subtract(whole, _sum([quantity for _, quantity in top]))),
    }


def _shares(metric: ValueMetric, whole: Decimal, measured: Sequence[Exact]) -> list[Decimal]:
    """Round what each value used, so that the rounded parts add up to the rounded whole.

    Where they can't, each is rounded by itself, and "other" makes up for it.
    """
    together = sum((Fraction(one) for one in measured), Fraction(0))
    if all(quantity >= 0 for quantity in measured) and billable(metric, together) == whole:
        return split(whole, measured, metric.rounding_scale)
    return [billable(metric, quantity) for quantity in measured]


def _text(value: object) -> str:
    return value if isinstance(value, str) else canonical(value)


def _sum(amounts: Sequence[Decimal]) -> Decimal:
    return reduce(EXACT.add, amounts, ZERO)
