"""Bodies, read strictly: what two readers could understand differently is refused by name.

Numbers come out as int or Decimal, never as floats.
"""

import json
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import IO, Any

from django.http import HttpRequest
from django.http.request import UnreadablePostError
from gunicorn.http.errors import ParseException
from rest_framework.exceptions import ParseError, UnsupportedMediaType
from rest_framework.parsers import BaseParser

from config.base.api.problems import TooLarge
from config.base.errors import Fault, Invalid, Path

BODY_LIMIT = 1024 * 1024  # bytes
DISCARDED_AT_MOST = 64 * 1024 * 1024  # bytes
DISCARDED_FOR = 3.0  # seconds
_PART = 64 * 1024
DEPTH_LIMIT = 20
NUMBER_LIMIT = 100  # characters; also bounds the exponent, since 10 ** 999999 takes a minute

# A string counts as closed at the end of the text, so that no text is scanned twice.
_STRING_OR_BRACKET = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{}]', re.DOTALL)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class StrictJSONParser(BaseParser):
    """Read a JSON object in UTF-8; other media types are a 415."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        if "charset=" in (media_type or "").lower() and not re.search(
            r"charset=\"?utf-?8\b", media_type or "", re.IGNORECASE
        ):
            raise UnsupportedMediaType(media_type or "", "Send UTF-8.")
        body = read_json(stream.read())
        if not isinstance(body, dict):
            raise Invalid([Fault((), "not_an_object", "Send a JSON object.")])
        return body


def read_body(request: HttpRequest, *, limit: int = BODY_LIMIT) -> bytes:
    """Return the whole body, which may have come in chunks; reads at most `limit` bytes.

    Afterwards `request.body` is the same bytes.

    :raises TooLarge: if there is more.
    :raises ParseError: if the sender hung up halfway.
    """
    if not hasattr(request, "_body"):
        stream, length = _stream(request)
        if length is not None and length > limit:
            raise TooLarge(f"The body may have up to {limit:,} bytes.")
        try:
            body = _read(stream, limit + 1 if length is None else length)
        except (UnreadablePostError, OSError) as broken:
            raise ParseError("The body ended too early.") from broken
        except ParseException as broken:
            raise ParseError("The body's chunks can't be read.") from broken
        if length is not None and len(body) < length:
            raise ParseError("The body ended too early.")
        request._body = body
        request._read_started = True  # type: ignore[attr-defined]  # chunks are read past Django
    if len(request.body) > limit:
        raise TooLarge(f"The body may have up to {limit:,} bytes.")
    request.META["CONTENT_LENGTH"] = str(len(request.body))
    return request.body


def read_json(body: bytes) -> Any:
    """Return what a JSON text in UTF-8 says.

    :raises ParseError: if it is not JSON, is nested too deeply or has a number out of bounds.
    :raises Invalid: naming each duplicate name and each string that can't be stored.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as broken:
        raise ParseError("The body is not UTF-8.") from broken
    if _depth(text) > DEPTH_LIMIT:
        raise ParseError(f"The body is nested more than {DEPTH_LIMIT} levels deep.")
    try:
        value = json.loads(
            text,
            parse_float=_decimal,
            parse_int=_integer,
            parse_constant=_constant,
            object_pairs_hook=_object,
        )
    except json.JSONDecodeError as broken:
        raise ParseError(
            f"The body is not JSON: {broken.msg}, line {broken.lineno} column {broken.colno}."
        ) from broken
    if faults := list(_faults(value)):
        raise Invalid(faults)
    return value


def discard_rest(request: HttpRequest) -> None:
    """Read what nobody read of a body, up to 64 MiB or about three seconds, and forget it.

    A server that closes a connection with something unread in it resets it, and most clients then
    show a broken pipe in place of the answer that says why. Whoever sends byte by byte is left to
    the server's own timeout, as with any body.
    """
    stream, left = _stream(request)[0], DISCARDED_AT_MOST
    until = time.monotonic() + DISCARDED_FOR
    line = request.META.get("gunicorn.socket")
    patience = line.gettimeout() if line else None
    try:
        while left > 0 and (seconds := until - time.monotonic()) > 0:
            if line:
                line.settimeout(seconds)
            part = stream.read(_PART)
            if not part:
                break
            left -= len(part)
    except (UnreadablePostError, OSError, ParseException):
        pass  # then there is nobody left to tell, or nothing to be understood
    finally:
        if line:
            line.settimeout(patience)


def _stream(request: HttpRequest) -> tuple[Any, int | None]:
    """Return where the body is read from and how long it is; None: until it ends."""
    if request.META.get("HTTP_TRANSFER_ENCODING") and request.META.get("wsgi.input_terminated"):
        return request.META["wsgi.input"], None
    try:
        return request, max(0, int(request.META.get("CONTENT_LENGTH") or 0))
    except ValueError:
        return request, 0


def _read(stream: Any, size: int) -> bytes:
    parts = []
    while size > 0 and (part := stream.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _depth(text: str) -> int:
    depth = deepest = 0
    for token in _STRING_OR_BRACKET.finditer(text):
        match token[0]:
            case "[" | "{":
                depth += 1
                deepest = max(deepest, depth)
            case "]" | "}":
                depth -= 1
    return deepest


def _integer(digits: str) -> int:
    if len(digits) > NUMBER_LIMIT:
        raise ParseError(f"A number has more than {NUMBER_LIMIT} characters.")
    return int(digits)


def _decimal(digits: str) -> Decimal:
    if len(digits) > NUMBER_LIMIT:
        raise ParseError(f"A number has more than {NUMBER_LIMIT} characters.")
    try:
        number = Decimal(digits)
    except InvalidOperation as broken:
        raise ParseError(f"The number {digits} is out of bounds.") from broken
    if abs(int(number.as_tuple().exponent)) > NUMBER_LIMIT:
        raise ParseError(f"The number {digits} is out of bounds.")
    return number


def _constant(name: str) -> None:
    raise ParseError(f"{name} is not a JSON number.")


class _Ambiguous(dict[str, Any]):
    """An object in which a name came twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        counts = Counter(name for name, _ in pairs)
        self.duplicates = [name for name, count in counts.items() if count > 1]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    plain = dict(pairs)
    return plain if len(plain) == len(pairs) else _Ambiguous(pairs)


def _faults(value: Any, path: Path = ()) -> Iterator[Fault]:
    if isinstance(value, str):
        if _UNSTORABLE.search(value):
            yield Fault(path, "unstorable", "A text may not hold NUL or half a surrogate pair.")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _faults(item, (*path, index))
    elif isinstance(value, dict):
        for name in getattr(value, "duplicates", ()):
            yield Fault((*path, _shown(name)), "duplicate", "This name stands here twice.")
        for name, item in value.items():
            if _UNSTORABLE.search(name):
                yield Fault(
                    (*path, _shown(name)),
                    "unstorable",
                    "A name may not hold NUL or half a surrogate pair.",
                )
            yield from _faults(item, (*path, _shown(name)))


def _shown(name: str) -> str:
    """Return a name that can be written in an answer."""
    return _UNSTORABLE.sub("\ufffd", name)
