"""Every refusal as an RFC 9457 problem.

    {"type": "about:blank", "title": "Conflict", "status": 409, "detail": "…", "code": "key_taken",
     "errors": [{"pointer": "/key", "code": "key_taken", "detail": "…"}]}

`pointer` is a JSON pointer into the body (RFC 6901), empty for the body as a whole; what is wrong
with a query parameter has `parameter`, its name, instead.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, TypedDict

from django.core.exceptions import PermissionDenied
from django.core.exceptions import ValidationError as DjangoValidationError
from django.db import DataError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from rest_framework import exceptions
from rest_framework.fields import get_error_detail
from rest_framework.permissions import SAFE_METHODS
from rest_framework.response import Response
from rest_framework.settings import api_settings

from config.base.errors import Invalid, Path, Refusal
from config.base.fields import InexactDecimal

MEDIA_TYPE = "application/problem+json"
API_PREFIX = "/api/"
_WHOLE = {api_settings.NON_FIELD_ERRORS_KEY, "__all__"}

logger = logging.getLogger(__name__)


class Conflict(exceptions.APIException):
    """The state of things forbids it; `code` says which state."""

    status_code = 409
    default_detail = "The present state forbids this."
    default_code = "conflict"


class Unprocessable(exceptions.APIException):
    """Understood, but it can't be followed."""

    status_code = 422
    default_detail = "This can't be processed."
    default_code = "unprocessable"


class TooLarge(exceptions.APIException):
    """The body is larger than the endpoint takes."""

    status_code = 413
    default_detail = "The body is too large."
    default_code = "too_large"


class BadParameter(exceptions.APIException):
    """A query parameter is unknown or unreadable; carries {name: message}."""

    status_code = 400
    default_code = "invalid"

    def __init__(self, parameters: Mapping[str, str], code: str = "invalid") -> None:
        super().__init__(detail=dict(parameters), code=code)


class ProblemError(TypedDict, total=False):
    pointer: str
    parameter: str
    code: str
    detail: str


def pointer(path: Iterable[str | int]) -> str:
    """Return the JSON pointer of a path into a body; empty for the whole body."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def problem(
    status: int, *, detail: str, code: str, errors: Iterable[ProblemError] = ()
) -> dict[str, Any]:
    """Return the body of a problem."""
    return {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        "errors": list(errors),
    }


def handle_exception(exc: Exception, context: Mapping[str, Any]) -> Response | None:
    """Answer an exception that a view raised; None, and so a 500, for what nobody expected."""
    if isinstance(exc, Refusal):
        return _refused(exc)
    if isinstance(exc, Invalid):
        return _invalid(
            _error(fault.path, code=fault.code, detail=fault.message) for fault in exc.faults
        )
    if isinstance(exc, InexactDecimal):
        return _answer(400, detail=str(exc), code="inexact")
    if isinstance(exc, DjangoValidationError):
        exc = exceptions.ValidationError(get_error_detail(exc))
    if isinstance(exc, exceptions.ValidationError | BadParameter):
        in_query = isinstance(exc, BadParameter) or context["request"].method in SAFE_METHODS
        return _invalid(_flatten(exc.detail, in_query=in_query))
    if isinstance(exc, Http404):
        exc = exceptions.NotFound("There is nothing here.")
    if isinstance(exc, PermissionDenied):
        exc = exceptions.PermissionDenied()
    if isinstance(exc, exceptions.APIException):
        return _api_exception(exc)
    return _database_exception(exc)


def as_problem(exc: Exception, request: HttpRequest) -> HttpResponse:
    """Answer an exception as `handle_exception` does, for a view outside the framework.

    Raises it again if nobody expected it.
    """
    answer = handle_exception(exc, {"request": request})
    if answer is None:
        raise exc
    response = JsonResponse(answer.data, status=answer.status_code)
    for name, value in {**answer.headers, "Content-Type": MEDIA_TYPE}.items():
        response[name] = value
    return response


def _refused(refusal: Refusal) -> Response:
    return _answer(
        refusal.status,
        detail=str(refusal),
        code=refusal.code,
        errors=[_error(refusal.path, code=refusal.code, detail=str(refusal))],
        headers={"Retry-After": str(refusal.retry_after)} if refusal.retry_after else {},
    )


def _invalid(errors: Iterable[ProblemError]) -> Response:
    errors = list(errors)
    detail = errors[0]["detail"] if len(errors) == 1 else f"{len(errors)} things are invalid."
    return _answer(400, detail=detail, code="invalid", errors=errors)


def _api_exception(exc: exceptions.APIException) -> Response:
    detail, code = str(exc.detail), str(getattr(exc.detail, "code", exc.default_code))
    headers = {}
    if challenge := getattr(exc, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if (wait := getattr(exc, "wait", None)) is not None:
        headers["Retry-After"] = f"{wait:.0f}"
    errors = [_error((), code=code, detail=detail)] if exc.status_code in (400, 409, 422) else []
    return _answer(exc.status_code, detail=detail, code=code, errors=errors, headers=headers)


def _database_exception(exc: Exception) -> Response | None:
    """Answer a database that can't take the call now, or a value that no check foresaw."""
    if isinstance(exc, OperationalError):
        logger.exception("the database could not take a call", exc_info=exc)
        return _answer(
            503,
            detail="The database can't take this call now; try again.",
            code="unavailable",
            headers={"Retry-After": "1"},
        )
    if isinstance(exc, DataError):
        logger.exception("the database could not store a value", exc_info=exc)
        return _answer(400, detail="A value can't be stored.", code="unstorable")
    return None


def _answer(
    status: int,
    *,
    detail: str,
    code: str,
    errors: Iterable[ProblemError] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    return Response(
        problem(status, detail=detail, code=code, errors=errors),
        status=status,
        headers=dict(headers or {}),
        content_type=MEDIA_TYPE,
    )


def _error(path: Path, *, code: str, detail: str, in_query: bool = False) -> ProblemError:
    if in_query:
        return {"parameter": str(path[0]) if path else "", "code": code, "detail": detail}
    return {"pointer": pointer(path), "code": code, "detail": detail}


def _flatten(detail: Any, *, in_query: bool, path: Path = ()) -> Iterator[ProblemError]:
    """Yield one error per message of DRF's nested dictionaries and lists, in their order."""
    if isinstance(detail, dict):
        for step, inner in detail.items():
            yield from _flatten(
                inner, in_query=in_query, path=path if step in _WHOLE else (*path, step)
            )
    elif isinstance(detail, list):
        for index, inner in enumerate(detail):
            deeper = path if isinstance(inner, str) else (*path, index)
            yield from _flatten(inner, in_query=in_query, path=deeper)
    else:
        code = str(getattr(detail, "code", "invalid"))
        yield _error(path, code=code, detail=str(detail), in_query=in_query)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Be `handler404`: a problem under /api/, Django's page elsewhere."""
    if request.path.startswith(API_PREFIX):
        return _plain(404, detail="There is nothing here.", code="not_found")
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Be `handler500`: a problem under /api/ that says nothing of the cause."""
    if request.path.startswith(API_PREFIX):
        return _plain(500, detail="Something went wrong on our side.", code="error")
    return defaults.server_error(request)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Be `handler400`: a problem under /api/, Django's page elsewhere."""
    if request.path.startswith(API_PREFIX):
        return _plain(400, detail="The request can't be read.", code="bad_request")
    return defaults.bad_request(request, exception)


def _plain(status: int, *, detail: str, code: str) -> JsonResponse:
    return JsonResponse(
        problem(status, detail=detail, code=code), status=status, content_type=MEDIA_TYPE
    )
