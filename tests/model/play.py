"""A history, played on the fake Stripe, and what a target is told of it."""

from __future__ import annotations

import json
from datetime import datetime
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from tap_stripe_conn.api.lists import Range, rfc3339
from tests.fake_stripe import FakeStripe
from tests.fake_stripe.clock import DAY, Clock
from tests.fake_stripe.old_version import OLD_VERSION
from tests.model.history import LATEST, STREAMS, Extract, Happen, Pass
from tests.model.pipeline import Target, extract, stop, streams

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.fake_stripe.mutations import Mutations
    from tests.fake_stripe.mutations import Step as Happened
    from tests.fake_stripe.request import Request
    from tests.fake_stripe.store import StripeObject
    from tests.model.history import Step

BEGINNING = 1_700_000_000
EVENTS_READABLE = 29 * DAY
MUTABLE_WINDOW = 30 * DAY
_END_OF_TIME = 2**40

CANCELLATION = "customer.subscription.deleted"


class Finding(NamedTuple):
    """Where a target is not told the truth."""

    step: int
    stream: str
    what: str
    key: tuple[str, ...]
    difference: str = ""


def play(steps: Sequence[Step], seed: int) -> list[Finding]:
    """Play a history up to the first run that leaves something untrue.

    Args:
        steps: What happens.
        seed: For what chance does in each step.
    """
    with FakeStripe(now=Clock(BEGINNING)) as stripe:
        world = _World(stripe, seed)
        for number, step in enumerate(steps):
            if isinstance(step, Pass):
                stripe.clock.advance(seconds=step.seconds)
            elif isinstance(step, Happen):
                world.happen(step)
            elif found := [Finding(number, *each) for each in world.extract(step)]:
                return found
    return []


