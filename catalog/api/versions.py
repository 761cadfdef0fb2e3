"""The versions of a plan: drafted, replaced, published once, retired."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    extend_schema,
    extend_schema_field,
)
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from catalog import differences, services
from catalog.api.fields import Choice, CurrencyCode
from catalog.api.prices import PriceSerializer
from catalog.differences import Side
from catalog.drafts import drafts_of
from catalog.linter import warnings
from catalog.models import Interval, Plan, PlanVersion, RateCategory, VersionStatus
from config.base.api.fields import AmountString, WholeNumber, YesNo
from config.base.api.paging import Filters
from config.base.api.serializers import CheckedSerializer, QuerySerializer, StrictSerializer
from config.base.api.views import ApiViewSet
from config.base.errors import Fault

EXAMPLE: dict[str, Any] = {
    "currency": "EUR",
    "interval": "month",
    "interval_count": 1,
    "trial_days": 0,
    "minimum_commitment": None,
    "refund_unused": True,
    "prices_include_tax": False,
    "prices": [
        {
            "key": "base",
            "name": "Platform base fee",
            "model": "flat",
            "unit_amount": "499.00",
            "timing": "advance",
        },
        {
            "key": "input",
            "name": "Input tokens",
            "metric": "input_tokens",
            "model": "graduated",
            "included_quantity": "100000",
            "tiers": [
                {"up_to": "50000", "unit_amount": "0.002", "flat_amount": "0"},
                {"up_to": None, "unit_amount": "0.0015"},
            ],
            "minimum": None,
            "maximum": None,
            "overage_policy": "bill",
        },
    ],
}


class LintSerializer(serializers.Serializer[Any]):
    """Something to look at again; `pointer` leads to the field."""

    pointer = serializers.CharField()
    code = serializers.CharField()
    detail = serializers.CharField()


class VersionSerializer(CheckedSerializer):
    """The terms of a plan in one currency, with all prices."""

    plan = serializers.CharField(source="plan.key", read_only=True)
    version = serializers.IntegerField(source="number", read_only=True)
    currency = CurrencyCode()
    interval = Choice(Interval, default=Interval.MONTH)
    interval_count = WholeNumber(min_value=1, max_value=1000, default=1)
    trial_days = WholeNumber(min_value=0, max_value=3650, default=0)
    minimum_commitment = AmountString(
        allow_null=True,
        default=None,
        help_text="The least a customer pays per interval: net, or with tax if its prices are.",
    )
    refund_unused = YesNo(
        default=True,
        help_text="Who cancels at once is credited what was paid in advance for the days after.",
    )
    tax_category = Choice(
        RateCategory,
        default=RateCategory.STANDARD,
        help_text="Which of a country’s tax rates applies, unless a price says otherwise.",
    )
    prices_include_tax = YesNo(
        default=False,
        help_text="Every amount is what customers pay in all, and the tax is taken out of it; "
        "otherwise tax comes on top. Subscriptions never change between the two.",
    )
    prices: serializers.ListSerializer[Any] = serializers.ListSerializer(
        child=PriceSerializer(),
        max_length=100,
        default=list,
        help_text="In the order of the invoice.",
    )
    warnings = serializers.SerializerMethodField(
        help_text="What is possible, but hardly meant, in plain words."
    )
    status = Choice(VersionStatus, read_only=True)
    is_current = serializers.BooleanField(
        read_only=True, help_text="New subscriptions in this currency get it."
    )
    created_at = serializers.DateTimeField(read_only=True)
    published_at = serializers.DateTimeField(read_only=True, allow_null=True)
    published_by = serializers.CharField(read_only=True, help_text="Who published it, if it is.")
    retired_at = serializers.DateTimeField(read_only=True, allow_null=True)

    @extend_schema_field(LintSerializer(many=True))
    def get_warnings(self, version: PlanVersion) -> list[dict[str, str]]:
        return [
            {
                "pointer": "/" + "/".join(map(str, warning.path)),
                "code": warning.code,
                "detail": warning.message,
            }
            for warning in warnings(version, drafts_of(list(version.prices.all())))
        ]

    def check_together(self, values: dict[str, Any]) -> Iterable[Fault]:
        """Find prices of one key, also among prices that are otherwise at fault."""
        keys = [p.get("key") for p in _listed(self.initial_data.get("prices"))]
        counts = Counter(key for key in keys if isinstance(key, str))
        seen: set[str] = set()
        for i, key in enumerate(keys):
            if isinstance(key, str) and counts[key] > 1:
                if key in seen:
                    yield Fault(
                        ("prices", i, "key"), "not_unique", f"Two prices have the key “{key}”."
                    )
                seen.add(key)


class ChangeSerializer(serializers.Serializer[Any]):
    """One difference, in English; `before` is empty for what was added, `after` for what went."""

    price = serializers.CharField(help_text="Its key; empty for the terms of the version.")
    code = serializers.CharField(help_text="What differs, such as unit_amount, added or removed.")
    before = serializers.CharField()
    after = serializers.CharField()
    text = serializers.CharField(help_text="All of it in a sentence.")


class ChangesSerializer(serializers.Serializer[Any]):
    """What a version charges differently from another one of its plan."""

    plan = serializers.CharField()
    since = serializers.IntegerField()
    version = serializers.IntegerField()
    changes = ChangeSerializer(many=True)


class ChangesQuery(QuerySerializer):
    since = WholeNumber(
        min_value=1, max_value=999_999_999, help_text="The version to compare with."
    )


class NoFieldsSerializer(StrictSerializer):
    """Nothing: all that is to say stands in the path."""


class VersionFilters(Filters):
    class Meta:
        model = PlanVersion
        fields = ("status", "currency", "is_current")


@extend_schema(parameters=[OpenApiParameter("plan", str, "path", description="The plan's key.")])
class VersionViewSet(
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    ApiViewSet[PlanVersion],
):
    """Versions of a plan: drafted, replaced whole, published once and then frozen, retired."""

    scope = "catalog"
    queryset = PlanVersion.objects.with_prices().order_by("number")
    serializer_class = VersionSerializer
    filterset_class = VersionFilters
    ordering = "number"
    lookup_field = "number"
    lookup_url_kwarg = "version"
    lookup_value_regex = "[0-9]{1,9}"

    def get_queryset(self) -> QuerySet[PlanVersion]:
        return super().get_queryset().filter(plan__key=self.kwargs.get("plan"))

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List the versions of a plan, the oldest first."""
        self._plan()
        return super().list(request, *args, **kwargs)

    @extend_schema(
        responses={201: VersionSerializer},
        examples=[OpenApiExample("Scale", EXAMPLE, request_only=True)],
    )
    def create(self, request: Request, plan: str) -> Response:
        """Draft a new version of a plan, with its prices."""
        owner = self._plan()
        terms = self.read_body(VersionSerializer)
        prices = terms.pop("prices")
        version = services.draft_version(
            plan_id=owner.pk, version=PlanVersion(**terms), prices=prices, actor=self.actor
        )
        return self._answer(version, status=201)

    @extend_schema(examples=[OpenApiExample("Scale", EXAMPLE, request_only=True)])
    def update(self, request: Request, plan: str, version: str) -> Response:
        """Replace a draft whole: its terms and all its prices."""
        draft = self.get_object()
        terms = self.read_body(VersionSerializer)
        prices = terms.pop("prices")
        draft = services.replace_draft(
            version_id=draft.pk, terms=terms, prices=prices, actor=self.actor
        )
        return self._answer(draft)

    def destroy(self, request: Request, plan: str, version: str) -> Response:
        """Discard a draft; a published version is only ever retired."""
        services.discard_draft(version_id=self.get_object().pk, actor=self.actor)
        return Response(status=204)

    @extend_schema(request=NoFieldsSerializer)
    @action(detail=True, methods=["post"])
    def publish(self, request: Request, plan: str, version: str) -> Response:
        """Freeze a draft and offer it: new subscriptions in its currency get it from now on."""
        draft = self.get_object()
        self.read_body(NoFieldsSerializer)
        published = services.publish_version(
            version_id=draft.pk, at=timezone.now(), actor=self.actor
        )
        return self._answer(published)

    @extend_schema(request=NoFieldsSerializer)
    @action(detail=True, methods=["post"])
    def retire(self, request: Request, plan: str, version: str) -> Response:
        """Offer a version to nobody new; subscriptions on it keep it."""
        published = self.get_object()
        self.read_body(NoFieldsSerializer)
        retired = services.retire_version(
            version_id=published.pk, at=timezone.now(), actor=self.actor
        )
        return self._answer(retired)

    @extend_schema(parameters=[ChangesQuery], responses=ChangesSerializer, filters=False)
    @action(detail=True, methods=["get"])
    def changes(self, request: Request, plan: str, version: str) -> Response:
        """Say what a version charges differently from another, sentence by sentence."""
        after = self.get_object()
        since = self.read_query(ChangesQuery)["since"]
        before = get_object_or_404(self.get_queryset(), number=since)
        found = differences.changes(Side.of(before), Side.of(after))
        return Response(
            {
                "plan": plan,
                "since": since,
                "version": after.number,
                "changes": [change._asdict() for change in found],
            }
        )

    def _plan(self) -> Plan:
        return get_object_or_404(Plan, key=self.kwargs["plan"])

    def _answer(self, version: PlanVersion, *, status: int = 200) -> Response:
        fresh = PlanVersion.objects.with_prices().get(pk=version.pk)
        return Response(self.get_serializer(fresh).data, status=status)


def _listed(prices: Any) -> list[Mapping[str, Any]]:
    """Return the prices of a body as far as it has any."""
    items = prices if isinstance(prices, list) else []
    return [item if isinstance(item, Mapping) else {} for item in items]
