"""Charts as plain values: where bars and lines stand, for the one template of each chart.

Owns geometry, and lives on the floor because every app draws usage. It knows no language and no
business word: whoever asks for a chart passes its texts, and how to write a number.

Across, places are percentages of the chart's width, so that one drawing fits paper, a phone and a
wide screen, and no letter is stretched. Down, they are pixels. Both are texts that SVG takes as
they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import accumulate, groupby, pairwise
from typing import NamedTuple

Write = Callable[[Decimal], str]
"""Writes a number for the reader."""

_PERIODS = 6  # of a trend
_TREND_HEIGHT = 44
_TREND_LABELLED = 22  # of which its bars, where texts stand above and below them
_TREND_NOTE = 14  # pixels of a row of texts above a trend's bars, and of one below
_HEAD, _TOTALS, _BETWEEN, _BARS, _FOOT = 30, 110, 24, 76, 20  # pixels of a usage chart, from above
_ONLY_BARS = 130
_FILLED = Fraction(76, 100)  # of its place, by a bar
_NARROWEST = 330  # pixels: what a phone 390 wide leaves a chart
_LETTER, _LINE, _APART = 6, 14, 8  # pixels of a label's letter and line, and between labels
_MIDDLE = 50  # percent
_ROUND = [Fraction(tenths, 10) for tenths in (10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100)]
_STRONG, _SOFT, _FAINT = "1", "0.4", "0.16"
_OF_PARTS = ("1", "0.7", "0.48", "0.3", "0.16")  # the opacity of a stack's parts, from below


@dataclass(frozen=True, slots=True)
class Meter:
    """Used against included, together 100 wide.

    `within` ends where the allowance or the usage ends, whichever comes first; `over` begins
    there and is "0" wide where nothing is over.
    """

    within: str
    over: str
    text: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A rectangle of the accent colour, as strong as `opacity` says."""

    x: str
    y: str
    width: str
    height: str
    opacity: str


@dataclass(frozen=True, slots=True)
class Segment:
    """A straight line; dashed where it goes on into what is not over."""

    x1: str
    y1: str
    x2: str
    y2: str
    is_dashed: bool = False


@dataclass(frozen=True, slots=True)
class Note:
    """A text and where it begins; or ends or is centred, where `anchor` says "end" or "middle"."""

    x: str
    y: str
    text: str
    anchor: str = "start"


@dataclass(frozen=True, slots=True)
class Trend:
    """A few periods side by side, the last one strong, with what was included as dashed steps."""

    height: str
    base: Segment
    bars: tuple[Bar, ...]
    included: tuple[Segment, ...]
    notes: tuple[Note, ...]
    """Above each place its figure, below it the name of its period."""
    text: str
    caption: str


@dataclass(frozen=True, slots=True)
class Slot:
    """A day, an hour or a month of a usage chart.

    `value` is None where nothing is known yet. One that is not over is drawn pale. `parts` are
    the value split by group, for a stack of at most five; `url` leads to what is behind the bar.
    """

    name: str
    label: str
    value: Decimal | None
    is_over: bool = True
    is_shaded: bool = False
    parts: tuple[Decimal, ...] = ()
    url: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A slot as drawn, and as a row of the table that says the same in figures."""

    x: str
    width: str
    is_shaded: bool
    bars: tuple[Bar, ...]
    name: str
    value: str
    """Empty where nothing is known."""
    total: str
    """The sum so far; empty where nothing is known, or nothing adds up."""
    url: str


@dataclass(frozen=True, slots=True)
class Mark:
    """Where the sum crosses the limit: a line down the chart, and words above it."""

    line: Segment
    note: Note


@dataclass(frozen=True, slots=True)
class UsageChart:
    """Bars over time, and above them what they add up to, against a limit.

    Each band has a scale of its own, which ends at a round number; they share the axis of time.
    """

    height: str
    top: str
    depth: str
    """Of a column, from `top`: what the pointer meets."""
    floors: tuple[Segment, ...]
    tops: tuple[Segment, ...]
    """The ends of the bands' scales, at round numbers."""
    columns: tuple[Column, ...]
    total: tuple[Segment, ...]
    limit: Segment | None
    mark: Mark | None
    notes: tuple[Note, ...]
    """What stands at the limit and at the ends of the scales."""
    labels: tuple[Note, ...]
    """Of the axis of time."""
    groups: tuple[tuple[str, str], ...]
    """Names of a stack's parts with their opacity, from below."""
    text: str


