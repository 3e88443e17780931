"""The two token endpoints: Connect's (`/oauth/token`) and Stripe Apps' (`/v1/oauth/token`)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.fake_stripe.errors import OAuthError, StripeError
from tests.fake_stripe.idempotency import Idempotency
from tests.fake_stripe.keys import unpermitted
from tests.fake_stripe.oauth import PATHS
from tests.fake_stripe.wire import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.fake_stripe.faults import Fault
    from tests.fake_stripe.keys import Key, Keys
    from tests.fake_stripe.oauth import OAuth
    from tests.fake_stripe.request import Request

NEEDED = {"refresh_token": "refresh_token", "authorization_code": "code"}
"""Each grant type and the parameter that it takes."""


class TokenEndpoint:
    """Answers token requests, and goes wrong where that is asked."""

    def __init__(
        self,
        oauth: OAuth,
        keys: Keys,
        *,
        now: Callable[[], float],
        wait: Callable[[float], object],
    ) -> None:
        """Exchange what `oauth` granted, for clients that have one of `keys`."""
        self._oauth = oauth
        self._keys = keys
        self._wait = wait
        self._idempotency = Idempotency(now)

    def answer(self, request: Request, fault: Fault | None) -> Answer:
        """The answer to a token request, as a fault leaves it."""
        if fault is not None and fault.moment == "before":
            if fault.kind != "stall":
                return fault.spoil(Answer(status=200, body=b""), request)
            self._wait(fault.seconds)
        try:
            answer = self._executed(request, fault)
        except StripeError as error:
            answer = error.answer(request)
        if fault is not None and fault.moment == "after" and not fault.is_error:
            return fault.spoil(answer, request)
        return answer

    def _executed(self, request: Request, fault: Fault | None) -> Answer:
        client = self._client(request)
        _check(request.form)
        connect = PATHS[request.path] == "connect"

        def execute() -> Answer:
            return self._exchanged(request, client, fault)

        if connect or not self._oauth.idempotent:
            return execute()
        return self._idempotency.answer(client.text, request, execute)

    def _client(self, request: Request) -> Key:
        """The platform's secret key: in the header, or Connect's `client_secret` parameter."""
        headers: Mapping[str, str] = request.headers
        secret = request.form.get("client_secret")
        if secret and "authorization" not in headers and PATHS[request.path] == "connect":
            headers = {"authorization": f"Bearer {secret}"}
        key = self._keys.authenticate(headers)
        if key.kind != "secret":
            raise unpermitted(key, key.account)
        return key

    def _exchanged(self, request: Request, client: Key, fault: Fault | None) -> Answer:
        """The answer of one execution, which is what an idempotency key repeats."""
        if fault is not None and fault.moment == "during":
            if fault.is_error:
                return fault.spoil(Answer(status=200, body=b""), request)
            self._wait(fault.seconds)
        try:
            tokens = self._oauth.exchange(request.path, request.form, client)
        except StripeError as error:
            answer = error.answer(request)
        else:
            answer = Answer(status=200, body=json.dumps(tokens).encode())
        if fault is not None and fault.moment == "after":
            if fault.is_error:
                return fault.spoil(answer, request)
            self._wait(fault.seconds)
        return answer


def _check(form: Mapping[str, str]) -> None:
    """Refuse a form that names no grant."""
    kind = form.get("grant_type")
    if kind is None:
        raise OAuthError(error="invalid_request", description="No grant type specified")
    if kind not in NEEDED:
        raise OAuthError(
            error="unsupported_grant_type", description=f"Unsupported grant type: {kind}"
        )
    if NEEDED[kind] not in form:
        what = NEEDED[kind].replace("_", " ")
        raise OAuthError(error="invalid_request", description=f"No {what} provided")
