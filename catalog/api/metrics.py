"""Metrics: what is charged for, and how it is measured."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from decimal import Decimal
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from catalog import services
from catalog.api.fields import Choice, Names, PropertyName, unchanged_key
from catalog.api.filters import FilterSerializer
from catalog.metrics import fill_in, metric_errors
from catalog.models import (
    Aggregation,
    Answer,
    CostTrend,
    Decision,
    MetricKind,
    MetricStatus,
    Question,
    RoundingMode,
    TimeUnit,
    ValueIs,
    ValueMetric,
)
from catalog.worksheet import Answered, Worksheet, answer_questions, decide, worksheets
from config.base.api.fields import (
    CalendarDate,
    KeyString,
    QuantityString,
    Text,
    UnitAmountString,
    WholeNumber,
    YesNo,
)
from config.base.api.paging import Filters
from config.base.api.serializers import CheckedSerializer, StrictSerializer
from config.base.api.views import ApiViewSet
from config.base.errors import Fault

EXAMPLE: dict[str, Any] = {
    "key": "input_tokens",
    "name": "Input tokens",
    "unit": "token",
    "unit_plural": "tokens",
    "kind": "consumption",
    "event_type": "llm.request",
    "aggregation": "sum",
    "value_property": "input_tokens",
    "filters": [{"property": "model", "operator": "in", "values": ["m-large"]}],
    "dimensions": ["model"],
    "carry_over": False,
    "unit_divisor": "1",
    "rounding": {"mode": "half_up", "scale": 0},
    "unit_cost": "0.0000011",
}


class RoundingSerializer(StrictSerializer):
    """How the quantity is rounded before the allowance is subtracted."""

    mode = Choice(RoundingMode, source="rounding_mode", default=RoundingMode.HALF_UP)
    scale = WholeNumber(
        source="rounding_scale",
        min_value=0,
        max_value=10,
        default=10,
        help_text="Decimals kept: 0 bills whole units, 10 keeps the quantity as it is.",
    )


class MetricSerializer(CheckedSerializer):
    """What is charged for, in the customer's words, with how it is measured."""

    stand_ins = {
        "value_property": "property",
        "value_is": ValueIs.LEVEL,
        "time_unit": TimeUnit.PERIOD,
        "unit_divisor": Decimal(1),
    }

    key = KeyString(help_text="Your own name for it; it never changes.")
    name = Text(max_length=200, help_text="What customers read on their invoice.")
    unit = Text(max_length=50, help_text="One of them, such as “token”.")
    unit_plural = Text(
        max_length=50, required=False, help_text="Several of them; by default the unit with an s."
    )
    kind = Choice(MetricKind, default=MetricKind.CONSUMPTION)
    event_type = Text(max_length=255, help_text="The type of the events that count.")
    aggregation = Choice(Aggregation)
    value_property = PropertyName(
        required=False,
        allow_blank=True,
        help_text="The property that holds the value; for every aggregation but `count`.",
    )
    value_is = Choice(
        ValueIs,
        required=False,
        allow_null=True,
        help_text="For `max`, `latest` and `time_weighted`, by default `level`.",
    )
    time_unit = Choice(
        TimeUnit,
        required=False,
        allow_null=True,
        help_text="For `time_weighted`, by default `period`.",
    )
    series = Names(
        default=list,
        max_length=10,
        help_text="Levels are measured per distinct value of these properties, then added up.",
    )
    filters: serializers.ListSerializer[Any] = serializers.ListSerializer(
        child=FilterSerializer(),
        max_length=20,
        default=list,
        help_text="Only events that meet all of these count.",
    )
    dimensions = Names(
        default=list, max_length=20, help_text="Properties by which usage can be broken down."
    )
    carry_over = YesNo(
        default=False, help_text="For levels: a period starts from the last level before it."
    )
    unit_divisor = QuantityString(
        positive=True, default=Decimal(1), help_text="The total is divided by this."
    )
    rounding = RoundingSerializer(source="*", required=False)
    unit_cost = UnitAmountString(
        required=False, allow_null=True, help_text="What one unit costs you."
    )
    internal_name = Text(
        max_length=200,
        required=False,
        allow_blank=True,
        help_text="Your own name for it; never shown to customers.",
    )
    cost_trend = Choice(
        CostTrend, required=False, allow_null=True, help_text="Where the cost of one is going."
    )
    review_on = CalendarDate(
        required=False, allow_null=True, help_text="When to look at its worksheet again."
    )
    status = Choice(MetricStatus, read_only=True)
    created_at = serializers.DateTimeField(read_only=True)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        values: dict[str, Any] = super().to_internal_value(data)
        metric = self._metric(values)
        values |= {"value_is": metric.value_is, "time_unit": metric.time_unit}
        if self.instance is None:
            values.setdefault("unit_plural", f"{metric.unit}s"[:50])
        return values

    def check_together(self, values: dict[str, Any]) -> Iterable[Fault]:
        metric = self._metric(values)
        return metric_errors(metric) if metric.aggregation else ()

    def _metric(self, values: dict[str, Any]) -> ValueMetric:
        """Return the metric that these values make, or make of the one that is changed."""
        metric = ValueMetric() if self.instance is None else copy(self.instance)
        for name, value in values.items():
            setattr(metric, name, value)
        fill_in(metric, given={name for name, value in values.items() if value})
        return metric


