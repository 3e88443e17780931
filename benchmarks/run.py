"""One run: a server, the tap and its target, each a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, cast

from benchmarks.figures import Process, figures
from benchmarks.report import Report
from benchmarks.scenarios import SCENARIOS
from tools.environments import HOME

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from benchmarks.scenarios import Scenario

COMMAND: Final = Path(sys.executable).with_name("tap-stripe-conn")
ROOT: Final = Path(__file__).parents[1]

MEMORY: Final = Path("/dev/shm")  # noqa: S108 - only a directory below it is used
"""Where files are kept in memory, on Linux: no disk slows the tap down."""

OTHERS_BEFORE: Final = 2.0
"""Seconds that somebody else uses the account before the tap does."""

TIMED_OUT: Final = b"within the time allowed"
"""What the tap's log says of a request that was given up."""


def run(name: str, *, faults: bool = False) -> tuple[dict[str, float], int]:
    """The figures of one run of a scenario, and the tap's exit code."""
    scenario = SCENARIOS[name]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=_place())))
        arguments = [name, *(["--faults"] if faults else [])]
        server = stack.enter_context(_module("server", arguments))
        ready = _answer(server)
        if scenario.others_rate:
            arguments = [ready["url"], str(scenario.others_rate)]
            others = stack.enter_context(_module("others", arguments))
            _tell(others, ready["key"])
            time.sleep(OTHERS_BEFORE)
        noted = folder / "noted"
        if scenario.hour:
            _tap(scenario, ready, folder, noted)
            _tell(server, "an hour passes")
            _answer(server)
        process = _tap(scenario, ready, folder, noted)
        _tell(server, str(noted))
        report = Report(**_answer(server))
    return figures(scenario, report, process), process.code


def compile_once() -> None:
    """Run the tap for its version alone: its modules are compiled then."""
    subprocess.run(  # noqa: S603 - our own command
        [COMMAND, "--version"], env=_environ(), stdout=subprocess.DEVNULL, check=True
    )


def _tap(scenario: Scenario, ready: dict[str, Any], folder: Path, noted: Path) -> Process:
    """Run the tap, and have its rows noted: while it runs where the target has a pace.

    What it writes goes below what it wrote before, with whose last state it runs.
    """
    config = {"live_api_key": ready["key"], "api_base": ready["url"], **scenario.settings}
    command = [str(COMMAND), "--config", _written(folder / "config.json", config)]
    if scenario.lists:
        command += ["--catalog", _written(folder / "catalog.json", _catalog(scenario.lists))]
    messages = folder / "messages"
    if messages.exists():
        command += ["--state", _written(folder / "state.json", _state(messages))]
    log = folder / "log"
    with log.open("wb") as errors:
        if scenario.target_rate is None:
            with messages.open("ab") as output:
                process = _measured(command, output, errors, log)
            with messages.open("rb") as lines, _target(scenario, noted, stdin=lines) as target:
                target.wait()
        else:
            with _target(scenario, noted, stdin=subprocess.PIPE) as target:
                pipe = cast("IO[bytes]", target.stdin)
                process = _measured(command, pipe, errors, log)
                pipe.close()
                target.wait()
    if target.returncode:
        msg = f"the target ended with exit code {target.returncode}"
        raise RuntimeError(msg)
    if process.code:
        sys.stderr.write(log.read_text(encoding="utf-8", errors="replace"))
    return process


def _measured(command: list[str], output: IO[bytes], errors: IO[bytes], log: Path) -> Process:
    started, began = time.time(), time.monotonic()
    with subprocess.Popen(  # noqa: S603 - our own command
        command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, env=_environ()
    ) as tap:
        try:
            _, status, used = os.wait4(tap.pid, 0)
        except BaseException:
            tap.kill()
            raise
        seconds = time.monotonic() - began
        tap.returncode = os.waitstatus_to_exitcode(status)
    return Process(
        started=started,
        seconds=seconds,
        cpu_seconds=used.ru_utime + used.ru_stime,
        peak_rss=used.ru_maxrss * _MAXRSS_UNIT / 1e6,
        timeouts=log.read_bytes().count(TIMED_OUT),
        code=tap.returncode,
    )


_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes in what the operating system counts memory in."""


def _target(
    scenario: Scenario, noted: Path, *, stdin: IO[bytes] | int
) -> AbstractContextManager[subprocess.Popen[bytes]]:
    rate = scenario.target_rate
    arguments = [str(noted), *(["--rate", str(rate)] if rate is not None else [])]
    if scenario.hour:
        arguments.append("--contents")
    return _module("target", arguments, stdin=stdin)


@contextmanager
def _module(
    name: str, arguments: Sequence[str], *, stdin: IO[bytes] | int = subprocess.PIPE
) -> Iterator[subprocess.Popen[bytes]]:
    """A module of this package as a process, which is ended with the block."""
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    with subprocess.Popen(  # noqa: S603 - our own command
        command, stdin=stdin, stdout=subprocess.PIPE, cwd=ROOT, env=_environ()
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _tell(process: subprocess.Popen[bytes], line: str) -> None:
    pipe = cast("IO[bytes]", process.stdin)
    pipe.write(line.encode() + b"\n")
    pipe.flush()


def _answer(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    line = cast("IO[bytes]", process.stdout).readline()
    if not line:
        msg = "the server ended without an answer"
        raise RuntimeError(msg)
    return cast("dict[str, Any]", json.loads(line))


def _place() -> Path | None:
    return MEMORY if os.access(MEMORY, os.W_OK) else None


def _environ() -> dict[str, str]:
    """The environment of the processes: no proxy may stand before a server on loopback.

    Modules are compiled once, as where pip has installed the tap, be it that none may lie compiled
    beside the source.
    """
    environ = {**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    if environ.pop("PYTHONDONTWRITEBYTECODE", None):
        environ.setdefault("PYTHONPYCACHEPREFIX", str(HOME / "bytecode"))
    return environ


def _written(path: Path, content: object) -> str:
    path.write_text(json.dumps(content), encoding="utf-8")
    return str(path)


def _state(messages: Path) -> object:
    """The last one that was written."""
    with messages.open("rb") as lines:
        states = [line for line in lines if line.startswith(b'{"type":"STATE"')]
    return json.loads(states[-1])["value"]


def _catalog(names: Iterable[str]) -> dict[str, object]:
    metadata = [{"breadcrumb": [], "metadata": {"selected": True}}]
    return {
        "streams": [
            {"tap_stream_id": name, "stream": name, "schema": {}, "metadata": metadata}
            for name in names
        ]
    }
