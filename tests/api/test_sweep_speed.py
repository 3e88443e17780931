"""What it costs to read a list as fast as Stripe allows, by how its rows lie in time."""

from __future__ import annotations

import logging
import math
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest

from tap_stripe_conn.api.lists import Range
from tests.api.simulation import Settled, Simulation

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

DAY: Final = 86_400
YEAR: Final = 31_557_600
NOW: Final = 1_767_225_600
"""2026-01-01."""

FIVE_YEARS: Final = Range(NOW - 5 * YEAR, NOW)
EVERYTHING: Final = Range(0, NOW)


def thrown() -> Random:
    return Random(6)  # noqa: S311 - no secret


def evenly(rows: int, years: float, *, until: float = NOW) -> list[int]:
    dice = thrown()
    return [int(until - dice.random() * years * YEAR) for _ in range(rows)]


def growing_linearly(rows: int) -> list[int]:
    dice = thrown()
    return [int(NOW - 5 * YEAR * (1 - math.sqrt(dice.random()))) for _ in range(rows)]


def growing(rows: int, factor: float) -> list[int]:
    """Times of a start-up that makes `factor` times as many rows at the end of its five years."""
    dice = thrown()
    fall = math.log(factor)
    shares = (-math.log(1 - dice.random() * (1 - 1 / factor)) / fall for _ in range(rows))
    return [int(NOW - 1 - share * 5 * YEAR) for share in shares]


def shrinking(rows: int, factor: float) -> list[int]:
    return [2 * NOW - 5 * YEAR - time for time in growing(rows, factor)]


def weekly(rows: int, years: int) -> list[int]:
    """An hour every week."""
    dice = thrown()
    return [
        int(NOW - dice.randrange(52 * years) * 7 * DAY - DAY - dice.random() * 3600)
        for _ in range(rows)
    ]


def one_busy_day(rows: int) -> list[int]:
    """90 % in one day, the rest over five years."""
    dice = thrown()
    busy = NOW - 2.3 * YEAR
    return [
        int(busy - dice.random() * DAY) if n % 10 else int(NOW - dice.random() * 5 * YEAR)
        for n in range(rows)
    ]


def two_days(rows: int) -> list[int]:
    """The last day, and one four years ago."""
    dice = thrown()
    return [int(NOW - dice.random() * DAY - (n % 2) * 4 * YEAR) for n in range(rows)]


def with_a_burst(rows: int) -> list[int]:
    """1,000 in the same second, the rest evenly over five years."""
    return evenly(rows - 1000, 5) + [NOW - 2 * YEAR] * 1000


class Load(NamedTuple):
    """A list, and what reading it may take at most."""

    times: Callable[[], list[int]]
    span: Range
    requests: float
    """For each page that its rows fill."""

    wall: float
    """For each second that those pages take at 25 requests/s."""


