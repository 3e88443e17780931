"""The connection test: do these credentials open the account, with as few rights as possible?"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from tap_stripe_conn.api.client import PROBE
from tap_stripe_conn.api.errors import (
    AccountError,
    AuthenticationError,
    ConnectionFailedError,
    IpNotAllowedError,
    MissingPermissionError,
    NotEnabledError,
    NotFoundError,
    RateLimitError,
    ServerError,
    StripeError,
    UnreadableAnswerError,
)

if TYPE_CHECKING:
    from tap_stripe_conn.api.client import Params, StripeClient

SECOND_PROBE: Final = "/v1/customers"
"""Read, one row of it, where the first probe settles nothing."""

PAUSE: Final = 1.0
"""Seconds before the second probe, where Stripe stumbled over the first."""

AVAILABLE: Final = "connection available"


class ConnectionUnavailableError(Exception):
    """The connection test failed; `str()` is the line that users and deployments read."""

    def __init__(self, reason: str) -> None:
        """Say why.

        Args:
            reason: One clause for people, without secrets.
        """
        super().__init__(f"Connection unavailable: {reason}")


def check_connection(client: StripeClient, *, account_id: str | None = None) -> None:
    """Prove the credentials with one read-only request, or two if the first settles nothing.

    Args:
        client: With the credentials to prove.
        account_id: The account that they are to open, for the message.

    Raises:
        ConnectionUnavailableError: Stripe refuses them, or can't be reached.
    """
    failure = _probe(client, PROBE)
    if isinstance(failure, ConnectionFailedError) or (failure and failure.retriable):
        time.sleep(PAUSE)
        failure = _probe(client, SECOND_PROBE, {"limit": 1})
    elif isinstance(failure, (NotEnabledError, NotFoundError)):
        failure = _probe(client, SECOND_PROBE, {"limit": 1})
    if failure is not None:
        raise ConnectionUnavailableError(reason(failure, account_id)) from failure


def _probe(
    client: StripeClient, path: str, params: Params | None = None
) -> StripeError | ConnectionFailedError | None:
    try:
        answer = client.get(path, params, max_tries=1)
    except MissingPermissionError as error:
        # Stripe knows the key and the account: only this object is closed to it. A 403 with neither
        # a request id nor an error object is not Stripe's, but of something on the way.
        return None if error.request_id or error.type else error
    except (StripeError, ConnectionFailedError) as error:
        return error
    if "object" not in answer:
        return UnreadableAnswerError("The answer is no object of Stripe's", http_status=200)
    return None


def reason(error: StripeError | ConnectionFailedError, account_id: str | None = None) -> str:
    """Why these credentials can't be used, as one clause with what to do about it."""
    if isinstance(error, ConnectionFailedError):
        return f"Stripe can't be reached: {error}"
    account = f"account {account_id}" if account_id else "the account"
    for error_class, sentence in _SENTENCES:
        if isinstance(error, error_class):
            return sentence.format(account=account, said=_said(error))
    return f"Stripe refused the request: {_said(error)}"


_SENTENCES: Final[tuple[tuple[type[StripeError], str], ...]] = (
    (IpNotAllowedError, "the API key may not be used from this machine's IP address: {said}"),
    (AuthenticationError, "{said}"),
    (AccountError, "{account} can't be reached with this key; check account_id: {said}"),
    (RateLimitError, "Stripe is refusing requests for being too many; try again later: {said}"),
    (ServerError, "Stripe is failing; try again later: {said}"),
    (UnreadableAnswerError, "api_base does not answer as Stripe does: {said}"),
)


def _said(error: StripeError) -> str:
    """Stripe's own words, but for a rejected key, of which they quote a part."""
    if not isinstance(error, AuthenticationError) or isinstance(error, IpNotAllowedError):
        return str(error)
    sentence = "Stripe rejected the API key; check live_api_key"
    if error.expired:
        sentence = "the API key has expired or was rolled; enter the new one"
    elif error.code == "secret_key_required":
        sentence = "the API key is a publishable one, which can't read"
    request = f", request {error.request_id}" if error.request_id else ""
    return f"{sentence} (HTTP {error.http_status}{request})"
