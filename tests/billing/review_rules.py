"""What the database refuses of estimates of a close and of decisions over many drafts, each fired once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

from billing.models import (
    CloseEstimate,
    DraftOddity,
    EstimatedBill,
    EstimatedUsage,
    InvoiceBatch,
    InvoiceBatchRow,
    Look,
)
from tests import factories as make
from tests.billing.months import close

NOW = datetime(2026, 11, 2, tzinfo=UTC)
Rule = Callable[[], Any]


def _draft() -> Any:
    make.subscription(make.customer(manual_approval=True))
    return close(NOW)[-1]


def _oddity() -> None:
    look = Look.objects.create(invoice=_draft(), last_line=1, looked_at=NOW)
    DraftOddity.objects.create(look=look, kind="x", detail="A test.")


def _batch(**fields: Any) -> InvoiceBatch:
    terms = {"action": "issue", "started_by": "ada", "started_by_kind": "user", "started_at": NOW}
    return InvoiceBatch.objects.create(**{**terms, **fields})


def _row(**fields: Any) -> InvoiceBatchRow:
    return InvoiceBatchRow.objects.create(batch=_batch(), invoice=_draft(), **fields)


def _row_twice() -> None:
    row = _row()
    InvoiceBatchRow.objects.create(batch=row.batch, invoice=row.invoice)


def _estimate(**fields: Any) -> CloseEstimate:
    terms = {"month": date(2026, 11, 1), "as_of": NOW, "started_by": "ada", "started_at": NOW}
    return CloseEstimate.objects.create(**{**terms, **fields})


def _estimate_twice(customer: Any = None) -> None:
    for _ in range(2):
        _estimate(customer=customer)


def _bill(**fields: Any) -> EstimatedBill:
    return EstimatedBill.objects.create(
        estimate=_estimate(), subscription=make.subscription(), **fields
    )


def _bill_twice() -> None:
    bill = _bill()
    EstimatedBill.objects.create(estimate=bill.estimate, subscription=bill.subscription)


def _usage(times: int = 1, **fields: Any) -> None:
    bill, metric = _bill(), make.metric()
    for _ in range(times):
        EstimatedUsage.objects.create(bill=bill, metric=metric, quantity=1, events=1, **fields)


REVIEW_RULES: dict[str, Rule] = {
    "draft_oddity_is_known": _oddity,
    "batch_action_is_known": lambda: _batch(action="x"),
    "batch_status_is_known": lambda: _batch(status="x"),
    "batch_finished_when_dated": lambda: _batch(status="finished"),
    "batch_discards_with_a_reason": lambda: _batch(action="discard"),
    "batch_row_state_is_known": lambda: _row(state="x"),
    "batch_row_once_per_invoice": _row_twice,
    "batch_row_refused_with_reason": lambda: _row(state="refused"),
    "estimate_status_is_known": lambda: _estimate(status="x"),
    "estimate_once_per_month": _estimate_twice,
    "estimate_once_per_month_and_customer": lambda: _estimate_twice(make.customer()),
    "estimate_finished_when_dated": lambda: _estimate(finished_at=NOW),
    "estimated_bill_state_is_known": lambda: _bill(state="x"),
    "estimated_bill_once_per_subscription": _bill_twice,
    "estimated_bill_has_its_figures": lambda: _bill(state="estimated"),
    "estimated_bill_failed_with_reason": lambda: _bill(state="failed"),
    "usage_finding_is_known": lambda: _usage(finding="x", usual=1),
    "estimated_usage_once_per_metric": lambda: _usage(times=2),
    "usage_is_unusual_only_against_a_past": lambda: _usage(finding="high"),
}
