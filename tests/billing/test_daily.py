"""Usage day by day, in the reader's words."""

from __future__ import annotations

from datetime import date
from decimal import Decimal as D
from typing import Any

import pytest

from billing.presentation.daily import Day, daily_chart
from billing.presentation.reader import Reader
from config.base.charts import UsageChart

NOVEMBER: dict[str, Any] = {"start": date(2026, 11, 1), "end": date(2026, 12, 1)}


def november(
    *used: str, included: str = "0", locale: str = "en-GB", today: int = 30, **terms: Any
) -> UsageChart:
    """Draw November 2026, with these quantities on its first days."""
    days = [Day(date(2026, 11, i), D(value)) for i, value in enumerate(used, start=1)]
    return daily_chart(
        days,
        **NOVEMBER | terms,
        today=date(2026, 11, today),
        included=D(included),
        name="API calls",
        reader=Reader(locale, "EUR"),
    )


def test_every_day_has_its_place_and_one_without_usage_is_a_zero() -> None:
    chart = november("5", today=3)
    assert [(c.name, c.value, c.total) for c in chart.columns[:4]] == [
        ("1 Nov 2026", "5", "5"),
        ("2 Nov 2026", "0", "5"),
        ("3 Nov 2026", "0", "5"),
        ("4 Nov 2026", "", ""),
    ]
    assert len(chart.columns) == 30
    assert [column.is_shaded for column in chart.columns[:8]] == [True, *[False] * 5, True, True]


def test_today_is_not_over() -> None:
    chart = november("5", "5", today=2)
    assert [column.bars[0].opacity for column in chart.columns[:2]] == ["0.4", "0.16"]


@pytest.mark.parametrize(
    ("locale", "mark", "included", "scale"),
    [
        ("en-GB", "Allowance used up on 2 Nov", "included: 100,000", "150K"),
        ("de-DE", "Inklusivmenge am 2. Nov. verbraucht", "enthalten: 100.000", "150.000"),
        ("fr-FR", "Quantité incluse épuisée le 2 nov.", "inclus\u202f: 100\u202f000", "150\u00a0k"),
    ],
)
def test_the_day_the_allowance_was_used_up(
    locale: str, mark: str, included: str, scale: str
) -> None:
    chart = november("70000", "70000", included="100000", locale=locale)
    assert chart.mark is not None
    assert chart.mark.note.text == mark
    assert {included, scale} < {note.text for note in chart.notes}


def test_the_text_says_what_a_look_would() -> None:
    assert november("5", included="10").text == "API calls day by day, 1–30 Nov 2026."
    assert november("50", included="10").text == (
        "API calls day by day, 1–30 Nov 2026. Allowance used up on 1 Nov."
    )


def test_levels_are_never_used_up() -> None:
    chart = november("50", "50", included="60", adds_up=False)
    assert (chart.mark, chart.total) == (None, ())


def test_a_link_leads_into_days_that_have_begun() -> None:
    days = [Day(date(2026, 11, i), D(1), url=f"/{i}") for i in (1, 2)]
    reader = Reader("en", "EUR")
    chart = daily_chart(
        days, **NOVEMBER, today=date(2026, 11, 1), included=D(0), name="Calls", reader=reader
    )
    assert [column.url for column in chart.columns[:2]] == ["/1", ""]


def test_a_single_day_is_a_chart() -> None:
    chart = november("5", end=date(2026, 11, 2))
    assert [label.text for label in chart.labels] == ["1 Nov"]
