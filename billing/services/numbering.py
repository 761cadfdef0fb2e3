"""Numbers of issued documents: gapless per issuer, kind, series and year of issue (R27)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any, NamedTuple

from billing.models import DocumentSequence
from customers.models import Issuer
from customers.periods import local_date, zone


class Number(NamedTuple):
    """What a document is numbered with, and the day that it is dated."""

    series: str
    year: int
    sequence: int
    text: str
    issue_date: date


class NumberBlock(NamedTuple):
    """The numbers that one issuer's documents would get if they were issued now."""

    issuer: Issuer
    first: str
    last: str
    issue_date: date


def spend_numbers(
    issuer: Issuer, *, kind: str, size: int, as_of: datetime, not_before: date | None = None
) -> list[Number]:
    """Spend the issuer's next numbers of a kind, in a transaction that is about to end.

    The issue date is that of `as_of` where the issuer is, or `not_before`, or the last of the
    series if later, so that numbers and dates rise together. The counter is a locked row: a
    database sequence would leave gaps, which the tax office asks about.
    """
    today = local_date(as_of, zone(issuer.time_zone))
    counter = _locked_counter(issuer, kind, max(today, not_before or today))
    day = max(today, not_before or today, counter.last_issue_date or today)
    first = counter.next_number
    counter.next_number, counter.last_issue_date = first + size, day
    counter.save()
    return [
        Number(counter.series, counter.year, sequence, _text(counter, sequence), day)
        for sequence in range(first, first + size)
    ]


def lock_counters(issuers: Iterable[Issuer]) -> None:
    """Lock all counters of these issuers, where documents of several kinds are numbered together."""
    rows = DocumentSequence.objects.select_for_update().filter(issuer__in=list(issuers))
    list(rows.order_by("pk").values_list("pk"))


def numbers_ahead(sizes: Mapping[Issuer, int], *, kind: str, as_of: datetime) -> list[NumberBlock]:
    """Return the numbers and dates that so many documents of each issuer would get; spend none."""
    blocks = []
    for issuer, size in sizes.items():
        today = local_date(as_of, zone(issuer.time_zone))
        mine = DocumentSequence.objects.filter(issuer=issuer, kind=kind, series=issuer.series)
        counters = [counter for counter in mine.order_by("year") if _is_begun(counter, today)]
        counter = (
            counters[-1]
            if counters
            else DocumentSequence(kind=kind, series=issuer.series, year=today.year)
        )
        first = counter.next_number
        blocks.append(
            NumberBlock(
                issuer=issuer,
                first=_text(counter, first),
                last=_text(counter, first + size - 1),
                issue_date=max(today, counter.last_issue_date or today),
            )
        )
    return blocks


def _locked_counter(issuer: Issuer, kind: str, today: date) -> DocumentSequence:
    """Lock the counter of the year to issue in: today's, or a later one already begun (R36)."""
    mine: dict[str, Any] = {"issuer": issuer, "kind": kind, "series": issuer.series}
    counters = DocumentSequence.objects.select_for_update().filter(**mine).order_by("year")
    begun = [counter for counter in counters.all() if _is_begun(counter, today)]
    if not begun:
        DocumentSequence.objects.get_or_create(**mine, year=today.year)
        begun = [counter for counter in counters.all() if _is_begun(counter, today)]
    return begun[-1]


def _is_begun(counter: DocumentSequence, today: date) -> bool:
    return counter.year == today.year or bool(counter.year > today.year and counter.last_issue_date)


def _text(counter: DocumentSequence, sequence: int) -> str:
    series = f"{counter.series}-" if counter.series else ""
    return f"{counter.kind}-{series}{counter.year}-{sequence:06d}"
