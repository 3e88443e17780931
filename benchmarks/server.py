"""The server in a process of its own: `python -m benchmarks.server SCENARIO`.

It prints one line of JSON when it is ready: `url` and `key`. For the path of a file with the keys
of all rows that were read, on stdin, it prints a second one, its `Report`, and ends.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from benchmarks.others import USER_AGENT
from benchmarks.report import Report
from benchmarks.scenarios import AS_MOST, SCENARIOS
from tests.end_to_end.truth import keys_of, seed_everything
from tests.fake_stripe import FakeStripe

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from benchmarks.scenarios import Scenario
    from tap_stripe_conn.catalogue.resources import Resource
    from tests.fake_stripe import Request

FAULTS: Final = ("status", "reset", "truncated", "rate_limit", "stall")
FAULT_RATE: Final = 0.02
"""How often each of them hits a request."""

STALL: Final = 3.0
"""Seconds that a stall lasts."""

EMBEDDED: Final = 10
"""Rows of an embedded list, for which nothing needs to be asked."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve one run, and tell of it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.server", description=__doc__)
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("--faults", action="store_true")
    options = parser.parse_args(arguments)
    scenario = SCENARIOS[options.scenario]
    with account(scenario) as stripe:
        if options.faults:
            rate = FAULT_RATE * len(FAULTS)
            stripe.random_faults(seed=1, rate=rate, kinds=FAULTS, seconds=STALL)
        _print({"url": stripe.url, "key": stripe.secret_key})
        if path := sys.stdin.readline().strip():
            _print(dataclasses.asdict(report(stripe, scenario, Path(path))))


def account(scenario: Scenario) -> FakeStripe:
    """A server with a scenario's rows, latency and limits, that isn't running yet."""
    stripe = FakeStripe(livemode=scenario.livemode)
    for name, load in scenario.lists.items():
        stripe.seed_in_bulk(name, load.times(), AS_MOST.get(name))
    if scenario.rows_of_each:
        seed_everything(stripe, rows=scenario.rows_of_each)
    stripe.latency = scenario.latency
    stripe.rates.per_second = scenario.account_rate
    stripe.rates.per_endpoint = scenario.endpoint_rate
    return stripe


def report(stripe: FakeStripe, scenario: Scenario, keys: Path) -> Report:
    """What the tap asked for, and how the keys of the rows that it wrote compare to the truth."""
    streams = list(scenario.lists or stripe.catalogue.resources)
    truth = Counter(_truth(stripe, streams))
    with keys.open("rb") as lines:
        read = Counter(line.rstrip(b"\n") for line in lines)
    if strange := read.keys() - truth.keys():
        msg = f"rows that the server doesn't have: {sorted(strange)[:3]}"
        raise RuntimeError(msg)
    own = [each for each in stripe.requests if each.headers.get("user-agent") != USER_AGENT]
    lists = [each for each in own if each.is_list]
    if not lists:
        msg = "the tap asked for no list"
        raise RuntimeError(msg)
    first, last = lists[0].time, max(each.time + each.seconds for each in own)
    others = [
        each
        for each in stripe.requests
        if each.headers.get("user-agent") == USER_AGENT and first <= each.time <= last
    ]
    return Report(
        rows=truth.total(),
        pages=sum(_fewest(stripe, stripe.catalogue.resources[name]) for name in streams),
        requests=len(own),
        first=first,
        last=last,
        limited=len(_limited(own)),
        limited_late=sum(each.time >= first + 1 for each in _limited(own)),
        others=len(others),
        others_limited=len(_limited(others)),
        missing=(truth - read).total(),
        twice=(read - truth).total(),
    )


def _print(answer: object) -> None:
    print(json.dumps(answer), flush=True)


def _limited(requests: Iterable[Request]) -> list[Request]:
    return [each for each in requests if each.status == 429]  # noqa: PLR2004 - Too Many Requests


def _truth(stripe: FakeStripe, streams: Sequence[str]) -> Iterator[bytes]:
    """The keys of all rows, as `benchmarks.target` writes them."""
    for name in streams:
        resource = stripe.catalogue.resources[name]
        if resource.parent is None and resource.primary_key == ("id",) and not resource.singleton:
            yield from (msgspec.json.encode((name, each)) for each in stripe.ids(name))
        else:
            yield from map(msgspec.json.encode, keys_of(stripe, [name]).elements())


def _fewest(stripe: FakeStripe, resource: Resource) -> int:
    """How few requests hold a stream's rows."""
    size = resource.page_size or math.inf
    if resource.singleton or resource.parent is None:
        return max(1, math.ceil(len(stripe.ids(resource.name)) / size))
    parents = [
        row["id"]
        for row in stripe.objects(resource.parent.stream)
        if all(row.get(name) == value for name, value in resource.parent.where.items())
    ]
    rows = [len(stripe.ids(resource.name, parent=each)) for each in parents]
    if resource.parent.embedded:
        return sum(math.ceil(max(0, each - EMBEDDED) / size) for each in rows)
    return sum(max(1, math.ceil(each / size)) for each in rows)


if __name__ == "__main__":
    main()
