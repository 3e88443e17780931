from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_stripe_conn.api.lists import Range, newest_first, without
from tap_stripe_conn.config import ConfigError
from tap_stripe_conn.streams.bookmarks import Bookmark, Position

MOMENTS = 30
"""Seconds that these tests know of; few, so that bounds often meet."""

moments = st.integers(0, MOMENTS)
spans = st.tuples(moments, moments).map(lambda ends: Range(*ends))
"""Spans, of which half are empty: a start_date may lie in the future."""

overlaps = st.integers(0, 5)


@st.composite
def bookmarks(draw: st.DrawFn) -> Bookmark:
    """Bookmarks that a run may leave."""
    since, until = sorted(draw(spans))
    inside = st.tuples(st.integers(since, until), st.integers(since, until))
    pending = newest_first(Range(*sorted(ends)) for ends in draw(st.lists(inside, max_size=3)))
    complete = draw(st.none() | moments) if pending else until
    return Bookmark(since, until, pending, complete)


def seconds(*among: Range) -> set[int]:
    return {moment for span in among for moment in range(*span)}


def known(bookmark: Bookmark) -> set[int]:
    """The seconds that a bookmark says are read."""
    return seconds(Range(bookmark.since, bookmark.until)) - seconds(*bookmark.pending)


NOW = 2_000_000_000
"""Later than every bookmark."""

# --- In state ----------------------------------------------------------------------------------


@given(bookmarks())
def test_a_bookmark_comes_back_from_state_as_it_was(bookmark: Bookmark) -> None:
    assert Bookmark.of("charges", json.loads(json.dumps(bookmark.state()))) == bookmark


def test_a_finished_run_leaves_the_sdks_replication_key_and_its_value() -> None:
    assert Bookmark(until=1_700_000_000).state() == {
        "replication_key": "_updated_at",
        "replication_key_value": "2023-11-14T22:13:20Z",
    }


def test_an_unfinished_run_leaves_what_is_pending_and_the_value_of_the_run_before() -> None:
    bookmark = Bookmark(
        since=1_600_000_000,
        until=1_700_000_000,
        pending=[Range(1_600_000_000, 1_650_000_000)],
        complete_until=1_610_000_000,
    )
    assert bookmark.state() == {
        "replication_key": "_updated_at",
        "replication_key_value": "2021-01-07T06:13:20Z",
        "since": "2020-09-13T12:26:40Z",
        "until": "2023-11-14T22:13:20Z",
        "pending": [["2020-09-13T12:26:40Z", "2022-04-15T05:20:00Z"]],
    }


@pytest.mark.parametrize(
    "value",
    [
        "2023-11-14T22:13:20Z",
        "2023-11-14T22:13:20+00:00",
        "2023-11-14T22:13:20",
        "2023-11-14T23:13:20.500000+01:00",
    ],
)
def test_a_moment_of_another_writer_is_understood(value: str) -> None:
    bookmark = Bookmark.of("charges", {"replication_key_value": value})
    assert bookmark == Bookmark(0, 1_700_000_000, [], 1_700_000_000)


@pytest.mark.parametrize("state", [{}, {"replication_key": "_updated_at"}])
def test_a_stream_without_a_value_in_state_was_not_read(state: dict[str, Any]) -> None:
    assert Bookmark.of("charges", state) is None


GOOD = "2023-11-14T22:13:20Z"

BAD_STATES: list[tuple[dict[str, Any], str]] = [
    (
        {"replication_key_value": "yesterday"},
        "'replication_key_value' must be a date-time, not 'yes",
    ),
    ({"replication_key_value": ""}, "'replication_key_value' must be a date-time, not ''"),
    ({"replication_key_value": []}, r"'replication_key_value' must be a date-time, not \[\]"),
    ({"replication_key_value": GOOD, "since": "x"}, "'since' must be a date-time, not 'x'"),
    ({"pending": []}, "'until' must be a date-time, not None"),
    ({"pending": [], "until": {}}, "'until' must be a date-time, not {}"),
    ({"pending": None, "until": GOOD}, r"'pending' must be a list of \[since, until\] pairs"),
    ({"pending": [GOOD], "until": GOOD}, "'pending' must be a list of"),
    ({"pending": [[GOOD]], "until": GOOD}, "'pending' must be a list of"),
    ({"pending": [[GOOD, GOOD, GOOD]], "until": GOOD}, "'pending' must be a list of"),
    ({"pending": [[GOOD, "x"]], "until": GOOD}, "'pending' must be a date-time, not 'x'"),
]


@pytest.mark.parametrize(("state", "message"), BAD_STATES)
def test_a_state_that_is_not_the_taps_is_an_error_that_names_the_stream(
    state: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=f"^State of stream 'charges': {message}"):
        Bookmark.of("charges", state)


# --- A run -------------------------------------------------------------------------------------


@given(bookmarks(), spans, overlaps)
def test_a_run_reads_what_is_wanted_and_not_read_yet_and_the_overlap(
    bookmark: Bookmark, wanted: Range, overlap: int
) -> None:
    read = known(bookmark) & seconds(Range(0, bookmark.until - overlap))
    extended = bookmark.extended(wanted, overlap=overlap, now=NOW)
    assert seconds(*extended.pending) == seconds(wanted) - read


@given(bookmarks(), spans, overlaps)
def test_a_run_never_starts_with_more_known_than_the_one_before_left(
    bookmark: Bookmark, wanted: Range, overlap: int
) -> None:
    assert known(bookmark.extended(wanted, overlap=overlap, now=NOW)) <= known(bookmark)


