"""One metric's usage over any time: bars, the same in figures, by dimension, as CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import reduce
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from billing.days import ADDITIVE
from billing.portal import words
from billing.presentation.reader import NO_BREAK_SPACE, Reader, clean
from catalog import wording
from catalog.models import ValueMetric
from catalog.money import EXACT, ZERO, plain, round_half_up
from config.base.charts import Slot, UsageChart, usage_chart
from config.base.csv import cell
from customers.models import SubscriptionPhase
from customers.periods import first_instant, local_date, month_after, zone
from customers.portal import Visitor, page, signed_in
from metering.buckets import Granularity, buckets
from metering.services.usage import Series, TooManyGroups, usage

MOST_BARS = 400
SHOWN_GROUPS = 4  # and all others as one more
FIRST_DAY, LAST_DAY = date(1970, 1, 1), date(2200, 1, 1)
_PLACES = 10
_LABEL_EVERY = {
    Granularity.HOUR: (1, 3, 6, 12, 24, 48, 96, 168),
    Granularity.DAY: (1, 7, 14, 28, 91),
    Granularity.MONTH: (1, 2, 3, 6, 12),
}
_STEPS = {Granularity.HOUR: "hours", Granularity.DAY: "days", Granularity.MONTH: "months"}

Cut = tuple[datetime, datetime]


class BadQuestion(Exception):
    """What was asked for can't be shown: the key of the words that say why, and what they name."""

    def __init__(self, key: str, **named: str) -> None:
        super().__init__(key)
        self.key, self.named = key, named

    def said(self, locale: str) -> str:
        return words.of(locale)[self.key].format(**self.named)


class Question(NamedTuple):
    """Days from `start` to before `end`, in steps, perhaps by a dimension."""

    start: date
    end: date
    step: Granularity
    by: str


class Group(NamedTuple):
    """One value of the dimension: what was used in each bar, and in all."""

    name: str
    bars: list[Decimal]
    used: Decimal
    events: int


@require_safe
@signed_in
def metric(request: HttpRequest, visitor: Visitor, key: str) -> HttpResponse:
    """Show what this customer used of a metric that it is, or was, charged for."""
    found = metric_of(visitor, key)
    status = 200
    context: dict[str, Any] = {"words": words.of(visitor.locale), "trouble": ""}
    try:
        question = _question(request.GET, found, visitor)
        cuts = _cuts(question, visitor)
        groups = _measured(found, cuts, question, visitor)
    except BadQuestion as bad:
        question, status = _usual(visitor), 400
        context["trouble"] = bad.said(visitor.locale)
    else:
        if request.GET.get("format") == "csv":
            return _as_csv(found, cuts, groups, visitor)
        context |= _shown(found, question, cuts, groups, visitor)
    return page(
        request,
        "metric.html",
        {**context, **_form(found, question, visitor)},
        visitor=visitor,
        current="usage",
        status=status,
    )


def metric_of(visitor: Visitor, key: str) -> ValueMetric:
    """Return a metric that this customer's own usage is, or was, charged by.

    :raises Http404: for any other, and for who only pays.
    """
    versions = SubscriptionPhase.objects.filter(subscription__customer=visitor.customer)
    found = ValueMetric.objects.filter(
        key=key, prices__version__in=versions.values("plan_version")
    ).first()
    if found is None:
        raise Http404
    return found


def events_url(metric: ValueMetric, start: datetime, end: datetime) -> str:
    """Return where the single events of [start, end) are listed."""
    ends = {"from": _instant(start), "to": _instant(end)}
    return f"{reverse('portal:events', args=(metric.key,))}?{urlencode(ends)}"


def days_url(metric: ValueMetric, start: date, end: date, step: Granularity) -> str:
    """Return where bars of the days from `start` to before `end` are drawn."""
    query = _query(Question(start, end, step, ""))
    return f"{reverse('portal:metric', args=(metric.key,))}?{query}"


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _usual(visitor: Visitor) -> Question:
    """Ask for the days of this month so far."""
    today = local_date(timezone.now(), zone(visitor.customer.time_zone))
    return Question(today.replace(day=1), today + timedelta(days=1), Granularity.DAY, "")


def _usuals(by: str, visitor: Visitor) -> Iterator[tuple[str, Question]]:
    """Offer what is mostly asked for."""
    now = _usual(visitor)._replace(by=by)
    yield "this_month", now
    yield "last_month", now._replace(start=month_after(now.start, -1), end=now.start)
    yield "last_year", now._replace(start=month_after(now.start, -11), step=Granularity.MONTH)


def _question(given: Mapping[str, str], metric: ValueMetric, visitor: Visitor) -> Question:
    last = asked_day(given, "to", local_date(timezone.now(), zone(visitor.customer.time_zone)))
    start = asked_day(given, "from", last.replace(day=1))
    if start > last:
        raise BadQuestion("bad_range")
    return Question(start, last + timedelta(days=1), _step(given), _by(given, metric))


