from __future__ import annotations

import heapq
import math
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_stripe_conn.api import limits
from tap_stripe_conn.api.limits import Limiter
from tests.api.traffic import Server, Simulation, fullest

if TYPE_CHECKING:
    from tests.api.traffic import Seconds

CHARGES, EVENTS, PLANS = "/v1/charges", "/v1/events", "/v1/plans"


class Clock:
    """Time that passes only when told."""

    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


def send(limiter: Limiter, clock: Clock, endpoint: str, seconds: float = 0.0) -> float:
    """Make a request as soon as it may leave; give the moment at which it left."""
    while delay := limiter.admit(endpoint):
        clock.time += delay
    left = clock.time
    limiter.finished(endpoint, seconds)
    return left


def refuse(limiter: Limiter, clock: Clock, endpoint: str, reason: str) -> None:
    """Make a request that gets a 429, 10 ms after it left."""
    while delay := limiter.admit(endpoint):
        clock.time += delay
    clock.time += 0.01
    limiter.finished(endpoint, 0.01, reason)


# --- The rates ---------------------------------------------------------------------------------


@pytest.mark.parametrize("late", [0.03, 0.06, 0.1])
def test_requests_whose_threads_are_late_are_counted_from_when_they_leave(
    clock: Clock, late: float
) -> None:
    limiter, dice = Limiter(rate=100, endpoint_rate=100, clock=clock), Random(1)  # noqa: S311
    leaving: list[float] = []
    left: list[float] = []
    while len(left) < 1_000:
        while leaving and leaving[0] <= clock.time:
            limiter.left(CHARGES)
            left.append(heapq.heappop(leaving))
            limiter.finished(CHARGES, 0.0)
        if (delay := limiter.admit(CHARGES)) == 0:
            heapq.heappush(leaving, clock.time + late * (dice.random() < 0.2))
            continue
        clock.time = min([clock.time + delay, *leaving[:1]])
    assert fullest(left, 1.0) <= 100
    assert left[-1] <= 1_000 / 100 * 1.1


def test_a_request_that_stays_is_under_way_no_more(clock: Clock) -> None:
    limiter = Limiter(rate=10, clock=clock)
    assert limiter.admit(CHARGES) == 0
    assert limiter.in_flight() == 1
    limiter.stayed(CHARGES)
    assert limiter.in_flight() == 0


requests = st.lists(
    st.tuples(
        st.sampled_from([CHARGES, EVENTS, PLANS]),
        st.floats(0, 0.2) | st.just(0),
        st.floats(0, 3),
        st.sampled_from([None] * 20 + ["global-rate", "endpoint-rate", "endpoint-concurrency"]),
    ),
    max_size=60,
)
"""Endpoints, each with the seconds that pass before it is asked, those that its answer takes, and
the reason of a 429."""


@given(requests, st.floats(0.5, 100), st.floats(0.5, 100))
def test_no_second_holds_more_requests_than_the_rates_allow_whatever_comes(
    asked: list[tuple[str, float, float, str | None]], rate: float, endpoint_rate: float
) -> None:
    clock = Clock()
    limiter = Limiter(rate=rate, endpoint_rate=endpoint_rate, clock=clock)
    left: list[tuple[str, float]] = []
    under_way: list[tuple[float, str, float, str | None]] = []

    def pass_until(moment: float) -> None:
        for each in sorted(each for each in under_way if each[0] <= moment):
            under_way.remove(each)
            ends, of, took, why = each
            clock.time = max(clock.time, ends)
            limiter.finished(of, took, why)
        clock.time = max(clock.time, moment)

    for endpoint, pause, seconds, reason in asked:
        pass_until(clock.time + pause)
        while delay := limiter.admit(endpoint):
            assert math.isfinite(delay)
            pass_until(clock.time + delay)
        left.append((endpoint, clock.time))
        under_way.append((clock.time + seconds, endpoint, seconds, reason))
    assert limiter.in_flight() == len(under_way)
    assert fullest([moment for _, moment in left]) <= math.ceil(rate)
    for endpoint in {endpoint for endpoint, _ in left}:
        of_endpoint = [moment for each, moment in left if each == endpoint]
        assert fullest(of_endpoint) <= math.ceil(endpoint_rate)


@given(st.floats(0.5, 100), st.lists(st.floats(0, 1), max_size=40))
def test_a_request_may_leave_after_the_seconds_that_were_told(
    rate: float, pauses: list[float]
) -> None:
    clock = Clock()
    limiter = Limiter(rate=rate, clock=clock)
    for pause in pauses:
        clock.time += pause
        clock.time += limiter.admit(CHARGES)
        assert limiter.in_flight() == 1 or limiter.admit(CHARGES) == 0
        limiter.finished(CHARGES, 0.1)


