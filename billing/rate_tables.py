"""Tables of rates as files hold them: read row by row, each with what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from itertools import islice
from pathlib import Path

from billing.models import ExchangeRate, TaxRate
from catalog.models import RateCategory
from catalog.money import CURRENCIES
from config.base.csv import UnreadableTable, read_table
from config.base.errors import Fault, Invalid
from customers.parties import COUNTRIES

TAX_COLUMNS = ("country", "category", "percent", "valid_from")
TAX_COLUMNS_IF_YOU_LIKE = ("valid_until", "source")
EXCHANGE_COLUMNS = ("base", "quote", "rate", "date", "source")
MOST_ROWS = 5000
_PERCENT = re.compile(r"[0-9]{1,3}([.,][0-9]{1,4})?", re.ASCII)
_RATE = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?", re.ASCII)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_UNTAXED = (RateCategory.ZERO, RateCategory.EXEMPT)


def read_tax_rates(text: str) -> Iterator[tuple[int, TaxRate | None, str]]:
    """Yield each row with its line: an unsaved rate, or None and what is wrong with the row.

    :raises Invalid: if the text is no table of rates, or one of too many.
    """
    for line, cells in rows_of(text, TAX_COLUMNS, TAX_COLUMNS_IF_YOU_LIKE):
        rate, wrong = _tax_rate(cells)
        yield line, rate, wrong


def rows_of(
    text: str, required: tuple[str, ...], optional: tuple[str, ...]
) -> list[tuple[int, dict[str, str]]]:
    """Return the rows of a table, each with its line.

    :raises Invalid: if the text is none, is empty, or is too long.
    """
    try:
        rows = list(islice(read_table(text, required=required, optional=optional), MOST_ROWS + 1))
    except UnreadableTable as unreadable:
        raise Invalid([Fault(("table",), "unreadable", str(unreadable))]) from None
    if not rows:
        raise Invalid([Fault(("table",), "empty", "The table has no rows below its first line.")])
    if len(rows) > MOST_ROWS:
        message = f"Import at most {MOST_ROWS:,} rows at once."
        raise Invalid([Fault(("table",), "too_long", message)])
    return rows


def read_day(text: str) -> date | None:
    """Read 2026-12-31; None for anything else."""
    try:
        return date.fromisoformat(text) if _DAY.fullmatch(text) else None
    except ValueError:
        return None


def rate_faults(rate: TaxRate) -> Iterator[Fault]:
    """Find what of a tax rate is at fault."""
    if rate.country not in COUNTRIES:
        message = "Choose an ISO 3166 code of two capital letters, such as DE."
        yield Fault(("country",), "unknown_country", message)
    if rate.category not in RateCategory.values:
        message = f"Choose one of {', '.join(RateCategory.values)}."
        yield Fault(("category",), "invalid_choice", message)
    if not 0 <= rate.percent <= 100:
        yield Fault(("percent",), "out_of_range", "A rate is from 0 to 100 percent.")
    elif rate.category in _UNTAXED and rate.percent:
        message = "What is zero rated or exempt has the rate 0."
        yield Fault(("percent",), "not_zero", message)
    if rate.valid_until and rate.valid_until < rate.valid_from:
        message = "It ends on its first day or later."
        yield Fault(("valid_until",), "before_start", message)


def _tax_rate(cells: Mapping[str, str]) -> tuple[TaxRate | None, str]:
    percent, first = cells["percent"], read_day(cells["valid_from"])
    last = read_day(cells["valid_until"])
    if not _PERCENT.fullmatch(percent):
        return None, f"“{percent}” is no percentage, such as 19 or 25.5."
    if first is None:
        return None, f"“{cells['valid_from']}” is no day: write 2026-12-31."
    if last is None and cells["valid_until"]:
        return None, f"“{cells['valid_until']}” is no day: write 2026-12-31, or nothing."
    rate = TaxRate(
        country=cells["country"],
        category=cells["category"],
        percent=Decimal(percent.replace(",", ".")),
        valid_from=first,
        valid_until=last,
        source=cells["source"][:200],
    )
    faults = list(rate_faults(rate))
    return (None, faults[0].message) if faults else (rate, "")


def read_exchange_rates(text: str) -> Iterator[tuple[int, ExchangeRate | None, str]]:
    """Yield each row with its line: an unsaved rate, or None and what is wrong with the row.

    :raises Invalid: if the text is no table of rates, or one of too many.
    """
    for line, cells in rows_of(text, EXCHANGE_COLUMNS, ()):
        rate, wrong = _exchange_rate(cells)
        yield line, rate, wrong


def exchange_faults(rate: ExchangeRate) -> Iterator[Fault]:
    """Find what of an exchange rate is at fault."""
    for field in ("base", "quote"):
        if getattr(rate, field) not in CURRENCIES:
            message = "Choose an ISO 4217 currency, such as EUR."
            yield Fault((field,), "unknown_currency", message)
    if rate.base == rate.quote:
        yield Fault(("quote",), "same_currency", "Name two currencies.")
    if rate.rate <= 0:
        yield Fault(("rate",), "out_of_range", "A rate is above 0.")
    if not rate.source.strip():
        yield Fault(("source",), "required", "Say who published it: invoices print it.")


def _exchange_rate(cells: Mapping[str, str]) -> tuple[ExchangeRate | None, str]:
    day, text = read_day(cells["date"]), cells["rate"]
    if not _RATE.fullmatch(text):
        return None, f"“{text}” is no rate, such as 1.0842."
    if day is None:
        return None, f"“{cells['date']}” is no day: write 2026-12-31."
    rate = ExchangeRate(
        base=cells["base"],
        quote=cells["quote"],
        rate=Decimal(text),
        date=day,
        source=cells["source"][:200],
    )
    faults = list(exchange_faults(rate))
    return (None, faults[0].message) if faults else (rate, "")


def packaged() -> str:
    """Return the starting table for the EU that comes with Plainbill."""
    return (Path(__file__).with_name("tax_data") / "eu.csv").read_text(encoding="utf-8")
