"""The bases of every endpoint.

A view declares its `scope`, reads with `read_body` or `read_query`, calls one service with
`self.actor`, and answers. Idempotency keys and problems need nothing from it: a POST with an
Idempotency-Key runs in one transaction with its stored answer.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, ClassVar, TypeVar

from django.conf import settings
from django.db import transaction
from django.db.models import Model
from django.http import Http404, HttpResponse
from django.template.response import SimpleTemplateResponse
from django.utils import timezone, translation
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import ParseError
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
from config.base.models import ApiKey
from config.base.services import idempotency

M = TypeVar("M", bound=Model)
Handler = Callable[..., HttpResponse]
_STORED_REFUSALS = {409, 422}
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
    content_negotiation_class: type[DefaultContentNegotiation] = OneRenderer
    metadata_class = None
    post: Any  # what subclasses or routers define, if they do
    http_method_names = ["get", "post", "put", "patch", "delete", "head"]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse who may not call, then read the body, so that handlers find it sound.

        Of a method that isn't there the body is not looked at: that it is allowed comes first.
        """
        translation.activate(settings.LANGUAGE_CODE)  # DRF's messages would follow the browser's
        super().initial(request, *args, **kwargs)
        _refuse_controls(request)
        method = (request.method or "").lower()
        if self.reads_json and method in {"post", "put", "patch"} and hasattr(self, method):
            self._load_body(request)
            if method == "post" and not self.public and "Idempotency-Key" in request.headers:
                self.post = partial(self._post_once, self.post)

    def get_authenticators(self) -> list[BaseAuthentication]:
        return [] if self.public else super().get_authenticators()

    @property
    def api_key(self) -> ApiKey:
        """The key of the caller."""
        key: Any = self.request.auth
        assert isinstance(key, ApiKey)
        return key

    @property
    def actor(self) -> Actor:
        """Who acts, for services."""
        return Actor.key(self.api_key)

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

    def _post_once(
        self, handler: Handler, request: Request, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Call the handler unless this call was answered before; see services.idempotency."""
        held = idempotency.claim(
            api_key=self.api_key,
            route=request.path,
            key=_idempotency_key(request),
            body=request._request.body,
            at=timezone.now(),
        )
        if isinstance(held, idempotency.Stored):
            return HttpResponse(
                held.body,
                status=held.status,
                content_type=held.content_type,
                headers={"Idempotent-Replayed": "true"},
            )
        try:
            return self._answered(held, handler, request, *args, **kwargs)
        finally:
            idempotency.release(held)

    def _answered(
        self,
        held: idempotency.Claim,
        handler: Handler,
        request: Request,
        *args: Any,
        **kwargs: Any,
    ) -> HttpResponse:
        """Do the work and store its answer with it; a refusal is stored once the work is undone."""
        try:
            with transaction.atomic():
                return self._kept(held, handler(request, *args, **kwargs))
        except Exception as exc:  # noqa: BLE001 - handle_exception raises what nobody expected
            return self._kept(held, self.handle_exception(exc))

    def _kept(self, held: idempotency.Claim, response: HttpResponse) -> HttpResponse:
        """Return the response rendered, and stored unless the call itself was at fault."""
        answer: Any = response
        response = self.finalize_response(self.request, answer, *self.args, **self.kwargs)
        if isinstance(response, SimpleTemplateResponse):
            response.render()
        if response.status_code < 400 or response.status_code in _STORED_REFUSALS:
            idempotency.answer(
                held,
                status=response.status_code,
                body=response.content,
                content_type=response["Content-Type"],
            )
        return response

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


def _idempotency_key(request: Request) -> str:
    key = request.headers["Idempotency-Key"]
    if not re.fullmatch(r"[\x20-\x7e]{1,255}", key):
        raise ParseError("An Idempotency-Key has 1 to 255 ASCII characters.", "idempotency_key")
    return key


def _refuse_controls(request: Request) -> None:
    """Refuse control characters, which no database text takes, in the path and the query."""
    if _CONTROLS.search(request.path):
        raise Http404
    for name, values in request.query_params.lists():
        if any("\x00" in text for text in (name, *values)):
            raise BadParameter({name.replace("\x00", "\ufffd"): "NUL is not allowed."})
