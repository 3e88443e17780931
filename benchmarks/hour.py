"""The hour between two runs: what happens in it, and what both runs made of the account's rows."""

from __future__ import annotations

from functools import cache
from random import Random
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import msgspec

from benchmarks.target import digest
from tap_stripe_conn.tap import TapStripeConn
from tests.fake_stripe.mutations import STREAMS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from benchmarks.scenarios import Hour
    from tap_stripe_conn.streams.stream import StripeStream
    from tests.fake_stripe import FakeStripe

HOUR: Final = 3_600

Key: TypeAlias = tuple[str, ...]
"""A stream's name and the values of a row's primary key."""


class Difference(NamedTuple):
    """How the rows that were written differ from those that are there."""

    missing: int
    stale: int


def begin_before(stripe: FakeStripe) -> None:
    """Set the server's clock back by that hour, and let something have happened the day before.

    Of an account that had no event for 30 days no feed can be told from one without events.
    """
    stripe.clock.advance(seconds=-HOUR)
    stripe.life.create("customers", at=stripe.now() - 86_400)


def let_pass(stripe: FakeStripe, hour: Hour, streams: Sequence[str]) -> int:
    """Have it happen, evenly over the hour.

    Returns:
        To how many objects something happened.
    """
    chance = Random(1)  # noqa: S311 - not for secrets
    edited = [
        (stream, identifier)
        for stream, count in hour.edits.items()
        for identifier in chance.sample(stripe.ids(stream), count)
    ]
    pause = HOUR / (len(edited) + hour.steps + 1)
    changed: set[tuple[str, str]] = set()
    for stream, identifier in edited:
        stripe.clock.advance(seconds=pause)
        stripe.life.change(stream, identifier, description="edited")
        changed.add((stream, identifier))
    lively = stripe.life.random(1, tuple(each for each in STREAMS if each in streams))
    for _ in range(hour.steps):
        stripe.clock.advance(seconds=pause)
        step = lively.step()
        if step.id:
            changed.add((step.stream, step.id))
    stripe.clock.advance(seconds=pause)
    return len(changed)


def difference(stripe: FakeStripe, streams: Sequence[str], contents: Path) -> Difference:
    """Hold what `benchmarks.target` noted of both runs' rows against the account's.

    A row that no list shows may be written or not.
    """
    with contents.open("rb") as lines:
        noted = {tuple(key): found for key, found in map(msgspec.json.decode, lines)}
    missing = stale = 0
    for key, expected in _truth(stripe, streams):
        found = noted.pop(key, None)
        missing += found is None and expected is not None
        stale += found is not None and expected is not None and found != expected
    gone = sum(found is not None for found in noted.values())
    return Difference(missing, stale + gone)


@cache
def tap_streams() -> Mapping[str, StripeStream]:
    """The tap's streams, whose shapers make rows of objects."""
    return TapStripeConn(config={"live_api_key": "sk_" + "test_" + "benchmark"}).stripe_streams


def _truth(stripe: FakeStripe, streams: Sequence[str]) -> Iterator[tuple[Key, str | None]]:
    """Each row's key, with a digest of what it holds; None for a row that no list shows."""
    for name in streams:
        stream = tap_streams()[name]
        parent = stream.resource.parent
        for above, obj, listed in stripe.truth(name):
            row = stream.shaper(dict(obj))
            if parent is not None:
                row[parent.column] = above
            key = (name, *(row[column] for column in stream.resource.primary_key))
            yield key, digest(msgspec.json.decode(msgspec.json.encode(row))) if listed else None
