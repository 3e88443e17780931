"""What the target was last told of each row: a file that `--verify` compares Stripe with.

Rows are written down after they have left and before the STATE that covers them, in one transaction
with the spans of creation time that are told. So the file may know of rows that no STATE covers,
which the next run tells again; and where it lost something, it lost the span with it.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
from array import array
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from singer_sdk.singerlib.catalog import REPLICATION_INCREMENTAL

from tap_stripe_conn.api.lists import Range, newest_first
from tap_stripe_conn.config import ConfigError
from tap_stripe_conn.streams.bookmarks import Bookmark

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from tap_stripe_conn.catalogue.resources import Resource
    from tap_stripe_conn.streams.rows import Row
    from tap_stripe_conn.streams.stream import StripeStream

DELETED_AT: Final = "_sdc_deleted_at"
"""Column that says since when a row is gone."""

MADE_ANEW: Final = frozenset({"hosted_invoice_url", "invoice_pdf", "receipt_url"})
"""Columns with a signed link, which Stripe makes anew each time it is asked."""

FORMAT: Final = 1
_APPLICATION: Final = 0x53_54_43_4C
_DIGEST: Final = 6
"""Bytes of a content hash: of 1,000 rows that changed, one in 10^11 goes unnoticed."""

_PATIENCE: Final = 30.0
"""Seconds to wait for another run that writes the same file."""

_AT_ONCE: Final = 500
"""Values in one SQL statement; old versions of SQLite take 999."""

_OWNER_ONLY: Final = 0o600

_TABLES: Final = """
CREATE TABLE about (account TEXT, mode TEXT, runs INTEGER NOT NULL);
INSERT INTO about VALUES (NULL, NULL, 0);
CREATE TABLE stream (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    first_run INTEGER NOT NULL,
    spans TEXT NOT NULL,
    is_whole INTEGER NOT NULL
);
CREATE TABLE told (
    stream INTEGER, key TEXT, place INTEGER, hash INTEGER, run INTEGER,
    PRIMARY KEY (stream, key)
) WITHOUT ROWID;
CREATE TABLE recent (stream INTEGER, key TEXT, place INTEGER, hash INTEGER, run INTEGER);
"""
"""`recent` takes rows as fast as they leave; a run that ends well sorts them into `told`.

`place` is the creation time, or of a child a number for its parent; `hash` is null for a row that
was told as deleted; what a run before `first_run` told is forgotten.
"""

_SETTLE: Final = """
INSERT INTO told SELECT stream, key, place, hash, run FROM recent
WHERE true ORDER BY stream, key, rowid
ON CONFLICT (stream, key) DO UPDATE SET
    place = coalesce(excluded.place, place), hash = excluded.hash, run = excluded.run
"""

_FORGET: Final = """
DELETE FROM told WHERE run < (SELECT first_run FROM stream WHERE id = told.stream)
"""

_KNOWN: Final = "FROM told JOIN stream ON id = told.stream WHERE name = ? AND run >= first_run "

logger = logging.getLogger(__name__)

_encode = msgspec.json.Encoder(order="deterministic").encode


class Entry(NamedTuple):
    """A row, as the ledger has it."""

    stream: int
    key: str
    place: int | None
    hash: int | None
    run: int


@dataclass(frozen=True)
class Coverage:
    """What of a stream was told while the ledger was kept."""

    spans: Sequence[Range] = ()
    """Of creation time, newest first."""

    is_whole: bool = False
    """Whether rows that have no such time were told, too."""


@dataclass
class _Account:
    """One stream's page of the ledger."""

    id: int
    first_run: int
    coverage: Coverage
    before: Sequence[Range] = ()
    """What was told before this run, be it with a ledger or without one."""

    may_be_whole: bool = False
    seen: object = None
    """The state that was looked at last."""


