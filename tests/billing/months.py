"""Steps of a customer's month: use, close, read."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from itertools import count
from typing import Any

from billing.models import Invoice, InvoiceLine
from billing.services import runs
from config.base.audit import SYSTEM
from config.base.invariants import INVARIANTS, Finding, audit
from customers.models import Subscription
from metering.events import make_event
from metering.services.ingestion import ingest

_number = count(1)


def use(
    subscription: Subscription,
    at: datetime,
    *,
    type: str = "api.call",
    id: str = "",
    received_at: datetime | None = None,
    **data: Any,
) -> None:
    """Send one event of a subscription's customer, which arrives at once if nothing else is said."""
    event = make_event(
        source="test",
        id=id or f"e{next(_number)}",
        type=type,
        subject=subscription.customer.key,
        subscription=None,
        time=at,
        data=data,
    )
    report = ingest([event], received_at=received_at or at)
    assert report.accepted == 1, report


def close(as_of: datetime, *, now: datetime | None = None) -> list[Invoice]:
    """Run the close as of a moment; return all invoices there are, in order of making."""
    run = runs.start_run(as_of=as_of, now=now or as_of, actor=SYSTEM)
    for chunk in runs.chunks(run):
        runs.close_chunk(run_id=run.pk, subscription_ids=chunk, now=as_of)
    run = runs.finish_if_done(run_id=run.pk, now=as_of)
    assert run.status == "finished"
    return list(Invoice.objects.with_lines().order_by("pk"))


def contradictions(at: datetime, *, but: Collection[str] = ()) -> list[Finding]:
    """Return what the audit finds, but for what no test delivers, and documents, whose folder all share."""
    left_out = {"outbox_moves", "documents_are_as_issued", *but}
    names = [one.name for one in INVARIANTS if one.name not in left_out]
    return [found for result in audit(at=at, names=names) for found in result.findings]


def left(invoice: Invoice) -> list[tuple[str, str]]:
    """Return what left an invoice for credit notes, by description and net amount (R32a)."""
    rows = InvoiceLine.every.filter(invoice=invoice, leaves=True).order_by("position")
    return [(line.description, f"{line.net:.2f}") for line in rows]


def lines(invoice: Invoice) -> list[tuple[str, str]]:
    """Return descriptions and net amounts, as printed."""
    return [(line.description, f"{line.net:.2f}") for line in invoice.lines.all()]
