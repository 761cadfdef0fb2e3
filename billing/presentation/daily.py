"""Usage day by day in the reader's words: a chart of any stretch of local days."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import NamedTuple

from billing.presentation.reader import Reader
from config.base.charts import Slot, UsageChart, crossed_at, usage_chart

_SATURDAY = 5


class Day(NamedTuple):
    """What was used on a local day, in the metric's unit; `parts` split it by group."""

    day: date
    used: Decimal
    parts: tuple[Decimal, ...] = ()
    url: str = ""


def daily_chart(
    days: Iterable[Day],
    *,
    start: date,
    end: date,
    today: date,
    included: Decimal,
    name: str,
    reader: Reader,
    adds_up: bool = True,
    groups: Sequence[str] = (),
) -> UsageChart:
    """Draw the days from `start` up to but without `end`, and when they used the allowance up.

    Days that are missing used nothing; today and later ones are not over. `included` of 0: there
    is no allowance. `adds_up` is false for a metric of which each day has its own level. `groups`
    names the parts of each day, at most five.
    """
    known = {day.day: day for day in days}
    stretch = [start + timedelta(days=number) for number in range((end - start).days)]
    slots = [
        _slot(day, known.get(day, Day(day, Decimal(0))), today=today, reader=reader)
        for day in stretch
    ]
    values = [slot.value for slot in slots]
    crossing = crossed_at(values, included) if adds_up and included > 0 else None
    used_up = "" if crossing is None else reader.short_day(stretch[crossing])
    mark = reader.say("used_up", date=used_up) if used_up else ""
    about = reader.say("chart_text", name=name, span=reader.span(start, end))
    return usage_chart(
        slots,
        text=" ".join(filter(None, [about, f"{mark}." if mark else ""])),
        write=reader.number,
        write_short=reader.short_number,
        limit=included,
        limit_text=reader.say("included_at", count=reader.number(included)),
        mark_text=mark,
        adds_up=adds_up,
        groups=groups,
    )


def _slot(day: date, found: Day, *, today: date, reader: Reader) -> Slot:
    is_known = day <= today
    return Slot(
        name=reader.day(day),
        label=reader.short_day(day),
        value=found.used if is_known else None,
        is_over=day < today,
        is_shaded=day.weekday() >= _SATURDAY,
        parts=found.parts,
        url=found.url if is_known else "",
    )
