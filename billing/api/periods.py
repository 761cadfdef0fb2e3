"""The billing periods of a subscription, and the ones that wait for somebody."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import dropwhile, islice
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from django.shortcuts import get_object_or_404
from django.urls import path
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.models import BillingPeriod, PeriodStatus
from billing.services import closing
from catalog.api.versions import NoFieldsSerializer
from config.base.api.fields import CalendarDate, Instant, WholeNumber
from config.base.api.serializers import QuerySerializer
from config.base.api.views import ApiView
from customers import terms
from customers.models import Subscription
from customers.periods import DateOutOfRange, Period, zone


@extend_schema_field(
    {"anyOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}]}
)
class DateOrInstant(serializers.Field[date | datetime, Any, str, Any]):
    """A date, `2026-11-01`, or an RFC 3339 time with its offset."""

    def to_internal_value(self, data: Any) -> date | datetime:
        is_date = isinstance(data, str) and re.fullmatch("[0-9-]{0,10}", data)
        read: date | datetime = (CalendarDate() if is_date else Instant()).run_validation(data)
        return read


class PeriodsQuerySerializer(QuerySerializer):
    count = WholeNumber(min_value=1, max_value=1000, default=24, help_text="How many to list.")

    def get_fields(self) -> dict[str, Any]:
        since = DateOrInstant(
            required=False,
            help_text="Begin at the period that contains this, or else at the first one after it.",
        )
        return {**super().get_fields(), "from": since}


class PeriodSerializer(serializers.Serializer["Span"]):
    """One period: from `start` to before `end`."""

    start = serializers.CharField(help_text="RFC 3339, with the zone's offset at that time.")
    end = serializers.CharField(help_text="When the next one starts.")
    id = serializers.UUIDField(allow_null=True, help_text="null until billing has begun it.")
    status = serializers.ChoiceField(
        choices=["upcoming", "ended", *PeriodStatus.values],
        help_text="`open`: runs, or ended and not billed yet; `ended`: billing has not begun it.",
    )
    start_date = serializers.DateField()
    end_date = serializers.DateField(help_text="The first day that is no longer in it.")
    days = serializers.IntegerField()
    nominal_days = serializers.IntegerField(
        help_text="The days of the whole period of which this is a part, or all."
    )
    trial = serializers.BooleanField()


class PeriodsSerializer(serializers.Serializer[Any]):
    time_zone = serializers.CharField(help_text="The zone whose days hold now.")
    results = PeriodSerializer(many=True)


class Span(NamedTuple):
    """A period in its place in time, [start, end) in UTC."""

    period: Period
    zone: ZoneInfo
    start: datetime
    end: datetime


class SubscriptionPeriods(ApiView):
    """The periods of a subscription."""

    scope = "customers"

    @extend_schema(
        operation_id="subscriptions_periods",
        parameters=[
            OpenApiParameter("key", str, "path", description="The subscription's key."),
            PeriodsQuerySerializer,
        ],
        responses=PeriodsSerializer,
    )
    def get(self, request: Request, key: str) -> Response:
        """List the periods of a subscription from its start, or from a date or time on.

        The list ends where service ends, and at the latest with the year 9999.
        """
        now = timezone.now()
        subscription = get_object_or_404(Subscription.objects.with_terms(), key=key)
        query = self.read_query(PeriodsQuerySerializer)
        listed = list(islice(spans(subscription, since=query.get("from")), query["count"]))
        begun = _begun(subscription, listed)
        return Response(
            {
                "time_zone": terms.zones_of(subscription).on(terms.today_of(subscription, at=now)),
                "results": [
                    _answer(span, begun.get(span.period.start), now=now) for span in listed
                ],
            }
        )


class RetriedPeriodSerializer(serializers.Serializer[BillingPeriod]):
    """A period that the next run closes."""

    id = serializers.UUIDField(source="uuid")
    subscription = serializers.CharField(source="subscription.key")
    status = serializers.ChoiceField(choices=PeriodStatus.values)
    start_date = serializers.DateField()
    end_date = serializers.DateField(help_text="The first day that is no longer in it.")


class RetryPeriod(ApiView):
    """A period that could not be closed, and is to be tried again."""

    scope = "billing"

    @extend_schema(
        operation_id="billing_periods_retry",
        request=NoFieldsSerializer,
        responses=RetriedPeriodSerializer,
    )
    def post(self, request: Request, uuid: UUID) -> Response:
        """Open a parked period again, once its cause is mended.

        The next run closes it; it tries again by itself what is parked, so this is only needed where
        the terms of the subscription are to be changed before.
        """
        period = get_object_or_404(BillingPeriod, uuid=uuid)
        self.read_body(NoFieldsSerializer)
        closing.retry_parked(period_id=period.pk, actor=self.actor)
        fresh = BillingPeriod.objects.select_related("subscription").get(pk=period.pk)
        return Response(RetriedPeriodSerializer(fresh).data)


def _begun(subscription: Subscription, listed: Sequence[Span]) -> dict[date, BillingPeriod]:
    """Return what billing knows of these periods, by their first day."""
    if not listed:
        return {}
    first, last = listed[0].period.start, listed[-1].period.start
    found = subscription.billing_periods.filter(start_date__range=(first, last))
    return {period.start_date: period for period in found}


def spans(subscription: Subscription, *, since: date | datetime | None) -> Iterator[Span]:
    """Yield the periods in order, from the one that contains `since` or else the first after it.

    Ends where a date would leave the calendar.
    """
    first_day = since
    if isinstance(since, datetime):
        first_day = terms.today_of(subscription, at=since)
    found = _spans(subscription, since=first_day)
    if isinstance(since, datetime):
        yield from dropwhile(lambda span: span.end <= since, found)
    else:
        yield from found


def _spans(subscription: Subscription, *, since: date | None) -> Iterator[Span]:
    zones = terms.zones_of(subscription)
    try:
        for _, period in terms.periods(subscription, since=since):
            here = zone(zones.on(period.start))
            yield Span(period, here, zones.begins(period.start), zones.begins(period.end))
    except DateOutOfRange:
        return


def _answer(span: Span, begun: BillingPeriod | None, *, now: datetime) -> dict[str, Any]:
    period = span.period
    if now < span.start:
        status = "upcoming"
    elif begun:
        status = begun.status
    else:
        status = "open" if now < span.end else "ended"
    return {
        "start": written(span.start, span.zone),
        "end": written(span.end, span.zone),
        "id": begun.uuid if begun else None,
        "status": status,
        "start_date": period.start.isoformat(),
        "end_date": period.end.isoformat(),
        "days": period.days,
        "nominal_days": period.fraction.of,
        "trial": period.trial,
    }


def written(moment: datetime, zone: ZoneInfo) -> str:
    """Write a time with its local offset; in UTC where that has seconds, as RFC 3339 has none."""
    local = moment.astimezone(zone)
    offset = local.utcoffset() or timedelta()
    return (moment.astimezone(UTC) if offset % timedelta(minutes=1) else local).isoformat()


urlpatterns = [
    path("subscriptions/<str:key>/periods", SubscriptionPeriods.as_view(), name="periods"),
    path("billing/periods/<uuid:uuid>/retry", RetryPeriod.as_view(), name="retry_period"),
]
