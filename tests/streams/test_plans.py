"""What runs read one after the other, against a model of an account: parents and their children."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import override

from tap_stripe_conn.api.lists import Range, newest_first
from tap_stripe_conn.catalogue.resources import load_catalogue
from tap_stripe_conn.config import ConfigError
from tap_stripe_conn.streams.bookmarks import NOBODY, Bookmark, Position, common
from tap_stripe_conn.streams.plans import (
    DAY,
    EVENT_LAG,
    EVENT_OVERLAP,
    OVERLAP,
    Plan,
    plan,
)
from tap_stripe_conn.streams.source import Source

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tap_stripe_conn.api.client import StripeClient
    from tap_stripe_conn.streams.stream import StripeStream

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
    """When it came, whether it says so or not. If events tell of it, they do so then."""


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

    @property
    def shows_time(self) -> bool:
        return CATALOGUE.resources[self.stream].created_field is not None

    def moment(self, row: Row) -> int:
        """The creation time that a row goes by: its own if it shows one, or its parent's."""
        return row.made if self.shows_time else row.parent

    def plan(self, source: Source, state: dict[str, Any], *, has_feed: bool = True) -> Plan:
        resource = CATALOGUE.resources[self.stream]
        top_level = CATALOGUE.resources[resource.parent.stream] if resource.parent else resource
        return plan(
            resource, top_level, source, state, incremental=self.incremental, has_feed=has_feed
        )

    def takes(self, row: Row, planned: Plan) -> bool:
        """Whether the settings ask for a row that has come."""
        return planned.wants(row.parent) and (
            within(planned.spans, row.made) if self.shows_time else True
        )


def within(among: Iterable[Range], moment: int) -> bool:
    """Whether a moment lies in one of these spans."""
    return any(span.since <= moment < span.until for span in among)


TOP_LEVEL: Final = Kind("charges", incremental=True)
WHOLE: Final = Kind("charges", incremental=False)
UNTOLD: Final = Kind("balance_transactions", incremental=True)
"""Events tell nothing of them."""

BY_PARENT: Final = Kind("invoice_line_items", incremental=True)
BY_PARENT_WHOLE: Final = Kind("invoice_line_items", incremental=False)
"""Children that don't show when they were made."""

DATED: Final = Kind("application_fee_refunds", incremental=True)
DATED_WHOLE: Final = Kind("application_fee_refunds", incremental=False)
"""Children that show when they were made, but can't be asked for by it."""

OWN_TIME: Final = Kind("customer_balance_transactions", incremental=True)
"""Children that can be asked for by when they were made."""

KINDS: Final = [
    TOP_LEVEL, WHOLE, UNTOLD, BY_PARENT, BY_PARENT_WHOLE, DATED, DATED_WHOLE, OWN_TIME
]  # fmt: skip


@st.composite
def accounts(draw: st.DrawFn, kind: Kind) -> list[Row]:
    """Rows of a kind; children were made with their parents or later."""
    times: list[tuple[int, int]] = []
    for parent in draw(st.lists(minutes, min_size=1, max_size=6)):
        ages = draw(st.lists(minutes, min_size=1, max_size=4)) if kind.is_child else [0]
        times += [(parent, parent + age) for age in ages]
    return [Row(number, *moments) for number, moments in enumerate(times)]


class Moment(NamedTuple):
    """Where an interrupted run is when it writes a STATE."""

    unread: list[Range]
    """Creation times of which top-level rows are not written."""

    told: int | None
    """Unix seconds, up to which all that events tell is written; None: they have told all."""


class Run(NamedTuple):
    """A run, and how far it comes."""

    at: int
    """When it begins, by Stripe's clock."""

    slow: int
    """Seconds that our own clock is behind."""

    wanted: Range
    """From `start_date` to `end_date`."""

    crash: list[Moment] | None
    """Its STATEs, if it is interrupted."""

    @property
    def source(self) -> Source:
        now = self.at + 1
        span = Range(self.wanted.since, min(self.wanted.until, now))
        return Source(
            cast("StripeClient", None),
            CATALOGUE,
            span,
            max(0, now - self.slow),
            now,
            cast("StripeStream", None),
            mutable_window=30 * DAY,
            owner=NOBODY,
        )


