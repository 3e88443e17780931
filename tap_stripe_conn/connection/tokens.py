"""Tokens: what Stripe's two token endpoints give for an authorization code or a refresh token.

Sources: https://docs.stripe.com/connect/oauth-reference (Stripe Connect) and
https://docs.stripe.com/stripe-apps/api-authentication/oauth (Stripe Apps).
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import requests

from tap_stripe_conn.api.errors import (
    AuthenticationError,
    ConnectionFailedError,
    CredentialsDelayedError,
    CredentialsError,
    IpNotAllowedError,
    MissingPermissionError,
    NotFoundError,
    ServerError,
    StripeError,
    UnreadableAnswerError,
    error_from,
)
from tap_stripe_conn.api.network import CONNECT_TIMEOUT, connection_failed, on_loopback
from tap_stripe_conn.config import APPS, CONNECT
from tap_stripe_conn.redaction import conceal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_stripe_conn.api.client import Object
    from tap_stripe_conn.config import OAuthProvider, Settings

Given: TypeAlias = Literal["refresh token", "authorization code"]
"""What is exchanged for a token."""

LIFETIME: Final[Mapping[str, float | None]] = {CONNECT: None, APPS: 3600.0}
"""Seconds that an access token lives where the answer doesn't say; None: until it is revoked."""

EARLY: Final = 300.0
"""Seconds before its end that an access token is given up, or a tenth of a shorter life."""

REPEATED: Final = "Idempotent-Replayed"
"""The header of an answer that Stripe repeats."""

SAME_KEY: Final = 3
"""Errors of Stripe's own after which a key is given up, repeated or not."""

MOST_REPEATED: Final = 100
"""Errors of Stripe's own to go past, of a day."""

SPENT: Final = 0.0
"""`use_until` of an access token that may have ended long ago: of an answer that is repeated."""

LONGEST: Final = 366 * 24 * 3600
"""Seconds that any token is believed to live."""

ANSWER_TIMEOUT: Final = 30.0
"""Seconds without a byte of the answer."""


