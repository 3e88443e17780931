"""API keys: who a request is from, what it may read, and Stripe's refusals."""

from __future__ import annotations

import base64
import binascii
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from tests.fake_stripe.errors import StripeError
from tests.fake_stripe.ids import token

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Container, Mapping

    from tap_stripe_conn.catalogue.resources import Resource

Kind = Literal["secret", "restricted", "publishable", "organization", "oauth"]
State = Literal["active", "expired", "disconnected"]
"""`disconnected`: an access token whose account has withdrawn it."""

Omission = Literal["name", "code", "body"]
"""What a refusal may lack: the permission's name, Stripe's `code`, or all of the body."""

PERMISSIONS = {
    "account": "rak_accounts_kyc_basic_read",
    "account_capabilities": "rak_accounts_kyc_basic_read",
    "account_external_accounts": "rak_accounts_kyc_basic_read",
    "account_persons": "rak_accounts_kyc_basic_read",
    "accounts": "rak_accounts_kyc_basic_read",
    "customer_payment_methods": "rak_payment_method_read",
    "balance_transactions": "rak_balance_transaction_source_read",
    "invoice_items": "rak_invoice_read",
    "payout_balance_transactions": "rak_balance_transaction_source_read",
    "prices": "rak_plan_read",
    "subscription_items": "rak_subscription_read",
    "webhook_endpoints": "rak_webhook_read",
}
"""Where the permission isn't the object's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One API key."""

    text: str
    kind: Kind
    account: str
    livemode: bool
    permissions: frozenset[str] | None = None
    """What it may do; None: everything."""

    omits: frozenset[Omission] = frozenset()
    """What refusals for want of a permission lack."""

    state: State = "active"
    expires: float = math.inf
    """When it does, in Unix seconds."""

    other_address_only: bool = False
    """Whether its allowlist leaves this machine out."""

    connect: bool = True
    """Whether it may act on connected accounts."""

    @property
    def masked(self) -> str:
        """As Stripe shows a key in its messages: kind and last four characters."""
        return mask(self.text)


