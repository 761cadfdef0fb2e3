"""Charts: where things stand, edges first. Every place is a text that SVG takes as it is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal as D
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from django.template.loader import render_to_string
from hypothesis import given, settings
from hypothesis import strategies as st

from config.base.charts import Slot, UsageChart, crossed_at, meter, trend, usage_chart
from config.base.strips import strip

pytestmark = pytest.mark.once

quantities = st.decimals(-(10**6), 10**20, places=10)
numbers = st.lists(quantities | st.none(), min_size=1, max_size=40)


def values(text: str) -> list[D | None]:
    """Read "3 - 0.5": a dash where nothing is known."""
    return [None if word == "-" else D(word) for word in text.split()]


def chart(used: str, limit: str = "0", **terms: object) -> UsageChart:
    slots = [Slot(f"day {i}", f"{i} Nov", value) for i, value in enumerate(values(used), start=1)]
    return drawn(slots, D(limit), **terms)


def drawn(slots: Sequence[Slot], limit: D, **terms: object) -> UsageChart:
    words = {"text": "Calls", "limit_text": "included", "mark_text": "used up"}
    return usage_chart(slots, limit=limit, write=str, write_short=str, **{**words, **terms})  # type: ignore[arg-type]


def percent(text: str) -> float:
    assert text.endswith("%")
    return float(text[:-1])


@pytest.mark.parametrize(
    ("used", "included", "within", "over"),
    [
        pytest.param("0", "100", "0", "0", id="nothing used"),
        pytest.param("60", "100", "60", "0", id="within"),
        pytest.param("100", "100", "100", "0", id="used up to the last unit"),
        pytest.param("200", "100", "50", "50", id="half is over"),
        pytest.param("187340", "100000", "53.38", "46.62", id="rounded, and still 100 wide"),
        pytest.param("1000000000000", "1", "0", "100", id="nearly all is over"),
        pytest.param("100.0000000001", "100", "100", "0", id="over by less than can be seen"),
        pytest.param("-5", "100", "0", "0", id="less than nothing is nothing"),
    ],
)
def test_a_meter(used: str, included: str, within: str, over: str) -> None:
    found = meter(D(used), D(included), text="text")
    assert found is not None
    assert (found.within, found.over, found.text) == (within, over, "text")


def test_without_an_allowance_there_is_no_meter() -> None:
    assert meter(D(5), D(0), text="") is None


@pytest.mark.parametrize(
    ("used", "included", "heights", "steps"),
    [
        pytest.param("50 100", "- -", ["20.5", "41"], [], id="no allowance: bars alone"),
        pytest.param("0 100", "0 0", ["41"], [], id="an allowance of nothing is no line"),
        pytest.param("1 2", "2 2", ["20.5", "41"], ["0% 2 33.33% 2"], id="one allowance, one line"),
        pytest.param(
            "50 100",
            "50 100",
            ["20.5", "41"],
            ["0% 22.5 16.67% 22.5", "16.67% 2 33.33% 2", "16.67% 22.5 16.67% 2"],
            id="a first period in part: a step up",
        ),
        pytest.param(
            "1 - 2",
            "2 - 2",
            ["20.5", "41"],
            ["0% 2 16.67% 2", "33.33% 2 50% 2"],
            id="a gap breaks bars and line",
        ),
        pytest.param("0 0", "100 100", [], ["0% 2 33.33% 2"], id="nothing used: the line alone"),
        pytest.param("0 0", "0 0", [], [], id="nothing at all is still a trend"),
        pytest.param("-7 2", "- -", ["41"], [], id="less than nothing has no height"),
        pytest.param(
            "1 1000000000", "- -", ["1", "41"], [], id="the least is seen beside a billion"
        ),
        pytest.param("123456789012 246913578024", "- -", ["20.5", "41"], [], id="twelve digits"),
    ],
)
def test_a_trend(used: str, included: str, heights: list[str], steps: list[str]) -> None:
    found = trend(list(zip(values(used), values(included), strict=True)), text="t", caption="c")
    assert found is not None
    assert [bar.height for bar in found.bars] == heights
    assert [f"{s.x1} {s.y1} {s.x2} {s.y2}" for s in found.included] == steps


@pytest.mark.parametrize("used", ["", "5", "- 5", "- - -"])
def test_one_period_is_no_trend(used: str) -> None:
    assert trend([(value, D(1)) for value in values(used)], text="", caption="") is None


def test_a_trend_has_six_places_and_its_last_is_strong() -> None:
    found = trend([(D(number), None) for number in range(1, 9)], text="", caption="")
    assert found is not None
    assert [bar.opacity for bar in found.bars] == ["0.4"] * 5 + ["1"]
    assert found.base.x2 == "100%"
    assert found.bars[-1].height == "41"


@pytest.mark.parametrize(
    ("used", "limit", "place"),
    [
        pytest.param("5 5", "10", None, id="only reached"),
        pytest.param("5 5 0.1", "10", 2, id="crossed by a tenth"),
        pytest.param("11", "10", 0, id="at once"),
        pytest.param("11 -5", "10", None, id="taken back"),
        pytest.param("11 -5 5", "10", 2, id="taken back and crossed again"),
        pytest.param("5 - 6", "10", 2, id="what is unknown adds nothing"),
        pytest.param("-5 10 6", "10", 2, id="begins below nothing"),
        pytest.param("0.1 0.2", "0.3", None, id="exactly three tenths"),
    ],
)
def test_where_the_sum_crosses(used: str, limit: str, place: int | None) -> None:
    assert crossed_at(values(used), D(limit)) == place


def test_bars_turn_strong_where_the_allowance_is_used_up() -> None:
    found = chart("6 6 6", "10")
    assert [[bar.opacity for bar in column.bars] for column in found.columns] == [
        ["0.4"],
        ["0.4", "1"],
        ["1"],
    ]
    whole, (low, high), _ = (column.bars for column in found.columns)
    assert float(low.height) == pytest.approx(2 * float(high.height), abs=0.02)
    assert float(low.height) + float(high.height) == pytest.approx(float(whole[0].height))
    assert found.mark is not None
    assert percent(found.mark.line.x1) == pytest.approx(100 * (1 + 4 / 6) / 3, abs=0.01)
    assert found.mark.note.text == "used up"


def test_on_paper_the_day_of_the_crossing_is_partly_strong() -> None:
    """Six of the second day's twelve are included: the strong part stands upon the soft one."""
    found = strip(
        [D(6), D(12), D(3)],
        ["1 Nov", "2 Nov", "3 Nov"],
        text="Calls",
        limit=D(12),
        mark_text="used up",
        adds_up=True,
    )
    assert re.findall(r"M[\d.]+ ([\d.]+)v-([\d.]+)", found.soft) == [("56", "22"), ("56", "22")]
    assert re.findall(r"M[\d.]+ ([\d.]+)v-([\d.]+)", found.strong) == [("34", "22"), ("56", "11")]
    assert float(found.cross_x) == pytest.approx(475 / 3, abs=0.01)


