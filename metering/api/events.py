"""Events in, outside the parsers of other endpoints; and events as they were stored."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, ClassVar
from uuid import UUID
from zoneinfo import ZoneInfo

from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from drf_spectacular.utils import (
    OpenApiExample,
    PolymorphicProxySerializer,
    extend_schema,
    extend_schema_field,
)
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from config.base.api.fields import KeyString, Text
from config.base.api.serializers import QuerySerializer, StrictSerializer
from config.base.api.views import ApiViewSet
from customers.periods import first_instant
from metering import services
from metering.api.fields import ExactJSONRenderer, Moment
from metering.api.intake import BATCH, PLAIN, STRUCTURED, take_in
from metering.models import EventAdjustment, UsageEvent, UsageEventQuerySet

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
LAGO_EXAMPLE = {
    "event": {
        "transaction_id": "evt-1",
        "external_subscription_id": "acme-scale",
        "code": "llm.request",
        "timestamp": 1793534400,
        "properties": {"input_tokens": 4808, "model": "m-large"},
    }
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


class LagoEventSerializer(serializers.Serializer[Any]):
    """A usage event as Lago's senders write it."""

    transaction_id = serializers.CharField(max_length=255)
    external_subscription_id = serializers.CharField(
        max_length=250, help_text="The key of a subscription, or else of a customer."
    )
    code = serializers.CharField(max_length=255, help_text="The type.")
    timestamp = serializers.JSONField(
        required=False, help_text="In seconds since 1970, as a number or text; or when it arrives."
    )
    properties = serializers.JSONField(required=False)


class LagoSingleSerializer(serializers.Serializer[Any]):
    event = LagoEventSerializer()


class LagoBatchSerializer(serializers.Serializer[Any]):
    events = LagoEventSerializer(many=True)


class EventProblemSerializer(serializers.Serializer[Any]):
    index = serializers.IntegerField(help_text="Its place in what was sent, from 0.")
    id = serializers.CharField(allow_null=True)
    source = serializers.CharField(allow_null=True)  # type: ignore[assignment]
    outcome = serializers.CharField(
        help_text="quarantined, conflict, invalid; or duplicate, of what names another time than "
        "the first, which stands (`other_time`), or was dismissed from quarantine (`dismissed`)."
    )
    code = serializers.CharField()
    detail = serializers.CharField()


class ReportSerializer(serializers.Serializer[Any]):
    """What became of the events; `problems` lists all that were neither accepted nor plain
    duplicates."""

    accepted = serializers.IntegerField()
    duplicates = serializers.IntegerField()
    quarantined = serializers.IntegerField()
    conflicts = serializers.IntegerField()
    invalid = serializers.IntegerField()
    problems = EventProblemSerializer(many=True)


class AdjustmentSerializer(serializers.ModelSerializer[EventAdjustment]):
    """Why an event does not count as it arrived: it is void, or counts with this data."""

    data = serializers.JSONField(allow_null=True)  # type: ignore[assignment]

    class Meta:
        model = EventAdjustment
        fields = ("kind", "data", "reason", "made_by", "made_at")
        read_only_fields = fields


class EventSerializer(serializers.ModelSerializer[UsageEvent]):
    """An event as it arrived; `uuid` names it here, `source` and `id` at its sender.

    It counts so unless there is an `adjustment`.
    """

    uuid = serializers.UUIDField(source="key")
    id = serializers.CharField(source="event_id")
    subject = serializers.CharField(source="customer.key")
    subscription = serializers.CharField(source="subscription.key", default=None, allow_null=True)
    adjustment = serializers.SerializerMethodField()

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
            "adjustment",
        )
        read_only_fields = fields

    @extend_schema_field(AdjustmentSerializer(allow_null=True))
    def get_adjustment(self, event: UsageEvent) -> Any:
        found = self.context["adjustments"].get(event.key)
        return AdjustmentSerializer(found).data if found else None


class VoidSerializer(StrictSerializer):
    reason = Text(max_length=2000, lines=True)


class ReplaceSerializer(StrictSerializer):
    data = serializers.DictField(  # type: ignore[assignment]
        help_text="All of the data, not only what differs."
    )
    reason = Text(max_length=2000, lines=True)


class EventQuery(QuerySerializer):
    """Which events to list; `from` inclusive, `to` exclusive, dates in UTC."""

    subject = KeyString(required=False, help_text="The customer's key.")
    type = Text(max_length=255, required=False)
    limit = serializers.CharField(required=False)
    cursor = serializers.CharField(required=False)

    def get_fields(self) -> dict[str, Any]:
        moments = {name: Moment(required=False) for name in ("from", "to")}
        return {**super().get_fields(), **moments}


