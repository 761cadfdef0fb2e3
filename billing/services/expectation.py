"""What an estimate of a close says: sums against the last invoices, and what is unusual in it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from django.db.models import Count, F, Q, QuerySet
from django.db.models.functions import Abs

from billing.models import BillState, CloseEstimate, EstimatedBill, EstimatedUsage, UsageFinding
from catalog.models import ValueMetric
from catalog.money import EXACT, ZERO
from config.base.fields import ExactSum

TOTAL_TIMES = Decimal("1.25")
"""A metric's usage by all customers of more than so many times the mean, or less than its so many-th
part, is unusual."""


class Sums(NamedTuple):
    """Bills of one currency, or of one plan in it, net; `fresh` of them are of a first period."""

    currency: str
    plan: str
    bills: int
    fresh: int
    before: Decimal
    expected: Decimal
    difference: Decimal


class MetricTotal(NamedTuple):
    """A metric's usage in all periods that are over and have a past, and the sum of their means."""

    metric: ValueMetric
    quantity: Decimal
    usual: Decimal

    @property
    def is_unusual(self) -> bool:
        much = EXACT.multiply(self.usual, TOTAL_TIMES)
        return self.quantity > much or EXACT.multiply(self.quantity, TOTAL_TIMES) < self.usual


def estimate_of(*, month: date, customer_id: int | None) -> CloseEstimate | None:
    return CloseEstimate.objects.filter(month=month, customer=customer_id).first()


def counted_bills(estimate: CloseEstimate) -> dict[str, int]:
    """Count an estimate's bills by state; one query."""
    return dict(estimate.bills.order_by().values_list("state").annotate(Count("pk")))


def by_currency(estimate: CloseEstimate) -> list[Sums]:
    """Add up what is expected and what was billed last, per currency; one query."""
    return [Sums(row.pop("currency"), "", **row) for row in _sums(estimate, "currency")]


def by_plan(estimate: CloseEstimate) -> list[Sums]:
    """Add up per plan and currency, the largest currency's plans by name; one query."""
    name = "plan_version__plan__name"
    return [
        Sums(row.pop("currency"), row.pop(name), **row) for row in _sums(estimate, "currency", name)
    ]


def _sums(estimate: CloseEstimate, *by: str) -> list[dict[str, Any]]:
    rows = estimate.bills.filter(state=BillState.ESTIMATED).order_by(*by).values(*by)
    found = rows.annotate(
        bills=Count("pk"),
        fresh=Count("pk", filter=Q(before=None)),
        before_sum=ExactSum("before"),
        expected_sum=ExactSum("expected"),
        difference_sum=ExactSum("difference"),
    )
    return [
        {
            **{name: row[name] for name in (*by, "bills", "fresh")},
            "before": row["before_sum"] or ZERO,
            "expected": row["expected_sum"] or ZERO,
            "difference": row["difference_sum"] or ZERO,
        }
        for row in found
    ]


def movers(estimate: CloseEstimate) -> QuerySet[EstimatedBill]:
    """Return the bills that differ from the last ones, the largest difference first."""
    changed = estimate.bills.filter(state=BillState.ESTIMATED).exclude(difference=0)
    rows = changed.select_related("subscription__customer", "plan_version__plan")
    return rows.order_by(Abs("difference").desc(), "pk")


def failing(estimate: CloseEstimate) -> QuerySet[EstimatedBill]:
    """Return the bills that can't be worked out: the close would park them."""
    rows = estimate.bills.filter(state=BillState.FAILED).order_by("pk")
    return rows.select_related("subscription__customer")


def unusual_usage(estimate: CloseEstimate, *findings: UsageFinding) -> QuerySet[EstimatedUsage]:
    """Return usage with one of these findings, the largest distance from the mean first."""
    found = EstimatedUsage.objects.filter(bill__estimate=estimate, finding__in=findings)
    rows = found.select_related("bill__subscription__customer", "metric")
    return rows.order_by(Abs(F("quantity") - F("usual")).desc(), "pk")


def counted_findings(estimate: CloseEstimate) -> dict[str, int]:
    """Count what is unusual, by finding; one query."""
    found = EstimatedUsage.objects.filter(bill__estimate=estimate).exclude(finding="")
    return dict(found.order_by().values_list("finding").annotate(Count("pk")))


def metric_totals(estimate: CloseEstimate) -> Sequence[MetricTotal]:
    """Add up each metric's usage of the periods that are over, with the means; two queries."""
    known = EstimatedUsage.objects.filter(
        bill__estimate=estimate, bill__is_over=True, usual__isnull=False
    )
    sums = list(
        known.order_by()
        .values("metric")
        .annotate(used=ExactSum("quantity"), mean=ExactSum("usual"))
    )
    metrics = ValueMetric.objects.in_bulk([row["metric"] for row in sums])
    totals = [MetricTotal(metrics[row["metric"]], row["used"], row["mean"]) for row in sums]
    return sorted(totals, key=lambda total: total.metric.name)
