"""Stripe's official client, pointed at the fake server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stripe import StripeClient

if TYPE_CHECKING:
    from tests.fake_stripe import FakeStripe


def client_of(stripe: FakeStripe, key: str | None = None, *, retries: int = 0) -> StripeClient:
    """The client with a key; the platform's secret one unless another is given."""
    return StripeClient(
        key or stripe.secret_key,
        base_addresses={"api": stripe.url, "connect": stripe.url, "files": stripe.url},
        client_id=stripe.oauth.client_id,
        max_network_retries=retries,
    )


def ids(rows: Any) -> list[str]:  # noqa: ANN401 - any list of the client
    """The ids of a list's rows, in its order."""
    return [row.id for row in rows]
