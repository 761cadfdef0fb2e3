"""Usage as somebody would count it by hand: walking through the events, in the words of R6 and R10."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

from catalog.models import ValueMetric


class Happening:
    """An event as the oracle sees it."""

    def __init__(self, order: int, time: datetime, customer: str, named: str | None, data: Any):
        self.order, self.time, self.customer, self.named, self.data = (
            order,
            time,
            customer,
            named,
            data,
        )


def as_number(value: Any) -> Decimal | None:
    if isinstance(value, bool) or value is None or value == "big":
        return None
    return Decimal(str(value))


def is_the_same(value: Any, wanted: Any) -> bool:
    """Texts exactly, numbers by value; a number that was written as text means the number too."""
    if isinstance(value, str):
        return bool(value == wanted)
    if isinstance(value, int | Decimal) and wanted not in ("l", "s"):
        return bool(value == Decimal(wanted))
    return False


def passes(event: Happening, filters: Iterable[dict[str, Any]]) -> bool:
    for condition in filters:
        value = event.data.get(condition["property"])
        number = as_number(value) if condition["property"] == "size" else None
        match condition["operator"]:
            case "exists":
                good = value is not None
            case "eq" | "in":
                good = any(is_the_same(value, wanted) for wanted in condition["values"])
            case "not_in":
                good = not any(is_the_same(value, wanted) for wanted in condition["values"])
            case "gt":
                good = number is not None and number > Decimal(condition["values"][0])
            case _:
                good = number is not None and number < Decimal(condition["values"][0])
        if not good:
            return False
    return True


def oracle(
    metric: ValueMetric, events: list[Happening], window: tuple[Any, ...]
) -> tuple[Fraction, int]:
    """Measure one window by walking through the events, in the words of R6 and R10."""
    customer, subscription, start, end, takes_unnamed = window
    mine = [
        event
        for event in sorted(events, key=lambda e: (e.time, e.order))
        if event.customer == customer
        and (
            takes_unnamed
            if event.named is None
            else subscription is None or event.named == subscription
        )
        and event.time < end
        and passes(event, metric.filters)
    ]
    inside = [event for event in mine if event.time >= start]
    count = len(inside)
    match metric.aggregation:
        case "count":
            return Fraction(count), count
        case "sum":
            return exact(Decimal(str(event.data["v"])) for event in inside), count
        case "unique_count":
            return Fraction(len({(type(e.data["user"]), e.data["user"]) for e in inside})), count
    series = defaultdict(list)
    for event in mine if metric.carry_over else inside:
        key = tuple((type(event.data.get(n)), event.data.get(n)) for n in metric.series)
        series[key].append((event.time, Decimal(str(event.data["v"]))))
    one = area if metric.aggregation == "time_weighted" else level
    return exact([one(metric, rows, start, end) for rows in series.values()]), count


def area(
    metric: ValueMetric, rows: list[tuple[datetime, Decimal]], start: datetime, end: datetime
) -> Fraction:
    """Walk through the levels and what each lasted, in microseconds."""
    found = held = Fraction(0)
    since = start
    for time, value in rows:
        if time > since:
            found += held * ((time - since) // timedelta(microseconds=1))
            since = time
        held = held + Fraction(value) if metric.value_is == "change" else Fraction(value)
    return found + held * ((end - since) // timedelta(microseconds=1))


def level(
    metric: ValueMetric, rows: list[tuple[datetime, Decimal]], start: datetime, end: datetime
) -> Fraction:
    before = [value for time, value in rows if time < start]
    after = [(time, value) for time, value in rows if time >= start]
    if metric.value_is == "change":
        running = exact(before)
        by_instant: dict[datetime, list[Decimal]] = defaultdict(list)
        for time, value in after:
            by_instant[time].append(value)
        levels = [] if start in by_instant else [running]
        for _, values in sorted(by_instant.items()):
            running = exact([running, *values])
            levels.append(running)
        return max(levels) if metric.aggregation == "max" else running
    if metric.aggregation == "latest":
        return Fraction(rows[-1][1])
    held = before[-1:] if not any(time == start for time, _ in after) else []
    candidates = held + [value for _, value in after]
    return Fraction(max(candidates, default=0))


def exact(values: Iterable[Decimal | Fraction]) -> Fraction:
    """Add without the context's 28 digits."""
    return sum((Fraction(value) for value in values), Fraction(0))