@st.composite
def runs(draw: st.DrawFn, *, change: bool) -> list[Run]:
    """Runs one after the other; at least the last one is not interrupted.

    Args:
        change: Whether other start_dates and end_dates are set.
    """
    moments = st.builds(Moment, st.lists(spans, max_size=3), minutes | st.none())
    crashes = st.none() | st.lists(moments, max_size=3)
    wanted, at = FOREVER, 0
    drawn: list[Run] = []
    for is_last in [*[False] * draw(st.integers(0, 4)), True]:
        at += draw(minutes | st.sampled_from([1, 10]))
        if change:
            wanted = draw(st.just(FOREVER) | spans)
        run = Run(at, draw(st.sampled_from([0, 30, 300])), wanted, draw(crashes))
        drawn.append(run._replace(crash=None) if is_last else run)
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
        source = run.source
        planned = self.kind.plan(source, self.state)
        position = planned.position
        assert position is not None
        there = {row for row in self.there(run.at) if self.kind.takes(row, planned)}
        told = {row for row in there if planned.fed and self.is_told(row, position, source)}
        new = {row for row in told if str(row.number) not in position.applied}
        walked = {row for row in there if within(planned.walked, row.parent)}
        fresh = {row for row in there if within(planned.fresh, row.parent)}
        self.begun_at = run.at if self.begun_at is None else self.begun_at
        left, ended, states = [FOREVER], False, []
        for moment in run.crash or []:
            left = common(left, moment.unread)
            until = source.settled if moment.told is None else moment.told
            self.read |= {row for row in walked if not within(left, row.parent)}
            if planned.fed:
                position = self.tell(told, position, min(until, source.settled), source)
            if moment.told is None and not ended:
                ended = True
                planned, fresh = self.vouch(planned, fresh, new)
                left = newest_first([*left, *planned.fresh])
            elif ended:
                self.read |= {row for row in fresh if not within(left, row.parent)}
            held_back = [] if ended else planned.fresh
            states.append(self.save(planned, newest_first([*left, *held_back]), position))
        if run.crash is None:
            if planned.fed:
                position = self.tell(told, position, source.settled, source)
            planned, fresh = self.vouch(planned, fresh, new)
            self.read |= walked | fresh
            states.append(self.save(planned, [], position))
            self.check_whole(run)
        check_shrinks(self.kind, states)
        if not self.state:
            self.read.clear()
            self.begun_at = None
        return walked | fresh | new

    def there(self, at: int) -> list[Row]:
        """What Stripe lists at a time: not yet what comes in that second."""
        return [row for row in self.account if row.made < at]

    def is_told(self, row: Row, position: Position, source: Source) -> bool:
        """Whether the run finds an event of a row."""
        return position.since <= row.made < source.settled

    def tell(self, told: set[Row], position: Position, until: int, source: Source) -> Position:
        """Write what events up to a time tell, of which the newest are looked at again."""
        now = {row for row in told if row.made < until}
        self.read |= now
        recent = source.settled - EVENT_LAG - EVENT_OVERLAP
        newest = [str(row.number) for row in now if recent <= row.made < source.span.until]
        return position.moved(min(until, recent), newest)

    def vouch(self, planned: Plan, fresh: set[Row], told: set[Row]) -> tuple[Plan, set[Row]]:
        """Begin to list new rows at the end of the feed, if events told of one."""
        if told:
            return planned, fresh
        return planned.vouched(), set()

    def save(self, planned: Plan, unread: list[Range], position: Position) -> dict[str, Any]:
        state = planned.state(unread)
        assert state is not None
        self.state = json.loads(json.dumps(state | position.state()))
        return self.state

    def check_whole(self, run: Run) -> None:
        """Nothing is missing once a run has come to its end."""
        # What is read whole is as it was when that began, however many runs it took.
        begun_at = run.at if self.kind.incremental else self.begun_at
        there = self.there(run.at if begun_at is None else begun_at)
        source = run.source
        # Events are asked for up to where a slow clock is.
        until = source.settled if self.kind != UNTOLD and self.kind.incremental else FOREVER.until
        assert {
            row
            for row in there
            if within([source.span], self.kind.moment(row)) and row.made < until
        } <= self.read
        if not self.kind.incremental:
            assert self.state["pending"] == []
            self.state = {}  # the run is over: `StripeStream.conclude`


def check_shrinks(kind: Kind, states: list[dict[str, Any]]) -> None:
    """What one run leaves to read becomes less from STATE to STATE, and of nothing more."""
    before: list[Range] | None = None
    since = 0
    for state in states:
        bookmark = Bookmark.of(kind.stream, state) or Bookmark()
        position = Position.of(kind.stream, state)
        assert position is not None
        assert before is None or common(before, bookmark.pending) == bookmark.pending
        assert since <= position.since
        before, since = bookmark.pending, position.since


