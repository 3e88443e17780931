"""Servers that are not Stripe: what stands between it and the tap, or answers in its place."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, cast

from typing_extensions import override

from tap_stripe_conn.api.client import StripeClient
from tap_stripe_conn.api.limits import Limiter
from tap_stripe_conn.connection.auth import ApiKeyAuthenticator

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

    from tests.fake_stripe import FakeStripe

API_VERSION = "2026-10-28.endive"


def client_of(
    stripe: FakeStripe | None = None,
    *,
    base: str | None = None,
    key: str | None = None,
    account_id: str | None = None,
    limiter: Limiter | None = None,
) -> StripeClient:
    """A client of the server, or of what listens at `base`; without `limiter`, it is not paced."""
    secret = key or (stripe.secret_key if stripe else "a key")
    return StripeClient(
        base=base or (stripe.url if stripe else ""),
        auth=ApiKeyAuthenticator(secret, account_id),
        limiter=limiter or Limiter(rate=10_000, endpoint_rate=10_000),
        api_version=API_VERSION,
        user_agent="tap-stripe-conn/1.2.3",
    )


class Recorder(ThreadingHTTPServer):
    """Says `{"recorded": true}` to everything, and remembers the request lines."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Recording)
        self.lines: list[str] = []
        self.scheme = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_address[1]}"

    @override
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is no news."""


class _Recording(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        cast("Recorder", self.server).lines.append(self.requestline)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"recorded": true}')

    def do_CONNECT(self) -> None:
        cast("Recorder", self.server).lines.append(self.requestline)
        self.send_error(403)

    @override
    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def recording(context: ssl.SSLContext | None = None) -> Iterator[Recorder]:
    """A recorder, over TLS if there is a context for it."""
    with Recorder() as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
            server.scheme = "https"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@contextmanager
def answering_with(answer: bytes) -> Iterator[str]:
    """A server whose every answer is these bytes, after which it keeps silent. Gives its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            kept = []
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    break
                connection.recv(65_536)
                connection.sendall(answer)
                kept.append(connection)
            for connection in kept:
                connection.close()

        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        # Closing alone does not wake the thread that accepts.
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


@contextmanager
def accepting_nobody() -> Iterator[str]:
    """A server whose queue of connections is full. Gives its URL."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listening:
        waiting = []
        for _ in range(4):
            connection = socket.socket()
            connection.settimeout(0)
            connection.connect_ex(listening.getsockname())
            waiting.append(connection)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        for connection in waiting:
            connection.close()