class EventViewSet(ApiViewSet[UsageEvent]):
    """Usage events: what customers used."""

    scope = "events"
    queryset = UsageEvent.objects.all()
    serializer_class = EventSerializer
    renderer_classes = [ExactJSONRenderer]
    filter_backends = []
    ordering = "-pk"
    lookup_url_kwarg = "uuid"
    lookup_value_regex = "[0-9a-fA-F-]{32,36}"
    taken_in: ClassVar[frozenset[str]] = frozenset({"create", "batch"})
    """What reads its body itself, and is answered outside the framework."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        handler = self.action_map.get((request.method or "").lower(), "")
        if handler in self.taken_in:
            answer: HttpResponse = getattr(self, handler)(request)
            return answer
        return super().dispatch(request, *args, **kwargs)

    def get_queryset(self) -> UsageEventQuerySet:
        events = UsageEvent.objects.select_related("customer", "subscription").order_by("-pk")
        if getattr(self, "swagger_fake_view", False) or self.action != "list":
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
        page = self.paginate_queryset(self.get_queryset())
        assert page is not None
        return self.get_paginated_response(self._shown(page))

    @extend_schema(responses=EventSerializer)
    def retrieve(self, request: Request, uuid: str) -> Response:
        """Show one event, and how it was corrected, if it was."""
        return Response(self._shown([self._event(uuid)])[0])

    @extend_schema(request=VoidSerializer, responses=EventSerializer)
    @action(detail=True, methods=["post"])
    def void(self, request: Request, uuid: str) -> Response:
        """Let an event never have counted, and say why; voided again, it stays as it is."""
        reason = self.read_body(VoidSerializer)["reason"]
        key = self._event(uuid).key
        services.void_events(keys=[key], reason=reason, at=timezone.now(), actor=self.actor)
        return self.retrieve(request, uuid)

    @extend_schema(request=ReplaceSerializer, responses=EventSerializer)
    @action(detail=True, methods=["post"])
    def replace(self, request: Request, uuid: str) -> Response:
        """Let an event count with other data, and say why; one that was void counts again.

        Customer, type and time stay: to change these, void it and send a new one.
        """
        change = self.read_body(ReplaceSerializer)
        key = self._event(uuid).key
        services.replace_event(key=key, **change, at=timezone.now(), actor=self.actor)
        return self.retrieve(request, uuid)

    @extend_schema(
        request={
            PLAIN: PolymorphicProxySerializer(
                component_name="SentEvents",
                serializers=[
                    CloudEventSerializer,
                    CloudEventSerializer(many=True),
                    LagoSingleSerializer,
                ],
                resource_type_field_name=None,
                many=False,
            ),
            STRUCTURED: CloudEventSerializer,
            BATCH: CloudEventSerializer(many=True),
        },
        responses={200: ReportSerializer, 204: None},
        examples=[
            OpenApiExample("A call", EXAMPLE, request_only=True),
            OpenApiExample("A call, as Lago's senders write it", LAGO_EXAMPLE, request_only=True),
        ],
    )
    def create(self, request: HttpRequest) -> HttpResponse:
        """Take in one event or an array of up to 10,000, of at most 8 MiB.

        Or, of any or no content type, one event whose attributes are headers such as `ce-id`, in
        percent-encoding, and whose data is the body in JSON.

        When the call returns, what it took is durable; sent again, it comes back as duplicates.
        With `Accept: application/json` the answer is a report, otherwise 204 with the counts in
        the header Usage-Report. If an item is no event at all, the answer is 400 with the same
        report, and the others are stored all the same. Lago's `{"event": …}` is answered in its
        own form, see events/batch.
        """
        return take_in(request)

    @extend_schema(request={PLAIN: LagoBatchSerializer}, responses={200: LagoBatchSerializer})
    @action(detail=False, methods=["post"], url_path="batch")
    def batch(self, request: HttpRequest) -> HttpResponse:
        """Take in events as Lago's senders write them, up to 10,000, of at most 8 MiB.

        They may also send `{"event": …}` to `/api/v1/events`. The source of an event is `lago:`
        and its external_subscription_id, which is looked up as a subscription's key, then as a
        customer's. Duplicates and what waits in quarantine are answered as accepted.
        """
        return take_in(request, lago_batch=True)

    def _event(self, uuid: str) -> UsageEvent:
        try:
            key = UUID(uuid)
        except ValueError:
            raise Http404 from None
        event = self.get_queryset().under_key(key).first()
        if event is None:
            services.refuse_if_archived(key)
            raise Http404
        return event

    def _shown(self, events: Sequence[UsageEvent]) -> Any:
        adjustments = services.effective_adjustments(event.key for event in events)
        context = {**self.get_serializer_context(), "adjustments": adjustments}
        return EventSerializer(events, many=True, context=context).data


def _instant(moment: date | datetime | None) -> datetime | None:
    if moment is None or isinstance(moment, datetime):
        return moment
    return first_instant(moment, UTC)