def asked_day(given: Mapping[str, str], name: str, usual: date) -> date:
    """Read a day that was asked for; `usual` where none was.

    :raises BadQuestion: if it is no day, or not from 1970 to 2200.
    """
    if not (text := given.get(name)):
        return usual
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise BadQuestion("bad_day", name=name, value=clean(text)) from None
    if not FIRST_DAY <= day <= LAST_DAY:
        raise BadQuestion("bad_year", name=name, value=clean(text))
    return day


def _step(given: Mapping[str, str]) -> Granularity:
    text = given.get("step") or Granularity.DAY
    try:
        return Granularity(text)
    except ValueError:
        raise BadQuestion("bad_step", value=clean(text)) from None


def _by(given: Mapping[str, str], metric: ValueMetric) -> str:
    by = given.get("by", "")
    if by and by not in metric.dimensions:
        key = "bad_by" if metric.dimensions else "bad_by_none"
        raise BadQuestion(key, value=clean(by), choices=", ".join(metric.dimensions))
    return by


def _cuts(question: Question, visitor: Visitor) -> list[Cut]:
    place = zone(visitor.customer.time_zone)
    start, end = first_instant(question.start, place), first_instant(question.end, place)
    found = list(islice(buckets(start, end, question.step, place), MOST_BARS + 1))
    if len(found) > MOST_BARS:
        raise BadQuestion("too_many", most=str(MOST_BARS))
    if not found:
        raise BadQuestion("bad_range")
    return found


def _measured(
    metric: ValueMetric, cuts: Sequence[Cut], question: Question, visitor: Visitor
) -> list[Group]:
    """Return all usage first, then the values of the dimension, the greatest first; two queries."""
    try:
        found = usage(
            customer=visitor.customer,
            metric=metric,
            start=cuts[0][0],
            end=cuts[-1][1],
            granularity=question.step,
            at=timezone.now(),
            by=question.by or None,
        )
    except TooManyGroups:
        raise BadQuestion("cannot_measure") from None
    parts = [_group(named(one.value, visitor), one) for one in found.groups]
    return [_group("", found.all), *sorted(parts, key=lambda group: -group.used)]


def _group(name: str, series: Series) -> Group:
    *bars, whole = [
        round_half_up(bucket.quantity, _PLACES) for bucket in [*series.buckets, series.total]
    ]
    return Group(name, bars, whole, series.total.events)


def named(value: object, visitor: Visitor) -> str:
    """Return a value of a dimension as it is shown."""
    return words.of(visitor.locale)["missing_value"] if value is None else clean(value)


def _shown(
    metric: ValueMetric,
    question: Question,
    cuts: Sequence[Cut],
    groups: Sequence[Group],
    visitor: Visitor,
) -> dict[str, Any]:
    say, reader = words.of(visitor.locale), Reader(visitor.locale, visitor.customer.currency)
    whole, *parts = groups
    return {
        "used": used_in(metric, whole.used, whole.events, reader),
        "span": reader.span(question.start, question.end),
        "chart": _chart(metric, question, cuts, whole, _few(parts, say["other"]), visitor)
        if whole.events or whole.used
        else None,
        "chart_words": {**reader.words, "when": say["time"]},
        "breakdown": [
            {
                "name": part.name,
                "used": reader.number(part.used),
                "share": _share(part.used, whole.used, reader) if _adds_up(metric) else "",
                "events": reader.number(Decimal(part.events)),
            }
            for part in parts
        ],
        "dimension": question.by,
        "by": say["breakdown"].format(dimension=question.by),
        "csv_url": f"?{_query(question)}&format=csv",
        "events_url": events_url(metric, cuts[0][0], cuts[-1][1]) if whole.events else "",
    }


def used_in(metric: ValueMetric, used: Decimal, events: int, reader: Reader) -> str:
    """Say in a sentence what was used, and in how many events."""
    say = words.of(reader.tag)
    if not events and not used:
        return say["nothing_used"]
    quantity = reader.units(used, metric.unit, metric.unit_plural)
    if not events:
        return say["used_in_none"].format(quantity=quantity)
    if events == 1:
        return say["used_in_one"].format(quantity=quantity)
    return say["used_in"].format(quantity=quantity, events=reader.number(Decimal(events)))


def _few(parts: Sequence[Group], other: str) -> list[Group]:
    """Keep the greatest, and add up all others as one more."""
    if len(parts) <= SHOWN_GROUPS + 1:
        return list(parts)
    shown, rest = list(parts[:SHOWN_GROUPS]), parts[SHOWN_GROUPS:]
    bars = [_sum(column) for column in zip(*(part.bars for part in rest), strict=True)]
    used = _sum(part.used for part in rest)
    return [*shown, Group(other, bars, used, sum(part.events for part in rest))]


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    return reduce(EXACT.add, amounts, ZERO)


