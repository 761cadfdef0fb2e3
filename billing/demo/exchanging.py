"""Exchange rates of the demo company: made up, as their source says, one of each month. Values only."""

from __future__ import annotations

from datetime import date, timedelta

from customers.periods import month_after

SOURCE = "Demo data: made up"
MONTHS = 24
"""How far back they go: further than the company's story."""
_ROWS = {
    "USD": ("1.0842", "1.0915", "1.0788", "1.0960", "1.1034", "1.0897"),
    "GBP": ("0.8412", "0.8437", "0.8391", "0.8455", "0.8470", "0.8424"),
    "JPY": ("162.35", "163.80", "161.92", "164.47", "165.10", "163.04"),
}
"""What one EUR is in each currency that the company sells in; over and over again."""


def table(*, until: date) -> str:
    """Write the rates of the last day of each month that is over on a day, as a table to import."""
    ends = [month_after(until.replace(day=1), -ago) - timedelta(days=1) for ago in range(MONTHS)]
    rows = [
        f"EUR,{quote},{rates[day.month % len(rates)]},{day.isoformat()},{SOURCE}"
        for day in ends
        for quote, rates in _ROWS.items()
    ]
    return "\n".join(["base,quote,rate,date,source", *rows])
