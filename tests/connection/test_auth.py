from __future__ import annotations

import pytest
from requests import Request

from tap_stripe_conn.config import config_schema, parse_settings
from tap_stripe_conn.connection.auth import ApiKeyAuthenticator, authenticator_for

CHARGES = "https://api.stripe.com/v1/charges"

KEYS = [
    "sk_" + "live_" + "1",
    "sk_" + "test_" + "1",
    "rk_" + "live_" + "1",
    "rk_" + "test_" + "1",
]
ORGANIZATION_KEY = "sk_" + "org_live_" + "1"


def sent(key: str, account_id: str | None = None) -> dict[str, str]:
    """The headers of a request by these settings."""
    config = {"live_api_key": key, "account_id": account_id}
    auth = authenticator_for(parse_settings(config, config_schema()), user_agent="tap")
    return dict(Request("GET", CHARGES, auth=auth).prepare().headers)


@pytest.mark.parametrize("key", KEYS)
def test_a_key_goes_out_as_a_bearer_token_and_alone(key: str) -> None:
    assert sent(key) == {"Authorization": f"Bearer {key}"}


@pytest.mark.parametrize("key", KEYS)
def test_the_account_of_a_key_goes_into_stripe_account(key: str) -> None:
    assert sent(key, "acct_1") == {"Authorization": f"Bearer {key}", "Stripe-Account": "acct_1"}


@pytest.mark.parametrize("account", ["acct_1", "acct_1/acct_2"])
def test_the_account_of_an_organization_key_goes_into_stripe_context(account: str) -> None:
    assert sent(ORGANIZATION_KEY, account) == {
        "Authorization": f"Bearer {ORGANIZATION_KEY}",
        "Stripe-Context": account,
    }


@pytest.mark.parametrize("account", [None, ""])
def test_there_is_never_an_empty_account_header(account: str | None) -> None:
    assert sent(KEYS[0], account).keys() == {"Authorization"}
    request = Request("GET", CHARGES, auth=ApiKeyAuthenticator(KEYS[0], account)).prepare()
    assert request.headers.keys() == {"Authorization"}


def test_an_authenticator_does_not_show_its_key() -> None:
    key = KEYS[0]
    authenticator = ApiKeyAuthenticator(key)
    assert key not in repr(authenticator)
    assert key not in str(authenticator)
