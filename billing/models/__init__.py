"""Periods, runs and snapshots; number sequences; invoices with lines, allowances, taxes and documents."""

from billing.models.invoices import (
    DocumentSequence,
    Invoice,
    InvoiceAllowance,
    InvoiceDocument,
    InvoiceLine,
    InvoiceStatus,
    LineKind,
    Recognition,
    TaxCategory,
    TaxSubtotal,
)
from billing.models.periods import (
    BillingPeriod,
    BillingRun,
    PeriodCharge,
    PeriodStatus,
    Purpose,
    RunStatus,
    UsageSnapshot,
    time_of,
)

__all__ = [
    "BillingPeriod",
    "BillingRun",
    "DocumentSequence",
    "Invoice",
    "InvoiceAllowance",
    "InvoiceDocument",
    "InvoiceLine",
    "InvoiceStatus",
    "LineKind",
    "PeriodCharge",
    "PeriodStatus",
    "Purpose",
    "Recognition",
    "RunStatus",
    "TaxCategory",
    "TaxSubtotal",
    "UsageSnapshot",
    "time_of",
]
