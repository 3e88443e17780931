"""What runs read one after the other, against a model of an account: parents and their children."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from tap_stripe_conn.api.lists import Range
from tap_stripe_conn.catalogue.resources import load_catalogue
from tap_stripe_conn.config import ConfigError
from tap_stripe_conn.streams.bookmarks import Bookmark, common
from tap_stripe_conn.streams.plans import OVERLAP, Plan, plan
from tap_stripe_conn.streams.source import Source

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tap_stripe_conn.api.client import StripeClient

CATALOGUE: Final = load_catalogue()

MINUTE: Final = 60
MOST: Final = 24
"""Minutes that these tests know of; few, so that bounds often meet."""

FOREVER: Final = Range(0, 10 * MOST * MINUTE)

minutes = st.integers(0, MOST).map(lambda minute: minute * MINUTE)
spans = st.tuples(minutes, minutes).map(lambda ends: Range(*sorted(ends)))


class Row(NamedTuple):
    """A row of the account."""

    number: int
    parent: int
    """Creation time of the top-level row that leads to it: its parent, or itself."""

    made: int
    """When it came, whether it says so or not."""


@dataclass(frozen=True)
class Kind:
    """A stream, and how it is read."""

    stream: str
    incremental: bool

    @override
    def __str__(self) -> str:
        return f"{self.stream}{'' if self.incremental else ', whole'}"

    @property
    def is_child(self) -> bool:
        return CATALOGUE.resources[self.stream].parent is not None

    def moment(self, row: Row) -> int:
        """The creation time that a row goes by: its own if it shows one, or its parent's."""
        return row.made if CATALOGUE.resources[self.stream].created_field else row.parent

    def plan(self, source: Source, state: dict[str, Any]) -> Plan:
        resource = CATALOGUE.resources[self.stream]
        top_level = CATALOGUE.resources[resource.parent.stream] if resource.parent else resource
        return plan(resource, top_level, source, state, incremental=self.incremental)

    def takes(self, row: Row, planned: Plan) -> bool:
        """Whether a run that is not interrupted brings a row."""
        if not self.is_child:
            return within(planned.spans, row.made)
        shows_time = CATALOGUE.resources[self.stream].created_field is not None
        return planned.walks(row.parent) and within(planned.spans, row.made if shows_time else None)


def within(among: Sequence[Range], moment: int | None) -> bool:
    """Whether a moment, or any at all, lies in one of these spans."""
    return any(moment is None or span.since <= moment < span.until for span in among)


TOP_LEVEL: Final = Kind("charges", incremental=True)
WHOLE: Final = Kind("charges", incremental=False)
BY_PARENT: Final = Kind("invoice_line_items", incremental=False)
"""Children that don't show when they were made."""

DATED: Final = Kind("application_fee_refunds", incremental=False)
"""Children that show when they were made, but can't be asked for by it."""

OWN_TIME: Final = Kind("customer_balance_transactions", incremental=True)
"""Children that can be asked for by when they were made."""

KINDS: Final = [TOP_LEVEL, WHOLE, BY_PARENT, DATED, OWN_TIME]


@st.composite
def accounts(draw: st.DrawFn, kind: Kind) -> list[Row]:
    """Rows of a kind; children were made with their parents or later."""
    times: list[tuple[int, int]] = []
    for parent in draw(st.lists(minutes, min_size=1, max_size=6)):
        ages = draw(st.lists(minutes, min_size=1, max_size=4)) if kind.is_child else [0]
        times += [(parent, parent + age) for age in ages]
    return [Row(number, *moments) for number, moments in enumerate(times)]


class Run(NamedTuple):
    """A run, and how far it comes."""

    at: int
    """When it begins, by Stripe's clock."""

    slow: int
    """Seconds that our own clock is behind."""

    wanted: Range
    """From `start_date` to `end_date`."""

    crash: list[list[Range]] | None
    """What is still unread at each STATE of a run that is interrupted."""

    @property
    def source(self) -> Source:
        now = self.at + 1
        span = Range(self.wanted.since, min(self.wanted.until, now))
        return Source(cast("StripeClient", None), CATALOGUE, span, max(0, now - self.slow))


