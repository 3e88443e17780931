"""Pacing: requests leave no faster, and no more of them at once, than Stripe takes them.

Stripe counts the requests of each second, of the account and of each endpoint, and those under way
at once. A 429 names the limit that was reached in `Stripe-Rate-Limited-Reason`. Others may use up
the same account, so the limits here are only what to begin with: what a 429 names is cut, and
comes back with time.

Source: https://docs.stripe.com/rate-limits: 100 requests/s for a live account, 25 in test mode,
25 for each endpoint. What is left is for the account's own traffic.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LIVE_RATE: Final = 80.0
"""Requests/s for a live key, of Stripe's 100."""

TEST_RATE: Final = 20.0
"""Requests/s for a test key, of Stripe's 25."""

ENDPOINT_RATE: Final = 25.0
"""Requests/s for each endpoint: Stripe's own default."""

SLOWER: Final[Mapping[str, float]] = {"/v1/files": 20.0}
"""Endpoints of which Stripe takes fewer requests/s than of others."""

PACE: Final = 0.977
"""The share of a rate that is used on average. The rest makes up for what comes late."""

WINDOW: Final = 1.02
"""Seconds in which no more requests leave than the rate says: they don't all travel alike."""

CATCH_UP: Final = 0.15
"""Seconds of unused time that requests which come late may make up for, closer together."""

CAUTION: Final = 0.8
"""The part of a rate that a user asks for to begin with: others may use the account as well."""

KEPT: Final = 0.8
"""The part of a rate that a 429 leaves."""

KEPT_IN_FLIGHT: Final = 0.7
"""The part of the requests under way that a 429 leaves."""

LEAST: Final = 0.05
"""The part of a rate that is left after any number of 429s."""

TRIED: Final = 0.95
"""The part of what was too much that is soon tried again."""

RECOVERY: Final = 5.0
"""Seconds until it is, after a first 429; twice as many after each that follows soon."""

SLOWEST_RECOVERY: Final = 20.0
"""Seconds until it is, where 429s keep coming."""

ROUND: Final = 0.1
"""Seconds after a cut in which a request may still leave that was let go before."""

LEARNING: Final = 0.1
"""The weight of one answer's seconds in their average."""

SURPRISE: Final = 4.0
"""How many times the average the seconds of one answer count at most."""

SLOW_ANSWER: Final = 0.5
"""Seconds that an answer is thought to take as long as none has come."""

QUICK_ANSWER: Final = 0.1
"""Seconds that answers are thought to take at least, where it is about how many are too many."""

SPARE: Final = 4
"""Requests that may be under way beside twice those that the rate and answers' seconds make."""

ASK_AGAIN: Final = 0.1
"""Seconds after which to ask again while as many requests are under way as may be."""

MEASURED: Final = 10.0
"""Seconds over which speed is measured."""

TICK: Final = 1e-6
"""Seconds that make no difference."""


class Speed(NamedTuple):
    """How fast requests leave, for people."""

    rate: float
    """Requests/s over the last 10 seconds."""

    limit: float
    """Requests/s that may leave at present."""


