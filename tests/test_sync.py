"""What the run does while it has nothing to do."""

from __future__ import annotations

import pytest
from typing_extensions import override

from tap_stripe_conn.api.limits import Limiter
from tap_stripe_conn.tap import TapStripeConn
from tests.fake_stripe import FakeStripe

TWO_SPANS = {
    "until": "2025-12-31T00:00:00Z",
    "pending": [
        ["2025-01-01T00:00:00Z", "2025-02-01T00:00:00Z"],
        ["2024-01-01T00:00:00Z", "2024-02-01T00:00:00Z"],
    ],
}


class Narrowing(Limiter):
    """Lets one request go, holds the next one up, and then says that one is all there may be."""

    looked = 0
    left = 0

    @override
    def most_in_flight(self, endpoint: str | None = None) -> int:
        self.looked += 1
        return 10 if self.left < 2 else 1

    @override
    def admit(self, endpoint: str) -> float:
        if self.left == 1:
            self.left += 1
            return 0.01
        delay = super().admit(endpoint)
        self.left += delay == 0
        return delay


@pytest.mark.usefixtures("capsysbinary")
def test_a_run_that_may_ask_for_no_more_waits_without_turning_in_circles() -> None:
    with FakeStripe() as stripe:
        stripe.seed("charges", 3)
        stripe.latency = {"/v1/charges": 0.5}
        tap = TapStripeConn(
            config={"live_api_key": stripe.secret_key, "api_base": stripe.url},
            state={"bookmarks": {"charges": {"replication_key": "_updated_at", **TWO_SPANS}}},
            catalog={
                "streams": [
                    {
                        "tap_stream_id": "charges",
                        "stream": "charges",
                        "schema": {},
                        "metadata": [{"breadcrumb": [], "metadata": {"selected": True}}],
                    }
                ]
            },
        )
        limiter = Narrowing(rate=1_000, endpoint_rate=1_000)
        tap.__dict__["limiter"] = limiter
        (outcome,) = tap.sync()
        assert outcome.readable
        assert limiter.looked < 100
