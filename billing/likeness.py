"""Which invoices are like each other, so that their amounts can be compared (the guard).

Those with fees or usage of the same subscriptions, of which the longest lasts as long: a quarter
beside days is compared with quarters, and a month in which a yearly fee falls with such months.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from billing.models import InvoiceLine, LineKind

LOOKED_AT = ("kind", "subscription", "service_start", "service_end")
"""What of lines is looked at, in a query."""
_LASTING = (LineKind.FEE, LineKind.USAGE)
_LENGTHS = ((1, "day"), (7, "week"), (31, "month"), (92, "quarter"), (366, "year"))


def likeness(lines: Iterable[InvoiceLine]) -> str:
    """Return 64 characters that are the same for invoices that are like each other; saved or not."""
    lasting = [line for line in lines if line.kind in _LASTING]
    subscriptions = sorted({line.subscription_id for line in lasting})
    told = f"{_length(lasting)} {subscriptions}"
    return hashlib.sha256(told.encode()).hexdigest()


def _length(lines: Iterable[InvoiceLine]) -> str:
    """Name the longest time that one of them charges; empty where there is none."""
    days = max(((line.service_end - line.service_start).days for line in lines), default=0)
    return next((name for most, name in _LENGTHS if days <= most), "longer") if days else ""
