"""The admin of billing: invoices and what is done with them, runs, periods, sold add-ons, number sequences, tax and exchange rates."""

from billing.admin import (
    accounts,
    add_ons,
    batches,
    estimates,
    exchange_rates,
    invoices,
    late,
    life,
    mails,
    moves,
    payments,
    periods,
    runs,
    sequences,
    statements,
    tax_rates,
)

__all__ = [
    "accounts",
    "add_ons",
    "exchange_rates",
    "batches",
    "estimates",
    "invoices",
    "late",
    "life",
    "mails",
    "moves",
    "payments",
    "periods",
    "runs",
    "sequences",
    "statements",
    "tax_rates",
]
