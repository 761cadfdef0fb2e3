"""What the admin's first page says about billing."""

from __future__ import annotations

from django.urls import reverse

from billing.models import BillingPeriod, BillingRun, Invoice, InvoiceStatus, PeriodStatus
from config.base.dashboard import Figure, Step


def billing_steps() -> list[Step]:
    return [
        Step(
            70,
            "Close the first period",
            "A look at what is due, then a run that drafts the invoices.",
            reverse("admin:billing_billingrun_close"),
            BillingRun.objects.exists(),
            "billing.add_billingrun",
        )
    ]


def billing_figures() -> list[Figure]:
    invoices = reverse("admin:billing_invoice_changelist")
    periods = reverse("admin:billing_billingperiod_changelist")
    return [
        Figure(
            30,
            "Drafts",
            Invoice.objects.filter(status=InvoiceStatus.DRAFT).count(),
            f"{invoices}?status__exact=draft",
            "billing.view_invoice",
        ),
        Figure(
            40,
            "Held for review",
            Invoice.objects.filter(status=InvoiceStatus.REVIEW).count(),
            f"{invoices}?status__exact=review",
            "billing.view_invoice",
        ),
        Figure(
            50,
            "Periods parked",
            BillingPeriod.objects.filter(status=PeriodStatus.PARKED).count(),
            f"{periods}?status__exact=parked",
            "billing.view_billingperiod",
        ),
    ]
