"""Periods, runs, snapshots, late usage; number sequences; invoices with all their parts; moves;
what is owed and was paid."""

from billing.models.add_ons import BillWhen, SaleStatus, SoldAddOn
from billing.models.annexes import InvoiceAnnex
from billing.models.exchange import ExchangeRate
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
from billing.models.money import (
    Allocation,
    OpenItem,
    Payment,
    PaymentKind,
    PaymentMethod,
    PaymentStatus,
    Refund,
    WriteOff,
)
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
from billing.models.taxes import TaxRate

__all__ = [
    "OUTSTANDING",
    "Allocation",
    "BillWhen",
    "BillingPeriod",
    "BillingRun",
    "DocumentSequence",
    "ExchangeRate",
    "HeldFor",
    "Invoice",
    "InvoiceAllowance",
    "InvoiceAnnex",
    "InvoiceDocument",
    "InvoiceLine",
    "InvoiceStatus",
    "LateStatus",
    "LateUsage",
    "LineKind",
    "MoveStatus",
    "MoveWhen",
    "OpenItem",
    "Outcome",
    "Payment",
    "PaymentKind",
    "PaymentMethod",
    "PaymentStatus",
    "PeriodCharge",
    "PeriodStatus",
    "PlanMove",
    "PlanMoveRow",
    "Purpose",
    "Recognition",
    "Refund",
    "RunStatus",
    "SaleStatus",
    "SoldAddOn",
    "TaxCategory",
    "TaxRate",
    "TaxSubtotal",
    "UsageSnapshot",
    "WriteOff",
    "time_of",
]