def _chart(
    metric: ValueMetric,
    question: Question,
    cuts: Sequence[Cut],
    whole: Group,
    parts: Sequence[Group],
    visitor: Visitor,
) -> UsageChart:
    reader = Reader(visitor.locale, visitor.customer.currency)
    adds_up = _adds_up(metric)
    stacked = parts if adds_up else []
    slots = [
        _slot(
            cut,
            whole.bars[place],
            [part.bars[place] for part in stacked],
            metric,
            question,
            visitor,
        )
        for place, cut in enumerate(cuts)
    ]
    return usage_chart(
        slots,
        text=f"{clean(metric.name)}, {reader.span(question.start, question.end)}",
        write=reader.number,
        write_short=reader.short_number,
        adds_up=False,
        groups=[part.name for part in stacked],
        label_every=_LABEL_EVERY[question.step],
    )


def _slot(
    cut: Cut,
    used: Decimal,
    parts: Sequence[Decimal],
    metric: ValueMetric,
    question: Question,
    visitor: Visitor,
) -> Slot:
    reader = Reader(visitor.locale, visitor.customer.currency)
    now, place = timezone.now(), visitor.customer.time_zone
    start, end = cut
    day = local_date(start, zone(place))
    return Slot(
        name=_when(start, day, question.step, reader, place),
        label=reader.hour(start, place)
        if question.step == Granularity.HOUR and (question.end - question.start).days <= 2
        else reader.month(day, with_year=False)
        if question.step == Granularity.MONTH
        else reader.short_day(day),
        value=used if start <= now else None,
        is_over=end <= now,
        is_shaded=question.step != Granularity.MONTH and day.weekday() >= 5,
        parts=tuple(parts),
        url=_closer(cut, day, metric, question) if start <= now else "",
    )


def _when(start: datetime, day: date, step: Granularity, reader: Reader, place: str) -> str:
    if step == Granularity.HOUR:
        return reader.moment(start, place)
    return reader.month(day, with_year=True) if step == Granularity.MONTH else reader.day(day)


def _closer(cut: Cut, day: date, metric: ValueMetric, question: Question) -> str:
    """Lead from a month to its days, from a day or an hour to its events."""
    if question.step != Granularity.MONTH:
        return events_url(metric, *cut)
    first = day.replace(day=1)
    start, end = max(first, question.start), min(month_after(first, 1), question.end)
    query = _query(Question(start, end, Granularity.DAY, question.by))
    return f"{reverse('portal:metric', args=(metric.key,))}?{query}"


def _query(question: Question) -> str:
    given = {
        "from": question.start,
        "to": question.end - timedelta(days=1),
        "step": question.step.value,
        "by": question.by,
    }
    return urlencode({name: value for name, value in given.items() if value})


def _form(metric: ValueMetric, question: Question, visitor: Visitor) -> dict[str, Any]:
    say = words.of(visitor.locale)
    return {
        "title": clean(metric.name),
        "shortcuts": [
            (say[name], f"?{_query(one)}", one == question)
            for name, one in _usuals(question.by, visitor)
        ],
        "unit": clean(metric.unit_plural),
        "first": question.start.isoformat(),
        "last": (question.end - timedelta(days=1)).isoformat(),
        "steps": [(step.value, say[name], step == question.step) for step, name in _STEPS.items()],
        "dimensions": [(name, name == question.by) for name in metric.dimensions],
    }


def _share(part: Decimal, whole: Decimal, reader: Reader) -> str:
    if whole <= ZERO:
        return ""
    percent = round_half_up(Fraction(part) * 100 / Fraction(whole), 1)
    return f"{wording.amount(percent, 1, reader.tag)}{NO_BREAK_SPACE}%"


def _adds_up(metric: ValueMetric) -> bool:
    return metric.aggregation in ADDITIVE


def _as_csv(
    metric: ValueMetric, cuts: Sequence[Cut], groups: Sequence[Group], visitor: Visitor
) -> HttpResponse:
    """Write a row per bar: its ends in the customer's time, all usage, and each value's."""
    whole, *parts = groups
    response = HttpResponse(
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{metric.key}.csv"'},
    )
    writer = csv.writer(response)
    writer.writerow(["from", "to", cell(metric.unit_plural), *(cell(part.name) for part in parts)])
    writer.writerows(_rows(cuts, whole, parts, visitor))
    return response


def _rows(
    cuts: Sequence[Cut], whole: Group, parts: Sequence[Group], visitor: Visitor
) -> Iterator[list[str]]:
    place = zone(visitor.customer.time_zone)
    for n, (start, end) in enumerate(cuts):
        ends = [at.astimezone(place).isoformat() for at in (start, end)]
        yield [*ends, plain(whole.bars[n]), *(plain(part.bars[n]) for part in parts)]
