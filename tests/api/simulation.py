"""Sweeps against Stripe's limits on a virtual clock: what they cost and how long they take."""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from tap_stripe_conn.api.lists import Listing, Range
from tap_stripe_conn.api.sweeps import Sweep

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tap_stripe_conn.api.client import Object
    from tap_stripe_conn.api.sweeps import Ask


class Settled:
    """A long list in which nothing changes."""

    def __init__(self, times: Iterable[int]) -> None:
        """Hold a row for each creation time; its id is its place, counted from the oldest."""
        self._times = sorted(times)

    def get(self, params: Mapping[str, Any]) -> Object:
        """A page, newest first."""
        low = bisect_left(self._times, params.get("created[gte]", 0))
        high = bisect_left(self._times, params["created[lt]"])
        cursor = params.get("starting_after")
        if cursor is not None:
            # In another window than its own, Stripe answers a cursor with an empty page.
            assert low <= int(cursor) < high
            high = int(cursor)
        start = max(low, high - params["limit"])
        rows = [{"id": str(n), "created": self._times[n]} for n in range(high - 1, start - 1, -1)]
        return {"object": "list", "data": rows, "has_more": start > low}

    def within(self, span: Range) -> int:
        """How many rows were created within `span`."""
        return bisect_left(self._times, span.until) - bisect_left(self._times, span.since)


@dataclass
class Pace:
    """Leaves at even distances, as the limits on requests want it."""

    rate: float
    """Requests/s."""

    next: float = 0.0

    def reserve(self, now: float) -> float:
        """When a request may leave."""
        leaves = max(now, self.next)
        self.next = leaves + 1 / self.rate
        return leaves


class Cost(NamedTuple):
    """What it took to read some lists."""

    rows: int
    requests: int
    seconds: float


@dataclass
class _Reading:
    sweep: Sweep
    stripe: Settled
    pace: Pace
    under_way: int = 0
    ids: set[str] = field(default_factory=set)
    rows: int = 0


@dataclass
class Simulation:
    """One account, and a simple scheduler: first the list with the fewest requests under way."""

    latency: float = 0.2
    """Seconds from a request to its answer."""

    endpoint_rate: float = 25.0
    """Requests/s for each list."""

    rate: float = 1000.0
    """Requests/s for all of them."""

    begins_about: int | None = None
    """When the account is said to have been made, in Unix seconds."""

    def read(self, lists: Sequence[Settled], span: Range) -> Cost:
        """Read `span` of each list, whole, and each row once."""
        listings = [_listing(number) for number in range(len(lists))]
        readings = {
            listing.path: _Reading(
                Sweep(listing, [span], begins_about=self.begins_about),
                stripe,
                Pace(self.endpoint_rate),
            )
            for listing, stripe in zip(listings, lists, strict=True)
        }
        account = Pace(self.rate)
        numbers = count()
        answers: list[tuple[float, int, Ask]] = []
        now = 0.0
        while True:
            while ask := self._next(list(readings.values())):
                reading = readings[ask.query.path]
                reading.under_way += 1
                leaves = max(account.reserve(now), reading.pace.reserve(now))
                heapq.heappush(answers, (leaves + self.latency, next(numbers), ask))
            if not answers:
                break
            now, _, ask = heapq.heappop(answers)
            reading = readings[ask.query.path]
            reading.under_way -= 1
            page = reading.sweep.receive(ask.walk, reading.stripe.get(ask.query.params))
            reading.rows += len(page.rows)
            reading.ids |= {row["id"] for row in page.rows}
            reading.sweep.written(page)
        for reading in readings.values():
            assert reading.sweep.is_read
            assert reading.sweep.unread == []
            assert reading.rows == len(reading.ids) == reading.stripe.within(span)
        rows = sum(reading.rows for reading in readings.values())
        return Cost(rows, next(numbers), now)

    def _next(self, readings: list[_Reading]) -> Ask | None:
        most = math.ceil(self.endpoint_rate * self.latency)
        idle = math.ceil(self.rate * self.latency) - sum(reading.under_way for reading in readings)
        if idle <= 0:
            return None
        open_ones = [reading for reading in readings if reading.under_way < most]
        open_ones.sort(key=lambda reading: reading.under_way)
        for reading in open_ones:
            if ask := reading.sweep.ask():
                return ask
        share = math.ceil(idle / len(open_ones)) if open_ones else 0
        for reading in open_ones:
            if reading.sweep.split(min(share, most - reading.under_way)):
                return reading.sweep.ask()
        return None


def _listing(number: int) -> Listing:
    path = f"/v1/list_{number}"
    return Listing(path=path, endpoint=path, created_filter="range", created_field="created")
