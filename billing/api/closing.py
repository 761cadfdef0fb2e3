"""Before and after a close: whether a month is ready, what it comes to, one decision over many drafts."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from django.urls import path
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import mixins, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing import tasks
from billing.models import (
    BatchAction,
    BatchState,
    BatchStatus,
    Invoice,
    InvoiceBatch,
    LateStatus,
    UsageFinding,
)
from billing.services import batches, estimating, expectation
from billing.services.expectation import Sums
from billing.services.readiness import readiness
from catalog.api.fields import KeyOf
from catalog.money import exponent, round_half_up
from config.base.api.fields import CalendarDate, Text
from config.base.api.serializers import QuerySerializer, StrictSerializer
from config.base.api.views import ApiView, ApiViewSet
from config.base.errors import Fault, Invalid, Refusal
from customers.models import Customer

MOST = 1000
EXAMPLE = {"action": "issue", "invoices": ["0b7c9f7e-8d0e-4f4b-9f3a-5b1f6f0f7a11"]}


class NotEstimated(Refusal):
    """Nobody has had this month worked out yet."""

    code = "not_estimated"


class MonthQuery(QuerySerializer):
    month = CalendarDate(
        required=False,
        help_text="Any day of the month; by default the one in which the oldest period ends that is "
        "still to close.",
    )
    customer = KeyOf(
        Customer, required=False, default=None, help_text="Only what this customer uses or pays."
    )


class LateSumSerializer(serializers.Serializer[Any]):
    status = serializers.ChoiceField(choices=LateStatus.values)
    currency = serializers.CharField()
    count = serializers.IntegerField()
    amount = serializers.CharField(help_text="Before tax; negative: credits.")


class ReadinessSerializer(serializers.Serializer[Any]):
    """What stands in the way of closing a month; every count is 0 where nothing does."""

    month = serializers.DateField(help_text="Its first day.")
    to_close = serializers.IntegerField(help_text="Open periods that end by the month's end.")
    too_early = serializers.IntegerField(help_text="Those whose usage cutoff has not passed.")
    closable_at = serializers.DateTimeField(
        allow_null=True, help_text="When the last of those may be closed."
    )
    quarantined = serializers.IntegerField(help_text="Events of these customers in quarantine.")
    quarantined_of_nobody = serializers.IntegerField(
        help_text="Events in quarantine that name a customer nobody knows."
    )
    parked = serializers.IntegerField(help_text="Periods that could not be closed.")
    late_usage = LateSumSerializer(many=True)
    unfinished_issuers = serializers.ListField(child=serializers.CharField())
    buyers_without_country = serializers.IntegerField(
        help_text="Of issuers that make electronic invoices, which name it: none is issued without."
    )
    estimated_at = serializers.DateTimeField(
        allow_null=True, help_text="Usage of the figures below counts up to here; null: not known."
    )
    would_be_parked = serializers.IntegerField(allow_null=True)
    unusual_usage = serializers.IntegerField(
        allow_null=True, help_text="Metrics of customers far above or below the mean."
    )
    missing_usage = serializers.IntegerField(
        allow_null=True, help_text="Metrics of customers without usage, though there always was."
    )
    silent_sources = serializers.ListField(child=serializers.CharField())


class SumsSerializer(serializers.Serializer[Any]):
    currency = serializers.CharField()
    invoices = serializers.IntegerField()
    first_invoices = serializers.IntegerField(help_text="Those with no period billed before.")
    last = serializers.CharField(help_text="What their last invoices came to, net.")
    expected = serializers.CharField()
    difference = serializers.CharField()


class PlanSumsSerializer(SumsSerializer):
    plan = serializers.CharField(help_text="The plan's name.")


class ExpectedSerializer(serializers.Serializer[Any]):
    """What the close of a month comes to, as it was last worked out, before tax."""

    month = serializers.DateField(help_text="Its first day.")
    status = serializers.ChoiceField(choices=["working", "finished"])
    as_of = serializers.DateTimeField(help_text="Usage counts up to here.")
    currencies = SumsSerializer(many=True)
    plans = PlanSumsSerializer(many=True)


class MonthView(ApiView):
    scope = "billing"

    def asked(self) -> tuple[date, Customer | None]:
        query = self.read_query(MonthQuery)
        day = query.get("month") or estimating.month_to_close(at=timezone.now())
        return day.replace(day=1), query["customer"]


class ReadinessView(MonthView):
    """Whether a month can be closed."""

    @extend_schema(
        operation_id="billing_readiness", parameters=[MonthQuery], responses=ReadinessSerializer
    )
    def get(self, request: Request) -> Response:
        """Count what is missing, held back, unusual or unfinished before a month is closed."""
        month, customer = self.asked()
        found = readiness(
            month=month, as_of=timezone.now(), customer_id=customer.pk if customer else None
        )
        estimate = found.estimate
        bills = expectation.counted_bills(estimate) if estimate else {}
        odd = expectation.counted_findings(estimate) if estimate else {}
        far = odd.get(UsageFinding.HIGH, 0) + odd.get(UsageFinding.LOW, 0)
        return Response(
            {
                "month": month,
                "to_close": found.to_close,
                "too_early": found.too_early,
                "closable_at": found.closable_at,
                "quarantined": found.quarantined.total,
                "quarantined_of_nobody": found.quarantined.of_nobody,
                "parked": found.parked.count(),
                "late_usage": [
                    {
                        "status": one.status,
                        "currency": one.currency,
                        "count": one.rows,
                        "amount": _amount(one.amount, one.currency),
                    }
                    for one in found.late
                ],
                "unfinished_issuers": [issuer.name for issuer in found.unfinished],
                "buyers_without_country": found.buyers_without_country,
                "estimated_at": estimate.as_of if estimate else None,
                "would_be_parked": bills.get("failed", 0) if estimate else None,
                "unusual_usage": far if estimate else None,
                "missing_usage": odd.get(UsageFinding.SILENT, 0) if estimate else None,
                "silent_sources": [one["source"] for one in estimate.silent_sources]
                if estimate
                else [],
            }
        )


class ExpectedView(MonthView):
    """What the close of a month comes to."""

    @extend_schema(
        operation_id="billing_expected",
        parameters=[MonthQuery],
        responses={
            200: ExpectedSerializer,
            409: OpenApiResponse(description="`not_estimated`: nobody had it worked out yet."),
        },
    )
    def get(self, request: Request) -> Response:
        """Read the last estimate of a month: the worker makes one of the next close every day."""
        month, customer = self.asked()
        estimate = expectation.estimate_of(
            month=month, customer_id=customer.pk if customer else None
        )
        if estimate is None:
            raise NotEstimated(f"The close of {month:%B %Y} was not worked out yet.")
        return Response(
            {
                "month": month,
                "status": estimate.status,
                "as_of": estimate.as_of,
                "currencies": [_sums(row) for row in expectation.by_currency(estimate)],
                "plans": [
                    {"plan": row.plan, **_sums(row)} for row in expectation.by_plan(estimate)
                ],
            }
        )


class NewBatchSerializer(StrictSerializer):
    """What to do, to which open invoices."""

    action = serializers.ChoiceField(choices=BatchAction.choices)
    invoices = serializers.ListField(
        child=serializers.UUIDField(), min_length=1, max_length=MOST, help_text="Their ids."
    )
    reason = Text(
        max_length=2000,
        lines=True,
        default="",
        help_text="Why; needed to discard, and stands on each of them.",
    )


class LeftSerializer(serializers.Serializer[Any]):
    invoice = serializers.UUIDField(source="invoice.uuid")
    detail = serializers.CharField(source="note")


class BatchSerializer(serializers.Serializer[InvoiceBatch]):
    """One decision over many open invoices, and how far it is done."""

    id = serializers.UUIDField(source="uuid")
    action = serializers.ChoiceField(choices=BatchAction.choices)
    status = serializers.ChoiceField(choices=BatchStatus.values)
    reason = serializers.CharField()
    started_by = serializers.CharField()
    started_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    total = serializers.SerializerMethodField()
    done = serializers.SerializerMethodField()
    refused = serializers.SerializerMethodField(
        help_text=f"Those left as they were, and why; the first {MOST:,}."
    )

    def get_total(self, batch: InvoiceBatch) -> int:
        return sum(batches.counted_rows(batch).values())

    def get_done(self, batch: InvoiceBatch) -> int:
        return batches.counted_rows(batch).get(BatchState.DONE, 0)

    def get_refused(self, batch: InvoiceBatch) -> list[dict[str, Any]]:
        rows = batch.rows.filter(state=BatchState.REFUSED).select_related("invoice")
        return [dict(LeftSerializer(row).data) for row in rows.order_by("pk")[:MOST]]


class BatchViewSet(mixins.RetrieveModelMixin, ApiViewSet[InvoiceBatch]):
    """Decisions over many open invoices."""

    scope = "billing"
    queryset = InvoiceBatch.objects.order_by("-pk")
    serializer_class = BatchSerializer
    lookup_field = "uuid"
    lookup_value_regex = "[0-9a-fA-F-]{32,36}"
    ordering = "-pk"

    @extend_schema(
        request=NewBatchSerializer,
        responses={202: BatchSerializer},
        examples=[OpenApiExample("Issue one", EXAMPLE, request_only=True)],
    )
    def create(self, request: Request) -> Response:
        """Issue, hold or discard up to 1,000 open invoices; read it again to see how far it is.

        Workers do it. What can't be done to one of them is told under `refused`, and the others go
        on. Discarding opens the periods again, so that the next run bills them anew.
        """
        body = self.read_body(NewBatchSerializer)
        found = Invoice.objects.filter(uuid__in=body["invoices"])
        known = set(found.values_list("uuid", flat=True))
        faults = [
            Fault(("invoices", n), "unknown", "There is no invoice with this id.")
            for n, one in enumerate(body["invoices"])
            if one not in known
        ]
        if faults:
            raise Invalid(faults)
        batch = batches.start_batch(
            invoices=found,
            action=BatchAction(body["action"]),
            reason=body["reason"],
            at=timezone.now(),
            actor=self.actor,
        )
        tasks.nudge_batch(batch.pk)
        return Response(self.get_serializer(self.get_queryset().get(pk=batch.pk)).data, status=202)


def _sums(row: Sums) -> dict[str, Any]:
    return {
        "currency": row.currency,
        "invoices": row.bills,
        "first_invoices": row.fresh,
        "last": _amount(row.before, row.currency),
        "expected": _amount(row.expected, row.currency),
        "difference": _amount(row.difference, row.currency),
    }


def _amount(value: Decimal, currency: str) -> str:
    return f"{round_half_up(value, exponent(currency)):f}"


routes = [("billing/batches", BatchViewSet, "batch")]
urlpatterns = [
    path("billing/readiness", ReadinessView.as_view(), name="readiness"),
    path("billing/expected", ExpectedView.as_view(), name="expected"),
]
