"""What a usage event is: a CloudEvent 1.0, read and checked attribute by attribute (R6, R7).

Knows no database, clock or setting; how events arrive is `envelopes`.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache, partial
from hashlib import blake2b
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from metering import properties

DEPTH_LIMIT = 20

ATTRIBUTES = frozenset(
    (
        "specversion",
        "id",
        "source",
        "type",
        "subject",
        "time",
        "data",
        "data_base64",
        "subscription",
    )
)
_UNWANTED = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_UNWRITABLE = re.compile("[\x00\ud800-\udfff]")
_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:)([0-9]{2})(\.[0-9]+)?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})",
    re.ASCII,
)
_YEARS = range(1970, 3000)
_HIGHEST = 10**properties.LONGEST_NUMBER
_LOWEST = -_HIGHEST


class NotAnEvent(ValueError):
    """An item that can't be understood as an event at all, so it is refused (R8)."""

    def __init__(self, code: str, detail: str, *, item: Any = None) -> None:
        super().__init__(detail)
        self.code = code
        self.id = _shown(item, "id")
        self.source = _shown(item, "source")


class Event(NamedTuple):
    """One event as it was sent.

    `key` is 16 bytes of (source, id), `payload_hash` those of what must not change (R7).
    `time` is None where the sender left it to us. `data` is an object unless there is a `flaw`,
    which says why it can't be counted; `data_json` is its canonical JSON in UTF-8.
    """

    key: bytes
    payload_hash: bytes
    source: str
    id: str
    type: str
    subject: str | None
    subscription: str | None
    time: datetime | None
    data: Any
    extensions: dict[str, Any] | None = None
    flaw: str = ""
    data_json: bytes = b""


class Columns(NamedTuple):
    """Events column by column, equally long; see `Event`."""

    keys: Sequence[bytes]
    payload_hashes: Sequence[bytes]
    sources: Sequence[str]
    ids: Sequence[str]
    types: Sequence[str]
    subjects: Sequence[str | None]
    subscriptions: Sequence[str | None]
    times: Sequence[datetime | None]
    data: Sequence[Any]
    extensions: Sequence[dict[str, Any] | None]
    flaws: Sequence[str]
    data_json: Sequence[bytes]


def in_columns(events: Sequence[Event]) -> Columns:
    """Return events, of which there is at least one, column by column."""
    return Columns(*zip(*events, strict=True))