@pytest.mark.parametrize("days", [1, 7, 28, 30, 31, 92])
@pytest.mark.parametrize("name", ["1 Nov", "29. Sept."])
def test_labels_on_paper_never_leave_it(days: int, name: str) -> None:
    found = strip([D(1)] * days, [name] * days, text="", limit=D(0), mark_text="", adds_up=True)
    assert len(found.labels) == len(range(0, days, 7))
    assert all(float(label.x) + 4 * len(name) <= 475 for label in found.labels)


@pytest.mark.parametrize("crossing", range(30))
@pytest.mark.parametrize(
    "text",
    ["used up", "Allowance used up on 18 Nov", "Inklusivmenge am 18. Nov. verbraucht"],
)
def test_the_words_of_the_crossing_stay_within_a_phone(crossing: int, text: str) -> None:
    slots = [Slot("", "", D(11 if place == crossing else 0)) for place in range(30)]
    mark = drawn(slots, D(10), mark_text=text).mark
    assert mark is not None
    at, long = percent(mark.note.x) * 3.3, len(text) * 6
    start = at - {"start": 0, "middle": long / 2, "end": long}[mark.note.anchor]
    assert start >= 0
    assert start + long <= 330
    if mark.note.anchor == "middle":
        assert float(mark.line.y1) > float(mark.note.y)


def test_the_sum_ends_where_nothing_is_known_and_the_table_with_it() -> None:
    found = chart("1 2 - -", "10")
    assert [step.x2 for step in found.total] == ["25%", "50%"]
    assert [(column.value, column.total) for column in found.columns] == [
        ("1", "1"),
        ("2", "3"),
        ("", ""),
        ("", ""),
    ]
    assert found.mark is None


def test_what_is_not_over_is_pale_and_its_sum_dashed() -> None:
    found = drawn([Slot("1", "1", D(5)), Slot("2", "2", D(5), is_over=False)], D(0))
    assert [column.bars[0].opacity for column in found.columns] == ["0.4", "0.16"]
    assert [step.is_dashed for step in found.total] == [False, True]


def test_levels_have_no_sum_and_the_limit_among_the_bars() -> None:
    found = chart("5 15", "10", adds_up=False)
    assert (found.total, found.mark) == ((), None)
    assert [column.total for column in found.columns] == ["", ""]
    assert [len(column.bars) for column in found.columns] == [1, 2]
    assert found.limit is not None
    assert found.limit.y1 == found.columns[1].bars[1].y or float(found.limit.y1) == pytest.approx(
        float(found.columns[1].bars[1].y) + float(found.columns[1].bars[1].height)
    )


def test_a_stack_is_as_high_as_its_bar() -> None:
    found = drawn([Slot("1", "1", D(10), parts=(D(5), D(0), D(5)))], D(0), groups=("a", "b", "c"))
    [column] = found.columns
    assert [bar.opacity for bar in column.bars] == ["1", "0.48"]
    assert sum(float(bar.height) for bar in column.bars) == pytest.approx(76)
    assert found.groups == (("a", "1"), ("b", "0.7"), ("c", "0.48"))


