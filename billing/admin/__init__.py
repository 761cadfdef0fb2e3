"""The admin of billing: invoices and what is done with them, runs, periods, number sequences."""

from billing.admin import invoices, life, periods, runs, sequences

__all__ = ["invoices", "life", "periods", "runs", "sequences"]
