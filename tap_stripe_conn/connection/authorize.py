"""Stripe's authorization page: where a user is sent to consent, and how the code comes back.

Sources: https://docs.stripe.com/connect/oauth-reference,
https://docs.stripe.com/stripe-apps/api-authentication/oauth
"""

from __future__ import annotations

import errno
import hmac
import html
import os
import queue
import re
import secrets
import socket
import socketserver
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, ClassVar, Final, Literal, TypeAlias
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

from typing_extensions import override

from tap_stripe_conn.config import sound_address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from urllib.parse import SplitResult

Scope: TypeAlias = Literal["read_write", "read_only"]

APPS_AUTHORIZE: Final = "https://marketplace.stripe.com/oauth/v2/authorize"
CONNECT_AUTHORIZE: Final = "/oauth/authorize"
"""Below `connect_base`."""

REDIRECT_URI: Final = "http://localhost:8721/stripe"
"""Stripe redirects only to what is registered with it, so the port is always the same."""

TIME_LIMIT: Final = 600.0
"""Seconds that a user has to log in, choose an account and consent."""

_HTTP: Final = 80
_CODE: Final = re.compile(r"ac_\w+", re.ASCII)
_LOCALHOST: Final = ("127.0.0.1", "::1")
"""What a browser may take `localhost` for."""


class AuthorizationError(Exception):
    """There is no code; `str()` is one clause for people that says why."""


class NotAnAnswerError(AuthorizationError):
    """What came is not Stripe's answer to this authorization, which may still come."""


@dataclass(frozen=True, slots=True)
class Authorization:
    """One request for a user's consent."""

    url: str = field(repr=False)
    """What the user opens."""

    redirect_uri: str
    """Where Stripe sends the browser with its answer; registered with Stripe."""

    state: str = field(repr=False)
    """What nobody can guess, and the answer repeats."""

    @classmethod
    def connect(
        cls, page: str, *, client_id: str, redirect_uri: str, scope: Scope
    ) -> Authorization:
        """By a platform of Stripe Connect.

        Args:
            page: Stripe's, `{connect_base}/oauth/authorize`.
            client_id: `ca_…` of the platform.
            redirect_uri: Registered with the platform.
            scope: What is asked for; Stripe lets platforms ask for `read_write` only.
        """
        asked = {"response_type": "code", "client_id": client_id, "scope": scope}
        return cls._of(page, asked, redirect_uri)

    @classmethod
    def apps(cls, page: str, *, client_id: str, redirect_uri: str) -> Authorization:
        """By a Stripe App, whose manifest says what it may do.

        Args:
            page: Stripe's, `APPS_AUTHORIZE` or the app's own install or test link.
            client_id: `ca_…` of the app.
            redirect_uri: One of the manifest's `allowed_redirect_uris`.
        """
        return cls._of(page, {"client_id": client_id}, redirect_uri)

    @classmethod
    def _of(cls, page: str, asked: Mapping[str, str], redirect_uri: str) -> Authorization:
        state = secrets.token_urlsafe(32)
        parts = urlsplit(page)
        query = {**_query(parts.query), **asked, "redirect_uri": redirect_uri, "state": state}
        url = urlunsplit(parts._replace(query=urlencode(query), fragment=""))
        return cls(url, redirect_uri, state)

    def pasted(self, text: str) -> str:
        """The code in what a user pasted: the code itself, or the address that Stripe led to.

        Raises:
            NotAnAnswerError: It is neither, or belongs to another authorization.
            AuthorizationError: The owner did not consent, or Stripe refused to ask.
        """
        text = text.strip()
        query = _query_of(text)
        return self.answered(query) if query else code_in(text)

    def answered(self, query: str) -> str:
        """The code in the query of the address that Stripe led the browser to.

        Raises:
            NotAnAnswerError: It belongs to another authorization.
            AuthorizationError: The owner did not consent, or Stripe refused to ask.
        """
        answer = _query(query)
        state = answer.get("state")
        denied = "error" in answer
        # Stripe's example of a denial has no state; whoever forges one gains nothing by it.
        if not (denied and state is None) and not self._ours(state or ""):
            msg = (
                "this answer belongs to another authorization (its `state` differs); use the link "
                "that was printed last"
            )
            raise NotAnAnswerError(msg)
        if denied:
            said = _printable(answer.get("error_description") or "no reason is given")
            msg = f"Stripe did not authorize: {said} ({_printable(answer['error'])})"
            raise AuthorizationError(msg)
        code = answer.get("code", "")
        if not _CODE.fullmatch(code):
            msg = "Stripe's answer holds no code (ac_…)"
            raise NotAnAnswerError(msg)
        return code

    def _ours(self, state: str) -> bool:
        return hmac.compare_digest(state.encode(), self.state.encode())


def code_in(text: str) -> str:
    """The code in what a user gives: the code itself, or the address that Stripe led to.

    Whose answer it is can't be told without the `state` that was asked with.

    Raises:
        NotAnAnswerError: It is neither.
    """
    text = text.strip()
    for code in (text, _query(_query_of(text)).get("code", "")):
        if _CODE.fullmatch(code):
            return code
    msg = "that is neither a code (ac_…) nor the address with `code=` that Stripe led to"
    raise NotAnAnswerError(msg)


