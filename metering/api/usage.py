"""What a customer used of a metric, hour by hour, day by day or month by month."""

from __future__ import annotations

from datetime import UTC, date, datetime
from fractions import Fraction
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
from metering.buckets import Granularity
from metering.services.usage import (
    Bucket,
    NoSuchDimension,
    Series,
    TooManyBuckets,
    TooManyGroups,
    usage,
)

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
    quantity = serializers.CharField(
        help_text="In the metric's unit, not yet rounded. Of level × time per period: the share in "
        "the whole billing period, so that days add up and a whole period has what its invoice "
        "counts. That period is of the subscription that prices the metric; where none does, or "
        "several do at once, it is the customer's calendar month."
    )
    average_level = serializers.CharField(
        required=False,
        help_text="Only of level × time per period: the level that held on average, until now.",
    )
    events = serializers.IntegerField()


class BucketSerializer(AmountSerializer):
    start = serializers.DateTimeField()
    end = serializers.DateTimeField(help_text="The first instant that no longer belongs to it.")


class TotalSerializer(AmountSerializer):
    rounded = serializers.CharField(
        help_text="The quantity rounded as the metric says; negative where more was taken back "
        "than used."
    )
    billable = serializers.CharField(
        help_text="What an invoice would count of this time alone: `rounded`, or 0 where that is "
        "negative."
    )


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

        The first and the last bucket are cut to `from` and `to`; up to 1,000 buckets. Counts, sums
        and level × time add up to the total. Of other levels and of distinct values each bucket,
        and the total, is measured by itself.
        """
        customer = get_object_or_404(Customer, key=key)
        query = self.read_query(UsageQuery)
        metric = ValueMetric.objects.filter(key=query["metric"]).first()
        if metric is None:
            raise BadParameter({"metric": f"There is no metric “{query['metric']}”."})
        place = zone(customer.time_zone)
        now = timezone.now()
        start, end = _range(query, place, now=now)
        granularity = Granularity(query["granularity"])
        dimension = query.get("group_by")
        try:
            found = usage(
                customer=customer,
                metric=metric,
                start=start,
                end=end,
                granularity=granularity,
                at=now,
                by=dimension,
            )
        except TooManyBuckets as refusal:
            raise BadParameter({"granularity": str(refusal)}, code=refusal.code) from refusal
        except (NoSuchDimension, TooManyGroups) as refusal:
            raise BadParameter({"group_by": str(refusal)}, code=refusal.code) from refusal
        answer = {
            "customer": customer.key,
            "metric": metric.key,
            "from": start,
            "to": end,
            "granularity": granularity.value,
            "time_zone": customer.time_zone,
            **_figures(found.all),
        }
        if dimension is not None:
            answer["group_by"] = dimension
            answer["groups"] = [
                {"value": series.value, **_figures(series)} for series in found.groups
            ]
        return Response(answer)


def _range(query: dict[str, Any], place: ZoneInfo, *, now: datetime) -> tuple[datetime, datetime]:
    """Return what [from, to) means, by default this month until the end of today."""
    today = local_date(now, place)
    start = _instant(query.get("from") or today.replace(day=1), place)
    end = _instant(query.get("to") or date.fromordinal(today.toordinal() + 1), place)
    if end <= start:
        raise BadParameter({"to": "It must be after `from`."})
    return start, end


def _instant(moment: date | datetime, place: ZoneInfo) -> datetime:
    if isinstance(moment, datetime):
        return moment.astimezone(UTC)
    return first_instant(moment, place)


def _figures(series: Series) -> dict[str, Any]:
    return {
        "buckets": [
            {"start": bucket.start, "end": bucket.end, **_amount(bucket)}
            for bucket in series.buckets
        ],
        "total": {
            **_amount(series.total),
            "rounded": plain(series.rounded),
            "billable": plain(series.billable),
        },
    }


def _amount(bucket: Bucket) -> dict[str, Any]:
    answer: dict[str, Any] = {"quantity": _told(bucket.quantity)}
    if bucket.level is not None:
        answer["average_level"] = _told(bucket.level)
    return {**answer, "events": bucket.events}


def _told(quantity: Fraction) -> str:
    return plain(round_half_up(quantity, QUANTITY_PLACES)) if quantity else "0"
