"""What is on the terminal of somebody who watches a run, and what is not."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import subprocess
import sys
import termios
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pexpect
import pyte
import pytest
from typing_extensions import override

from tap_stripe_conn.display import Display
from tests.watched_run import RECORD

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PROJECT = Path(__file__).parents[1]
RUN = f"exec {sys.executable} -m tests.watched_run"
PATIENCE = 30
"""Seconds for anything to appear, on a busy machine."""

HEADLINE = r"[\d,]+ rows \([\d,]+/s\), 87\.1 of 100 requests/s; 3 of 12 streams done"
LOGGED = rf"{HEADLINE}; charges \d+ % \(about \d+ min left\), stream_6 6 rows, .* and 5 more"
"""What a line of the log says."""

LINE = re.compile(
    r"(?:[-\d]{10}[:\d]{8},\d{3}\|(?:INFO|WARNING)\|therun\|)?((?:main|printed|thread)line\d)withsk_live_…\."
)
"""A line that the run has logged, without space."""


class Terminal:
    """A terminal, as somebody sees it who can scroll back."""

    def __init__(self, command: str, *, lines: int = 30, columns: int = 150, **env: str) -> None:
        self._screen = pyte.HistoryScreen(columns, lines, history=1_000)
        self._stream = pyte.Stream(self._screen)
        self.written = ""
        self.process = pexpect.spawn(
            "/bin/sh",
            ["-c", command],
            cwd=str(PROJECT),
            env={**environment(), "TERM": "xterm-256color", **env},
            encoding="utf-8",
            timeout=PATIENCE,
            dimensions=(lines, columns),
        )
        # What is on its way to a terminal when Ctrl-C comes is thrown away. Somebody's terminal
        # reads at once; this one does when its test gets to it.
        attributes = termios.tcgetattr(self.process.child_fd)
        attributes[3] |= termios.NOFLSH
        termios.tcsetattr(self.process.child_fd, termios.TCSANOW, attributes)

    @property
    def lines(self) -> list[str]:
        """All that can be read, from the oldest line down to that of the cursor."""
        above = [
            "".join(line[column].data for column in range(self._screen.columns))
            for line in self._screen.history.top
        ]
        return [line.rstrip() for line in [*above, *self._screen.display]]

    @property
    def log(self) -> list[str]:
        """What is above the cursor."""
        return self.lines[: len(self._screen.history.top) + self._screen.cursor.y]

    @property
    def below(self) -> list[str]:
        """What is on the cursor's line and below."""
        return self.lines[len(self._screen.history.top) + self._screen.cursor.y :]

    @property
    def shows_its_cursor(self) -> bool:
        return not self._screen.cursor.hidden

    def wait(self, until: Callable[[], bool]) -> None:
        """Wait until something can be seen."""
        limit = time.monotonic() + PATIENCE
        while not until():
            assert time.monotonic() < limit, self.lines
            try:
                self._feed(self.process.read_nonblocking(10_000, timeout=1))
            except pexpect.TIMEOUT:
                continue

    def ended(self) -> int:
        """Wait for the end; the exit code."""
        self._feed(self.process.read())
        self.process.close()
        assert self.process.exitstatus is not None
        return int(self.process.exitstatus)

    def _feed(self, text: str) -> None:
        self.written += text
        self._stream.feed(text)


def environment() -> dict[str, str]:
    """This one, without what tells programs how to write."""
    forms = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TTY_", "SINGER_SDK_LOG", "LOGLEVEL")
    return {name: value for name, value in os.environ.items() if not name.startswith(forms)}


def log_config(
    directory: Path, form: str, *, level: str = "INFO", **handlers: Mapping[str, str]
) -> str:
    """A file that configures the log as Meltano does.

    Args:
        directory: Where to put it.
        form: That of the log on stderr: console or structured.
        level: Of what is logged.
        handlers: Others beside that to stderr.
    """
    stderr = {"class": "logging.StreamHandler", "formatter": form, "stream": "ext://sys.stderr"}
    config = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "console": {"()": "singer_sdk.logging.ConsoleFormatter"},
            "structured": {"()": "singer_sdk.logging.StructuredFormatter"},
        },
        "handlers": {"stderr": stderr, **handlers},
        "root": {"level": level, "handlers": ["stderr", *handlers]},
    }
    path = directory / "log.yaml"
    path.write_text(json.dumps(config), encoding="utf-8")
    return str(path)


