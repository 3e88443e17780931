"""How a run gets on: a line of the log every ten seconds, or a display where somebody watches."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from tap_stripe_conn.display import Line, at_terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    from typing_extensions import Self

    from tap_stripe_conn.api.limits import Speed
    from tap_stripe_conn.display import Display

LOGGED: Final = 10.0
"""Seconds between lines of the log."""

SAMPLED: Final = 1.0
"""Seconds between looks at the figures."""

DRAWN: Final = 0.25
"""Seconds between pictures on the display."""

RECENT: Final = 10.0
"""Seconds over which speed is measured, as the limiter does."""

STEADY: Final = 30.0
"""Seconds over which it is measured where the future is guessed from it."""

LITTLE: Final = 3.0
"""Seconds and pages that are too few to guess from."""

NAMED: Final = 3
"""Streams that a line of the log names."""

WORTH_SAYING: Final = 0.5
"""The share of the time spent waiting for the loader from which on it is told. Less may be the wait
for a processor."""

logger = logging.getLogger(__name__)


class Busy(NamedTuple):
    """A stream that is being read."""

    stream: str
    rows: int
    """Written so far."""

    pages: int
    """Of its list, or requests, answered so far."""

    pages_left: float | None
    """A guess, low while little is known; None if nothing is."""


class Figures(NamedTuple):
    """How far a run has got."""

    rows: int
    """Written so far, of all streams."""

    streams_done: int
    streams: int
    speed: Speed
    busy: Sequence[Busy]


class Progress:
    """Tells people how a run gets on, from its start to its end; of one thread.

    It asks for the figures when it needs them, once a second, or four times where they are shown.
    """

    def __init__(
        self, figures: Callable[[], Figures], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Stand by.

        Args:
            figures: How far the run has got by now.
            clock: Gives the seconds from any fixed moment on.
        """
        self._figures = figures
        self._clock = clock
        self._display: Display | None = None
        self._rows = _Pace(RECENT)
        self._waiting = _Pace(RECENT)
        self._pages: dict[str, _Pace] = {}
        self._waited = 0.0
        self._due = self._line_due = math.inf

    def __enter__(self) -> Self:
        """Begin; with a log that is only for warnings, there is nothing to do."""
        if logger.isEnabledFor(logging.INFO):
            now = self._clock()
            self._due, self._line_due = now + SAMPLED, now + LOGGED
            self._rows.add(now, 0)
            self._waiting.add(now, 0)
            self._display = at_terminal(instead_of=logger.name)
            if self._display is not None:
                self._display.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End; nothing is left on the terminal but the log."""
        if self._display is not None:
            self._display.__exit__(kind, error, traceback)

    def tick(self) -> None:
        """Say what is due; to be called as often as can be, it mostly does nothing."""
        now = self._clock()
        if now >= self._due:
            self._look(now)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """While messages are written: as far as that takes no CPU, the loader makes us wait."""
        began, used = self._clock(), time.thread_time()
        try:
            yield
        finally:
            seconds, worked = self._clock() - began, time.thread_time() - used
            self._waited += max(0.0, seconds - worked)

    def _look(self, now: float) -> None:
        figures = self._figures()
        self._rows.add(now, figures.rows)
        self._waiting.add(now, self._waited)
        self._pages = {
            busy.stream: self._pages.get(busy.stream) or _Pace(STEADY) for busy in figures.busy
        }
        for busy in figures.busy:
            self._pages[busy.stream].add(now, busy.pages)
        headline = self._headline(figures)
        lines = [self._line(busy) for busy in sorted(figures.busy, key=_left, reverse=True)]
        if self._display is not None:
            self._display.show(headline, lines)
        if now >= self._line_due:
            logger.info("%s", "; ".join([headline, *_named(lines)]))
            self._line_due = now + LOGGED
        self._due = min(self._line_due, now + (SAMPLED if self._display is None else DRAWN))

    def _headline(self, figures: Figures) -> str:
        rate, limit = figures.speed
        rows = f"{figures.rows:,} rows ({self._rows.per_second:,.0f}/s)"
        requests = f"{_rounded(rate)} of {_rounded(limit)} requests/s"
        done = f"{figures.streams_done} of {figures.streams} streams done"
        waiting = min(1.0, self._waiting.per_second)
        if waiting < WORTH_SAYING:
            return f"{rows}, {requests}; {done}"
        share = f"{100 * waiting:.0f} %"
        return f"{rows}, {requests}, waiting for the loader {share} of the time; {done}"

    def _line(self, busy: Busy) -> Line:
        if busy.pages_left is None or busy.pages < LITTLE:
            return Line(busy.stream, busy.rows, None, "")
        share = busy.pages / (busy.pages + busy.pages_left)
        pace = self._pages[busy.stream]
        is_steady = pace.known >= LITTLE and pace.per_second > 0
        left = f"{_about(busy.pages_left / pace.per_second)} left" if is_steady else ""
        return Line(busy.stream, busy.rows, share, left)


def _left(busy: Busy) -> float:
    """Pages, for a guess; where nothing is known, as much again as was read."""
    return busy.pages if busy.pages_left is None else busy.pages_left


def _named(lines: Sequence[Line]) -> list[str]:
    """The streams with the most left; none if none is busy."""
    if not lines:
        return []
    named = ", ".join(_words(line) for line in lines[:NAMED])
    more = len(lines) - NAMED
    return [f"{named} and {more} more" if more > 0 else named]


def _words(line: Line) -> str:
    done = line.percent or f"{line.rows:,} rows"
    return f"{line.stream} {done} ({line.left})" if line.left else f"{line.stream} {done}"


def _rounded(rate: float) -> str:
    """Three digits are enough."""
    return f"{rate:,.0f}" if rate >= 99.95 else f"{rate:.1f}".removesuffix(".0")  # noqa: PLR2004


def _about(seconds: float) -> str:
    """A time that is only guessed."""
    if seconds < 55:  # noqa: PLR2004 - what is not yet a minute when rounded to tens
        return f"about {max(1, round(seconds / 10))}0 s"
    for unit, length, most in (("min", 60, 90), ("h", 3_600, 36)):
        if seconds < most * length:
            return f"about {seconds / length:.0f} {unit}"
    return f"about {seconds / 86_400:,.0f} days"


class _Pace:
    """How fast a count grows, over the last seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._samples: deque[tuple[float, float]] = deque()

    def add(self, now: float, count: float) -> None:
        self._samples.append((now, count))
        while len(self._samples) > 1 and self._samples[1][0] <= now - self._seconds:
            self._samples.popleft()

    @property
    def known(self) -> float:
        """Seconds."""
        return self._samples[-1][0] - self._samples[0][0]

    @property
    def per_second(self) -> float:
        return (self._samples[-1][1] - self._samples[0][1]) / self.known
