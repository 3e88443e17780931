"""A run that is told to stop ends at once with whole messages, and the next one completes it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.accounts import STREAMS, union
from tests.end_to_end.tap import Tap
from tests.end_to_end.truth import keys_in

if TYPE_CHECKING:
    from pathlib import Path

    from tests.end_to_end.accounts import Account
    from tests.fake_stripe import FakeStripe

LONG_SCHEMAS = [
    "customer_payment_methods",
    "customer_sources",
    "treasury_transaction_entries",
    "treasury_transactions",
]
"""Children with much to say before their first row."""


@pytest.mark.parametrize(
    ("signum", "code", "lines"),
    [(signal.SIGTERM, 143, 1), (signal.SIGTERM, 143, 2_500), (signal.SIGINT, 130, 2_500)],
    ids=["SIGTERM-1", "SIGTERM-2500", "SIGINT-2500"],
)
def test_a_signal_ends_the_run_with_a_whole_line_and_a_state_that_the_next_run_completes(
    small: Account, tmp_path: Path, signum: signal.Signals, code: int, lines: int
) -> None:
    tap = Tap.of(small.stripe, tmp_path)
    first = tap.interrupted(STREAMS, signum=signum, when=lambda o: len(o.lines) == lines)
    assert first.code == code
    assert first.last_error.startswith("Interrupted; "), first.errors[-2000:]
    assert first.cut == b""
    assert first.last == "STATE"
    assert keys_in(small.stripe, first.rows).total() < small.rows
    second = tap.run(STREAMS, state=first.states[-1])
    assert second.code == 0, second.errors[-2000:]
    assert union(small, [first, second]) == small.keys.keys()


@pytest.mark.parametrize("lines", [150, 750])
def test_the_state_of_a_stopped_run_claims_no_row_of_a_stream_that_was_not_written(
    stripe: FakeStripe, tmp_path: Path, lines: int
) -> None:
    ids = set(stripe.seed("charges", 1_000))
    tap = Tap.of(stripe, tmp_path)
    first = tap.interrupted(
        ["charges"], signum=signal.SIGTERM, when=lambda o: len(o.lines) == lines
    )
    second = tap.run(["charges"], state=first.states[-1])
    written = {row["id"] for row in first.rows["charges"]}
    again = {row["id"] for row in second.rows["charges"]}
    assert 0 < len(written) < len(ids)
    assert 0 < len(again) < len(ids), "what was written is not read again"
    assert written | again == ids


ROWS = {
    "rows": {"charges": 5},
    "no-rows": {"charges": 0},
    "no-parents": dict.fromkeys(LONG_SCHEMAS, 0),
}
BUFFERING = {"plain": {}, "unbuffered": {"PYTHONUNBUFFERED": "1"}}


@pytest.mark.parametrize(
    ("signum", "buffering", "rows"),
    [
        *((signal.SIGTERM, buffering, rows) for buffering in BUFFERING for rows in ROWS),
        (signal.SIGINT, "plain", "rows"),
    ],
    ids=lambda part: getattr(part, "name", part),
)
def test_a_signal_tears_no_message_in_two_while_the_loader_is_slow(
    stripe: FakeStripe,
    tmp_path: Path,
    signum: signal.Signals,
    buffering: str,
    rows: str,
) -> None:
    # Their SCHEMAs alone are more than a pipe holds: the tap waits in the middle of one.
    wanted = ROWS[rows]
    seeded = {(stream, id_) for stream, n in wanted.items() if n for id_ in stripe.seed(stream, n)}
    tap = Tap.of(stripe, tmp_path, environ=BUFFERING[buffering])
    first = tap.interrupted(list(wanted), signum=signum, when=None)
    assert first.code == 128 + signum
    assert first.last == "STATE"
    assert first.schemas
    second = tap.run(list(wanted), state=first.states[-1])
    assert second.code == 0, second.errors[-2000:]
    written = keys_in(stripe, first.rows) | keys_in(stripe, second.rows)
    assert written.keys() == seeded


@pytest.mark.parametrize("buffering", BUFFERING)
def test_a_second_signal_does_not_wait_for_the_loader_and_nothing_follows_what_it_cuts(
    stripe: FakeStripe, tmp_path: Path, buffering: str
) -> None:
    ids = set(stripe.seed("charges", 300))
    tap = Tap.of(stripe, tmp_path, environ=BUFFERING[buffering])
    first = tap.interrupted(["charges"], signum=signal.SIGTERM, when=None, times=2)
    assert first.code == 143
    assert first.last_error == "Interrupted; the last STATE covers what was written"
    assert b'{"type":"STATE"' not in first.cut
    state = first.states[-1] if first.states else None
    second = tap.run(["charges"], state=state)
    assert {row["id"] for output in (first, second) for row in output.rows["charges"]} == ids
