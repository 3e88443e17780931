"""Who the fake server lets in, and what to: keys, connected accounts, permissions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from stripe import _error as errors

from tests.contract.official import client_of, ids
from tests.fake_stripe.ids import token

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from stripe import StripeClient

    from tests.fake_stripe import FakeStripe
    from tests.fake_stripe.keys import Omission


@pytest.fixture
def client(stripe: FakeStripe) -> StripeClient:
    return client_of(stripe)


# --- Accounts ----------------------------------------------------------------------------------


def test_stripe_account_reads_a_connected_account(stripe: FakeStripe, client: StripeClient) -> None:
    connected = stripe.add_account()
    assert connected != stripe.account_id
    theirs = stripe.add("charges", account=connected)["id"]
    own = stripe.add("charges")["id"]
    assert ids(client.v1.charges.list().data) == [own]
    listed = client.v1.charges.list(options={"stripe_account": connected})
    assert ids(listed.data) == [theirs]
    assert ids(client.v1.accounts.list().data) == [connected]


def test_a_disconnected_account_is_out_of_reach(stripe: FakeStripe, client: StripeClient) -> None:
    connected = stripe.add_account()
    token = stripe.oauth_token(connected)
    stripe.disconnect(connected)
    with pytest.raises(errors.PermissionError, match="access may have been revoked"):
        client.v1.charges.list(options={"stripe_account": connected})
    with pytest.raises(errors.PermissionError, match="access may have been revoked"):
        client_of(stripe, token).v1.charges.list()


def test_an_account_that_is_not_connected_is_refused(client: StripeClient) -> None:
    with pytest.raises(errors.PermissionError, match="does not have access") as raised:
        client.v1.charges.list(options={"stripe_account": "acct_unknown"})
    assert raised.value.error is not None
    assert raised.value.error.code == "account_invalid"


def test_a_restricted_key_may_lack_connect_permissions(stripe: FakeStripe) -> None:
    key = stripe.restricted_key({stripe.permission_for("charges")}, connect=False)
    client = client_of(stripe, key)
    connected = stripe.add_account()
    with pytest.raises(errors.PermissionError, match="this key has no Connect permissions"):
        client.v1.charges.list(options={"stripe_account": connected})
    assert client.v1.charges.list(options={"stripe_account": stripe.account_id}).data == []


# --- Organizations -----------------------------------------------------------------------------


def test_an_organization_key_needs_a_context_and_a_version(stripe: FakeStripe) -> None:
    connected = stripe.add_account()
    theirs = stripe.add("charges", account=connected)["id"]
    client = client_of(stripe, stripe.org_key())
    with pytest.raises(errors.InvalidRequestError, match="Stripe-Context"):
        client.v1.charges.list()
    with pytest.raises(errors.InvalidRequestError, match="Stripe-Context"):
        client.v1.charges.list(options={"stripe_account": connected})
    listed = client.v1.charges.list(options={"stripe_context": connected})
    assert ids(listed.data) == [theirs]


def test_a_context_may_lead_to_a_connected_account_through_the_platform(
    stripe: FakeStripe,
) -> None:
    connected, another = stripe.add_account(), stripe.add_account()
    theirs = stripe.add("charges", account=connected)["id"]
    client = client_of(stripe, stripe.org_key())
    path = f"{stripe.account_id}/{connected}"
    assert ids(client.v1.charges.list(options={"stripe_context": path}).data) == [theirs]
    for wrong in (f"{another}/{connected}", f"{path}/{another}", f"{connected}/acct_unknown"):
        with pytest.raises(errors.PermissionError, match=f"access to account '{wrong}'"):
            client.v1.charges.list(options={"stripe_context": wrong})


def test_an_organization_key_may_be_restricted(stripe: FakeStripe) -> None:
    client = client_of(stripe, stripe.org_key({stripe.permission_for("customers")}))
    context = stripe.account_id
    assert client.v1.customers.list(options={"stripe_context": context}).data == []
    with pytest.raises(errors.PermissionError, match="'rak_charge_read'"):
        client.v1.charges.list(options={"stripe_context": context})


# --- Keys --------------------------------------------------------------------------------------


def test_an_unknown_key_is_echoed_masked(stripe: FakeStripe) -> None:
    key = "sk_" + "test_" + token(24)
    with pytest.raises(errors.AuthenticationError) as raised:
        client_of(stripe, key).v1.charges.list()
    assert str(raised.value.user_message).startswith("Invalid API Key provided: sk_test_****")
    assert key[-4:] in str(raised.value)
    assert key not in str(raised.value)


def test_an_expired_key_says_so(stripe: FakeStripe) -> None:
    with pytest.raises(errors.AuthenticationError, match="Expired API Key provided") as raised:
        client_of(stripe, stripe.expired_key()).v1.charges.list()
    assert raised.value.error is not None
    assert raised.value.error.code == "api_key_expired"


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (lambda stripe: stripe.publishable_key(), "publishable API key"),
        (lambda stripe: stripe.allowlisted_key(), "does not allow requests from your IP address"),
        (lambda stripe: stripe.restricted_key({"rak_customer_read"}), "'rak_charge_read'"),
    ],
)
def test_keys_that_may_not_read_are_refused(
    stripe: FakeStripe, key: Callable[[FakeStripe], str], message: str
) -> None:
    with pytest.raises(errors.PermissionError, match=message):
        client_of(stripe, key(stripe)).v1.charges.list()


def test_the_other_mode_has_the_account_but_not_its_objects(stripe: FakeStripe) -> None:
    charge = stripe.add("charges")["id"]
    key = stripe.other_mode_key()
    client = client_of(stripe, key)
    assert key.startswith("sk_" + "live_")
    assert client.v1.charges.list().data == []
    with pytest.raises(errors.InvalidRequestError, match="No such charge"):
        client.v1.charges.retrieve(charge)
    assert client.v1.accounts.retrieve_current().id == stripe.account_id
    assert client.v1.balance.retrieve().livemode is True
    assert client_of(stripe).v1.balance.retrieve().livemode is False


# --- Permissions -------------------------------------------------------------------------------


def test_a_restricted_key_reads_what_it_may(stripe: FakeStripe) -> None:
    key = stripe.restricted_key({stripe.permission_for("charges")})
    assert client_of(stripe, key).v1.charges.list().data == []


@pytest.mark.parametrize(
    ("omits", "names", "code"),
    [
        (set(), ["rak_charge_read"], "more_permissions_required"),
        ({"name"}, [], "more_permissions_required"),
        ({"code"}, ["rak_charge_read"], None),
        ({"name", "code"}, [], None),
    ],
)
def test_a_refusal_says_which_permission_is_missing_unless_it_omits_it(
    stripe: FakeStripe, omits: Collection[Omission], names: list[str], code: str | None
) -> None:
    key = stripe.restricted_key(set(), omits=omits)
    with pytest.raises(errors.PermissionError, match="does not have the required") as raised:
        client_of(stripe, key).v1.charges.list()
    assert raised.value.error is not None
    assert re.findall(r"rak_\w+", str(raised.value)) == names
    assert raised.value.error.code == code


def test_a_refusal_may_have_an_empty_body(stripe: FakeStripe) -> None:
    key = stripe.restricted_key(set(), omits={"body"})
    with pytest.raises(errors.APIError, match=r"body from API:  \(HTTP response code was 403\)"):
        client_of(stripe, key).v1.charges.list()


def test_api_v2_refuses_for_want_of_a_permission_too(stripe: FakeStripe) -> None:
    client = client_of(stripe, stripe.restricted_key({stripe.permission_for("v2_core_accounts")}))
    assert client.v2.core.accounts.list().data == []
    with pytest.raises(errors.PermissionError, match="'rak_v2_core_event_read'") as raised:
        client.v2.core.events.list()
    assert raised.value.error is not None
    assert raised.value.error.code == "more_permissions_required"
