"""When periods close and invoices are issued, in a sentence for whoever closes (R26)."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q

from catalog.models import Plan
from customers.models import Customer, Issuer

_OWN = Q(usage_cutoff_hours__isnull=False) | Q(auto_issue_hours__isnull=False) | Q(
    manual_approval__isnull=False
)  # fmt: skip


def told_clocks() -> list[str]:
    """Say what holds by each issuer, and how many plans and customers have clocks of their own."""
    issuers = list(Issuer.objects.all())
    said = []
    for issuer in issuers:
        name = f"{issuer}: a" if len(issuers) > 1 else "A"
        issued = (
            "and a person issues its invoice"
            if issuer.manual_approval
            else f"and its invoice is issued {_hours(issuer.auto_issue_hours)} later"
        )
        said.append(
            f"{name} period may be closed {_hours(issuer.usage_cutoff_hours)} after its end, {issued}."
        )
    own = f"{_count(Plan, 'plan')} and {_count(Customer, 'customer')}"
    return [*said, f"Other hours or a person's approval: {own}."]


def _hours(count: int) -> str:
    return f"{count} hour" if count == 1 else f"{count} hours"


def _count(model: type[models.Model], noun: str) -> str:
    rows: Any = model._default_manager.filter(_OWN)
    count = rows.count()
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
