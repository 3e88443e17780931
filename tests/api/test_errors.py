from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tap_stripe_conn.api import errors
from tap_stripe_conn.api.errors import StripeError, error_from

if TYPE_CHECKING:
    from collections.abc import Mapping

QUOTED = "51Hb2kLkdIwH"


def refusal(
    status: int, said: Mapping[str, object], headers: dict[str, str] | None = None
) -> StripeError:
    """The exception for Stripe's answer with this error object."""
    return error_from(status, headers or {}, json.dumps({"error": said}).encode())


PERMISSION = (
    "The provided key 'rk_live_*********abcd' does not have the required permissions for this"
    " endpoint on account 'acct_1'. Having the 'rak_charge_read' permission would allow this"
    " request to continue."
)
OUT_OF_REACH = (
    "The provided key 'sk_test_****abcd' does not have access to account 'acct_2' (or that account"
    " does not exist). Application access may have been revoked."
)
NO_CONNECT = (
    "You passed a restricted API key with the Stripe-Account header, but this key has no Connect"
    " permissions."
)
IP_ADDRESS = "The API key provided (sk_live_****abcd) does not allow requests from your IP address."
UNRECOGNIZED = "Unrecognized request URL (GET: /v1/sigma). Please see https://stripe.com/docs."

CAUSES: list[tuple[int, dict[str, str], type[StripeError]]] = [
    (401, {"message": "Invalid API Key provided"}, errors.AuthenticationError),
    (401, {"message": "Expired", "code": "api_key_expired"}, errors.AuthenticationError),
    (403, {"message": "Expired", "code": "platform_api_key_expired"}, errors.AuthenticationError),
    (403, {"message": "No", "code": "secret_key_required"}, errors.AuthenticationError),
    (403, {"message": IP_ADDRESS}, errors.IpNotAllowedError),
    (403, {"message": OUT_OF_REACH, "code": "account_invalid"}, errors.AccountError),
    (403, {"message": "No such account", "code": "account_invalid"}, errors.AccountError),
    (403, {"message": NO_CONNECT}, errors.AccountError),
    (403, {"message": PERMISSION}, errors.MissingPermissionError),
    (401, {"message": "You do not have the required permissions"}, errors.MissingPermissionError),
    (403, {"message": "Something else"}, errors.ForbiddenError),
    (403, {"message": "You lack a permission"}, errors.MissingPermissionError),
    (400, {"message": "Your account is not set up to use Climate."}, errors.NotEnabledError),
    (401, {"code": "more_permissions_required"}, errors.MissingPermissionError),
    (401, {"code": "more_permissions_required_for_application"}, errors.MissingPermissionError),
    (401, {"code": "more_permissions_required_for_session"}, errors.MissingPermissionError),
    (404, {"message": "No such charge", "code": "resource_missing"}, errors.NotFoundError),
    (404, {"message": UNRECOGNIZED}, errors.NotEnabledError),
    (400, {"type": "feature_not_enabled", "message": "No"}, errors.NotEnabledError),
    (400, {"message": "Received unknown parameter"}, errors.InvalidRequestError),
    (418, {"message": "Something new"}, errors.InvalidRequestError),
    (
        400,
        {"code": "resource_missing", "param": "starting_after", "message": "No such charge"},
        errors.CursorGoneError,
    ),
    (
        400,
        {"code": "resource_missing", "param": "customer", "message": "No such customer"},
        errors.InvalidRequestError,
    ),
    (
        400,
        {"message": "This property cannot be expanded (data.tiers)."},
        errors.ExpandRefusedError,
    ),
    (400, {"message": "No", "param": "expand[0]"}, errors.ExpandRefusedError),
    (403, {"message": PERMISSION, "param": "expand"}, errors.MissingPermissionError),
    (429, {"message": "Too many", "code": "rate_limit"}, errors.RateLimitError),
    (429, {"message": "Too many"}, errors.RateLimitError),
    (400, {"message": "Too many", "type": "rate_limit"}, errors.RateLimitError),
    (400, {"message": "Too many", "type": "quota_exceeded"}, errors.RateLimitError),
    (429, {"message": "Busy", "code": "lock_timeout"}, errors.LockTimeoutError),
    (409, {"message": "Busy", "code": "lock_timeout"}, errors.LockTimeoutError),
    (409, {"message": "Busy"}, errors.LockTimeoutError),
    (500, {"message": "An unknown error occurred", "type": "api_error"}, errors.ServerError),
    (503, {"message": PERMISSION}, errors.ServerError),
]


