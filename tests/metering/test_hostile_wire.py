"""Hostile requests by raw sockets against a real server: refused, never a crash nor a wrong total."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).parent.parent.parent
MIB = 1024 * 1024


class Server(NamedTuple):
    port: int
    key: str


def event(number: int, **data: Any) -> bytes:
    said = {"id": f"wire-{number}", "source": "wire", "type": "api.call", "subject": "acme"}
    return json.dumps({**said, "data": {"calls": 1, **data}}).encode()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A gunicorn of two workers on an installation of its own, where acme's calls are counted."""
    data = tmp_path_factory.mktemp("wire")
    hidden = ("DATABASE_URL", "CELERY_BROKER_URL", "DJANGO_SETTINGS_MODULE")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment["DATA_DIR"] = str(data)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    manage = [sys.executable, "manage.py"]
    run(*manage, "migrate", "-v", "0", env=environment)
    told = run(*manage, "create_api_key", "wire", "--scope", SCOPES, env=environment)
    gunicorn = [sys.executable, "-m", "gunicorn", "config.wsgi", "--bind", f"127.0.0.1:{port}"]
    with (data / "log").open("w") as log:
        process = subprocess.Popen(
            [*gunicorn, "--workers", "2"], cwd=ROOT, env=environment, stderr=log
        )
        try:
            found = Server(port, told.split()[-1])
            wait_for(found)
            post(found, "customers", {"key": "acme", "name": "Acme", "currency": "EUR"})
            post(found, "metrics", METRIC)
            yield found
        finally:
            process.terminate()
            process.wait(timeout=30)
    assert "Traceback" not in (data / "log").read_text()


SCOPES = "events:write,events:read,catalog:write,customers:read,customers:write"
METRIC = {
    "key": "calls", "name": "Calls", "unit": "call", "unit_plural": "calls",
    "kind": "consumption", "event_type": "api.call", "aggregation": "sum",
    "value_property": "calls",
}  # fmt: skip


def run(*command: str, env: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True, text=True)
    return done.stdout


