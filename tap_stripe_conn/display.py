"""What somebody at a terminal sees of a run while it lasts: a few lines below the log.

The loader writes to the same terminal without a word to us. So the cursor always stands on an empty
line above the display: whatever anybody writes begins there, where the log goes on, and the next
picture is drawn below it. It also needs no clean-up that a `kill -9` would prevent.

Only figures and names of streams are drawn. Nothing is ever drawn on stdout.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from contextlib import ExitStack, contextmanager, redirect_stderr, suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TextIO, cast

from singer_sdk.logging import ConsoleFormatter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from rich.console import Console
    from typing_extensions import Self

SHOWN: Final = 5
"""Streams that have a line of their own."""

BAR: Final = 24
"""Columns of a bar."""

ERASE: Final = "\x1b[J"
"""Erases what is right of the cursor and below."""


class Line(NamedTuple):
    """What is shown of a stream."""

    stream: str
    rows: int
    share: float | None
    """Of its range that is done, 0 to 1; None if nobody knows."""

    left: str
    """When it will be done, in words; empty if nobody knows."""

    @property
    def percent(self) -> str:
        """Its share; empty if nobody knows. What is not done is never 100 %."""
        return "" if self.share is None else f"{min(99, int(100 * self.share))} %"


def at_terminal(*, instead_of: str) -> Display | None:
    """The display, where the log is for somebody at a terminal; else None.

    Not where it is structured or has a form that isn't known, where colours aren't wanted, where
    the terminal can't move its cursor, and not where the rows themselves go to a terminal.

    Args:
        instead_of: The logger whose records need not be on the terminal as well.
    """
    handlers = [handler for handler in _handlers() if _is_terminal(handler.stream)]
    formatters = {type(handler.formatter) for handler in handlers}
    if (
        handlers
        and formatters <= {ConsoleFormatter, logging.Formatter, type(None)}
        and not _is_terminal(sys.stdout)
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM", "dumb") not in {"", "dumb", "unknown"}
        and os.name != "nt"
    ):
        return Display(handlers, instead_of=instead_of)
    return None


def _handlers() -> Iterator[logging.StreamHandler[TextIO]]:
    loggers = [logging.getLogger(), *logging.Logger.manager.loggerDict.values()]
    handlers = [
        handler
        for logger in loggers
        if isinstance(logger, logging.Logger)
        for handler in logger.handlers
    ]
    for handler in dict.fromkeys(handlers):
        if isinstance(handler, logging.StreamHandler):
            yield handler


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except (AttributeError, ValueError):  # it is less than a file, or closed
        return False


class Display:
    """Lines below the log. They vanish at the end, however it comes."""

    def __init__(
        self, handlers: Sequence[logging.StreamHandler[TextIO]], *, instead_of: str
    ) -> None:
        """Stand by; nothing is written yet.

        Args:
            handlers: Those that write to the terminal.
            instead_of: As for `at_terminal`.
        """
        self._handlers = handlers
        self._terminal = handlers[0].stream
        self._instead_of = instead_of
        self._console: Console | None = None
        self._picture = ""
        """What is on the terminal, with the way back to the cursor's line."""

        self._is_mid_line = False
        """Whether somebody has written the part of a line, which a picture would cost its text."""

        self._lock = threading.RLock()
        self._undo = ExitStack()

    def __enter__(self) -> Self:
        """Let the log's lines appear above the display."""
        for handler in self._handlers:
            self._undo.callback(handler.setStream, handler.stream)
            self._undo.callback(handler.removeFilter, self._is_wanted)
            handler.addFilter(self._is_wanted)
            handler.setStream(cast("TextIO", _Above(handler.stream, self)))
        if _is_terminal(sys.stderr):
            above = cast("TextIO", _Above(sys.stderr, self))
            self._undo.enter_context(redirect_stderr(above))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave nothing of it, and no ^C on the line where the log goes on."""
        self._picture = ""
        self._undo.close()
        self._write("\r" + ERASE)

    def show(self, headline: str, lines: Sequence[Line]) -> None:
        """Draw this in place of what is there.

        Args:
            headline: Of the whole run.
            lines: Of all streams, those that matter most first.
        """
        drawn = self._drawn(headline, lines)
        with self._lock:
            self._picture = "\n".join(["", *drawn]) + f"\x1b[{len(drawn)}A\r"
            if not self._is_mid_line:
                self._write(ERASE + self._picture)

    @contextmanager
    def making_way(self, *, whole: bool) -> Iterator[None]:
        """While somebody else in this process writes to the terminal.

        Args:
            whole: Whether it is whole lines.
        """
        with self._lock:
            self._write(ERASE)
            yield
            self._is_mid_line = not whole
            if whole:
                self._write(self._picture)

    def _is_wanted(self, record: logging.LogRecord) -> bool:
        return record.name != self._instead_of

    def _write(self, text: str) -> None:
        # In one piece, as the loader writes too. A terminal that has gone is no reason to fail.
        with self._lock, suppress(OSError):
            self._terminal.write(text)
            self._terminal.flush()

    def _drawn(self, headline: str, lines: Sequence[Line]) -> list[str]:
        # Whole packages that only somebody who watches a terminal has to wait for.
        from rich.console import Console  # noqa: PLC0415
        from rich.progress_bar import ProgressBar  # noqa: PLC0415
        from rich.table import Table  # noqa: PLC0415

        if self._console is None:
            self._console = Console(file=self._terminal, highlight=False)
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True)
        table.add_column()  # of bars, which give way where it is narrow
        table.add_column(no_wrap=True, justify="right")
        table.add_column(no_wrap=True, justify="right")
        table.add_column(no_wrap=True)
        for line in lines[:SHOWN]:
            bar = "" if line.share is None else ProgressBar(1.0, line.share, width=BAR)
            table.add_row(line.stream, bar, line.percent, f"{line.rows:,} rows", line.left)
        if len(lines) > SHOWN:
            table.add_row(f"and {len(lines) - SHOWN} more")
        with self._console.capture() as drawn:
            # A line that fills the terminal would continue on the next.
            width = max(1, self._console.width - 1)
            self._console.print(headline, style="bold", width=width)
            self._console.print(table, width=width)
        # The cursor has a line of its own.
        return drawn.get().splitlines()[: self._console.height - 1]


class _Above:
    """A stream to the terminal, whose lines take the place of the display, which moves on."""

    def __init__(self, stream: TextIO, display: Display) -> None:
        self._stream = stream
        self._display = display

    def write(self, text: str) -> int:
        with self._display.making_way(whole=text.endswith("\n")):
            return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - of the other stream
        return getattr(self._stream, name)
