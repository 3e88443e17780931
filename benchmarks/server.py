"""The server in a process of its own: `python -m benchmarks.server SCENARIO`.

It prints one line of JSON when it is ready: `url` and `key`. Where a scenario has an hour between
two runs, a line on stdin lets it pass, and one of JSON says that it has. For the path of a file
with what `benchmarks.target` noted, on stdin, it prints a last one, its `Report`, and ends.
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

from benchmarks.hour import begin_before, difference, let_pass
from benchmarks.others import USER_AGENT
from benchmarks.report import Report
from benchmarks.scenarios import AS_MOST, SCENARIOS
from tests.end_to_end.truth import keys_of, seed_everything
from tests.fake_stripe import FakeStripe

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from benchmarks.scenarios import Load, Scenario
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
        changed = 0
        if scenario.hour and sys.stdin.readline():
            changed = let_pass(stripe, scenario.hour, selected(stripe, scenario))
            stripe.requests.clear()
            _print({"changed": changed})
        if path := sys.stdin.readline().strip():
            _print(dataclasses.asdict(report(stripe, scenario, Path(path), changed)))


def account(scenario: Scenario) -> FakeStripe:
    """A server with a scenario's rows, latency and limits, that isn't running yet."""
    stripe = FakeStripe(livemode=scenario.livemode)
    if scenario.hour:
        begin_before(stripe)
    children = {name for name, each in stripe.catalogue.resources.items() if each.parent}
    for name in sorted(scenario.lists, key=children.__contains__):
        if scenario.hour:
            _fill(stripe, name, scenario.lists[name])
        else:
            stripe.seed_in_bulk(name, scenario.lists[name].times(), AS_MOST.get(name))
    if scenario.rows_of_each:
        seed_everything(stripe, rows=scenario.rows_of_each)
    stripe.latency = scenario.latency
    stripe.rates.per_second = scenario.account_rate
    stripe.rates.per_endpoint = scenario.endpoint_rate
    return stripe


def _fill(stripe: FakeStripe, name: str, load: Load) -> None:
    """Give a stream rows that can change; children are dealt out to their parents."""
    until = int(stripe.now())
    if stripe.catalogue.resources[name].parent:
        stripe.seed(name, load.rows, since=min(load.times(until)), until=until)
        return
    for created in load.times(until):
        stripe.add(name, AS_MOST.get(name), created=created)


def selected(stripe: FakeStripe, scenario: Scenario) -> list[str]:
    """The streams that a scenario reads."""
    return list(scenario.lists or stripe.catalogue.resources)


def report(stripe: FakeStripe, scenario: Scenario, noted: Path, changed: int = 0) -> Report:
    """What the tap asked for, and how the rows that it wrote compare to the truth."""
    streams = selected(stripe, scenario)
    if scenario.hour:
        missing, stale = difference(stripe, streams, noted)
        rows, pages, twice = sum(len(stripe.truth(name)) for name in streams), 0, 0
    else:
        truth = Counter(_truth(stripe, streams))
        with noted.open("rb") as lines:
            read = Counter(line.rstrip(b"\n") for line in lines)
        if strange := read.keys() - truth.keys():
            msg = f"rows that the server doesn't have: {sorted(strange)[:3]}"
            raise RuntimeError(msg)
        pages = sum(_fewest(stripe, stripe.catalogue.resources[name]) for name in streams)
        rows, missing, stale = truth.total(), (truth - read).total(), 0
        twice = (read - truth).total()
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
        rows=rows,
        pages=pages,
        requests=len(own),
        first=first,
        last=last,
        limited=len(_limited(own)),
        limited_late=sum(each.time >= first + 1 for each in _limited(own)),
        others=len(others),
        others_limited=len(_limited(others)),
        missing=missing,
        twice=twice,
        changed=changed,
        stale=stale,
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
