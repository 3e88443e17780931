from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from tap_stripe_conn.api.errors import (
    ConnectionFailedError,
    CredentialsError,
    StripeError,
    UnreadableAnswerError,
)
from tap_stripe_conn.connection.tokens import GrantRefusedError, Token, TokenEndpoint
from tests.api.servers import answering_with

if TYPE_CHECKING:
    from tap_stripe_conn.config import OAuthProvider

ANSWER = {
    "access_token": "access-2",
    "livemode": False,
    "refresh_token": "refresh-2",
    "scope": "stripe_apps",
    "stripe_user_id": "acct_1",
    "token_type": "bearer",
}


def endpoint(base: str, provider: OAuthProvider = "apps") -> TokenEndpoint:
    return TokenEndpoint(
        provider,
        api_base=base,
        connect_base=base,
        client_secret="a secret",  # noqa: S106 - of nothing
        user_agent="tap-stripe-conn/1.2.3",
    )


def http(body: bytes, *, status: int = 200) -> bytes:
    head = f"HTTP/1.1 {status} Said\r\nRequest-Id: req_1\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def exchanged(answer: dict[str, Any], provider: OAuthProvider = "apps") -> Token:
    with answering_with(http(json.dumps(answer).encode())) as base:
        return endpoint(base, provider).refresh("refresh-1")


def seconds_of_use(token: Token) -> float | None:
    return None if token.use_until is None else round(token.use_until - time.time())


# --- What a token is ---------------------------------------------------------------------------


def test_a_token_knows_its_account_and_what_follows_it() -> None:
    token = exchanged(ANSWER)
    assert (token.access_token, token.refresh_token) == ("access-2", "refresh-2")
    assert token.account == "acct_1"


def test_a_refresh_token_that_is_not_replaced_stays() -> None:
    token = exchanged({**ANSWER, "refresh_token": None}, "connect")
    assert token.refresh_token == "refresh-1"  # noqa: S105 - of nothing


def test_a_token_of_connect_is_used_until_stripe_refuses_it() -> None:
    assert seconds_of_use(exchanged(ANSWER, "connect")) is None
    assert exchanged(ANSWER, "connect").usable


@pytest.mark.parametrize(
    ("expires_in", "seconds"),
    [
        (None, 3300),
        (3600, 3300),
        (7200, 6900),
        (60, 54),
        ("soon", 3300),
        (0, 3300),
        (-1, 3300),
        (True, 3300),
        (float("nan"), 3300),
        (10**400, 366 * 24 * 3600 - 300),
    ],
)
def test_a_token_of_an_app_is_given_up_five_minutes_early_or_a_tenth_of_a_shorter_life(
    expires_in: object, seconds: int
) -> None:
    assert seconds_of_use(exchanged({**ANSWER, "expires_in": expires_in})) == seconds


def test_a_token_whose_time_is_over_is_not_worth_a_request() -> None:
    token = Token(access_token="a", refresh_token="r", use_until=time.time() - 1)  # noqa: S106
    assert not token.usable


def test_what_follows_is_not_lost_to_an_answer_with_other_oddities() -> None:
    odd = {**ANSWER, "livemode": "no", "stripe_user_id": None, "expires_in": "3600", "new": {}}
    assert exchanged(odd).refresh_token == "refresh-2"  # noqa: S105 - of nothing


def test_a_token_does_not_show_itself() -> None:
    shown = repr(exchanged(ANSWER))
    assert "access-2" not in shown
    assert "refresh-2" not in shown


# --- What goes wrong ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        http(b""),
        http(b"<html>"),
        http(b"[]"),
        http(b'{"access_token": "access-2", "refr'),
        http(b'{"refresh_token": "refresh-2"}'),
        http(b'{"access_token": "", "refresh_token": "refresh-2"}'),
        http(b'{"access_token": 5, "refresh_token": "refresh-2"}'),
    ],
)
def test_an_answer_without_a_token_may_be_asked_for_again(answer: bytes) -> None:
    with answering_with(answer) as base, pytest.raises(UnreadableAnswerError) as raised:
        endpoint(base).refresh("refresh-1")
    assert raised.value.retriable


