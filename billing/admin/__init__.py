"""The admin of billing: invoices and what is done with them, runs, periods, number sequences."""

from billing.admin import invoices, periods, runs, sequences

__all__ = ["invoices", "periods", "runs", "sequences"]
