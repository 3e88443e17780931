"""What the run does while it has nothing to do, and after an error of its own."""

from __future__ import annotations

import json
from typing import Any
from unittest import mock

import pytest
from typing_extensions import override

from tap_stripe_conn.api.limits import Limiter
from tap_stripe_conn.streams.outcome import Status
from tap_stripe_conn.tap import TapStripeConn
from tests.contract.conftest import catalog_of
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
    let_go = 0

    @override
    def most_in_flight(self, endpoint: str | None = None) -> int:
        self.looked += 1
        return 10 if self.let_go < 2 else 1

    @override
    def admit(self, endpoint: str) -> float:
        if self.let_go == 1:
            self.let_go += 1
            return 0.01
        delay = super().admit(endpoint)
        self.let_go += delay == 0
        return delay


@pytest.mark.usefixtures("capsysbinary")
def test_a_run_that_may_ask_for_no_more_waits_without_turning_in_circles() -> None:
    with FakeStripe() as stripe:
        stripe.seed("charges", 3)
        stripe.latency = {"/v1/charges": 0.5}
        tap = TapStripeConn(
            config={"live_api_key": stripe.secret_key, "api_base": stripe.url},
            state={"bookmarks": {"charges": {"replication_key": "_updated_at", **TWO_SPANS}}},
            catalog=catalog_of(["charges"]),
        )
        limiter = Narrowing(rate=1_000, endpoint_rate=1_000)
        tap.__dict__["limiter"] = limiter
        (outcome,) = tap.sync()
        assert outcome.readable
        assert limiter.looked < 100


@pytest.mark.usefixtures("capsysbinary")
def test_an_error_of_the_taps_own_over_what_events_told_costs_one_stream(
    stripe: FakeStripe, caplog: pytest.LogCaptureFixture
) -> None:
    def tap_of(state: dict[str, Any]) -> TapStripeConn:
        tap = TapStripeConn(
            config={"live_api_key": stripe.secret_key, "api_base": stripe.url},
            state=state,
            catalog=catalog_of(["customers", "products"]),
        )
        tap.check_connection()  # by which it knows Stripe's time
        return tap

    stripe.clock.advance(days=-1)
    gone = {stream: stripe.life.create(stream)["id"] for stream in ("customers", "products")}
    first = tap_of({})
    first.sync()
    stripe.clock.advance(hours=1)
    for stream, identifier in gone.items():
        stripe.life.delete(stream, identifier)
    stripe.clock.advance(hours=1)
    before = json.loads(json.dumps(first.state))
    second = tap_of(json.loads(json.dumps(before)))
    customers = second.stripe_streams["customers"]
    with mock.patch.object(customers, "removed_row", side_effect=KeyError("made up")):
        failed, complete = second.sync()
    assert (failed.stream, failed.status) == ("customers", Status.FAILED)
    assert failed.reason == "failed: by an error of the tap's own, KeyError('made up')"
    assert (complete.stream, complete.status, complete.rows) == ("products", Status.COMPLETE, 1)
    assert "events can't be read" not in caplog.text
    after = second.state["bookmarks"]
    assert after["customers"] == before["bookmarks"]["customers"]
    assert after["products"]["changes_since"] > before["bookmarks"]["products"]["changes_since"]
