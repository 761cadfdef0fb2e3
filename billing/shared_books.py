"""What must always hold of invoices that several subscriptions share; for `manage.py audit` (R37)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

from django.db.models import Count

from billing.models import InvoiceLine, PeriodCharge, Purpose
from config.base.invariants import Finding, Invariant


def _shared() -> Any:
    """Return the invoices with claims of several subscriptions, by their ids."""
    counted = PeriodCharge.objects.order_by().values("invoice")
    counted = counted.annotate(subscriptions=Count("subscription", distinct=True))
    return counted.filter(subscriptions__gt=1).values("invoice")


def _not_named(at: datetime) -> Iterator[Finding]:
    """Find subscriptions that an invoice charges, but doesn't name among those that share it."""
    charged = InvoiceLine.every.filter(invoice__in=_shared()).order_by("invoice", "subscription")
    columns = ("invoice__uuid", "invoice__sections", "subscription__key")
    for uuid, sections, key in charged.values_list(*columns).distinct().iterator():
        named = [one["subscription"] for one in sections]
        if named.count(key) != 1:
            yield Finding(f"invoice {uuid}", f"{key} once", ", ".join(named) or "nobody")


def _of_several_days(at: datetime) -> Iterator[Finding]:
    """Find invoices that bill subscriptions together whose periods end or begin on several days."""
    days: dict[str, dict[str, date]] = defaultdict(dict)
    claims = PeriodCharge.objects.filter(invoice__in=_shared()).exclude(purpose=Purpose.LATE)
    columns = ("invoice__uuid", "subscription__key", "purpose", "period__start_date",
               "period__end_date")  # fmt: skip
    for uuid, key, purpose, start, end in (
        claims.order_by("invoice", "pk").values_list(*columns).iterator()
    ):
        day = start if purpose == Purpose.OPENING else end
        days[uuid][key] = max(day, days[uuid].get(key, day))
    for uuid, by_key in days.items():
        first = min(by_key.values())
        for key, day in by_key.items():
            if day != first:
                yield Finding(f"invoice {uuid}", f"what is due on {first}", f"{key} of {day}")


SHARED_BOOKS = [
    Invariant(
        "shared_invoices_name_their_subscriptions",
        "An invoice of several subscriptions names each of them once.",
        _not_named,
    ),
    Invariant(
        "shared_invoices_are_of_one_day",
        "Subscriptions share an invoice only where their periods end or begin on the same day.",
        _of_several_days,
    ),
]
