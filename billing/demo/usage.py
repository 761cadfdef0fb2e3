"""What the demo's customers used on a day: the same events whenever they are asked for."""

from __future__ import annotations

import calendar
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from billing.demo.company import Buyer, Habit, first_day
from customers.periods import zone
from metering.events import Event, make_event

SATURDAY = 5
HOURS = {1: 4, 7: 10, 9: 22, 11: 20, 14: 22, 16: 14, 20: 8}  # percent of a day's usage, local
TROUBLE_DAYS_AGO = 3  # when a few events go wrong
LATE = ((45, 78, 21_000), (2, 40, 14_000), (2, 140, 9_000))
"""What came late: how many days ago, of how many days ago, and how many calls."""
LATE_AT = time(15)  # UTC


def used_on(day: date, buyer: Buyer, *, reference: date) -> Iterator[Event]:
    """Yield a customer's events of a local day, in order of time within each habit."""
    if day < buyer.since(reference):
        return
    for habit in buyer.habits:
        chance = Random(f"{buyer.key} {habit.metric} {day}")
        quantity = _quantity(habit, day, reference, chance)
        match habit.metric:
            case "api_calls":
                yield from _calls(buyer, habit, day, quantity, chance)
            case "tokens":
                yield from _tokens(buyer, habit, day, quantity, chance)
            case "documents":
                yield from _documents(buyer, habit, day, quantity, chance)
            case _:
                yield _storage(buyer, habit, day, reference)


def gone_wrong(day: date, buyer: Buyer, *, reference: date) -> list[Event]:
    """Return what a sender got wrong on that day, once in the story.

    An event sent twice, the same id with another content, a customer that is misspelt, and a
    quantity that is none.
    """
    if buyer.key != "fernwood" or reference - day != timedelta(days=TROUBLE_DAYS_AGO):
        return []
    first = next(event for event in used_on(day, buyer, reference=reference))
    at, moment = first.time, f"{day}-retry"
    assert at is not None
    return [
        first,
        _remade(first, data={**first.data, "calls": first.data["calls"] + 1000}),
        _remade(first, id=f"fernwod-{moment}", subject="fernwod"),
        _remade(first, id=f"fernwood-{moment}", data={**first.data, "calls": "n/a"}),
    ]


def came_late(day: date, buyer: Buyer, *, reference: date) -> list[Event]:
    """Return what a gateway that was cut off sends on that day of days before, periods closed since.

    The first is settled on an invoice of the story; of those at its end one waits for the next, and one
    is so old that a person decides.
    """
    if buyer.key != "harborline":
        return []
    return [
        _event(
            buyer,
            "gateway",
            "api.usage",
            f"{then}-late",
            datetime.combine(then, LATE_AT, UTC),
            {"region": "us-east", "calls": calls},
        )
        for arrives, happened, calls in LATE
        if reference - day == timedelta(days=arrives)
        for then in [reference - timedelta(days=happened)]
    ]


def _quantity(habit: Habit, day: date, reference: date, chance: Random) -> int:
    """Return how much was used: growing by the day, less at weekends, never quite the same."""
    begun = first_day(reference)
    growing = habit.a_day * (3000 + habit.growth * (day - begun).days) // 3000
    weekly = habit.weekend if day.weekday() >= SATURDAY else 100
    spike = habit.spikes.get((reference - day).days, 100)
    return growing * weekly * spike * chance.randrange(90, 111) // 1_000_000


def _calls(buyer: Buyer, habit: Habit, day: date, quantity: int, chance: Random) -> Iterator[Event]:
    for hour, share in HOURS.items():
        at = _moment(buyer, day, hour, chance)
        for region, part in habit.split.items():
            data = {"region": region, "calls": quantity * share * part // 10_000}
            yield _event(buyer, "gateway", "api.usage", f"{day}-{hour:02}-{region}", at, data)


def _tokens(
    buyer: Buyer, habit: Habit, day: date, quantity: int, chance: Random
) -> Iterator[Event]:
    """Yield prompts and answers of each model: three in four tokens are read, one is written."""
    for hour, share in HOURS.items():
        at = _moment(buyer, day, hour, chance)
        for model, part in habit.split.items():
            for direction, quarters in (("input", 3), ("output", 1)):
                tokens = quantity * share * part * quarters // 40_000
                data = {"model": model, "direction": direction, "tokens": tokens}
                id = f"{day}-{hour:02}-{model}-{direction}"
                yield _event(buyer, "inference", "model.tokens", id, at, data)


def _documents(
    buyer: Buyer, habit: Habit, day: date, quantity: int, chance: Random
) -> Iterator[Event]:
    kinds, weights = list(habit.split), list(habit.split.values())
    hours, busy = list(HOURS), list(HOURS.values())
    for number in range(1, quantity + 1):
        at = _moment(buyer, day, chance.choices(hours, busy)[0], chance)
        data = {"kind": chance.choices(kinds, weights)[0], "pages": chance.randrange(1, 9)}
        yield _event(buyer, "reader", "document.read", f"{day}-{number:03}", at, data)


def _storage(buyer: Buyer, habit: Habit, day: date, reference: date) -> Event:
    """Return a day's share of what is kept, which is in gigabytes a month and knows no weekends."""
    begun = first_day(reference)
    gigabytes = habit.a_day + Decimal(habit.a_day * habit.growth * (day - begun).days) / 3000
    held = gigabytes / calendar.monthrange(day.year, day.month)[1]
    at = datetime.combine(day, time(5, 30), zone(buyer.details["time_zone"])).astimezone(UTC)
    data = {"gb_months": f"{held:.4f}"}
    return _event(buyer, "storage", "storage.usage", f"{day}", at, data)


def _moment(buyer: Buyer, day: date, hour: int, chance: Random) -> datetime:
    minute, second = chance.randrange(60), chance.randrange(60)
    local = datetime.combine(day, time(hour, minute, second), zone(buyer.details["time_zone"]))
    return local.astimezone(UTC)


def _event(
    buyer: Buyer, sender: str, type: str, id: str, at: datetime, data: Mapping[str, Any]
) -> Event:
    return make_event(
        source=f"northlight/{sender}",
        id=f"{buyer.key}-{id}",
        type=type,
        subject=buyer.key,
        subscription=None,
        time=at,
        data=data,
    )


def _remade(event: Event, **changes: Any) -> Event:
    kept = {
        name: getattr(event, name)
        for name in ("source", "id", "type", "subject", "subscription", "time", "data")
    }
    return make_event(**{**kept, **changes})
