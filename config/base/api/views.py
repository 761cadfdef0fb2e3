"""The bases of every endpoint.

A view declares its `scope`, reads with `read_body` or `read_query`, calls one service with
`self.actor`, and answers. Idempotency keys and problems need nothing from it.
"""

import re
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from django.db.models import Model
from django.http import Http404
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from config.base.api.paging import ListFilters, refuse_unknown
from config.base.api.parsing import BODY_LIMIT, read_body
from config.base.api.problems import BadParameter
from config.base.api.serializers import QuerySerializer, StrictSerializer
from config.base.audit import Actor

M = TypeVar("M", bound=Model)
_CONTROLS = re.compile("[\x00-\x1f\x7f]")


class OneRenderer(DefaultContentNegotiation):
    """Answer in the view's first format, whatever the caller would rather have."""

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        return renderers[0], renderers[0].media_type


class Conventions(APIView):
    """What views and viewsets share.

    `scope`, `action_scopes` and `public` are read by HasScope. With `reads_json = False` the view
    reads its body itself (`read_body` of parsing, with a limit of its own).
    """

    scope: ClassVar[str | None] = None
    action_scopes: ClassVar[Mapping[str, str]] = {}
    public: ClassVar[bool] = False
    reads_json: ClassVar[bool] = True
    body_limit: ClassVar[int] = BODY_LIMIT
    content_negotiation_class = OneRenderer
    metadata_class = None
    http_method_names = ["get", "post", "put", "patch", "delete", "head"]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse who may not call, then read the body, so that handlers find it sound."""
        super().initial(request, *args, **kwargs)
        _refuse_controls(request)
        if self.reads_json and request.method in {"POST", "PUT", "PATCH"}:
            self._load_body(request)

    @property
    def actor(self) -> Actor:
        """Who acts, for services."""
        key: Any = self.request.auth
        return Actor.key(key)

    def read_body(self, serializer_class: type[StrictSerializer], **kwargs: Any) -> dict[str, Any]:
        """Return the body as the serializer understands it.

        :raises ValidationError: naming every invalid field.
        """
        serializer = serializer_class(
            data=self.request.data, context={"request": self.request, "view": self}, **kwargs
        )
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)

    def read_query(self, serializer_class: type[QuerySerializer]) -> dict[str, Any]:
        """Return the query parameters as the serializer understands them.

        :raises BadParameter: naming each unknown parameter.
        :raises ValidationError: naming every invalid one.
        """
        serializer = serializer_class(
            data=self.request.query_params.dict(), context={"request": self.request, "view": self}
        )
        refuse_unknown(self.request, set(serializer.fields))
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)

    def _load_body(self, request: Request) -> None:
        if not read_body(request._request, limit=self.body_limit):
            request.META["CONTENT_TYPE"] = "application/json"  # nothing, of whatever type, is {}
        assert isinstance(request.data, dict)


class ApiView(Conventions):
    """An endpoint that is no resource: define `get`, `post` …; scopes go by method name."""


class ApiViewSet(Conventions, GenericViewSet[M]):
    """A resource; mix in DRF's List- and RetrieveModelMixin, and call services in `create` …

    Addressed by `lookup_field`, "key" or "uuid". Lists are in pages, by `ordering` if it is
    declared, and filtered by `filterset_class` or `filterset_fields`.
    """

    lookup_value_regex = "[^/]+"
    filter_backends = [ListFilters]


def _refuse_controls(request: Request) -> None:
    """Refuse control characters, which no database text takes, in the path and the query."""
    if _CONTROLS.search(request.path):
        raise Http404
    for name, values in request.query_params.lists():
        if any("\x00" in text for text in (name, *values)):
            raise BadParameter({name.replace("\x00", "\ufffd"): "NUL is not allowed."})
