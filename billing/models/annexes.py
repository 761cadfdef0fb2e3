"""What an issued invoice tells besides its lines."""

from __future__ import annotations

from django.db import models

from billing.models.invoices import Invoice


class InvoiceAnnex(models.Model):
    """Why an invoice changed and its usage day by day, as its document prints them; written once.

    Both are read from rows that may know more later, so they are frozen before the first rendering
    (R28).
    """

    invoice = models.OneToOneField(Invoice, on_delete=models.PROTECT, related_name="annex")
    change = models.JSONField(null=True, help_text="Last net to this net; null without a last one.")
    usage = models.JSONField(
        help_text="Per metric: days, dimensions, what came in after the count."
    )
    portal_url = models.URLField(
        max_length=500, blank=True, help_text="Where its buyer sees it line by line."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return f"Annex of {self.invoice}"
