"""docs/speed.md counts right."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tap_stripe_conn.api.limits import ENDPOINT_RATE, LIVE_RATE, TEST_RATE

TEXT = (Path(__file__).parents[1] / "docs" / "speed.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("line", "requests", "streams"),
    [
        ("100,000 in one stream", 1_000, 1),
        ("1,000,000 in ten streams", 10_000, 10),
        ("10,000,000 in ten streams", 100_000, 10),
        ("100,000 payouts with their balance transactions, a request each", 100_000, 1),
    ],
)
def test_the_time_that_a_first_run_takes_follows_from_the_rates(
    line: str, requests: int, streams: int
) -> None:
    times = re.findall(rf"^\| {line} \| ([^|]+) \| ([^|]+) \|$", TEXT, re.MULTILINE)
    expected = tuple(
        in_words(requests / min(rate, streams * ENDPOINT_RATE)) for rate in (LIVE_RATE, TEST_RATE)
    )
    assert times == [expected]


def in_words(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds / 60:.0f} min"


def test_it_names_the_rates_that_are_the_defaults() -> None:
    assert f"{LIVE_RATE:.0f} requests/s with a live key and {TEST_RATE:.0f} with a test" in TEXT
    assert f"{ENDPOINT_RATE:.0f} for each endpoint" in TEXT