class Keys:
    """The keys that the server knows."""

    def __init__(
        self,
        account: str,
        *,
        livemode: bool,
        now: Callable[[], float],
        secret_key: str | None = None,
    ) -> None:
        """Make the platform account's secret key, unless one is given."""
        self.platform = account
        self._livemode = livemode
        self._now = now
        self._keys: dict[str, Key] = {}
        self.secret = secret_key or self.make("secret").text
        self._keys[self.secret] = Key(
            text=self.secret, kind="secret", account=account, livemode=livemode
        )

    def make(  # noqa: PLR0913 - what tells one key from another
        self,
        kind: Kind,
        *,
        account: str | None = None,
        livemode: bool | None = None,
        permissions: Collection[str] | None = None,
        omits: Collection[Omission] = (),
        state: State = "active",
        expires: float = math.inf,
        other_address_only: bool = False,
        connect: bool = True,
    ) -> Key:
        """A new key, of the platform's account and the server's mode unless others are given."""
        if livemode is None:
            livemode = self._livemode
        prefix = {"restricted": "rk", "oauth": "rk", "publishable": "pk"}.get(kind, "sk")
        middle = "org_" if kind == "organization" else ""
        key = Key(
            text=f"{prefix}_{middle}{'live' if livemode else 'test'}_{token(24)}",
            kind=kind,
            account=account or self.platform,
            livemode=livemode,
            permissions=None if permissions is None else frozenset(permissions),
            omits=frozenset(omits),
            state=state,
            expires=expires,
            other_address_only=other_address_only,
            connect=connect,
        )
        self._keys[key.text] = key
        return key

    def end(self, text: str, state: State) -> None:
        """Let a key work no more."""
        self._keys[text] = replace(self._keys[text], state=state)

    def authenticate(self, headers: Mapping[str, str]) -> Key:
        """The key of a request.

        Raises:
            StripeError: 401, or what Stripe says of a key that may not be used like this.
        """
        text = presented(headers.get("authorization", ""))
        if not text:
            raise StripeError(
                401,
                "You did not provide an API key. You need to provide your API key in the"
                " Authorization header, using Bearer auth (e.g. 'Authorization: Bearer"
                " YOUR_SECRET_KEY'). See https://stripe.com/docs/api#authentication for details, or"
                " we can help at https://support.stripe.com/.",
                headers={"WWW-Authenticate": 'Basic realm="Stripe"'},
            )
        key = self._keys.get(text)
        if key is None:
            raise StripeError(401, f"Invalid API Key provided: {mask(text)}")
        if key.state == "expired" or key.expires <= self._now():
            raise StripeError(
                401, f"Expired API Key provided: {key.masked}", code="api_key_expired"
            )
        if key.kind == "publishable":
            raise StripeError(
                403,
                "This API call cannot be made with a publishable API key. Please use a secret API"
                " key. You can find a list of your API keys at"
                " https://dashboard.stripe.com/account/apikeys.",
                code="secret_key_required",
            )
        if key.other_address_only:
            raise StripeError(
                403,
                f"The API key provided ({key.masked}) does not allow requests from your IP"
                " address.",
            )
        return key

    def account(self, key: Key, headers: Mapping[str, str], accounts: Container[str]) -> str:
        """Whose objects a request is about: `Stripe-Account`, `Stripe-Context` or the key's own.

        Raises:
            StripeError: An account that the key cannot reach; what an organization key lacks.
        """
        wanted = headers.get("stripe-account")
        context = headers.get("stripe-context")
        if key.kind == "organization" and not (context and headers.get("stripe-version")):
            header = "Stripe-Version" if context else "Stripe-Context"
            raise StripeError(
                400,
                f"Requests with an organization API key need the {header} header. See"
                " https://docs.stripe.com/keys#organization-api-keys.",
            )
        above: list[str] = []
        if context is not None:
            *above, wanted = context.split("/")
        # A token stands for its account already, and is refused where it names it.
        named_by_token = key.kind == "oauth" and wanted is not None
        if wanted is None:
            wanted = key.account
        # Every account is the platform's own or connected to it, so a path leads through it.
        known = wanted in accounts and above in ([], [self.platform])
        own = wanted == key.account and not named_by_token
        if own and known and key.state != "disconnected":
            return wanted
        if key.kind == "restricted" and not key.connect:
            raise StripeError(
                403,
                "You passed a restricted API key with the Stripe-Account header, but this key has"
                " no Connect permissions.",
            )
        if key.kind == "oauth" or not known:
            wanted = context or wanted
            raise StripeError(
                403,
                f"The provided key '{key.masked}' does not have access to account '{wanted}' (or"
                " that account does not exist). Application access may have been revoked.",
                code="account_invalid",
            )
        return wanted

    @staticmethod
    def permit(key: Key, permission: str, account: str) -> None:
        """Refuse a key that lacks a permission.

        Raises:
            StripeError: 403 that names the permission.
        """
        if key.permissions is None or permission in key.permissions:
            return
        raise unpermitted(key, account, None if "name" in key.omits else permission)


def unpermitted(key: Key, account: str, permission: str | None = None) -> StripeError:
    """The 403 for want of a permission, which it names if it is told."""
    message = (
        f"The provided key '{key.masked}' does not have the required permissions for this endpoint"
        f" on account '{account}'."
    )
    if permission:
        message += f" Having the '{permission}' permission would allow this request to continue."
    code = "more_permissions_required" + ("_for_application" if key.kind == "oauth" else "")
    return StripeError(
        403,
        message,
        code=None if "code" in key.omits else code,
        empty="body" in key.omits,
    )


def permission_for(resource: Resource, resources: Mapping[str, Resource]) -> str:
    """The restricted-key permission that reading a stream takes (`rak_charge_read`)."""
    if resource.name in PERMISSIONS:
        return PERMISSIONS[resource.name]
    if resource.parent and resource.parent.location == "path":
        return permission_for(resources[resource.parent.stream], resources)
    return f"rak_{resource.objects[0].replace('.', '_')}_read"


def presented(authorization: str) -> str:
    """The key in an Authorization header: Bearer, or Basic with the key as user name."""
    scheme, _, value = authorization.strip().partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(value).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return ""


def mask(text: str) -> str:
    """A key with its middle starred."""
    head, _, tail = text.rpartition("_")
    head = head + "_" if head else ""
    return f"{head}{'*' * max(4, len(tail) - 4)}{tail[-4:]}"
