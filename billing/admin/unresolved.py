"""What a close leaves out: events in quarantine of the customers whose periods it closes."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from billing.admin import words
from billing.services.readiness import Quarantined
from metering.models import QuarantineCode, QuarantineStatus

SHOWN = 10


def unresolved(found: Quarantined) -> dict[str, Any]:
    """Return how many events wait, of whom, and how many are of nobody known, each with its list."""
    return {
        "theirs": found.total,
        "customers": [
            {"subject": subject, "count": words.number(n), "url": _listed(subject=subject)}
            for subject, n in found.by_subject[:SHOWN]
        ],
        "others": max(0, len(found.by_subject) - SHOWN),
        "nobodys": found.of_nobody,
        "nobodys_url": _listed(code__exact=QuarantineCode.UNKNOWN_CUSTOMER.value),
    }


def _listed(**filters: str) -> str:
    query = urlencode({"status__exact": QuarantineStatus.OPEN.value, **filters})
    return f"{reverse('admin:metering_quarantinedevent_changelist')}?{query}"
