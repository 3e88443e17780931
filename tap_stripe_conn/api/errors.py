"""Stripe's error bodies, and the network's failures, as exceptions.

Source: https://docs.stripe.com/error-codes and https://docs.stripe.com/rate-limits.
"""

from __future__ import annotations

import json
import re
import time
from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

from tap_stripe_conn.redaction import printable, redacted

if TYPE_CHECKING:
    from collections.abc import Mapping


class StripeError(Exception):
    """Stripe answered with an error.

    `str()` gives one line for people, with the request id that Stripe's support asks for.
    """

    def __init__(  # noqa: PLR0913 - one argument for each thing that Stripe says
        self,
        message: str,
        *,
        http_status: int,
        type: str | None = None,  # noqa: A002 - Stripe's name for it
        code: str | None = None,
        param: str | None = None,
        request_id: str | None = None,
        should_retry: bool | None = None,
        rate_limited_reason: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        """Keep what Stripe said, without secrets: it quotes keys in part, others might in full.

        Args:
            message: Stripe's sentence.
            http_status: Of the answer.
            type: Stripe's `error.type`, such as `invalid_request_error`.
            code: Stripe's `error.code`, such as `resource_missing`.
            param: The query parameter at fault.
            request_id: From the `Request-Id` header, `req_…`.
            should_retry: From the `Stripe-Should-Retry` header.
            rate_limited_reason: From `Stripe-Rate-Limited-Reason`, such as `endpoint-rate`.
            retry_after: Seconds, from `Retry-After`: not Stripe's, but what stands before it.
        """
        self.message = redacted(printable(message))
        super().__init__(self.message)
        self.http_status = http_status
        self.type = _redacted(type)
        self.code = _redacted(code)
        self.param = _redacted(param)
        self.request_id = _redacted(request_id)
        self.should_retry = should_retry
        self.rate_limited_reason = _redacted(rate_limited_reason)
        self.retry_after = retry_after

    @override
    def __str__(self) -> str:
        """Stripe's sentence, the status, and the request id."""
        request = f", request {self.request_id}" if self.request_id else ""
        return f"{self.message.rstrip('.')} (HTTP {self.http_status}{request})"

    @property
    def retriable(self) -> bool:
        """Whether the same request may succeed later; `Stripe-Should-Retry` has the last word."""
        return bool(self.should_retry)

    @property
    def from_stripe(self) -> bool:
        """Whether it bears Stripe's mark; something on the way may have answered instead."""
        return bool(self.request_id or self.type)


def _redacted(said: str | None) -> str | None:
    return None if said is None else redacted(said)


class AuthenticationError(StripeError):
    """401: the credentials are not, or no longer, accepted."""

    @property
    def expired(self) -> bool:
        """Whether the key was good once."""
        return self.code == "api_key_expired"


class IpNotAllowedError(AuthenticationError):
    """The key is good, but not from this machine's address."""


class AccountError(StripeError):
    """403: the account in `Stripe-Account` or `Stripe-Context` is out of this key's reach."""


class ForbiddenError(StripeError):
    """403, for a reason of Stripe's that may be anything."""

    @property
    def account(self) -> str | None:
        """The account that may not be read (`acct_…`), where Stripe says."""
        found = re.search(r"\bacct_\w+", self.message)
        return found.group() if found else None


class MissingPermissionError(ForbiddenError):
    """403: the restricted key (or app) may not read this."""

    @property
    def permission(self) -> str | None:
        """The permission that would allow the request (`rak_charge_read`), where Stripe says."""
        found = re.search(r"\brak_\w+", self.message)
        return found.group() if found else None


class NotEnabledError(StripeError):
    """The account does not have the product that this list belongs to."""


class WrongModeError(StripeError):
    """The list exists only in the other mode (live or test) than the key's."""


class NotFoundError(StripeError):
    """404: the object is gone, or of another account or mode."""


class NoChildrenError(NotFoundError):
    """Stripe refuses to list the children of this one parent."""


class InvalidRequestError(StripeError):
    """400: the request itself is wrong."""


class CursorGoneError(InvalidRequestError):
    """400 on `starting_after`: the object that marked the place was deleted."""


class ExpandRefusedError(InvalidRequestError):
    """400 on `expand[]`: the account or the key may not have that field."""


class RetriableError(StripeError):
    """The same request may succeed later, unless Stripe says otherwise."""

    @property
    @override
    def retriable(self) -> bool:
        """True, unless `Stripe-Should-Retry: false`."""
        return self.should_retry is not False


class RateLimitError(RetriableError):
    """429: too many requests, in time or at once; `rate_limited_reason` says which."""


class LockTimeoutError(RetriableError):
    """409 or 429 `lock_timeout`: another request holds the object."""


class ServerError(RetriableError):
    """5xx: Stripe failed."""


class UnreadableAnswerError(RetriableError):
    """A 200 whose body is cut short or is not a JSON object."""


class BrokenListError(StripeError):
    """A list that contradicts itself, so that going on would lose rows or never end."""


class ConnectionFailedError(Exception):
    """No answer from Stripe: DNS, refused, TLS, timeout or a reset; `str()` says which."""

    retriable = True


class UnreachableError(ConnectionFailedError):
    """Stripe answers nothing at all any more, whatever it is asked."""


class CredentialsError(Exception):
    """There are no credentials to put on a request; `str()` is one clause that says why."""

    retriable = False


class CredentialsDelayedError(CredentialsError):
    """There are none now, but there may be later."""

    retriable = True


NOT_ENABLED: Final = (
    # Stripe's own sync engine skips a list on these; the product's name differs by list. What is
    # not known for certain is left out: a list that is taken for closed is missing without a word.
    "have you onboarded to treasury",
    "accounts v2 is not enabled",
    "api surface is not enabled",
    "your account is not set up to use ",
    "not authorized to send forwarding requests",
    "only stripe connect platforms can work with other accounts",
    "signed up for connect",
    # The paths are Stripe's own, so one that it doesn't recognize is closed to this account.
    "unrecognized request url",
)
"""Parts of messages, in lower case, that say that the account lacks a product."""

WRONG_MODE: Final = (
    "only available in testmode",
    "only available in test mode",
    "isn't available in test mode",
    "not available in test mode",
    "only available in livemode",
    "only available in live mode",
    "isn't available in live mode",
    "forwarding requests in livemode",
)
"""Parts of messages, in lower case, that say that the list is of the other mode."""

NO_CHILDREN: Final = (
    "could not find line items for this checkout session",
    "you cannot perform this request as you do not have platform controls",
)
"""Parts of messages, in lower case, that refuse the children of a single parent."""

NO_PERMISSION: Final = (
    "does not have the required permissions",
    "do not have the required permissions",
)
ACCOUNT_OUT_OF_REACH: Final = (
    "does not have access to account",
    "no connect permissions",
)
EXPAND_REFUSED: Final = "cannot be expanded"
IP_NOT_ALLOWED: Final = ("does not allow requests from your ip address",)

_BY_MESSAGE: Final[tuple[tuple[tuple[str, ...], type[StripeError]], ...]] = (
    (IP_NOT_ALLOWED, IpNotAllowedError),
    (ACCOUNT_OUT_OF_REACH, AccountError),
    (NO_PERMISSION, MissingPermissionError),
    (NO_CHILDREN, NoChildrenError),
    (WRONG_MODE, WrongModeError),
    (NOT_ENABLED, NotEnabledError),
)

_BY_CODE: Final[Mapping[str, type[StripeError]]] = {
    "account_invalid": AccountError,
    "api_key_expired": AuthenticationError,
    "secret_key_required": AuthenticationError,
    "platform_api_key_expired": AuthenticationError,
    "more_permissions_required": MissingPermissionError,
    "more_permissions_required_for_application": MissingPermissionError,
    "more_permissions_required_for_session": MissingPermissionError,
    "lock_timeout": LockTimeoutError,
    "rate_limit": RateLimitError,
}

_BY_TYPE: Final[Mapping[str, type[StripeError]]] = {
    # API v2 names its errors by type.
    "feature_not_enabled": NotEnabledError,
    "feature_not_enabled_error": NotEnabledError,
    "rate_limit": RateLimitError,
    "quota_exceeded": RateLimitError,
}

_BY_STATUS: Final[Mapping[int, type[StripeError]]] = {
    401: AuthenticationError,
    403: ForbiddenError,
    404: NotFoundError,
    409: LockTimeoutError,
    429: RateLimitError,
}

_BAD_REQUEST: Final = 400
_SERVER_ERROR: Final = 500


def error_from(status: int, headers: Mapping[str, str], body: bytes) -> StripeError:
    """The exception for an answer that is not a 2xx.

    Args:
        status: HTTP status.
        headers: Of the answer, with names in any case.
        body: As received; Stripe's is `{"error": {"type": …, "code": …, "message": …}}`, but a
            403 may be empty and a 5xx may be a proxy's HTML.
    """
    said = _error_object(body)
    code, kind = said.get("code"), said.get("type")
    message = said.get("message") or f"Stripe answered {status} without a message"
    message = " ".join(message.split())
    error_class = _class_for(status, kind, code, said.get("param"), message)
    if error_class is ForbiddenError and (not body.strip() or "permission" in message.lower()):
        error_class = MissingPermissionError
    return error_class(
        message,
        http_status=status,
        type=kind,
        code=code,
        param=said.get("param"),
        request_id=headers.get("Request-Id"),
        should_retry={"true": True, "false": False}.get(headers.get("Stripe-Should-Retry", "")),
        rate_limited_reason=headers.get("Stripe-Rate-Limited-Reason"),
        retry_after=_seconds_of(headers.get("Retry-After")),
    )


def _class_for(
    status: int, kind: str | None, code: str | None, param: str | None, message: str
) -> type[StripeError]:
    if status >= _SERVER_ERROR:
        return ServerError
    if code in {"resource_missing", None} and param == "starting_after":
        return CursorGoneError
    if status == _BAD_REQUEST and ((param or "").startswith("expand") or EXPAND_REFUSED in message):
        return ExpandRefusedError
    lowered = message.lower()
    for parts, error_class in _BY_MESSAGE:
        if any(part in lowered for part in parts):
            return error_class
    return (
        _BY_CODE.get(code or "")
        or _BY_TYPE.get(kind or "")
        or _BY_STATUS.get(status, InvalidRequestError)
    )


def _seconds_of(retry_after: str | None) -> float | None:
    """Seconds from now on; None for what is neither a number of them nor a date."""
    if not retry_after:
        return None
    if re.fullmatch(r"\d{1,9}", retry_after.strip()):
        return float(retry_after)
    try:
        date = parsedate_to_datetime(retry_after)
    except (ValueError, OverflowError):
        return None
    date = date if date.tzinfo else date.replace(tzinfo=timezone.utc)
    return max(0.0, date.timestamp() - time.time())


def _error_object(body: bytes) -> dict[str, str]:
    """What is text in Stripe's error object; empty where there is none."""
    try:
        document: Any = json.loads(body)
    except ValueError:
        return {}
    error = document.get("error") if isinstance(document, dict) else None
    if isinstance(error, str):  # OAuth's shape
        error = {"code": error, "message": document.get("error_description")}
    if not isinstance(error, dict):
        return {}
    return {name: value for name, value in error.items() if isinstance(value, str)}
