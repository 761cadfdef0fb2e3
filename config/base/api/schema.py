"""The OpenAPI 3.1 description of what every endpoint shares."""

import inspect
from typing import Any

from drf_spectacular.extensions import (
    OpenApiAuthenticationExtension,
    OpenApiSerializerExtension,
    OpenApiSerializerFieldExtension,
)
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent, get_lib_doc_excludes
from drf_spectacular.utils import OpenApiParameter

from config.base.api import serializers, views
from config.base.api.permissions import required_scope
from config.base.api.problems import MEDIA_TYPE

IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    OpenApiParameter.HEADER,
    description=(
        "Kept for 24 hours: the same body gets the same answer, without a second effect; "
        "another body is refused."
    ),
)
PROBLEMS = {
    "400": "Unreadable or invalid; `errors` names every fault.",
    "401": "The API key is missing, unknown, expired or revoked.",
    "403": "The API key lacks the scope.",
    "404": "There is nothing here, or nothing of yours.",
    "409": "The present state forbids it; `code` says which state.",
    "413": "The body is too large.",
    "415": "The body is not of a type that is understood here.",
    "422": "Understood, but it can't be followed; or the Idempotency-Key had another body.",
    "429": "Too many calls; wait as long as Retry-After says.",
}
PROBLEM = {
    "type": "object",
    "description": "Why a call was refused (RFC 9457).",
    "required": ["type", "title", "status", "detail", "code", "errors"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "One sentence for people."},
        "code": {"type": "string", "description": "One word for programs."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["code", "detail"],
                "properties": {
                    "pointer": {
                        "type": "string",
                        "description": "JSON pointer into the body; empty: all of it.",
                    },
                    "parameter": {
                        "type": "string",
                        "description": "The query parameter at fault, instead of a pointer.",
                    },
                    "code": {"type": "string"},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}


def undescribed_classes() -> list[type]:
    """Return the bases whose docstrings are for programmers, not for readers of the schema."""
    bases = [*vars(views).values(), *vars(serializers).values()]
    excluded = get_lib_doc_excludes()  # type: ignore[no-untyped-call]
    return [*excluded, *(base for base in bases if inspect.isclass(base))]


class Schema(AutoSchema):
    """Describe an endpoint, with the problems it may answer, its scope and its idempotency."""

    def get_description(self) -> str:  # type: ignore[override]
        description = super().get_description() or ""
        scope = None if self._is_public else required_scope(self.view, self.method)
        needs = f"Needs the scope `{scope}`." if scope else ""
        return "\n\n".join(part for part in (description, needs) if part)

    def get_auth(self) -> list[dict[str, Any]]:
        return [] if self._is_public else super().get_auth()

    def get_override_parameters(self) -> list[Any]:
        once = self.method == "POST" and self._reads_json and not self._is_public
        return [*super().get_override_parameters(), *([IDEMPOTENCY_KEY] if once else [])]

    def _get_response_bodies(self, direction: Any = "response") -> dict[str, Any]:
        responses: dict[str, Any] = super()._get_response_bodies(direction)
        for status in self._problem_statuses():
            responses.setdefault(status, self._problem(status))
        return dict(sorted(responses.items()))

    def _problem_statuses(self) -> list[str]:
        writes = self.method != "GET"
        has_body = self.method in {"POST", "PUT", "PATCH"}
        applies = {
            "400": not self._is_public,
            "401": not self._is_public,
            "403": not self._is_public,
            "404": "{" in self.path,
            "409": writes,
            "413": has_body,
            "415": has_body,
            "422": self.method == "POST",
            "429": bool(self.view.get_throttles()),
        }
        return [status for status, does in applies.items() if does]

    def _problem(self, status: str) -> dict[str, Any]:
        component = ResolvedComponent(  # type: ignore[no-untyped-call]
            name="Problem", type=ResolvedComponent.SCHEMA, schema=PROBLEM, object="Problem"
        )
        self.registry.register_on_missing(component)
        return {"description": PROBLEMS[status], "content": {MEDIA_TYPE: {"schema": component.ref}}}

    @property
    def _is_public(self) -> bool:
        return bool(getattr(self.view, "public", False))

    @property
    def _reads_json(self) -> bool:
        return bool(getattr(self.view, "reads_json", True))


class BearerKey(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Describe how a key is sent."""

    target_class = "config.base.api.authentication.ApiKeyAuthentication"
    name = "ApiKey"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "pb_<prefix>_<secret>"}


class Strict(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    """Say that bodies have no unknown fields."""

    target_class = "config.base.api.serializers.StrictSerializer"
    match_subclasses = True

    def map_serializer(self, auto_schema: AutoSchema, direction: Any) -> dict[str, Any]:
        schema: dict[str, Any] = auto_schema._map_serializer(  # type: ignore[no-untyped-call]
            self.target, direction, bypass_extensions=True
        )
        if direction == "request":
            schema["additionalProperties"] = False
        return schema


class Decimals(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """Say that decimals are answered as strings, and how many digits they have."""

    target_class = "config.base.api.fields.DecimalString"
    match_subclasses = True

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Any) -> dict[str, Any]:
        if direction == "request":
            return {
                "type": ["string", "number"],
                "pattern": self.target.pattern,
                "maximum": 10**self.target.integer_digits,
                "examples": ["12.50"],
            }
        return {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$"}


class Keys(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """Say what a key is made of."""

    target_class = "config.base.api.fields.KeyString"
    match_subclasses = True

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Any) -> dict[str, Any]:
        return {
            "type": "string",
            "minLength": 1,
            "maxLength": 255,
            "pattern": r'^(?!\.{1,2}$)[!-"$-.0->@-~]+$',
            "examples": ["acme"],
        }