LOADS: Final[dict[str, Load]] = {
    "evenly over the span": Load(partial(evenly, 10_000, 5), FIVE_YEARS, 1.10, 1.25),
    "evenly, since an unknown day two years ago": Load(
        partial(evenly, 10_000, 2), EVERYTHING, 1.12, 1.30
    ),
    "evenly, since an unknown day a month ago": Load(
        partial(evenly, 10_000, 1 / 12), EVERYTHING, 1.12, 1.40
    ),
    "evenly, until a year ago": Load(
        partial(evenly, 10_000, 2, until=NOW - YEAR), EVERYTHING, 1.12, 1.35
    ),
    "linear growth": Load(partial(growing_linearly, 10_000), EVERYTHING, 1.12, 1.30),
    "growth by 100": Load(partial(growing, 10_000, 100), FIVE_YEARS, 1.10, 1.25),
    "growth by 10,000": Load(partial(growing, 10_000, 10_000), EVERYTHING, 1.12, 1.30),
    "decline by 100": Load(partial(shrinking, 10_000, 100), FIVE_YEARS, 1.15, 1.40),
    "an hour every week": Load(partial(weekly, 10_000, 5), FIVE_YEARS, 1.12, 1.30),
    "an hour every week, 100,000 rows": Load(partial(weekly, 100_000, 2), EVERYTHING, 1.05, 1.10),
    "1,000 rows in one second": Load(partial(with_a_burst, 10_000), FIVE_YEARS, 1.15, 1.35),
    "one busy day in five years": Load(partial(one_busy_day, 10_000), FIVE_YEARS, 1.15, 1.35),
    "one busy day, 100,000 rows": Load(partial(one_busy_day, 100_000), FIVE_YEARS, 1.03, 1.10),
    "two days, years apart": Load(partial(two_days, 10_000), FIVE_YEARS, 1.12, 1.45),
    "two days, 100,000 rows": Load(partial(two_days, 100_000), FIVE_YEARS, 1.03, 1.10),
    "only at the very old end": Load(
        lambda: [FIVE_YEARS.since + n // 10 for n in range(10_000)], FIVE_YEARS, 1.10, 1.30
    ),
    # Rows of a second can only be had one page after the other.
    "all in one second": Load(lambda: [NOW - 2 * YEAR] * 10_000, FIVE_YEARS, 1.12, 5.0),
    "no rows": Load(list, EVERYTHING, 1.0, 5.0),
}


@pytest.mark.parametrize("load", LOADS.values(), ids=LOADS)
def test_one_list_is_read_nearly_as_fast_as_its_endpoint_allows(load: Load) -> None:
    cost = Simulation(latency=0.2, endpoint_rate=25).read([Settled(load.times())], load.span)
    pages = pages_of(cost.rows)
    requests, wall = cost.requests / pages, cost.seconds / (pages / 25)
    logger.info("%d pages: requests x %.3f, wall x %.2f", pages, requests, wall)
    assert requests <= load.requests
    assert wall <= load.wall + 1e-6


@pytest.mark.parametrize(
    ("years_since_it_was_made", "requests", "wall"),
    [(2, 1.07, 1.27), (2.5, 1.09, 1.30), (4, 1.12, 1.30), (1, 1.15, 1.33), (0.01, 1.12, 1.35)],
)
def test_who_says_when_the_account_was_made_saves_requests_and_costs_hardly_any_if_wrong(
    years_since_it_was_made: float, requests: float, wall: float
) -> None:
    account = Simulation(begins_about=int(NOW - years_since_it_was_made * YEAR))
    cost = account.read([Settled(evenly(10_000, 2))], EVERYTHING)
    assert cost.rows == 10_000
    logger.info("requests x %.3f, wall x %.2f", cost.requests / 100, cost.seconds / 4)
    assert cost.requests <= requests * 100
    assert cost.seconds <= wall * 4


@pytest.mark.parametrize("rows", [0, 1, 99, 100, 101, 200, 250, 300])
@pytest.mark.parametrize("years", [0.01, 1, 5])
@pytest.mark.parametrize("span", [FIVE_YEARS, EVERYTHING], ids=["five years", "everything"])
def test_a_small_list_costs_one_request_more_than_its_pages_at_most(
    rows: int, years: float, span: Range
) -> None:
    cost = Simulation().read([Settled(evenly(rows, years))], span)
    assert cost.rows == rows
    assert cost.requests <= pages_of(rows) + (rows > 100)


def test_eight_large_lists_are_read_as_fast_as_the_account_allows() -> None:
    lists = [Settled(growing(50_000, factor)) for factor in (1.01, 2, 5, 10, 20, 50, 100, 1000)]
    cost = Simulation(latency=0.2, endpoint_rate=25, rate=100).read(lists, EVERYTHING)
    assert cost.rows == 400_000
    assert cost.requests <= 1.03 * 4000
    assert cost.seconds <= 1.10 * 40


def test_four_lists_share_an_account_that_allows_no_more_than_one_endpoint() -> None:
    lists = [Settled(evenly(5000, years)) for years in (1, 2, 3, 4)]
    cost = Simulation(latency=0.2, endpoint_rate=25, rate=25).read(lists, EVERYTHING)
    assert cost.rows == 20_000
    assert cost.requests <= 1.12 * 200
    assert cost.seconds <= 1.15 * 8


def pages_of(rows: int) -> int:
    return max(1, math.ceil(rows / 100))
