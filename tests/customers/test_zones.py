"""Where days begin before and after a time zone changed (R2)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customers.periods import TIME_ZONES, Grid, Interval
from customers.zones import ZoneChange, Zones, zones_from

pytestmark = pytest.mark.once

BERLIN_THEN_TOKYO = zones_from("Europe/Berlin", {"2026-12-01": "Asia/Tokyo"})

DATE_LINE = (
    "Pacific/Apia",
    "Pacific/Kiritimati",
    "Pacific/Pago_Pago",
    "Pacific/Honolulu",
    "Pacific/Kwajalein",
    "Asia/Tokyo",
    "America/Sao_Paulo",
    "Europe/Berlin",
    "Africa/Casablanca",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "UTC",
)
names = st.sampled_from(DATE_LINE) | st.sampled_from(TIME_ZONES)
days = st.dates(date(2009, 1, 1), date(2031, 12, 31))


@pytest.mark.parametrize(
    ("day", "begins"),
    [
        pytest.param("2026-11-30", "2026-11-29T23:00", id="before, midnight in Berlin"),
        pytest.param("2026-12-01", "2026-11-30T23:00", id="the boundary itself is still Berlin's"),
        pytest.param("2026-12-02", "2026-12-01T15:00", id="the day after begins in Tokyo"),
        pytest.param("2027-01-01", "2026-12-31T15:00", id="and so do all after it"),
    ],
)
def test_where_days_begin(day: str, begins: str) -> None:
    expected = datetime.fromisoformat(begins).replace(tzinfo=UTC)
    assert BERLIN_THEN_TOKYO.begins(date.fromisoformat(day)) == expected


@pytest.mark.parametrize(
    ("at", "day"),
    [
        pytest.param("2026-11-30T22:59", "2026-11-30", id="Tokyo has 1 December, but not yet here"),
        pytest.param("2026-11-30T23:00", "2026-12-01", id="from the boundary on"),
        pytest.param("2026-12-01T14:59", "2026-12-01", id="a day of 16 hours"),
        pytest.param("2026-12-01T15:00", "2026-12-02", id="then Tokyo's midnight"),
    ],
)
def test_which_day_it_is(at: str, day: str) -> None:
    moment = datetime.fromisoformat(at).replace(tzinfo=UTC)
    assert BERLIN_THEN_TOKYO.day_of(moment) == date.fromisoformat(day)


def test_to_the_west_the_boundary_day_lasts_until_midnight_there() -> None:
    zones = zones_from("Europe/Berlin", {"2026-12-01": "America/New_York"})
    assert zones.begins(date(2026, 12, 1)) == datetime(2026, 11, 30, 23, tzinfo=UTC)
    assert zones.day_of(datetime(2026, 12, 1, 4, 59, tzinfo=UTC)) == date(2026, 12, 1)
    assert zones.begins(date(2026, 12, 2)) == datetime(2026, 12, 2, 5, tzinfo=UTC)


def test_over_the_date_line_the_day_left_out_begins_and_ends_at_once() -> None:
    """Pago Pago is 25 hours behind Kiritimati: its midnight is an hour into the day after there."""
    zones = zones_from("Pacific/Pago_Pago", {"2026-12-01": "Pacific/Kiritimati"})
    turn = datetime(2026, 12, 1, 11, tzinfo=UTC)
    assert [zones.begins(date(2026, 12, day)) for day in (1, 2)] == [turn, turn]
    assert zones.begins(date(2026, 12, 3)) == datetime(2026, 12, 2, 10, tzinfo=UTC)
    assert zones.day_of(turn) == date(2026, 12, 2)


def test_another_change_replaces_what_was_still_to_come() -> None:
    once = Zones("UTC").changed(date(2026, 12, 1), "Asia/Tokyo")
    assert once.changed(date(2026, 12, 1), "Asia/Seoul").changes == (
        ZoneChange(date(2026, 12, 1), "Asia/Seoul"),
    )
    assert once.changed(date(2026, 11, 1), "UTC") == Zones("UTC")
    assert zones_from("UTC", once.as_json()) == once


@given(
    first=names,
    turns=st.lists(st.tuples(days, names), max_size=3, unique_by=lambda turn: turn[0]),
    start=days,
)
def test_days_touch_and_every_moment_has_one(
    first: str, turns: list[tuple[date, str]], start: date
) -> None:
    zones = Zones(first, tuple(ZoneChange(*turn) for turn in sorted(turns)))
    around = [start + timedelta(days=n) for n in range(4)]
    for day, after in zip(around, around[1:], strict=False):
        begins, ends = zones.begins(day), zones.begins(after)
        assert begins <= ends <= begins + timedelta(hours=51)
        if begins < ends:
            assert zones.day_of(begins) == zones.day_of(ends - timedelta(microseconds=1)) == day


@pytest.mark.parametrize("old", DATE_LINE)
@pytest.mark.parametrize("interval", [Interval.MONTH, Interval.WEEK, Interval.DAY])
def test_periods_of_five_years_touch_whatever_zone_comes_next(old: str, interval: Interval) -> None:
    """Anchors 1 to 31, and each of the twelve zones in turn."""
    for number, new in enumerate(DATE_LINE):
        for anchor in range(1 + number % 3, 32, 3):
            grid = Grid(date(2026, 1, anchor), interval)
            turn = grid.boundary(7 + number)
            zones = Zones(old).changed(turn, new)
            count = {Interval.MONTH: 60, Interval.WEEK: 261, Interval.DAY: 120}[interval]
            edges = [zones.begins(grid.boundary(n)) for n in range(count + 1)]
            assert edges == sorted(edges)
            assert edges[: 8 + number] == [
                Zones(old).begins(grid.boundary(n)) for n in range(8 + number)
            ]
            if interval != Interval.DAY:
                assert len(set(edges)) == len(edges)
