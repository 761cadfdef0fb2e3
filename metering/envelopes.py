"""How events arrive: one or an array as JSON, one in the headers of a call, or as Lago's senders do.

Decodes a body into events, or why they are none; knows no database, clock or setting.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, NamedTuple
from urllib.parse import unquote_to_bytes

import msgspec

from metering import properties
from metering.events import (
    ATTRIBUTES,
    DEPTH_LIMIT,
    Event,
    NotAnEvent,
    PlainlySent,
    check_text,
    plain_events,
    read_event,
)

BYTES_LIMIT = 8 * 1024 * 1024
COUNT_LIMIT = 10_000
LAGO_SOURCE = "lago:"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_SECOND = 32_503_680_000  # where the year 3000 begins
_MICROSECONDS = 1_000_000
_decoder = msgspec.json.Decoder(float_hook=properties.number)
_plain_decoder = msgspec.json.Decoder(
    Annotated[list[PlainlySent], msgspec.Meta(max_length=COUNT_LIMIT)] | PlainlySent
)


class NotJson(ValueError):
    """A body that is not JSON, is empty, or is nested beyond reading."""


class TooManyEvents(ValueError):
    """A body of more than 10,000 events."""


class Envelope(NamedTuple):
    """Each event of a call, or why it is none, in order.

    `lago` is "event" or "events" where the call is one of Lago's, named after what it sends.
    """

    items: list[Event | NotAnEvent]
    lago: str = ""


def read_structured(body: bytes) -> Envelope:
    """Read an event, an array of events, or Lago's `{"event": …}`.

    :raises NotJson: if there is nothing to read.
    :raises TooManyEvents: if there are more than 10,000.
    """
    if (plain := _plain(body)) is not None:
        return Envelope(plain)
    found = _decode(body)
    if isinstance(found, dict):
        if isinstance(found.get("event"), dict) and "id" not in found:
            return Envelope([_or_refusal(_read_lago, found["event"])], "event")
        return Envelope([_or_refusal(read_event, found)])
    if not isinstance(found, list):
        raise NotJson("Send an event, or an array of events.")
    return Envelope(_each(read_event, found))


def read_lago_batch(body: bytes) -> Envelope:
    """Read Lago's `{"events": […]}`.

    :raises NotJson: if it is something else.
    :raises TooManyEvents: if there are more than 10,000.
    """
    found = _decode(body)
    events = found.get("events") if isinstance(found, dict) else None
    if not isinstance(events, list):
        raise NotJson('Send {"events": […]}; CloudEvents go to /api/v1/events.')
    return Envelope(_each(_read_lago, events), "events")


def read_binary(attributes: Mapping[str, str], body: bytes) -> Envelope:
    """Read an event whose attributes came as headers `ce-…` and whose data is the body, in JSON.

    `attributes` has their names in lower case without `ce-`, and each byte of their values as a
    character. No body is no data.

    :raises NotJson: if the body is not JSON.
    """
    data = _decode(body) if body else None
    return Envelope([_or_refusal(_read_binary, (attributes, data))])


def _plain(body: bytes) -> list[Event | NotAnEvent] | None:
    """Return what every event of a body is, if they all are as nearly all are; else None.

    Without escapes, and with no control character but JSON's own spaces, a text is printable if
    it is ASCII.
    """
    if not body.isascii() or b"\\" in body or b"\x7f" in body:
        return None
    try:
        found = _plain_decoder.decode(body)
        return [*plain_events(found if isinstance(found, list) else [found])]
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError):
        return None


def _decode(body: bytes) -> Any:
    """Decode a body at once, or if something in it resists, with all that JSON's letter allows.

    The second reader lets lone surrogates, NaN and endless digits pass, so that they can be
    refused item by item.
    """
    try:
        return _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ArithmeticError):
        pass
    if not body.strip():
        raise NotJson("The body is empty. Send an event, or an array of events.")
    try:
        return json.loads(
            body.decode("utf-8"),
            parse_float=properties.number,
            parse_int=properties.number,
            parse_constant=Decimal,
        )
    except UnicodeDecodeError:
        raise NotJson("The body is not UTF-8.") from None
    except json.JSONDecodeError as broken:
        raise NotJson(
            f"The body is not JSON: {broken.msg}, line {broken.lineno} column {broken.colno}."
        ) from None
    except RecursionError:
        raise NotJson(f"The body is nested more than {DEPTH_LIMIT} levels deep.") from None


def _each(read: Any, items: Sequence[Any]) -> list[Event | NotAnEvent]:
    if len(items) > COUNT_LIMIT:
        raise TooManyEvents(f"Send up to {COUNT_LIMIT:,} events at once; these are {len(items):,}.")
    return [_or_refusal(read, item) for item in items]


def _or_refusal(read: Any, item: Any) -> Event | NotAnEvent:
    try:
        event: Event = read(item)
    except NotAnEvent as refusal:
        return refusal
    return event


def _read_binary(sent: tuple[Mapping[str, str], Any]) -> Event:
    attributes, data = sent
    item: dict[str, Any] = {name: _header_text(name, text) for name, text in attributes.items()}
    item["data"] = data  # whatever a header of that name says
    return read_event(item)


def _header_text(name: str, text: str) -> str:
    """Return what an attribute's header says: unquoted, percent-decoded once, in UTF-8."""
    raw = text.strip().encode("latin-1", "replace")
    if len(raw) > 1 and raw[:1] == raw[-1:] == b'"':
        raw = raw[1:-1].replace(b'\\"', b'"').replace(b"\\\\", b"\\")
    try:
        return unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError:
        raise NotAnEvent(f"bad_{name}", f"The header ce-{name} is not UTF-8.") from None


def _read_lago(item: Any) -> Event:
    """Return the event that one of Lago's describes; whose it is, the check finds out (R6).

    :raises NotAnEvent: saying why it is none.
    """
    if not isinstance(item, dict):
        raise NotAnEvent("not_an_object", "An event is a JSON object.")
    holder = item.get("external_subscription_id")
    named = {
        "id": item.get("transaction_id"),
        "source": f"{LAGO_SOURCE}{holder}",
        "type": item.get("code"),
        "subject": holder,
    }
    for name, their_name in _LAGO_NAMES.items():
        if named[name] is None:
            message = f"An event needs its {their_name}."
            raise NotAnEvent(f"missing_{their_name}", message, item=named)
        check_text(named[name], their_name, item=named)
    others = {
        name: value
        for name, value in item.items()
        if name not in _LAGO_ATTRIBUTES and value is not None
    }
    time = _unix_time(item.get("timestamp"), named)
    return read_event({**others, **named, "time": time, "data": item.get("properties")})


_LAGO_NAMES = {
    "id": "transaction_id",
    "subject": "external_subscription_id",
    "type": "code",
}
_LAGO_ATTRIBUTES = ATTRIBUTES | {*_LAGO_NAMES.values(), "timestamp", "properties"}


def _unix_time(seconds: Any, item: Mapping[str, Any]) -> str | None:
    if seconds is None:
        return None
    exact = properties.quantity(seconds)
    if exact is None or not 0 <= exact < _LAST_SECOND:
        message = "The timestamp is in seconds since 1970, such as 1793534400."
        raise NotAnEvent("bad_timestamp", message, item=item)
    return (_EPOCH + timedelta(microseconds=int(exact * _MICROSECONDS))).isoformat()