class Ledger:
    """An open ledger."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        """Take an open file, as `open_ledger` does."""
        self._path = path
        self._connection = connection
        self._run = 0
        self._accounts: dict[str, _Account] = {}
        self._unwritten: list[Entry] = []
        self._has_forgotten = False
        self._is_kept = True

    def close(self) -> None:
        """Leave the file; what was not kept is lost."""
        self._connection.close()

    # A run

    def begin(self, streams: Iterable[StripeStream], state: Mapping[str, Any]) -> None:
        """Begin to keep what a run tells.

        A stream that is read from the beginning is told to a target of which nothing is known: what
        the ledger has of it is forgotten.

        Raises:
            ConfigError: The file can't be written.
        """
        streams = list(streams)
        bookmarks: Mapping[str, Any] = state.get("bookmarks", {})
        afresh = not bookmarks and any(_is_incremental(stream) for stream in streams)
        with _explained(self._path), self._transaction() as connection:
            connection.execute("UPDATE about SET runs = runs + 1")
            (self._run,) = connection.execute("SELECT runs FROM about").fetchone()
            for stream in streams:
                name, bookmark = stream.name, bookmarks.get(stream.name) or {}
                account = self._account(name)
                if afresh or (_is_incremental(stream) and not bookmark):
                    self._has_forgotten |= bool(account.coverage.spans)
                    account.first_run, account.coverage = self._run, Coverage()
                account.before = spans_told(name, bookmark, incremental=_is_incremental(stream))
                account.may_be_whole = not stream.resource.incremental and (
                    account.coverage.is_whole or not bookmark
                )
                account.seen = bookmarks.get(name)
                self._accounts[name] = account
                self._write(account)

    def entries(self, resource: Resource, rows: Iterable[Row]) -> list[Entry]:
        """What to keep of rows that are about to leave, in the form that `RowShaper` gives them."""
        account = self._accounts[resource.name]
        keys, run = resource.primary_key, self._run
        return [
            Entry(
                account.id,
                key_of(row, keys),
                place_of(row, resource),
                None if row.get(DELETED_AT) is not None else hash_of(row),
                run,
            )
            for row in rows
        ]

    def told(self, entries: Iterable[Entry]) -> None:
        """Those rows have left."""
        if self._is_kept:
            self._unwritten += entries

    def keep(self, state: Mapping[str, Any]) -> None:
        """Write down what was told; to be called before a STATE message leaves.

        Args:
            state: What that message will say.
        """
        bookmarks: Mapping[str, Any] = state.get("bookmarks", {})
        extended = [
            account
            for name, account in self._accounts.items()
            if (bookmark := bookmarks.get(name)) and self._extend(name, account, bookmark)
        ]
        self._put_down(extended)

    def finish(self, read_whole: Iterable[str], span: Range) -> None:
        """The run has ended well.

        Args:
            read_whole: Names of the streams that were read to their end.
            span: Of creation time: what was read of those that have no bookmark.
        """
        whole = [self._accounts[name] for name in read_whole if self._accounts[name].may_be_whole]
        for account in whole:
            account.coverage = Coverage([span], is_whole=True)
        self._put_down(whole)
        try:
            if self._is_kept:
                self.settle()
        except ConfigError as error:
            logger.warning("%s", error)

    def replaced(self, name: str) -> None:
        """The target drops what this run has not told of a stream: an ACTIVATE_VERSION has left."""
        account = self._accounts[name]
        account.first_run, self._has_forgotten = self._run, True
        self._put_down([account])

    # For those who compare

    def coverage(self, stream: str) -> Coverage:
        """What was told of a stream."""
        with _explained(self._path):
            return self._account(stream).coverage

    def hashes(self, stream: str, keys: Sequence[str]) -> dict[str, int | None]:
        """Of those rows that were told: their content's hash; None if told as deleted."""
        found: dict[str, int | None] = {}
        with _explained(self._path):
            for part in _in_parts(keys):
                sql = f"SELECT key, hash {_KNOWN} AND key IN ({_marks(part)})"
                found.update(self._connection.execute(sql, (stream, *part)))
        return found

    def places(self, stream: str) -> array[int]:
        """Creation times of the rows that were told and not deleted, ascending."""
        sql = f"SELECT place {_KNOWN} AND hash NOT NULL AND place NOT NULL ORDER BY place"
        with _explained(self._path):
            return array("q", (place for (place,) in self._connection.execute(sql, (stream,))))

    def created_within(self, stream: str, spans: Sequence[Range]) -> set[str]:
        """Keys of the rows created then that were told and not deleted."""
        found: set[str] = set()
        for span in spans:
            found.update(key for key, _ in self._live(stream, "place >= ? AND place < ?", span))
        return found

    def children_of(self, stream: str, parents: Sequence[str]) -> dict[str, str]:
        """Rows that were told as children of those, and not as deleted: key -> parent."""
        by_number = {number_of(parent): parent for parent in parents}
        return {
            key: by_number[place]
            for part in _in_parts(list(by_number))
            for key, place in self._live(stream, f"place IN ({_marks(part)})", part)
        }

    def keys(self, stream: str) -> set[str]:
        """Keys of the rows that were told and not deleted."""
        return {key for key, _ in self._live(stream, "true", ())}

    def settle(self) -> None:
        """Sort in what was told last.

        Raises:
            ConfigError: The file can't be written.
        """
        with _explained(self._path):
            (is_recent,) = self._connection.execute(
                "SELECT EXISTS (SELECT 1 FROM recent)"
            ).fetchone()
            if not is_recent:
                return
            with self._transaction() as connection:
                connection.execute(_SETTLE)
                connection.execute("DELETE FROM recent")
                if self._has_forgotten:
                    connection.execute(_FORGET)
            # Not by `execute`, which takes one step of it.
            self._connection.executescript("PRAGMA incremental_vacuum")

    def _live(self, stream: str, condition: str, values: Sequence[int]) -> list[tuple[str, int]]:
        sql = f"SELECT key, place {_KNOWN} AND hash NOT NULL AND {condition}"
        with _explained(self._path):
            return self._connection.execute(sql, (stream, *values)).fetchall()

    def _account(self, name: str) -> _Account:
        row = self._connection.execute(
            "SELECT id, first_run, spans, is_whole FROM stream WHERE name = ?", (name,)
        ).fetchone()
        if row is None:
            return self._new_account(name)
        number, first_run, spans, is_whole = row
        coverage = Coverage([Range(*span) for span in json.loads(spans)], bool(is_whole))
        return _Account(number, first_run, coverage)

    def _new_account(self, name: str) -> _Account:
        if not self._connection.in_transaction:
            return _Account(0, 0, Coverage())
        cursor = self._connection.execute(
            "INSERT INTO stream (name, first_run, spans, is_whole) VALUES (?, 0, '[]', 0)", (name,)
        )
        return _Account(cursor.lastrowid or 0, 0, Coverage())

    def _extend(self, name: str, account: _Account, bookmark: Mapping[str, Any]) -> bool:
        """Whether a stream's new bookmark says that more is told."""
        if bookmark == account.seen:
            return False
        account.seen = bookmark
        new = without(spans_told(name, bookmark), account.before)
        spans = newest_first([*account.coverage.spans, *new])
        if spans == account.coverage.spans:
            return False
        account.coverage = replace(account.coverage, spans=spans)
        return True

    def _put_down(self, accounts: Iterable[_Account]) -> None:
        """Write what is new of these streams, and what was told; the run does not fail with it."""
        accounts = list(accounts)
        if not self._is_kept or not (accounts or self._unwritten):
            return
        try:
            with self._transaction() as connection:
                connection.executemany("INSERT INTO recent VALUES (?, ?, ?, ?, ?)", self._unwritten)
                for account in accounts:
                    self._write(account)
        except sqlite3.Error as error:
            self._give_up(error)
        self._unwritten.clear()

    def _write(self, account: _Account) -> None:
        coverage = account.coverage
        self._connection.execute(
            "UPDATE stream SET first_run = ?, spans = ?, is_whole = ? WHERE id = ?",
            (account.first_run, json.dumps(coverage.spans), coverage.is_whole, account.id),
        )

    def _give_up(self, error: sqlite3.Error) -> None:
        logger.warning(
            "Ledger %s can't be written: %s. What the run tells from now on is not verifiable",
            self._path,
            error,
        )
        self._is_kept = False

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection


