"""A strip of bars in little room, for paper: a day each, soft up to a limit and strong beyond it.

Plain values like those of `charts`. Two outlines hold all bars, for a document draws many strips
and each shape takes its time; their places count on a drawing `WIDTH` wide.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from config.base.charts import Note, crossed_at, written

WIDTH, TALL, HEAD, FOOT = 475, 44, 12, 12
ZERO = Fraction(0)
_FILLED = Fraction(76, 100)
_LABEL_EVERY = 7
_LETTER = 4  # of a label, which is small


@dataclass(frozen=True, slots=True)
class Strip:
    """Outlines of the bars, the line where the sum crosses the limit, and the texts below."""

    height: str
    floor: str
    soft: str
    strong: str
    cross_x: str
    """Empty where nothing is crossed."""
    cross_end: str
    mark: Note | None
    labels: tuple[Note, ...]
    text: str


def strip(
    values: Sequence[Decimal],
    labels: Sequence[str],
    *,
    text: str,
    limit: Decimal,
    mark_text: str,
    adds_up: bool,
) -> Strip:
    """Draw at least one value; `limit` 0: none. `mark_text` stands where the sum crosses it.

    Where values don't add up, each is soft.
    """
    crossing = crossed_at(values, limit) if adds_up and limit > 0 else None
    highest = max([ZERO, *map(Fraction, values)])
    place = Fraction(WIDTH, len(values))
    bars = [
        _bar(Fraction(value), highest, number * place, place) for number, value in enumerate(values)
    ]
    soft, strong = bars, []
    if crossing is not None:
        within = Fraction(limit) - sum(map(Fraction, values[:crossing]))
        x = crossing * place
        soft = [*bars[:crossing], _bar(within, highest, x, place)]
        above = Fraction(values[crossing]) - within
        strong = [_bar(above, highest, x, place, upon=within), *bars[crossing + 1 :]]
    return Strip(
        height=str(HEAD + TALL + FOOT),
        floor=str(HEAD + TALL),
        soft="".join(soft),
        strong="".join(strong),
        cross_x="" if crossing is None else written(crossing * place),
        cross_end=str(HEAD + TALL),
        mark=None if crossing is None else _mark(crossing * place, mark_text),
        labels=tuple(_labels(labels, place)),
        text=text,
    )


def _bar(
    value: Fraction, highest: Fraction, x: Fraction, width: Fraction, *, upon: Fraction = ZERO
) -> str:
    """Outline a bar, or the part of it upon another; one of something is half a point high at least."""
    if value <= 0:
        return ""
    height = max(value / highest * TALL, Fraction(1, 2))
    left, wide = x + width * (1 - _FILLED) / 2, width * _FILLED
    foot = written(HEAD + TALL - upon / highest * TALL)
    return f"M{written(left)} {foot}v-{written(height)}h{written(wide)}v{written(height)}z"


def _mark(x: Fraction, text: str) -> Note:
    if x + _LETTER * len(text) < WIDTH:
        return Note(written(x + 3), str(HEAD - 4), text)
    return Note(written(x - 3), str(HEAD - 4), text, "end")


def _labels(texts: Sequence[str], place: Fraction) -> Iterator[Note]:
    for number in range(0, len(texts), _LABEL_EVERY):
        x = number * place + place * (1 - _FILLED) / 2
        fits = min(x, Fraction(WIDTH - _LETTER * len(texts[number])))
        yield Note(written(fits), str(HEAD + TALL + 10), texts[number])