@st.composite
def runs(draw: st.DrawFn, *, change: Literal["never", "after whole runs", "any time"]) -> list[Run]:
    """Runs one after the other; at least the last one is not interrupted.

    Args:
        change: When another start_date and end_date are set.
    """
    crashes = st.none() | st.lists(st.lists(spans, max_size=3), max_size=3)
    wanted, at, whole = FOREVER, 0, True
    drawn: list[Run] = []
    for is_last in [*[False] * draw(st.integers(0, 4)), True]:
        at += draw(minutes)
        if change == "any time" or (change == "after whole runs" and whole):
            wanted = draw(st.just(FOREVER) | spans)
        run = Run(at, draw(st.sampled_from([0, 30, 300])), wanted, draw(crashes))
        drawn.append(run._replace(crash=None) if is_last else run)
        whole = run.crash is None
    return drawn


@dataclass
class Reading:
    """Runs of one stream over an account that only grows."""

    kind: Kind
    account: list[Row]
    state: dict[str, Any] = field(default_factory=dict)
    read: set[Row] = field(default_factory=set)
    """By these runs together; of a stream that is read whole, since the last whole run."""

    begun_at: int | None = None
    """When the first run of those began that a whole read has taken until now."""

    def run(self, run: Run) -> set[Row]:
        """Make a run.

        Returns:
            Rows that it takes, or would if it were not interrupted.
        """
        planned = self.kind.plan(run.source, self.state)
        taken = {row for row in self.there(run.at) if self.kind.takes(row, planned)}
        self.begun_at = run.at if self.begun_at is None else self.begun_at
        left = [FOREVER]
        states = []
        for unread in run.crash or []:
            left = common(left, unread)
            self.read |= {row for row in taken if not within(left, row.parent)}
            states.append(self.save(planned, left))
        if run.crash is None:
            self.read |= taken
            states.append(self.save(planned, []))
            if planned.is_resumed:
                return taken | self.run(run)
            self.check_whole(run)
        check_shrinks(self.kind, states)
        if not self.state:
            self.read.clear()
            self.begun_at = None
        return taken

    def there(self, at: int) -> list[Row]:
        """What Stripe lists at a time: not yet what comes in that second."""
        return [row for row in self.account if row.made < at]

    def save(self, planned: Plan, unread: list[Range]) -> dict[str, Any]:
        state = planned.state(unread)
        assert state is not None
        self.state = json.loads(json.dumps(state))
        return self.state

    def check_whole(self, run: Run) -> None:
        """Nothing is missing once a run has come to its end."""
        # What is read whole is as it was when that began, however many runs it took.
        begun_at = run.at if self.kind.incremental else self.begun_at
        there = self.there(run.at if begun_at is None else begun_at)
        span = run.source.span
        assert {row for row in there if within([span], self.kind.moment(row))} <= self.read
        if not self.kind.incremental:
            assert self.state["pending"] == []
            self.state = {}  # the run is over: `StripeStream.conclude`


def check_shrinks(kind: Kind, states: list[dict[str, Any]]) -> None:
    """What one run leaves to read becomes less from STATE to STATE, and of nothing more."""
    before: list[Range] | None = None
    parents: list[Range] | None = None
    for state in states:
        bookmark = Bookmark.of(kind.stream, state) or Bookmark()
        pending = bookmark.pending
        assert before is None or common(before, pending) == pending
        left = bookmark.pending_parents or []
        assert parents is None or common(parents, left) == left
        before, parents = pending, left


@pytest.mark.parametrize("kind", KINDS, ids=str)
@given(data=st.data())
def test_runs_that_crash_anywhere_bring_everything_together(
    kind: Kind, data: st.DataObject
) -> None:
    reading = Reading(kind, data.draw(accounts(kind)))
    for run in data.draw(runs(change="never")):
        reading.run(run)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@given(data=st.data())
def test_settings_that_change_after_whole_runs_bring_what_they_ask_for(
    kind: Kind, data: st.DataObject
) -> None:
    reading = Reading(kind, data.draw(accounts(kind)))
    for run in data.draw(runs(change="after whole runs")):
        reading.run(run)


@pytest.mark.parametrize("kind", [TOP_LEVEL, WHOLE, BY_PARENT, OWN_TIME], ids=str)
@given(data=st.data())
def test_settings_that_change_after_any_run_bring_what_they_ask_for(
    kind: Kind, data: st.DataObject
) -> None:
    reading = Reading(kind, data.draw(accounts(kind)))
    for run in data.draw(runs(change="any time")):
        reading.run(run)


def test_a_run_that_wants_less_does_not_take_the_rest_of_an_interrupted_one_for_read() -> None:
    reading = Reading(OWN_TIME, [Row(0, parent=0, made=0)])
    reading.run(Run(120, 0, FOREVER, [[Range(0, 60)]]))
    reading.run(Run(120, 0, Range(60, 180), [[Range(60, 120)]]))
    reading.run(Run(120, 0, FOREVER, None))


