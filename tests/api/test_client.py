from __future__ import annotations

import logging
import math
import time
from contextlib import suppress
from email.utils import formatdate
from socket import create_server
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from typing_extensions import override

from tap_stripe_conn.api import errors
from tap_stripe_conn.api.client import Authenticator, ClosedError, StripeClient
from tap_stripe_conn.api.errors import (
    ConnectionFailedError,
    CredentialsError,
    InvalidRequestError,
    RateLimitError,
    ServerError,
    StripeError,
    UnreadableAnswerError,
)
from tap_stripe_conn.api.limits import Limiter
from tests.api.servers import client_of, recording
from tests.fake_stripe import FakeStripe

if TYPE_CHECKING:
    import requests

PATH = "/v1/account"


pytestmark = pytest.mark.usefixtures("waits", "no_proxy")


# --- Trouble that passes -----------------------------------------------------------------------

TROUBLE: dict[str, dict[str, Any]] = {
    "500": {"kind": "status", "status": 500},
    "502 with a proxy's page": {"kind": "status", "status": 502, "body": b"<html>Bad Gateway"},
    "503": {"kind": "status", "status": 503},
    "429": {"kind": "rate_limit"},
    "409 lock_timeout": {"kind": "lock_timeout", "status": 409},
    "429 lock_timeout": {"kind": "lock_timeout"},
    "a reset in the middle of the body": {"kind": "reset"},
    "a connection closed without an answer": {"kind": "drop"},
    "JSON cut short, with a length that fits": {"kind": "truncated"},
    "200 that is not JSON": {"kind": "not_json"},
    "400 that Stripe says to repeat": {"kind": "status", "status": 400, "should_retry": True},
}


@pytest.mark.parametrize("fault", TROUBLE.values(), ids=TROUBLE)
def test_trouble_that_passes_is_survived(
    stripe: FakeStripe, waits: list[float], fault: dict[str, Any]
) -> None:
    stripe.fault(PATH, **fault, times=2)
    assert client_of(stripe).get(PATH)["id"] == stripe.account_id
    assert len(stripe.requests) == 3
    assert len(waits) == 2


def test_a_server_that_comes_up_late_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    stripe = FakeStripe(port=port)
    monkeypatch.setattr("backoff._sync.time", SimpleNamespace(sleep=lambda _: stripe.start()))
    try:
        client = client_of(key=stripe.secret_key, base=f"http://127.0.0.1:{port}")
        assert client.get(PATH)["id"] == stripe.account_id
    finally:
        stripe.stop()
    assert len(stripe.requests) == 1


# --- Trouble that stays ------------------------------------------------------------------------


def test_ten_tries_are_made_and_then_the_last_answer_is_the_error(
    stripe: FakeStripe, waits: list[float]
) -> None:
    stripe.fault(PATH, times=math.inf)
    with pytest.raises(ServerError) as raised:
        client_of(stripe).get(PATH)
    assert len(stripe.requests) == 10
    assert raised.value.request_id == stripe.requests[-1].id
    assert str(raised.value) == (
        f"An unknown error occurred (HTTP 500, request {stripe.requests[-1].id})"
    )
    assert all(0 <= wait <= 60 for wait in waits)