_OTHER_MODE: Final = re.compile(
    r"(live|test) ?mode API key|returning (live|test) keys", re.IGNORECASE
)
"""What Stripe says of a client secret that is live where the grant is a test, or the other way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An access token, and what the next one is asked for with."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    use_until: float | None = None
    """Unix seconds by our clock, somewhat before its end; None: until Stripe refuses it."""

    account: str | None = None
    """The account that it stands for, `acct_…` (Stripe's `stripe_user_id`)."""

    def __post_init__(self) -> None:
        """Whoever has a token has seen to it that it is not shown."""
        conceal(self.access_token, self.refresh_token)

    @property
    def usable(self) -> bool:
        """Whether it is worth a request."""
        return self.use_until is None or time.time() < self.use_until


class GrantRefusedError(CredentialsError):
    """Stripe knows no such refresh token or code, or no longer."""


class TokenEndpoint:
    """The token endpoint of Stripe Connect or of Stripe Apps."""

    def __init__(
        self,
        provider: OAuthProvider,
        *,
        api_base: str,
        connect_base: str,
        client_secret: str,
        user_agent: str,
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            provider: Whose tokens they are.
            api_base: Scheme and host, `https://api.stripe.com`, where Stripe Apps' is.
            connect_base: Scheme and host, `https://connect.stripe.com`, where Connect's is.
            client_secret: Secret key of the platform or app.
            user_agent: Names the tap and its version.
        """
        conceal(client_secret)
        self.provider = provider
        self._client_secret = client_secret
        self._user_agent = user_agent
        self._failures: Counter[str] = Counter()
        """By refresh token: how often Stripe answered the same key with an error of its own."""
        self._keys: Counter[str] = Counter()
        """By refresh token: how many keys are spent."""
        self._setting = "api_base" if provider == APPS else "connect_base"
        self.url = (
            f"{api_base}/v1/oauth/token" if provider == APPS else f"{connect_base}/oauth/token"
        )

    def redeem(self, code: str) -> Token:
        """The first token, for the code that the account's owner was redirected with.

        It is sent once whatever happens: Stripe revokes the connection of a code that is redeemed
        twice.

        Raises:
            CredentialsError: There is no token, with the reason.
        """
        conceal(code)
        try:
            response = self._sent({"grant_type": "authorization_code", "code": code}, {})
            if not response.ok:
                raise error_from(response.status_code, response.headers, response.content)
            return self._token(response, None)
        except (StripeError, ConnectionFailedError) as error:
            raise self.failure(error, "authorization code") from error

    def refresh(self, refresh_token: str) -> Token:
        """The token that follows, by one request, not counting answers that Stripe only repeats.

        Args:
            refresh_token: Of Stripe Apps, it dies of this, if it works.

        Raises:
            StripeError: Stripe's refusal.
            ConnectionFailedError: No answer; whether Stripe has made a token is unknown.
        """
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        while True:
            response = self._sent(form, self._idempotency(refresh_token))
            if response.ok:
                return self._token(response, refresh_token)
            error = error_from(response.status_code, response.headers, response.content)
            if isinstance(error, ServerError) and self._is_kept(refresh_token, response):
                continue
            raise error

    def _is_kept(self, refresh_token: str, response: requests.Response) -> bool:
        """Whether an error of Stripe's own will be repeated, so that another key is called for.

        A new one isn't: what failed may be the way back only, and the next answer is the token.
        """
        self._failures[refresh_token] += 1
        if REPEATED not in response.headers and self._failures[refresh_token] < SAME_KEY:
            return False
        self._failures[refresh_token] = 0
        self._keys[refresh_token] += 1
        return REPEATED in response.headers and self._keys[refresh_token] < MOST_REPEATED

    def failure(
        self, error: StripeError | ConnectionFailedError, given: Given = "refresh token"
    ) -> CredentialsError:
        """Why there is no token, as one clause with what to do about it.

        Args:
            error: Of the request.
            given: What it was to be exchanged for.
        """
        then = "try again later"
        if given == "authorization code":
            then = "authorize again, for the code may be spent"
        if isinstance(error, ConnectionFailedError):
            why = f"Stripe's token endpoint can't be reached: {error}; {then}"
            return CredentialsDelayedError(why)
        if error.code == "invalid_grant":
            return self._refused_grant(error, given)
        said = f"HTTP {error.http_status}"
        said += f", request {error.request_id}" if error.request_id else ""
        if isinstance(error, IpNotAllowedError):
            why = "the client secret may not be used from this machine's IP address"
        elif isinstance(error, AuthenticationError) or error.code == "invalid_client":
            why = "Stripe rejected the client secret; check client_secret"
            if isinstance(error, AuthenticationError) and error.expired:
                why = "the client secret has expired or was rolled; enter the new one"
        elif isinstance(error, (NotFoundError, UnreadableAnswerError)):
            why = f"{self._setting} does not answer as Stripe's token endpoint does"
        else:
            said = str(error)
            why = "Stripe refused to exchange the token"
            if isinstance(error, MissingPermissionError):
                why += "; client_secret must be the secret key (sk_…) of the platform or app"
            elif error.retriable:
                why = f"Stripe's token endpoint is failing; {then}"
        kind = CredentialsDelayedError if error.retriable else CredentialsError
        return kind(f"{why} ({said})")

    def _refused_grant(self, error: StripeError, given: Given) -> CredentialsError:
        if _OTHER_MODE.search(error.message):
            return CredentialsError(
                "client_secret is of the other mode, live or test, than what the account's owner "
                f"granted; enter the secret key of that mode ({error})"
            )
        return GrantRefusedError(
            f"Stripe refused the {given}: it is revoked, expired or already used, or not of "
            f"oauth_provider {self.provider} with this client_secret; authorize the connection "
            f"again ({error})"
        )

    def _idempotency(self, refresh_token: str) -> Mapping[str, str]:
        """Stripe's API answers a POST with the same key again as it did the first time, for a day.

        A lost token can thus be had again, even by the next run: the key follows from the token.
        Errors of Stripe's own are repeated as well, so after those the key is another. Connect's
        endpoint is no part of the API; nor are its refresh tokens used up, and its old answers
        would be stale.
        Source: https://docs.stripe.com/api/idempotent_requests
        """
        if self.provider == CONNECT:
            return {}
        text = f"{refresh_token} {self._keys[refresh_token]}"
        return {"Idempotency-Key": f"tap-stripe-conn-{hashlib.sha256(text.encode()).hexdigest()}"}

    def _sent(self, form: Mapping[str, str], headers: Mapping[str, str]) -> requests.Response:
        if self.provider == CONNECT:
            form = {**form, "client_secret": self._client_secret}
        try:
            with requests.Session() as session:
                return session.post(
                    self.url,
                    data=form,
                    auth=(self._client_secret, ""),
                    headers={"User-Agent": self._user_agent, **headers},
                    timeout=(CONNECT_TIMEOUT, ANSWER_TIMEOUT),
                    allow_redirects=False,
                    # Of the environment's proxies none may see what is sent to this machine.
                    proxies={"http": "", "https": ""} if on_loopback(self.url) else None,
                )
        except (requests.RequestException, OSError, ValueError) as error:
            raise connection_failed(error) from error

    def _token(self, response: requests.Response, refresh_token: str | None) -> Token:
        answer = _object(response)
        access_token = _text(answer, "access_token")
        # What follows is kept even where something else in the answer is not as documented.
        refresh_token = _text(answer, "refresh_token") or refresh_token
        if not access_token or not refresh_token:
            msg = "The token endpoint's answer is cut short or holds no token"
            raise UnreadableAnswerError(
                msg,
                http_status=response.status_code,
                request_id=response.headers.get("Request-Id"),
                should_retry=response.status_code == requests.codes.ok,
            )
        lifetime = _lifetime(answer) or LIFETIME[self.provider]
        asked_at = time.time() - response.elapsed.total_seconds()
        use_until = lifetime and asked_at + lifetime - min(EARLY, lifetime / 10)
        if REPEATED in response.headers:
            use_until = SPENT
        return Token(
            access_token=access_token,
            refresh_token=refresh_token,
            use_until=use_until,
            account=_text(answer, "stripe_user_id"),
        )


def _object(response: requests.Response) -> Object:
    """The answer, by a decoder that takes more than JSON: a token is not lost to a `NaN`."""
    try:
        answer = json.loads(response.content)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _lifetime(answer: Object) -> float | None:
    """Seconds that an access token lives; not documented, but believed where it is there."""
    seconds = answer.get("expires_in")
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        return None
    return float(min(seconds, LONGEST)) if 0 < seconds < math.inf else None


def _text(answer: Object, name: str) -> str | None:
    value = answer.get(name)
    return value if isinstance(value, str) and value else None


def token_endpoint(settings: Settings, *, user_agent: str) -> TokenEndpoint:
    """The token endpoint that the settings name."""
    return TokenEndpoint(
        settings.oauth_provider,
        api_base=settings.api_base,
        connect_base=settings.connect_base,
        client_secret=settings.client_secret,
        user_agent=user_agent,
    )
