from __future__ import annotations

import math
import ssl
from socket import create_server
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from tap_stripe_conn.api import client as client_module
from tap_stripe_conn.api.errors import ConnectionFailedError, InvalidRequestError
from tap_stripe_conn.connection import check
from tap_stripe_conn.connection.check import (
    AVAILABLE,
    ConnectionUnavailableError,
    check_connection,
    reason,
)
from tests.api.servers import accepting_nobody, answering_with, client_of, recording

if TYPE_CHECKING:
    from tests.fake_stripe import FakeStripe


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "PAUSE", 0)


def unavailable(
    stripe: FakeStripe | None = None,
    *,
    base: str | None = None,
    key: str | None = None,
    account_id: str | None = None,
) -> str:
    """What the user reads of a connection that fails, by at most two requests."""
    client = client_of(stripe, base=base, key=key, account_id=account_id)
    with pytest.raises(ConnectionUnavailableError) as raised:
        check_connection(client, account_id=account_id)
    if stripe is not None:
        assert len(stripe.requests) <= 2
    return str(raised.value)


def last(stripe: FakeStripe) -> str:
    return stripe.requests[-1].id


# --- Good credentials --------------------------------------------------------------------------


def test_a_secret_key_is_proven_by_one_request(stripe: FakeStripe) -> None:
    check_connection(client_of(stripe))
    assert [request.path for request in stripe.requests] == ["/v1/account"]


def test_a_restricted_key_that_may_not_read_the_account_is_proven_by_the_refusal(
    stripe: FakeStripe,
) -> None:
    key = stripe.restricted_key({stripe.permission_for("charges")})
    check_connection(client_of(stripe, key=key))
    assert [request.status for request in stripe.requests] == [403]


def test_a_restricted_key_may_open_a_connected_account(stripe: FakeStripe) -> None:
    account = stripe.add_account()
    check_connection(client_of(stripe, key=stripe.restricted_key(set()), account_id=account))
    assert len(stripe.requests) == 1


def test_an_organization_key_is_proven_through_its_account(stripe: FakeStripe) -> None:
    account = stripe.add_account()
    check_connection(client_of(stripe, key=stripe.org_key(), account_id=account))
    assert len(stripe.requests) == 1


def test_an_account_without_an_account_endpoint_is_proven_by_another(stripe: FakeStripe) -> None:
    stripe.disable("account", "unrecognized")
    check_connection(client_of(stripe))
    assert [request.path for request in stripe.requests] == ["/v1/account", "/v1/customers"]


HICCUPS: list[dict[str, Any]] = [
    {"kind": "status", "status": 500},
    {"kind": "rate_limit"},
    {"kind": "reset"},
    {"kind": "drop"},
    {"kind": "truncated"},
    {"kind": "not_json"},
    {"kind": "lock_timeout"},
]


@pytest.mark.parametrize("fault", HICCUPS, ids=lambda fault: fault["kind"])
def test_one_hiccup_does_not_fail_the_connection(stripe: FakeStripe, fault: dict[str, Any]) -> None:
    stripe.fault("*", **fault)
    check_connection(client_of(stripe))
    assert len(stripe.requests) == 2


