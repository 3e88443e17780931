from __future__ import annotations

import threading
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from tap_stripe_conn.api import limits
from tap_stripe_conn.api.limits import Limiter


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.time = 0.0

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.time += seconds


class StoppedClock:
    """Time that stands still while threads sleep: what they sleep is when they leave."""

    def __init__(self) -> None:
        self._own = threading.local()

    def monotonic(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        self._own.slept = seconds

    def left(self) -> float:
        """When this thread's last request left."""
        return float(getattr(self._own, "slept", 0.0))


class SlowEndpoint(str):
    """An endpoint that lets other threads in whenever it is looked up."""

    __slots__ = ()

    @override
    def __hash__(self) -> int:
        time.sleep(0.0001)
        return super().__hash__()


def spaced(times: list[float], interval: float) -> bool:
    """Whether no window of t seconds holds more than t / interval + 1 of these."""
    return all(later - earlier >= interval - 1e-9 for earlier, later in pairwise(sorted(times)))


requests = st.lists(
    st.tuples(
        st.sampled_from(["/v1/charges", "/v1/events", "/v1/plans"]), st.floats(0, 0.2) | st.just(0)
    ),
    max_size=40,
)
"""Endpoints, each with the seconds that pass before it is asked."""


@given(requests, st.floats(1, 100), st.floats(1, 100))
def test_no_window_holds_more_requests_than_the_rates_allow(
    asked: list[tuple[str, float]], rate: float, endpoint_rate: float
) -> None:
    clock = Clock()
    left: list[tuple[str, float]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "time", clock)
        limiter = Limiter(rate=rate, endpoint_rate=endpoint_rate)
        for endpoint, pause in asked:
            clock.time += pause
            limiter.wait(endpoint)
            left.append((endpoint, clock.time))
    assert spaced([moment for _, moment in left], 1 / rate)
    for endpoint in {endpoint for endpoint, _ in left}:
        assert spaced([moment for each, moment in left if each == endpoint], 1 / endpoint_rate)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock in the place of the limiter's."""
    clock = Clock()
    monkeypatch.setattr(limits, "time", clock)
    return clock


def test_the_first_request_leaves_at_once(clock: Clock) -> None:
    Limiter(rate=1).wait("/v1/charges")
    assert clock.time == 0


def test_one_endpoint_is_read_as_fast_as_its_rate_allows(clock: Clock) -> None:
    limiter = Limiter(rate=80, endpoint_rate=25)
    for _ in range(26):
        limiter.wait("/v1/charges")
    assert clock.time == pytest.approx(1.0)


def test_several_endpoints_are_read_as_fast_as_the_accounts_rate_allows(clock: Clock) -> None:
    limiter = Limiter(rate=80, endpoint_rate=25)
    for number in range(81):
        limiter.wait(f"/v1/endpoint_{number % 8}")
    assert clock.time == pytest.approx(1.0)


def test_nobody_waits_who_comes_late_enough(clock: Clock) -> None:
    limiter = Limiter(rate=10, endpoint_rate=5)
    for number in range(10):
        clock.time = number * 0.2
        limiter.wait("/v1/charges")
        assert clock.time == number * 0.2


def test_an_idle_time_is_not_saved_up_for_a_burst(clock: Clock) -> None:
    limiter = Limiter(rate=10, endpoint_rate=10)
    limiter.wait("/v1/charges")
    clock.time = 100.0
    for _ in range(11):
        limiter.wait("/v1/charges")
    assert clock.time == pytest.approx(101.0)


def test_threads_keep_to_the_rates_together(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = StoppedClock()
    monkeypatch.setattr(limits, "time", clock)
    limiter = Limiter(rate=80, endpoint_rate=25)
    left: list[tuple[str, float]] = []

    def ask(endpoint: str) -> None:
        for _ in range(25):
            limiter.wait(endpoint)
            left.append((endpoint, clock.left()))

    endpoints = [SlowEndpoint("/v1/charges"), SlowEndpoint("/v1/events")]
    threads = [threading.Thread(target=ask, args=(endpoints[n % 2],)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(left) == 200
    assert spaced([moment for _, moment in left], 1 / 80)
    for endpoint in endpoints:
        assert spaced([moment for each, moment in left if each == endpoint], 1 / 25)


def test_the_rates_stay_below_stripes_own() -> None:
    assert limits.LIVE_RATE < 100
    assert limits.TEST_RATE < 25
    assert limits.ENDPOINT_RATE <= 25