class _Band(NamedTuple):
    """A strip of the chart between pixels `top` and `floor`, as high as `most`."""

    top: int
    floor: int
    most: Fraction

    def y(self, value: Fraction) -> Fraction:
        if not self.most:
            return Fraction(self.floor)
        share = min(max(value / self.most, Fraction(0)), Fraction(1))
        return self.floor - share * (self.floor - self.top)


def meter(used: Decimal, included: Decimal, *, text: str) -> Meter | None:
    """Draw used against included; None without an allowance to measure against."""
    if included <= 0:
        return None
    allowed, reached = Fraction(included), max(Fraction(used), Fraction(0))
    within = written(min(reached, allowed) * 100 / max(reached, allowed))
    over = written(100 - Fraction(within)) if reached > allowed else "0"
    return Meter(within, over, text)


def trend(
    periods: Sequence[tuple[Decimal | None, Decimal | None]],
    *,
    text: str,
    caption: str,
    labels: Sequence[tuple[str, str]] = (),
) -> Trend | None:
    """Draw (used, included) of the last six periods, oldest first; None where there is no past.

    Where nothing is known of a period its place stays empty, and where nothing is included the
    dashed line breaks off. `labels` are the short name and the figure of each period, if there is
    room for texts.
    """
    shown = periods[-_PERIODS:]
    if sum(used is not None for used, _ in shown) < 2:
        return None
    known = [Fraction(value) for period in shown for value in period if value is not None]
    room = _TREND_NOTE if labels else 0
    height = _TREND_LABELLED if labels else _TREND_HEIGHT
    band = _Band(room + 2, room + height - 1, max([Fraction(0), *known]))
    width = Fraction(100, _PERIODS)
    opacities = [_SOFT] * (len(shown) - 1) + [_STRONG]
    return Trend(
        height=written(height + 2 * room),
        base=_across(Fraction(band.floor), until=len(shown) * width),
        bars=tuple(
            _bar(band, Fraction(0), Fraction(used), place * width, width, opacity)
            for place, ((used, _), opacity) in enumerate(zip(shown, opacities, strict=True))
            if used is not None and used > 0
        ),
        included=tuple(_steps([included for _, included in shown], band, width)),
        notes=tuple(_trend_notes(labels[-_PERIODS:], band, width)),
        text=text,
        caption=caption,
    )


def _trend_notes(labels: Sequence[tuple[str, str]], band: _Band, width: Fraction) -> Iterator[Note]:
    for place, (name, figure) in enumerate(labels):
        middle = _percent((place + Fraction(1, 2)) * width)
        yield Note(middle, written(band.top - 6), figure, "middle")
        yield Note(middle, written(band.floor + _TREND_NOTE - 1), name, "middle")


def crossed_at(values: Sequence[Decimal | None], limit: Decimal) -> int | None:
    """Return the place in which the sum rises above the limit for good; None if it ends below.

    What is not known adds nothing; what only reaches the limit has not crossed it.
    """
    found, total = None, Fraction(0)
    for place, value in enumerate(values):
        before, total = total, total + Fraction(value or 0)
        if before <= limit < total:
            found = place
        elif total <= limit:
            found = None
    return found


