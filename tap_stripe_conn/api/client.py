"""One session with Stripe: `get` gives a decoded answer or raises what `errors` names."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import timezone
from email.utils import parsedate_to_datetime
from itertools import count
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import backoff
import msgspec
import requests
import requests.adapters
from requests.auth import AuthBase

from tap_stripe_conn.api.errors import (
    ConnectionFailedError,
    CredentialsError,
    IpNotAllowedError,
    StripeError,
    UnreadableAnswerError,
    error_from,
)
from tap_stripe_conn.api.network import (
    CONNECT_TIMEOUT,
    READ_TIMEOUT,
    connection_failed,
    on_loopback,
)
from tap_stripe_conn.api.traffic import TrafficCounter

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from tap_stripe_conn.api.limits import Limiter
    from tap_stripe_conn.api.typed import PageDecoder, ShownPage

Object: TypeAlias = dict[str, Any]
"""A JSON object as Stripe sent it."""

Params: TypeAlias = "Mapping[str, str | int | Sequence[str]]"
"""Query parameters; a sequence repeats its name (`expand[]`)."""

MAX_TRIES: Final = 10
FIRST_WAIT: Final = 1.0
MAX_WAIT: Final = 60.0
"""Seconds. Full jitter over 1, 2, 4 … 60, 60, 60 makes ten tries last two minutes on average."""

FIRST_WAIT_WHEN_LIMITED: Final = 0.25
"""Seconds to wait at first after a 429 whose reason the limiter knows: it has slowed down then."""

TURN: Final = 0.1
"""Seconds within which a request must leave once the limiter has let it go."""

PROBE: Final = "/v1/account"
"""The smallest answer, and the same for every key."""

PROBES: Final = (PROBE, "/v1/balance")

POOL_SIZE: Final = 64

_FIRST_YEAR, _LAST_YEAR = 2010, 2100
"""Stripe's clock is believed between them: nothing is older, and a proxy's may be anything."""

logger = logging.getLogger(__name__)

_T = TypeVar("_T")


class Authenticator(AuthBase):
    """Puts credentials on each request, and may get new ones when Stripe refuses them.

    Either may raise `CredentialsError`.
    """

    @property
    def account(self) -> str | None:
        """The account that the credentials name as their own, `acct_…`; None if they don't."""
        return None

    def ready(self) -> None:
        """Get credentials, if there are none, before a request takes its turn to leave."""

    def renew(self, refused: requests.PreparedRequest) -> bool:  # noqa: ARG002 - a key is all there is
        """Get new credentials for those that a request was refused with (401).

        Args:
            refused: As it was sent, with the credentials on it.

        Returns:
            Whether the request is worth sending again.
        """
        return False


class ClosedError(Exception):
    """The client was closed while a request waited for its turn, or for another try."""