@pytest.mark.parametrize(("status", "said", "error_class"), CAUSES)
def test_stripes_answer_becomes_the_error_that_it_means(
    status: int, said: dict[str, str], error_class: type[StripeError]
) -> None:
    assert type(refusal(status, said)) is error_class


MESSAGES: list[tuple[str, type[StripeError]]] = [
    ("Invalid request. Have you onboarded to Treasury?", errors.NotEnabledError),
    ("Accounts v2 is not enabled for your platform.", errors.NotEnabledError),
    ("This API surface is not enabled for this account.", errors.NotEnabledError),
    ("Your account is not set up to use Issuing.", errors.NotEnabledError),
    ("Your account is not set up to use Identity.", errors.NotEnabledError),
    ("You are not authorized to send Forwarding requests.", errors.NotEnabledError),
    ("Only Stripe Connect platforms can work with other accounts.", errors.NotEnabledError),
    ("You can only do this if you've signed up for Connect.", errors.NotEnabledError),
    ("This resource is only available in testmode.", errors.WrongModeError),
    ("This resource is only available in test mode.", errors.WrongModeError),
    ("This resource isn't available in test mode.", errors.WrongModeError),
    ("Sigma is not available in test mode.", errors.WrongModeError),
    ("This resource is only available in livemode.", errors.WrongModeError),
    ("This resource is only available in live mode.", errors.WrongModeError),
    ("This resource isn't available in live mode.", errors.WrongModeError),
    ("You are not authorized to send Forwarding requests in livemode.", errors.WrongModeError),
    ("Could not find line items for this Checkout Session.", errors.NoChildrenError),
    (
        "You cannot perform this request as you do not have Platform Controls.",
        errors.NoChildrenError,
    ),
]


@pytest.mark.parametrize("status", [400, 403, 404])
@pytest.mark.parametrize(("message", "error_class"), MESSAGES)
def test_a_refusal_is_known_by_its_words_whatever_its_status(
    status: int, message: str, error_class: type[StripeError]
) -> None:
    assert type(refusal(status, {"message": message})) is error_class


def test_every_word_of_the_tables_is_tried_by_these_tests() -> None:
    words = (
        *errors.NOT_ENABLED,
        *errors.WRONG_MODE,
        *errors.NO_CHILDREN,
        *errors.NO_PERMISSION,
        *errors.ACCOUNT_OUT_OF_REACH,
        *errors.IP_NOT_ALLOWED,
    )
    tried = [message for message, _ in MESSAGES] + [
        said.get("message", "") for _, said, _ in CAUSES
    ]
    assert [word for word in words if not any(word in text.lower() for text in tried)] == []


def test_an_error_keeps_what_stripe_said() -> None:
    error = refusal(
        429,
        {
            "type": "invalid_request_error",
            "code": "rate_limit",
            "param": "limit",
            "message": "Too many requests.",
        },
        {
            "Request-Id": "req_abc",
            "Stripe-Should-Retry": "false",
            "Stripe-Rate-Limited-Reason": "endpoint-rate",
        },
    )
    assert (error.type, error.code, error.param) == ("invalid_request_error", "rate_limit", "limit")
    assert (error.http_status, error.request_id) == (429, "req_abc")
    assert (error.should_retry, error.rate_limited_reason) == (False, "endpoint-rate")
    assert error.message == "Too many requests."
    assert str(error) == "Too many requests (HTTP 429, request req_abc)"


def test_an_error_without_a_request_id_does_without_it() -> None:
    assert str(refusal(404, {"message": "No such charge"})) == "No such charge (HTTP 404)"


def test_an_error_is_one_line_even_where_stripes_message_is_several() -> None:
    error = refusal(400, {"message": "No such charge.\n\nSee https://stripe.com/docs\n"})
    assert str(error) == "No such charge. See https://stripe.com/docs (HTTP 400)"


def test_the_permission_that_is_missing_is_read_from_the_message() -> None:
    error = refusal(403, {"message": PERMISSION})
    assert isinstance(error, errors.MissingPermissionError)
    assert error.permission == "rak_charge_read"


def test_a_refusal_that_names_no_permission_has_none() -> None:
    error = refusal(403, {"message": "You lack a permission"})
    assert isinstance(error, errors.MissingPermissionError)
    assert error.permission is None


