"""Events in: any envelope is read, taken in by one service call, and answered as its sender likes.

The one endpoint outside the framework, whose parsing and checks cost as much as storing an event.
"""

from __future__ import annotations

import re
import time
from datetime import datetime
from math import inf
from typing import Any
from uuid import UUID

import msgspec
from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse
from django.utils import timezone, translation
from rest_framework.exceptions import APIException, ParseError, UnsupportedMediaType

from config.base.api.authentication import require_scope
from config.base.api.parsing import read_body
from config.base.api.problems import MEDIA_TYPE, TooLarge, as_problem, problem
from metering import services, tasks
from metering.envelopes import (
    BYTES_LIMIT,
    Envelope,
    NotJson,
    TooManyEvents,
    read_binary,
    read_lago_batch,
    read_structured,
)
from metering.events import Event
from metering.services import Report

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
PLAIN = "application/json"
TRUSTED_FOR = 1.0  # seconds

_HEADER = "HTTP_CE_"
_NAMING = ("HTTP_CE_SPECVERSION", "HTTP_CE_ID", "HTTP_CE_SOURCE", "HTTP_CE_TYPE")
_CHARSET = re.compile(r"charset\s*=\s*\"?([^\s;\"]*)")
_UTF_8 = ("utf-8", "utf8", "us-ascii", "ascii")
_encoder = msgspec.json.Encoder(decimal_format="number")


def take_in(request: HttpRequest, *, lago_batch: bool = False) -> HttpResponse:
    """Answer a POST of events; see the endpoint's description."""
    translation.activate(
        settings.LANGUAGE_CODE
    )  # refusals would follow the browser's, or the last page's
    try:
        _trust_connection()
        require_scope(request, "events:write")
        envelope = _read(request, lago_batch=lago_batch)
        at = timezone.now()
        report = services.ingest(envelope.items, received_at=at)
    except (APIException, DatabaseError) as refusal:
        return as_problem(refusal, request)
    _note_connection()
    if report.invalid:
        return _some_are_invalid(report)
    if envelope.lago:
        return _json(_as_lago(envelope, at), report)
    if _accepts_json(request):
        return _json(report, report)
    answer = Answer(report, status=204)
    del answer["Content-Type"]  # there is no content
    return answer


class Answer(HttpResponse):
    """The answer to events that were taken in. When its sender has it, there is time for folding."""

    def __init__(self, report: Report, content: bytes = b"", **options: Any) -> None:
        counts = ", ".join(f"{name}={count}" for name, count in _counts(report).items())
        super().__init__(content, headers={"Usage-Report": counts}, **options)
        self._accepted = report.accepted

    def close(self) -> None:
        super().close()
        self.fold()

    def fold(self) -> None:
        tasks.nudge_folding(accepted=self._accepted)


_well_at = -inf


def _trust_connection() -> None:
    """Let a call ask the database for what it needs, and not first whether it is there.

    Only within a second of a call that it answered: a round trip saved where calls come by the
    hundred. If it was lost since, the call is answered as whenever the database is away.
    """
    if time.monotonic() - _well_at < TRUSTED_FOR:
        connection.health_check_done = True  # type: ignore[attr-defined]


def _note_connection() -> None:
    global _well_at  # noqa: PLW0603
    _well_at = time.monotonic()


def _read(request: HttpRequest, *, lago_batch: bool) -> Envelope:
    media_type = _media_type(request)
    is_binary = media_type not in (STRUCTURED, BATCH) and any(
        name in request.META for name in _NAMING
    )
    if not is_binary and media_type not in (PLAIN, STRUCTURED, BATCH):
        sent = request.META.get("CONTENT_TYPE", "")
        raise UnsupportedMediaType(sent, f"Send {PLAIN}, {STRUCTURED} or {BATCH}.")
    body = read_body(request, limit=BYTES_LIMIT)
    request._body = b""  # a request lies about until the garbage is collected: megabytes must not
    try:
        if lago_batch:
            return read_lago_batch(body)
        return read_binary(_attributes(request), body) if is_binary else read_structured(body)
    except NotJson as refusal:
        raise ParseError(str(refusal), "not_json") from refusal
    except TooManyEvents as refusal:
        raise TooLarge(str(refusal)) from refusal


def _media_type(request: HttpRequest) -> str:
    """Return the type of the body in lower case, empty if it has none.

    :raises UnsupportedMediaType: for another charset than UTF-8.
    """
    sent = request.META.get("CONTENT_TYPE", "")
    media_type, _, parameters = sent.lower().partition(";")
    charset = _CHARSET.search(parameters) if parameters else None
    if charset and charset[1] not in _UTF_8:
        raise UnsupportedMediaType(sent, "Send UTF-8.")
    return str(media_type.strip())


def _attributes(request: HttpRequest) -> dict[str, str]:
    found = {
        name[len(_HEADER) :].lower(): text
        for name, text in request.META.items()
        if name.startswith(_HEADER)
    }
    if media_type := request.META.get("CONTENT_TYPE"):
        found["datacontenttype"] = media_type
    return found


def _accepts_json(request: HttpRequest) -> bool:
    ranges = request.META.get("HTTP_ACCEPT", "").lower().split(",")
    return any(text.partition(";")[0].strip() == PLAIN for text in ranges)


def _counts(report: Report) -> dict[str, int]:
    return {
        "accepted": report.accepted,
        "duplicates": report.duplicates,
        "quarantined": report.quarantined,
        "conflicts": report.conflicts,
        "invalid": report.invalid,
    }


def _json(
    content: Any, report: Report, *, status: int = 200, media_type: str = PLAIN
) -> HttpResponse:
    return Answer(report, _encoder.encode(content), status=status, content_type=media_type)


def _some_are_invalid(report: Report) -> HttpResponse:
    detail = (
        f"{report.invalid} of the items {'is no event' if report.invalid == 1 else 'are no events'}; "
        "`problems` says why. The others are stored."
    )
    answer = problem(400, detail=detail, code="invalid_events")
    answer |= {**_counts(report), "problems": report.problems}
    return _json(answer, report, status=400, media_type=MEDIA_TYPE)


def _as_lago(envelope: Envelope, at: datetime) -> dict[str, Any]:
    """Answer Lago's sender with each event as it was taken."""
    events = [_lago_event(event, at) for event in envelope.items if isinstance(event, Event)]
    return {"event": events[0]} if envelope.lago == "event" else {"events": events}


def _lago_event(event: Event, at: datetime) -> dict[str, Any]:
    return {
        "lago_id": str(UUID(bytes=event.key)),
        "transaction_id": event.id,
        "lago_customer_id": None,
        "code": event.type,
        "timestamp": _lago_time(event.time or at),
        "precise_total_amount_cents": (event.extensions or {}).get("precise_total_amount_cents"),
        "properties": event.data,
        "lago_subscription_id": None,
        "external_subscription_id": event.subject,
        "created_at": _lago_time(at),
    }


def _lago_time(instant: datetime) -> str:
    return f"{instant:%Y-%m-%dT%H:%M:%S}.{instant.microsecond // 1000:03d}Z"
