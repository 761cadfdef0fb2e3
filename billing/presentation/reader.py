"""One reader's language, numbers, dates and money."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal, localcontext
from functools import cached_property, lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_interval, format_skeleton, format_time
from babel.numbers import format_compact_decimal, format_currency, get_currency_symbol

from billing.presentation.words import WORDS
from catalog import wording
from catalog.money import EXACT, exponent, plain, round_half_up
from catalog.pricing import Step

NO_BREAK_SPACE = "\u00a0"
_MINUS = "\u2212"
_NO_BREAK_HYPHEN = "\u2011"  # keeps "GB-months" together, and is no wider than a hyphen should be
_WIDE_YEN = "\uffe5"  # Japanese has it as wide as two digits, which leaves a gap before them
_LONGEST = 300  # characters; the longest name a form takes has 200
_MOST_MARKS = 6  # of one character; Hebrew with points and accents, and Tibetan, need five
_THOUSAND = 1000

# What turns text around, hides in it or breaks its line: none of it belongs in a name. The joiners
# (U+200C, U+200D) stay: Persian and Hindi are misspelt without them.
_INVISIBLE = re.compile("[\u200b\u200e\u200f\u061c\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]")


def clean(text: object) -> str:
    """Make one line of printable text of whatever somebody typed; cut after 300 characters."""
    line = " ".join(_INVISIBLE.sub("", str(text or "")[: 10 * _LONGEST]).split())
    if not line.isascii():
        line = _without_towers(line)
    line = "".join(char for char in line if unicodedata.category(char) not in ("Cc", "Cs"))
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1].rstrip()}…"


def _without_towers(line: str) -> str:
    """Leave as many marks above and below a character as writing has: more run over other lines."""
    kept, marks = [], 0
    for char in line:
        marks = marks + 1 if unicodedata.category(char) == "Mn" else 0
        if marks <= _MOST_MARKS:
            kept.append(char)
    return "".join(kept)


def paragraphs(text: object) -> tuple[str, ...]:
    """Make lines of printable text of whatever somebody typed over several; at most thirty."""
    return tuple(filter(None, map(clean, str(text or "").splitlines()[:30])))


def sentence(text: str) -> str:
    """Begin with a capital, leaving the rest as it is."""
    return text[:1].upper() + text[1:]


def unbroken(text: str) -> str:
    """Keep a text on one line."""
    return text.replace(" ", NO_BREAK_SPACE)


class Reader:
    """Says things in one locale, and amounts in one currency with its ISO 4217 decimals."""

    def __init__(self, locale: str, currency: str) -> None:
        self.tag = locale
        self.locale = _locale(locale)
        self.currency = currency
        self.exponent = exponent(currency)

    @cached_property
    def words(self) -> dict[str, str]:
        return WORDS.get(self.locale.language, WORDS["en"])

    @cached_property
    def language(self) -> str:
        """The tag of the words' language, with the country where the words are the locale's."""
        if self.locale.language not in WORDS:
            return "en"
        return str(self.locale).replace("_", "-")

    @cached_property
    def spoken(self) -> Locale:
        """The locale of what is said in words, dates and countries: always that of the words.

        "11月 2026 so far" is neither Japanese nor English. Numbers and money follow the reader.
        """
        return self.locale if self.locale.language in WORDS else Locale("en", "GB")

    @cached_property
    def _drawn(self) -> Locale:
        """The locale of numbers in charts, which are drawn letter by letter, from the left.

        Letters that join others, as those of Hindi do, would be torn apart.
        """
        short = self.locale.compact_decimal_formats["short"]["other"].values()
        letters = "".join(pattern.pattern for pattern in short)
        joins = any(unicodedata.category(letter).startswith("M") for letter in letters)
        return self.spoken if joins or self.locale.text_direction != "ltr" else self.locale

    def say(self, key: str, **values: str) -> str:
        return self.words[key].format(**values)

    def number(self, value: Decimal) -> str:
        return _signed(wording.number(value, self.tag))

    def short_number(self, value: Decimal) -> str:
        """Write a round number in little room, where the locale has a short form: "150K", "1.5M"."""
        with localcontext(EXACT):
            short = format_compact_decimal(value, locale=self._drawn, fraction_digits=1)
        return _signed(short) if any(map(str.isalpha, short)) else self.number(value)

    def brief_number(self, value: Decimal) -> str:
        """Write any number in little room, rounded to what fits: "187.3K", "82.5", "0.1235"."""
        large = abs(value) >= _THOUSAND
        with localcontext(prec=_LONGEST if large else 4):
            rounded = Decimal(round(value)) if large else +value
        with localcontext(prec=_LONGEST):
            short = format_compact_decimal(rounded, locale=self._drawn, fraction_digits=1)
        return _signed(short) if any(map(str.isalpha, short)) else self.number(rounded)

    def amount(self, value: Decimal) -> str:
        """Write an amount with the currency's decimals at least, and every further digit."""
        return _signed(wording.amount(value, self.exponent, self.tag))

    def column(self, values: Sequence[Decimal]) -> list[str]:
        """Write amounts one below the other: with as many decimals each, so that points align."""
        decimals = max((len(plain(value).partition(".")[2]) for value in values), default=0)
        places = max(self.exponent, decimals)
        return [_signed(wording.amount(value, places, self.tag)) for value in values]

    def rounded(self, value: Decimal) -> str:
        """Write a final amount: rounded half up to the currency's decimals."""
        return self.amount(round_half_up(value, self.exponent))

    def money(self, value: Decimal) -> str:
        """Write a final amount with its currency: "€784.10", "784,10 €"."""
        return self._priced(round_half_up(value, self.exponent))

    def price(self, value: Decimal) -> str:
        """Write a price with its currency and every digit it has: "€0.0125"."""
        return self._priced(value)

    def _priced(self, value: Decimal) -> str:
        places = max(self.exponent, len(plain(value).partition(".")[2]))
        pattern = self.locale.currency_formats["standard"].pattern
        if get_currency_symbol(self.currency, self.locale)[-1].isalpha():
            pattern = pattern.replace("¤#", f"¤{NO_BREAK_SPACE}#")  # KWD 1.500, but €1.50
        decimals = f".{'0' * places}" if places else ""
        with localcontext(EXACT):  # Babel would round in the thread's context
            text = format_currency(
                value,
                self.currency,
                format=pattern.replace(".00", decimals),
                locale=self.locale,
                currency_digits=False,
            )
        return _signed(text.replace(_WIDE_YEN, "¥"))

    def unit_price(self, value: Decimal) -> str:
        price = wording.unit_price(value, self.exponent, self.tag)
        return wording.price_text(price, self.tag)

    def percent_price(self, step: Step) -> str:
        """Write what a row of a percentage charges: "2.9 % plus 0.30 each"."""
        return wording.percent_text(step, self.exponent, self.tag)

    def percent(self, value: Decimal) -> str:
        return f"{self.number(value)}{NO_BREAK_SPACE}%"

    def label(self, step: Step, unit: str, unit_plural: str, *, over: bool) -> str:
        return sentence(
            wording.label(
                step,
                unit=unit,
                unit_plural=unit_plural,
                locale=self.tag,
                over=over,
                exponent=self.exponent,
            )
        )

    def day(self, day: date) -> str:
        return self._dated(format_date(day, "medium", locale=self.spoken), day)

    def _dated(self, text: str, day: date) -> str:
        """Write the first of a month as French does: "1er janvier 2027"."""
        is_first = self.spoken.language == "fr" and day.day == 1
        return text.replace("1 ", "1er ", 1) if is_first else text

    def short_day(self, day: date) -> str:
        """Write a day without its year: "17 Nov"."""
        return self._dated(format_skeleton("MMMd", day, locale=self.spoken), day)

    def short_month(self, day: date) -> str:
        """Name a month in little room: "Nov"."""
        return str(format_date(day, "LLL", locale=self.spoken))

    def month(self, day: date, *, with_year: bool) -> str:
        """Name a month: "November", "November 2026"."""
        if with_year:
            return str(format_skeleton("yMMMM", day, locale=self.spoken))
        return str(format_date(day, "LLLL", locale=self.spoken))

    def long_date(self, day: date) -> str:
        return self._dated(format_date(day, "long", locale=self.spoken), day)

    def span(self, start: date, end: date) -> str:
        """Write the days from `start` up to but without `end`: "1–30 Nov 2026"."""
        last = end - timedelta(days=1)
        text = format_interval(start, last, "yMMMd", locale=self.spoken)
        return str(text).replace("\u2009", " ")

    def stretch(self, start: date, end: date) -> str:
        """Name a whole calendar month, "November 2026"; any other stretch by its days."""
        if start.day == end.day == 1 and (end - start).days <= 31:
            return self.month(start, with_year=True)
        return self.span(start, end)

    def last_day(self, end: date) -> str:
        """Write the day before `end`."""
        return self.long_date(end - timedelta(days=1))

    def moment(self, at: datetime, zone: str) -> str:
        """Write the minute in a time zone: "1 Dec 2026, 01:00"."""
        local = at.astimezone(_zone(zone))
        hour = format_time(local.time(), "short", locale=self.spoken)
        return f"{self.day(local.date())}, {hour}"

    def second(self, at: datetime, zone: str) -> str:
        """Write the second in a time zone: "1 Dec 2026, 01:00:59"."""
        local = at.astimezone(_zone(zone))
        time = format_time(local.time(), "medium", locale=self.spoken)
        return f"{self.day(local.date())}, {time}"

    def hour(self, at: datetime, zone: str) -> str:
        """Write the time of day in a time zone: "14:00"."""
        return str(format_time(at.astimezone(_zone(zone)).time(), "short", locale=self.spoken))

    def local_date(self, at: datetime, zone: str) -> str:
        return self.long_date(at.astimezone(_zone(zone)).date())

    def country(self, code: str) -> str:
        return str(self.spoken.territories.get(code.upper(), code))

    def units(self, count: Decimal, unit: str, unit_plural: str) -> str:
        name = unit if count == 1 else unit_plural
        return f"{self.number(count)} {clean(name).replace('-', _NO_BREAK_HYPHEN)}".rstrip()

    def duration(self, start: date, end: date) -> str:
        """Name a stretch by whole years, months or weeks where it is some, else by its days."""
        months = (end.year - start.year) * 12 + end.month - start.month
        days = (end - start).days
        if months and start.day == end.day:
            name, count = ("year", months // 12) if months % 12 == 0 else ("month", months)
        elif days % 7 == 0:
            name, count = "week", days // 7
        else:
            name, count = "day", days
        key = name if count == 1 else f"{name}s"
        return self.say(key, count=self.number(Decimal(count)))


def _signed(text: str) -> str:
    """Print a minus as wide as a digit; no separator of any locale is a hyphen."""
    return text.replace("-", _MINUS)


@lru_cache(maxsize=1_000)
def _locale(tag: str) -> Locale:
    """Find the locale of "de-DE" or "de_DE", or of its language alone; English for no locale."""
    name = tag.replace("-", "_")
    for candidate in (name, name.partition("_")[0]):
        try:
            return Locale.parse(candidate)
        except (UnknownLocaleError, ValueError):
            continue
    return Locale("en")


@lru_cache(maxsize=1_000)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")
