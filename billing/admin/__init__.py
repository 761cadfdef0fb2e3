"""The admin of billing: invoices and what is done with them, runs, periods, sold add-ons, number sequences."""

from billing.admin import add_ons, invoices, late, life, moves, periods, runs, sequences

__all__ = ["add_ons", "invoices", "late", "life", "moves", "periods", "runs", "sequences"]
