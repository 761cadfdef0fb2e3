"""Units as UN/ECE Recommendation 20 codes them [pure]."""

from __future__ import annotations

ONE = "C62"
"""Something that is counted, and has no measure of its own."""

_CODES = {
    "second": "SEC",
    "minute": "MIN",
    "hour": "HUR",
    "day": "DAY",
    "week": "WEE",
    "month": "MON",
    "year": "ANN",
    "byte": "AD",
    "kb": "2P",
    "kilobyte": "2P",
    "mb": "4L",
    "megabyte": "4L",
    "gb": "E34",
    "gigabyte": "E34",
    "tb": "E35",
    "terabyte": "E35",
    "pb": "E36",
    "petabyte": "E36",
    "kwh": "KWH",
    "kilowatt hour": "KWH",
    "g": "GRM",
    "gram": "GRM",
    "kg": "KGM",
    "kilogram": "KGM",
    "m": "MTR",
    "metre": "MTR",
    "km": "KMT",
    "kilometre": "KMT",
    "litre": "LTR",
}


def unit_code(unit: str) -> str:
    """Return the code of a unit in the singular; of what is merely counted, `ONE`."""
    return _CODES.get(unit.strip().casefold(), ONE)