_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
_Whole = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class PlainlySent(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An event as nearly all are sent: nothing in it but names, texts and whole numbers.

    Decoded from a body in which every text is printable, it needs no further check but its time's.
    """

    id: _Name
    source: _Name
    type: _Name
    specversion: Literal["1.0"] = "1.0"
    subject: _Name | None = None
    subscription: _Name | None = None
    time: str | None = None
    data: dict[str, _Whole | str | bool | None] | None = None


def read_event(item: Any) -> Event:
    """Return the event that a JSON object describes, its numbers as `properties.read` gives them.

    :raises NotAnEvent: saying why it is none.
    """
    if not isinstance(item, dict):
        raise NotAnEvent("not_an_object", "An event is a JSON object.")
    if item.get("specversion", "1.0") != "1.0":
        raise NotAnEvent("specversion", "Only CloudEvents 1.0 are understood.", item=item)
    extensions = None
    if not item.keys() <= ATTRIBUTES:
        extensions = {name: value for name, value in item.items() if name not in ATTRIBUTES}
    data, flaw = _data(item, extensions)
    return make_event(
        source=_text(item, "source"),
        id=_text(item, "id"),
        type=_text(item, "type"),
        subject=_text(item, "subject") if item.get("subject") is not None else None,
        subscription=_text(item, "subscription") if item.get("subscription") is not None else None,
        time=_time(item),
        data=data,
        extensions=extensions,
        flaw=flaw,
    )


def make_event(
    *,
    source: str,
    id: str,
    type: str,
    subject: str | None,
    subscription: str | None,
    time: datetime | None,
    data: Any,
    extensions: dict[str, Any] | None = None,
    flaw: str = "",
) -> Event:
    """Return the event of attributes that have been checked, with its key and payload hash."""
    content = properties.canonical_bytes(data)
    return Event(
        event_key(source, id),
        _payload_hash(type, subject, subscription, content),
        source,
        id,
        type,
        subject,
        subscription,
        time,
        data,
        extensions,
        flaw,
        content,
    )


def plain_events(found: Sequence[PlainlySent]) -> list[Event]:
    """Return the same events as `read_event`, in a third of the time.

    :raises ValueError: if it takes more than a glance to read one's time.
    """
    sources, ids = [sent.source for sent in found], [sent.id for sent in found]
    types, subjects = [sent.type for sent in found], [sent.subject for sent in found]
    subscriptions = [sent.subscription for sent in found]
    data = [sent.data or {} for sent in found]
    times = [sent.time for sent in found]
    if any(time is not None and len(time) > _USUAL_TIME for time in times):
        raise ValueError("A time is longer than usual.")
    payloads = zip(types, subjects, subscriptions, data, strict=True)
    columns = Columns(
        _hashed_each(_naming(sources, ids)),
        _hashed_each(properties.canonical_lines(list(payloads))),
        sources,
        ids,
        types,
        subjects,
        subscriptions,
        [None if time is None else _remembered_time(time) for time in times],
        data,
        [None] * len(found),
        [""] * len(found),
        properties.canonical_lines(data),
    )
    return list(map(_event, zip(*columns, strict=True)))


_event: Callable[[Iterable[Any]], Event] = partial(tuple.__new__, Event)
"""Do as `Event._make`, without a call of Python for each."""


def _payload_hash(type: str, subject: str | None, subscription: str | None, data: bytes) -> bytes:
    return _hashed(properties.canonical_bytes([type, subject, subscription, msgspec.Raw(data)]))


def event_key(source: str, id: str) -> bytes:
    """Return the 16 bytes that stand for (source, id) for ever (R7)."""
    [key] = _hashed_each(_naming([source], [id]))
    return key


def _naming(sources: Sequence[str], ids: Sequence[str]) -> list[bytes]:
    """Return what tells each (source, id) apart."""
    before = {source: f"{len(source)}:{source}".encode() for source in set(sources)}
    return [before[source] + id.encode() for source, id in zip(sources, ids, strict=True)]


_NOTHING_HASHED = blake2b(digest_size=16)


def _hashed(content: bytes) -> bytes:
    [found] = _hashed_each([content])
    return found


def _hashed_each(contents: Iterable[bytes]) -> list[bytes]:
    """Return 16 bytes of BLAKE2b of each; copying what has hashed nothing is half the work of
    making it."""
    copy, found = _NOTHING_HASHED.copy, []
    for content in contents:
        digest = copy()
        digest.update(content)
        found.append(digest.digest())
    return found


def written(event: Event) -> str:
    """Return the JSON text from which `read_event` reads the same event."""
    item = {
        "specversion": "1.0",
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "subject": event.subject,
        "subscription": event.subscription,
        "time": event.time.isoformat() if event.time else None,
        "data": event.data,
        **(event.extensions or {}),
    }
    return properties.canonical({name: value for name, value in item.items() if value is not None})


class OutOfReach(ValueError):
    """A time that is one, but before 1970 or after 2999 in UTC."""


def read_time(text: str) -> datetime:
    """Read an RFC 3339 time with its offset; what is finer than a microsecond is cut off.

    A leap second is the first instant of the next minute.

    :raises OutOfReach: if it is not between 1970 and 2999 in UTC.
    :raises ValueError: if it is no such time.
    """
    if (match := _TIME.fullmatch(text)) is None:
        raise ValueError(text)
    day, minute, second, fraction, offset = match.groups()
    leap = second == "60"
    if leap or fraction:
        fraction = ".0" if leap else fraction[:7]
        text = f"{day}T{minute}{'59' if leap else second}{fraction}{offset}"
    moment = datetime.fromisoformat(text if offset == "Z" else text.upper())
    try:
        if offset != "Z":
            moment = moment.astimezone(UTC)
        if leap:
            moment += timedelta(seconds=1)
    except OverflowError:
        raise OutOfReach(text) from None
    if moment.year not in _YEARS:
        raise OutOfReach(text)
    return moment


_USUAL_TIME = 40  # characters; a fraction can have as many digits as a body has room for
_remembered_time = lru_cache(maxsize=5_000)(read_time)


def _text(item: Mapping[str, Any], name: str) -> str:
    value = item.get(name)
    if value is None:
        raise NotAnEvent(f"missing_{name}", f"An event needs its {name}.", item=item)
    if type(value) is str and 0 < len(value) < 256 and value.isprintable():
        return value  # as nearly all are: a call saved
    return check_text(value, name, item=item)


def check_text(value: Any, name: str, *, item: Any = None) -> str:
    """Return an attribute that names something, if it is fit to.

    :raises NotAnEvent: unless it is a text of 1 to 255 characters without controls.
    """
    if not isinstance(value, str) or not 0 < len(value) < 256:
        raise NotAnEvent(f"bad_{name}", f"The {name} is a text of 1 to 255 characters.", item=item)
    if not value.isprintable() and _UNWANTED.search(value):
        raise NotAnEvent(f"bad_{name}", f"The {name} has a control character.", item=item)
    return value


def _time(item: Mapping[str, Any]) -> datetime | None:
    text = item.get("time")
    if text is None:
        return None
    try:
        return (_remembered_time if len(text) <= _USUAL_TIME else read_time)(text)
    except (ValueError, TypeError, OverflowError):
        raise NotAnEvent(
            "bad_time",
            "The time is RFC 3339 with an offset, such as 2026-11-01T12:00:00Z, from 1970 to 2999.",
            item=item,
        ) from None


def _data(item: Mapping[str, Any], extensions: Mapping[str, Any] | None) -> tuple[Any, str]:
    """Return the data, and what keeps it from being counted, if something does."""
    data = item.get("data")
    flaws: list[str] = []
    if data is None:
        data = {}
        if (encoded := item.get("data_base64")) is not None:
            data = _decoded(encoded, flaws)
    if not _is_harmless(data):
        _inspect((data,), item, flaws, depth=2)
    if extensions:
        _inspect((extensions,), item, flaws, depth=1)
    if not isinstance(data, dict):
        return data, "The data is not a JSON object."
    return data, flaws[0] if flaws else ""


def _decoded(encoded: Any, flaws: list[str]) -> Any:
    """Return the JSON that a sender hid in base64, as some do with every payload in bytes."""
    try:
        return properties.read(b64decode(encoded, validate=True))
    except (ValueError, TypeError, ArithmeticError, RecursionError):
        flaws.append("The data in data_base64 is not JSON in base64.")
        return {}


def _is_harmless(data: Any) -> bool:
    """Say whether there is nothing to inspect, as with nearly all that is sent."""
    if type(data) is not dict:
        return False
    for name, value in data.items():
        kind = type(value)
        if not name.isprintable() or not (
            (kind is int and _LOWEST < value < _HIGHEST) or (kind is str and value.isprintable())
        ):
            return False
    return True


def _inspect(
    values: Iterable[Any], item: Mapping[str, Any], flaws: list[str], *, depth: int
) -> None:
    """Refuse what can't be kept, and note numbers that can be kept but never counted."""
    for value in values:
        kind = type(value)
        if kind is str:
            if not value.isprintable() and _UNWRITABLE.search(value):
                raise NotAnEvent("bad_text", "A text has NUL or half a surrogate pair.", item=item)
        elif kind is int:
            if not _LOWEST < value < _HIGHEST:
                flaws.append("A number has more than 100 digits.")
        elif kind is Decimal:
            if not value.is_finite():
                raise NotAnEvent("bad_number", "A number is out of all bounds.", item=item)
            if not properties.is_bounded(value):
                flaws.append(f"The number {value} is out of bounds.")
        elif kind is dict or kind is list:
            if depth > DEPTH_LIMIT:
                message = f"An event is up to {DEPTH_LIMIT} levels deep."
                raise NotAnEvent("too_deep", message, item=item)
            _inspect(value, item, flaws, depth=depth + 1)
            if kind is dict:
                _inspect(value.values(), item, flaws, depth=depth + 1)


def _shown(item: Any, name: str) -> str | None:
    """Return an attribute so that it can be written in an answer."""
    value = item.get(name) if isinstance(item, dict) else None
    return _UNWANTED.sub("\ufffd", value)[:255] if isinstance(value, str) else None
