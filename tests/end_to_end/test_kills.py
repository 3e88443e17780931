"""A killed run costs pages, not rows: the next one completes it."""

from __future__ import annotations

import signal
from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.accounts import (
    BARE,
    STREAMS,
    bare,
    last_state,
    parents_of,
    union,
    unread_in,
)
from tests.end_to_end.tap import Tap
from tests.end_to_end.truth import keys_in
from tests.nightly import NIGHTLY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.end_to_end.accounts import Account
    from tests.end_to_end.tap import Output
    from tests.end_to_end.truth import Key
    from tests.fake_stripe import FakeStripe, Request


KILLS = 50 if NIGHTLY else 15
MOST_LINES = 1_900
"""After which to kill: half of the runs have written a STATE before."""


@pytest.fixture(scope="module")
def large() -> Iterator[Account]:
    """More than 30,000 rows."""
    with bare() as account:
        yield account


def test_30000_rows_and_children_arrive_exactly_once(large: Account, tmp_path: Path) -> None:
    assert large.rows > 30_000
    output = Tap.of(large.stripe, tmp_path).run(list(BARE))
    assert output.code == 0, output.errors[-2000:]
    assert keys_in(large.stripe, output.rows) == large.keys
    assert set(large.keys.values()) == {1}


def test_20_resources_and_their_children_arrive_exactly_once(
    small: Account, tmp_path: Path
) -> None:
    output = Tap.of(small.stripe, tmp_path).run(STREAMS)
    assert output.code == 0, output.errors[-2000:]
    assert keys_in(small.stripe, output.rows) == small.keys


@pytest.mark.parametrize("lines", [1, 2_000])
def test_after_a_kill_at_a_line_nothing_is_missing(
    small: Account, tmp_path: Path, lines: int
) -> None:
    tap = Tap.of(small.stripe, tmp_path)
    first = kill(tap, STREAMS, lines)
    assert keys_in(small.stripe, first.rows).total() < small.rows, "the kill came too late"
    second = tap.run(STREAMS, state=last_state([first]))
    assert second.code == 0, second.errors[-2000:]
    assert union(small, [first, second]) == small.keys.keys()


def test_a_kill_in_the_middle_of_a_stream_costs_no_more_than_what_came_after_the_last_state(
    stripe: FakeStripe, tmp_path: Path
) -> None:
    ids = set(stripe.seed("charges", 1_500))
    tap = Tap.of(stripe, tmp_path)
    first = tap.interrupted(["charges"], signum=signal.SIGKILL, when=is_midway)
    written = {row["id"] for row in first.rows["charges"]}
    second = tap.run(["charges"], state=first.states[-1])
    again = [row["id"] for row in second.rows["charges"]]
    assert second.code == 0, second.errors[-2000:]
    assert 0 < len(written) < len(ids)
    assert written | set(again) == ids
    # Pages may have come after the STATE, and the seconds that they end in are read again.
    assert len(again) <= len(ids) - len(written) + 200 + 20


def test_a_run_that_is_killed_again_and_again_goes_on_each_time_and_misses_nothing(
    large: Account, tmp_path: Path
) -> None:
    large.stripe.before_request = pages_of_20
    tap = Tap.of(large.stripe, tmp_path)
    parents = parents_of(large)
    chance = Random(1)  # noqa: S311 - no secret
    state: dict[str, object] | None = None
    read: set[Key] = set()
    after_state: set[Key] = set()
    """What was written since the STATE that the next run goes on from."""

    gone_on_with: set[str] = set()
    again = 0
    for _ in range(KILLS):
        unread = {stream: unread_in(state, stream) for stream in BARE}
        killed = kill(tap, list(BARE), chance.randrange(1, MOST_LINES), state)
        written = union(large, [killed])
        for key in written:
            spans = unread[key[0]]
            assert spans is None or any(since <= parents[key] < until for since, until in spans)
        going_on = {stream for stream, spans in unread.items() if spans is not None}
        again += sum(key[0] in going_on for key in written & read - after_state)
        gone_on_with |= {key[0] for key in written if key[0] in going_on}
        read |= written
        if killed.states:
            state, after_state = killed.states[-1], set()
        after_state |= keys_in(large.stripe, killed.rows_after_state).keys()
    large.stripe.before_request = None
    rest = tap.run(list(BARE), state=state)
    assert rest.code == 0, rest.errors[-2000:]
    assert read | union(large, [rest]) == large.keys.keys()
    # What was written before a STATE that doesn't count it yet: pages that wait for the children
    # of their rows, twenty rows and what is embedded in them.
    assert again < KILLS * 500
    assert gone_on_with == set(BARE)


def kill(
    tap: Tap, streams: list[str], lines: int, state: dict[str, object] | None = None
) -> Output:
    output = tap.interrupted(
        streams, state=state, signum=signal.SIGKILL, when=lambda o: len(o.lines) == lines
    )
    assert output.code == -signal.SIGKILL
    return output


def is_midway(output: Output) -> bool:
    """Whether the last line is a STATE that tells what of the stream is still to read."""
    if output.last != "STATE":
        return False
    return "pending" in output.states[-1].get("bookmarks", {}).get("charges", {})


def pages_of_20(request: Request) -> None:
    """Have Stripe send fewer rows than asked for, so that 30,000 are many pages."""
    if "limit" in request.params:
        request.params["limit"] = "20"