def test_the_first_request_leaves_at_once(clock: Clock) -> None:
    assert Limiter(rate=1, clock=clock).admit(CHARGES) == 0


def test_one_endpoint_is_read_evenly_at_its_rate(clock: Clock) -> None:
    limiter = Limiter(rate=80, endpoint_rate=25, clock=clock)
    left = [send(limiter, clock, CHARGES) for _ in range(251)]
    assert 249 / left[-1] == pytest.approx(25, rel=0.03)
    assert fullest(left, seconds=0.2) <= 9
    assert max(later - sooner for sooner, later in pairwise(left)) < 0.2


def test_several_endpoints_are_read_at_the_accounts_rate(clock: Clock) -> None:
    limiter = Limiter(rate=80, endpoint_rate=25, clock=clock)
    left = [send(limiter, clock, f"/v1/endpoint_{number % 8}") for number in range(801)]
    assert 799 / left[-1] == pytest.approx(80, rel=0.03)


def test_files_are_read_no_faster_than_20_in_a_second(clock: Clock) -> None:
    limiter = Limiter(rate=1000, endpoint_rate=1000, clock=clock)
    assert fullest([send(limiter, clock, "/v1/files") for _ in range(50)]) == 20
    assert fullest([send(limiter, clock, CHARGES) for _ in range(50)]) == 50


def test_nobody_waits_who_comes_late_enough(clock: Clock) -> None:
    limiter = Limiter(rate=10, endpoint_rate=5, clock=clock)
    for number in range(20):
        clock.time = number * 0.21
        assert limiter.admit(CHARGES) == 0
        limiter.finished(CHARGES, 0.01)


def test_idle_time_is_not_saved_up_for_a_burst(clock: Clock) -> None:
    limiter = Limiter(rate=20, endpoint_rate=20, clock=clock)
    send(limiter, clock, CHARGES)
    clock.time = 100.0
    assert fullest([send(limiter, clock, CHARGES) for _ in range(20)], seconds=0.001) <= 4


def test_who_comes_late_makes_up_for_it(clock: Clock) -> None:
    limiter = Limiter(rate=20, endpoint_rate=20, clock=clock)
    for number in range(200):
        send(limiter, clock, CHARGES)
        if number % 10 == 0:
            clock.time += 0.12
    assert 199 / clock.time > 20 * 0.97


def test_a_busy_endpoint_holds_nobody_up_who_asks_for_another(clock: Clock) -> None:
    limiter = Limiter(rate=80, endpoint_rate=2, clock=clock)
    while not limiter.admit(CHARGES):
        limiter.finished(CHARGES, 0.0)
    for endpoint in (EVENTS, PLANS):
        clock.time += 1 / 70
        assert limiter.admit(CHARGES) > 0.2
        assert limiter.admit(endpoint) == 0


def test_the_rates_stay_below_stripes_own() -> None:
    assert limits.LIVE_RATE < 100
    assert limits.TEST_RATE < 25
    assert limits.ENDPOINT_RATE <= 25


def test_the_first_second_is_slower_where_that_is_asked_for(clock: Clock) -> None:
    limiter = Limiter(rate=100, endpoint_rate=100, first_rate=40, clock=clock)
    left = [send(limiter, clock, CHARGES) for _ in range(500)]
    assert 39 <= sum(moment < 1 for moment in left) <= 48
    assert 95 <= sum(2 <= moment < 3 for moment in left) <= 100


# --- Giving way --------------------------------------------------------------------------------


def rate_of(limiter: Limiter, clock: Clock, *endpoints: str, seconds: float = 2.0) -> float:
    """How many requests/s leave when there is always one to make."""
    began, sent = clock.time, 0
    while clock.time < began + seconds:
        for endpoint in endpoints:
            if not limiter.admit(endpoint):
                limiter.finished(endpoint, 0.01)
                sent += 1
        clock.time += 0.001
    return sent / seconds


def saturated(clock: Clock) -> Limiter:
    """A limiter of 40 requests/s, 25 per endpoint, that is used up."""
    limiter = Limiter(rate=40, endpoint_rate=25, clock=clock)
    assert rate_of(limiter, clock, CHARGES, EVENTS) > 38
    return limiter


