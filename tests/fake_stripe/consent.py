"""The authorize pages, in front of a user who decides at once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from tests.fake_stripe.errors import StripeError
from tests.fake_stripe.oauth import SCOPES
from tests.fake_stripe.wire import Answer

if TYPE_CHECKING:
    from tests.fake_stripe.oauth import OAuth
    from tests.fake_stripe.request import Request

CONNECT = "/oauth/authorize"
APPS = re.compile(r"/oauth/v2/(chnlink_\w+/)?authorize")


def token_path(path: str) -> str | None:
    """Where the codes of an authorize page are redeemed; None if the path is none."""
    if path == CONNECT:
        return "/oauth/token"
    return "/v1/oauth/token" if APPS.fullmatch(path) else None


def consent(oauth: OAuth, request: Request, token_path: str) -> Answer:
    """The redirect that an authorize page ends with.

    Raises:
        StripeError: The page cannot tell where the user came from, so they stay.
    """
    params = request.params
    if params.get("client_id") != oauth.client_id:
        raise StripeError(400, "No application matches the supplied client identifier")
    uri = params.get("redirect_uri") or next(iter(oauth.redirect_uris), "")
    if uri not in oauth.redirect_uris:
        raise StripeError(
            400,
            f"Invalid request: Invalid redirect URI: '{uri}'. Ensure this uri exactly matches one"
            " of the uris specified in your application settings",
        )
    outcome = _outcome(oauth, request, token_path)
    if "state" in params:
        outcome["state"] = params["state"]
    query = urlencode(outcome, quote_via=quote)
    location = f"{uri}{'&' if '?' in uri else '?'}{query}"
    return Answer(status=302, body=b"", headers={"Content-Type": "text/html", "Location": location})


def _outcome(oauth: OAuth, request: Request, token_path: str) -> dict[str, str]:
    """What the redirect says: a code, or an error."""
    scope = "stripe_apps"
    if request.path == CONNECT:
        kind = request.params.get("response_type", "")
        if kind != "code":
            return _error("unsupported_response_type", f"Unsupported response type: {kind}")
        scope = request.params.get("scope", "read_only")
        if scope not in SCOPES["connect"]:
            return _error("invalid_scope", f"Invalid scope: {scope}")
    if oauth.denies:
        return _error("access_denied", "The user denied your request")
    return {"scope": scope, "code": oauth.code(oauth.consenting_account, token_path, scope)}


def _error(error: str, description: str) -> dict[str, str]:
    return {"error": error, "error_description": description}
