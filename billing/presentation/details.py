"""Usage day by day and by dimension, for the appendix."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from billing.presentation.reader import Reader, clean
from billing.presentation.views import DetailView, DimensionView, Fact
from config.base.charts import crossed_at
from config.base.strips import Strip, strip

Told = Mapping[str, Any]


def detail_view(told: Told, reader: Reader) -> DetailView:
    """Word and draw what `billing.annexes` tells of one metric."""
    return DetailView(
        name=reader.say("days_of", name=clean(told["name"])),
        chart=_chart(told, reader) if told["days"] else None,
        dimensions=tuple(_dimension(one, reader) for one in told["by"] if one["values"]),
        notes=tuple(_notes(told, reader)),
    )


def counted(events: int, as_of: datetime, zone: str, reader: Reader) -> str:
    """Say of how many events a quantity came, and until when they were counted."""
    moment = reader.moment(as_of, zone)
    if events == 1:
        return reader.say("event", moment=moment)
    return reader.say("events", count=reader.number(Decimal(events)), moment=moment)


def _chart(told: Told, reader: Reader) -> Strip:
    days = [date.fromisoformat(day) for day, _ in told["days"]]
    values = [Decimal(used) for _, used in told["days"]]
    included = Decimal(told["included"])
    mark = _crossed(days, values, included, reader) if told["adds_up"] else ""
    start, end = date.fromisoformat(told["start"]), date.fromisoformat(told["end"])
    about = reader.say("chart_text", name=clean(told["name"]), span=reader.span(start, end))
    most = max(range(len(values)), key=values.__getitem__)
    peak = f"{reader.day(days[most])}: {reader.number(values[most])}."
    return strip(
        values,
        [reader.short_day(day) for day in days],
        text=" ".join(filter(None, [about, f"{mark}." if mark else "", peak])),
        limit=included,
        mark_text=mark,
        adds_up=told["adds_up"],
    )


def _crossed(
    days: Sequence[date], values: Sequence[Decimal], included: Decimal, reader: Reader
) -> str:
    crossing = crossed_at(values, included) if included > 0 else None
    if crossing is None:
        return ""
    return reader.say(
        "crossed", count=reader.number(included), date=reader.short_day(days[crossing])
    )


def _dimension(told: Told, reader: Reader) -> DimensionView:
    values = [Fact(clean(value), reader.number(Decimal(used))) for value, used in told["values"]]
    if Decimal(told["other"]):
        values.append(Fact(reader.say("other"), reader.number(Decimal(told["other"]))))
    return DimensionView(reader.say("by", name=clean(told["name"])), tuple(values))


def _notes(told: Told, reader: Reader) -> Iterator[str]:
    yield counted(told["events"], datetime.fromisoformat(told["as_of"]), told["time_zone"], reader)
    later = Decimal(told["later"])
    if later:
        count = reader.units(abs(later), told["unit"], told["unit_plural"])
        yield reader.say("later_more" if later > 0 else "later_less", count=count)