def test_the_accounts_rate_is_cut_for_all_when_it_was_too_much(clock: Clock) -> None:
    limiter = saturated(clock)
    refuse(limiter, clock, CHARGES, "global-rate")
    assert limiter.speed().limit == pytest.approx(0.8 * 40, abs=1)
    assert rate_of(limiter, clock, PLANS, EVENTS, seconds=1) < 36
    assert rate_of(limiter, clock, PLANS, seconds=1) > 23


@pytest.mark.parametrize("reason", ["endpoint-rate", "resource-specific", "something-new"])
def test_an_endpoints_rate_is_cut_and_no_others(clock: Clock, reason: str) -> None:
    limiter = saturated(clock)
    rate_of(limiter, clock, CHARGES)
    refuse(limiter, clock, CHARGES, reason)
    assert limiter.speed().limit == 40
    assert rate_of(limiter, clock, CHARGES, seconds=1) < 23
    assert rate_of(limiter, clock, EVENTS, seconds=1) > 23


@pytest.mark.parametrize("reason", [None, ""])
def test_a_429_without_a_reason_is_not_about_how_fast_or_how_many(
    clock: Clock, reason: str | None
) -> None:
    limiter = saturated(clock)
    before = limiter.most_in_flight()
    limiter.admit(PLANS)
    limiter.finished(PLANS, 0.1, reason)
    assert limiter.speed().limit == 40
    assert limiter.most_in_flight() >= before


def test_twenty_429s_at_once_cut_once(clock: Clock) -> None:
    limiter = Limiter(rate=100, endpoint_rate=100, clock=clock)
    rate_of(limiter, clock, CHARGES)
    began = clock.time
    for _ in range(20):
        clock.time += limiter.admit(CHARGES)
        limiter.admit(CHARGES)
    for _ in range(limiter.in_flight()):
        clock.time += 0.001
        limiter.finished(CHARGES, clock.time - began, "global-rate")
    assert limiter.speed().limit == pytest.approx(80, abs=3)


def test_429s_after_a_cut_cut_again(clock: Clock) -> None:
    limiter = saturated(clock)
    for _ in range(3):
        refuse(limiter, clock, CHARGES, "global-rate")
        clock.time += 0.2
    assert limiter.speed().limit < 40 * 0.75


def test_a_cut_counts_from_what_was_used_not_from_what_was_allowed(clock: Clock) -> None:
    limiter = Limiter(rate=80, clock=clock)
    for _ in range(3):
        for _ in range(20):
            send(limiter, clock, CHARGES)
            clock.time += 0.05
        refuse(limiter, clock, CHARGES, "global-rate")
    assert limiter.speed().limit < 20


def test_some_rate_is_always_left(clock: Clock) -> None:
    limiter = Limiter(rate=20, clock=clock)
    for _ in range(100):
        refuse(limiter, clock, CHARGES, "global-rate")
        clock.time += 0.2
    assert limiter.speed().limit >= 1


def test_a_rate_comes_back_and_not_above_where_it_began(clock: Clock) -> None:
    limiter = saturated(clock)
    refuse(limiter, clock, CHARGES, "global-rate")
    seen = [limiter.speed().limit]
    for _ in range(60):
        clock.time += 0.25
        seen.append(limiter.speed().limit)
    assert seen == sorted(seen)
    assert seen[20] == pytest.approx(0.95 * 40, abs=1)
    assert seen[-1] == 40


def test_a_rate_comes_back_the_slower_the_more_often_it_was_too_much(clock: Clock) -> None:
    limiter = Limiter(rate=100, endpoint_rate=100, clock=clock)
    lasted = []
    for _ in range(4):
        rate_of(limiter, clock, CHARGES, seconds=1.1)
        refuse(limiter, clock, CHARGES, "global-rate")
        cut = clock.time
        while limiter.speed().limit < 97:
            clock.time += 0.1
        lasted.append(clock.time - cut)
    assert lasted[0] < 12
    assert lasted[0] * 3 < lasted[2]
    assert lasted[3] < 45


# --- How many at once --------------------------------------------------------------------------


def test_as_many_are_under_way_as_answers_take_by_the_rate(clock: Clock) -> None:
    limiter = Limiter(rate=80, endpoint_rate=80, clock=clock)
    assert limiter.idle(CHARGES) == 1
    for _ in range(100):
        send(limiter, clock, CHARGES, seconds=0.2)
    assert limiter.idle(CHARGES) == 17
    assert limiter.idle(EVENTS) == 1
    for number in range(4):
        clock.time += 1
        assert limiter.idle(CHARGES) == 17 - number
        assert limiter.admit(CHARGES) == 0


