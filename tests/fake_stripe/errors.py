"""Stripe's error bodies (https://docs.stripe.com/api/errors), raised as one exception."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Literal

from typing_extensions import override

from tests.fake_stripe.wire import Answer

if TYPE_CHECKING:
    from tests.fake_stripe.request import Request

REFUSALS: dict[str, tuple[int, str]] = {
    "not_enabled": (400, "Invalid request. Have you onboarded to Treasury?"),
    "issuing": (400, "Your account is not set up to use Issuing."),
    "identity": (400, "Your account is not set up to use Identity."),
    "sigma": (403, "This API surface is not enabled for this account."),
    "accounts_v2": (400, "Accounts v2 is not enabled for your platform."),
    "forwarding": (400, "You are not authorized to send Forwarding requests in livemode."),
    "testmode_only": (400, "This resource is only available in testmode."),
    "wrong_mode": (400, "This resource isn't available in test mode."),
    "platform_controls": (
        403,
        "You cannot perform this request as you do not have Platform Controls.",
    ),
    "unrecognized": (404, ""),
}
"""Refusals of a whole list, as Stripe words them: status and message. `unrecognized` is the
404 of an unknown URL, which is how some products answer accounts that don't have them."""

Refusal = Literal[
    "not_enabled",
    "issuing",
    "identity",
    "sigma",
    "accounts_v2",
    "forwarding",
    "testmode_only",
    "wrong_mode",
    "platform_controls",
    "unrecognized",
]


VERSION = re.compile(r"^\d{4}-\d\d-\d\d(\.\w+)?(;.*)?$")


class StripeError(Exception):
    """An answer that is an error."""

    def __init__(  # noqa: PLR0913 - the parts of the answer
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        kind: str = "invalid_request_error",
        headers: dict[str, str] | None = None,
        empty: bool = False,
    ) -> None:
        """`kind` is Stripe's `type`; `headers` go out with the answer; `empty`: without a body."""
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.kind = kind
        self.headers = headers or {}
        self.empty = empty

    def answer(self, request: Request) -> Answer:
        """What goes back to a request that fails like this."""
        body = b"" if self.empty else self.body(request)
        return Answer(status=self.status, body=body, headers=dict(self.headers))

    def body(self, request: Request) -> bytes:
        """The JSON that Stripe sends."""
        error: dict[str, Any] = {"message": self.message, "type": self.kind}
        if self.code:
            error["code"] = self.code
            error["doc_url"] = "https://docs.stripe.com/error-codes/" + self.code.replace("_", "-")
        if self.param:
            error["param"] = self.param
        if request.api_mode == "v1":
            error["request_log_url"] = f"https://dashboard.stripe.com/logs/{request.id}"
        return json.dumps({"error": error}, indent=2).encode()


class OAuthError(StripeError):
    """A token endpoint's refusal (https://docs.stripe.com/connect/oauth-reference)."""

    def __init__(self, *, description: str, error: str = "invalid_grant") -> None:
        """`error` is a word, where the API's is an object."""
        super().__init__(400, description, code=error)

    @override
    def body(self, request: Request) -> bytes:
        return json.dumps({"error": self.code, "error_description": self.message}).encode()


def missing(
    object_name: str, identifier: str, *, status: int = 404, param: str = "id"
) -> StripeError:
    """`resource_missing`: 404 for an object in the path, 400 for one in a parameter."""
    return StripeError(
        status,
        f"No such {object_name}: '{identifier}'",
        code="resource_missing",
        param=param,
    )


def aged_out(event: str, param: str) -> StripeError:
    """The 400 for the id of an event that is older than Stripe keeps them, in a parameter."""
    message = (
        f"Event {event} is no longer available because it's aged out of our retention policy"
        " (30 days)."
    )
    return bad_parameter(param=param, message=message)


def unknown_url(method: str, path: str) -> StripeError:
    """The answer to a URL that Stripe doesn't have."""
    return StripeError(
        404,
        f"Unrecognized request URL ({method}: {path}). If you are trying to list objects, remove"
        " the trailing slash. If you are trying to retrieve an object, make sure you passed a valid"
        " (non-empty) identifier in your code. Please see https://stripe.com/docs or we can help at"
        " https://support.stripe.com/.",
    )


def bad_parameter(*, param: str, message: str, code: str | None = None) -> StripeError:
    """A 400 about one parameter."""
    return StripeError(400, message, code=code, param=param)


def refuse_bad_version(version: str | None) -> None:
    """Raise Stripe's 400 for an API version that cannot be one."""
    if version is not None and not VERSION.match(version):
        raise StripeError(400, f"Invalid Stripe API version: {version}")


def refusal(name: Refusal, method: str, path: str) -> StripeError:
    """What an account gets that doesn't have the product, or not in this mode."""
    status, message = REFUSALS[name]
    if name == "unrecognized":
        return unknown_url(method, path)
    return StripeError(status, message)
