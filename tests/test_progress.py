"""What people read of how a run gets on, on a clock that waits for nobody."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tap_stripe_conn.api.limits import Speed
from tap_stripe_conn.progress import Busy, Figures, Progress

if TYPE_CHECKING:
    from collections.abc import Callable


IDLE = Speed(rate=0.0, limit=80.0)


@dataclass
class Run:
    """A run whose rows, pages and seconds a test sets."""

    caplog: pytest.LogCaptureFixture
    now: float = 1_000.0
    asked: int = 0
    rows: int = 0
    speed: Speed = IDLE
    done: int = 0
    streams: int = 1
    busy: list[Busy] = field(default_factory=list)

    def figures(self) -> Figures:
        self.asked += 1
        return Figures(self.rows, self.done, self.streams, self.speed, self.busy)

    def progress(self) -> Progress:
        return Progress(self.figures, clock=lambda: self.now)

    def go_on(
        self, progress: Progress, seconds: float, then: Callable[[], None] | None = None
    ) -> None:
        """Let time pass, a quarter of a second at a time."""
        for _ in range(int(4 * seconds)):
            self.now += 0.25
            if then is not None:
                then()
            progress.tick()

    @property
    def lines(self) -> list[str]:
        return [record.getMessage() for record in self.caplog.records]


@pytest.fixture
def run(caplog: pytest.LogCaptureFixture) -> Run:
    caplog.set_level(logging.INFO)
    return Run(caplog)


def reading(run: Run, stream: str, *, total: int, per_second: int) -> Callable[[], None]:
    """The stream's pages come, one hundred rows each, until `total` are read."""
    begun, rows = run.now, run.rows

    def read() -> None:
        pages = min(total, int(per_second * (run.now - begun)))
        run.rows = rows + 100 * pages
        run.busy = [Busy(stream, 100 * pages, pages, total - pages)]

    return read


def test_every_ten_seconds_there_is_a_line(run: Run) -> None:
    with run.progress() as progress:
        run.go_on(progress, 9.75)
        assert run.lines == []
        run.go_on(progress, 0.25)
        assert len(run.lines) == 1
        run.go_on(progress, 29.75)
        assert len(run.lines) == 3


def test_a_line_tells_rows_requests_streams_and_of_those_with_the_most_left(run: Run) -> None:
    run.speed, run.done, run.streams = Speed(rate=87.14, limit=100.0), 3, 8
    begun = run.now

    def read() -> None:
        seconds = run.now - begun
        run.rows = 1_162_880 + int(8_712 * seconds)
        run.busy = [
            Busy("events", 12_300, 123, None),
            Busy("plans", 200, 2, 1.0),
            Busy("charges", 0, 320 + int(8 * seconds), 225.0),
            Busy("refunds", 0, 43 + int(2 * seconds), 420.0),
            Busy("coupons", 500, 5, 2.0),
        ]

    with run.progress() as progress:
        run.go_on(progress, 20, read)
    assert run.lines[1] == (
        "1,337,120 rows (8,712/s), 87.1 of 100 requests/s; 3 of 8 streams done; "
        "refunds 16 % (about 4 min left), charges 68 % (about 30 s left), events 12,300 rows "
        "and 2 more"
    )


def test_with_nothing_to_read_there_is_little_to_say(run: Run) -> None:
    with run.progress() as progress:
        run.go_on(progress, 10)
    assert run.lines == ["0 rows (0/s), 0 of 80 requests/s; 0 of 1 streams done"]


@pytest.mark.parametrize(
    ("rate", "limit", "words"),
    [
        (0.05, 0.5, "0.1 of 0.5"),
        (19.54, 25.0, "19.5 of 25"),
        (99.96, 99.94, "100 of 99.9"),
        (1_234.5, 100_000.0, "1,234 of 100,000"),
    ],
)
def test_rates_have_the_digits_that_matter(run: Run, rate: float, limit: float, words: str) -> None:
    run.speed = Speed(rate, limit)
    with run.progress() as progress:
        run.go_on(progress, 10)
    assert f" {words} requests/s" in run.lines[0]


def test_rows_per_second_are_those_of_the_last_ten_seconds(run: Run) -> None:
    with run.progress() as progress:
        run.go_on(progress, 10, reading(run, "charges", total=1_000, per_second=20))
        run.go_on(progress, 10, reading(run, "charges", total=1_000, per_second=5))
        run.go_on(progress, 10)
    assert [line.partition(", ")[0] for line in run.lines] == [
        "20,000 rows (2,000/s)",
        "25,000 rows (500/s)",
        "25,000 rows (0/s)",
    ]


# --- What is left ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1, "about 10 s"),
        (14, "about 10 s"),
        (36, "about 40 s"),
        (54, "about 50 s"),
        (56, "about 1 min"),
        (89, "about 1 min"),
        (91, "about 2 min"),
        (5_300, "about 88 min"),
        (5_500, "about 2 h"),
        (100_000, "about 28 h"),
        (190_000, "about 2 days"),
    ],
)
def test_the_time_that_is_left_is_a_round_one(run: Run, seconds: int, words: str) -> None:
    # In ten seconds, a page each.
    with run.progress() as progress:
        run.go_on(progress, 10, reading(run, "charges", total=seconds + 10, per_second=1))
    assert run.lines[0].endswith(f" % ({words} left)")


