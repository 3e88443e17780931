"""What is counted of the requests to Stripe."""

from __future__ import annotations

from threading import Thread
from types import SimpleNamespace
from typing import TYPE_CHECKING, Literal

import pytest

from tap_stripe_conn.api.client import ClosedError
from tap_stripe_conn.api.errors import ConnectionFailedError, StripeError
from tap_stripe_conn.api.traffic import Traffic, TrafficCounter
from tests.api.servers import client_of

if TYPE_CHECKING:
    from tests.fake_stripe import FakeStripe

CHARGES = "/v1/charges"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries follow each other without a wait."""
    monkeypatch.setattr("backoff._sync.time", SimpleNamespace(sleep=lambda _seconds: None))


def test_requests_are_counted_by_endpoint_with_what_they_cost(stripe: FakeStripe) -> None:
    stripe.seed("charges", 3)
    client = client_of(stripe)
    page = client.fetch(CHARGES)
    customer = stripe.add("customers")["id"]
    path = "/v1/customers/{customer}/tax_ids"
    client.fetch(path.replace("{customer}", customer), endpoint=path)
    counted = client.traffic.by_endpoint()
    assert list(counted) == [CHARGES, path]
    assert (counted[CHARGES].requests, counted[CHARGES].bytes) == (1, len(page.text))
    assert 0 < counted[CHARGES].seconds < 10


def test_what_is_tried_again_counts_each_time_and_as_retries(stripe: FakeStripe) -> None:
    stripe.fault(CHARGES, "rate_limit", times=2)
    stripe.fault(CHARGES, "reset")
    client = client_of(stripe)
    client.get(CHARGES)
    traffic = client.traffic.total
    assert (traffic.requests, traffic.limited, traffic.retries) == (4, 2, 3)


@pytest.mark.parametrize(
    ("kind", "error"), [("drop", ConnectionFailedError), ("status", StripeError)]
)
def test_what_fails_for_good_counts_too(
    stripe: FakeStripe, kind: Literal["drop", "status"], error: type[Exception]
) -> None:
    stripe.fault(CHARGES, kind, times=9)
    client = client_of(stripe)
    with pytest.raises(error):
        client.get(CHARGES, max_tries=3)
    traffic = client.traffic.total
    assert (traffic.requests, traffic.limited, traffic.retries) == (3, 0, 2)


def test_a_client_that_is_closed_sends_nothing_to_count(stripe: FakeStripe) -> None:
    client = client_of(stripe)
    client.close()
    with pytest.raises(ClosedError):
        client.get(CHARGES)
    assert client.traffic.by_endpoint() == {}


def test_many_threads_count_without_losing_any() -> None:
    counter = TrafficCounter()

    def count() -> None:
        for _ in range(2_000):
            counter.sent(CHARGES, size=10, seconds=0.5, limited=True)
            counter.retried(CHARGES)

    threads = [Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.total == Traffic(
        requests=16_000, limited=16_000, retries=16_000, bytes=160_000, seconds=8_000.0
    )
