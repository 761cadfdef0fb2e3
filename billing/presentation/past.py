"""The trend of a line: what was used in the periods before, as frozen with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple

from billing.presentation.reader import Reader, sentence
from config.base.charts import Trend, trend

Told = Mapping[str, str | None]


class _Period(NamedTuple):
    start: date
    last: date
    """The last day, included."""
    used: Decimal | None
    included: Decimal | None


def past_view(told: Sequence[Told], reader: Reader) -> Trend | None:
    """Draw and word an explanation's `trend`; None where there is no past."""
    periods = [_period(one) for one in told]
    if not periods:
        return None
    names = _names(periods, reader)
    span = _span(periods, names, reader)
    steps = any(period.included for period in periods)
    said = (_said(period, name, reader) for period, name in zip(periods, names, strict=True))
    return trend(
        [(period.used, period.included) for period in periods],
        text="; ".join(said),
        caption=sentence(reader.say("trend_with_included", span=span) if steps else span),
        labels=_labels(periods, reader),
    )


def _period(told: Told) -> _Period:
    start, end, used, included = (told[key] for key in ("start", "end", "used", "included"))
    assert start is not None
    assert end is not None
    return _Period(
        date.fromisoformat(start),
        date.fromisoformat(end) - timedelta(days=1),
        None if used is None else Decimal(used),
        None if included is None else Decimal(included),
    )


def _are_months(periods: Sequence[_Period]) -> bool:
    """Whether each lies in a calendar month of its own, so that its name says it."""
    months = {(period.start.year, period.start.month) for period in periods}
    within = all((p.start.year, p.start.month) == (p.last.year, p.last.month) for p in periods)
    return within and len(months) == len(periods)


def _names(periods: Sequence[_Period], reader: Reader) -> list[str]:
    if not _are_months(periods):
        return [reader.span(p.start, p.last + timedelta(days=1)) for p in periods]
    with_year = periods[0].start.year != periods[-1].start.year
    return [reader.month(period.start, with_year=with_year) for period in periods]


def _labels(periods: Sequence[_Period], reader: Reader) -> list[tuple[str, str]]:
    """Name each period and write what was used in little room; "–" where nothing is billed."""
    name = reader.short_month if _are_months(periods) else reader.short_day
    return [
        (name(p.start), "–" if p.used is None else reader.brief_number(p.used)) for p in periods
    ]


def _span(periods: Sequence[_Period], names: Sequence[str], reader: Reader) -> str:
    if _are_months(periods):
        return reader.say("trend_months", first=names[0], last=names[-1])
    return reader.span(periods[0].start, periods[-1].last + timedelta(days=1))


def _said(period: _Period, name: str, reader: Reader) -> str:
    if period.used is None:
        return reader.say("trend_unknown", when=name)
    used = reader.number(period.used)
    if not period.included:
        return reader.say("trend_now", when=name, used=used)
    return reader.say("trend_of", when=name, used=used, included=reader.number(period.included))