@pytest.mark.parametrize(
    ("slots", "every", "labels"),
    [
        pytest.param(1, (1, 7), "1", id="one day"),
        pytest.param(7, (1, 7), "1 2 3 4 5 6 7", id="a week: every day"),
        pytest.param(28, (1, 7, 14), "1 8 15 22", id="four weeks"),
        pytest.param(30, (1, 7, 14), "1 8 15 22 29", id="a month; the last ends with its day"),
        pytest.param(92, (1, 7, 14, 28), "1 15 29 43 57 71", id="a quarter: every fortnight"),
        pytest.param(24, (1, 3, 6, 12), "1 7 13 19", id="hours"),
        pytest.param(400, (1, 7), "1", id="no step fits: the first alone"),
    ],
)
def test_labels(slots: int, every: tuple[int, ...], labels: str) -> None:
    found = drawn([Slot("", f"{i:<6}", D(1)) for i in range(1, slots + 1)], D(0), label_every=every)
    assert [note.text.strip() for note in found.labels] == labels.split()


@settings(deadline=None)
@given(st.integers(1, 400), st.integers(1, 12))
def test_labels_never_touch_on_a_phone(slots: int, letters: int) -> None:
    found = drawn([Slot("", "x" * letters, D(1))] * slots, D(0))
    ends = []
    for note in found.labels:
        at, long = percent(note.x) * 3.3, letters * 6
        ends.append((at - long, at) if note.anchor == "end" else (at, at + long))
    assert all(before[1] < after[0] for before, after in pairwise(ends))


@pytest.mark.parametrize(
    ("highest", "most"),
    [
        ("0.00000003", "0.00000003"),
        ("0.9", "1"),
        ("1", "1"),
        ("1.01", "1.2"),
        ("7", "8"),
        ("8.5", "10"),
        ("187340", "200000"),
        ("99999999999999999999", "1E+20"),
    ],
)
def test_a_scale_ends_at_a_round_number(highest: str, most: str) -> None:
    [note, *_] = chart(highest).notes
    assert D(note.text) == D(most)


@settings(deadline=None)
@given(numbers, quantities, st.booleans())
def test_everything_stands_inside_and_every_drawing_is_well_formed(
    found: list[D | None], limit: D, adds_up: bool
) -> None:
    slots = [Slot(f"{i}", f"{i}", value, is_over=i < 20) for i, value in enumerate(found)]
    view = drawn(slots, limit, adds_up=adds_up)
    for column in view.columns:
        for bar in column.bars:
            assert 0 <= percent(bar.x) <= percent(bar.x) + percent(bar.width) <= 100
            assert float(bar.height) >= 0
            assert float(view.top) <= float(bar.y) <= float(view.height)
    for step in view.total:
        assert float(view.top) <= min(float(step.y1), float(step.y2))
        assert max(percent(step.x1), percent(step.x2)) <= 100
    ElementTree.fromstring(svg("usage", view))
    if past := trend([(value, limit) for value in found], text="t", caption="c"):
        assert all(2 <= float(bar.y) <= 43 for bar in past.bars)
        ElementTree.fromstring(svg("trend", past))


@given(quantities, quantities)
def test_a_meter_is_always_100_wide_at_most(used: D, included: D) -> None:
    if found := meter(used, included, text=""):
        assert 0 <= D(found.within) <= D(found.within) + D(found.over) <= 100
        assert not D(found.over) or D(found.within) + D(found.over) == 100


def svg(name: str, view: object, accent: str = "#0f5c5c") -> str:
    return render_to_string(f"charts/{name}.html", {"chart": view, "accent": accent})


def test_a_drawing_says_what_it_shows_and_styles_nothing_inline() -> None:
    for name, view in {
        "meter": meter(D(187), D(100), text="<187> of 100"),
        "trend": trend([(D(1), D(1)), (D(2), D(1))], text="<187> of 100", caption=""),
        "usage": chart("6 6 6", "10", text="<187> of 100"),
    }.items():
        drawing = svg(name, view)
        assert "style" not in drawing
        root = ElementTree.fromstring(drawing)
        assert root.get("role") == "img"
        assert root.findtext("{*}title") == "<187> of 100"
        assert 'fill="#0f5c5c"' in drawing
        assert 'fill="currentColor"' in svg(name, view, accent="")


def test_a_bar_leads_to_what_is_behind_it_and_the_table_too() -> None:
    view = drawn([Slot("1 Nov", "1", D(5), url="/usage/1?a=1&b=2"), Slot("2 Nov", "2", None)], D(0))
    words = {"as_figures": "As figures", "when": "Day", "used": "used", "so_far": "so far"}
    page = render_to_string("charts/usage_figure.html", {"chart": view, "words": words})
    root = ElementTree.fromstring(page[page.index("<figure") :])
    links = [link.get("href") for link in root.iter("a")]
    assert links == ["/usage/1?a=1&b=2"] * 2
    assert [cell.text for cell in root.iter("td")] == ["5", "5"]  # the unknown day has no row