@given(bookmarks(), st.lists(spans, max_size=3))
def test_what_is_pending_never_grows_and_keeps_all_that_is_unread(
    bookmark: Bookmark, unread: list[Range]
) -> None:
    left = bookmark.with_unread(unread)
    assert seconds(*left.pending) == seconds(*bookmark.pending) & seconds(*unread)
    assert (left.since, left.until) == (bookmark.since, bookmark.until)


@given(
    st.lists(st.tuples(spans, st.integers(0, MOMENTS)), min_size=1, max_size=5),
    overlaps,
)
def test_runs_over_any_spans_that_crash_anywhere_never_take_for_read_what_is_not(
    runs: list[tuple[Range, int]], overlap: int
) -> None:
    state: dict[str, Any] = {}
    read: set[int] = set()
    for wanted, most in runs:
        bookmark = (Bookmark.of("charges", state) or Bookmark()).extended(
            wanted, overlap=overlap, now=NOW
        )
        left = list(bookmark.pending)
        for _ in range(most):
            if left:
                since, until = left.pop(0)
                read.add(until - 1)
                left = newest_first([Range(since, until - 1), *left])
        state = bookmark.with_unread(left).state()
        after = Bookmark.of("charges", state)
        assert after is not None
        assert known(after) <= read


@pytest.mark.parametrize(
    ("wanted", "to_read"),
    [
        (Range(5, 20), [Range(5, 10)]),
        (Range(5, 25), [Range(18, 25), Range(5, 10)]),
        (Range(0, 4), [Range(0, 4)]),
        (Range(25, 28), [Range(25, 28)]),
        (Range(12, 15), []),
    ],
)
def test_other_settings_than_before_read_only_what_is_new(
    wanted: Range, to_read: list[Range]
) -> None:
    before = Bookmark(since=10, until=20, complete_until=20)
    overlap = 2 if wanted.until > 20 else 0
    assert before.extended(wanted, overlap=overlap, now=NOW).pending == to_read


def test_a_run_over_a_span_before_what_is_read_does_not_hide_the_gap_between() -> None:
    before = Bookmark(since=10, until=20, complete_until=20)
    then = before.extended(Range(0, 4), overlap=0, now=NOW).with_unread([])
    after = Bookmark.of("charges", then.state())
    assert after is not None
    assert Range(4, 10) in after.extended(Range(0, 10), overlap=0, now=NOW).pending


# --- Spans -------------------------------------------------------------------------------------


@given(st.lists(spans, max_size=6))
def test_spans_become_the_fewest_with_the_same_seconds_newest_first(among: list[Range]) -> None:
    merged = newest_first(among)
    assert seconds(*merged) == seconds(*among)
    assert all(span.since < span.until for span in merged)
    assert all(later.since > earlier.until for later, earlier in pairwise(merged))


@given(st.lists(spans, max_size=4), st.lists(spans, max_size=4))
def test_spans_without_others_have_the_seconds_that_these_have_not(
    among: list[Range], others: list[Range]
) -> None:
    left = without(among, others)
    assert seconds(*left) == seconds(*among) - seconds(*others)
    assert left == newest_first(left)


def test_what_lies_in_the_future_is_not_read_whatever_the_bookmark_says() -> None:
    bookmark = Bookmark(until=9_000).extended(Range(0, 5_000), overlap=10, now=5_000)
    assert (bookmark.until, bookmark.pending) == (5_000, [Range(4_990, 5_000)])


# --- Positions ---------------------------------------------------------------------------------

ids = st.frozensets(st.sampled_from(["evt_1", "evt_2", "evt_3"]))
positions = st.builds(
    Position,
    since=moments,
    removals_since=st.none() | moments,
    applied=ids,
    reread=moments,
    api_version=st.sampled_from(["", "2026-10-28.endive"]),
    end=st.none() | moments,
)


@given(positions)
def test_a_position_comes_back_from_state_as_it_was(position: Position) -> None:
    state = json.loads(json.dumps({"replication_key_value": "2999-01-01"} | position.state()))
    assert Position.of("charges", state) == position


def test_a_state_without_a_word_on_events_has_the_position_of_its_rows() -> None:
    state = {"replication_key_value": "2023-11-14T22:13:20Z"}
    assert Position.of("charges", state) == Position(since=1_700_000_000)
    assert Position.of("charges", {}) is None


@pytest.mark.parametrize(
    "name", ["changes_since", "changes_applied", "removals_since", "reread", "api_version", "end"]
)
def test_null_in_state_says_as_little_as_nothing(name: str) -> None:
    state = {"replication_key_value": "2023-11-14T22:13:20Z"}
    assert Position.of("charges", {**state, name: None}) == Position.of("charges", state)


@given(positions, moments, ids)
def test_a_position_that_moves_forgets_no_event_that_it_has_not_passed(
    position: Position, until: int, applied: frozenset[str]
) -> None:
    moved = position.moved(until, applied)
    assert moved.since == max(position.since, until)
    assert moved.begins >= min(position.begins, until)
    assert moved.begins <= moved.since
    assert applied <= moved.applied <= applied | position.applied
    if until <= position.since:
        assert position.applied <= moved.applied


@pytest.mark.parametrize("ids", ["evt_1", [1], {"evt_1": 1}])
def test_ids_that_are_none_are_explained(ids: Any) -> None:  # noqa: ANN401 - JSON
    state = {"changes_since": "2023-11-14", "changes_applied": ids}
    with pytest.raises(ConfigError, match="'charges': 'changes_applied' must be a list of ids"):
        Position.of("charges", state)
