"""Presets: ten real shapes of prices to begin a plan from."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from catalog import money, services
from catalog.api.fields import CurrencyCode
from catalog.api.prices import readers_language
from catalog.api.versions import VersionSerializer
from catalog.drafts import price_value, units_of
from catalog.models import PlanVersion, PriceModel
from catalog.presets import KEYS, Preset, presets, worked_month
from catalog.wording import describe
from config.base.api.serializers import QuerySerializer, StrictSerializer
from config.base.api.views import ApiView


class PresetQuery(QuerySerializer):
    currency = CurrencyCode(
        default="EUR", help_text="What the amounts are shown in; they are not converted."
    )


class ImportSerializer(StrictSerializer):
    """What the amounts of the plan are in; they are taken as they are, not converted."""

    currency = CurrencyCode()


class PresetPriceSerializer(serializers.Serializer[Any]):
    key = serializers.CharField()
    name = serializers.CharField()
    model = serializers.ChoiceField(choices=PriceModel.values)
    metric = serializers.CharField(allow_null=True)
    rule = serializers.CharField(help_text="In words, in the language of Accept-Language.")


class PresetLineSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    amount = serializers.CharField()


class PresetMonthSerializer(serializers.Serializer[Any]):
    """A month of usage worked out, before tax."""

    lines = PresetLineSerializer(many=True)
    total = serializers.CharField()


class PresetSerializer(serializers.Serializer[Any]):
    """An example of a plan with its metrics and prices."""

    key = serializers.CharField(help_text="Also the key of the plan that it becomes.")
    name = serializers.CharField()
    about = serializers.CharField(help_text="What it is for.")
    currency = serializers.CharField()
    metrics = serializers.ListField(child=serializers.CharField(), help_text="Their keys.")
    prices = PresetPriceSerializer(many=True)
    month = PresetMonthSerializer()


class PresetListSerializer(serializers.Serializer[Any]):
    results = PresetSerializer(many=True)


class Presets(ApiView):
    """Examples to begin a plan from."""

    scope = "catalog"

    @extend_schema(
        operation_id="presets_list", parameters=[PresetQuery], responses=PresetListSerializer
    )
    def get(self, request: Request) -> Response:
        """List the ten examples, each with its rules in words and a month worked out."""
        currency = self.read_query(PresetQuery)["currency"]
        locale = readers_language(request)
        return Response({"results": [_answer(one, currency, locale) for one in presets()]})


class ImportPreset(ApiView):
    """An example that becomes a plan."""

    scope = "catalog"

    @extend_schema(
        operation_id="presets_import",
        parameters=[OpenApiParameter("key", str, "path", description="The example's key.")],
        request=ImportSerializer,
        responses={201: VersionSerializer},
    )
    def post(self, request: Request, key: str) -> Response:
        """Make its metrics, its plan and a draft of its prices: all of it, or nothing.

        Refused, naming the keys, if one of them is taken: so it can be imported once.
        """
        if key not in KEYS:
            raise Http404
        currency = self.read_body(ImportSerializer)["currency"]
        made = services.import_preset(key=key, currency=currency, actor=self.actor)
        version = PlanVersion.objects.with_prices().get(pk=made.pk)
        serializer = VersionSerializer(version, context={"request": request, "view": self})
        return Response(serializer.data, status=201)


def _answer(one: Preset, currency: str, locale: str) -> dict[str, Any]:
    exponent = money.exponent(currency)
    month = worked_month(one, currency=currency, locale=locale)
    return {
        "key": one.key,
        "name": one.name,
        "about": one.about,
        "currency": currency,
        "metrics": [fields["key"] for fields in one.metrics],
        "prices": [
            {
                "key": draft.price.key,
                "name": draft.price.name,
                "model": draft.price.model,
                "metric": draft.price.metric.key if draft.price.metric else None,
                "rule": describe(
                    price_value(draft),
                    unit=units_of(draft.price)[0],
                    unit_plural=units_of(draft.price)[1],
                    exponent=exponent,
                    locale=locale,
                ),
            }
            for draft in one.new_prices(one.new_metrics())
        ],
        "month": {
            "lines": [
                {"name": line.name, "amount": line.explanation["amount"]} for line in month.lines
            ],
            "total": format(money.round_half_up(month.total, exponent), "f"),
        },
    }