def test_an_endpoint_is_not_idle_when_the_account_is_used_up(clock: Clock) -> None:
    limiter = Limiter(rate=20, endpoint_rate=25, clock=clock)
    for _ in range(50):
        send(limiter, clock, CHARGES, seconds=0.2)
        send(limiter, clock, EVENTS, seconds=0.2)
    for _ in range(3):
        clock.time += 1
        assert limiter.admit(CHARGES) == 0
    assert limiter.idle(EVENTS) == 2
    for _ in range(2):
        clock.time += 1
        assert limiter.admit(CHARGES) == 0
    assert limiter.idle(EVENTS) == 0


def test_answers_that_take_longer_make_room_for_more(clock: Clock) -> None:
    limiter = Limiter(rate=20, clock=clock)
    for _ in range(50):
        send(limiter, clock, CHARGES, seconds=0.2)
    assert limiter.most_in_flight() == 12
    for _ in range(50):
        send(limiter, clock, CHARGES, seconds=1.0)
    assert limiter.most_in_flight() == 44


def test_one_answer_that_takes_ages_changes_little(clock: Clock) -> None:
    limiter = Limiter(rate=20, clock=clock)
    for _ in range(50):
        send(limiter, clock, CHARGES, seconds=0.2)
    idle = limiter.idle(CHARGES)
    send(limiter, clock, CHARGES, seconds=80.0)
    assert limiter.idle(CHARGES) <= idle + 2


def test_a_server_that_does_not_answer_is_not_asked_more_and_more(clock: Clock) -> None:
    limiter = Limiter(rate=80, endpoint_rate=80, clock=clock)
    for _ in range(50):
        send(limiter, clock, CHARGES, seconds=0.1)
    while not limiter.admit(CHARGES) or clock.time < 60:
        clock.time += 0.05
    assert limiter.in_flight() == 20


def hold(limiter: Limiter, clock: Clock, endpoint: str, number: int) -> None:
    """Have so many requests under way."""
    for _ in range(number):
        while delay := limiter.admit(endpoint):
            clock.time += delay


def test_too_many_at_once_in_the_account_are_fewer_at_once(clock: Clock) -> None:
    limiter = Limiter(rate=80, clock=clock)
    hold(limiter, clock, CHARGES, 10)
    hold(limiter, clock, EVENTS, 10)
    limiter.finished(CHARGES, 0.01, "global-concurrency")
    assert limiter.most_in_flight() == 14
    assert limiter.speed().limit == 80
    clock.time += 1
    assert limiter.admit(PLANS) > 0
    for _ in range(6):
        limiter.finished(EVENTS, 0.2)
    assert limiter.admit(PLANS) == 0


def test_too_many_at_once_to_an_endpoint_are_fewer_at_once_to_it(clock: Clock) -> None:
    limiter = Limiter(rate=80, clock=clock)
    hold(limiter, clock, CHARGES, 10)
    limiter.finished(CHARGES, 0.01, "endpoint-concurrency")
    clock.time += 1
    assert limiter.admit(CHARGES) > 0
    assert limiter.idle(CHARGES) == 0
    assert limiter.admit(EVENTS) == 0
    for _ in range(3):
        limiter.finished(CHARGES, 0.2)
    assert limiter.admit(CHARGES) == 0


def test_more_at_once_are_tried_again_later_from_one_on(clock: Clock) -> None:
    limiter = Limiter(rate=80, clock=clock)
    for _ in range(20):
        refuse(limiter, clock, CHARGES, "global-concurrency")
        clock.time += 1
    assert limiter.most_in_flight() == 1
    clock.time += 120
    assert limiter.most_in_flight() > 20


def test_a_request_that_got_no_answer_is_no_longer_under_way(clock: Clock) -> None:
    limiter = Limiter(rate=80, clock=clock)
    limiter.admit(CHARGES)
    before = limiter.most_in_flight()
    limiter.finished(CHARGES, None)
    assert limiter.in_flight() == 0
    assert limiter.most_in_flight() == before


# --- What is told ------------------------------------------------------------------------------


def test_the_speed_is_that_of_the_last_ten_seconds(clock: Clock) -> None:
    limiter = Limiter(rate=80, clock=clock)
    assert limiter.speed() == (0, 80)
    for _ in range(100):
        clock.time += 0.1
        send(limiter, clock, CHARGES)
    assert limiter.speed().rate == pytest.approx(10, rel=0.02)
    clock.time += 5
    assert limiter.speed().rate == pytest.approx(5, rel=0.05)
    clock.time += 3600
    assert limiter.speed().rate == 0
    send(limiter, clock, CHARGES)
    assert limiter.speed().rate == pytest.approx(0.1)