@given(data=st.data())
def test_runs_that_are_whole_or_incremental_by_turns_bring_everything_together(
    data: st.DataObject,
) -> None:
    reading = Reading(OWN_TIME, data.draw(accounts(OWN_TIME)))
    for run in data.draw(runs(change="any time")):
        whole = run.crash is not None and data.draw(st.booleans())
        reading.kind = Kind(OWN_TIME.stream, incremental=not whole)
        reading.run(run)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.incremental], ids=str)
def test_a_whole_read_that_another_streams_crash_cut_off_from_its_end_is_not_begun_again(
    kind: Kind,
) -> None:
    crashed = Run(120 * MINUTE, 0, FOREVER, None).source
    state = kind.plan(crashed, {}).state([])
    resumed = kind.plan(Run(121 * MINUTE, 0, FOREVER, None).source, state or {})
    spans = resumed.spans if kind is DATED else resumed.walked
    assert all(span.since >= crashed.span.until - 600 for span in spans)


def test_a_whole_read_that_was_interrupted_takes_what_an_earlier_start_date_adds() -> None:
    reading = Reading(DATED, [Row(0, parent=0, made=0)])
    reading.run(Run(120, 0, Range(60, 180), [[Range(60, 120)]]))
    reading.run(Run(120, 0, FOREVER, None))


@pytest.mark.parametrize("kind", KINDS, ids=str)
@given(data=st.data())
def test_what_was_read_is_not_read_again_but_for_the_overlap(
    kind: Kind, data: st.DataObject
) -> None:
    reading = Reading(kind, data.draw(accounts(kind)))
    settled = FOREVER.until
    for run in data.draw(runs(change="never")):
        settled = min(settled, run.source.settled)
        known = {row for row in reading.read if row.made < settled - OVERLAP["v1"]}
        assert not reading.run(run) & known
        if run.crash is None:
            settled = run.source.settled


@given(rows=accounts(WHOLE), since=minutes)
def test_an_earlier_start_date_reads_only_what_lies_before(rows: list[Row], since: int) -> None:
    reading = Reading(TOP_LEVEL, rows)
    now = MOST * MINUTE
    later = Run(now, 0, Range(since, FOREVER.until), None)
    reading.run(later)
    taken = reading.run(later._replace(wanted=FOREVER))
    assert all(row.made < since or row.made >= now - OVERLAP["v1"] for row in taken)


# --- States of others ----------------------------------------------------------------------------

moments = st.sampled_from(["1970-01-01T00:05:00Z", "2999-01-01T00:00:00+14:00", "0001-01-01", "x"])
junk: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.just([]) | st.just({})
)
lists = st.lists(st.lists(moments, min_size=1, max_size=3), max_size=3)
states = st.fixed_dictionaries(
    {},
    optional={
        "replication_key": st.just("created") | junk,
        "replication_key_value": moments | junk,
        "since": moments | junk,
        "until": moments | junk,
        "pending": lists | junk,
        "pending_parents": lists | junk,
        "partitions": junk,
    },
)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@given(state=states, at=minutes)
def test_a_state_of_another_tap_is_explained_or_leads_to_a_run_within_the_settings(
    kind: Kind, state: dict[str, Any], at: int
) -> None:
    source = Run(at, 0, Range(MINUTE, FOREVER.until), None).source
    try:
        planned = kind.plan(source, state)
    except ConfigError as error:
        assert f"State of stream '{kind.stream}': " in str(error)  # noqa: PT017 - it may be none
        return
    everything = Range(0, source.span.until)
    assert common(planned.walked, [everything]) == list(planned.walked)
    assert common(planned.spans, [source.span]) == list(planned.spans)
    left = planned.state([])
    assert left == {} or Bookmark.of(kind.stream, json.loads(json.dumps(left)))


@pytest.mark.parametrize("kind", [WHOLE, BY_PARENT, DATED], ids=str)
@given(data=st.data())
def test_what_an_incremental_run_has_read_is_no_part_of_a_whole_read(
    kind: Kind, data: st.DataObject
) -> None:
    rows = data.draw(accounts(kind))
    state = Bookmark(until=MOST * MINUTE).state()
    Reading(kind, rows, state).run(Run(MOST * MINUTE, 0, FOREVER, None))
