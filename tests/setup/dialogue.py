"""`tap-stripe-conn-setup` as its users meet it: at a terminal, or with nobody there."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pexpect
import requests
from click.testing import CliRunner

from tap_stripe_conn.setup.command import command

COMMAND = str(Path(sys.executable).with_name("tap-stripe-conn-setup"))
UNPACED = {"requests_per_second": 100_000.0, "endpoint_requests_per_second": 100_000.0}
"""Settings with which no test waits for the limiter."""

PATIENCE = 20
"""Seconds for a prompt, on a busy machine."""


@dataclass(frozen=True)
class Room:
    """The directories that one run of the command can write to."""

    path: Path

    @property
    def project(self) -> Path:
        """Where it is started."""
        return self.path / "project"

    @property
    def state(self) -> Path:
        """The user's state directory."""
        return self.path / "state"

    @property
    def config(self) -> dict[str, Any]:
        """What was saved, but for what only makes tests quick."""
        config: dict[str, Any] = json.loads((self.project / "config.json").read_text("utf-8"))
        return {name: value for name, value in config.items() if name not in UNPACED}

    @property
    def files(self) -> set[str]:
        """All that it left, locks aside."""
        return {
            str(file.relative_to(self.path))
            for file in self.path.rglob("*")
            if file.is_file() and file.suffix != ".lock"
        }

    @property
    def kept(self) -> dict[str, Any]:
        """The tokens of the only file of them."""
        (file,) = self.state.rglob("*.json")
        (grant,) = json.loads(file.read_text("utf-8"))["grants"]
        token: dict[str, Any] = grant["token"]
        return token

    def environment(self, **variables: str) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if "STRIPE" not in name}
        own.pop("BROWSER", None)
        return {
            **own,
            "HOME": str(self.path),
            "XDG_STATE_HOME": str(self.state),
            "TMPDIR": str(self.path / "tmp"),
            "TERM": "dumb",
            "NO_PROXY": "localhost,127.0.0.1",
            **{f"TAP_STRIPE_CONN_{name.upper()}": str(rate) for name, rate in UNPACED.items()},
            **variables,
        }


class Dialogue:
    """A run at a pseudo-terminal, and everything that was on the screen."""

    def __init__(self, room: Room, *options: str, **variables: str) -> None:
        self._screen = io.StringIO()
        self.process = pexpect.spawn(
            COMMAND,
            list(options),
            cwd=str(room.project),
            env=room.environment(**variables),
            encoding="utf-8",
            codec_errors="replace",
            timeout=PATIENCE,
            dimensions=(50, 400),
        )
        self.process.logfile_read = self._screen
        self.process.delaybeforesend = None  # `answer` has waited for the prompt

    @property
    def screen(self) -> str:
        return self._screen.getvalue()

    def see(self, text: str) -> None:
        """Wait until this is on the screen."""
        self.process.expect_exact(text)

    def answer(self, question: str, text: str) -> None:
        """Wait for a question and type."""
        self.see(question)
        self.see(": ")
        self.process.sendline(text)

    def type_bytes(self, question: str, typed: bytes) -> None:
        """Wait for a question and type what need not be text."""
        self.see(question)
        self.see(": ")
        os.write(self.process.child_fd, typed + b"\n")

    def press(self, question: str, key: str) -> None:
        """Wait for a question and press Ctrl and a key."""
        self.see(question)
        self.see(": ")
        self.process.sendcontrol(key)

    def link(self) -> str:
        """The address of Stripe's page."""
        self.process.expect(r"consent:\r\n  (http\S+)\r\n")
        assert isinstance(self.process.match, re.Match)
        return str(self.process.match[1])

    def ended(self) -> int:
        """Wait for the end; the exit code."""
        self.process.expect_exact(pexpect.EOF)
        self.process.close()
        assert self.process.exitstatus is not None
        return int(self.process.exitstatus)

    @property
    def last_line(self) -> str:
        return self.screen.splitlines()[-1]


@dataclass(frozen=True)
class Unattended:
    """What a run without a terminal left."""

    code: int
    stdout: str
    stderr: str

    @property
    def last_line(self) -> str:
        return self.stderr.splitlines()[-1]


def run(room: Room, *options: str, **variables: str) -> Unattended:
    """The command without a terminal, in this process, to its end."""
    environment = room.environment(**variables)
    removed = dict.fromkeys(os.environ.keys() - environment.keys())
    before = Path.cwd()
    os.chdir(room.project)
    try:
        result = CliRunner(env={**environment, **removed}).invoke(command(), list(options))
    finally:
        os.chdir(before)
    return Unattended(result.exit_code, result.stdout, result.stderr)


def start(room: Room, *options: str, **variables: str) -> subprocess.Popen[str]:
    """The command without a terminal, as a process of its own."""
    return subprocess.Popen(  # noqa: S603 - our own command
        [COMMAND, *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=room.project,
        env=room.environment(**variables),
    )


def ended(process: subprocess.Popen[str]) -> Unattended:
    """What a process of its own left."""
    with process:
        stdout, stderr = process.communicate(timeout=60)
    return Unattended(process.returncode, stdout, stderr)


def browse(link: str) -> requests.Response:
    """What the account owner's browser ends at, when the owner has decided."""
    return requests.get(link, timeout=10)


def led_to(link: str) -> str:
    """The address that Stripe leads a browser to that is on another machine."""
    answer = requests.get(link, timeout=10, allow_redirects=False)
    assert answer.status_code == 302
    return answer.headers["Location"]


def link_in(process: subprocess.Popen[str]) -> str:
    """The address of Stripe's page, on stderr."""
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.match(r"  (http\S+)$", line):
            return found[1]
    msg = "no link was printed"
    raise AssertionError(msg)
