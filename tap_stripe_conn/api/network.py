"""What can go wrong between here and Stripe, in words; and how long to wait for an answer."""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import urlsplit

import requests

from tap_stripe_conn.api.errors import ConnectionFailedError
from tap_stripe_conn.redaction import redacted

CONNECT_TIMEOUT: Final = 10.0
READ_TIMEOUT: Final = 80.0
"""Seconds without a byte; Stripe's own clients wait as long."""


def on_loopback(url: str) -> bool:
    """Whether what is sent to a URL stays on this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def connection_failed(error: Exception) -> ConnectionFailedError:
    """The error for a request that got no answer.

    Args:
        error: As requests raised it.
    """
    return ConnectionFailedError(_reason(error))


BROKEN_OFF: Final = "the connection broke off in the middle of an answer"

_REASONS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (requests.exceptions.ProxyError, "the proxy does not let the request through"),
    (requests.exceptions.SSLError, "the TLS certificate or handshake failed"),
    (requests.exceptions.ConnectTimeout, "no connection within the time allowed"),
    (requests.exceptions.Timeout, "no answer within the time allowed"),
    (requests.exceptions.ChunkedEncodingError, BROKEN_OFF),
)

_REASONS_BY_CAUSE: Final[tuple[tuple[str, str], ...]] = (
    # requests wraps these several deep; their class names are urllib3's and the system's.
    ("NameResolutionError", "the host name can't be resolved (DNS)"),
    ("gaierror", "the host name can't be resolved (DNS)"),
    ("ConnectionRefusedError", "the connection is refused"),
    ("ConnectionResetError", "the connection is reset"),
    ("RemoteDisconnected", "the connection is closed without an answer"),
    ("ReadTimeoutError", "no answer within the time allowed"),
    ("IncompleteRead", BROKEN_OFF),
)


def _reason(error: Exception) -> str:
    if not isinstance(error, requests.RequestException):
        return redacted(str(error))
    for error_class, reason in _REASONS:
        if isinstance(error, error_class):
            return reason
    described = repr(error) + "".join(repr(cause) for cause in _causes(error))
    for name, reason in _REASONS_BY_CAUSE:
        if name in described:
            return reason
    return type(error).__name__


def _causes(error: BaseException) -> list[BaseException]:
    causes = []
    cause = error.__cause__ or error.__context__
    while cause is not None:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    return causes
