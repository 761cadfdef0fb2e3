"""Every endpoint declares who may call it, and the schema describes them all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import RequestFactory
from django.urls import URLPattern, URLResolver, get_resolver
from drf_spectacular.generators import SchemaGenerator
from rest_framework.test import APIClient

from config.base.api.pages import docs
from config.base.api.views import Conventions
from config.base.audit import SYSTEM
from config.base.services.api_keys import SCOPES, create_api_key

pytestmark = pytest.mark.once


def routes(patterns: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for pattern in patterns:
        path = f"{prefix}{pattern.pattern}"
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, path)
        elif isinstance(pattern, URLPattern) and path.startswith("api/"):
            yield path, pattern.callback


ROUTES = list(routes(get_resolver("config.urls").url_patterns))


@pytest.mark.parametrize(("path", "callback"), ROUTES, ids=[path for path, _ in ROUTES])
def test_every_route_declares_who_may_call_it(path: str, callback: Any) -> None:
    if callback is docs:
        return
    view = callback.cls
    assert issubclass(view, Conventions), "build on ApiView or ApiViewSet"
    areas = {scope.partition(":")[0] for scope in SCOPES}
    assert view.public or view.scope in areas, "declare a scope"
    assert set(view.action_scopes.values()) <= set(SCOPES)
    assert path == "api/v1/schema/" or not path.rstrip("$").endswith("/")


@pytest.mark.django_db
def test_a_method_that_is_not_there_is_told_before_anything_of_the_body() -> None:
    _, key = create_api_key(name="all", scopes=SCOPES, expires_at=None, actor=SYSTEM)
    tried = 0
    for path, callback in ROUTES:
        if callback is docs:
            continue
        offered = getattr(callback, "actions", None) or dir(callback.cls)
        for method in {"post", "put", "patch"}.difference(offered):
            request = RequestFactory().generic(
                method, f"/{path}", b"[1", "text/plain", HTTP_AUTHORIZATION=f"Bearer {key}"
            )
            assert callback(request, key="a", uuid="0" * 32).status_code == 405, (method, path)
            tried += 1
    assert tried > 100


def test_the_schema_is_valid_and_complete() -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=StringIO())


def test_the_schema_is_served_without_a_key() -> None:
    client = APIClient()
    assert b"openapi: 3.1" in client.get("/api/v1/schema/").content
    as_json = client.get("/api/v1/schema/", HTTP_ACCEPT="application/json")
    assert json.loads(as_json.content)["openapi"].startswith("3.1")


def test_the_page_of_the_schema_runs_nothing_inline() -> None:
    page = APIClient().get("/api/v1/docs")
    assert page.status_code == 200
    assert "unsafe" not in page["Content-Security-Policy"]
    assert b"<script>" not in page.content
    assert b"style=" not in page.content


def described(path: str, method: str) -> Any:
    generator = SchemaGenerator(urlconf="tests.config.example")  # type: ignore[no-untyped-call]
    schema = generator.get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return schema["paths"][path][method], schema["components"]


def test_a_post_is_described_with_its_key_its_body_and_its_problems() -> None:
    operation, components = described("/api/v1/letters", "post")
    assert [each["name"] for each in operation["parameters"]] == ["Idempotency-Key"]
    assert set(operation["responses"]) == {
        *("201", "400", "401", "403", "409", "413", "415", "422")
    }
    assert operation["security"] == [{"ApiKey": []}]
    assert components["securitySchemes"]["ApiKey"]["scheme"] == "bearer"
    body = components["schemas"]["LetterRequest"]
    assert body["additionalProperties"] is False
    assert body["properties"]["amount"]["pattern"] == r"^[0-9]{1,15}(\.[0-9]{1,4})?$"


def test_the_words_of_the_bases_are_not_in_the_schema() -> None:
    operation, components = described("/api/v1/letters", "post")
    assert operation["description"] == "Needs the scope `catalog:write`."
    assert "description" not in components["schemas"]["LetterRequest"]


def test_a_list_is_described_with_its_filters_and_pages() -> None:
    operation, _ = described("/api/v1/letters", "get")
    assert {each["name"] for each in operation["parameters"]} == {"cursor", "limit", "kind"}
    assert "catalog:read" in operation["description"]


def test_every_answer_has_a_type_of_its_own() -> None:
    operation, _ = described("/api/v1/letters/{key}", "get")
    assert list(operation["responses"]["404"]["content"]) == ["application/problem+json"]
