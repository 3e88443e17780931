"""Requests to a server with Stripe's limits, in a time that passes without waiting."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from itertools import count
from math import inf
from random import Random
from typing import TYPE_CHECKING, TypeAlias

from tap_stripe_conn.api.limits import Limiter

if TYPE_CHECKING:
    from collections.abc import Mapping

Seconds: TypeAlias = Callable[[Random], float]
"""How long something takes, by chance."""

REFUSAL = 0.002
"""Seconds until a 429 is back."""

LONGEST_BACKOFF = 0.25
LONGEST_SLEEP = 0.5


class Server:
    """Counts as Stripe does: of each second, what it let in; and what is under way."""

    def __init__(
        self, *, rate: float, endpoint_rate: float = 25, at_once: int | None = None
    ) -> None:
        self._rate = rate
        self._endpoint_rate = endpoint_rate
        self._at_once = at_once
        self._let_in: defaultdict[str, deque[float]] = defaultdict(deque)
        self._under_way = 0

    def arrive(self, endpoint: str, now: float) -> str | None:
        """Let a request in, or give the reason of its 429."""
        if not self._spend("", self._rate, now):
            return "global-rate"
        if not self._spend(endpoint, self._endpoint_rate, now):
            return "endpoint-rate"
        if self._at_once is not None and self._under_way >= self._at_once:
            return "global-concurrency"
        self._under_way += 1
        return None

    def answer(self) -> None:
        self._under_way -= 1

    def _spend(self, key: str, rate: float, now: float) -> bool:
        recent = self._let_in[key]
        while recent and recent[0] <= now - 1:
            recent.popleft()
        if len(recent) >= rate:
            return False
        recent.append(now)
        return True


class Simulation:
    """Somebody who reads lists side by side, and perhaps somebody else who uses the account."""

    def __init__(  # noqa: PLR0913 - one keyword for each thing that a test may want to set
        self,
        server: Server,
        *,
        rate: float,
        endpoint_rate: float = 25,
        first_rate: float = inf,
        walks: Mapping[str, int],
        answer: Seconds = lambda _: 0.2,
        travel: Seconds = lambda _: 0.002,
        late: Seconds = lambda _: 0.0,
        other: Seconds | None = None,
        seed: int = 0,
    ) -> None:
        """Prepare it.

        Args:
            server: What is asked.
            rate: The limiter's.
            endpoint_rate: The limiter's.
            first_rate: The limiter's.
            walks: How many requests are made at once, at most, to each endpoint.
            answer: Until a request that was let in is answered.
            travel: Until a request arrives.
            late: How much longer than it wants somebody sleeps who asks the limiter.
            other: Between two requests of somebody else.
            seed: What chance starts from.
        """
        self.now = 0.0
        self.limiter = Limiter(
            rate=rate, endpoint_rate=endpoint_rate, first_rate=first_rate, clock=lambda: self.now
        )
        self.left: list[tuple[float, str]] = []
        self.refused: list[tuple[float, str]] = []
        self.others: list[bool] = []
        """Of each request of somebody else, whether it was let in."""
        self._server = server
        self._answer, self._travel, self._late, self._other = answer, travel, late, other
        self._ready = Counter(walks)
        self._endpoints = deque(walks)
        self._chance = Random(seed)  # noqa: S311 - no secret hangs on it
        self._numbers = count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._wakes = 0.0
        if other is not None:
            self._after(other(self._chance), self._ask_as_the_other)

    def run(self, *, until: float) -> None:
        """Let time pass."""
        while self._wakes < until:
            while self._events and self._events[0][0] <= self._wakes:
                self.now, _, happen = heapq.heappop(self._events)
                happen()
            self.now = max(self.now, self._wakes)
            self._wake(self._ask())

    def left_between(self, since: float, until: float) -> int:
        """How many requests left in that time."""
        return sum(since <= moment < until for moment, _ in self.left)

    def most_in_a_second(self, endpoint: str | None = None) -> int:
        """How many requests left in the fullest second."""
        return fullest([moment for moment, each in self.left if endpoint in {None, each}])

    @property
    def refused_to_others(self) -> float:
        """The share of somebody else's requests that were refused."""
        return self.others.count(False) / len(self.others)

    def stop_the_other(self) -> None:
        self._other = None

    def _ask(self) -> float:
        """Send all that may leave; give the seconds to sleep then."""
        sleep = LONGEST_SLEEP
        self._endpoints.rotate()
        for endpoint in self._endpoints:
            while self._ready[endpoint]:
                delay = self.limiter.admit(endpoint)
                if delay > 0:
                    sleep = min(sleep, delay)
                    break
                self._ready[endpoint] -= 1
                self._send(endpoint)
        return sleep

    def _send(self, endpoint: str) -> None:
        sent = self.now
        self.left.append((sent, endpoint))

        def arrive() -> None:
            reason = self._server.arrive(endpoint, self.now)
            seconds = REFUSAL if reason else self._answer(self._chance)
            self._after(seconds, lambda: answer(reason))

        def answer(reason: str | None) -> None:
            self.limiter.finished(endpoint, self.now - sent, reason)
            if reason is None:
                self._server.answer()
                ready()
            else:
                self.refused.append((self.now, reason))
                self._after(self._chance.uniform(0, LONGEST_BACKOFF), ready)

        def ready() -> None:
            self._ready[endpoint] += 1
            self._wake(0.0)

        self._after(self._travel(self._chance), arrive)

    def _ask_as_the_other(self) -> None:
        if self._other is None:
            return
        refused = self._server.arrive(f"other {self._chance.randrange(20)}", self.now)
        self.others.append(not refused)
        if not refused:
            self._after(0.2, self._server.answer)
        self._after(self._other(self._chance), self._ask_as_the_other)

    def _wake(self, seconds: float) -> None:
        wakes = self.now + seconds + self._late(self._chance)
        self._wakes = wakes if self._wakes <= self.now else min(self._wakes, wakes)

    def _after(self, seconds: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._numbers), happen))


def fullest(moments: list[float], seconds: float = 1.0) -> int:
    """How many of these lie in the fullest span of so many seconds, its end left out."""
    moments = sorted(moments)
    most = first = 0
    for number, moment in enumerate(moments):
        while moments[first] <= moment - seconds + 1e-9:
            first += 1
        most = max(most, number - first + 1)
    return most