class StripeClient:
    """Reads from Stripe: one pooled session, pinned to one API version, paced and retried.

    Safe between threads once made.
    """

    def __init__(
        self,
        *,
        base: str,
        auth: Authenticator,
        limiter: Limiter,
        api_version: str,
        user_agent: str,
    ) -> None:
        """Prepare the session; nothing is sent yet.

        Args:
            base: Scheme and host, `https://api.stripe.com`.
            auth: Puts the credentials, and the account, on each request.
            limiter: Lets each request leave in its turn.
            api_version: Sent as `Stripe-Version`.
            user_agent: Names the tap and its version.
        """
        self._base = base.rstrip("/")
        self._auth = auth
        self._limiter = limiter
        headers = requests.utils.default_headers()
        headers.update({"Stripe-Version": api_version, "User-Agent": user_agent})
        self._common = requests.PreparedRequest()
        """What all requests have in common, but for the address, which may turn out to be none."""

        self._common.prepare_method("GET")
        self._common.prepare_headers(headers)

        # Without a session: there are no redirects to follow and no cookies to keep.
        self._adapter = requests.adapters.HTTPAdapter(pool_connections=4, pool_maxsize=POOL_SIZE)
        # The environment (proxies, REQUESTS_CA_BUNDLE) is read once: it costs more than a request.
        environment = requests.Session().merge_environment_settings(
            self._base, {}, stream=True, verify=None, cert=None
        )
        # Unencrypted, it may be sent nowhere else.
        self._proxies = {} if on_loopback(self._base) else environment["proxies"]
        self._verify = environment["verify"] or True
        self._fetch_retrying = self._retrying(self._fetch_once, MAX_TRIES)
        self._closed = threading.Event()
        self._ahead = 0.0
        self.traffic = TrafficCounter()

    def get(
        self,
        path: str,
        params: Params | None = None,
        *,
        endpoint: str | None = None,
        max_tries: int = MAX_TRIES,
        timeout: float | None = None,
    ) -> Object:
        """The JSON object at `path`; all else as `fetch`.

        Raises:
            UnreadableAnswerError: Also when it is not one, however often it was asked.
        """
        request = _Request(path, params, endpoint or path, timeout or READ_TIMEOUT)
        row: Object = self._retrying(self._get_once, max_tries)(request)
        return row

    def fetch(
        self,
        path: str,
        params: Params | None = None,
        *,
        endpoint: str | None = None,
        admitted: bool = False,
    ) -> Answer:
        """The answer at `path`, for whoever decodes it later.

        Args:
            path: From the host on, `/v1/charges`; a v2 page's path has its own query.
            params: Query parameters.
            endpoint: What Stripe counts requests by: the path with its braces, where it has some.
            admitted: Whether the limiter has let the first request go already.

        Raises:
            StripeError: Stripe's refusal, or its last answer when it kept failing.
            ConnectionFailedError: No answer, however often it was asked.
            CredentialsError: There are none to ask with.
        """
        request = _Request(path, params, endpoint or path, READ_TIMEOUT, admitted=admitted)
        return self._fetch_retrying(request)

    def reachable(self, *, timeout: float | None = None) -> bool:
        """Whether Stripe answers anything at all, be it with an error.

        Args:
            timeout: Seconds to wait for each of its answers; None for 80.
        """
        return any(self._answers(probe, timeout) for probe in PROBES)

    def close(self) -> None:
        """Send nothing more: whoever still wants to, in whatever thread, gets a `ClosedError`."""
        self._closed.set()
        self._adapter.close()

    def now(self) -> int:
        """The time in whole Unix seconds by Stripe's clock, as its last answer told it."""
        return int(time.time() + self._ahead)

    def _answers(self, path: str, timeout: float | None) -> bool:
        try:
            self.get(path, max_tries=2, timeout=timeout)
        except ConnectionFailedError:
            return False
        except StripeError:
            return True
        return True

    def _retrying(self, ask: Callable[[_Request], _T], max_tries: int) -> Callable[[_Request], _T]:
        """The same, asked again after errors that may be over then."""
        retrying: Callable[[_Request], _T] = backoff.on_exception(
            _waits,
            (StripeError, ConnectionFailedError, CredentialsError),
            max_tries=max_tries,
            giveup=lambda error: not error.retriable,
            on_backoff=[
                _log_retry,
                lambda details: self.traffic.retried(details["args"][0].endpoint),
            ],
            jitter=None,
            logger=None,
        )(ask)
        return retrying

    def _get_once(self, request: _Request) -> Object:
        return self._fetch_once(request).decoded()

    def _fetch_once(self, request: _Request) -> Answer:
        self._take_turn(request)
        received = self._send(request)
        if received.is_refusal and self._auth.renew(received.request):
            self._limiter.wait(request.endpoint)
            received = self._send(request)
        if received.status >= requests.codes.bad_request:
            raise received.error
        if received.status != requests.codes.ok:
            msg = f"Stripe answered {received.status} where a 200 was expected"
            raise UnreadableAnswerError(
                msg,
                http_status=received.status,
                request_id=received.request_id,
                should_retry=False,
            )
        return Answer(received.body, received.request_id)

    def _take_turn(self, request: _Request) -> None:
        """Wait until the request may leave, with credentials at hand."""
        admitted, request.admitted = request.admitted, False
        asked = time.monotonic()
        in_time = False
        try:
            self._auth.ready()
            in_time = time.monotonic() - asked < TURN
        finally:
            # All who waited for credentials would leave at once: they have missed their turn.
            if admitted and not in_time:
                self._limiter.stayed(request.endpoint)
        if not (admitted and in_time):
            self._limiter.wait(request.endpoint)

    def _send(self, request: _Request) -> _Received:
        began: float | None = None
        seconds: float | None = None
        limited: str | None = None
        status, body = 0, b""
        try:
            if self._closed.is_set():
                raise ClosedError
            prepared = self._common.copy()
            prepared.prepare_url(self._base + request.path, request.params)
            prepared.prepare_auth(self._auth)
            began = time.monotonic()
            self._limiter.left(request.endpoint)
            response = self._adapter.send(
                prepared,
                stream=True,
                timeout=(min(CONNECT_TIMEOUT, request.timeout), request.timeout),
                verify=self._verify,
                proxies=self._proxies,
            )
            # Read at once: in chunks it takes twice as long.
            body = b"".join(response.iter_content(None))
            seconds = time.monotonic() - began
            status = response.status_code
            limited = response.headers.get("Stripe-Rate-Limited-Reason")
        except (requests.RequestException, OSError, ValueError) as error:
            # Of a certificate bundle that isn't there, or a host name that can't be one, requests
            # tells by exceptions that are not its own.
            raise connection_failed(error) from error
        finally:
            if began is None:
                self._limiter.stayed(request.endpoint)
            else:
                self._limiter.finished(request.endpoint, seconds, limited)
                self.traffic.sent(
                    request.endpoint,
                    size=len(body),
                    seconds=time.monotonic() - began,
                    limited=status == requests.codes.too_many_requests,
                )
        received = _Received(prepared, status, response.headers, body)
        self._note(received)
        return received

    def _note(self, received: _Received) -> None:
        with suppress(ValueError, OverflowError):
            date = parsedate_to_datetime(received.headers.get("Date", ""))
            date = date if date.tzinfo else date.replace(tzinfo=timezone.utc)
            if _FIRST_YEAR <= date.year < _LAST_YEAR:
                self._ahead = date.timestamp() - time.time()