def test_the_speed_of_the_first_seconds_is_that_of_these(clock: Clock) -> None:
    limiter = Limiter(rate=80, clock=clock)
    for _ in range(20):
        send(limiter, clock, CHARGES)
        clock.time += 0.1
    assert limiter.speed().rate == pytest.approx(10, rel=0.06)


# --- Against a server --------------------------------------------------------------------------

LATE: dict[str, Seconds] = {
    "never": lambda _: 0.0,
    "always a little": lambda chance: chance.expovariate(200),
    "now and then much": lambda chance: 0.1 if chance.random() < 0.01 else 0.002,
    "up to 15 ms": lambda chance: chance.uniform(0, 0.015),
}
UNEVEN: Seconds = lambda chance: chance.uniform(0.1, 0.3)  # noqa: E731 - it has a type
EIGHT = {f"/v1/endpoint_{number}": 6 for number in range(8)}


@pytest.mark.parametrize("late", LATE.values(), ids=LATE)
def test_stripes_own_rates_are_used_up_without_a_429(late: Seconds) -> None:
    run = Simulation(Server(rate=100), rate=100, walks=EIGHT, answer=UNEVEN, late=late)
    run.run(until=20)
    assert run.refused == []
    assert run.left_between(5, 20) >= 15 * 100 * 0.97
    assert run.most_in_a_second() <= 100


@pytest.mark.parametrize("late", LATE.values(), ids=LATE)
def test_one_endpoints_rate_is_used_up_without_a_429(late: Seconds) -> None:
    run = Simulation(
        Server(rate=100), rate=100, walks={CHARGES: 10, EVENTS: 1}, answer=UNEVEN, late=late
    )
    run.run(until=40)
    assert run.refused == []
    charges = [moment for moment, endpoint in run.left if endpoint == CHARGES and moment >= 5]
    assert len(charges) >= 35 * 25 * 0.97
    assert run.most_in_a_second(CHARGES) <= 25


def test_a_single_walk_beside_busy_ones_is_as_fast_as_alone() -> None:
    walks = {CHARGES: 30, EVENTS: 1}
    run = Simulation(Server(rate=100), rate=100, walks=walks)
    run.run(until=20)
    events = [moment for moment, endpoint in run.left if endpoint == EVENTS]
    assert len(events) >= 20 / 0.21


def test_requests_that_travel_unevenly_still_use_nine_tenths() -> None:
    run = Simulation(
        Server(rate=25),
        rate=25,
        walks=EIGHT,
        answer=UNEVEN,
        travel=lambda chance: chance.expovariate(200),
    )
    run.run(until=40)
    assert len(run.refused) <= 4
    assert len(run.left) >= 40 * 25 * 0.88


OTHERS: dict[str, Seconds] = {
    "evenly": lambda chance: chance.uniform(0.046, 0.054),
    "by chance": lambda chance: chance.expovariate(20),
}


@pytest.mark.parametrize("rate", [80, 100])
@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_somebody_else_who_uses_a_fifth_of_the_account_is_hardly_ever_refused(
    rate: float, other: Seconds
) -> None:
    asked = refused = left = 0
    for seed in range(2):
        run = Simulation(
            Server(rate=100),
            rate=rate,
            first_rate=80,
            walks=EIGHT,
            answer=UNEVEN,
            other=other,
            seed=seed,
        )
        run.run(until=40)
        asked += len(run.others)
        refused += run.others.count(False)
        left += len(run.left)
    assert refused / asked < 0.01
    assert left / 80 > 60


def test_the_rate_is_back_when_somebody_else_is_gone() -> None:
    run = Simulation(
        Server(rate=100), rate=100, walks=EIGHT, other=lambda chance: chance.expovariate(50)
    )
    run.run(until=20)
    assert run.left_between(10, 20) < 10 * 60
    run.stop_the_other()
    run.run(until=100)
    assert run.left_between(90, 100) >= 10 * 100 * 0.97


def test_no_more_are_under_way_than_the_server_takes() -> None:
    run = Simulation(Server(rate=100, at_once=8), rate=100, walks=EIGHT)
    run.run(until=40)
    late = [moment for moment, _ in run.refused if moment > 2]
    assert {reason for _, reason in run.refused} == {"global-concurrency"}
    assert len(late) <= 6
    assert len(run.left) - len(run.refused) >= 0.85 * 40 * 8 / 0.202
