"""Months as commands read them."""

from argparse import ArgumentTypeError
from datetime import date


def month(text: str) -> date:
    """Read a month such as 2025-09 as its first day."""
    try:
        year, number = text.split("-")
        return date(int(year), int(number), 1)
    except ValueError:
        raise ArgumentTypeError(f"“{text}” is no month such as 2025-09") from None