@pytest.mark.parametrize("kind", KINDS, ids=str)
@settings(max_examples=settings().max_examples // 2)
@given(data=st.data())
def test_runs_that_crash_anywhere_bring_everything_together(
    kind: Kind, data: st.DataObject
) -> None:
    reading = Reading(kind, data.draw(accounts(kind)))
    for run in data.draw(runs(change=False)):
        reading.run(run)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@settings(max_examples=settings().max_examples // 2)
@given(data=st.data())
def test_settings_that_change_after_any_run_bring_what_they_ask_for(
    kind: Kind, data: st.DataObject
) -> None:
    reading = Reading(kind, data.draw(accounts(kind)))
    for run in data.draw(runs(change=True)):
        reading.run(run)


def test_a_run_that_wants_less_does_not_take_the_rest_of_an_interrupted_one_for_read() -> None:
    reading = Reading(OWN_TIME, [Row(0, parent=0, made=0)])
    reading.run(Run(120, 0, FOREVER, [Moment([Range(0, 60)], 0)]))
    reading.run(Run(120, 0, Range(60, 180), [Moment([Range(60, 120)], 0)]))
    reading.run(Run(120, 0, FOREVER, None))


@pytest.mark.parametrize("stream", [OWN_TIME.stream, DATED.stream, TOP_LEVEL.stream])
@settings(max_examples=settings().max_examples // 2)
@given(data=st.data())
def test_runs_that_are_whole_or_incremental_by_turns_bring_everything_together(
    stream: str, data: st.DataObject
) -> None:
    kind = Kind(stream, incremental=True)
    reading = Reading(kind, data.draw(accounts(kind)))
    for run in data.draw(runs(change=True)):
        whole = run.crash is not None and data.draw(st.booleans())
        reading.kind = Kind(stream, incremental=not whole)
        reading.run(run)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.incremental], ids=str)
def test_a_whole_read_that_another_streams_crash_cut_off_from_its_end_is_not_begun_again(
    kind: Kind,
) -> None:
    crashed = Run(120 * MINUTE, 0, FOREVER, None).source
    state = kind.plan(crashed, {}).state([])
    resumed = kind.plan(Run(121 * MINUTE, 0, FOREVER, None).source, state or {})
    assert all(span.since >= crashed.span.until - 600 for span in resumed.walked)


def test_a_whole_read_that_was_interrupted_takes_what_an_earlier_start_date_adds() -> None:
    reading = Reading(DATED_WHOLE, [Row(0, parent=0, made=0)])
    reading.run(Run(120, 0, Range(60, 180), [Moment([Range(60, 120)], 0)]))
    reading.run(Run(120, 0, FOREVER, None))


@pytest.mark.parametrize("kind", KINDS, ids=str)
@settings(max_examples=settings().max_examples // 2)
@given(data=st.data())
def test_what_was_read_is_not_read_again_but_for_the_overlap(
    kind: Kind, data: st.DataObject
) -> None:
    reading = Reading(kind, data.draw(accounts(kind)))
    settled = FOREVER.until
    for run in data.draw(runs(change=False)):
        settled = min(settled, run.source.settled)
        listed = Bookmark.of(kind.stream, reading.state) or Bookmark()
        since = min(settled, listed.until) - OVERLAP["v1"]
        known = {row for row in reading.read if row.made < since}
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
        "changes_since": moments | junk,
        "removals_since": moments | junk,
        "changes_applied": st.lists(st.text(max_size=3), max_size=2) | junk,
        "reread": moments | junk,
        "api_version": junk,
        "end": moments | junk,
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
    assert common(planned.walked, [everything]) == newest_first(planned.walked)
    assert common(planned.spans, [source.span]) == newest_first(planned.spans)
    left = planned.state([])
    assert left == {} or Bookmark.of(kind.stream, json.loads(json.dumps(left)))


@pytest.mark.parametrize("kind", [WHOLE, BY_PARENT_WHOLE, DATED_WHOLE], ids=str)
@settings(max_examples=settings().max_examples // 2)
@given(data=st.data())
def test_what_an_incremental_run_has_read_is_no_part_of_a_whole_read(
    kind: Kind, data: st.DataObject
) -> None:
    rows = data.draw(accounts(kind))
    state = Bookmark(until=MOST * MINUTE).state()
    Reading(kind, rows, state).run(Run(MOST * MINUTE, 0, FOREVER, None))
