"""Every route that takes a body, fed with what no honest client sends: a 4xx by name, never a 500."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from functools import partial
from typing import Any

import pytest
from django.db import transaction

from catalog.api.calculator import EXAMPLE as CALCULATION
from catalog.api.metrics import EXAMPLE as METRIC
from catalog.api.versions import EXAMPLE as VERSION
from catalog.models import Plan, PlanVersion, ValueMetric
from customers.api import CUSTOMER, SUBSCRIPTION
from customers.models import Customer, Subscription
from tests import factories as make
from tests.conftest import Caller

pytestmark = [pytest.mark.django_db, pytest.mark.once]
PLAN = {"key": "another", "name": "Another", "description": "…"}
ROUTES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "create metric": ("post", "metrics", {**METRIC, "key": "another"}),
    "change metric": ("patch", "metrics/input_tokens", {**METRIC}),
    "create plan": ("post", "plans", PLAN),
    "change plan": ("patch", "plans/scale", {**PLAN, "key": "scale"}),
    "draft version": ("post", "plans/scale/versions", VERSION),
    "replace draft": ("put", "plans/scale/versions/2", VERSION),
    "calculate": ("post", "prices/calculate", CALCULATION),
    "create customer": ("post", "customers", {**CUSTOMER, "key": "another"}),
    "change customer": ("patch", "customers/acme", CUSTOMER),
    "subscribe": ("post", "subscriptions", SUBSCRIPTION),
}
WITHOUT_FIELDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "publish": ("post", "plans/scale/versions/2/publish", {}),
    "retire": ("post", "plans/scale/versions/1/retire", {}),
}
ALL_ROUTES = {**ROUTES, **WITHOUT_FIELDS}

VALUES: list[Any] = [
    *("1" * 30, "-1", "NaN", "Infinity", "1e9", "1_000", "٣", "\u202e", "x" * 20_000, ""),
    *(10**30, -(10**30), 1.5, True, None, {}, [[]]),
]
BODIES = {
    "not JSON": b"{",
    "a form": b"key=value",
    "a list": b"[]",
    "a text": b'"x"',
    "null": b"null",
    "5,000 brackets": b"[" * 5_000,
    "5,000 nested objects": b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    "NaN": b'{"a": NaN}',
    "a huge exponent": b'{"a": 1e999999}',
    "10,000 digits": b'{"a": ' + b"9" * 10_000 + b"}",
    "not UTF-8": b'{"key": "\xff"}',
    "UTF-16": '{"key": "x"}'.encode("utf-16"),
    "NUL": rb'{"key": "\u0000", "name": "\u0000", "a\u0000": 1}',
    "half a surrogate pair": rb'{"key": "\ud800", "name": "\ud800", "\udfff": 1}',
    "a name twice": b'{"key": "a", "key": "b", "at": 1, "at": 2}',
    "unknown fields": b'{"is_staff": true, "id": 1, "__proto__": {}}',
}


@pytest.fixture(autouse=True)
def company() -> None:
    usage = make.metric("input_tokens", event_type="llm.request", value_property="input_tokens")
    plan = make.plan("scale")
    make.published(make.graduated(usage, "rest @ 1"), plan=plan)
    make.draft(plan=plan)
    make.customer("acme")


def stored() -> list[Any]:
    models = (ValueMetric, Plan, PlanVersion, Customer, Subscription)
    return [list(model._default_manager.order_by("pk").values()) for model in models]


def problem(response: Any, *statuses: int) -> list[dict[str, str]]:
    assert response.status_code in statuses, (response.status_code, response.content[:500])
    assert response["Content-Type"] == "application/problem+json"
    errors: list[dict[str, str]] = response.json()["errors"]
    return errors


@pytest.mark.parametrize("route", ALL_ROUTES)
@pytest.mark.parametrize("kind", BODIES)
def test_a_broken_body_is_refused(caller: Caller, route: str, kind: str) -> None:
    method, path, _ = ALL_ROUTES[route]
    before = stored()
    answer = getattr(caller(), method)(
        f"/api/v1/{path}", data=BODIES[kind], content_type="application/json"
    )
    assert problem(answer, 400)
    assert stored() == before


@pytest.mark.parametrize("route", ALL_ROUTES)
def test_another_media_type_is_refused(caller: Caller, route: str) -> None:
    method, path, body = ALL_ROUTES[route]
    for media_type in ("text/plain", "application/x-www-form-urlencoded", "application/xml"):
        answer = getattr(caller(), method)(
            f"/api/v1/{path}", data=json.dumps(body or {"a": 1}), content_type=media_type
        )
        problem(answer, 415)


@pytest.mark.parametrize("route", ALL_ROUTES)
def test_two_megabytes_are_refused(caller: Caller, route: str) -> None:
    method, path, _ = ALL_ROUTES[route]
    body = json.dumps({"name": "x" * 2_000_000})
    call = getattr(caller(), method)
    problem(call(f"/api/v1/{path}", data=body, content_type="application/json"), 413)


@pytest.mark.parametrize("route", ROUTES)
def test_every_field_refuses_by_name_what_it_can_not_be(caller: Caller, route: str) -> None:
    method, path, body = ROUTES[route]
    client = caller()
    for place in places(body):
        for value in VALUES:
            answer = attempt(client, method, path, put(body, place, value))
            if answer.status_code >= 300:
                errors = problem(answer, 400, 409)
                at_fault = [error["pointer"].split("/")[1:] for error in errors]
                assert answer.status_code == 409 or any(map(partial(overlap, place), at_fault)), (
                    place,
                    value,
                    errors,
                )


@pytest.mark.parametrize("route", ROUTES)
def test_every_field_has_a_default_or_is_asked_for_by_name(caller: Caller, route: str) -> None:
    method, path, body = ROUTES[route]
    client = caller()
    for place in places(body):
        answer = attempt(client, method, path, put(body, place, ...))
        if answer.status_code >= 300:
            errors = problem(answer, 400, 409)
            assert answer.status_code == 409 or errors[0]["pointer"], place


def attempt(client: Any, method: str, path: str, body: Any) -> Any:
    """Make a call, and undo what it did."""
    with transaction.atomic():
        answer = getattr(client, method)(f"/api/v1/{path}", body)
        transaction.set_rollback(True)
    return answer


def places(body: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path to every value in a body."""
    items = body.items() if isinstance(body, dict) else enumerate(body)
    for step, inner in items:
        yield (*path, step)
        if isinstance(inner, dict | list):
            yield from places(inner, (*path, step))


def put(body: Any, place: tuple[Any, ...], value: Any) -> Any:
    """Return the body with another value in this place, or, with `...`, without any."""
    changed = deepcopy(body)
    *way, last = place
    inner = changed
    for step in way:
        inner = inner[step]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return changed


def overlap(place: tuple[Any, ...], pointer: list[str]) -> bool:
    """Say whether a pointer leads to the place, or to what it is in or holds."""
    return all(str(a) == b for a, b in zip(place, pointer, strict=False)) and pointer != []