def usage_chart(
    slots: Sequence[Slot],
    *,
    text: str,
    write: Write,
    write_short: Write,
    limit: Decimal | None = None,
    limit_text: str = "",
    mark_text: str = "",
    adds_up: bool = True,
    groups: Sequence[str] = (),
    label_every: Sequence[int] = (1, 7, 14, 28),
) -> UsageChart:
    """Draw usage over time: a bar for each of at least one slot, and their sum up to the limit.

    Where values don't add up (each is a level), there is no sum and the limit lies among the
    bars. `mark_text` stands where the sum crosses the limit (see `crossed_at`). Labels stand at
    the first step of `label_every` that fits the narrowest chart.
    """
    values = [slot.value for slot in slots]
    sums = [Fraction(0), *accumulate(Fraction(value or 0) for value in values)]
    highest = max([Fraction(0), *(Fraction(value) for value in values if value is not None)])
    bound = Fraction(limit) if limit is not None and limit > 0 else None
    bands = _bands(sums, highest, bound, adds_up=adds_up)
    first, last = bands[0], bands[-1]
    width = Fraction(100, len(slots))
    mark = _mark(values, sums, bound, width, last, mark_text) if adds_up and bound else None
    notes = [_scale_note(band, write_short) for band in bands if band.most]
    if bound:
        notes.append(
            _limit_note(first, bound if adds_up else max(bound, highest), mark, limit_text)
        )
    return UsageChart(
        height=written(last.floor + _FOOT),
        top=written(first.top),
        depth=written(last.floor - first.top),
        tops=tuple(_across(Fraction(band.top)) for band in bands if band.most),
        floors=tuple(_across(Fraction(band.floor)) for band in bands),
        columns=tuple(
            Column(
                x=_percent(place * width),
                width=_percent(width),
                is_shaded=slot.is_shaded,
                bars=tuple(_stack(slot, last, place, width, sums[place], bound, adds_up=adds_up)),
                name=slot.name,
                value="" if slot.value is None else write(slot.value),
                total=write(_decimal(sums[place + 1]))
                if adds_up and slot.value is not None
                else "",
                url=slot.url,
            )
            for place, slot in enumerate(slots)
        ),
        total=tuple(_curve(slots, sums, first, width)) if adds_up else (),
        limit=_across(first.y(bound)) if bound else None,
        mark=mark,
        notes=tuple(notes),
        labels=tuple(_labels(slots, width, last.floor, label_every)),
        groups=tuple(zip(groups, _OF_PARTS, strict=False)),
        text=text,
    )


def _bands(
    sums: Sequence[Fraction], highest: Fraction, bound: Fraction | None, *, adds_up: bool
) -> list[_Band]:
    """Return the sum's band, if there is one, and below it that of the bars."""
    if not adds_up:
        most = _round_up(max(highest, bound or highest))
        return [_Band(_HEAD, _HEAD + _ONLY_BARS, most)]
    totals = _Band(_HEAD, _HEAD + _TOTALS, _round_up(max(*sums, bound or Fraction(0))))
    top = totals.floor + _BETWEEN
    return [totals, _Band(top, top + _BARS, _round_up(highest))]


def _stack(
    slot: Slot,
    band: _Band,
    place: int,
    width: Fraction,
    before: Fraction,
    bound: Fraction | None,
    *,
    adds_up: bool,
) -> Iterator[Bar]:
    """Yield a slot's bar: split by group, or where the sum crosses the limit, or whole."""
    value = Fraction(slot.value or 0)
    if value <= 0:
        return
    if slot.parts:
        pieces = list(zip(map(Fraction, slot.parts), _OF_PARTS, strict=False))
    elif not slot.is_over:
        pieces = [(value, _FAINT)]
    elif bound is None:
        pieces = [(value, _SOFT)]
    else:
        left = max(bound - before, Fraction(0)) if adds_up else bound
        pieces = [(min(left, value), _SOFT), (max(value - left, Fraction(0)), _STRONG)]
    below = Fraction(0)
    for piece, opacity in pieces:
        if piece > 0:
            yield _bar(band, below, below + piece, place * width, width, opacity)
            below += piece


def _bar(
    band: _Band, low: Fraction, high: Fraction, x: Fraction, width: Fraction, opacity: str
) -> Bar:
    """Draw a piece of a bar in its place; one that stands on the floor is a pixel high at least."""
    top, bottom = band.y(high), band.y(low)
    if not low:
        top = min(top, bottom - 1)
    return Bar(
        x=_percent(x + width * (1 - _FILLED) / 2),
        y=written(top),
        width=_percent(width * _FILLED),
        height=written(bottom - top),
        opacity=opacity,
    )


def _steps(included: Sequence[Decimal | None], band: _Band, width: Fraction) -> Iterator[Segment]:
    """Yield a level line for every stretch of the same allowance, and the steps between them."""
    place = 0
    levels: list[tuple[Fraction, Fraction, Fraction]] = []
    for value, stretch in groupby(included):
        count = len(list(stretch))
        if value is not None and value > 0:
            levels.append((place * width, (place + count) * width, band.y(Fraction(value))))
        place += count
    for start, end, y in levels:
        yield _segment(start, y, end, y)
    for (_, end, y), (start, _, next_y) in pairwise(levels):
        if end == start:
            yield _segment(end, y, end, next_y)


