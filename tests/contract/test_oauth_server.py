"""The fake server's OAuth, by Connect and by Stripe Apps: grants, exchanges, and their ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
from stripe import _error as errors
from stripe import oauth_error

from tests.contract.official import client_of, ids
from tests.fake_stripe import FakeStripe
from tests.fake_stripe.ids import token

if TYPE_CHECKING:
    from stripe import StripeClient

NOON = 1_700_000_000
HOUR = 3600
CONNECT = "/oauth/token"
APPS = "/v1/oauth/token"
BOTH = pytest.mark.parametrize("path", [CONNECT, APPS])


@pytest.fixture
def account(stripe: FakeStripe) -> str:
    """A connected account with one charge."""
    connected = stripe.add_account()
    stripe.add("charges", account=connected)
    return connected


def exchange(stripe: FakeStripe, path: str, *, key: str | None = None, **form: str) -> Any:  # noqa: ANN401 - the client has no class for Apps' tokens
    """Ask a token endpoint, by the official client."""
    options: dict[str, Any] = {"base": "connect" if path == CONNECT else "api", **form}
    return client_of(stripe, key).raw_request("post", path, **options).data


def refresh(stripe: FakeStripe, path: str, refresh_token: str, **rest: str) -> Any:  # noqa: ANN401
    return exchange(stripe, path, grant_type="refresh_token", refresh_token=refresh_token, **rest)


def redeem(stripe: FakeStripe, path: str, code: str, **rest: str) -> Any:  # noqa: ANN401
    return exchange(stripe, path, grant_type="authorization_code", code=code, **rest)


def charges(stripe: FakeStripe, access_token: str) -> list[str]:
    return ids(client_of(stripe, access_token).v1.charges.list().data)


def post(stripe: FakeStripe, path: str, **options: Any) -> requests.Response:  # noqa: ANN401
    return requests.post(stripe.url + path, timeout=10, **options)


# --- Exchanges ---------------------------------------------------------------------------------


def test_connect_answers_the_official_client(stripe: FakeStripe, account: str) -> None:
    client = client_of(stripe)
    refresh_token = stripe.refresh_token(account)
    answer = client.oauth.token({"grant_type": "refresh_token", "refresh_token": refresh_token})
    assert (answer.stripe_user_id, answer.token_type, answer.livemode, answer.scope) == (
        account,
        "bearer",
        False,
        "read_write",
    )
    assert str(answer.access_token).startswith("rk_" + "test_")
    assert charges(stripe, str(answer.access_token)) == stripe.ids("charges", account=account)
    assert [request.path for request in stripe.token_requests] == [CONNECT]
    assert stripe.token_requests[0].form["refresh_token"] == refresh_token


def test_connects_refresh_token_stays_and_each_exchange_ends_the_access_token_before(
    stripe: FakeStripe, account: str
) -> None:
    refresh_token = stripe.refresh_token(account)
    first = refresh(stripe, CONNECT, refresh_token)
    narrower = refresh(stripe, CONNECT, refresh_token, scope="read_only")
    second = refresh(stripe, CONNECT, refresh_token)
    assert {first["refresh_token"], second["refresh_token"]} == {refresh_token}
    with pytest.raises(errors.AuthenticationError, match="Expired API Key provided"):
        charges(stripe, first["access_token"])
    assert len(charges(stripe, second["access_token"])) == 1
    assert len(charges(stripe, narrower["access_token"])) == 1


def test_connects_access_token_does_not_expire(stripe: FakeStripe, account: str) -> None:
    stripe.now = lambda: NOON
    answer = refresh(stripe, CONNECT, stripe.refresh_token(account))
    assert "expires_in" not in answer
    stripe.now = lambda: NOON + 10 * 365 * 24 * HOUR
    assert len(charges(stripe, answer["access_token"])) == 1


def test_apps_roll_the_refresh_token_and_the_old_one_is_dead_at_once(
    stripe: FakeStripe, account: str
) -> None:
    old = stripe.refresh_token(account, path=APPS)
    answer = refresh(stripe, APPS, old)
    assert answer["refresh_token"] != old
    assert (answer["scope"], answer["stripe_user_id"]) == ("stripe_apps", account)
    with pytest.raises(oauth_error.InvalidGrantError) as raised:
        refresh(stripe, APPS, old)
    assert raised.value.http_status == 400
    newer = refresh(stripe, APPS, answer["refresh_token"])
    assert len(charges(stripe, answer["access_token"])) == 1, "lives its hour"
    assert len(charges(stripe, newer["access_token"])) == 1


def test_an_access_token_of_apps_lives_an_hour_by_the_servers_clock(
    stripe: FakeStripe, account: str
) -> None:
    stripe.now = lambda: NOON
    access_token = stripe.oauth_token(account, path=APPS)
    stripe.now = lambda: NOON + HOUR - 1
    assert len(charges(stripe, access_token)) == 1
    stripe.now = lambda: NOON + HOUR
    with pytest.raises(errors.AuthenticationError, match="Expired API Key provided: rk_") as raised:
        charges(stripe, access_token)
    assert raised.value.error is not None
    assert raised.value.error.code == "api_key_expired"


def test_how_long_tokens_of_apps_live_can_be_set_and_said(stripe: FakeStripe, account: str) -> None:
    stripe.now = lambda: NOON
    refresh_token = stripe.refresh_token(account, path=APPS)
    first = refresh(stripe, APPS, refresh_token)
    assert "expires_in" not in first
    stripe.oauth.lifetime = 60
    stripe.oauth.sends_expires_in = True
    second = refresh(stripe, APPS, first["refresh_token"])
    assert second["expires_in"] == 60
    stripe.now = lambda: NOON + 60
    assert len(charges(stripe, first["access_token"])) == 1
    with pytest.raises(errors.AuthenticationError, match="Expired API Key"):
        charges(stripe, second["access_token"])


def test_a_refresh_token_of_apps_lives_a_year(stripe: FakeStripe, account: str) -> None:
    stripe.now = lambda: NOON
    refresh_token = stripe.refresh_token(account, path=APPS)
    stripe.now = lambda: NOON + 365 * 24 * HOUR
    with pytest.raises(oauth_error.InvalidGrantError, match="expired or revoked"):
        refresh(stripe, APPS, refresh_token)


def test_an_access_token_stands_for_its_account(stripe: FakeStripe, account: str) -> None:
    client = client_of(stripe, stripe.oauth_token(account))
    assert len(client.v1.charges.list().data) == 1
    for other in (account, stripe.account_id, stripe.add_account()):
        with pytest.raises(errors.PermissionError) as raised:
            client.v1.charges.list(options={"stripe_account": other})
        assert raised.value.error is not None
        assert raised.value.error.code == "account_invalid"


def test_access_tokens_have_the_permissions_of_the_moment_they_are_made(
    stripe: FakeStripe, account: str
) -> None:
    before = stripe.oauth_token(account, path=APPS)
    stripe.oauth.permissions = {stripe.permission_for("customers")}
    limited = client_of(stripe, stripe.oauth_token(account, path=APPS))
    assert limited.v1.customers.list().data == []
    with pytest.raises(errors.PermissionError, match="rak_charge_read") as raised:
        limited.v1.charges.list()
    assert raised.value.error is not None
    assert raised.value.error.code == "more_permissions_required_for_application"
    stripe.oauth.omits = {"body"}
    with pytest.raises(errors.APIError, match="Invalid response body"):
        charges(stripe, stripe.oauth_token(account, path=APPS))
    assert len(charges(stripe, before)) == 1


# --- Codes -------------------------------------------------------------------------------------


@BOTH
def test_a_code_is_good_for_one_connection(stripe: FakeStripe, account: str, path: str) -> None:
    answer = redeem(stripe, path, stripe.oauth.code(account, path))
    assert answer["stripe_user_id"] == account
    assert len(charges(stripe, answer["access_token"])) == 1
    again = refresh(stripe, path, answer["refresh_token"])
    assert len(charges(stripe, again["access_token"])) == 1


@BOTH
def test_a_code_that_is_used_twice_costs_the_connection(
    stripe: FakeStripe, account: str, path: str
) -> None:
    code = stripe.oauth.code(account, path)
    answer = redeem(stripe, path, code)
    with pytest.raises(oauth_error.InvalidGrantError, match="has already been used"):
        redeem(stripe, path, code)
    with pytest.raises(oauth_error.InvalidGrantError, match="expired or revoked"):
        refresh(stripe, path, answer["refresh_token"])
    with pytest.raises((errors.AuthenticationError, errors.PermissionError)):
        charges(stripe, answer["access_token"])


def test_a_code_lives_five_minutes(stripe: FakeStripe, account: str) -> None:
    stripe.now = lambda: NOON
    code = stripe.oauth.code(account, CONNECT)
    stripe.now = lambda: NOON + 300
    with pytest.raises(oauth_error.InvalidGrantError, match=f"Authorization code expired: {code}"):
        redeem(stripe, CONNECT, code)


# --- Refusals ----------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize(
    ("form", "error", "message"),
    [
        ({}, oauth_error.InvalidRequestError, "No grant type"),
        ({"grant_type": "refresh_token"}, oauth_error.InvalidRequestError, "No refresh token"),
        ({"grant_type": "authorization_code"}, oauth_error.InvalidRequestError, "No code"),
        ({"grant_type": "password"}, oauth_error.UnsupportedGrantTypeError, "password"),
        (
            {"grant_type": "refresh_token", "refresh_token": "rt_gone"},
            oauth_error.InvalidGrantError,
            "Invalid refresh token",
        ),
        (
            {"grant_type": "authorization_code", "code": "ac_gone"},
            oauth_error.InvalidGrantError,
            "Authorization code does not exist: ac_gone",
        ),
    ],
)
def test_a_form_that_is_not_right_is_refused_in_oauths_words(
    stripe: FakeStripe,
    path: str,
    form: dict[str, str],
    error: type[oauth_error.OAuthError],
    message: str,
) -> None:
    with pytest.raises(error, match=message) as raised:
        exchange(stripe, path, **form)
    assert raised.value.http_status == 400


def test_a_wider_scope_than_the_grants_is_invalid(stripe: FakeStripe, account: str) -> None:
    answer = redeem(stripe, CONNECT, stripe.oauth.code(account, CONNECT, scope="read_only"))
    assert answer["scope"] == "read_only"
    with pytest.raises(oauth_error.InvalidScopeError, match="read_write"):
        refresh(stripe, CONNECT, answer["refresh_token"], scope="read_write")


@pytest.mark.parametrize(("made_for", "used_at"), [(CONNECT, APPS), (APPS, CONNECT)])
def test_one_providers_tokens_do_not_belong_at_the_others_endpoint(
    stripe: FakeStripe, account: str, made_for: str, used_at: str
) -> None:
    code = stripe.oauth.code(account, made_for)
    with pytest.raises(oauth_error.InvalidGrantError, match="does not belong to you"):
        redeem(stripe, used_at, code)
    refresh_token = stripe.refresh_token(account, path=made_for)
    with pytest.raises(oauth_error.InvalidGrantError, match="does not belong to you"):
        refresh(stripe, used_at, refresh_token)
    assert redeem(stripe, made_for, code)["stripe_user_id"] == account, "it was left alone"
    assert refresh(stripe, made_for, refresh_token)["stripe_user_id"] == account


@BOTH
def test_another_platforms_secret_is_refused(stripe: FakeStripe, account: str, path: str) -> None:
    other = stripe.keys.make("secret", account=stripe.add_account()).text
    with pytest.raises(oauth_error.InvalidGrantError, match="does not belong to you"):
        refresh(stripe, path, stripe.refresh_token(account, path=path), key=other)


@BOTH
def test_a_wrong_secret_is_an_invalid_api_key(stripe: FakeStripe, account: str, path: str) -> None:
    wrong = "sk_" + "test_" + token(24)
    refresh_token = stripe.refresh_token(account, path=path)
    with pytest.raises(errors.AuthenticationError, match="Invalid API Key provided: sk_test_"):
        refresh(stripe, path, refresh_token, key=wrong)
    assert refresh(stripe, path, refresh_token)["stripe_user_id"] == account


@BOTH
def test_only_a_secret_key_is_a_secret(stripe: FakeStripe, account: str, path: str) -> None:
    refresh_token = stripe.refresh_token(account, path=path)
    for wrong in (
        stripe.restricted_key({"rak_charge_read"}),
        stripe.oauth_token(stripe.account_id, path=path),
        stripe.publishable_key(),
        stripe.org_key(),
    ):
        with pytest.raises(errors.PermissionError):
            refresh(stripe, path, refresh_token, key=wrong)
    assert refresh(stripe, path, refresh_token)["stripe_user_id"] == account


def test_connect_takes_the_secret_as_bearer_as_user_name_and_as_parameter(
    stripe: FakeStripe, account: str
) -> None:
    form = {"grant_type": "refresh_token", "refresh_token": stripe.refresh_token(account)}
    bearer = {"Authorization": f"Bearer {stripe.secret_key}"}
    assert post(stripe, CONNECT, data=form, headers=bearer).ok
    assert post(stripe, CONNECT, data=form, auth=(stripe.secret_key, "")).ok
    secret = {"client_secret": stripe.secret_key}
    assert post(stripe, CONNECT, data={**form, **secret}).ok
    assert post(stripe, CONNECT, data=form).status_code == 401


def test_apps_take_the_secret_as_user_name_and_not_as_parameter(
    stripe: FakeStripe, account: str
) -> None:
    form = {
        "grant_type": "refresh_token",
        "refresh_token": stripe.refresh_token(account, path=APPS),
    }
    assert post(stripe, APPS, data={**form, "client_secret": stripe.secret_key}).status_code == 401
    assert post(stripe, APPS, data=form, auth=(stripe.secret_key, "")).ok


# --- Modes -------------------------------------------------------------------------------------


@BOTH
def test_a_live_secret_gets_nothing_for_a_test_grant(
    stripe: FakeStripe, account: str, path: str
) -> None:
    live, code = stripe.other_mode_key(), stripe.oauth.code(account, path)
    with pytest.raises(oauth_error.InvalidGrantError) as raised:
        redeem(stripe, path, code, key=live)
    assert raised.value.user_message == (
        "Passed in livemode API key but authorization code only supports returning test keys"
    )
    with pytest.raises(oauth_error.InvalidGrantError, match="Passed in livemode API key"):
        refresh(stripe, path, stripe.refresh_token(account, path=path), key=live)
    assert redeem(stripe, path, code)["livemode"] is False, "the code is still good"


def test_connects_live_grant_is_good_for_a_test_token_too() -> None:
    with FakeStripe(livemode=True) as stripe:
        account = stripe.add_account()
        stripe.add("charges", account=account)
        refresh_token = stripe.refresh_token(account)
        live = refresh(stripe, CONNECT, refresh_token)
        test = refresh(stripe, CONNECT, refresh_token, key=stripe.other_mode_key())
        assert (live["livemode"], test["livemode"]) == (True, False)
        assert len(charges(stripe, live["access_token"])) == 1
        assert charges(stripe, test["access_token"]) == []


def test_apps_live_grant_is_for_a_live_secret_only() -> None:
    with FakeStripe(livemode=True) as stripe:
        refresh_token = stripe.refresh_token(stripe.account_id, path=APPS)
        with pytest.raises(oauth_error.InvalidGrantError, match="only supports returning live"):
            refresh(stripe, APPS, refresh_token, key=stripe.other_mode_key())


# --- Ends --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "error"), [(CONNECT, errors.PermissionError), (APPS, errors.AuthenticationError)]
)
def test_when_the_user_disconnects_nothing_works_any_more(
    stripe: FakeStripe, account: str, path: str, error: type[errors.StripeError]
) -> None:
    refresh_token = stripe.refresh_token(account, path=path)
    access_token = stripe.oauth_token(account, path=path)
    another = stripe.oauth_token(stripe.account_id, path=path)
    code = stripe.oauth.code(account, path)
    stripe.oauth.revoke(account)
    with pytest.raises(oauth_error.InvalidGrantError) as raised:
        refresh(stripe, path, refresh_token)
    assert raised.value.user_message == "Token has been expired or revoked."
    with pytest.raises(oauth_error.InvalidGrantError):
        redeem(stripe, path, code)
    with pytest.raises(error):
        charges(stripe, access_token)
    assert charges(stripe, another) == []


def test_a_disconnected_account_has_granted_nothing(stripe: FakeStripe, account: str) -> None:
    refresh_token = stripe.refresh_token(account)
    stripe.disconnect(account)
    with pytest.raises(oauth_error.InvalidGrantError, match="expired or revoked"):
        refresh(stripe, CONNECT, refresh_token)


# --- Authorize pages ---------------------------------------------------------------------------


def browse(url: str, **params: str) -> requests.Response:
    return requests.get(url, params=params, allow_redirects=False, timeout=10)


def landed(answer: requests.Response) -> tuple[str, dict[str, str]]:
    """Where a redirect leads, and its parameters."""
    assert answer.status_code == 302
    uri, _, query = answer.headers["Location"].partition("?")
    return uri, dict(parse_qsl(query))


def test_the_official_clients_authorize_url_ends_with_a_code(
    stripe: FakeStripe, account: str
) -> None:
    stripe.oauth.redirect_uris = ["http://127.0.0.1:1/back", "http://127.0.0.1:1/other"]
    stripe.oauth.consenting_account = account
    client: StripeClient = client_of(stripe)
    url = client.oauth.authorize_url(
        {"scope": "read_write", "state": "s&1", "redirect_uri": "http://127.0.0.1:1/other"}
    )
    uri, params = landed(browse(url))
    assert uri == "http://127.0.0.1:1/other"
    assert (params["scope"], params["state"]) == ("read_write", "s&1")
    answer = client.oauth.token({"grant_type": "authorization_code", "code": params["code"]})
    assert answer.stripe_user_id == account


@pytest.mark.parametrize("page", ["/oauth/v2/authorize", "/oauth/v2/chnlink_61abcDEF/authorize"])
def test_apps_page_needs_no_scope_and_falls_back_to_the_first_redirect_uri(
    stripe: FakeStripe, account: str, page: str
) -> None:
    stripe.oauth.redirect_uris = ["http://127.0.0.1:1/back?by=stripe", "http://127.0.0.1:1/b"]
    stripe.oauth.consenting_account = account
    answer = browse(stripe.url + page, client_id=stripe.oauth.client_id, state="s1")
    uri, params = landed(answer)
    assert (uri, params["by"]) == ("http://127.0.0.1:1/back", "stripe")
    assert (params["scope"], params["state"]) == ("stripe_apps", "s1")
    assert redeem(stripe, APPS, params["code"])["stripe_user_id"] == account


@pytest.mark.parametrize(
    ("page", "params", "error"),
    [
        ("/oauth/authorize", {"response_type": "code"}, "access_denied"),
        ("/oauth/v2/authorize", {}, "access_denied"),
        ("/oauth/authorize", {"response_type": "token"}, "unsupported_response_type"),
        ("/oauth/authorize", {"response_type": "code", "scope": "all"}, "invalid_scope"),
    ],
)
def test_a_page_leads_back_with_an_error_and_the_state(
    stripe: FakeStripe, page: str, params: dict[str, str], error: str
) -> None:
    stripe.oauth.redirect_uris = ["http://127.0.0.1:1/back"]
    stripe.oauth.denies = True
    client_id = stripe.oauth.client_id
    answer = browse(stripe.url + page, client_id=client_id, state="s1", **params)
    uri, back = landed(answer)
    assert (uri, back["error"], back["state"]) == ("http://127.0.0.1:1/back", error, "s1")
    assert "code" not in back
    if error == "access_denied":
        description = urlsplit(answer.headers["Location"]).query
        assert "error_description=The%20user%20denied%20your%20request" in description


@pytest.mark.parametrize("page", ["/oauth/authorize", "/oauth/v2/authorize"])
def test_a_page_leads_nowhere_that_is_not_registered(stripe: FakeStripe, page: str) -> None:
    stripe.oauth.redirect_uris = ["http://127.0.0.1:1/back"]
    elsewhere = browse(
        stripe.url + page,
        client_id=stripe.oauth.client_id,
        redirect_uri="http://127.0.0.1:1/back/",
        response_type="code",
    )
    assert elsewhere.status_code == 400
    assert "Invalid redirect URI" in elsewhere.json()["error"]["message"]
    unknown = browse(stripe.url + page, client_id="ca_gone", response_type="code")
    assert unknown.status_code == 400
    message = unknown.json()["error"]["message"]
    assert message == "No application matches the supplied client identifier"