def test_the_waits_grow_to_a_minute_and_last_two_minutes_on_average(
    stripe: FakeStripe, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    longest = SimpleNamespace(uniform=lambda _least, most: most)
    monkeypatch.setattr("backoff._jitter.random", longest)
    stripe.fault(PATH, times=math.inf)
    with pytest.raises(ServerError):
        client_of(stripe).get(PATH)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert sum(waits) / 2 == pytest.approx(121.5)


def test_a_429_that_the_limiter_answers_is_asked_again_sooner(
    stripe: FakeStripe, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    longest = SimpleNamespace(uniform=lambda _least, most: most)
    monkeypatch.setattr("backoff._jitter.random", longest)
    stripe.fault(PATH, "rate_limit", times=3)
    stripe.fault(PATH, "lock_timeout")
    client_of(stripe).get(PATH)
    assert waits == [0.25, 0.5, 1, 8]


IN_TEN_SECONDS = 1_700_000_010

RETRY_AFTER = {
    "seconds": ("7", 7),
    "seconds with a space": (" 7 ", 7),
    "a date": (formatdate(IN_TEN_SECONDS, usegmt=True), 10),
    "a date without a zone": ("Tue, 14 Nov 2023 22:13:30", 10),
    "a date gone by": (formatdate(IN_TEN_SECONDS - 3600, usegmt=True), 0),
    "more than a minute": ("3600", 60),
    "no date": ("Tue, 14 Nov 99999999999999999999 22:13:30 GMT", 0),
    "no number": ("soon", 0),
    "less than nothing": ("-7", 0),
    "nothing": ("", 0),
}


@pytest.mark.parametrize("sent", RETRY_AFTER.values(), ids=RETRY_AFTER)
@pytest.mark.parametrize("kind", ["status", "rate_limit"])
def test_a_proxy_that_says_how_long_to_wait_is_obeyed_up_to_a_minute(
    stripe: FakeStripe,
    waits: list[float],
    monkeypatch: pytest.MonkeyPatch,
    sent: tuple[str, float],
    kind: Any,  # noqa: ANN401 - a literal
) -> None:
    header, seconds = sent
    monkeypatch.setattr("backoff._jitter.random", SimpleNamespace(uniform=lambda least, _: least))
    monkeypatch.setattr(errors, "time", SimpleNamespace(time=lambda: IN_TEN_SECONDS - 10))
    stripe.fault(PATH, kind, headers={"Retry-After": header})
    client_of(stripe).get(PATH)
    assert waits == [seconds]


def test_a_longer_wait_than_was_told_stays(
    stripe: FakeStripe, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backoff._jitter.random", SimpleNamespace(uniform=lambda _, most: most))
    stripe.fault(PATH, headers={"Retry-After": "3"}, times=3)
    client_of(stripe).get(PATH)
    assert waits == [3, 3, 4]


@pytest.mark.parametrize("kind", ["status", "rate_limit", "lock_timeout"])
def test_stripe_can_end_the_tries_at_once(
    stripe: FakeStripe,
    waits: list[float],
    kind: Any,  # noqa: ANN401 - a literal
) -> None:
    stripe.fault(PATH, kind, times=math.inf, should_retry=False)
    with pytest.raises(StripeError):
        client_of(stripe).get(PATH)
    assert len(stripe.requests) == 1
    assert waits == []


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404])
def test_a_refusal_is_not_asked_for_again(stripe: FakeStripe, status: int) -> None:
    stripe.fault(PATH, status=status, times=math.inf)
    with pytest.raises(StripeError) as raised:
        client_of(stripe).get(PATH)
    assert raised.value.http_status == status
    assert len(stripe.requests) == 1


def test_a_caller_can_ask_for_fewer_tries(stripe: FakeStripe) -> None:
    stripe.fault(PATH, times=math.inf)
    with pytest.raises(ServerError):
        client_of(stripe).get(PATH, max_tries=1)
    assert len(stripe.requests) == 1


def test_an_answer_that_stays_unreadable_is_an_error_with_its_request_id(
    stripe: FakeStripe,
) -> None:
    stripe.fault(PATH, "truncated", times=math.inf)
    with pytest.raises(UnreadableAnswerError, match="cut short") as raised:
        client_of(stripe).get(PATH)
    assert raised.value.request_id == stripe.requests[-1].id


@pytest.mark.parametrize("body", [b"[]", b"null", b'"text"', b"\xff", b""])
def test_an_answer_must_be_a_json_object(stripe: FakeStripe, body: bytes) -> None:
    stripe.fault(PATH, status=200, body=body, times=math.inf)
    with pytest.raises(UnreadableAnswerError, match="not a JSON object"):
        client_of(stripe).get(PATH, max_tries=1)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(stripe: FakeStripe, status: int) -> None:
    with recording() as elsewhere:
        headers = {"Location": f"{elsewhere.url}/v1/account"}
        stripe.fault(PATH, status=status, headers=headers, times=math.inf)
        with pytest.raises(UnreadableAnswerError, match=f"answered {status}"):
            client_of(stripe).get(PATH)
    assert elsewhere.lines == []
    assert len(stripe.requests) == 1


def test_a_retry_is_logged_with_its_reason_and_without_the_key(
    stripe: FakeStripe, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    stripe.fault(PATH, "rate_limit")
    client_of(stripe).get(PATH)
    [line] = [record.getMessage() for record in caplog.records if "try 2" in record.getMessage()]
    assert line.startswith("GET /v1/account: Request rate limit exceeded.")
    assert stripe.requests[0].id in line
    assert stripe.secret_key not in caplog.text


def test_stripes_reason_for_a_rate_limit_is_kept(stripe: FakeStripe) -> None:
    stripe.fault(PATH, "rate_limit")
    with pytest.raises(RateLimitError) as raised:
        client_of(stripe).get(PATH, max_tries=1)
    assert raised.value.rate_limited_reason == "global-rate"


# --- The limiter -------------------------------------------------------------------------------


class Watched(Limiter):
    """Remembers what it was asked and told."""

    def __init__(self) -> None:
        super().__init__(rate=10_000, endpoint_rate=10_000)
        self.waited: list[str] = []
        self.told: list[tuple[str, float | None, str | None]] = []

    @override
    def wait(self, endpoint: str) -> None:
        super().wait(endpoint)
        self.waited.append(endpoint)

    @override
    def finished(self, endpoint: str, seconds: float | None, reason: str | None = None) -> None:
        super().finished(endpoint, seconds, reason)
        self.told.append((endpoint, seconds, reason))


def test_the_limiter_is_told_how_long_an_answer_took(stripe: FakeStripe) -> None:
    limiter = Watched()
    stripe.latency = 0.05
    client_of(stripe, limiter=limiter).get(PATH, endpoint="/v1/{account}")
    [(endpoint, seconds, reason)] = limiter.told
    assert (endpoint, reason) == ("/v1/{account}", None)
    assert seconds is not None
    assert 0.05 <= seconds < 5


def test_each_try_takes_its_turn_and_the_limiter_is_told_why_it_was_refused(
    stripe: FakeStripe,
) -> None:
    limiter = Watched()
    stripe.fault(PATH, "rate_limit")
    stripe.fault(PATH, "lock_timeout")
    stripe.fault(PATH, "drop")
    client_of(stripe, limiter=limiter).get(PATH)
    assert limiter.waited == [PATH] * 4
    assert [reason for _, _, reason in limiter.told] == ["global-rate", None, None, None]
    assert [seconds is None for _, seconds, _ in limiter.told] == [False, False, True, False]
    assert limiter.speed().limit < 10_000


def test_a_request_that_was_let_go_waits_only_for_its_retries(stripe: FakeStripe) -> None:
    limiter = Watched()
    stripe.fault(PATH, times=2)
    assert limiter.admit(PATH) == 0
    client_of(stripe, limiter=limiter).fetch(PATH, admitted=True)
    assert limiter.waited == [PATH] * 2
    assert limiter.in_flight() == 0


@pytest.mark.parametrize("fault", TROUBLE.values(), ids=TROUBLE)
def test_nothing_is_under_way_after_trouble(stripe: FakeStripe, fault: dict[str, Any]) -> None:
    limiter = Watched()
    stripe.fault(PATH, **fault, times=math.inf)
    with suppress(StripeError, ConnectionFailedError):
        client_of(stripe, limiter=limiter).get(PATH, max_tries=2)
    assert len(limiter.told) == 2
    assert limiter.in_flight() == 0


class Credentials(Authenticator):
    """Are there after a while, or never."""

    def __init__(self, seconds: float = 0.0, error: Exception | None = None) -> None:
        self._seconds = seconds
        self._error = error

    @override
    def ready(self) -> None:
        time.sleep(self._seconds)
        if self._error:
            raise self._error

    @override
    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        return r


def client_with(credentials: Credentials, limiter: Limiter, base: str) -> StripeClient:
    return StripeClient(
        base=base, auth=credentials, limiter=limiter, api_version="", user_agent="tap"
    )


@pytest.mark.parametrize("admitted", [False, True])
def test_nothing_is_under_way_when_there_are_no_credentials(*, admitted: bool) -> None:
    limiter = Watched()
    assert not admitted or limiter.admit(PATH) == 0
    client = client_with(
        Credentials(error=CredentialsError("they are gone")), limiter, "http://stripe.invalid"
    )
    with pytest.raises(CredentialsError):
        client.fetch(PATH, admitted=admitted)
    assert limiter.in_flight() == 0


@pytest.mark.parametrize(("seconds", "waited"), [(0.0, []), (0.2, [PATH])])
def test_a_request_that_was_let_go_and_waited_for_credentials_takes_another_turn(
    seconds: float, waited: list[str]
) -> None:
    limiter = Watched()
    assert limiter.admit(PATH) == 0
    with recording() as server:
        client_with(Credentials(seconds), limiter, server.url).fetch(PATH, admitted=True)
    assert limiter.waited == waited
    assert limiter.in_flight() == 0


def test_nothing_is_under_way_in_a_closed_client() -> None:
    limiter = Watched()
    client = client_of(base="http://stripe.invalid", limiter=limiter)
    client.close()
    with pytest.raises(ClosedError):
        client.get(PATH)
    assert limiter.in_flight() == 0


# --- What is sent ------------------------------------------------------------------------------


def test_a_request_names_the_key_the_version_and_the_tap(stripe: FakeStripe) -> None:
    client_of(stripe).get(PATH)
    headers = stripe.requests[0].headers
    assert headers["authorization"] == f"Bearer {stripe.secret_key}"
    assert headers["stripe-version"] == "2026-10-28.endive"
    assert headers["user-agent"] == "tap-stripe-conn/1.2.3"


@pytest.mark.parametrize("account_id", [None, ""])
def test_without_an_account_there_is_no_header_for_one_and_never_an_empty_one(
    stripe: FakeStripe, account_id: str | None
) -> None:
    client_of(stripe, account_id=account_id).get(PATH)
    headers = stripe.requests[0].headers
    assert not headers.keys() & {"stripe-account", "stripe-context"}
    assert [name for name, value in headers.items() if not value] == []


def test_a_connected_account_goes_into_stripe_account(stripe: FakeStripe) -> None:
    account = stripe.add_account()
    assert client_of(stripe, account_id=account).get(PATH)["id"] == account
    assert stripe.requests[0].headers["stripe-account"] == account


def test_the_account_of_an_organization_goes_into_stripe_context(stripe: FakeStripe) -> None:
    account = stripe.add_account()
    client = client_of(stripe, key=stripe.org_key(), account_id=account)
    assert client.get(PATH)["id"] == account
    headers = stripe.requests[0].headers
    assert headers["stripe-context"] == account
    assert "stripe-account" not in headers


def test_parameters_go_into_the_query_and_a_list_repeats_its_name(stripe: FakeStripe) -> None:
    stripe.add("charges")
    client_of(stripe).get(
        "/v1/charges", {"limit": 1, "expand[]": ["data.refunds", "data.customer"]}
    )
    assert stripe.requests[0].params == {"limit": "1"}
    assert stripe.requests[0].arrays == {"expand": ["data.refunds", "data.customer"]}


def test_a_path_may_bring_its_own_query(stripe: FakeStripe) -> None:
    client_of(stripe).get("/v1/charges?limit=3", {})
    assert stripe.requests[0].params == {"limit": "3"}


def test_what_stripe_refuses_is_raised_with_its_parameter(stripe: FakeStripe) -> None:
    with pytest.raises(InvalidRequestError) as raised:
        client_of(stripe).get("/v1/charges", {"nonsense": "1"})
    assert raised.value.param == "nonsense"


def test_connections_are_kept_open(stripe: FakeStripe, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "urllib3.connectionpool")
    client = client_of(stripe)
    for _ in range(3):
        client.get(PATH)
    assert caplog.text.count("Starting new HTTP connection") == 1
    assert client.traffic.total.requests == 3


def test_a_trailing_slash_of_the_base_is_left_out(stripe: FakeStripe) -> None:
    client_of(base=stripe.url + "/", key=stripe.secret_key).get(PATH)
    assert stripe.requests[0].path == PATH


# --- The clock ---------------------------------------------------------------------------------


def test_the_time_is_stripes() -> None:
    with FakeStripe(now=lambda: 1_700_000_000) as stripe:
        client = client_of(stripe)
        client.get(PATH)
        assert client.now() in {1_700_000_000, 1_700_000_001}


def test_a_date_that_is_none_leaves_the_clock_as_it_was() -> None:
    with FakeStripe(now=lambda: 1_700_000_000) as stripe:
        client = client_of(stripe)
        client.get(PATH)
        for date in ("yesterday", ""):
            stripe.fault(PATH, status=404, headers={"Date": date})
            with pytest.raises(StripeError):
                client.get(PATH)
        assert client.now() in {1_700_000_000, 1_700_000_001}
