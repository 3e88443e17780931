"""The ledger's file: an SQLite database, one for each connection."""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from tap_stripe_conn.config import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FORMAT: Final = 1
_APPLICATION: Final = 0x53_54_43_4C
_PATIENCE: Final = 30.0
"""Seconds to wait for another run that writes the same file."""

_OWNER_ONLY: Final = 0o600

_TABLES: Final = """
CREATE TABLE about (account TEXT, mode TEXT, runs INTEGER NOT NULL);
INSERT INTO about VALUES (NULL, NULL, 0);
CREATE TABLE stream (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    first_run INTEGER NOT NULL,
    read_run INTEGER NOT NULL,
    spans TEXT NOT NULL,
    is_whole INTEGER NOT NULL,
    known_until INTEGER,
    unknown TEXT NOT NULL
);
CREATE TABLE told (
    stream INTEGER, key TEXT, place INTEGER, hash INTEGER, run INTEGER,
    PRIMARY KEY (stream, key)
) WITHOUT ROWID;
CREATE TABLE recent (stream INTEGER, key TEXT, place INTEGER, hash INTEGER, run INTEGER);
"""
"""`recent` takes rows as fast as they leave; a run that ends well sorts them into `told`.

`place` is the creation time, or of a child a number for its parent; `hash` is null for a row that
was told as deleted; what a run before `first_run` told is forgotten. The whole read that is under
way, or the last, was begun by `read_run`. What has happened up to `known_until` is told, but within
the `unknown` spans by runs that kept no ledger.
"""


def open_file(
    path: Path, *, account: str | None, mode: str | None, create: bool = True
) -> sqlite3.Connection:
    """Open the file of a connection.

    Args:
        path: Of the file, on a disk of this machine.
        account: The account that is read; None where it isn't known.
        mode: `live` or `test`; None where it isn't known.
        create: Whether to begin one where there is none.

    Raises:
        ConfigError: There is none, it is no ledger, or another connection's.
    """
    if not create and not path.exists():
        msg = f"There is no ledger {path} yet: a run with the setting 'ledger_file' begins it"
        raise ConfigError(msg)
    with explained(path):
        connection = _connected(path)
        try:
            _prepare(path, connection)
            _see_whose_it_is(path, connection, account, mode)
        except BaseException:
            connection.close()
            raise
    return connection


def _connected(path: Path) -> sqlite3.Connection:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, _OWNER_ONLY))
    except OSError as error:
        msg = f"Ledger {path} can't be opened: {error.strerror}"
        raise ConfigError(msg) from None
    return sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None)


def _prepare(path: Path, connection: sqlite3.Connection) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables and application != _APPLICATION:
        msg = f"{path} is not a ledger but something else: name another file in 'ledger_file'"
        raise ConfigError(msg)
    if version > FORMAT:
        msg = f"Ledger {path} was begun by a newer version of the tap: update it"
        raise ConfigError(msg)
    if not tables:
        # The first must come before anything is in the file.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    # After a crash of the tap nothing is lost that was committed; of the machine, the last seconds.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    if not tables:
        connection.executescript(
            f"BEGIN IMMEDIATE; {_TABLES} PRAGMA application_id = {_APPLICATION};"
            f"PRAGMA user_version = {FORMAT}; COMMIT"
        )


def _see_whose_it_is(
    path: Path, connection: sqlite3.Connection, account: str | None, mode: str | None
) -> None:
    known = connection.execute("SELECT account, mode FROM about").fetchone()
    given = (account, mode)
    for old, new in zip(known, given, strict=True):
        if old and new and old != new:
            whose = " in ".join(str(each) for each in known if each)
            ours = " in ".join(str(each) for each in given if each)
            msg = f"Ledger {path} is of {whose} mode, not of {ours} mode: name another file"
            raise ConfigError(msg)
    if known != (known[0] or account, known[1] or mode):
        connection.execute(
            "UPDATE about SET account = coalesce(account, ?), mode = coalesce(mode, ?)", given
        )


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """While the file is used.

    Raises:
        ConfigError: It can't be, or it is no ledger.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        msg = f"Ledger {path} can't be used: {error}"
        raise ConfigError(msg) from None
    except sqlite3.DatabaseError as error:
        msg = f"{path} is not a ledger, or a damaged one ({error}): name another file, or remove it"
        raise ConfigError(msg) from None
