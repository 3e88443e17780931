"""A killed run costs pages, not rows: the next one completes it."""

from __future__ import annotations

import signal
from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.accounts import STREAMS, last_state, seeded, union
from tests.end_to_end.tap import Tap
from tests.end_to_end.truth import keys_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.end_to_end.accounts import Account
    from tests.end_to_end.tap import Output
    from tests.fake_stripe import FakeStripe


@pytest.fixture(scope="module")
def large() -> Iterator[Account]:
    """20 resources of 1,000 rows each, and children."""
    with seeded(rows=1_000) as account:
        yield account


def test_20_resources_of_1000_rows_and_their_children_arrive_exactly_once(
    large: Account, tmp_path: Path
) -> None:
    assert large.rows > 20 * 1_000 + 6 * 1_500
    assert set(large.keys.values()) == {1}
    output = Tap.of(large.stripe, tmp_path).run(STREAMS)
    assert output.code == 0, output.errors[-2000:]
    assert keys_in(large.stripe, output.rows) == large.keys


def test_after_a_kill_midway_through_20_resources_nothing_is_missing(
    large: Account, tmp_path: Path
) -> None:
    complete_after_kill(large, tmp_path, 15_000)


@pytest.mark.parametrize("lines", [1, 2_000, 3_900])
def test_after_a_kill_at_a_line_nothing_is_missing(
    small: Account, tmp_path: Path, lines: int
) -> None:
    complete_after_kill(small, tmp_path, lines)


@pytest.mark.parametrize("seed", [1, 2])
def test_after_a_kill_anywhere_nothing_is_missing(
    small: Account, tmp_path: Path, seed: int
) -> None:
    # What the tap wrote into the pipe before it dies is read too: a margin, to be midway.
    complete_after_kill(small, tmp_path, Random(seed).randrange(1, small.rows - 500))  # noqa: S311 - no secret


def test_after_one_kill_after_the_other_nothing_is_missing(small: Account, tmp_path: Path) -> None:
    tap = Tap.of(small.stripe, tmp_path)
    outputs: list[Output] = []
    for lines in (1_500, 600, 1_000):
        outputs.append(kill(tap, lines, last_state(outputs)))
    outputs.append(tap.run(STREAMS, state=last_state(outputs)))
    assert outputs[-1].code == 0, outputs[-1].errors[-2000:]
    assert union(small, outputs) == small.keys.keys()


def test_a_kill_in_the_middle_of_a_stream_costs_no_more_than_what_came_after_the_last_state(
    stripe: FakeStripe, tmp_path: Path
) -> None:
    ids = set(stripe.seed("charges", 1_500))
    tap = Tap.of(stripe, tmp_path)
    stripe.latency = {"/v1/charges": 2.0}  # so that a STATE is due before the stream ends
    first = tap.interrupted(["charges"], signum=signal.SIGKILL, when=is_midway)
    written = {row["id"] for row in first.rows["charges"]}
    stripe.latency = 0.0
    second = tap.run(["charges"], state=first.states[-1])
    again = [row["id"] for row in second.rows["charges"]]
    assert second.code == 0, second.errors[-2000:]
    assert 0 < len(written) < len(ids)
    assert written | set(again) == ids
    # Pages may have come after the STATE, and the seconds that they end in are read again.
    assert len(again) <= len(ids) - len(written) + 200 + 20


def complete_after_kill(account: Account, directory: Path, lines: int) -> None:
    tap = Tap.of(account.stripe, directory)
    first = kill(tap, lines)
    assert keys_in(account.stripe, first.rows).total() < account.rows, "the kill came too late"
    second = tap.run(STREAMS, state=last_state([first]))
    assert second.code == 0, second.errors[-2000:]
    assert union(account, [first, second]) == account.keys.keys()


def kill(tap: Tap, lines: int, state: dict[str, object] | None = None) -> Output:
    output = tap.interrupted(
        STREAMS, state=state, signum=signal.SIGKILL, when=lambda o: len(o.lines) == lines
    )
    assert output.code == -signal.SIGKILL
    return output


def is_midway(output: Output) -> bool:
    """Whether the last line is a STATE that tells what of the stream is still to read."""
    if output.last != "STATE":
        return False
    return "pending" in output.states[-1].get("bookmarks", {}).get("charges", {})
