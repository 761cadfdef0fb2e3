"""What senders put on the wire: a proxy that passes bytes on and keeps those that were sent."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self


class Recorder:
    """Listens on a free port and passes every connection on to `target`, unchanged."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.sent: list[bytearray] = []
        recorder = self

        class Pass(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                kept = bytearray()
                recorder.sent.append(kept)
                with socket.create_connection(target) as onward:
                    back = threading.Thread(target=_pump, args=(onward, self.request, None))
                    back.start()
                    _pump(self.request, onward, kept)
                    back.join()

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Pass)
        self._server.daemon_threads = True

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def requests(self, *, secret: str) -> list[dict[str, Any]]:
        """Return what was sent so far, request by request, the secret replaced."""
        found = [request for raw in self.sent for request in _requests(bytes(raw))]
        return [_without(request, secret, self.address) for request in found]


def _pump(source: Any, sink: Any, kept: bytearray | None) -> None:
    with contextlib.suppress(OSError):
        while part := source.recv(65536):
            if kept is not None:
                kept += part
            sink.sendall(part)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _requests(raw: bytes) -> Iterator[dict[str, Any]]:
    while raw:
        head, _, raw = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, path, _ = first.split(" ")
        headers = [line.split(": ", 1) for line in lines]
        named = {name.lower(): value for name, value in headers}
        chunked = named.get("transfer-encoding") == "chunked"
        if chunked:
            body, raw = _chunks(raw)
        else:
            size = int(named.get("content-length", 0))
            body, raw = raw[:size], raw[size:]
        yield {
            "method": method,
            "path": path,
            "headers": headers,
            "chunked": chunked,
            "body": body.decode(),
        }


def _chunks(raw: bytes) -> tuple[bytes, bytes]:
    body = b""
    while True:
        line, _, raw = raw.partition(b"\r\n")
        if (size := int(line, 16)) == 0:
            return body, raw[2:]
        body, raw = body + raw[:size], raw[size + 2 :]


def _without(request: dict[str, Any], secret: str, address: str) -> dict[str, Any]:
    host = address.removeprefix("http://")
    headers = [
        [name, value.replace(secret, "KEY").replace(host, "localhost")]
        for name, value in request["headers"]
    ]
    return {**request, "headers": headers}
