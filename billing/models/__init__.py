"""Periods, runs, snapshots, late usage; number sequences; invoices with all their parts; moves."""

from billing.models.add_ons import BillWhen, SaleStatus, SoldAddOn
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
from billing.models.late import OUTSTANDING, HeldFor, LateStatus, LateUsage
from billing.models.moves import MoveStatus, MoveWhen, Outcome, PlanMove, PlanMoveRow
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
    "OUTSTANDING",
    "BillWhen",
    "BillingPeriod",
    "BillingRun",
    "DocumentSequence",
    "HeldFor",
    "Invoice",
    "InvoiceAllowance",
    "InvoiceDocument",
    "InvoiceLine",
    "InvoiceStatus",
    "LateStatus",
    "LateUsage",
    "LineKind",
    "MoveStatus",
    "MoveWhen",
    "Outcome",
    "PeriodCharge",
    "PeriodStatus",
    "PlanMove",
    "PlanMoveRow",
    "Purpose",
    "Recognition",
    "RunStatus",
    "SaleStatus",
    "SoldAddOn",
    "TaxCategory",
    "TaxSubtotal",
    "UsageSnapshot",
    "time_of",
]
