"""The single events behind a bar of usage, and their CSV."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import chain
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponseBase
from django.utils import timezone
from django.views.decorators.http import require_safe

from billing.portal import words
from billing.portal.metric import (
    FIRST_DAY,
    LAST_DAY,
    BadQuestion,
    asked_day,
    days_url,
    events_url,
    metric_of,
    named,
    used_in,
)
from billing.presentation.reader import Reader, clean
from catalog.models import ValueMetric
from catalog.money import plain, round_half_up
from config.base.csv import cell, download
from customers.periods import first_instant, local_date, zone
from customers.portal import Visitor, page, signed_in
from metering import properties
from metering.buckets import Granularity
from metering.events import OutOfReach, read_time
from metering.services.behind import Counted, all_behind, page_behind
from metering.services.usage import Bucket, TooManyBuckets, usage

_PLACES = 10


@require_safe
@signed_in
def events(request: HttpRequest, visitor: Visitor, key: str) -> HttpResponseBase:
    """List what this customer's metric was counted from, with what each event counts."""
    metric = metric_of(visitor, key)
    say = words.of(visitor.locale)
    context: dict[str, Any] = {
        "words": say,
        "title": say["single_events_of"].format(name=clean(metric.name)),
        "metric": clean(metric.name),
        "key": metric.key,
        "days_url": _usual_url(metric, visitor),
        "trouble": "",
    }
    try:
        start, end = _span(request.GET, visitor)
        if request.GET.get("format") == "csv":
            return _as_csv(metric, start, end, visitor)
        context |= _shown(metric, start, end, visitor, after=request.GET.get("after", ""))
    except BadQuestion as bad:
        context["trouble"] = bad.said(visitor.locale)
    return page(
        request,
        "events.html",
        context,
        visitor=visitor,
        current="usage",
        status=400 if context["trouble"] else 200,
    )


def _span(given: Mapping[str, str], visitor: Visitor) -> tuple[datetime, datetime]:
    """Read [start, end): instants, or the customer's days, of which the last is included.

    What is left out is the month until then, or today.
    """
    place = zone(visitor.customer.time_zone)
    today = local_date(timezone.now(), place)
    end = _instant(given, "to") or first_instant(
        asked_day(given, "to", today) + timedelta(days=1), place
    )
    month = local_date(end - timedelta.resolution, place).replace(day=1)
    start = _instant(given, "from") or first_instant(asked_day(given, "from", month), place)
    if not start < end:
        raise BadQuestion("bad_range")
    return start, end


def _instant(given: Mapping[str, str], name: str) -> datetime | None:
    """Read an instant; none where something else was given."""
    text = given.get(name, "")
    if "T" not in text:
        return None
    try:
        at = read_time(text.replace(" ", "+"))
    except OutOfReach:
        raise BadQuestion("bad_year", name=name, value=clean(text)) from None
    except ValueError:
        raise BadQuestion("bad_moment", name=name, value=clean(text)) from None
    if not FIRST_DAY.year <= at.year <= LAST_DAY.year:
        raise BadQuestion("bad_year", name=name, value=clean(text))
    return at


def _usual_url(metric: ValueMetric, visitor: Visitor) -> str:
    today = local_date(timezone.now(), zone(visitor.customer.time_zone))
    return days_url(metric, today.replace(day=1), today + timedelta(days=1), Granularity.DAY)


def _shown(
    metric: ValueMetric, start: datetime, end: datetime, visitor: Visitor, *, after: str
) -> dict[str, Any]:
    say, reader = words.of(visitor.locale), Reader(visitor.locale, visitor.customer.currency)
    whole = _whole(metric, start, end, visitor)
    found = page_behind(customer=visitor.customer, metric=metric, start=start, end=end, after=after)
    here = events_url(metric, start, end)
    return {
        "span": _when(start, end, reader, visitor.customer.time_zone),
        "zone": visitor.customer.time_zone,
        "used": used_in(metric, round_half_up(whole.quantity, _PLACES), whole.events, reader),
        "notes": list(_notes(metric, whole, reader)),
        "dimensions": metric.dimensions,
        "rows": [_row(one, metric, reader, visitor) for one in found.events],
        "nothing": _nothing(whole, say, is_later=bool(after)),
        "later_url": f"{here}&{urlencode({'after': found.following})}" if found.following else "",
        "first_url": here if after else "",
        "csv_url": f"{here}&format=csv",
        **_bars_urls(metric, start, end, visitor),
    }