def _query_of(address: str) -> str:
    return address.partition("?")[2].partition("#")[0]


def _query(text: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(text, errors="replace").items()}


def _printable(text: str) -> str:
    """Text from an address, which anybody may have written, as it may be put on a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)[:300]


def on_loopback(address: str) -> bool:
    """Whether this machine can receive a redirect to that address itself."""
    return sound_address(address) and urlsplit(address).scheme == "http"


@contextmanager
def receiver(
    authorization: Authorization, refused: Callable[[AuthorizationError], None]
) -> Iterator[Receiver]:
    """Listens on the redirect URI, which is on loopback, while the user is on Stripe's page.

    Args:
        authorization: Whose answer is awaited.
        refused: Is told of each answer that belongs to another authorization.

    Raises:
        AuthorizationError: The port can't be listened on.
    """
    parts = urlsplit(authorization.redirect_uri)
    host = parts.hostname or ""
    awaited = Receiver(authorization, refused)
    with ExitStack() as listening:
        for address in _LOCALHOST if host == "localhost" else (host,):
            server = _listen(address, parts, awaited)
            if server is not None:
                listening.enter_context(server)
                threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
                listening.callback(server.shutdown)
        yield awaited


def _listen(address: str, parts: SplitResult, awaited: Receiver) -> _Server | None:
    """None where `localhost` has a second address that this machine hasn't."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    port = parts.port or _HTTP
    try:
        return _Server(family, (address, port), awaited)
    except OSError as error:
        second = family is socket.AF_INET6 and parts.hostname == "localhost"
        if second and error.errno != errno.EADDRINUSE:
            return None
        msg = f"port {port} of this machine can't be listened on: {error.strerror}"
        raise AuthorizationError(msg) from None


class Receiver:
    """Takes Stripe's answer from the redirected browser."""

    def __init__(
        self, authorization: Authorization, refused: Callable[[AuthorizationError], None]
    ) -> None:
        """Await the answer to `authorization`; `refused` is told of others."""
        self._authorization = authorization
        self._refused = refused
        self._answers: queue.SimpleQueue[str | AuthorizationError] = queue.SimpleQueue()

    def code(self, time_limit: float = TIME_LIMIT) -> str:
        """Wait for the code.

        Args:
            time_limit: Seconds.

        Raises:
            AuthorizationError: The user did not consent, or nothing came in time.
        """
        end = time.monotonic() + time_limit
        while time.monotonic() < end:
            # In short waits, because on Windows a wait can't be interrupted.
            with suppress(queue.Empty):
                answer = self._answers.get(timeout=min(0.5, time_limit))
                if isinstance(answer, AuthorizationError):
                    raise answer
                return answer
        msg = f"no answer came from Stripe within {time_limit:g} seconds"
        raise AuthorizationError(msg)

    def expects(self, host: str, path: str) -> bool:
        """Whether a request is for the redirect URI; browsers ask for icons, too."""
        parts = urlsplit(self._authorization.redirect_uri)
        return host.lower() == parts.netloc.lower() and path == (parts.path or "/")

    def take(self, query: str, reply: Callable[[HTTPStatus, str], None]) -> None:
        """Answer the browser first: the program may end with the answer."""
        try:
            answer: str | AuthorizationError = self._authorization.answered(query)
        except NotAnAnswerError as error:
            self._refused(error)
            reply(HTTPStatus.BAD_REQUEST, f"Not accepted: {error}.")
            return
        except AuthorizationError as error:
            answer = error
            reply(HTTPStatus.OK, f"{error}. You can close this tab.")
        else:
            reply(HTTPStatus.OK, "Stripe has answered. You can close this tab.")
        self._answers.put(answer)


class _Request(BaseHTTPRequestHandler):
    server: _Server
    # A browser may open a connection in advance and never use it.
    timeout = 10

    def do_GET(self) -> None:
        target = urlsplit(self.path)
        if self.server.awaited.expects(self.headers.get("Host", ""), target.path):
            self.server.awaited.take(target.query, self._reply)
        else:
            self._reply(HTTPStatus.NOT_FOUND, "There is nothing here.")

    def _reply(self, status: HTTPStatus, sentence: str) -> None:
        page = _PAGE.format(sentence=html.escape(sentence)).encode()
        with suppress(OSError):  # the browser may have gone
            self.send_response(status)
            for name, value in _HEADERS.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

    @override
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the request holds the code."""

    @override
    def version_string(self) -> str:
        return "tap-stripe-conn"


class _Server(socketserver.ThreadingTCPServer):
    # Elsewhere than on Unix it would let another program listen on the same port.
    allow_reuse_address: ClassVar[bool] = os.name == "posix"  # type: ignore[misc]
    daemon_threads = True

    def __init__(
        self, family: socket.AddressFamily, address: tuple[str, int], awaited: Receiver
    ) -> None:
        self.address_family = family
        self.awaited = awaited
        super().__init__(address, _Request)

    @override
    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a traceback is of no use to anybody here, and might hold the code."""


_HEADERS: Final[Mapping[str, str]] = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "default-src 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Connection": "close",
}
_PAGE: Final = (
    "<!doctype html><html lang=en><meta charset=utf-8><title>tap-stripe-conn</title>"
    "<h1>tap-stripe-conn</h1><p>{sentence}</p></html>\n"
)