class _World:
    """An account, a tap and a target."""

    def __init__(self, stripe: FakeStripe, seed: int) -> None:
        self._stripe = stripe
        self._chance = Random(seed)  # noqa: S311 - no secrets
        self._life: Mutations = stripe.life.random(seed)
        stripe.life.late = self._lateness
        self._late = False
        self._told = 0
        self._quiet_at = 0.0
        self._state: dict[str, Any] = {}
        self._gone: dict[str, float] = {}
        """When objects were last there, by id."""

        self._edited: dict[str, float] = {}
        """When objects were last edited without a word, by id."""

        self._streams = streams()
        self._target = Target({name: self._streams[name].resource.primary_key for name in STREAMS})

        self._shown: dict[str, float] = {}
        """When an event last showed a child of a parent that was deleted, or as it was before."""

        self._unmarked: set[str] = set()
        """Streams that a run has begun to read and that its state tells nothing of."""

    def _lateness(self, event: StripeObject) -> float:
        """Seconds until an event is listed; it is noted what it tells."""
        self._told += 1
        data = event["data"]
        is_end = event["type"].endswith((".deleted", ".detached"))
        last = data["object"] if is_end and event["type"] != CANCELLATION else {}
        if last:
            self._gone[last["id"]] = self._stripe.now()
        for source in (last, data.get("previous_attributes", {})):
            for value in source.values():
                if isinstance(value, dict) and isinstance(value.get("data"), list):
                    self._shown |= {child["id"]: self._stripe.now() for child in value["data"]}
        late = self._chance.choice((0, 0, 1, 20, 120, LATEST)) if self._late else 0
        self._quiet_at = max(self._quiet_at, self._stripe.now() + late)
        return late

    def happen(self, step: Happen) -> None:
        self._late, self._life.untold = step.late, step.untold
        life = self._stripe.life
        latest = self._stripe.catalogue.api_version
        life.api_version = latest if step.up_to_date else OLD_VERSION
        for _ in range(step.changes):
            self._one_thing()
            if self._chance.random() < 0.3:
                self._stripe.clock.advance(seconds=self._chance.choice((0, 1, 1, 5, 100)))

    def _one_thing(self) -> None:
        told, now = self._told, self._stripe.now()
        happened: Happened = self._life.step()
        if happened.action == "removed":
            self._gone[happened.id] = now
        elif happened.action == "changed" and self._told == told:
            self._edited[happened.id] = now

    def extract(self, step: Extract) -> Iterator[tuple[str, str, tuple[str, ...], str]]:
        requests, meanwhile, self._late = 0, step.meanwhile, False

        def before_request(_request: Request) -> None:
            nonlocal requests, meanwhile
            requests += 1
            if requests == step.stopped_at:
                stop()
            if meanwhile and requests > 1 and self._chance.random() < 0.4:
                meanwhile -= 1
                self._one_thing()
                if self._chance.random() < 0.3:
                    self._stripe.clock.advance(seconds=1)

        start, end = (
            None if day is None else BEGINNING + day * DAY for day in (step.start, step.end)
        )
        run = extract(
            self._stripe,
            step.streams,
            self._of_another_version(self._state) if step.upgraded else self._state,
            before_request=before_request,
            killed_at=step.killed_at,
            full_table=step.full_table,
            live_api_key=self._key(step.denied),
            start_date=None if start is None else rfc3339(start),
            end_date=None if end is None else rfc3339(end),
        )
        self._state = run.state
        self._target.truncate(run.complete if step.full_table else run.complete & self._unmarked)
        self._target.load(run.messages)
        self._unmarked = {
            stream
            for stream, table in self._target.tables.items()
            if table and stream not in self._state.get("bookmarks", {})
        }
        for outcome in run.outcomes:
            if not outcome.readable and not self._may_fail(outcome.stream, step):
                yield outcome.stream, f"not read: {outcome.reason}", (), ""
        if self._quiet_at <= self._stripe.now() and meanwhile == step.meanwhile:
            for stream in sorted(run.complete):
                yield from self._untrue(stream, step, Range(start or 0, end or _END_OF_TIME))

    def _key(self, denied: Sequence[str]) -> str:
        if not denied:
            return self._stripe.secret_key
        every = {self._stripe.permission_for(name) for name in self._stripe.catalogue.resources}
        return self._stripe.restricted_key(every - set(map(self._stripe.permission_for, denied)))

    def _may_fail(self, stream: str, step: Extract) -> bool:
        denied = set(map(self._stripe.permission_for, step.denied))
        parent = self._streams[stream].root.name
        return not denied.isdisjoint(map(self._stripe.permission_for, (stream, parent)))

    @staticmethod
    def _of_another_version(state: dict[str, Any]) -> dict[str, Any]:
        bookmarks = state.get("bookmarks", {})
        return {
            "bookmarks": {
                name: bookmark | {"api_version": "2025-09-30.clover"}
                for name, bookmark in bookmarks.items()
            }
        }

    # What is true

    def _untrue(
        self, stream: str, step: Extract, span: Range
    ) -> Iterator[tuple[str, str, tuple[str, ...], str]]:
        truth, hidden = self._truth(stream, span)
        table = self._target.tables[stream]
        for key in truth.keys() - table.keys():
            yield stream, "missing", key, ""
        for key in table.keys() - truth.keys():
            if key in hidden and stream == "prices":
                continue  # events tell of those that no list shows
            if self._can_not_be_known(stream, table[key]):
                del table[key]
            elif "events" not in step.denied:
                yield stream, "too many", key, ""
        for key in truth.keys() & table.keys():
            row, told = truth[key], table[key]
            if row != told and not self._may_be_stale(stream, row):
                fields = sorted(n for n in {*row, *told} if row.get(n) != told.get(n))
                was = {name: (told.get(name), row.get(name)) for name in fields}
                yield stream, "stale", key, json.dumps(was)[:300]

    def _truth(
        self, stream: str, span: Range
    ) -> tuple[dict[tuple[str, ...], StripeObject], set[tuple[str, ...]]]:
        """The rows of a stream as they are, and the keys of those that no list shows."""
        of_tap = self._streams[stream]
        parent = of_tap.resource.parent
        above = self._stripe.truth(of_tap.root.name)
        made = {each.object["id"]: of_tap.root.created(each.object) or 0 for each in above}
        rows, hidden = {}, set()
        for parent_id, obj, listed in self._stripe.truth(stream):
            row = of_tap.shaper(dict(obj))
            if parent is not None:
                row[parent.column] = parent_id
            key = tuple(row[name] for name in of_tap.resource.primary_key)
            if not listed:
                hidden.add(key)
            elif span.since <= (of_tap.created(obj) or made[parent_id or obj["id"]]) < span.until:
                sent = {name: row[name] for name in row if not name.startswith("_")}
                rows[key] = json.loads(json.dumps(sent))
        return rows, hidden

    def _can_not_be_known(self, stream: str, row: StripeObject) -> bool:
        """Whether Stripe tells nothing, or nothing any more, of the end of a row."""
        parent = self._streams[stream].resource.parent
        ids = [row["id"], *([] if parent is None else [row[parent.column]])]
        ends = [self._gone[each] for each in ids if each in self._gone]
        if any(end <= self._stripe.now() - EVENTS_READABLE for end in ends):
            return True
        return parent is not None and self._shown.get(row["id"], 0) < max(ends, default=0)

    def _may_be_stale(self, stream: str, row: StripeObject) -> bool:
        """Whether it was edited without a word, and is not to be read again yet."""
        parent = self._streams[stream].resource.parent
        identifier = row["id"] if parent is None else row[parent.column]
        edited = self._edited.get(identifier)
        if edited is None:
            return False
        reread = self._state["bookmarks"][stream].get("reread", "")
        # What is edited in the second of a run is read again by the next.
        return rfc3339(int(edited) + 1) >= reread or (
            stream == "invoice_items" and self._made(row) < edited - MUTABLE_WINDOW
        )

    @staticmethod
    def _made(row: StripeObject) -> float:
        return datetime.fromisoformat(row["date"].replace("Z", "+00:00")).timestamp()