def wait_for(server: Server) -> None:
    for _ in range(100):
        try:
            assert talk(server, b"GET /api/v1/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError


def talk(server: Server, *parts: bytes, then_close: bool = False) -> bytes:
    """Send raw bytes and return all that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as line:
        try:
            for part in parts:
                line.sendall(part)
            if then_close:
                line.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it hung up on what it need not read; its answer is there all the same
        found = b""
        try:
            while part := line.recv(65536):
                found += part
                if _is_whole(found):
                    break
        except OSError:
            pass
        return found


def _is_whole(answer: bytes) -> bool:
    head, _, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    return bool(length) and len(body) >= int(length[1]) if length else b" 204 " in head


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


def head(server: Server, *lines: str, path: str = "events") -> bytes:
    usual = [
        f"POST /api/v1/{path} HTTP/1.1",
        "Host: localhost",
        f"Authorization: Bearer {server.key}",
    ]
    return "\r\n".join([*usual, *lines, "", ""]).encode("latin-1")


def plain(server: Server, body: bytes, *lines: str, path: str = "events") -> bytes:
    said = ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return head(server, *said, *lines, path=path) + body


def chunked(server: Server, *chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    parts = [b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks]
    lines = ("Content-Type: application/json", "Transfer-Encoding: chunked")
    return head(server, *lines) + b"".join(parts) + end


def post(server: Server, path: str, body: dict[str, Any]) -> None:
    answer = talk(server, plain(server, json.dumps(body).encode(), path=path))
    assert status(answer) == 201, answer


def counted(server: Server) -> int:
    query = "metric=calls&from=2020-01-01&to=2035-01-01&granularity=month"
    request = head(server, path=f"customers/acme/usage?{query}").replace(b"POST", b"GET", 1)
    answer = talk(server, request)
    assert status(answer) == 200, answer
    return int(json.loads(answer.partition(b"\r\n\r\n")[2])["total"]["quantity"])


def test_a_body_in_chunks_arrives_whole(server: Server) -> None:
    before = counted(server)
    body = event(1)
    assert status(talk(server, chunked(server, body))) == 204
    assert status(talk(server, chunked(server, *(bytes([byte]) for byte in event(2))))) == 204
    batch = b"[" + b",".join(event(n) for n in range(3, 1003)) + b"]"
    pieces = [batch[start : start + 7777] for start in range(0, len(batch), 7777)]
    assert b"accepted=1000" in talk(server, chunked(server, *pieces))
    assert b"duplicates=1" in talk(server, chunked(server, body[:10], body[10:]))
    assert counted(server) == before + 1002


def test_a_body_of_exactly_the_limit_is_taken_and_a_byte_more_is_not(server: Server) -> None:
    before = counted(server)
    body = event(2001)
    full = body + b" " * (8 * MIB - len(body))
    assert status(talk(server, plain(server, full))) == 204
    assert status(talk(server, chunked(server, full[:MIB], full[MIB:]))) == 204
    assert status(talk(server, plain(server, full + b" "))) == 413
    assert status(talk(server, chunked(server, full, b" "))) == 413
    assert counted(server) == before + 1


def by_http_client(server: Server, path: str, key: str, body: bytes, in_chunks: bool) -> int:
    line = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    said = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    pieces = (body[start : start + MIB] for start in range(0, len(body), MIB))
    sent: Any = pieces if in_chunks else body
    line.request("POST", path, sent, said, encode_chunked=in_chunks)
    answer = line.getresponse()
    assert json.loads(answer.read())["status"] == answer.status
    return answer.status


def by_curl(server: Server, path: str, key: str, body: bytes, in_chunks: bool) -> int:
    lines = [f"Authorization: Bearer {key}", "Content-Type: application/json", "Expect:"]
    lines += ["Transfer-Encoding: chunked"] * in_chunks
    command = ["curl", "-sS", "--data-binary", "@-", f"http://127.0.0.1:{server.port}{path}"]
    for said in lines:
        command += ["-H", said]
    done = subprocess.run(command, input=body, capture_output=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    return int(json.loads(done.stdout)["status"])


@pytest.mark.parametrize("in_chunks", [False, True], ids=["with its length", "in chunks"])
@pytest.mark.parametrize("client", [by_http_client, by_curl])
@pytest.mark.parametrize(
    ("path", "key", "size", "expected"),
    [
        pytest.param("/api/v1/events", "", 9 * MIB, 413, id="events beyond 8 MiB"),
        pytest.param("/api/v1/events", "", 60 * MIB, 413, id="60 MiB of events"),
        pytest.param("/api/v1/events/batch", "", 9 * MIB, 413, id="Lago's, beyond 8 MiB"),
        pytest.param("/api/v1/metrics", "", 5 * MIB, 413, id="a metric beyond 1 MiB"),
        pytest.param("/api/v1/events", "wrong", 5 * MIB, 401, id="an unknown key"),
        pytest.param("/api/v1/billing/runs", "", 5 * MIB, 403, id="a scope that is missing"),
        pytest.param("/api/v1/nowhere", "", 5 * MIB, 404, id="nothing there"),
        pytest.param("/api/v1/customers/acme/usage", "", 5 * MIB, 405, id="nothing to post to"),
    ],
)
def test_usual_clients_get_the_answer_to_a_body_that_is_not_read(
    server: Server, path: str, key: str, size: int, expected: int, client: Any, in_chunks: bool
) -> None:
    body = b" " * size
    assert client(server, path, key or server.key, body, in_chunks) == expected


def test_a_sender_that_sends_nothing_waits_seconds_for_its_refusal(server: Server) -> None:
    started = time.monotonic()
    lines = ("Content-Type: application/json", "Content-Length: 99999999")
    assert status(talk(server, head(server, *lines))) == 413
    assert time.monotonic() - started < 15


REFUSED = {400, 411, 413, 415, 501}


@pytest.mark.parametrize(
    ("request_of", "expected"),
    [
        pytest.param(lambda s: plain(s, b" " * (50 * MIB)), {413}, id="50 MiB"),
        pytest.param(lambda s: chunked(s, *[b" " * MIB] * 50), {413}, id="50 MiB in chunks"),
        pytest.param(lambda s: head(s, "Content-Type: application/json", "Content-Length: 99999999999"),
                     {413}, id="a length beyond all, and no body"),
        pytest.param(lambda s: plain(s, event(9001), "Content-Length: 5"), REFUSED, id="two lengths"),
        pytest.param(lambda s: plain(s, event(9002), "Transfer-Encoding: chunked"), REFUSED,
                     id="a length and chunks"),
        pytest.param(lambda s: head(s, "Content-Type: application/json", "Content-Length: -5") + event(9003),
                     REFUSED, id="a negative length"),
        pytest.param(lambda s: head(s, "Content-Type: application/json", "Content-Length: 1e2") + event(9004),
                     REFUSED, id="a length that is no number"),
        pytest.param(lambda s: head(s, "Content-Type: application/json", "Transfer-Encoding: xchunked")
                     + event(9005), REFUSED, id="an unknown coding"),
        pytest.param(lambda s: head(s, "Content-Type: application/json",
                                    "Transfer-Encoding: chunked, identity") + event(9006), REFUSED,
                     id="chunks inside something else"),
        pytest.param(lambda s: head(s, "Content-Type: application/json", "Transfer-Encoding: chunked")
                     + b"zz\r\n" + event(9007), REFUSED, id="a chunk whose size is no number"),
        pytest.param(lambda s: head(s, "Content-Type: application/json", "Transfer-Encoding: chunked")
                     + b"-5\r\n" + event(9008), REFUSED, id="a chunk of negative size"),
        pytest.param(lambda s: chunked(s, event(9009), end=b"0\r\nbad trailer\r\n\r\n"), REFUSED,
                     id="a trailer that is none"),
        pytest.param(lambda s: chunked(s, event(9010)).replace(b"}\r\n0", b"}XX0"), REFUSED,
                     id="a chunk that goes on"),
        pytest.param(lambda s: head(s, "Content-Type: application/json"), REFUSED, id="no body at all"),
        pytest.param(lambda s: chunked(s), REFUSED, id="no chunk at all"),
        pytest.param(lambda s: plain(s, gzip.compress(event(9011)), "Content-Encoding: gzip"), REFUSED,
                     id="compressed"),
        pytest.param(lambda s: plain(s, event(9012).decode().encode("utf-16")), REFUSED, id="UTF-16"),
        pytest.param(lambda s: plain(s, b"\xef\xbb\xbf" + event(9013)), REFUSED, id="a byte order mark"),
        pytest.param(lambda s: plain(s, b'{"a":' * 100_000), REFUSED, id="100,000 levels"),
        pytest.param(lambda s: plain(s, b"[" * 4_000_000 + b"]" * 4_000_000), REFUSED, id="4,000,000 levels"),
        pytest.param(lambda s: plain(s, b"1" * 8_000_000), REFUSED, id="a number of 8,000,000 digits"),
        pytest.param(lambda s: plain(s, b"[" + b"1e999999," * 900_000 + b"1]"), REFUSED,
                     id="900,000 numbers beyond bounds"),
        pytest.param(lambda s: plain(s, b'"' + b"\\ud800" * 1_000_000 + b'"'), REFUSED,
                     id="a million half pairs"),
        pytest.param(lambda s: head(s, "ce-id: a\x00b", "ce-source: s", "ce-type: t", "Content-Length: 0"),
                     REFUSED, id="NUL in a header"),
        pytest.param(lambda s: head(s, *[f"ce-x{n}: 1" for n in range(500)], "Content-Length: 0"),
                     {400, 431}, id="500 headers"),
        pytest.param(lambda s: head(s, "ce-id: " + "x" * 100_000, "Content-Length: 0"), {400, 431},
                     id="an endless header"),
    ],
)  # fmt: skip
def test_what_is_hostile_is_refused(server: Server, request_of: Any, expected: set[int]) -> None:
    before = counted(server)
    assert status(talk(server, request_of(server))) in expected
    assert counted(server) == before


@pytest.mark.parametrize(
    "cut",
    [
        pytest.param(lambda s: head(s, "Content-Type: application/json", "Content-Length: 500")
                     + event(9100), id="within a length"),
        pytest.param(lambda s: chunked(s, event(9101), end=b""), id="before the last chunk"),
        pytest.param(lambda s: chunked(s, event(9102), end=b"ff\r\n{"), id="within a chunk"),
    ],
)  # fmt: skip
def test_a_sender_that_hangs_up_halfway_stores_nothing(server: Server, cut: Any) -> None:
    before = counted(server)
    assert status(talk(server, cut(server), then_close=True)) in {0, 400}
    assert counted(server) == before


def test_a_body_of_half_a_million_names_is_stored_or_refused(server: Server) -> None:
    names = {f"p{n}": n for n in range(500_000)}
    started = time.monotonic()
    assert status(talk(server, plain(server, event(9200, **names)))) in {204, 400, 413}
    assert time.monotonic() - started < 20


def test_an_underscore_makes_no_attribute(server: Server) -> None:
    """Else `ce_subject`, which proxies let pass, could stand in for `ce-subject`."""
    lines = ["ce-id: wire-9300", "ce-source: wire", "ce-type: api.call", "ce_subject: acme"]
    answer = talk(
        server,
        head(server, *lines, "Content-Length: 11", "Accept: application/json") + b'{"calls":1}',
    )
    assert b"unknown_customer" in answer or status(answer) == 400


def test_an_attribute_sent_twice_is_no_other_customers(server: Server) -> None:
    before = counted(server)
    lines = ["ce-id: wire-9301", "ce-source: wire", "ce-type: api.call", "ce-subject: nobody",
             "ce-subject: acme", "Accept: application/json"]  # fmt: skip
    talk(server, head(server, *lines, "Content-Length: 11") + b'{"calls":1}')
    assert counted(server) == before
