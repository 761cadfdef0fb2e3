"""Plans: offers under one name; what they cost is in their versions."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import mixins, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from catalog import services
from catalog.api.fields import Choice, CurrencyCode, unchanged_key
from catalog.clocks import LONGEST_CUTOFF_HOURS, LONGEST_ISSUE_HOURS
from catalog.models import Interval, Plan, PlanVersion, VersionStatus
from config.base.api.fields import KeyString, Text, WholeNumber, YesNo
from config.base.api.paging import Filters
from config.base.api.serializers import StrictSerializer
from config.base.api.views import ApiViewSet


class VersionFactsSerializer(serializers.ModelSerializer[PlanVersion]):
    """The key facts of a version; all of it is under /plans/{key}/versions/{version}."""

    version = serializers.IntegerField(source="number")
    status = Choice(VersionStatus)
    interval = Choice(Interval)
    currency = CurrencyCode()

    class Meta:
        model = PlanVersion
        fields = (
            "version",
            "status",
            "is_current",
            "currency",
            "interval",
            "interval_count",
            "published_at",
        )
        read_only_fields = fields


class PlanSerializer(StrictSerializer):
    """An offer under one name."""

    key = KeyString(help_text="Your own name for it; it never changes.")
    name = Text(max_length=200, help_text="What customers read.")
    description = Text(
        max_length=10_000, lines=True, allow_blank=True, default="", help_text="For customers."
    )
    has_calculator = serializers.BooleanField(
        default=True,
        help_text="Whether whoever has the link can work out what a published version costs.",
    )
    usage_cutoff_hours = WholeNumber(
        min_value=0,
        max_value=LONGEST_CUTOFF_HOURS,
        allow_null=True,
        default=None,
        help_text="Hours after a period's end until it is closed; null: as the issuer says.",
    )
    auto_issue_hours = WholeNumber(
        min_value=0,
        max_value=LONGEST_ISSUE_HOURS,
        allow_null=True,
        default=None,
        help_text="Hours after the close until the invoice is issued; null: as the issuer says.",
    )
    manual_approval = YesNo(
        allow_null=True,
        default=None,
        help_text="Whether a person issues the invoices; null: as the issuer says.",
    )
    versions = VersionFactsSerializer(many=True, read_only=True, help_text="The newest first.")
    created_at = serializers.DateTimeField(read_only=True)


class ChangedPlanSerializer(PlanSerializer):
    """What changes of a plan's texts."""

    def validate_key(self, key: str) -> str:
        return unchanged_key(key, self.instance)


class PlanFilters(Filters):
    class Meta:
        model = Plan
        fields = ("key",)


class PlanViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ApiViewSet[Plan]):
    """Plans: offers under one name; what they cost is in their versions."""

    scope = "catalog"
    queryset = Plan.objects.order_by("pk").prefetch_related("versions")
    serializer_class = PlanSerializer
    filterset_class = PlanFilters
    lookup_field = "key"

    @extend_schema(
        responses={201: PlanSerializer},
        examples=[
            OpenApiExample(
                "Scale",
                {"key": "scale", "name": "Scale", "description": "For growing teams."},
                request_only=True,
            )
        ],
    )
    def create(self, request: Request) -> Response:
        """Create a plan, without a version yet."""
        plan = Plan(**self.read_body(PlanSerializer))
        plan = services.create_plan(plan=plan, actor=self.actor)
        return Response(self.get_serializer(plan).data, status=201)

    @extend_schema(request=ChangedPlanSerializer, responses=PlanSerializer)
    def partial_update(self, request: Request, key: str) -> Response:
        """Change a plan's name or description; its prices are in its versions."""
        plan = self.get_object()
        fields = self.read_body(ChangedPlanSerializer, instance=plan, partial=True)
        services.change_plan_texts(plan_id=plan.pk, fields=fields, actor=self.actor)
        return Response(self.get_serializer(self.get_object()).data)
