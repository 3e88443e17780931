"""The tap as a process, and what it wrote."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
import time
from array import array
from collections import defaultdict
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from tools.quickstart.pipeline import select

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tests.fake_stripe import FakeStripe

Message: TypeAlias = dict[str, Any]
Row: TypeAlias = dict[str, Any]

COMMAND = Path(sys.executable).with_name("tap-stripe-conn")

UNPACED = {"requests_per_second": 100_000, "endpoint_requests_per_second": 100_000}
"""Settings with which no test waits for the limiter."""


_STANDSTILL = 0.3
"""Seconds without a byte more after which a process counts as waiting."""

_DELIVERY = 0.1
"""Seconds after which a signal has reached a waiting process."""


@dataclass(slots=True)
class Output:
    """What one run of the tap wrote, as far as its lines are whole."""

    code: int = 0
    """Exit code; negative for the signal that killed it."""

    lines: list[bytes] = field(default_factory=list)
    cut: bytes = b""
    """What follows the last line's end: the part of a message."""

    errors: str = ""

    rows: defaultdict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    """By stream, in order."""

    schemas: dict[str, Message] = field(default_factory=dict)
    """JSON Schemas, by stream."""

    states: list[Message] = field(default_factory=list)
    """Values of the STATE messages."""

    rows_after_state: defaultdict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    """Rows after the last of them."""

    last: str = ""
    """Type of the last message."""

    @property
    def last_error(self) -> str:
        """The last line on stderr, which Meltano shows."""
        return self.errors.splitlines()[-1]

    def read(
        self, process: subprocess.Popen[bytes], until: Callable[[Output], bool] | None = None
    ) -> None:
        """Read lines: to the end, or to the first one after which `until` is true."""
        for line in process.stdout or ():
            self._take(line)
            if until is not None and until(self):
                return
        assert until is None, "the run ended before"

    def _take(self, line: bytes) -> None:
        if not line.endswith(b"\n"):
            self.cut = line
            return
        self.lines.append(line)
        message: Message = msgspec.json.decode(line)
        self.last = message["type"]
        if self.last == "RECORD":
            self.rows[message["stream"]].append(message["record"])
            self.rows_after_state[message["stream"]].append(message["record"])
        elif self.last == "SCHEMA":
            self.schemas[message["stream"]] = message["schema"]
        elif self.last == "STATE":
            self.states.append(message["value"])
            self.rows_after_state.clear()


class Tap:
    """The command with one configuration."""

    def __init__(
        self,
        directory: Path,
        settings: Mapping[str, object],
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """Configure it.

        Args:
            directory: For its files: the config, the state, the catalog, its log.
            settings: Its settings.
            environ: Environment variables beyond the usual ones.
        """
        self._directory = directory
        self._environ = {**_environ(), **(environ or {})}
        self.config = self._file("config", settings)

    @classmethod
    def of(
        cls, stripe: FakeStripe, directory: Path, *, environ: Mapping[str, str] | None = None
    ) -> Tap:
        """The tap on the project's own server."""
        return cls(directory, settings_for(stripe), environ)

    def run(
        self, streams: Sequence[str] | None = None, *, state: Mapping[str, object] | None = None
    ) -> Output:
        """Run to the end.

        Args:
            streams: The streams to select; default: all.
            state: Of the run before.
        """
        output = Output()
        with self._running(streams, state) as process:
            output.read(process)
        return self._ended(output, process)

    def interrupted(
        self,
        streams: Sequence[str],
        *,
        state: Mapping[str, object] | None = None,
        signum: signal.Signals,
        when: Callable[[Output], bool] | None,
        times: int = 1,
    ) -> Output:
        """Run, send it a signal, and read what it has written to the end, as a loader would.

        Args:
            streams: The streams to select.
            state: Of the run before.
            signum: The signal.
            when: Sends it after the first line for which this is true; None: as soon as the tap
                waits for the pipe to be read.
            times: How often it is sent.
        """
        output = Output()
        with self._running(streams, state) as process:
            if when is None:
                _wait_until_full(process)
            else:
                output.read(process, until=when)
            for _ in range(times):
                process.send_signal(signum)
                if signum != signal.SIGKILL:
                    time.sleep(_DELIVERY)
            output.read(process)
        return self._ended(output, process)

    @contextmanager
    def _running(
        self, streams: Sequence[str] | None, state: Mapping[str, object] | None
    ) -> Iterator[subprocess.Popen[bytes]]:
        command = [str(COMMAND), "--config", str(self.config)]
        if streams is not None:
            command += ["--catalog", str(self._file("catalog", catalog(streams)))]
        if state is not None:
            command += ["--state", str(self._file("state", state))]
        with (
            self._log.open("wb") as errors,
            subprocess.Popen(
                command,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
            ) as process,
        ):
            try:
                yield process
            except BaseException:
                process.kill()
                raise

    def _ended(self, output: Output, process: subprocess.Popen[bytes]) -> Output:
        output.code = process.returncode
        output.errors = self._log.read_text(encoding="utf-8")
        return output

    @property
    def _log(self) -> Path:
        return self._directory / "stderr"

    def _file(self, name: str, content: Mapping[str, object]) -> Path:
        path = self._directory / f"{name}.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        return path


def settings_for(stripe: FakeStripe) -> dict[str, object]:
    """A configuration for the project's own server."""
    return {"live_api_key": stripe.secret_key, "api_base": stripe.url, **UNPACED}


def catalog(streams: Sequence[str]) -> dict[str, Any]:
    """The tap's catalog with only some streams, which are selected."""
    wanted = set(streams)  # the tap reads a small catalog in a third of the time
    found = [each for each in _discovered()["streams"] if each["tap_stream_id"] in wanted]
    selected = deepcopy({"streams": found})
    assert select(selected, streams) == len(streams), "there is no such stream"
    return selected


@cache
def _discovered() -> dict[str, list[dict[str, object]]]:
    discovery = subprocess.run(
        [str(COMMAND), "--discover"], env=_environ(), capture_output=True, check=True
    )
    found: dict[str, list[dict[str, object]]] = json.loads(discovery.stdout)
    return found


def _environ() -> dict[str, str]:
    """The environment of the tap: no proxy may stand before a server on loopback."""
    inherited = {name: os.environ[name] for name in os.environ if name != "PYTHONUNBUFFERED"}
    return {**inherited, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}


def _wait_until_full(process: subprocess.Popen[bytes]) -> None:
    """Wait until the process can't write on: what its pipe holds, near capacity, stays the same."""
    assert process.stdout is not None
    capacity = fcntl.fcntl(process.stdout, fcntl.F_GETPIPE_SZ)
    before, held = 0, array("i", [0])
    while held[0] < capacity // 2 or held[0] != before:
        assert process.poll() is None, "the run ended before"
        before = held[0]
        time.sleep(_STANDSTILL)
        fcntl.ioctl(process.stdout, termios.FIONREAD, held)
