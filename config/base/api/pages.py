"""What anybody may read without a key: health, the schema and its page."""

from functools import cache
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView
from rest_framework import serializers
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response

from config.base import health
from config.base.api.views import ApiView

# Swagger UI draws its icons from data: addresses.
DOCS_POLICY = (
    "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'; object-src 'none'"
)


class CheckSerializer(serializers.Serializer[health.Check]):
    name = serializers.CharField()
    ok = serializers.BooleanField()
    detail = serializers.CharField()


class HealthSerializer(serializers.Serializer[Any]):
    status = serializers.ChoiceField(["ok", "unavailable"])
    checks = CheckSerializer(many=True)


class Live(ApiView):
    """Whether the process answers."""

    public = True

    @extend_schema(operation_id="health_live", tags=["health"], responses=HealthSerializer)
    def get(self, request: Request) -> Response:
        return Response({"status": "ok", "checks": []})


class Ready(ApiView):
    """Whether it can serve: database, migrations, DATA_DIR and, where there is one, the broker."""

    public = True

    @extend_schema(
        operation_id="health_ready",
        tags=["health"],
        responses={200: HealthSerializer, 503: HealthSerializer},
    )
    def get(self, request: Request) -> Response:
        checks = health.ready()
        well = all(check.ok for check in checks)
        return Response(
            {
                "status": "ok" if well else "unavailable",
                "checks": [check._asdict() for check in checks],
            },
            status=200 if well else 503,
            headers={"Cache-Control": "no-store"},
        )


class SchemaView(ApiView):
    """The OpenAPI 3.1 schema, as YAML or, if asked for, as JSON."""

    public = True
    schema = None
    renderer_classes = SpectacularAPIView.renderer_classes
    content_negotiation_class = DefaultContentNegotiation

    def get(self, request: Request) -> Response:
        return Response(_openapi())


@cache
def _openapi() -> dict[str, Any]:
    generator = SchemaGenerator()  # type: ignore[no-untyped-call]
    openapi: dict[str, Any] = generator.get_schema(  # type: ignore[no-untyped-call]
        request=None, public=True
    )
    return openapi


def docs(request: HttpRequest) -> HttpResponse:
    """Show the schema to people."""
    response = render(request, "api/docs.html")
    response["Content-Security-Policy"] = DOCS_POLICY
    return response


urlpatterns = [
    path("health/live", Live.as_view(), name="health_live"),
    path("health/ready", Ready.as_view(), name="health_ready"),
    path("schema/", SchemaView.as_view(), name="schema"),
    path("docs", docs, name="docs"),
]
