"""Late usage: what came in after its period was closed, and what is decided about it (R31)."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from django_filters import rest_framework as filters  # type: ignore[import-untyped]
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from billing.late_usage.beside import commitments_beside
from billing.models import HeldFor, LateStatus, LateUsage
from billing.services import lateness
from catalog.money import ZERO, exponent, round_half_up
from config.base.api.fields import QuantityString, Text
from config.base.api.paging import Filters
from config.base.api.serializers import StrictSerializer
from config.base.api.views import ApiViewSet


class LateUsageSerializer(serializers.Serializer[LateUsage]):
    """What a price of a closed period amounts to beyond what was billed of it.

    What is billed at once leaves only the line on its invoice; here is what was noted before, held
    for a person, or too large a credit for one invoice.
    """

    id = serializers.UUIDField(source="uuid")
    status = serializers.ChoiceField(
        choices=LateStatus.values,
        help_text="`held`: for a person; `approved`: goes on the next invoice; `billed` and "
        "`written_off`: settled.",
    )
    held_for = serializers.ChoiceField(
        choices=["", *HeldFor.values],
        help_text="`age`: found too long after the close; `small`: below the threshold; empty: never held.",
    )
    customer = serializers.CharField(source="period.subscription.customer.key")
    subscription = serializers.CharField(source="period.subscription.key")
    period = serializers.UUIDField(source="period.uuid")
    price = serializers.CharField(source="price.key")
    metric = serializers.CharField(source="price.metric.key")
    invoice = serializers.UUIDField(
        source="invoice.uuid", help_text="The one that closed the period."
    )
    currency = serializers.CharField()
    amount = serializers.SerializerMethodField(help_text="Before tax; negative: a credit.")
    commitment = serializers.SerializerMethodField(
        help_text="What an invoice that bills it moves of the period's minimum commitment beside it: "
        "usage makes up for what was charged for lacking it. Of what waits for a decision or the next "
        "invoice; else 0."
    )
    quantity = QuantityString(minimum=None, help_text="Used in the period, as it is known now.")
    billed_quantity = QuantityString(minimum=None, help_text="What of it was billed.")
    found_at = serializers.DateTimeField()
    decided_by = serializers.CharField(help_text="Empty: nobody has.")
    decided_at = serializers.DateTimeField(allow_null=True)
    reason = serializers.CharField(help_text="Why it was written off.")

    def get_amount(self, row: LateUsage) -> str:
        return f"{round_half_up(row.amount, exponent(row.currency)):f}"

    def get_commitment(self, row: LateUsage) -> str:
        moved = self.context["beside"].get(row.pk, ZERO)
        return f"{round_half_up(moved, exponent(row.currency)):f}"


class WriteOffSerializer(StrictSerializer):
    reason = Text(max_length=2000, lines=True)


class LateUsageFilters(Filters):
    customer = filters.CharFilter("period__subscription__customer__key", label="A customer's key.")
    subscription = filters.CharFilter("period__subscription__key", label="A subscription's key.")

    class Meta:
        model = LateUsage
        fields = ("status", "held_for")


class LateUsageViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ApiViewSet[LateUsage]):
    """Late usage that was noted, held or written off, the newest first."""

    scope = "billing"
    queryset = LateUsage.objects.select_related(
        "period__subscription__customer",
        "period__phase__plan_version",
        "price__metric",
        "snapshot__metric",
        "invoice",
    ).order_by("-pk")
    serializer_class = LateUsageSerializer
    filterset_class = LateUsageFilters
    lookup_field = "uuid"
    lookup_value_regex = "[0-9a-fA-F-]{32,36}"
    ordering = "-pk"

    def get_serializer(self, *args: Any, **kwargs: Any) -> Any:
        """Look beside what is shown, the oldest first, as it is billed."""
        if args:
            rows = args[0] if kwargs.get("many") else [args[0]]
            beside = commitments_beside(sorted(rows, key=lambda row: row.pk))
            kwargs["context"] = {**self.get_serializer_context(), "beside": beside}
        return super().get_serializer(*args, **kwargs)

    @extend_schema(request=None, responses=LateUsageSerializer)
    @action(detail=True, methods=["post"])
    def bill(self, request: Request, uuid: str) -> Response:
        """Have what is held billed, or credited, on the next invoice."""
        row = self.get_object()
        lateness.bill_late_usage(late_id=row.pk, at=timezone.now(), actor=self.actor)
        return self._answer()

    @extend_schema(request=WriteOffSerializer, responses=LateUsageSerializer)
    @action(detail=True, methods=["post"], url_path="write-off")
    def write_off(self, request: Request, uuid: str) -> Response:
        """Decide that it is neither billed nor credited, and say why."""
        row = self.get_object()
        reason = self.read_body(WriteOffSerializer)["reason"]
        lateness.write_off_late_usage(
            late_id=row.pk, reason=reason, at=timezone.now(), actor=self.actor
        )
        return self._answer()

    def _answer(self) -> Response:
        data: dict[str, Any] = self.get_serializer(self.get_object()).data
        return Response(data)


routes = [("billing/late-usage", LateUsageViewSet, "late-usage")]
