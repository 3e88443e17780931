"""Meltano itself, and projects that it works in."""

from __future__ import annotations

import fcntl
import json
import re
import shlex
import shutil
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pexpect

from tests.end_to_end.environments import environment
from tests.end_to_end.tap import UNPACED, catalog
from tools.environments import CHECKOUT, HOME, uv_environ

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.end_to_end.tap import Row
    from tests.fake_stripe import FakeStripe

MELTANO = "meltano==4.4.1"

PACKAGE = ("LICENSE", "README.md", "pyproject.toml", "tap_stripe_conn")
"""What of the checkout `pip_url: -e .` needs."""


CLONE = "/path/to/tap-stripe-conn"
"""The checkout, as people's commands name it."""

_HEAD = re.compile(r"^\S+Z \[\w+ *\] \S+ +")
"""Time, level and who speaks."""

_PATIENCE = 60
"""Seconds for a prompt, on a busy machine."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a person at the terminal has seen."""

    code: int
    stdout: str
    log: str
    """Stderr."""

    @property
    def lines(self) -> list[str]:
        """The log, without times and levels, and without how to get help with Meltano."""
        lines = [_HEAD.sub("", line) for line in self.log.strip().splitlines()]
        return [line for line in lines if not line.startswith("Need help")]

    def log_from(self, beginning: str) -> list[str]:
        """The log's lines from the last one on that begins like this."""
        lines = self.lines
        starts = [number for number, line in enumerate(lines) if line.startswith(beginning)]
        assert starts, self.log
        return lines[starts[-1] :]


@dataclass(slots=True)
class Project:
    """A directory with a meltano.yml."""

    path: Path
    settings: dict[str, str] = field(default_factory=dict)
    """Environment variables."""

    def connect(self, stripe: FakeStripe, key: str | None = None) -> None:
        """Let the tap read the project's own server."""
        settings = {"live_api_key": key or stripe.secret_key, "api_base": stripe.url, **UNPACED}
        self.settings = {
            f"TAP_STRIPE_CONN_{name.upper()}": str(settings[name]) for name in settings
        }

    def narrow(self, *streams: str) -> None:
        """Give Meltano a catalog of these: for all of them, it takes seconds in each run."""
        (self.path / "catalog.json").write_text(json.dumps(catalog(streams)), "utf-8")
        self.settings["TAP_STRIPE_CONN__CATALOG"] = "catalog.json"

    def run(self, command: str) -> Shown:
        """Run `meltano` to its end; `command` is what follows."""
        with self._started(command) as process:
            stdout, log = process.communicate()
        return Shown(process.returncode, stdout, log)

    def interrupted(self, command: str, signum: signal.Signals, when: Callable[[], bool]) -> Shown:
        """Run `meltano` and send it a signal when it is time."""
        with self._started(command) as process:
            while not when():
                assert process.poll() is None, "the run ended before"
                time.sleep(0.05)
            process.send_signal(signum)
            stdout, log = process.communicate()
        return Shown(process.returncode, stdout, log)

    @contextmanager
    def at_a_terminal(self, command: str) -> Iterator[pexpect.spawn[str]]:
        """Run `meltano` where somebody can answer; it has to succeed."""
        screen = pexpect.spawn(
            str(environment(MELTANO) / "meltano"),
            shlex.split(command),
            cwd=str(self.path),
            env=dict(self.environ),
            encoding="utf-8",
            timeout=_PATIENCE,
            dimensions=(50, 400),
        )
        try:
            yield screen
            screen.expect_exact(pexpect.EOF)
        finally:
            screen.close(force=True)
        assert screen.exitstatus == 0

    def replace(self, text: str, other: str) -> None:
        """Edit meltano.yml."""
        file = self.path / "meltano.yml"
        before = file.read_text("utf-8")
        assert text in before
        file.write_text(before.replace(text, other.replace(CLONE, str(CHECKOUT))), "utf-8")

    def rows(self, stream: str) -> list[Row]:
        """What target-jsonl wrote."""
        file = self.path / "output" / f"{stream}.jsonl"
        return [json.loads(line) for line in file.read_text("utf-8").splitlines()]

    def bookmarks(self, shown: Shown) -> dict[str, Any]:
        """What `state get` says of each stream."""
        bookmarks: dict[str, Any] = json.loads(shown.stdout)["singer_state"]["bookmarks"]
        return bookmarks

    @contextmanager
    def _started(self, command: str) -> Iterator[subprocess.Popen[str]]:
        with subprocess.Popen(
            [
                str(environment(MELTANO) / "meltano"),
                *shlex.split(command.replace(CLONE, str(CHECKOUT))),
            ],
            cwd=self.path,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            except BaseException:
                process.kill()
                raise

    @property
    def environ(self) -> Mapping[str, str]:
        """Meltano's environment: what concerns this project comes from it alone."""
        inherited = {
            name: value
            for name, value in uv_environ(self.path).items()
            if not name.startswith(("MELTANO", "TAP_", "TARGET_"))
            # Meltano's own uv installs into environments that Meltano names.
            and name not in {"PYTHONUNBUFFERED", "UV_PROJECT_ENVIRONMENT", "UV_PYTHON"}
        }
        return {
            **inherited,
            "MELTANO_SEND_ANONYMOUS_USAGE_STATS": "false",
            "NO_COLOR": "1",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
            **self.settings,
        }


@contextmanager
def project_of_the_checkout() -> Iterator[Project]:
    """A project with the checkout's meltano.yml, new but for what was installed in it before."""
    with _fresh("meltano-project", kept=".meltano") as project:
        for name in PACKAGE:
            (project.path / name).symlink_to(CHECKOUT / name)
        shutil.copy(CHECKOUT / "meltano.yml", project.path)
        installed = project.path / ".meltano"
        shutil.rmtree(installed / "run", ignore_errors=True)
        (installed / "meltano.db").unlink(missing_ok=True)
        yield project


@contextmanager
def project_of_somebody() -> Iterator[Project]:
    """A project without plugins."""
    with _fresh("meltano-project-of-somebody") as project:
        (project.path / "meltano.yml").write_text(
            "default_environment: dev\nenvironments:\n- name: dev\n"
        )
        yield project


@contextmanager
def _fresh(name: str, kept: str = "") -> Iterator[Project]:
    """A directory at a place that stays the same, so that bytecode counts from run to run."""
    path = HOME / "end-to-end" / name
    path.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for entry in path.iterdir():
            if entry.name == kept:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        yield Project(path)