class ChangedMetricSerializer(MetricSerializer):
    """What changes of a metric; its definition only until a published price uses it."""

    def validate_key(self, key: str) -> str:
        return unchanged_key(key, self.instance)


class AnswerSerializer(StrictSerializer):
    """An answer to one of the three questions."""

    answer = Choice(Answer)
    evidence = Text(
        max_length=5000,
        lines=True,
        required=False,
        allow_blank=True,
        help_text="What it rests on; a `no` needs it.",
    )
    notes = Text(max_length=5000, lines=True, required=False, allow_blank=True)
    answered_by = serializers.CharField(read_only=True)
    answered_at = serializers.DateTimeField(read_only=True)


class AnswersSerializer(StrictSerializer):
    """The three questions a metric must stand; a question left out keeps its answer."""

    measurable = AnswerSerializer(required=False, help_text=Question.MEASURABLE.label)
    value = AnswerSerializer(required=False, help_text=Question.VALUE.label)
    understandable = AnswerSerializer(required=False, help_text=Question.UNDERSTANDABLE.label)


class DecisionSerializer(StrictSerializer):
    """What was decided of a metric, and why."""

    decision = Choice(Decision)
    reason = Text(max_length=5000, lines=True)
    is_automatic = serializers.BooleanField(
        read_only=True, help_text="It followed from the answers."
    )
    decided_by = serializers.CharField(read_only=True)
    decided_at = serializers.DateTimeField(read_only=True)


class WorksheetSerializer(serializers.Serializer[Any]):
    """Where a metric stands: the latest answers, and all decisions, the newest first."""

    status = Choice(MetricStatus)
    answers = AnswersSerializer()
    decisions = DecisionSerializer(many=True)


class MetricFilters(Filters):
    class Meta:
        model = ValueMetric
        fields = ("key", "event_type", "status", "kind", "aggregation")


class MetricViewSet(
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    ApiViewSet[ValueMetric],
):
    """Metrics: what is charged for, and how it is measured from events."""

    scope = "catalog"
    queryset = ValueMetric.objects.order_by("pk")
    serializer_class = MetricSerializer
    filterset_class = MetricFilters
    lookup_field = "key"

    @extend_schema(
        responses={201: MetricSerializer},
        examples=[OpenApiExample("Input tokens", EXAMPLE, request_only=True)],
    )
    def create(self, request: Request) -> Response:
        """Create a metric. A published price freezes its definition."""
        metric = ValueMetric(**self.read_body(MetricSerializer))
        metric = services.create_metric(metric=metric, actor=self.actor)
        return Response(self.get_serializer(metric).data, status=201)

    @extend_schema(request=ChangedMetricSerializer, responses=MetricSerializer)
    def partial_update(self, request: Request, key: str) -> Response:
        """Change a metric; its definition only until a published price uses it."""
        metric = self.get_object()
        fields = self.read_body(ChangedMetricSerializer, instance=metric, partial=True)
        metric = services.change_metric(metric_id=metric.pk, fields=fields, actor=self.actor)
        return Response(self.get_serializer(metric).data)

    @extend_schema(responses=WorksheetSerializer)
    @action(detail=True, methods=["get"])
    def worksheet(self, request: Request, key: str) -> Response:
        """Show the worksheet: three questions, their answers, and what was decided."""
        [sheet] = worksheets([self.get_object()])
        return self._sheet(sheet)

    @extend_schema(request=AnswersSerializer, responses=WorksheetSerializer)
    @worksheet.mapping.post
    def answer(self, request: Request, key: str) -> Response:
        """Answer questions; a candidate that fails more than one of them is deprioritised."""
        metric = self.get_object()
        given = self.read_body(AnswersSerializer)
        answers = {
            Question(question): Answered(
                Answer(said["answer"]), said.get("evidence", ""), said.get("notes", "")
            )
            for question, said in given.items()
        }
        return self._sheet(
            answer_questions(
                metric_id=metric.pk, answers=answers, at=timezone.now(), actor=self.actor
            )
        )

    @extend_schema(request=DecisionSerializer, responses=WorksheetSerializer)
    @action(detail=True, methods=["post"])
    def decide(self, request: Request, key: str) -> Response:
        """Decide what becomes of a metric, whatever its answers say, and say why."""
        metric = self.get_object()
        decided = self.read_body(DecisionSerializer)
        metric = decide(
            metric_id=metric.pk,
            decision=Decision(decided["decision"]),
            reason=decided["reason"],
            at=timezone.now(),
            actor=self.actor,
        )
        [sheet] = worksheets([metric])
        return self._sheet(sheet)

    def _sheet(self, sheet: Worksheet) -> Response:
        shown = {
            "status": sheet.metric.status,
            "answers": {question.value: answer for question, answer in sheet.answers.items()},
            "decisions": sheet.decisions,
        }
        return Response(WorksheetSerializer(shown).data)
