"""Authenticators: one class for each auth scheme, each a `requests` auth object.

To add a scheme, write a class that puts its credentials on a prepared request, and name it in
`authenticator_for`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from typing_extensions import override

from tap_stripe_conn.api.client import Authenticator

if TYPE_CHECKING:
    from requests import PreparedRequest

    from tap_stripe_conn.config import Settings

ORGANIZATION_KEY: Final = "sk_org_"


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


def authenticator_for(settings: Settings) -> Authenticator:
    """The authenticator of the configured scheme."""
    return ApiKeyAuthenticator(settings.live_api_key, settings.account_id)