def test_between_the_two_requests_there_is_a_pause(
    stripe: FakeStripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(check, "PAUSE", 0.5)
    monkeypatch.setattr("tap_stripe_conn.connection.check.time.sleep", pauses.append)
    stripe.fault("*")
    check_connection(client_of(stripe))
    assert pauses == [0.5]


def test_the_line_of_a_good_connection_is_fixed() -> None:
    assert AVAILABLE == "connection available"


# --- Credentials that Stripe refuses -----------------------------------------------------------


def test_a_key_that_stripe_does_not_know_is_rejected(stripe: FakeStripe) -> None:
    key = "sk_" + "test_" + "unknown" * 3
    assert unavailable(stripe, key=key) == (
        "Connection unavailable: Stripe rejected the API key; check live_api_key "
        f"(HTTP 401, request {last(stripe)})"
    )
    assert len(stripe.requests) == 1


def test_an_expired_key_is_told_apart(stripe: FakeStripe) -> None:
    assert unavailable(stripe, key=stripe.expired_key()) == (
        "Connection unavailable: the API key has expired or was rolled; enter the new one "
        f"(HTTP 401, request {last(stripe)})"
    )


def test_a_publishable_key_is_told_apart(stripe: FakeStripe) -> None:
    assert unavailable(stripe, key=stripe.publishable_key()) == (
        "Connection unavailable: the API key is a publishable one, which can't read "
        f"(HTTP 403, request {last(stripe)})"
    )


def test_a_key_of_another_address_is_told_apart(stripe: FakeStripe) -> None:
    key = stripe.allowlisted_key()
    line = unavailable(stripe, key=key)
    assert line == (
        "Connection unavailable: the API key may not be used from this machine's IP address: The "
        "API key provided (sk_test_…) does not allow requests from your IP address "
        f"(HTTP 403, request {last(stripe)})"
    )


def test_an_account_out_of_reach_is_named(stripe: FakeStripe) -> None:
    line = unavailable(stripe, account_id="acct_unknown")
    assert line.startswith(
        "Connection unavailable: account acct_unknown can't be reached with this key; check "
        "account_id: The provided key 'sk_test_…' does not have access to account 'acct_unknown'"
    )
    assert line.endswith(f"(HTTP 403, request {last(stripe)})")


def test_a_restricted_key_without_connect_permissions_can_not_reach_the_account(
    stripe: FakeStripe,
) -> None:
    account = stripe.add_account()
    key = stripe.restricted_key(set(), connect=False)
    line = unavailable(stripe, key=key, account_id=account)
    assert line.startswith(f"Connection unavailable: account {account} can't be reached with")


def test_an_organization_key_without_its_account_is_refused(stripe: FakeStripe) -> None:
    line = unavailable(stripe, key=stripe.org_key())
    assert line.startswith("Connection unavailable: Stripe refused the request: Requests with an")
    assert "Stripe-Context" in line


# --- Stripe out of reach -----------------------------------------------------------------------

UNREACHABLE = "Connection unavailable: Stripe can't be reached: "


def test_a_host_that_has_no_address_is_unreachable() -> None:
    line = unavailable(base="http://stripe.invalid")
    assert line == f"{UNREACHABLE}the host name can't be resolved (DNS)"


@pytest.mark.parametrize("host", [".example.com", "a..b", "*.example.com"])
def test_a_host_name_that_can_be_none_is_unreachable(host: str) -> None:
    assert unavailable(base=f"https://{host}").startswith(UNREACHABLE)


def test_a_port_where_nobody_listens_is_unreachable() -> None:
    with create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    line = unavailable(base=f"http://127.0.0.1:{port}")
    assert line == f"{UNREACHABLE}the connection is refused"


def test_a_certificate_that_nobody_trusts_is_unreachable() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with recording(context) as server:
        line = unavailable(base=server.url)
    assert line == f"{UNREACHABLE}the TLS certificate or handshake failed"


def test_a_host_that_does_not_take_connections_is_unreachable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client_module, "CONNECT_TIMEOUT", 0.1)
    with accepting_nobody() as base:
        line = unavailable(base=base)
    assert line == f"{UNREACHABLE}no connection within the time allowed"


def test_a_host_that_does_not_answer_is_unreachable(
    stripe: FakeStripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "TIMEOUT", 0.1)
    stripe.fault("*", "stall", seconds=30, times=math.inf)
    assert unavailable(stripe) == f"{UNREACHABLE}no answer within the time allowed"


@pytest.mark.parametrize("status", [500, 502, 503])
def test_stripe_being_down_is_told_from_bad_credentials(stripe: FakeStripe, status: int) -> None:
    stripe.fault("*", status=status, times=math.inf)
    assert unavailable(stripe) == (
        "Connection unavailable: Stripe is failing; try again later: An unknown error occurred "
        f"(HTTP {status}, request {last(stripe)})"
    )
    assert len(stripe.requests) == 2


def test_too_many_requests_are_told_from_bad_credentials(stripe: FakeStripe) -> None:
    stripe.fault("*", "rate_limit", times=math.inf)
    line = unavailable(stripe)
    assert line.startswith(
        "Connection unavailable: Stripe is refusing requests for being too many; try again later: "
    )
    assert line.endswith(f"(HTTP 429, request {last(stripe)})")
    assert len(stripe.requests) == 2


def test_a_host_that_is_not_stripe_is_told_apart(stripe: FakeStripe) -> None:
    stripe.fault("*", "not_json", times=math.inf)
    line = unavailable(stripe)
    assert line.startswith("Connection unavailable: api_base does not answer as Stripe does: ")
    assert len(stripe.requests) == 2


def test_a_403_of_a_firewall_proves_nothing() -> None:
    with answering_with(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\n<html>") as base:
        line = unavailable(base=base)
    assert line == (
        "Connection unavailable: Stripe refused the request: Stripe answered 403 without a message "
        "(HTTP 403)"
    )


def test_an_empty_403_of_stripes_proves_the_key(stripe: FakeStripe) -> None:
    stripe.fault("/v1/account", status=403, body=b"")
    check_connection(client_of(stripe))
    assert len(stripe.requests) == 1


# --- The sentences -----------------------------------------------------------------------------


def test_a_refusal_of_another_kind_is_told_in_stripes_own_words() -> None:
    error = InvalidRequestError("Something new", http_status=418, request_id="req_1")
    assert reason(error) == "Stripe refused the request: Something new (HTTP 418, request req_1)"


def test_no_answer_is_told_with_its_reason() -> None:
    assert reason(ConnectionFailedError("the connection is reset")) == (
        "Stripe can't be reached: the connection is reset"
    )