@pytest.mark.parametrize(("code", "expired"), [("api_key_expired", True), (None, False)])
def test_a_key_that_was_good_once_is_told_apart(code: str | None, expired: bool) -> None:  # noqa: FBT001
    error = refusal(401, {"message": "No", "code": code})
    assert isinstance(error, errors.AuthenticationError)
    assert error.expired is expired


# --- Answers that are no error object ----------------------------------------------------------

ODD_BODIES: list[tuple[int, bytes, type[StripeError], str]] = [
    (403, b"", errors.MissingPermissionError, "Stripe answered 403 without a message (HTTP 403)"),
    (502, b"<html>Bad Gateway</html>", errors.ServerError, "Stripe answered 502 without a message"),
    (500, b"\xff\xfe", errors.ServerError, "Stripe answered 500 without a message"),
    (400, b"[]", errors.InvalidRequestError, "Stripe answered 400 without a message"),
    (400, b'{"error": 5}', errors.InvalidRequestError, "Stripe answered 400 without a message"),
    (400, b"{}", errors.InvalidRequestError, "Stripe answered 400 without a message"),
]


@pytest.mark.parametrize(("status", "body", "error_class", "text"), ODD_BODIES)
def test_an_answer_that_is_no_error_of_stripes_is_known_by_its_status(
    status: int, body: bytes, error_class: type[StripeError], text: str
) -> None:
    error = error_from(status, {}, body)
    assert type(error) is error_class
    assert str(error).startswith(text)


ODD_VALUES: list[dict[str, Any]] = [
    {"message": {"text": "No"}},
    {"message": "No", "param": 5},
    {"message": "No", "code": ["resource_missing"]},
    {"message": "No", "type": {}},
]


@pytest.mark.parametrize("said", ODD_VALUES)
def test_values_that_stripe_never_sends_do_not_hide_the_error(said: dict[str, Any]) -> None:
    assert refusal(404, said).http_status == 404


def test_oauths_errors_have_a_shape_of_their_own() -> None:
    body = b'{"error": "invalid_grant", "error_description": "Authorization code expired"}'
    error = error_from(400, {"Request-Id": "req_abc"}, body)
    assert error.code == "invalid_grant"
    assert str(error) == "Authorization code expired (HTTP 400, request req_abc)"


# --- Keys in messages --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "prefix",
    ["sk_live_", "sk_test_", "rk_live_", "rk_test_", "pk_live_", "sk_org_live_", "sk_org_", "sk_"],
)
@pytest.mark.parametrize("quoted", [QUOTED, "********bLkd", f"{QUOTED}_{QUOTED}"])
def test_of_a_key_that_stripe_quotes_only_the_kind_is_left(prefix: str, quoted: str) -> None:
    message = f"Invalid API Key provided: {prefix}{quoted}. Sorry"
    error = refusal(401, {"message": message})
    shown = f"Invalid API Key provided: {prefix}…. Sorry"
    assert (error.message, error.args) == (shown, (shown,))


@pytest.mark.parametrize("word", ["rak_charge_read", "acct_1", "task_live_1", "req_abc"])
def test_what_only_looks_like_a_key_is_left_as_it_is(word: str) -> None:
    assert refusal(400, {"message": f"About {word} only"}).message == f"About {word} only"


# --- Whether to ask again ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "should_retry", "retriable"),
    [
        (400, None, False),
        (400, "true", True),
        (400, "false", False),
        (401, None, False),
        (404, "true", True),
        (409, None, True),
        (409, "false", False),
        (429, None, True),
        (429, "false", False),
        (500, None, True),
        (500, "true", True),
        (503, "false", False),
        (503, "perhaps", True),
        (400, "perhaps", False),
    ],
)
def test_stripe_says_whether_to_ask_again_and_where_it_does_not_the_status_does(
    status: int,
    should_retry: str | None,
    retriable: bool,  # noqa: FBT001
) -> None:
    headers = {} if should_retry is None else {"Stripe-Should-Retry": should_retry}
    assert refusal(status, {"message": "No"}, headers).retriable is retriable


def test_an_answer_that_was_cut_short_may_be_asked_for_again() -> None:
    assert errors.UnreadableAnswerError("cut short", http_status=200).retriable
    assert not errors.BrokenListError("empty", http_status=200).retriable
