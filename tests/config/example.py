"""A little API over outbox messages, to test what every endpoint shares."""

from datetime import UTC, datetime
from typing import Any

from django.db import transaction
from django.urls import include, path
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from config.base.api.fields import (
    AmountString,
    CalendarDate,
    KeyString,
    QuantityString,
    Text,
    WholeNumber,
)
from config.base.api.serializers import QuerySerializer, StrictSerializer
from config.base.api.views import ApiView, ApiViewSet
from config.base.errors import Fault, Invalid, KeyTaken
from config.base.models import Outbox
from config.base.services import outbox

AT = datetime(2026, 11, 1, tzinfo=UTC)


class TierSerializer(StrictSerializer):
    up_to = QuantityString(allow_null=True)


class LetterSerializer(StrictSerializer):
    key = KeyString()
    kind = Text(max_length=50, default="letter")
    amount = AmountString(required=False)
    tiers = TierSerializer(many=True, required=False)
    attempts = serializers.IntegerField(read_only=True)


class CountSerializer(QuerySerializer):
    count = WholeNumber(min_value=1, default=24)
    since = CalendarDate(required=False)


class LetterViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ApiViewSet[Outbox]):
    scope = "catalog"
    action_scopes = {"weigh": "catalog:read"}
    queryset = Outbox.objects.all()
    serializer_class = LetterSerializer
    lookup_field = "key"
    filterset_fields = ["kind"]

    def create(self, request: Request) -> Response:
        letter = self.read_body(LetterSerializer)
        if Outbox.objects.filter(key=letter["key"]).exists():
            raise KeyTaken
        outbox.put(kind=letter["kind"], key=letter["key"], payload={}, due_at=AT)
        if letter["kind"] == "taken halfway":
            raise KeyTaken("Somebody was faster.")
        if letter["kind"] == "crash":
            raise RuntimeError("a secret detail")
        return Response({"key": letter["key"], "by": self.actor.name}, status=201)

    @action(detail=False, methods=["post"])
    def weigh(self, request: Request) -> Response:
        raise Invalid([Fault(("tiers", 1, "a/b~c"), "not_rising", "Tiers must rise.")])

    @action(detail=True)
    def copies(self, request: Request, key: str) -> Response:
        return Response(self.read_query(CountSerializer))


class SlowView(ApiView):
    """Leaves the claim to somebody else before it ends, as a holder does that hangs."""

    scope = "catalog"

    def post(self, request: Request) -> Response:
        with transaction.atomic():
            outbox.put(kind="slow", key="slow", payload={}, due_at=AT)
            self.hang()
        return Response({"key": "slow"}, status=201)

    def hang(self) -> None:
        from config.base.models import IdempotencyKey  # noqa: PLC0415

        IdempotencyKey.objects.update(claimed_at=AT)


class UndeclaredView(ApiView):
    def get(self, request: Request) -> Response:
        return Response({})


router = SimpleRouter(trailing_slash=False)
router.register("letters", LetterViewSet, basename="letter")

handler404 = "config.base.api.problems.page_not_found"
handler500 = "config.base.api.problems.server_error"
urlpatterns: list[Any] = [
    path("api/v1/slow", SlowView.as_view()),
    path("api/v1/undeclared", UndeclaredView.as_view()),
    path("api/v1/", include(router.urls)),
]
