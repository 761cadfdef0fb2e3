"""What a subscription was billed for in the periods before one: the past of a usage trend."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from functools import reduce
from itertools import dropwhile
from operator import or_
from typing import Any, NamedTuple

from django.db.models import Q
from django.db.models.fields.json import KT

from billing.models import BillingPeriod, InvoiceLine, InvoiceStatus, LineKind
from catalog.money import EXACT, ZERO, plain

BEFORE = 5  # periods; with the one they come before, a trend has six

_Billed = dict[tuple[int, str], tuple[Decimal, Decimal]]  # used and included, by PastKey
_LIVE = (InvoiceStatus.DRAFT, InvoiceStatus.REVIEW, InvoiceStatus.ISSUED)


class Past(NamedTuple):
    """A period, and what was used and included in it: None where nothing is billed for it."""

    start: date
    end: date
    used: Decimal | None
    included: Decimal | None

    def as_json(self) -> dict[str, str | None]:
        return {
            "start": self.start.isoformat(),
            "end": self.end.isoformat(),
            "used": None if self.used is None else plain(self.used),
            "included": None if self.included is None else plain(self.included),
        }


PastKey = tuple[int, str]
"""A metric and the key of one of its prices; an empty key: all of its prices together."""


def period_key(period: BillingPeriod) -> tuple[int, int]:
    """Name a period that may not be saved yet: by its subscription and number."""
    return period.subscription_id, period.number


def earlier_usage(
    periods: Sequence[BillingPeriod],
) -> dict[tuple[int, int], dict[PastKey, list[Past]]]:
    """Return, by `period_key` and `PastKey`, the up to five periods before each, oldest first.

    As billed, on lines of the same subscription that are neither void nor discarded. A past
    begins with the first of the five that bills it; a later one without is a gap. Two queries,
    however many periods.
    """
    rows = _rows_before(periods)
    billed = _billed([row.pk for row in rows.values()])
    found: dict[tuple[int, int], dict[PastKey, list[Past]]] = {}
    for period in periods:
        places = [(period.subscription_id, period.number - back) for back in range(BEFORE, 0, -1)]
        before = [rows[place] for place in places if place in rows]
        keys = {key for row in before for key in billed[row.pk]}
        found[period_key(period)] = {key: _past(before, key, billed) for key in keys}
    return found


def _past(rows: Iterable[BillingPeriod], key: PastKey, billed: Mapping[int, _Billed]) -> list[Past]:
    began = dropwhile(lambda row: key not in billed[row.pk], rows)
    return [
        Past(row.start_date, row.end_date, *billed[row.pk].get(key, (None, None))) for row in began
    ]


def _rows_before(periods: Iterable[BillingPeriod]) -> dict[tuple[int, int], BillingPeriod]:
    """Load the periods before each of these."""
    subscriptions: dict[int, list[int]] = defaultdict(list)  # of the same age, most are
    for period in periods:
        if period.number:
            subscriptions[period.number].append(period.subscription_id)
    if not subscriptions:
        return {}
    before = [
        Q(subscription__in=same, number__gte=number - BEFORE, number__lt=number)
        for number, same in subscriptions.items()
    ]
    rows = BillingPeriod.objects.filter(reduce(or_, before))
    return {
        period_key(row): row
        for row in rows.only("subscription", "number", "start_date", "end_date")
    }


def _billed(periods: Sequence[int]) -> dict[int, _Billed]:
    """Return what live invoices bill of these periods."""
    lines: Any = InvoiceLine.objects.filter(
        period__in=periods, kind=LineKind.USAGE, invoice__status__in=_LIVE
    ).values_list(
        "period_id", "price__metric_id", "price__key", "quantity", KT("explanation__included")
    )
    found: dict[int, _Billed] = defaultdict(dict)
    for period, metric, price, *figures in lines:
        figures = [Decimal(figure) for figure in figures]
        for key in ((metric, price), (metric, "")):
            before = found[period].get(key, (ZERO, ZERO))
            used, included = map(EXACT.add, before, figures)
            found[period][key] = (used, included)
    return found
