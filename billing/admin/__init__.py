"""The admin of billing: invoices and what is done with them, runs, periods, sold add-ons, number sequences, tax rates."""

from billing.admin import (
    add_ons,
    invoices,
    late,
    life,
    moves,
    periods,
    runs,
    sequences,
    tax_rates,
)

__all__ = [
    "add_ons",
    "invoices",
    "late",
    "life",
    "moves",
    "periods",
    "runs",
    "sequences",
    "tax_rates",
]
