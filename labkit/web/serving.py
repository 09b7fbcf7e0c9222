"""What the models of web systems share: answers, and how one leaves the server."""

from __future__ import annotations

import os
import urllib.parse
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

HOST = "127.0.0.1"
#: The share of a body that is sent when it is cut.
SENT = 0.6


@dataclass
class Reply:
    """What is sent: ``cut`` is how the body is damaged, if it is."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: str = ""
    kind: str = "application/json"

    @property
    def sent(self) -> bytes:
        """The bytes of the body that leave the server."""
        return self.body[: int(len(self.body) * SENT)] if self.cut else self.body


class Handler(BaseHTTPRequestHandler):
    """Reads one request, asks :meth:`reply`, and sends what it says."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 30

    def reply(self, path: str, query: dict[str, str], form: dict[str, str]) -> Reply:
        """The answer to one request; its method and headers stand in ``self``."""
        raise NotImplementedError

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        # No client here reuses a connection: none is left open when a client is forgotten.
        self.close_connection = True
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        address = urllib.parse.urlsplit(self.path)
        reply = self.reply(
            address.path,
            dict(urllib.parse.parse_qsl(address.query)),
            dict(urllib.parse.parse_qsl(body.decode("utf-8", "replace"))),
        )
        self.send_response(reply.status)
        if reply.body:
            self.send_header("Content-Type", reply.kind)
        if reply.cut != "cut" and reply.status != 304:
            self.send_header("Content-Length", str(len(reply.body)))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(reply.sent)

    def log_message(self, *_about: Any) -> None:
        pass


def no_proxy() -> None:
    """Ask this machine's own addresses directly: a learner's proxy knows nothing of them."""
    for name in ("NO_PROXY", "no_proxy"):
        kept = [host for host in os.environ.get(name, "").split(",") if host and host != HOST]
        os.environ[name] = ",".join([*kept, HOST])