def test_a_redirect_is_not_followed() -> None:
    answer = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    with answering_with(answer) as base, pytest.raises(UnreadableAnswerError) as raised:
        endpoint(base).refresh("refresh-1")
    assert not raised.value.retriable


def oauth_error(error: str, description: str, status: int = 400) -> bytes:
    body = json.dumps({"error": error, "error_description": description})
    return http(body.encode(), status=status)


def api_error(status: int, message: str, **error: str) -> bytes:
    body = json.dumps({"error": {"message": message, **error}})
    return http(body.encode(), status=status)


CAUSES: dict[str, tuple[bytes, str]] = {
    "revoked": (
        oauth_error("invalid_grant", "Token has been expired or revoked."),
        (
            "Stripe refused the authorization code: it is revoked, expired or already used, or not "
            "of oauth_provider apps with this client_secret; authorize the connection again (Token "
            "has been expired or revoked (HTTP 400, request req_1))"
        ),
    ),
    "secret of the other mode": (
        oauth_error(
            "invalid_grant",
            "Passed in livemode API key but authorization code only supports returning test keys",
        ),
        (
            "client_secret is of the other mode, live or test, than what the account's owner "
            "granted; enter the secret key of that mode ("
        ),
    ),
    "wrong secret": (
        api_error(401, "Invalid API Key provided: ****"),
        "Stripe rejected the client secret; check client_secret (HTTP 401, request req_1)",
    ),
    "invalid client": (
        oauth_error("invalid_client", "No such client", 400),
        "Stripe rejected the client secret; check client_secret (HTTP 400, request req_1)",
    ),
    "rolled secret": (
        api_error(401, "Expired API Key provided: ****", code="api_key_expired"),
        "the client secret has expired or was rolled; enter the new one (HTTP 401, request req_1)",
    ),
    "other address": (
        api_error(403, "The API key provided does not allow requests from your IP address."),
        "the client secret may not be used from this machine's IP address (HTTP 403, request",
    ),
    "restricted key as secret": (
        api_error(403, "The provided key does not have the required permissions"),
        (
            "Stripe refused to exchange the token; client_secret must be the secret key (sk_…) of "
            "the platform or app (The provided key does not have the required permissions (HTTP "
            "403, request req_1))"
        ),
    ),
    "no such page": (
        http(b"<html>", status=404),
        "api_base does not answer as Stripe's token endpoint does (HTTP 404, request req_1)",
    ),
    "another server": (
        http(b"<html>welcome"),
        "api_base does not answer as Stripe's token endpoint does (HTTP 200, request req_1)",
    ),
    "Stripe fails": (
        http(b"", status=503),
        (
            "Stripe's token endpoint is failing; authorize again, for the code may be spent "
            "(Stripe answered 503 without a "
            "message (HTTP 503, request req_1))"
        ),
    ),
    "anything else": (
        oauth_error("unsupported_grant_type", "Unsupported grant type: x"),
        "Stripe refused to exchange the token (Unsupported grant type: x (HTTP 400, request",
    ),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_a_refusal_says_by_its_cause_what_to_do(cause: str) -> None:
    answer, expected = CAUSES[cause]
    with answering_with(answer) as base, pytest.raises(CredentialsError) as raised:
        endpoint(base).redeem("code")
    assert str(raised.value).startswith(expected)
    assert isinstance(raised.value, GrantRefusedError) == (cause == "revoked")


def test_no_answer_is_told_with_its_reason() -> None:
    nowhere = endpoint("http://127.0.0.1:1", "connect")
    with pytest.raises(ConnectionFailedError):
        nowhere.refresh("refresh-1")
    with pytest.raises(
        CredentialsError,
        match="Stripe's token endpoint can't be reached: the connection is refused",
    ):
        nowhere.redeem("code")


def test_what_is_sent_to_this_machine_passes_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert exchanged(ANSWER).access_token == "access-2"  # noqa: S105 - of nothing


def test_connects_endpoint_is_at_connect_base() -> None:
    error = StripeError("Not found", http_status=404)
    assert endpoint("http://localhost:1", "connect").url == "http://localhost:1/oauth/token"
    assert endpoint("http://localhost:1", "apps").url == "http://localhost:1/v1/oauth/token"
    assert "refused to exchange" in str(endpoint("http://localhost:1").failure(error))
