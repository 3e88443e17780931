"""The connection test: do these credentials open the account, with as few rights as possible?"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from tap_stripe_conn.api.client import PROBE
from tap_stripe_conn.api.errors import (
    AccountError,
    AuthenticationError,
    ConnectionFailedError,
    CredentialsError,
    ForbiddenError,
    IpNotAllowedError,
    NotEnabledError,
    NotFoundError,
    RateLimitError,
    ServerError,
    StripeError,
    UnreadableAnswerError,
)
from tap_stripe_conn.config import API_KEY, OAUTH2
from tap_stripe_conn.redaction import printable, redacted

if TYPE_CHECKING:
    from tap_stripe_conn.api.client import Object, Params, StripeClient
    from tap_stripe_conn.config import AuthScheme

SECOND_PROBE: Final = "/v1/customers"
"""Read, one row of it, where the first probe settles nothing."""

TIMEOUT: Final = 20.0
"""Seconds to wait for the answer to a probe."""

PAUSE: Final = 1.0
"""Seconds before the second probe, where Stripe stumbled over the first."""

AVAILABLE: Final = "connection available"
UNAVAILABLE: Final = "Connection unavailable"

Failure: TypeAlias = "StripeError | ConnectionFailedError | CredentialsError"


class ConnectionUnavailableError(Exception):
    """The connection test failed; `str()` is the line that users and deployments read."""

    def __init__(self, reason: str) -> None:
        """Say why.

        Args:
            reason: One clause for people.
        """
        super().__init__(redacted(f"{UNAVAILABLE}: {reason}"))
        self.reason = redacted(reason)


@dataclass(frozen=True, slots=True)
class Account:
    """The account that the credentials open, as far as they may read of it."""

    id: str | None = None
    name: str | None = None
    created: int | None = None
    """Unix seconds; for a connected account, when it was connected."""


NO_ACCOUNT: Final = Account()


def check_connection(
    client: StripeClient, *, account_id: str | None = None, scheme: AuthScheme = API_KEY
) -> Account:
    """Prove the credentials with one read-only request, or two if the first settles nothing.

    Args:
        client: With the credentials to prove.
        account_id: The account that they are to open, for the message.
        scheme: Of the credentials, for the message.

    Raises:
        ConnectionUnavailableError: Stripe refuses them, or can't be reached.
    """
    found = _probe(client, PROBE)
    if not isinstance(found, Account) and found.retriable:
        time.sleep(PAUSE)
        found = _probe(client, SECOND_PROBE, {"limit": 1})
    elif isinstance(found, (NotEnabledError, NotFoundError)):
        found = _probe(client, SECOND_PROBE, {"limit": 1})
    if not isinstance(found, Account):
        raise ConnectionUnavailableError(reason(found, account_id, scheme)) from found
    return found


def _probe(client: StripeClient, path: str, params: Params | None = None) -> Account | Failure:
    try:
        answer = client.get(path, params, max_tries=1, timeout=TIMEOUT)
    except ForbiddenError as error:
        # Stripe knows the key and the account: only this object is closed to it.
        return Account(error.account) if error.from_stripe else error
    except (StripeError, ConnectionFailedError, CredentialsError) as error:
        return error
    if "object" not in answer:
        return UnreadableAnswerError("The answer is no object of Stripe's", http_status=200)
    return _account(answer) if answer["object"] == "account" else Account()


def _account(answer: Object) -> Account:
    """What an account's object says of it (https://docs.stripe.com/api/accounts/object)."""
    names = (
        _text(answer, "business_profile", "name"),
        _text(answer, "settings", "dashboard", "display_name"),
    )
    created = answer.get("created")
    return Account(
        _text(answer, "id"),
        next(filter(None, names), None),
        created if isinstance(created, int) else None,
    )


def _text(value: Any, *names: str) -> str | None:  # noqa: ANN401 - JSON
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return printable(value) if isinstance(value, str) else None


def reason(error: Failure, account_id: str | None = None, scheme: AuthScheme = API_KEY) -> str:
    """Why these credentials can't be used, as one clause with what to do about it."""
    if isinstance(error, CredentialsError):
        return str(error)
    if isinstance(error, ConnectionFailedError):
        return f"Stripe can't be reached: {error}"
    account = f"account {account_id}" if account_id else "the account"
    key = "token" if scheme == OAUTH2 else "key"
    for error_class, sentence in _SENTENCES:
        if isinstance(error, error_class):
            return sentence.format(account=account, key=key, said=_said(error, scheme))
    return f"Stripe refused the request: {error}"


_SENTENCES: Final[tuple[tuple[type[StripeError], str], ...]] = (
    (IpNotAllowedError, "the API key may not be used from this machine's IP address: {said}"),
    (AuthenticationError, "{said}"),
    (AccountError, "{account} can't be reached with this {key}; check account_id: {said}"),
    (RateLimitError, "Stripe is refusing requests for being too many; try again later: {said}"),
    (ServerError, "Stripe is failing; try again later: {said}"),
    (UnreadableAnswerError, "api_base does not answer as Stripe does: {said}"),
)


def _said(error: StripeError, scheme: AuthScheme) -> str:
    """Stripe's own words, but for a rejected key, of which they quote a part."""
    if not isinstance(error, AuthenticationError) or isinstance(error, IpNotAllowedError):
        return str(error)
    sentence = "Stripe rejected the API key; check live_api_key"
    if scheme == OAUTH2:
        sentence = "Stripe rejected the access token; authorize the connection again"
    elif error.expired:
        sentence = "the API key has expired or was rolled; enter the new one"
    elif error.code == "secret_key_required":
        sentence = "the API key is a publishable one, which can't read"
    request = f", request {error.request_id}" if error.request_id else ""
    return f"{sentence} (HTTP {error.http_status}{request})"