def open_ledger(
    path: Path, *, account: str | None, mode: str | None, create: bool = True
) -> Ledger:
    """Open the ledger of a connection.

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
    with _explained(path):
        connection = _connected(path)
        try:
            _prepare(path, connection)
            _see_whose_it_is(path, connection, account, mode)
        except BaseException:
            connection.close()
            raise
    return Ledger(path, connection)


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
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        msg = f"Ledger {path} can't be used: {error}"
        raise ConfigError(msg) from None
    except sqlite3.DatabaseError as error:
        msg = f"{path} is not a ledger, or a damaged one ({error}): name another file, or remove it"
        raise ConfigError(msg) from None


# Rows


def key_of(row: Row, columns: Sequence[str]) -> str:
    """A row's primary key, its columns' values joined by `/`."""
    if len(columns) == 1:
        return str(row[columns[0]])
    return "/".join(str(row.get(column)) for column in columns)


def hash_of(row: Row) -> int:
    """A row's content in 48 bits, in whatever order Stripe sends it, without the tap's columns."""
    left_out = [name for name in row if name[0] == "_" or name in MADE_ANEW]
    if left_out:
        row = {name: value for name, value in row.items() if name not in left_out}
    return int.from_bytes(blake2b(_encode(row), digest_size=_DIGEST).digest(), "big", signed=True)


def place_of(row: Row, resource: Resource) -> int | None:
    """Where to look for a row; None where it lacks the column that says so."""
    if resource.parent is not None:
        parent = row.get(resource.parent.column)
        return None if parent is None else number_of(parent)
    created = row.get(resource.created_field or "")
    if type(created) is str:
        moment = datetime.fromisoformat(created[: len("2026-01-31T23:59:59")])
        return int(moment.replace(tzinfo=timezone.utc).timestamp())
    return created if type(created) is int else None


def number_of(parent: str) -> int:
    """A number for a parent's id."""
    digest = blake2b(parent.encode(), digest_size=_DIGEST).digest()
    return int.from_bytes(digest, "big", signed=True)


# Spans


def spans_told(
    stream: str, state: Mapping[str, Any], *, incremental: bool = True
) -> Sequence[Range]:
    """Spans of creation time that are told, as a stream's state says, newest first.

    Args:
        stream: Its name.
        state: Its own.
        incremental: Whether a run goes on from there; else only if it was interrupted.
    """
    bookmark = Bookmark.of(stream, state)
    if bookmark is None or bookmark.pending_parents:
        return ()
    if not incremental and ("pending" not in state or "replication_key" in state):
        return ()
    return without([Range(bookmark.since, bookmark.until)], bookmark.pending)


def without(spans: Iterable[Range], others: Collection[Range]) -> list[Range]:
    """The spans but for what lies within others, newest first."""
    left = list(spans)
    for other in others:
        left = [
            part
            for span in left
            for part in (
                Range(span.since, min(span.until, other.since)),
                Range(max(span.since, other.until), span.until),
            )
        ]
    return newest_first(left)


def _is_incremental(stream: StripeStream) -> bool:
    return stream.replication_method == REPLICATION_INCREMENTAL


def _in_parts(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (values[start : start + _AT_ONCE] for start in range(0, len(values), _AT_ONCE))


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))
