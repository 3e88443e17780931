"""What is read and what is pending, however far a run got."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tap_stripe_conn.api.lists import Range, newest_first
from tap_stripe_conn.streams.tally import Tally

ENDS = st.integers(0, 12)
SPANS = st.lists(st.builds(Range, ENDS, ENDS), max_size=4).map(newest_first)


def seconds(spans: list[Range]) -> set[int]:
    return {second for span in spans for second in range(*span)}


@given(SPANS, SPANS)
def test_what_was_to_be_read_is_either_finished_or_pending(
    planned: list[Range], unread: list[Range]
) -> None:
    tally = Tally()
    tally.begin(planned)
    assert (tally.finished, tally.pending) == ([], planned)
    tally.unread(unread)
    assert seconds(tally.pending) == seconds(planned) & seconds(unread)
    assert seconds(tally.finished) == seconds(planned) - seconds(unread)
    assert tally.finished == newest_first(tally.finished)
    tally.unread([])
    assert (tally.finished, tally.pending) == (planned, [])


@given(SPANS, SPANS, SPANS)
def test_what_needs_no_reading_is_neither_finished_nor_pending(
    planned: list[Range], spared: list[Range], unread: list[Range]
) -> None:
    tally = Tally()
    tally.begin(planned)
    tally.spare(spared)
    assert (tally.finished, seconds(tally.pending)) == ([], seconds(planned) - seconds(spared))
    tally.unread(unread)
    assert seconds(tally.pending) == (seconds(planned) - seconds(spared)) & seconds(unread)
    assert seconds(tally.finished) == seconds(planned) - seconds(spared) - seconds(unread)


def test_what_an_interrupted_run_left_counts_beside_what_is_read_after_it() -> None:
    tally = Tally()
    tally.begin([Range(10, 20)])
    tally.unread([])
    tally.begin([Range(0, 10), Range(20, 30)])
    assert (tally.finished, tally.pending) == ([Range(10, 20)], [Range(20, 30), Range(0, 10)])
    tally.unread([Range(0, 5)])
    assert (tally.finished, tally.pending) == ([Range(5, 30)], [Range(0, 5)])
