"""Bodies are read one way only, or refused with a reason."""

from __future__ import annotations

import io
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest
from django.test import RequestFactory
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.exceptions import ParseError

from config.base.api.parsing import BODY_LIMIT, read_body, read_json
from config.base.api.problems import TooLarge, pointer
from config.base.errors import Invalid


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(b"", "not JSON", id="nothing"),
        pytest.param(b"{'a': 1}", "not JSON", id="single quotes"),
        pytest.param(b'{"a": 1} x', "not JSON", id="something after the end"),
        pytest.param(b'{"a": "\t"}', "not JSON", id="a raw control character"),
        pytest.param(b"\xef\xbb\xbf{}", "not JSON", id="a byte order mark"),
        pytest.param(b'{"a": "\xff"}', "not UTF-8", id="Latin-1"),
        pytest.param('{"a": 1}'.encode("utf-16"), "not UTF-8", id="UTF-16"),
        pytest.param(b"[" * 5000, "20 levels", id="5,000 brackets"),
        pytest.param(b'{"a":' * 21 + b"1" + b"}" * 21, "20 levels", id="21 objects"),
        pytest.param(b'{"a": NaN}', "NaN", id="NaN"),
        pytest.param(b'{"a": -Infinity}', "-Infinity", id="minus infinity"),
        pytest.param(b'{"a": 1e400}', "out of bounds", id="infinity, spelled as a number"),
        pytest.param(b'{"a": 1e-999999}', "out of bounds", id="next to nothing"),
        pytest.param(b'{"a": 1e99999999999999999999}', "out of bounds", id="no decimal either"),
        pytest.param(b'{"a": ' + b"9" * 10_000 + b"}", "100 characters", id="10,000 digits"),
        pytest.param(b'{"a": 0.' + b"9" * 10_000 + b"}", "100 characters", id="10,000 decimals"),
        pytest.param(b'"' + b'\\"' * 500_000, "not JSON", id="a megabyte of escaped quotes"),
    ],
)
def test_a_body_that_is_refused(text: bytes, message: str) -> None:
    with pytest.raises(ParseError, match=message):
        read_json(text)


@pytest.mark.parametrize(
    ("text", "pointers"),
    [
        pytest.param(b'{"a": 1, "a": 1}', ["/a"], id="a name twice"),
        pytest.param(b'{"a": [{"b": 1, "b": 2, "c": 1, "c": 2}]}', ["/a/0/b", "/a/0/c"], id="deep"),
        pytest.param(rb'{"a": "x\u0000"}', ["/a"], id="NUL"),
        pytest.param(rb'{"a": ["", "\ud800"]}', ["/a/1"], id="half a surrogate pair"),
        pytest.param(rb'{"a/b~\u0000": 1}', ["/a~1b~0\ufffd"], id="NUL in a name"),
    ],
)
def test_a_body_with_faults_names_each(text: bytes, pointers: list[str]) -> None:
    with pytest.raises(Invalid) as refusal:
        read_json(text)
    assert [pointer(fault.path) for fault in refusal.value.faults] == pointers


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param(b'{"a": 0.1}', {"a": Decimal("0.1")}, id="a decimal, exactly"),
        pytest.param(b'{"a": 10}', {"a": 10}, id="a whole number"),
        pytest.param(b'{"a": 1E2}', {"a": Decimal("1E+2")}, id="an exponent, for who wants it"),
        pytest.param(rb'{"a": "\ud83d\ude00"}', {"a": "😀"}, id="a whole surrogate pair"),
        pytest.param(b'{"a": "[[[[[[[[[[[[[[[[[[[[["}', {"a": "[" * 21}, id="brackets in a text"),
        pytest.param(b'{"a":' * 20 + b"1" + b"}" * 20, None, id="20 levels"),
    ],
)
def test_a_body_that_is_read(text: bytes, value: Any) -> None:
    read = read_json(text)
    assert value is None or (read == value and not isinstance(read["a"], float))


@given(st.binary(max_size=200) | st.text(alphabet='{}[]",:\\ue019 \x00', max_size=60))
def test_no_body_is_a_crash(body: bytes | str) -> None:
    with suppress(ParseError, Invalid):
        read_json(body if isinstance(body, bytes) else body.encode())


def sent(body: bytes, **meta: Any) -> HttpRequest:
    """Return a request as the server hands it over: its body in `wsgi.input`, unread."""
    request = RequestFactory().post("/", body, content_type="application/json")
    return WSGIRequest({**request.META, "wsgi.input": io.BytesIO(body), **meta})


def chunked(body: bytes) -> HttpRequest:
    return sent(
        body,
        CONTENT_LENGTH="",
        HTTP_TRANSFER_ENCODING="chunked",
        **{"wsgi.input_terminated": True},
    )


def test_a_chunked_body_arrives_whole() -> None:
    request = chunked(b'{"a": 1}')
    assert read_body(request) == request.body == b'{"a": 1}'


def test_a_chunked_body_is_read_up_to_the_limit() -> None:
    request = chunked(b"x" * 3 * BODY_LIMIT)
    with pytest.raises(TooLarge):
        read_body(request)
    assert request.META["wsgi.input"].tell() == BODY_LIMIT + 1


def test_a_long_body_is_refused_unread() -> None:
    request = sent(b"x" * (BODY_LIMIT + 1))
    with pytest.raises(TooLarge):
        read_body(request)
    assert request.META["wsgi.input"].tell() == 0


def test_a_body_cut_short_is_refused() -> None:
    with pytest.raises(ParseError, match="too early"):
        read_body(sent(b"{}", CONTENT_LENGTH="100"))


def test_a_body_is_read_once_and_kept() -> None:
    request = sent(b"{}")
    assert [read_body(request), read_body(request), request.body] == [b"{}"] * 3
