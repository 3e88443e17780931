"""uv, brought along by pip, and the environments that it makes from this checkout.

It needs a Python with pip and nothing else: no venv module, no root, no uv on the machine.
"""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
HOME = CHECKOUT / ".quickstart"
"""Everything that these commands make, but for the development environment in `.venv`."""

UV_VERSION = "0.13.9"


class CommandError(Exception):
    """A failure as the one line that its reader needs."""


def uv() -> Path:
    """Give uv's executable, installed on first use.

    Raises:
        CommandError: This Python has no pip, or pip could not install uv.
    """
    target = HOME / "uv"
    executable = target / "bin" / "uv"
    if executable.exists() and (target / f"uv-{UV_VERSION}.dist-info").exists():
        return executable
    # `--target` is allowed where the system's Python is marked as externally managed (Debian).
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--upgrade", "--no-deps", "--target", str(target), f"uv=={UV_VERSION}"]
    pip = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0"},
    )
    if pip.returncode:
        reason = last_line(pip.stderr) or f"pip ended with exit code {pip.returncode}"
        if "No module named pip" in reason:
            reason = f"{sys.executable} has no pip (Debian and Ubuntu: apt install python3-pip)"
        msg = f"uv {UV_VERSION} could not be installed: {reason}"
        raise CommandError(msg)
    return executable


def uv_environ(environment: Path) -> dict[str, str]:
    """Give the environment variables with which uv works in `environment`, and with this Python."""
    environ = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    environ |= {
        "UV_NO_PROGRESS": "1",
        "UV_PROJECT_ENVIRONMENT": str(environment),
        "UV_PYTHON": sys.executable,
        "UV_PYTHON_DOWNLOADS": "never",
    }
    # pip trusts the system's certificates where there are any, a company's own among them.
    if any(Path(ssl.get_default_verify_paths().capath or os.devnull).glob("*")):
        environ.setdefault("UV_SYSTEM_CERTS", "1")
    # Without a home of its own (a bare CI user) uv has no place for its cache.
    if not os.access(Path("~").expanduser(), os.W_OK):
        environ.setdefault("UV_CACHE_DIR", str(HOME / "cache"))
    return environ


def last_line(text: str) -> str:
    """Give the last line of a command's output that says something."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def where(path: Path) -> str:
    """Give a path as the person in the checkout writes it."""
    return str(path.relative_to(CHECKOUT) if path.is_relative_to(CHECKOUT) else path)
