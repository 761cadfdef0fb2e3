"""The short way in for events, which come by the thousand: past what only pages need.

The same function answers as on the way through Django's URLs; sessions, languages and routes are
left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from django.core.handlers.exception import convert_exception_to_response
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.db import close_old_connections
from django.http import HttpRequest, HttpResponse
from django.middleware.security import SecurityMiddleware

from config.base.middleware import SecurityHeadersMiddleware, UnreadBodyMiddleware
from metering.api.intake import Answer, take_in

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]

_ANSWERED_BY: dict[str, Callable[[HttpRequest], HttpResponse]] = {
    "/api/v1/events": take_in,
    "/api/v1/events/batch": partial(take_in, lago_batch=True),
}
_MIDDLEWARE = (UnreadBodyMiddleware, SecurityMiddleware, SecurityHeadersMiddleware)


def behind_door(application: Application) -> Application:
    """Return a WSGI application that answers POSTs of events itself and leaves all else to this one."""
    events = _EventsHandler()

    def answer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        is_post = environ["REQUEST_METHOD"] == "POST" and not environ.get("SCRIPT_NAME")
        is_ours = is_post and environ["PATH_INFO"] in _ANSWERED_BY
        return (events if is_ours else application)(environ, start_response)

    return answer


class _EventsHandler(WSGIHandler):
    """Django's handler of requests with nothing between them and their answer but what is needed.

    Nobody is told by a signal that a request began or ended. Of those who listen to these, only who
    looks after the database's connection has something to do here.
    """

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        close_old_connections()
        response: Any = self.get_response(WSGIRequest(environ))
        start_response(
            f"{response.status_code} {response.reason_phrase}", list(response.headers.items())
        )
        return _Sent(response) if isinstance(response, Answer) else response

    def load_middleware(self, is_async: bool = False) -> None:
        answer: Any = convert_exception_to_response(_answer)
        for middleware in reversed(_MIDDLEWARE):
            answer = convert_exception_to_response(middleware(answer))
        self._middleware_chain = answer


class _Sent:
    """The content of an answer, which closes the connection in time and folds when it is sent."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._answer)

    def close(self) -> None:
        close_old_connections()
        self._answer.fold()


def _answer(request: HttpRequest) -> HttpResponse:
    request.get_host()  # refuses hosts that are not ours
    return _ANSWERED_BY[request.path_info](request)
