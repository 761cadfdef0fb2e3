"""Events in, outside the parsers of other endpoints; and events as they were stored."""

from __future__ import annotations

import re
from dataclasses import asdict
from datetime import date, datetime
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import mixins, serializers
from rest_framework.exceptions import ParseError, UnsupportedMediaType
from rest_framework.request import Request
from rest_framework.response import Response

from config.base.api.fields import KeyString, Text
from config.base.api.parsing import read_body
from config.base.api.problems import MEDIA_TYPE, TooLarge, problem
from config.base.api.serializers import QuerySerializer
from config.base.api.views import ApiViewSet
from customers.periods import first_instant
from metering import services
from metering.api.fields import ExactJSONRenderer, Moment
from metering.events import BYTES_LIMIT, NotJson, TooManyEvents
from metering.events import read_body as read_events
from metering.models import UsageEvent
from metering.services import Report

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
PLAIN = "application/json"
UTC = ZoneInfo("UTC")
EXAMPLE = {
    "specversion": "1.0",
    "id": "evt-1",
    "source": "gateway",
    "type": "llm.request",
    "subject": "acme",
    "time": "2026-11-01T12:00:00Z",
    "data": {"input_tokens": 4808, "model": "m-large"},
}


class CloudEventSerializer(serializers.Serializer[Any]):
    """A usage event; attributes that are not named here are kept and mean nothing."""

    specversion = serializers.CharField(required=False)
    id = serializers.CharField(max_length=255)
    source = serializers.CharField(max_length=255)  # type: ignore[assignment]
    type = serializers.CharField(max_length=255)
    subject = serializers.CharField(max_length=255, help_text="The customer's key.")
    subscription = serializers.CharField(
        max_length=255, required=False, help_text="The subscription's key, where two could bill it."
    )
    time = serializers.DateTimeField(required=False, help_text="Left out: when it arrives.")
    data = serializers.JSONField(required=False)  # type: ignore[assignment]


class EventProblemSerializer(serializers.Serializer[Any]):
    index = serializers.IntegerField(help_text="Its place in what was sent, from 0.")
    id = serializers.CharField(allow_null=True)
    source = serializers.CharField(allow_null=True)  # type: ignore[assignment]
    outcome = serializers.CharField(help_text="quarantined, conflict or invalid.")
    code = serializers.CharField()
    detail = serializers.CharField()


class ReportSerializer(serializers.Serializer[Any]):
    """What became of the events; `problems` lists all that were neither accepted nor duplicates."""

    accepted = serializers.IntegerField()
    duplicates = serializers.IntegerField()
    quarantined = serializers.IntegerField()
    conflicts = serializers.IntegerField()
    invalid = serializers.IntegerField()
    problems = EventProblemSerializer(many=True)


class EventSerializer(serializers.ModelSerializer[UsageEvent]):
    """An event as it counts; `uuid` names it here, `source` and `id` at its sender."""

    uuid = serializers.UUIDField(source="key")
    id = serializers.CharField(source="event_id")
    subject = serializers.CharField(source="customer.key")
    subscription = serializers.CharField(source="subscription.key", default=None, allow_null=True)

    class Meta:
        model = UsageEvent
        fields = (
            "uuid",
            "id",
            "source",
            "type",
            "subject",
            "subscription",
            "time",
            "received_at",
            "data",
        )
        read_only_fields = fields


class EventQuery(QuerySerializer):
    """Which events to list; `from` inclusive, `to` exclusive, dates in UTC."""

    subject = KeyString(required=False, help_text="The customer's key.")
    type = Text(max_length=255, required=False)
    limit = serializers.CharField(required=False)
    cursor = serializers.CharField(required=False)

    def get_fields(self) -> dict[str, Any]:
        moments = {name: Moment(required=False) for name in ("from", "to")}
        return {**super().get_fields(), **moments}


class EventViewSet(mixins.ListModelMixin, ApiViewSet[UsageEvent]):
    """Usage events: what customers used."""

    scope = "events"
    reads_json: ClassVar[bool] = False
    queryset = UsageEvent.objects.select_related("customer", "subscription").order_by("-pk")
    serializer_class = EventSerializer
    renderer_classes = [ExactJSONRenderer]
    filter_backends = []
    ordering = "-pk"

    def get_queryset(self) -> QuerySet[UsageEvent]:
        events = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return events
        query = self.read_query(EventQuery)
        wanted: dict[str, Any] = {
            "customer__key": query.get("subject"),
            "type": query.get("type"),
            "time__gte": _instant(query.get("from")),
            "time__lt": _instant(query.get("to")),
        }
        return events.filter(**{name: value for name, value in wanted.items() if value is not None})

    @extend_schema(parameters=[EventQuery])
    def list(self, request: Request) -> Response:
        """List events, the last to arrive first."""
        return super().list(request)

    @extend_schema(
        request={
            PLAIN: CloudEventSerializer,
            STRUCTURED: CloudEventSerializer,
            BATCH: CloudEventSerializer(many=True),
        },
        responses={200: ReportSerializer, 204: None},
        examples=[OpenApiExample("A call", EXAMPLE, request_only=True)],
    )
    def create(self, request: Request) -> Response:
        """Take in one event or an array of up to 10,000, of at most 8 MiB.

        When the call returns, what it took is durable; sent again, it comes back as duplicates.
        With `Accept: application/json` the answer is a report, otherwise 204 with the counts in
        the header Usage-Report. If an item is no event at all, the answer is 400 with the same
        report, and the others are stored all the same.
        """
        _require_json(request._request)
        try:
            items = read_events(read_body(request._request, limit=BYTES_LIMIT))
        except NotJson as refusal:
            raise ParseError(str(refusal), "not_json") from refusal
        except TooManyEvents as refusal:
            raise TooLarge(str(refusal)) from refusal
        return _answer(request, services.ingest(items, received_at=timezone.now()))


def _require_json(request: HttpRequest) -> None:
    sent = request.META.get("CONTENT_TYPE", "")
    media_type, _, parameters = sent.lower().partition(";")
    charset = re.search(r"charset=\"?([^\s;\"]+)", parameters)
    if media_type.strip() not in (PLAIN, STRUCTURED, BATCH):
        raise UnsupportedMediaType(sent, f"Send {PLAIN}, {STRUCTURED} or {BATCH}.")
    if charset and charset[1] not in ("utf-8", "utf8"):
        raise UnsupportedMediaType(sent, "Send UTF-8.")


def _answer(request: Request, report: Report) -> Response:
    """Answer as the sender asked: a report, its counts in a header, or a problem with the report."""
    counts = {name: value for name, value in asdict(report).items() if name != "problems"}
    header = {"Usage-Report": ", ".join(f"{name}={value}" for name, value in counts.items())}
    problems = [asdict(found) for found in report.problems]
    if report.invalid:
        detail = (
            f"{report.invalid} of the items "
            f"{'is no event' if report.invalid == 1 else 'are no events'}; `problems` says why. "
            "The others are stored."
        )
        body = problem(400, detail=detail, code="invalid_events")
        body.update(counts, problems=problems)
        return Response(body, status=400, headers=header, content_type=MEDIA_TYPE)
    if _accepts_json(request):
        return Response({**counts, "problems": problems}, headers=header)
    return Response(status=204, headers=header)


def _accepts_json(request: Request) -> bool:
    ranges = request.META.get("HTTP_ACCEPT", "").lower().split(",")
    return any(text.partition(";")[0].strip() == PLAIN for text in ranges)


def _instant(moment: date | datetime | None) -> datetime | None:
    if moment is None or isinstance(moment, datetime):
        return moment
    return first_instant(moment, UTC)
