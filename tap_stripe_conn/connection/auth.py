"""Authenticators: one class for each auth scheme, each a `requests` auth object.

To add a scheme, write an `Authenticator` that puts its credentials on a prepared request, and name
it in `authenticator_for`.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from tap_stripe_conn.api.client import Authenticator
from tap_stripe_conn.api.errors import (
    ConnectionFailedError,
    CredentialsError,
    ServerError,
    StripeError,
    UnreadableAnswerError,
)
from tap_stripe_conn.config import APPS, OAUTH2, ORGANIZATION_KEY
from tap_stripe_conn.connection.tokens import SPENT, GrantRefusedError, Token, token_endpoint
from tap_stripe_conn.interrupts import to_its_end

if TYPE_CHECKING:
    from requests import PreparedRequest

    from tap_stripe_conn.config import Settings
    from tap_stripe_conn.connection.token_store import TokenStore
    from tap_stripe_conn.connection.tokens import TokenEndpoint

logger = logging.getLogger(__name__)


def authenticator_for(settings: Settings, *, user_agent: str) -> Authenticator:
    """The authenticator of the configured scheme; of a connection, there is one.

    Args:
        settings: The credentials, and the account to speak for.
        user_agent: Names the tap and its version.
    """
    if settings.auth_scheme == OAUTH2:
        # Of what only this scheme needs, the import takes a tenth of the start's time.
        from tap_stripe_conn.connection import token_store  # noqa: PLC0415

        return OAuth2Authenticator(
            token_endpoint(settings, user_agent=user_agent),
            token_store.TokenStore(
                token_store.token_path(settings),
                settings.refresh_token,
                settings.oauth_access_token,
            ),
            refresh_token=settings.refresh_token,
            access_token=settings.oauth_access_token,
            account_id=settings.account_id,
        )
    return ApiKeyAuthenticator(settings.live_api_key, settings.account_id)


class ApiKeyAuthenticator(Authenticator):
    """Scheme "API Key": a secret, restricted or organization key as bearer token.

    Sources: https://docs.stripe.com/keys, https://docs.stripe.com/context
    """

    def __init__(self, key: str, account_id: str | None = None) -> None:
        """Keep the key and the account to speak for.

        Args:
            key: `sk_…` or `rk_…`.
            account_id: `acct_…`; None for the account that the key belongs to.
        """
        self._key = key
        # An empty header is refused by Stripe, so there is either one or none.
        self._account_header: dict[str, str] = {}
        if account_id:
            organization = key.startswith(ORGANIZATION_KEY)
            name = "Stripe-Context" if organization else "Stripe-Account"
            self._account_header[name] = account_id

    @override
    def __call__(self, r: PreparedRequest) -> PreparedRequest:
        """Put the key, and the account where one is set, on a request."""
        r.headers["Authorization"] = f"Bearer {self._key}"
        r.headers.update(self._account_header)
        return r


class OAuth2Authenticator(Authenticator):
    """Scheme "OAuth2": an access token, renewed before it ends or when Stripe refuses it.

    Whoever finds it ended first renews it, once; all others, of this run and of others that share
    the token store, wait and use what came of it.
    """

    def __init__(
        self,
        endpoint: TokenEndpoint,
        store: TokenStore,
        *,
        refresh_token: str,
        access_token: str | None = None,
        account_id: str | None = None,
    ) -> None:
        """Keep what to renew from; nothing is read or sent yet.

        Args:
            endpoint: Of the provider.
            store: Keeps what follows the configured refresh token.
            refresh_token: As configured.
            access_token: As configured; used until the store holds one.
            account_id: `acct_…`; None for the account that the token stands for.
        """
        self._endpoint = endpoint
        self._store = store
        self._refresh_token = refresh_token
        self._access_token = access_token
        self._account_id = account_id
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._failure: CredentialsError | None = None
        self._failed_at = 0.0
        self._used: set[str] = set()
        """Access tokens of the store that this run knows."""
        self._lost = False
        """Whether an answer, and maybe the token in it, was lost on its way."""

    @override
    def ready(self) -> None:
        """Have a token at hand.

        Raises:
            CredentialsError: There is none.
        """
        self._usable()

    @override
    def __call__(self, r: PreparedRequest) -> PreparedRequest:
        """Put the token, and the account if it is another than the token's, on a request.

        Raises:
            CredentialsError: There is no token.
        """
        token = self._usable()
        r.headers["Authorization"] = f"Bearer {token.access_token}"
        if self._account_id and self._account_id != token.account:
            r.headers["Stripe-Account"] = self._account_id
        return r

    @override
    def renew(self, refused: PreparedRequest) -> bool:
        """Get a new token, unless somebody already has since the request was sent.

        Raises:
            CredentialsError: There is none.
        """
        asked_at = time.monotonic()
        with self._lock:
            token = self._token
            if token and refused.headers.get("Authorization") == f"Bearer {token.access_token}":
                logger.info("Stripe no longer accepts the access token; asking for a new one")
                self._token = self._renewed(asked_at)
        return True

    @property
    @override
    def account(self) -> str | None:
        """The account that the token stands for, once that is known."""
        return self._token.account if self._token else None

    def _usable(self) -> Token:
        asked_at = time.monotonic()
        with self._lock:
            token = self._token or self._kept()
            if token is None or not token.usable:
                token = self._renewed(asked_at)
            self._token = token
            return token

    def _kept(self) -> Token | None:
        """What the run before left, or else what is configured."""
        kept = self._store.read()
        if kept is not None:
            self._used.add(kept.access_token)
        # Where an account is asked for, it must be known whether it is the token's own.
        if (
            self._access_token
            and self._account_id is None
            and not self._store.has_seen_access_token()
        ):
            return Token(access_token=self._access_token, refresh_token=self._refresh_token)
        return kept

    def _renewed(self, asked_at: float) -> Token:
        """The token that follows, for everybody who waits for it.

        Args:
            asked_at: By the monotonic clock. Who waited while the attempt before failed is told so
                without another.
        """
        failure = self._failure
        if failure is not None and (not failure.retriable or asked_at < self._failed_at):
            raise type(failure)(*failure.args)
        try:
            with self._store.locked():
                return self._renewed_alone()
        except CredentialsError as error:
            self._failure, self._failed_at = error, time.monotonic()
            raise

    def _renewed_alone(self) -> Token:
        """The token that follows, while no other run can be at it."""
        kept = self._store.read()
        if kept and kept.usable and kept.access_token not in self._used:
            self._used.add(kept.access_token)
            return kept  # by another run, since this one looked
        newest = kept.refresh_token if kept else self._refresh_token
        # Whether there is a place for what comes back is found out while nothing can be lost.
        self._store.check()
        try:
            return self._exchanged(newest)
        except GrantRefusedError:
            # The newest comes first, for it may be the only one alive. The configured one, which it
            # replaced, can't be harmed by being refused; of Stripe Connect it may still be good.
            if newest == self._refresh_token:
                raise
            with suppress(GrantRefusedError):
                return self._exchanged(self._refresh_token)
            raise

    def _exchanged(self, refresh_token: str) -> Token:
        """The token that Stripe gives for a refresh token, kept.

        A request without an answer may have been carried out. To send the same refresh token again
        is safe even where it is used up by that: of Stripe Connect it never is, and Stripe Apps'
        endpoint repeats its answer to a request that it has seen (see `TokenEndpoint`). If it
        doesn't, it refuses, and nothing is worse than before.
        """

        def exchange() -> Token:
            token = self._endpoint.refresh(refresh_token)
            self._store.write(token)
            self._used.add(token.access_token)
            return token

        try:
            token = to_its_end(exchange)
        except (StripeError, ConnectionFailedError) as error:
            failure = self._endpoint.failure(error)
            if self._lost and isinstance(failure, GrantRefusedError):
                msg = f"{failure}; Stripe's answer to a request before was lost, and its token"
                raise GrantRefusedError(msg) from error
            rotating = self._endpoint.provider == APPS
            self._lost |= rotating and isinstance(error, _LOST)
            raise failure from error
        if token.use_until == SPENT and token.refresh_token != refresh_token:
            # Of an answer that Stripe repeats: the access token may have ended long ago.
            return self._exchanged(token.refresh_token)
        logger.info("Stripe gave a new access token for account %s", token.account)
        return token


_LOST: Final = (ConnectionFailedError, ServerError, UnreadableAnswerError)
"""After these, Stripe may have carried out a request nevertheless."""
