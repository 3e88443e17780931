"""`tap | loader`, with its progress on the screen and its state kept."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

from tools.environments import CommandError, last_line, where

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

NOT_WHOLE = 3
"""The tap's exit code when a selected stream could not be read whole."""

STOP_SECONDS = 10
DRAIN_SECONDS = 600
"""How long the loader may take to write what it has been given."""

_HEAD = re.compile(rb'"type": ?"(\w+)",.*?"stream": ?"(\w+)"')
_HEAD_BYTES = 160


def discover(
    tap: list[str], environ: Mapping[str, str], log: Path
) -> dict[str, list[dict[str, object]]]:
    """Ask the tap for its catalog; with a config it proves the credentials first.

    Raises:
        CommandError: The tap failed; the message is its last line.
    """
    discovery = subprocess.run([*tap, "--discover"], env=environ, capture_output=True, check=False)
    log.write_bytes(discovery.stderr)
    if discovery.returncode:
        raise CommandError(last_line(discovery.stderr.decode(errors="replace")))
    catalog: dict[str, list[dict[str, object]]] = json.loads(discovery.stdout)
    return catalog


def select(catalog: dict[str, list[dict[str, object]]], streams: Sequence[str] | None) -> int:
    """Select `streams` (None: all) in `catalog` and give their number."""
    selected = 0
    for stream in catalog["streams"]:
        wanted = streams is None or stream["tap_stream_id"] in streams
        stream["selected"] = wanted
        selected += wanted
        metadata = stream["metadata"]
        if isinstance(metadata, list):
            for entry in metadata:
                if not entry["breadcrumb"]:
                    entry["metadata"]["selected"] = wanted
    return selected


class Pipeline:
    """One run of the tap into the loader."""

    def __init__(self, state: Path, logs: Path, selected: int) -> None:
        """Prepare a run of so many `selected` streams, from and to `state`."""
        self._state = state
        self._logs = logs
        self._progress = _Progress(selected)
        self._loaded: bytes = b""

    def run(self, tap: list[str], loader: list[str], environ: Mapping[str, str]) -> str:
        """Run both to their end and give the tap's remark on streams it could not read whole.

        What the loader has confirmed is kept as state, however the run ends.

        Raises:
            CommandError: The tap or the loader failed; the message is its last line.
        """
        tap_log, loader_log = self._logs / "tap.log", self._logs / "loader.log"
        if self._state.exists():
            tap = [*tap, "--state", str(self._state)]
        with (
            tap_log.open("wb") as tap_errors,
            loader_log.open("wb") as loader_errors,
            # Sessions of their own: Ctrl-C is for the quickstart, which stops them in order.
            subprocess.Popen(
                tap,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=tap_errors,
                start_new_session=True,
            ) as source,
            subprocess.Popen(
                loader,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=loader_errors,
                start_new_session=True,
            ) as target,
        ):
            code = self._join(source, target)
        loader_code = target.returncode
        if loader_code:
            _fail("the loader", loader_code, loader_log)
        if code not in {0, NOT_WHOLE}:
            _fail("the tap", code, tap_log)
        return last_line(tap_log.read_text(errors="replace")) if code == NOT_WHOLE else ""

    def _join(self, source: subprocess.Popen[bytes], target: subprocess.Popen[bytes]) -> int:
        """Pass on all messages and states and give the tap's exit code."""
        # In threads, so that Ctrl-C never cuts a message in two.
        pump = threading.Thread(target=self._pump, args=(source, target), daemon=True)
        states = threading.Thread(target=self._read_states, args=(target,), daemon=True)
        try:
            pump.start()
            states.start()
            pump.join()
            return source.wait()
        finally:
            _stop(source)
            pump.join(DRAIN_SECONDS)
            self._finish(target, states)

    def _pump(self, source: subprocess.Popen[bytes], target: subprocess.Popen[bytes]) -> None:
        if source.stdout is None or target.stdin is None:
            return
        try:
            with target.stdin as sink:
                for line in source.stdout:
                    sink.write(line)
                    self._progress.saw(line)
        except BrokenPipeError:
            # The loader is gone: its exit code and its log say why.
            source.terminate()
        self._progress.loading()

    def _finish(self, target: subprocess.Popen[bytes], states: threading.Thread) -> None:
        # Interrupted or not: what the loader has been given it writes, and then says its state.
        try:
            target.wait(DRAIN_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:
            _stop(target)
            states.join(STOP_SECONDS)
            self._progress.end()
            self._keep_state()

    def _read_states(self, target: subprocess.Popen[bytes]) -> None:
        for line in target.stdout or ():
            self._loaded = line

    def _keep_state(self) -> None:
        if self._loaded:
            partial = self._state.with_suffix(".new")
            partial.write_bytes(self._loaded)
            partial.replace(self._state)


class _Progress:
    """One line that moves on a terminal, a line now and then elsewhere."""

    def __init__(self, selected: int) -> None:
        self._selected = selected
        self._stream = ""
        self._rows = 0
        self._with_rows: set[str] = set()
        self._terminal = sys.stdout.isatty()
        self._interval = 0.1 if self._terminal else 5.0  # seconds
        self._next = time.monotonic() + self._interval

    def saw(self, line: bytes) -> None:
        head = _HEAD.search(line, 0, _HEAD_BYTES)
        if head:
            self._stream = head[2].decode()
        if head and head[1] == b"RECORD":
            self._rows += 1
            self._with_rows.add(self._stream)
        if time.monotonic() >= self._next:
            self._show(f"reading {self._stream}")

    def loading(self) -> None:
        self._show("loading")

    def end(self) -> None:
        if self._terminal:
            sys.stdout.write("\r\x1b[K")
        print(f"  read {self._sum()}", flush=True)

    def _show(self, what: str) -> None:
        self._next = time.monotonic() + self._interval
        text = f"  {self._sum()}, {what}"
        sys.stdout.write(f"\r\x1b[K{text}" if self._terminal else f"{text}\n")
        sys.stdout.flush()

    def _sum(self) -> str:
        return f"{self._rows:,} rows, {len(self._with_rows)} of {self._selected} streams have some"


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _fail(what: str, code: int, log: Path) -> None:
    reason = last_line(log.read_text(errors="replace")) or f"exit code {code}"
    msg = f"{what} failed: {reason} (see {where(log)})"
    raise CommandError(msg)