def test_after_a_change_of_speed_the_time_left_follows(run: Run) -> None:
    with run.progress() as progress:
        run.go_on(progress, 60, reading(run, "charges", total=6_000, per_second=20))
        fast = run.lines[-1]
        first = 1_200

        def read() -> None:
            pages = first + int(2 * (run.now - 1_060))
            run.busy = [Busy("charges", 100 * pages, pages, 6_000 - pages)]

        run.go_on(progress, 30, read)
    assert fast.endswith("charges 20 % (about 4 min left)")
    assert run.lines[-1].endswith("charges 21 % (about 40 min left)")


def test_what_is_nearly_done_is_not_done(run: Run) -> None:
    run.busy = [Busy("charges", 1_000_000, 10_000, 1.0)]
    with run.progress() as progress:
        run.go_on(progress, 10)
    assert run.lines[0].endswith("; charges 99 %")


@pytest.mark.parametrize("busy", [Busy("charges", 200, 2, 50.0), Busy("charges", 200, 9, None)])
def test_as_long_as_little_is_known_of_a_stream_only_its_rows_are_told(
    run: Run, busy: Busy
) -> None:
    run.busy = [busy]
    with run.progress() as progress:
        run.go_on(progress, 10)
    assert run.lines[0].endswith("; charges 200 rows")


def test_the_time_left_of_a_stream_that_has_just_begun_is_not_guessed(run: Run) -> None:
    with run.progress() as progress:
        run.go_on(progress, 8)
        run.go_on(progress, 2, reading(run, "charges", total=400, per_second=20))
    assert run.lines[0].endswith("; charges 10 %")


def test_the_time_left_of_a_stream_that_stands_still_is_not_guessed(run: Run) -> None:
    with run.progress() as progress:
        run.go_on(progress, 10, reading(run, "charges", total=400, per_second=20))
        run.go_on(progress, 40)
    assert run.lines[0].endswith("; charges 50 % (about 10 s left)")
    assert run.lines[-1].endswith("; charges 50 %")


def test_a_stream_of_which_nothing_is_known_counts_as_half_done(run: Run) -> None:
    run.busy = [
        Busy("charges", 0, 50, 30.0),
        Busy("short", 10, 1, None),
        Busy("long", 4_000, 40, None),
    ]
    with run.progress() as progress:
        run.go_on(progress, 10)
    assert run.lines[0].endswith("; long 4,000 rows, charges 62 %, short 10 rows")


# --- The loader --------------------------------------------------------------------------------


def test_a_loader_that_makes_the_tap_wait_is_named(run: Run) -> None:
    with run.progress() as progress:
        for _ in range(10):
            run.go_on(progress, 0.25)
            with progress.writing():
                run.now += 0.75
            progress.tick()
    assert ", waiting for the loader 75 % of the time; 0 of 1" in run.lines[0]


def test_a_loader_that_keeps_up_is_not_mentioned(run: Run) -> None:
    with run.progress() as progress:
        for _ in range(12):
            run.go_on(progress, 0.75)
            with progress.writing():
                run.now += 0.125
    assert "loader" not in run.lines[0]


def test_time_that_the_tap_works_on_rows_is_not_the_loaders(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "thread_time", lambda: run.now)
    with run.progress() as progress:
        for _ in range(20):
            run.go_on(progress, 0.25)
            with progress.writing():
                run.now += 0.25
            progress.tick()
    assert "loader" not in run.lines[0]


# --- What it costs -----------------------------------------------------------------------------


def test_the_run_is_asked_for_its_figures_once_a_second(run: Run) -> None:
    with run.progress() as progress:
        run.go_on(progress, 0.75)
        for _ in range(1_000):
            progress.tick()
        assert run.asked == 0
        run.go_on(progress, 29.25)
    assert run.asked == 30


def test_after_a_long_wait_there_is_one_line_and_not_one_for_each_that_was_missed(run: Run) -> None:
    with run.progress() as progress:
        run.now += 45
        progress.tick()
        run.rows = 90_000
        progress.tick()
        assert run.lines == ["0 rows (0/s), 0 of 80 requests/s; 0 of 1 streams done"]
        run.go_on(progress, 10)
    assert len(run.lines) == 2


def test_a_log_that_is_only_for_warnings_costs_nothing(run: Run) -> None:
    run.caplog.set_level(logging.WARNING)
    with run.progress() as progress:
        run.go_on(progress, 60)
    assert run.asked == 0


def test_a_run_that_fails_fails_as_it_would_without(run: Run) -> None:
    with pytest.raises(ZeroDivisionError), run.progress():
        _ = 1 / 0
