"""The quarantine: what could not be counted, to be fixed or dismissed."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from config.base.api.fields import Text
from config.base.api.paging import Filters
from config.base.api.serializers import StrictSerializer
from config.base.api.views import ApiViewSet
from metering import properties, services
from metering.api.fields import ExactJSONRenderer
from metering.models import QuarantinedEvent


class QuarantinedEventSerializer(serializers.ModelSerializer[QuarantinedEvent]):
    """An event that could not be counted: `event` is what was sent, `detail` what is wrong."""

    id = serializers.UUIDField(source="uuid")
    event = serializers.SerializerMethodField()

    class Meta:
        model = QuarantinedEvent
        fields = (
            "id",
            "status",
            "code",
            "detail",
            "event",
            "received_at",
            "resolution",
            "resolved_by",
            "resolved_at",
        )
        read_only_fields = fields

    def get_event(self, row: QuarantinedEvent) -> dict[str, Any]:
        event: dict[str, Any] = properties.read(row.raw)
        return event


class FixesSerializer(StrictSerializer):
    """What the event should have said; what is left out stays as it was sent."""

    subject = Text(max_length=255, required=False, help_text="The customer's key.")
    type = Text(max_length=255, required=False)
    subscription = Text(max_length=255, required=False)
    time = Text(max_length=64, required=False, help_text="RFC 3339 with an offset.")
    data = serializers.DictField(  # type: ignore[assignment]
        required=False, help_text="All of the data, not only what differs."
    )


class DismissalSerializer(StrictSerializer):
    reason = Text(max_length=2000, lines=True)


class QuarantineFilters(Filters):
    class Meta:
        model = QuarantinedEvent
        fields = ("code", "status")


class QuarantineViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, ApiViewSet[QuarantinedEvent]
):
    """Events that could not be counted, the last first."""

    scope = "events"
    queryset = QuarantinedEvent.objects.order_by("-pk")
    serializer_class = QuarantinedEventSerializer
    filterset_class = QuarantineFilters
    renderer_classes = [ExactJSONRenderer]
    lookup_field = "uuid"
    lookup_value_regex = "[0-9a-fA-F-]{32,36}"
    ordering = "-pk"

    @extend_schema(request=FixesSerializer, responses=QuarantinedEventSerializer)
    @action(detail=True, methods=["post"])
    def replay(self, request: Request, uuid: str) -> Response:
        """Try the event again, with fixes if there are any.

        The answer says whether it is counted now (`replayed`), or still open and why. An event
        that was replayed before stays as it is.
        """
        row = self.get_object()
        fixes = self.read_body(FixesSerializer)
        [row] = services.replay(ids=[row.pk], fixes=fixes, at=timezone.now(), actor=self.actor)
        return Response(self.get_serializer(row).data)

    @extend_schema(request=DismissalSerializer, responses=QuarantinedEventSerializer)
    @action(detail=True, methods=["post"])
    def dismiss(self, request: Request, uuid: str) -> Response:
        """Decide that the event is never counted, and say why."""
        row = self.get_object()
        reason = self.read_body(DismissalSerializer)["reason"]
        [row] = services.dismiss(ids=[row.pk], reason=reason, at=timezone.now(), actor=self.actor)
        return Response(self.get_serializer(row).data)