def _whole(metric: ValueMetric, start: datetime, end: datetime, visitor: Visitor) -> Bucket:
    try:
        return usage(
            customer=visitor.customer,
            metric=metric,
            start=start,
            end=end,
            granularity=Granularity.MONTH,
            at=timezone.now(),
        ).all.total
    except TooManyBuckets:
        raise BadQuestion("too_long") from None


def _when(start: datetime, end: datetime, reader: Reader, place: str) -> str:
    """Name whole days by their dates, any other stretch by its ends."""
    first, last = (local_date(at, zone(place)) for at in (start, end))
    if (first_instant(first, zone(place)), first_instant(last, zone(place))) == (start, end):
        return reader.span(first, last)
    return f"{reader.moment(start, place)} – {reader.moment(end, place)}"


def _bars_urls(
    metric: ValueMetric, start: datetime, end: datetime, visitor: Visitor
) -> dict[str, str]:
    """Lead back to the bars of these days, and to the hours of a single one."""
    place = zone(visitor.customer.time_zone)
    first = local_date(start, place)
    after = local_date(end - timedelta.resolution, place) + timedelta(days=1)
    is_one_day = (after - first).days == 1
    month = first.replace(day=1) if is_one_day else first
    return {
        "days_url": days_url(metric, month, after, Granularity.DAY),
        "hours_url": days_url(metric, first, after, Granularity.HOUR) if is_one_day else "",
    }


def _notes(metric: ValueMetric, whole: Bucket, reader: Reader) -> Iterator[str]:
    say = words.of(reader.tag)
    if whole.level is not None:
        yield say["average"].format(level=reader.number(round_half_up(whole.level, _PLACES)))
    if metric.unit_divisor != 1:
        divisor, units = reader.number(metric.unit_divisor), clean(metric.unit_plural)
        yield say["divided"].format(divisor=divisor, units=units)
    if metric.value_is:
        yield say["level"]


def _nothing(whole: Bucket, say: Mapping[str, str], *, is_later: bool) -> str:
    if is_later:
        return say["no_more_events"]
    return say["archived"] if whole.events else say["no_events"]


def _row(one: Counted, metric: ValueMetric, reader: Reader, visitor: Visitor) -> dict[str, Any]:
    """Return an event's row: what it counts, and what it would have before it was corrected."""
    say = words.of(reader.tag)
    value, before = _said(one.value, reader), _said(one.before, reader)
    data = one.data if isinstance(one.data, dict) else one.event.data
    return {
        "time": reader.second(one.event.time, visitor.customer.time_zone),
        "id": clean(one.event.event_id),
        "values": [named(data.get(name), visitor) for name in metric.dimensions],
        "value": value,
        "before": before if one.adjustment and before != value else "",
        "note": say["is_void"]
        if one.is_void
        else say["is_replaced"]
        if one.adjustment
        else ""
        if value
        else say["not_counted"],
    }


def _said(value: Any, reader: Reader) -> str:
    """Write what an event counts; empty where it counts nothing."""
    if value is None:
        return ""
    number = None if isinstance(value, str) else properties.quantity(value)
    return reader.number(number) if number is not None else clean(_text(value))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else properties.canonical(value)


def _as_csv(
    metric: ValueMetric, start: datetime, end: datetime, visitor: Visitor
) -> HttpResponseBase:
    """Stream every event of the span: times in the customer's zone, figures plain, texts as texts."""
    place = zone(visitor.customer.time_zone)
    head = ["time", "id", "source", "counts", "before", "correction", *map(cell, metric.dimensions)]
    found = all_behind(customer=visitor.customer, metric=metric, start=start, end=end)
    ends = "-".join(f"{at.astimezone(place):%Y%m%dT%H%M}" for at in (start, end))
    rows = (_csv_row(one, metric, visitor) for one in found)
    return download(f"{metric.key}-{ends}.csv", chain([head], rows))


def _csv_row(one: Counted, metric: ValueMetric, visitor: Visitor) -> list[str]:
    data = one.data if isinstance(one.data, dict) else one.event.data
    values = (data.get(name) for name in metric.dimensions)
    return [
        one.event.time.astimezone(zone(visitor.customer.time_zone)).isoformat(),
        cell(one.event.event_id),
        cell(one.event.source),
        _figure(one.value),
        _figure(one.before) if one.adjustment else "",
        one.adjustment.kind if one.adjustment else "",
        *("" if value is None else cell(_text(value)) for value in values),
    ]


def _figure(value: Any) -> str:
    """Write what an event counts: a number as it is, a text so that nothing computes it."""
    if value is None:
        return ""
    number = None if isinstance(value, str) else properties.quantity(value)
    return plain(number) if number is not None else cell(_text(value))
