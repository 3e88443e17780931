"""The two token endpoints: Connect (`/oauth/token`) and Stripe Apps (`/v1/oauth/token`)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.fake_stripe.ids import token

if TYPE_CHECKING:
    from tests.fake_stripe.keys import Keys
    from tests.fake_stripe.request import Request

PATHS = {"/oauth/token": "read_write", "/v1/oauth/token": "stripe_apps"}
"""Each endpoint and the scope of what it grants."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A connected account's consent, as a refresh token."""

    account: str
    scope: str


class OAuth:
    """Exchanges refresh tokens for access tokens, which are keys like any other."""

    def __init__(self, keys: Keys, *, livemode: bool) -> None:
        """Put access tokens among `keys`."""
        self._keys = keys
        self._livemode = livemode
        self._grants: dict[str, Grant] = {}

    def grant(self, account: str, path: str) -> str:
        """A new refresh token for an account, to be used at `path`."""
        refresh_token = "rt_" + token(24)
        self._grants[refresh_token] = Grant(account, PATHS[path])
        return refresh_token

    def answer(self, request: Request) -> tuple[int, bytes]:
        """The answer to a token request, OAuth's errors included.

        Raises:
            StripeError: The platform's key, in the header or as `client_secret`, is not valid.
        """
        headers = dict(request.headers)
        if "authorization" not in headers and "client_secret" in request.form:
            headers["authorization"] = f"Bearer {request.form['client_secret']}"
        key = self._keys.authenticate(headers)
        if key.kind != "secret":
            return _error("invalid_request", "This needs the platform's secret API key.")
        if request.form.get("grant_type") != "refresh_token":
            kind = request.form.get("grant_type", "")
            return _error("unsupported_grant_type", f"Unsupported grant type: {kind}")
        grant = self._grants.get(request.form.get("refresh_token", ""))
        if grant is None or grant.scope != PATHS[request.path]:
            return _error("invalid_grant", "Invalid refresh token")
        access = self._keys.make("oauth", account=grant.account)
        body = {
            "access_token": access.text,
            "livemode": self._livemode,
            "refresh_token": request.form["refresh_token"],
            "scope": grant.scope,
            "stripe_publishable_key": self._keys.make("publishable", account=grant.account).text,
            "stripe_user_id": grant.account,
            "token_type": "bearer",
        }
        return 200, json.dumps(body).encode()


def _error(error: str, description: str) -> tuple[int, bytes]:
    return 400, json.dumps({"error": error, "error_description": description}).encode()