def _curve(
    slots: Sequence[Slot], sums: Sequence[Fraction], band: _Band, width: Fraction
) -> Iterator[Segment]:
    """Yield the sum from the start of the first slot to the end of the last that is known."""
    known = [place for place, slot in enumerate(slots) if slot.value is not None]
    for place in range(max(known, default=-1) + 1):
        y1, y2 = band.y(sums[place]), band.y(sums[place + 1])
        dashed = not slots[place].is_over
        yield _segment(place * width, y1, (place + 1) * width, y2, is_dashed=dashed)


def _mark(
    values: Sequence[Decimal | None],
    sums: Sequence[Fraction],
    bound: Fraction,
    width: Fraction,
    last: _Band,
    text: str,
) -> Mark | None:
    """Draw the crossing where the sum meets the limit, within its slot.

    Its words stand beside the line; above it, where they are too long for either side of a phone.
    """
    crossing = crossed_at(values, _decimal(bound))
    if crossing is None:
        return None
    before, after = sums[crossing], sums[crossing + 1]
    x = (crossing + (bound - before) / (after - before)) * width
    beside = _segment(x, Fraction(4), x, Fraction(last.floor))
    room = 99 - Fraction(100 * _LETTER * len(text), _NARROWEST)
    if x <= (_MIDDLE if room >= _MIDDLE else room):
        return Mark(beside, Note(_percent(x + 1), "12", text))
    if 100 - x <= room:
        return Mark(beside, Note(_percent(x - 1), "12", text, "end"))
    below = _segment(x, Fraction(17), x, Fraction(last.floor))
    return Mark(below, Note(_percent(x), "12", text, "middle"))


def _scale_note(band: _Band, write: Write) -> Note:
    return Note("100%", written(band.top - 5), write(_decimal(band.most)), "end")


def _limit_note(band: _Band, highest: Fraction, mark: Mark | None, text: str) -> Note:
    """Name the limit above its line, at the end that the sum is further from.

    Close below the end of the scale that would be in the way of the scale's own note.
    """
    line = band.y(highest)
    y = written(line - 5)
    if mark and mark.note.anchor == "start" and line - band.top > _LINE:
        return Note("100%", y, text, "end")
    return Note("0", y, text)


def _labels(
    slots: Sequence[Slot], width: Fraction, floor: int, every: Sequence[int]
) -> Iterator[Note]:
    """Label every so many slots, so that neighbours never touch, and the last one if it fits."""
    pixels = width * _NARROWEST / 100
    longest = max(len(slot.label) for slot in slots) * _LETTER
    step = next((step for step in every if step * pixels >= longest + _APART), len(slots))
    y = written(floor + 14)
    for place in range(0, len(slots), step):
        if (len(slots) - place) * pixels >= longest:
            yield Note(_percent(place * width), y, slots[place].label)
        elif (step + 1) * pixels >= 2 * longest + _APART:
            yield Note(_percent((place + 1) * width), y, slots[place].label, "end")


def _round_up(most: Fraction) -> Fraction:
    """Return the next number that is round enough for the end of a scale; 0 for 0."""
    if most <= 0:
        return Fraction(0)
    power = _power_of_ten(most)
    return next(power * factor for factor in _ROUND if power * factor >= most)


def _power_of_ten(most: Fraction) -> Fraction:
    """Return the greatest power of ten that is not above a positive number."""
    power = Fraction(1)
    while power * 10 <= most:
        power *= 10
    while power > most:
        power /= 10
    return power


def _across(y: Fraction, *, until: Fraction = Fraction(100)) -> Segment:
    return _segment(Fraction(0), y, until, y)


def _segment(
    x1: Fraction, y1: Fraction, x2: Fraction, y2: Fraction, *, is_dashed: bool = False
) -> Segment:
    return Segment(_percent(x1), written(y1), _percent(x2), written(y2), is_dashed)


def _percent(value: Fraction) -> str:
    return f"{written(value)}%"


def written(value: Fraction | int) -> str:
    """Write a coordinate with at most two decimals."""
    hundredths = round(Fraction(value) * 100)
    whole, rest = divmod(abs(hundredths), 100)
    sign = "-" if hundredths < 0 else ""
    return f"{sign}{whole}.{rest:02d}".rstrip("0").rstrip(".") if rest else f"{sign}{whole}"


def _decimal(value: Fraction) -> Decimal:
    """Turn a sum of decimals, or a round number, back into a decimal, whatever the context."""
    places = 0
    while (value * 10**places).denominator != 1:
        places += 1
    return Decimal(f"{int(value * 10**places)}E-{places}")