class Limiter:
    """Lets requests go, each in its turn, over the account and over each endpoint.

    Threads `wait` for their turn; who may not sleep asks to `admit` a request. Either counts the
    request as under way until it has `left` and is `finished`, or has `stayed`. Safe between
    threads.
    """

    def __init__(
        self,
        *,
        rate: float,
        endpoint_rate: float = ENDPOINT_RATE,
        first_rate: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start with no request made.

        Args:
            rate: Requests/s over all endpoints, never exceeded.
            endpoint_rate: Requests/s for any one endpoint, never exceeded.
            first_rate: Requests/s in the first second, when it is not known yet how many are
                left by others who use the account.
            clock: Gives the seconds from any fixed moment on.
        """
        self._endpoint_rate = endpoint_rate
        self._clock = clock
        self._lock = threading.Lock()
        self._account = _Traffic(rate, min(rate, first_rate))
        self._endpoints: dict[str, _Traffic] = {}
        self._line: list[_Waiting] = []

    def wait(self, endpoint: str) -> None:
        """Sleep until a request to `endpoint` may leave.

        Who waits for a busy endpoint is passed by who asks for another.
        """
        waiting = _Waiting(endpoint)
        with self._lock:
            self._line.append(waiting)
            self._let_go()
            if not waiting.admitted:
                self._wake_the_first()
        try:
            while not waiting.admitted:
                waiting.woken.wait(self._pause(waiting))
        except BaseException:
            self._give_up(waiting)
            raise

    def admit(self, endpoint: str) -> float:
        """Let a request to `endpoint` go if it may leave now; those that `wait` come first.

        Returns:
            0 if it may leave; else the seconds after which to ask again, or sooner, when another
            request is finished.
        """
        with self._lock:
            self._let_go()
            return self._admit(endpoint, self._clock())

    def left(self, endpoint: str) -> None:
        """Take note that a request leaves which was let go before.

        Its thread may have had to wait for the processor, while those that follow may not: Stripe
        counts from when it comes.
        """
        with self._lock:
            now = self._clock()
            for traffic in (self._account, self._traffic(endpoint)):
                traffic.leave(now)

    def stayed(self, endpoint: str) -> None:
        """Take note that a request which was let go does not leave."""
        with self._lock:
            self._stay(endpoint)
            self._wake_the_first()

    def finished(self, endpoint: str, seconds: float | None, reason: str | None = None) -> None:
        """Take note of the end of a request that has left.

        Args:
            endpoint: As it was asked for.
            seconds: From its leaving to the whole of its answer; None if none came.
            reason: `Stripe-Rate-Limited-Reason` of a 429. Without it, a 429 is not about limits.
        """
        with self._lock:
            now = self._clock()
            if reason:
                self._cut(endpoint, reason, now, now - (seconds or 0.0))
            # A refusal comes at once and says nothing about how long answers take.
            self._end(endpoint, None if reason else seconds)
            self._wake_the_first()

    def idle(self, endpoint: str) -> int:
        """How many more requests to `endpoint` could be under way, so that no rate is left unused.

        As many as leave while one is answered, and one more, for what lies between two requests.
        Before the first answer that is one.
        """
        with self._lock:
            now = self._clock()
            traffic = self._traffic(endpoint)
            waiting = sum(each.endpoint == endpoint for each in self._line)
            of_endpoint = traffic.idle(now) - waiting
            of_account = self._account.idle(now) - len(self._line)
            return max(0, min(of_endpoint, of_account))

    def in_flight(self) -> int:
        """How many requests are under way."""
        with self._lock:
            return self._account.in_flight

    def most_in_flight(self, endpoint: str | None = None) -> int:
        """How many requests, to `endpoint` or at all, may be under way at once at present."""
        with self._lock:
            traffic = self._account if endpoint is None else self._traffic(endpoint)
            return traffic.room(self._clock())

    def speed(self) -> Speed:
        """How fast requests leave, and how fast they may."""
        with self._lock:
            return self._account.speed(self._clock())

    def _traffic(self, endpoint: str) -> _Traffic:
        traffic = self._endpoints.get(endpoint)
        if traffic is None:
            rate = min(self._endpoint_rate, SLOWER.get(endpoint, math.inf))
            traffic = self._endpoints[endpoint] = _Traffic(rate, rate)
        return traffic

    def _admit(self, endpoint: str, now: float) -> float:
        traffic = self._traffic(endpoint)
        delay = max(self._account.delay(now), traffic.delay(now))
        if delay <= 0:
            self._account.begin(now)
            traffic.begin(now)
        return delay

    def _end(self, endpoint: str, seconds: float | None) -> None:
        for traffic in (self._account, self._traffic(endpoint)):
            traffic.end(seconds)

    def _stay(self, endpoint: str) -> None:
        for traffic in (self._account, self._traffic(endpoint)):
            traffic.stay()

    def _cut(self, endpoint: str, reason: str, now: float, left: float) -> None:
        # `resource-specific`, and what Stripe may think of next, came of this endpoint.
        named = self._account if reason.startswith("global") else self._traffic(endpoint)
        if reason.endswith("concurrency"):
            named.cut_in_flight(now, left)
        else:
            named.cut_rate(now, left)

    # --- The line of those that wait ---------------------------------------------------------

    def _let_go(self) -> float:
        """Admit those who may leave, in their order; give the seconds until the next one may."""
        now = self._clock()
        first = self._line[:1]
        soonest = math.inf
        for waiting in tuple(self._line):
            delay = self._account.delay(now) or self._admit(waiting.endpoint, now)
            if delay > 0:
                soonest = min(soonest, delay)
            else:
                self._line.remove(waiting)
                waiting.admitted = True
                waiting.woken.set()
        if self._line[:1] != first:
            self._wake_the_first()
        return soonest

    def _pause(self, waiting: _Waiting) -> float | None:
        """Seconds to sleep; None, until woken, for all but the first, who keeps time for them."""
        with self._lock:
            waiting.woken.clear()
            soonest = self._let_go()
            if waiting.admitted:
                return 0.0
            return soonest if self._line[0] is waiting else None

    def _wake_the_first(self) -> None:
        if self._line:
            self._line[0].woken.set()

    def _give_up(self, waiting: _Waiting) -> None:
        with self._lock:
            if waiting.admitted:
                self._stay(waiting.endpoint)
            else:
                self._line.remove(waiting)
            self._wake_the_first()


class _Waiting:
    """A thread in the line."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.admitted = False
        self.woken = threading.Event()


class _Traffic:
    """The requests of an account, or to one of its endpoints: their limits, and how they fare."""

    def __init__(self, rate: float, first_rate: float) -> None:
        self._first_rate = first_rate
        self._rate = _Limit(rate, least=rate * LEAST, kept=KEPT)
        self._most_in_flight = _Limit(math.inf, least=1.0, kept=KEPT_IN_FLIGHT)
        self._remembered = max(MEASURED, 3.0 / min(1.0, rate * LEAST))
        self._left: deque[float] = deque()
        self._leaving: deque[float] = deque()
        """When those were let go that have not left yet; in `_left`, too, until they have."""

        self._began = math.inf
        self._next = -math.inf
        self._seconds: float | None = None
        self.in_flight = 0

    def delay(self, now: float) -> float:
        """Seconds until a request may leave."""
        delay = self._moment(self._rate.at(now)) - now
        if self.in_flight >= self.room(now):
            delay = max(delay, ASK_AGAIN)
        return delay if delay > TICK else 0.0

    def begin(self, now: float) -> None:
        """Count a request that leaves."""
        self._began = min(self._began, now)
        rate = self._rate.at(now)
        if now < self._began + 1:
            rate = min(rate, self._first_rate)
        self._next = max(self._next, now - CATCH_UP) + 1 / (PACE * rate)
        for moments in (self._left, self._leaving):
            while moments and moments[0] < now - self._remembered:
                moments.popleft()
            moments.append(now)
        self.in_flight += 1

    def leave(self, now: float) -> None:
        """Count a request from now on that was let go before."""
        if not self._leaving:
            return
        let_go = self._leaving.popleft()
        with suppress(ValueError):
            self._left.remove(let_go)
            self._left.append(now)

    def stay(self) -> None:
        """Count a request as under way no more; it has had its turn."""
        self.in_flight -= 1
        if self._leaving:
            self._leaving.popleft()

    def end(self, seconds: float | None) -> None:
        """Count a request as done, and learn from the seconds that its answer took."""
        self.in_flight -= 1
        if seconds is None:
            return
        if self._seconds is None:
            self._seconds = seconds
        # One answer that takes ages does not say that all will.
        most = SURPRISE * max(self._seconds, TICK)
        self._seconds += LEARNING * (min(seconds, most) - self._seconds)

    def cut_rate(self, now: float, left: float) -> None:
        """Give way to a 429 for a request that left at `left`."""
        rate, used = self._rate.at(now), self._left_since(now - 1)
        # A rate that was not used was not what was too much; a single second tells little, though.
        self._rate.cut(now, left, rate if used > 0.8 * rate else max(used, rate / 2))

    def cut_in_flight(self, now: float, left: float) -> None:
        """Give way to a 429 for a request that left at `left`."""
        self._most_in_flight.cut(now, left, self.in_flight)

    def room(self, now: float) -> int:
        """How many requests may be under way at once: what answers take by the rate, twice over."""
        seconds = max(SLOW_ANSWER if self._seconds is None else self._seconds, QUICK_ANSWER)
        usual = math.ceil(2 * seconds * self._rate.at(now)) + SPARE
        return max(1, math.floor(min(usual, self._most_in_flight.at(now))))

    def idle(self, now: float) -> int:
        """How many more could be under way, without waiting for their turn."""
        seconds = self._seconds or 0.0
        busy = math.ceil(seconds * self._rate.at(now)) + 1
        return min(busy, self.room(now)) - self.in_flight

    def speed(self, now: float) -> Speed:
        """Requests/s, as they leave and as they may."""
        span = min(MEASURED, max(1.0, now - self._began))
        return Speed(self._left_since(now - span) / span, self._rate.at(now))

    def _moment(self, rate: float) -> float:
        """When the next request may leave."""
        most = math.ceil(rate)
        if len(self._left) < most:
            return self._next
        return max(self._next, self._left[-most] + WINDOW * most / rate)

    def _left_since(self, moment: float) -> int:
        return sum(1 for left in self._left if left >= moment)


class _Limit:
    """A number that is cut when it was too much, and that time restores.

    It soon comes back to a little below what was too much, stays about there, and then probes, on a
    cubic curve as TCP's. The more often that was too much, the longer it takes.
    """

    def __init__(self, most: float, *, least: float, kept: float) -> None:
        self._most = most
        self._least = least
        self._kept = kept
        self._cut_at: float | None = None
        self._low = self._tried = most
        self._recovery = RECOVERY
        self._growth = 0.0

    def at(self, now: float) -> float:
        """The limit at a moment."""
        if self._cut_at is None:
            return self._most
        progress = (now - self._cut_at) / self._recovery - 1
        span = self._growth if progress > 0 else self._tried - self._low
        return min(self._most, self._tried + span * progress**3)

    def cut(self, now: float, left: float, used: float) -> None:
        """Keep a part of what was used, unless it was cut since the request left."""
        if self._cut_at is None:
            self._recovery = RECOVERY
        elif left <= self._cut_at + ROUND:
            return
        elif now - self._cut_at < 4 * self._recovery:
            self._recovery = min(2 * self._recovery, SLOWEST_RECOVERY)
        else:
            self._recovery = RECOVERY
        too_much = min(self.at(now), used)
        self._low = max(self._least, self._kept * too_much)
        self._tried = max(self._low, TRIED * too_much)
        self._growth = (1 - self._kept) * (
            self._tried + 1 if self._most == math.inf else self._most
        )
        self._cut_at = now
