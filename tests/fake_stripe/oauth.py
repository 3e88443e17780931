"""OAuth: what accounts granted, as codes, refresh tokens and access tokens.

Connect (https://docs.stripe.com/connect/oauth-reference): refresh tokens stay, access tokens live
until the next refresh. Stripe Apps (https://docs.stripe.com/stripe-apps/api-authentication/oauth):
access tokens live an hour, refresh tokens a year and for one exchange.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from threading import RLock
from typing import TYPE_CHECKING, Literal, TypedDict

from tests.fake_stripe.errors import OAuthError
from tests.fake_stripe.ids import token

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from typing_extensions import NotRequired

    from tests.fake_stripe.keys import Key, Keys, Omission

Provider = Literal["connect", "apps"]

PATHS: dict[str, Provider] = {"/oauth/token": "connect", "/v1/oauth/token": "apps"}
"""The token endpoints."""

SCOPES = {"connect": ("read_write", "read_only"), "apps": ("stripe_apps",)}
"""What can be granted, the widest first."""

HOUR = 3600.0
YEAR = 365 * 24 * HOUR
CODE_LIFETIME = 300.0


@dataclass(slots=True, kw_only=True, eq=False)
class Grant:
    """An account's consent."""

    provider: Provider
    account: str
    scope: str
    livemode: bool
    refresh_token: str = ""
    """The one that works."""

    expires: float = math.inf
    """When that does."""

    revoked: bool = False
    access_tokens: list[str] = field(default_factory=list)
    rolling: dict[tuple[str, bool], str] = field(default_factory=dict)
    """Connect's access tokens by scope and mode, of which one each works."""


@dataclass(slots=True, eq=False)
class Code:
    """An authorization code."""

    grant: Grant
    expires: float
    redeemed: bool = False


class TokenAnswer(TypedDict):
    """What a token endpoint answers."""

    access_token: str
    livemode: bool
    refresh_token: str
    scope: str
    stripe_publishable_key: str
    stripe_user_id: str
    token_type: str
    expires_in: NotRequired[int]


