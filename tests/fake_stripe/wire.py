"""HTTP/1.1 on a socket: reads requests, writes answers, and breaks them where that is asked."""

from __future__ import annotations

import socket
import struct
import sys
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import ThreadingHTTPServer
from socketserver import StreamRequestHandler
from threading import Condition
from typing import TYPE_CHECKING, cast

from typing_extensions import override

from tests.fake_stripe.request import parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fake_stripe.request import Request

REASONS = {status.value: status.phrase for status in HTTPStatus}
CLOSING_SECONDS = 5


@dataclass(slots=True, kw_only=True)
class Answer:
    """What goes back over the wire."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    cut: str = ""
    """`reset`: half of the body, then a reset. `drop`: closed without a byte."""


class Wire(ThreadingHTTPServer):
    """A thread for each connection, on loopback."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, answer: Callable[[Request], Answer]) -> None:
        """Listen; port 0 takes a free one."""
        self.answer = answer
        self._open: set[socket.socket] = set()
        self._changed = Condition()
        super().__init__(("127.0.0.1", port), Connection)

    def opened(self, connection: socket.socket) -> None:
        """Remember a connection, to end it with the server."""
        with self._changed:
            self._open.add(connection)

    def closed(self, connection: socket.socket) -> None:
        """Forget a connection."""
        with self._changed:
            self._open.discard(connection)
            self._changed.notify_all()

    def end_connections(self) -> None:
        """Close what clients keep open, and wait until it is."""
        with self._changed:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue
            self._changed.wait_for(lambda: not self._open, CLOSING_SECONDS)

    @override
    def handle_error(self, request: object, client_address: object) -> None:
        """Let clients hang up; anything else is a defect of ours and must be seen."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class Connection(StreamRequestHandler):
    """One client's connection, kept alive."""

    disable_nagle_algorithm = True
    rbufsize = 1 << 16

    @override
    def handle(self) -> None:
        """Answer requests until the client hangs up."""
        wire = cast("Wire", self.server)
        wire.opened(self.connection)
        try:
            while self._one(wire):
                pass
        except (ConnectionError, TimeoutError):
            return
        finally:
            wire.closed(self.connection)

    def _one(self, wire: Wire) -> bool:
        line = self.rfile.readline(65537)
        if not line.strip():
            return False
        try:
            method, target, version = line.decode("latin-1").split()
        except ValueError:
            self._send(Answer(status=400, body=b"{}"), keep=False)
            return False
        headers: dict[str, str] = {}
        while (line := self.rfile.readline(65537)) not in (b"\r\n", b"\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        length = int(headers.get("content-length") or 0)
        body = self.rfile.read(length) if length else b""
        keep = headers.get("connection", "").lower() != "close" and version == "HTTP/1.1"
        answer = wire.answer(parse(method, target, headers, body))
        if answer.cut:
            self._break(answer)
            return False
        self._send(answer, keep=keep)
        return keep

    def _send(self, answer: Answer, *, keep: bool) -> None:
        head = _head(answer, keep=keep)
        # In one packet where that is short, without a copy of the body where it is long.
        sent = self.connection.sendmsg([head, answer.body])
        if sent < len(head) + len(answer.body):
            self.connection.sendall(head[sent:])
            self.connection.sendall(memoryview(answer.body)[max(0, sent - len(head)) :])

    def _break(self, answer: Answer) -> None:
        if answer.cut == "reset":
            half = answer.body[: len(answer.body) // 2]
            self.connection.sendall(_head(answer, keep=True) + half)
        # Closing with linger 0 sends RST instead of FIN.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


def _head(answer: Answer, *, keep: bool) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} {REASONS.get(answer.status, 'Unknown')}"]
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    lines.append(f"Content-Length: {len(answer.body)}")
    lines.append(f"Connection: {'keep-alive' if keep else 'close'}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