def squeezed(lines: list[str]) -> str:
    """The text, without the space that is needed where a line continues on the next."""
    return "".join("".join(lines).split())


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Where stdout goes."""
    return tmp_path / "rows"


def test_somebody_at_a_terminal_watches_the_run_below_the_log(rows: Path) -> None:
    terminal = Terminal(f"{RUN} --seconds 1000 > {rows}")
    terminal.wait(lambda: " left" in terminal.below[2] and "and 3 more" in terminal.below)
    cursor, headline, charges, *others = terminal.below
    assert cursor == ""
    assert re.fullmatch(HEADLINE, headline)
    assert re.fullmatch(r"charges   +[━╸╺]{24} +\d+ % +[\d,]+ rows  about \d+ min left", charges)
    assert [" ".join(other.split()) for other in others[:5]] == [
        *(f"stream_{n} {n} rows" for n in (6, 5, 4, 3)),
        "and 3 more",
    ]
    assert set(others[5:]) == {""}
    terminal.process.sendcontrol("c")
    assert terminal.ended() == 130
    assert "requests/s" not in "".join(terminal.lines)


def test_after_ctrl_c_the_last_line_says_so(rows: Path) -> None:
    terminal = Terminal(f"{RUN} --seconds 1000 > {rows}")
    terminal.wait(lambda: "and 3 more" in terminal.below)
    terminal.process.sendcontrol("c")
    assert terminal.ended() == 130
    assert terminal.log[-1] == "Interrupted; the last STATE covers what was written"
    assert set(terminal.below) == {""}
    assert terminal.shows_its_cursor


@pytest.mark.parametrize("size", [(30, 150), (8, 150), (30, 60)], ids=["large", "low", "narrow"])
def test_in_the_end_there_is_the_log_alone_each_line_whole(
    rows: Path, size: tuple[int, int]
) -> None:
    lines, columns = size
    terminal = Terminal(f"{RUN} > {rows}", lines=lines, columns=columns)
    assert terminal.ended() == 1
    assert "requests/s" in terminal.written
    log = squeezed(terminal.log)
    assert Counter(LINE.findall(log)) == Counter(
        f"{kind}line{n}" for kind in ("main", "printed", "thread") for n in range(1, 6)
    )
    assert LINE.sub("", log) == "Therunfailed:Stripecan'tbereached"
    assert set(terminal.below) == {""}
    assert terminal.shows_its_cursor
    assert set(rows.read_text(encoding="utf-8").splitlines()) == {RECORD}


def test_what_the_loader_writes_to_the_same_terminal_stays(rows: Path) -> None:
    loader = "for n in 1 2 3 4; do sleep 0.3; echo loaded $n >&2; done"
    terminal = Terminal(f"{RUN} > {rows} & {loader}; wait")
    assert terminal.ended() == 0
    assert "requests/s" in terminal.written
    loaded = [line[:8] for line in terminal.log if line.startswith("loaded ")]
    assert loaded == ["loaded 1", "loaded 2", "loaded 3", "loaded 4"]
    assert set(terminal.below) == {""}


def test_who_keeps_the_log_in_a_file_as_well_finds_the_lines_there(
    rows: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    config = log_config(
        tmp_path, "console", file={"class": "logging.FileHandler", "filename": str(log)}
    )
    terminal = Terminal(f"{RUN} > {rows}", SINGER_SDK_LOG_CONFIG=config)
    assert terminal.ended() == 1
    assert "and 3 more" in terminal.written
    assert "and 5 more" not in terminal.written
    assert len(re.findall(LOGGED, log.read_text("utf-8"))) == 1


# --- Lines alone -------------------------------------------------------------------------------


@pytest.mark.parametrize("variable", ["NO_COLOR=1", "TERM=dumb", "TERM="])
def test_who_wants_no_colours_or_has_no_such_terminal_reads_lines(
    rows: Path, variable: str
) -> None:
    terminal = Terminal(f"export {variable}; {RUN} > {rows}")
    assert terminal.ended() == 1
    assert "\x1b" not in terminal.written
    assert len(re.findall(LOGGED, terminal.written)) == 1


def test_where_the_rows_go_to_the_terminal_nothing_is_drawn_among_them() -> None:
    terminal = Terminal(RUN)
    assert terminal.ended() == 1
    assert "\x1b" not in terminal.written
    assert len(re.findall(LOGGED, terminal.written)) == 1


def test_a_structured_log_is_nothing_else_at_a_terminal_too(rows: Path, tmp_path: Path) -> None:
    terminal = Terminal(f"{RUN} > {rows}", SINGER_SDK_LOG_CONFIG=log_config(tmp_path, "structured"))
    assert terminal.ended() == 1
    assert "\x1b" not in terminal.written
    lines = terminal.written.splitlines()
    messages = [json.loads(line)["message"] for line in lines if line.startswith("{")]
    assert len(messages) == 11
    assert len([message for message in messages if re.fullmatch(LOGGED, message)]) == 1


def test_a_log_that_is_only_for_warnings_has_no_display_either(rows: Path, tmp_path: Path) -> None:
    config = log_config(tmp_path, "console", level="WARNING")
    terminal = Terminal(f"{RUN} > {rows}", SINGER_SDK_LOG_CONFIG=config)
    assert terminal.ended() == 1
    assert "\x1b" not in terminal.written
    assert "requests/s" not in terminal.written


def test_without_a_terminal_there_are_lines() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tests.watched_run"],
        cwd=PROJECT,
        env={**environment(), "TERM": "xterm-256color"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert run.returncode == 1
    assert "\x1b" not in run.stderr
    assert len(re.findall(LOGGED, run.stderr)) == 1
    assert set(run.stdout.splitlines()) == {RECORD}


def test_rich_is_loaded_for_nobody_but_who_watches() -> None:
    code = "import sys, tap_stripe_conn.tap, tap_stripe_conn.progress; print('rich' in sys.modules)"
    loaded = subprocess.run(  # noqa: S603 - our own
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    assert loaded.stdout == "False\n"


class Paper(io.StringIO):
    """A terminal in memory, and what stands on it."""

    @override
    def isatty(self) -> bool:
        return True

    @property
    def lines(self) -> list[str]:
        screen = pyte.Screen(80, 24)
        pyte.Stream(screen).feed(self.getvalue().replace("\n", "\r\n"))
        return [line.rstrip() for line in screen.display]


def test_a_picture_costs_no_line_that_is_only_half_written(monkeypatch: pytest.MonkeyPatch) -> None:
    paper = Paper()
    monkeypatch.setattr("sys.stderr", paper)
    with Display([logging.StreamHandler(paper)], instead_of="progress") as display:
        display.show("12 rows", [])
        sys.stderr.write("a line of a library's")
        display.show("13 rows", [])
        sys.stderr.write(" own\n")
        display.show("14 rows", [])
        assert paper.lines[:3] == ["a line of a library's own", "", "14 rows"]
    assert [line for line in paper.lines if line] == ["a line of a library's own"]