class OAuth:
    """The platform's application: its settings, and what was granted to it."""

    def __init__(
        self, keys: Keys, *, account: str, livemode: bool, now: Callable[[], float]
    ) -> None:
        """Put access tokens among `keys`."""
        self.client_id = f"ca_{token(32)}"
        self.redirect_uris: list[str] = []
        """The registered ones; the first is the default."""

        self.consenting_account = account
        """Whose user is in front of the authorize page."""

        self.denies = False
        """Whether that user says no."""

        self.lifetime = HOUR
        """Seconds that an access token of Apps lives."""

        self.refresh_lifetime = YEAR
        """Seconds that a refresh token of Apps lives."""

        self.sends_expires_in = False
        """Whether Apps' answers have `expires_in`, which isn't documented."""

        self.idempotent = True
        """Whether Apps' endpoint honours `Idempotency-Key`, as the rest of the API does."""

        self.permissions: Collection[str] | None = None
        """What access tokens made from now on may do; None: everything."""

        self.omits: Collection[Omission] = ()
        """What their refusals lack: `name`, `code`, `body`."""

        self._keys = keys
        self._livemode = livemode
        self._now = now
        self._lock = RLock()
        self._grants: list[Grant] = []
        self._by_token: dict[str, Grant] = {}
        self._codes: dict[str, Code] = {}

    # --- Without a browser -----------------------------------------------------------------

    def refresh_token(self, account: str, path: str) -> str:
        """A new grant's refresh token, to be used at `path`."""
        with self._lock:
            return self._roll(self._consent(account, PATHS[path], None))

    def access_token(self, account: str, path: str) -> str:
        """A new grant's access token."""
        with self._lock:
            grant = self._consent(account, PATHS[path], None)
            return self._issue(grant, grant.scope, livemode=self._livemode)["access_token"]

    def code(self, account: str, path: str, scope: str | None = None) -> str:
        """A new grant's authorization code, to be redeemed at `path` once, within 5 minutes."""
        with self._lock:
            text = f"ac_{token(32)}"
            grant = self._consent(account, PATHS[path], scope)
            self._codes[text] = Code(grant, self._now() + CODE_LIFETIME)
            return text

    def revoke(self, account: str) -> None:
        """Have an account's user disconnect: nothing that it granted works any more."""
        with self._lock:
            for grant in self._grants:
                if grant.account == account:
                    self._revoke(grant)

    # --- At the token endpoints ------------------------------------------------------------

    def exchange(self, path: str, form: Mapping[str, str], key: Key) -> TokenAnswer:
        """Exchange a code or a refresh token; `key` is the client's secret.

        Raises:
            OAuthError: It isn't worth an access token.
        """
        provider = PATHS[path]
        with self._lock:
            if form["grant_type"] == "authorization_code":
                grant = self._redeem(form["code"], provider, key)
                return self._issue(grant, grant.scope, livemode=key.livemode)
            grant = self._refresh(form["refresh_token"], provider, key)
            scope = _narrowed(grant, form.get("scope"))
            return self._issue(grant, scope, livemode=key.livemode)

    def _redeem(self, text: str, provider: Provider, key: Key) -> Grant:
        code = self._codes.get(text)
        what = "Authorization code"
        if code is None:
            raise OAuthError(description=f"{what} does not exist: {text}")
        if code.grant.provider != provider or key.account != self._keys.platform:
            raise OAuthError(description=f"{what} provided does not belong to you")
        if code.redeemed:
            self._revoke(code.grant)
            raise OAuthError(
                description="This authorization code has already been used. All tokens issued with"
                " this code have been revoked."
            )
        if code.grant.revoked or code.expires <= self._now():
            raise OAuthError(description=f"{what} expired: {text}")
        _check_mode(code.grant, key, what)
        code.redeemed = True
        return code.grant

    def _refresh(self, text: str, provider: Provider, key: Key) -> Grant:
        grant = self._by_token.get(text)
        if grant is None:
            raise OAuthError(description="Invalid refresh token")
        if grant.provider != provider or key.account != self._keys.platform:
            raise OAuthError(description="Refresh token provided does not belong to you")
        if grant.revoked or text != grant.refresh_token or grant.expires <= self._now():
            raise OAuthError(description="Token has been expired or revoked.")
        _check_mode(grant, key, "refresh token")
        return grant

    # --- Grants ----------------------------------------------------------------------------

    def _consent(self, account: str, provider: Provider, scope: str | None) -> Grant:
        grant = Grant(
            provider=provider,
            account=account,
            scope=scope or SCOPES[provider][0],
            livemode=self._livemode,
        )
        self._grants.append(grant)
        return grant

    def _issue(self, grant: Grant, scope: str, *, livemode: bool) -> TokenAnswer:
        apps = grant.provider == "apps"
        if apps or not grant.refresh_token:
            self._roll(grant)
        access = self._keys.make(
            "oauth",
            account=grant.account,
            livemode=livemode,
            permissions=self.permissions,
            omits=self.omits,
            expires=self._now() + self.lifetime if apps else math.inf,
        ).text
        grant.access_tokens.append(access)
        if not apps:
            if before := grant.rolling.get((scope, livemode)):
                self._keys.end(before, "expired")
            grant.rolling[scope, livemode] = access
        public = self._keys.make("publishable", account=grant.account, livemode=livemode)
        answer: TokenAnswer = {
            "access_token": access,
            "livemode": livemode,
            "refresh_token": grant.refresh_token,
            "scope": scope,
            "stripe_publishable_key": public.text,
            "stripe_user_id": grant.account,
            "token_type": "bearer",
        }
        if apps and self.sends_expires_in:
            answer["expires_in"] = int(self.lifetime)
        return answer

    def _roll(self, grant: Grant) -> str:
        """Give a grant a new refresh token, which ends the one before."""
        grant.refresh_token = f"rt_{token(24)}"
        if grant.provider == "apps":
            grant.expires = self._now() + self.refresh_lifetime
        self._by_token[grant.refresh_token] = grant
        return grant.refresh_token

    def _revoke(self, grant: Grant) -> None:
        grant.revoked = True
        for text in grant.access_tokens:
            self._keys.end(text, "expired" if grant.provider == "apps" else "disconnected")


def _narrowed(grant: Grant, scope: str | None) -> str:
    """The scope of an access token: the grant's, or a narrower one that was asked for."""
    if scope is None:
        return grant.scope
    scopes = SCOPES[grant.provider]
    if scope not in scopes[scopes.index(grant.scope) :]:
        raise OAuthError(error="invalid_scope", description=f"Invalid scope: {scope}")
    return scope


def _check_mode(grant: Grant, key: Key, what: str) -> None:
    """Refuse a secret of the wrong mode: of Connect's live grants, both modes' are right."""
    if key.livemode == grant.livemode or (grant.provider == "connect" and grant.livemode):
        return
    passed, supported = ("live", "test") if key.livemode else ("test", "live")
    raise OAuthError(
        description=f"Passed in {passed}mode API key but {what.lower()} only supports returning"
        f" {supported} keys"
    )
