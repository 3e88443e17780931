"""Threads that pace themselves, in real time."""

from __future__ import annotations

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tap_stripe_conn.api.limits import Limiter
from tests.api.servers import client_of
from tests.api.traffic import fullest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fake_stripe import FakeStripe

CHARGES, EVENTS = "/v1/charges", "/v1/events"
LISTS = [CHARGES, EVENTS, "/v1/plans", "/v1/refunds"]


def started(*targets: Callable[[], None]) -> list[threading.Thread]:
    threads = [threading.Thread(target=target, daemon=True) for target in targets]
    for thread in threads:
        thread.start()
    return threads


def waiting_in(limiter: Limiter) -> int:
    """How many threads wait for their turn."""
    return len(limiter._line)  # noqa: SLF001 - whether a thread sleeps shows nowhere else


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_threads_use_up_a_servers_limits_without_a_429(stripe: FakeStripe) -> None:
    stripe.rates.per_second, stripe.rates.per_endpoint = 40, 15
    stripe.latency = 0.1
    limiter = Limiter(rate=36, endpoint_rate=14)
    client = client_of(stripe, limiter=limiter)
    with ThreadPoolExecutor(16) as pool:
        began = time.monotonic()
        list(pool.map(client.get, LISTS * 18))
        took = time.monotonic() - began
    assert {request.status for request in stripe.requests} == {200}
    assert len(stripe.requests) == 72
    assert fullest([request.time for request in stripe.requests]) <= 40
    assert 72 / took > 36 / 2
    assert limiter.in_flight() == 0


def test_threads_give_way_to_a_server_that_takes_only_a_few_at_once(stripe: FakeStripe) -> None:
    stripe.rates.concurrency = 4
    stripe.latency = 0.1
    limiter = Limiter(rate=100, endpoint_rate=100)
    client = client_of(stripe, limiter=limiter)
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(client.get, LISTS * 15))
    statuses = [request.status for request in stripe.requests]
    assert statuses.count(200) == 60
    assert 1 <= statuses.count(429) <= 30
    assert limiter.most_in_flight() <= 6
    assert limiter.in_flight() == 0


def test_a_thread_that_waits_for_a_busy_endpoint_holds_up_no_other() -> None:
    limiter = Limiter(rate=1000, endpoint_rate=0.01)
    limiter.wait(CHARGES)
    threads = started(*[lambda: limiter.wait(CHARGES)] * 5)
    until(lambda: waiting_in(limiter) == 5)
    limiter.wait(EVENTS)
    assert all(thread.is_alive() for thread in threads)


def test_threads_leave_in_the_order_in_which_they_came() -> None:
    now = [0.0]
    limiter = Limiter(rate=10, endpoint_rate=10, clock=lambda: now[0])
    left: list[int] = []

    def ask(number: int) -> None:
        limiter.wait(CHARGES)
        left.append(number)

    while not limiter.admit(CHARGES):
        pass
    for number in range(6):
        started(lambda number=number: ask(number))  # type: ignore[misc]
        until(lambda number=number: waiting_in(limiter) == number + 1)  # type: ignore[misc]
    for number in range(6):
        now[0] += 0.103  # a tenth of a second, and what the limiter keeps in reserve
        until(lambda number=number: len(left) == number + 1)  # type: ignore[misc]
    assert left == [0, 1, 2, 3, 4, 5]


def test_who_waits_comes_before_who_only_asks() -> None:
    limiter = Limiter(rate=5, endpoint_rate=5)
    while not limiter.admit(CHARGES):
        pass
    [thread] = started(lambda: limiter.wait(CHARGES))
    until(lambda: waiting_in(limiter) == 1)
    asked = 0
    while limiter.admit(CHARGES):
        asked += 1
        time.sleep(0.001)
    thread.join(10)
    assert not thread.is_alive()
    assert asked > 10


def test_an_answer_lets_a_thread_go_at_once() -> None:
    limiter = Limiter(rate=10_000, endpoint_rate=10_000)
    limiter.admit(CHARGES)
    limiter.finished(CHARGES, 0.01, "global-concurrency")
    assert limiter.most_in_flight() == 1
    limiter.admit(CHARGES)
    [thread] = started(lambda: limiter.wait(EVENTS))
    thread.join(0.15)
    assert thread.is_alive()
    limiter.finished(CHARGES, 0.01)
    thread.join(5)
    assert not thread.is_alive()


def test_a_thread_that_is_interrupted_leaves_the_line() -> None:
    now = [0.0]
    limiter = Limiter(rate=20, endpoint_rate=20, clock=lambda: now[0])
    while not limiter.admit(CHARGES):
        limiter.finished(CHARGES, 0.01)
    behind = threading.Thread(target=limiter.wait, args=[CHARGES], daemon=True)

    def interrupt() -> None:
        time.sleep(0.1)
        behind.start()
        time.sleep(0.1)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - the interrupt comes from another thread
        started(interrupt)
        limiter.wait(CHARGES)
    assert limiter.in_flight() == 0
    now[0] = 1.0
    behind.join(5)
    assert not behind.is_alive()
    assert limiter.in_flight() == 1
