"""Whether an issuer can make electronic invoices: what they name of it, and of whom it sells to."""

from __future__ import annotations

from django.http import HttpRequest
from django.urls import reverse

from billing.admin import words
from billing.services.readiness import buyers_without_country
from config.base.admin.audited import Panel
from customers.electronic import seller_demands
from customers.models import Issuer, Subscription


def electronic_panel(request: HttpRequest, issuer: Issuer) -> Panel:
    """List what EN 16931 demands of the seller, met or not, and whose invoices would lack theirs."""
    fields = {field.name: getattr(issuer, field.attname) for field in issuer._meta.concrete_fields}
    demands = list(seller_demands(fields))
    missing = [demand.what for demand in demands if not demand.is_met]
    nowhere = buyers_without_country(Subscription.objects.all()).count()
    return Panel(
        "Electronic invoices",
        "admin/billing/electronic_panel.html",
        {
            "is_on": issuer.electronic_invoices,
            "demands": demands,
            "missing": missing,
            "nowhere": words.counted(nowhere, "customer") if nowhere else "",
            "nowhere_url": f"{reverse('admin:customers_customer_changelist')}?country__exact=",
        },
    )
