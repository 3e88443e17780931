"""The messages of a run in their order: a schema before its rows, and rows before their STATE."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from tests.end_to_end.accounts import BARE, bare, parents_of, unread_in
from tests.end_to_end.tap import Tap
from tests.end_to_end.truth import keys_in
from tests.fake_stripe.ids import dice

if TYPE_CHECKING:
    from pathlib import Path

    from tests.end_to_end.truth import Key
    from tests.fake_stripe import Request


def test_rows_follow_their_schema_and_go_before_each_state_that_counts_them(
    tmp_path: Path,
) -> None:
    chance = dice("latencies")

    def take_some_time(_request: Request) -> None:
        time.sleep(chance.uniform(0, 0.03))

    with bare() as account:
        account.stripe.before_request = take_some_time
        account.stripe.random_faults(seed=2, rate=0.04)
        run = Tap.of(account.stripe, tmp_path).run(list(BARE))
        parents = parents_of(account)
        written: set[Key] = set()
        schemas: set[str] = set()
        for line in run.lines:
            message = msgspec.json.decode(line)
            if message["type"] == "SCHEMA":
                schemas.add(message["stream"])
            elif message["type"] == "RECORD":
                assert message["stream"] in schemas
                written |= keys_in(account.stripe, {message["stream"]: [message["record"]]}).keys()
            elif message["type"] == "STATE":
                unread = {stream: unread_in(message["value"], stream) for stream in BARE}
                for key in account.keys.keys() - written:
                    spans = unread[key[0]]
                    assert spans is None or any(
                        since <= parents[key] < until for since, until in spans
                    ), f"{key} is counted as read, and was not written"
    assert run.code == 0, run.errors[-2000:]
    assert written == account.keys.keys()
    assert len(run.states) >= 10
