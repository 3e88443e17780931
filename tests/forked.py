"""The tap's command, each time in a process of its own that need not import it anew.

Python takes half a second to import the tap with all that it stands on. A server process does it
once, and forks; what is forked begins as the command does.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PATIENCE = 120.0
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tap_stripe_conn.tap"])


class Done(NamedTuple):
    """What a process left."""

    code: int
    stdout: str
    stderr: str


def run(command: Sequence[str], folder: Path, environ: Mapping[str, str]) -> Done:
    """Run `tap-stripe-conn`.

    Args:
        command: The script and its arguments.
        folder: To run it in.
        environ: Its environment variables, all of them.

    Raises:
        TimeoutError: It does not end.
    """
    with tempfile.TemporaryDirectory() as outputs:
        out, err = Path(outputs) / "out", Path(outputs) / "err"
        process = _FORKS.Process(
            target=_become, args=([*command], folder, dict(environ), str(out), str(err))
        )
        process.start()
        process.join(_PATIENCE)
        if process.exitcode is None:
            process.kill()
            process.join()
            msg = f"{command} does not end: {err.read_text()}"
            raise TimeoutError(msg)
        done = Done(process.exitcode, out.read_text(), err.read_text())
        process.close()
        return done


def _become(command: list[str], folder: Path, environ: dict[str, str], out: str, err: str) -> None:
    for number, path in ((1, out), (2, err)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environ)
    sys.argv = command
    from tap_stripe_conn.tap import TapStripeConn  # noqa: PLC0415 - imported by the server before

    TapStripeConn.cli()
