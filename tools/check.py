"""Run what CI runs: install the locked environment, lint, type check, build the docs and test.

`python3 tools/check.py [PYTEST ARGUMENTS]`: any Python from 3.10 on, with pip. The first step that
fails ends it, with that step's exit code.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tools.environments import CHECKOUT, CommandError, uv, uv_environ

VENV = CHECKOUT / ".venv"


def main(pytest_arguments: list[str]) -> int:
    """Run every step and give the exit code."""
    try:
        installer = str(uv())
    except CommandError as error:
        print(f"check: {error}", file=sys.stderr)
        return 1
    scripts = VENV / "bin"
    steps = [
        [installer, "sync", "--frozen"],
        [installer, "pip", "check", "--python", str(scripts / "python")],
        [str(scripts / "ruff"), "check"],
        [str(scripts / "ruff"), "format", "--check"],
        [str(scripts / "mypy")],
        [str(scripts / "python"), "-m", "tools.website"],
        # Last, and nothing after it: its closing line is this command's. Side by side, because
        # most of its time goes to starting commands; by file, because some share a database; in the
        # tests' own order, which begins with what takes longest.
        [
            str(scripts / "pytest"),
            "--numprocesses=auto",
            "--dist=loadfile",
            "--no-loadscope-reorder",
            *pytest_arguments,
        ],
    ]
    return next((code for code in map(_run, steps) if code), 0)


def _run(command: list[str]) -> int:
    name, *arguments = command
    print(f"$ {shlex.join([Path(name).name, *arguments])}", flush=True)
    try:
        code = subprocess.run(
            command, cwd=CHECKOUT, env=uv_environ(VENV), stdin=subprocess.DEVNULL, check=False
        ).returncode
    except OSError as error:
        print(f"check: {name} cannot be run: {error.strerror}", file=sys.stderr)
        return 1
    if code and Path(name).name != "pytest":
        print(f"check: {Path(name).name} failed with exit code {code}", file=sys.stderr)
    return code


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
