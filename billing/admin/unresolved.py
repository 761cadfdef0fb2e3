"""What a close leaves out: events in quarantine of the customers whose periods it closes."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.db.models import Count, QuerySet
from django.urls import reverse

from billing.admin import words
from customers.models import Customer
from metering.models import QuarantineCode, QuarantinedEvent, QuarantineStatus

SHOWN = 10


def unresolved(customers: QuerySet[Customer]) -> dict[str, Any]:
    """Return how many events wait of these customers, of whom, and how many are of nobody known.

    Two queries, however many customers there are.
    """
    waiting = QuarantinedEvent.objects.waiting()
    theirs = waiting.of_customers(customers).exclude(code=QuarantineCode.UNKNOWN_CUSTOMER)
    groups = list(theirs.order_by().values_list("subject").annotate(n=Count("pk")).order_by("-n"))
    nobodys = waiting.of_nobody().count()
    return {
        "theirs": sum(n for _, n in groups),
        "customers": [
            {"subject": subject, "count": words.number(n), "url": _listed(subject=subject)}
            for subject, n in groups[:SHOWN]
        ],
        "others": max(0, len(groups) - SHOWN),
        "nobodys": nobodys,
        "nobodys_url": _listed(code__exact=QuarantineCode.UNKNOWN_CUSTOMER.value),
    }


def _listed(**filters: str) -> str:
    query = urlencode({"status__exact": QuarantineStatus.OPEN.value, **filters})
    return f"{reverse('admin:metering_quarantinedevent_changelist')}?{query}"
