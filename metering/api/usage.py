"""What a customer used of a metric, hour by hour, day by day or month by month."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from fractions import Fraction
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from catalog.models import ValueMetric
from catalog.money import plain, round_half_up
from config.base.api.fields import KeyString, Text
from config.base.api.problems import BadParameter
from config.base.api.serializers import QuerySerializer
from config.base.api.views import ApiView
from customers.models import Customer
from customers.periods import first_instant, local_date, zone
from metering.api.fields import ExactJSONRenderer, Moment
from metering.buckets import Granularity, buckets
from metering.querysets import (
    NOTHING,
    CannotMeasure,
    Measured,
    Span,
    billable,
    measure,
    measure_by,
)

MOST_BUCKETS = 1000
MOST_GROUPED = 10_000
QUANTITY_PLACES = 10


class UsageQuery(QuerySerializer):
    """What to measure. Dates are local to the customer; `from` is inclusive, `to` exclusive."""

    metric = KeyString(help_text="The metric's key.")
    granularity = serializers.ChoiceField(
        choices=[member.value for member in Granularity], default=Granularity.DAY.value
    )
    group_by = Text(max_length=255, required=False, help_text="A dimension of the metric.")

    def get_fields(self) -> dict[str, Any]:
        moments = {
            "from": Moment(required=False, help_text="Left out: the start of the current month."),
            "to": Moment(required=False, help_text="Left out: the end of the current day."),
        }
        return {**super().get_fields(), **moments}


class AmountSerializer(serializers.Serializer[Any]):
    quantity = serializers.CharField(help_text="In the metric's unit, not yet rounded.")
    events = serializers.IntegerField()


class BucketSerializer(AmountSerializer):
    start = serializers.DateTimeField()
    end = serializers.DateTimeField(help_text="The first instant that no longer belongs to it.")


class TotalSerializer(AmountSerializer):
    billable = serializers.CharField(help_text="Rounded as the metric says, as on an invoice.")


class GroupSerializer(serializers.Serializer[Any]):
    value = serializers.JSONField(help_text="Of the dimension; null where events lack it.")
    buckets = BucketSerializer(many=True)
    total = TotalSerializer()


class UsageSerializer(serializers.Serializer[Any]):
    customer = serializers.CharField()
    metric = serializers.CharField()
    granularity = serializers.CharField()
    time_zone = serializers.CharField()
    buckets = BucketSerializer(many=True)
    total = TotalSerializer()
    group_by = serializers.CharField(required=False)
    groups = GroupSerializer(many=True, required=False)

    def get_fields(self) -> dict[str, Any]:
        instants = {name: serializers.DateTimeField() for name in ("from", "to")}
        return {**super().get_fields(), **instants}


class CustomerUsage(ApiView):
    """What a customer used, billed or not."""

    scope = "customers"
    renderer_classes = [ExactJSONRenderer]

    @extend_schema(
        operation_id="customers_usage",
        tags=["customers"],
        parameters=[UsageQuery],
        responses=UsageSerializer,
    )
    def get(self, request: Request, key: str) -> Response:
        """Measure a metric in buckets that begin where an hour, day or month of the customer does.

        The first and the last bucket are cut to `from` and `to`; up to 1,000 buckets.
        """
        customer = get_object_or_404(Customer, key=key)
        query = self.read_query(UsageQuery)
        metric = ValueMetric.objects.filter(key=query["metric"]).first()
        if metric is None:
            raise BadParameter({"metric": f"There is no metric “{query['metric']}”."})
        place = zone(customer.time_zone)
        start, end = _range(query, place)
        granularity = Granularity(query["granularity"])
        cuts = list(islice(buckets(start, end, granularity, place), MOST_BUCKETS + 1))
        if len(cuts) > MOST_BUCKETS:
            message = (
                f"That would be more than {MOST_BUCKETS:,} buckets; choose a coarser granularity "
                "or a shorter time."
            )
            raise BadParameter({"granularity": message}, code="too_many_buckets")
        spans = [Span(customer.pk, None, *cut) for cut in [*cuts, (start, end)]]
        answer = {
            "customer": customer.key,
            "metric": metric.key,
            "from": start,
            "to": end,
            "granularity": granularity.value,
            "time_zone": customer.time_zone,
        }
        try:
            answer |= _figures(metric, cuts, measure(metric, spans))
            if dimension := query.get("group_by"):
                answer["group_by"] = dimension
                answer["groups"] = _groups(metric, cuts, spans, dimension)
        except CannotMeasure as refusal:
            raise BadParameter({"metric": str(refusal)}, code="cannot_measure") from refusal
        return Response(answer)


def _range(query: dict[str, Any], place: ZoneInfo) -> tuple[datetime, datetime]:
    """Return what [from, to) means, by default this month until the end of today."""
    today = local_date(timezone.now(), place)
    start = _instant(query.get("from") or today.replace(day=1), place)
    end = _instant(query.get("to") or date.fromordinal(today.toordinal() + 1), place)
    if end <= start:
        raise BadParameter({"to": "It must be after `from`."})
    return start, end


def _instant(moment: date | datetime, place: ZoneInfo) -> datetime:
    if isinstance(moment, datetime):
        return moment.astimezone(UTC)
    return first_instant(moment, place)


def _groups(
    metric: ValueMetric,
    cuts: Sequence[tuple[datetime, datetime]],
    spans: Sequence[Span],
    dimension: str,
) -> list[dict[str, Any]]:
    if dimension not in metric.dimensions:
        known = ", ".join(metric.dimensions) or "none"
        raise BadParameter({"group_by": f"“{metric}” has no such dimension; it has: {known}."})
    measured = measure_by(metric, spans, [dimension])
    values = sorted({group for groups in measured for group in groups}, key=repr)
    if len(values) * len(spans) > MOST_GROUPED:
        message = (
            f"{len(values):,} values in {len(cuts):,} buckets are too many; choose a coarser "
            "granularity or a shorter time."
        )
        raise BadParameter({"group_by": message}, code="too_many_groups")
    return [
        {
            "value": value,
            **_figures(metric, cuts, [groups.get((value,), NOTHING) for groups in measured]),
        }
        for (value,) in values
    ]


def _figures(
    metric: ValueMetric, cuts: Sequence[tuple[datetime, datetime]], measured: Sequence[Measured]
) -> dict[str, Any]:
    """Return the buckets, and the total, which is the last of what was measured."""
    *each, total = measured
    return {
        "buckets": [
            {"start": start, "end": end, **_amount(metric, amount)}
            for (start, end), amount in zip(cuts, each, strict=True)
        ],
        "total": {
            **_amount(metric, total),
            "billable": plain(billable(metric, total.quantity)),
        },
    }


def _amount(metric: ValueMetric, measured: Measured) -> dict[str, Any]:
    exact = Fraction(measured.quantity) / Fraction(metric.unit_divisor)
    quantity = round_half_up(exact, QUANTITY_PLACES)
    return {"quantity": plain(quantity), "events": measured.events}
