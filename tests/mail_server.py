"""A mail server for tests: it speaks as much SMTP as a client needs, and refuses what it is told to."""

from __future__ import annotations

import socketserver
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from threading import Thread
from typing import cast


@dataclass
class MailServer:
    """What the server got, and what it answers otherwise: by recipient, or to every message."""

    port: int = 0
    received: list[EmailMessage] = field(default_factory=list)
    recipients: dict[str, str] = field(default_factory=dict)
    """To RCPT of an address, such as {"a@b.test": "550 No such user"}."""
    sender: str = "250 OK"
    data: str = "250 Taken"
    hangs_up_after_data: bool = False
    """Whether it takes a message and then says nothing."""

    def answer_to(self, recipient: str) -> str:
        return self.recipients.get(recipient, "250 OK")


class _Conversation(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        told = cast(MailServer, self.server.told)  # type: ignore[attr-defined]
        self._say("220 mail.test ready")
        while line := self.rfile.readline().decode().strip():
            verb = line.upper()
            if verb.startswith("EHLO"):
                self._say("250 mail.test")
            elif verb.startswith("MAIL FROM"):
                self._say(told.sender)
            elif verb.startswith("RCPT TO"):
                self._say(told.answer_to(line.partition("<")[2].partition(">")[0]))
            elif verb == "DATA":
                self._say("354 Go on")
                content = self._content()
                if told.data.startswith("2"):
                    message = message_from_bytes(content, policy=default)
                    told.received.append(message)
                if told.hangs_up_after_data:
                    return
                self._say(told.data)
            elif verb == "QUIT":
                self._say("221 Bye")
                return
            else:
                self._say("250 OK")

    def _content(self) -> bytes:
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        return b"".join(lines)

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


@contextmanager
def mail_server() -> Iterator[MailServer]:
    """Run a mail server on a free port of this machine."""
    told = MailServer()
    with _Server(("127.0.0.1", 0), _Conversation) as server:
        server.told = told  # type: ignore[attr-defined]
        told.port = server.server_address[1]
        thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield told
        finally:
            server.shutdown()
            thread.join()