@dataclass(frozen=True)
class Answer:
    """A 200 of Stripe's, as it came: to decode it is for the thread that has use for it."""

    text: bytes
    request_id: str | None

    def page(self, decoder: PageDecoder) -> ShownPage:
        """The page that it is, decoded by a type if it is as that says.

        Raises:
            UnreadableAnswerError: It is cut short, or something else.
        """
        text = self.text.rstrip()
        try:
            if b"\n" in text or b"\r" in text:
                # Stripe indents what it sends; what is left undecoded is to be a line.
                text = msgspec.json.format(text, indent=-1)
            if not text.isascii():
                # It may be no text at all.
                text.decode()
            return decoder.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return self.decoded()

    def decoded(self) -> Object:
        """The JSON object that it is.

        Raises:
            UnreadableAnswerError: It is cut short, or something else.
        """
        try:
            return _OBJECT.decode(self.text)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            msg = f"Stripe's answer is cut short or not a JSON object: {error}"
            raise UnreadableAnswerError(msg, http_status=200, request_id=self.request_id) from None


_OBJECT: Final = msgspec.json.Decoder(Object)


@dataclass
class _Request:
    path: str
    params: Params | None
    endpoint: str
    timeout: float
    admitted: bool = False
    """Whether it has had its turn already."""


@dataclass(frozen=True)
class _Received:
    """What came back, whole."""

    request: requests.PreparedRequest
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def request_id(self) -> str | None:
        return self.headers.get("Request-Id")

    @property
    def error(self) -> StripeError:
        return error_from(self.status, self.headers, self.body)

    @property
    def is_refusal(self) -> bool:
        """Whether Stripe itself no longer accepts the credentials."""
        if self.status != requests.codes.unauthorized:
            return False
        error = self.error
        return error.from_stripe and not isinstance(error, IpNotAllowedError)


def _waits() -> Generator[float, Exception, None]:
    """Seconds to wait before each retry, for the error that it follows."""
    error = yield 0.0
    for tried in count():
        first = FIRST_WAIT_WHEN_LIMITED if _limited(error) else FIRST_WAIT
        wait = backoff.full_jitter(min(MAX_WAIT, first * 2**tried))
        told = error.retry_after if isinstance(error, StripeError) else None
        error = yield max(wait, min(MAX_WAIT, told or 0.0))


def _limited(error: Exception) -> bool:
    return isinstance(error, StripeError) and error.rate_limited_reason is not None


def _log_retry(details: Any) -> None:  # noqa: ANN401 - backoff keeps this type to itself
    logger.info(
        "%s %s: %s; try %d follows in %.1f s",
        "GET",
        details["args"][0].endpoint,
        details["exception"],
        details["tries"] + 1,
        details["wait"],
    )
