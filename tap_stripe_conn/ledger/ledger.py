"""What the target was last told of each row: a file that `--verify` compares Stripe with.

Rows are written down after they have left and before the STATE that covers them, in one transaction
with the spans of creation time that are told. So the file may know of rows that no STATE covers,
which the next run tells again; and where it lost something, it lost the span with it.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from array import array
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from singer_sdk.singerlib.catalog import REPLICATION_INCREMENTAL

from tap_stripe_conn.api.lists import Range, newest_first, without
from tap_stripe_conn.config import ConfigError
from tap_stripe_conn.ledger.coverage import (
    Coverage,
    is_in_time,
    is_unfinished,
    position_of,
    spans_told,
)
from tap_stripe_conn.ledger.entries import (
    Entry,
    hash_of,
    key_of,
    number_of,
    place_of,
)
from tap_stripe_conn.ledger.file import explained
from tap_stripe_conn.streams.rows import DELETED_AT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from tap_stripe_conn.catalogue.resources import Resource
    from tap_stripe_conn.streams.rows import Row
    from tap_stripe_conn.streams.stream import StripeStream

_AT_ONCE: Final = 500
"""Values in one SQL statement; old versions of SQLite take 999."""

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


@dataclass
class _Account:
    """One stream's page of the ledger."""

    id: int
    first_run: int
    read_run: int
    coverage: Coverage
    before: Sequence[Range] = ()
    """What was told before this run, be it with a ledger or without one."""

    is_in_time: bool = False
    may_be_whole: bool = False
    """Whether a run that reads the stream to its end has told all of it."""

    seen: Mapping[str, Any] = field(default_factory=dict)
    """The bookmark that was looked at last."""


class Ledger:
    """An open ledger."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        """Take a file that `open_file` has opened."""
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
        afresh = not bookmarks and any(
            stream.replication_method == REPLICATION_INCREMENTAL for stream in streams
        )
        with explained(self._path), self._transaction() as connection:
            connection.execute("UPDATE about SET runs = runs + 1")
            (self._run,) = connection.execute("SELECT runs FROM about").fetchone()
            for stream in streams:
                account = self._accounts[stream.name] = self._account(stream.name)
                self._begin(account, stream, bookmarks.get(stream.name) or {}, afresh=afresh)
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
            account.coverage = replace(account.coverage, spans=[span], is_whole=True)
        self._put_down(whole)
        try:
            if self._is_kept:
                self.settle()
        except ConfigError as error:
            logger.warning("%s", error)

    def replaced(self, name: str) -> None:
        """The target drops what a whole read has not told of a stream.

        That is when an ACTIVATE_VERSION has left.
        """
        account = self._accounts[name]
        account.first_run, self._has_forgotten = account.read_run, True
        self._put_down([account])

    # For those who compare

    def coverage(self, stream: str) -> Coverage:
        """What was told of a stream."""
        with explained(self._path):
            return self._account(stream).coverage

    def hashes(self, stream: str, keys: Sequence[str]) -> dict[str, int | None]:
        """Of those rows that were told: their content's hash; None if told as deleted."""
        found: dict[str, int | None] = {}
        with explained(self._path):
            for part in _in_parts(keys):
                sql = f"SELECT key, hash {_KNOWN} AND key IN ({_marks(part)})"
                found.update(self._connection.execute(sql, (stream, *part)))
        return found

    def places(self, stream: str) -> array[int]:
        """Creation times of the rows that were told and not deleted, ascending."""
        sql = f"SELECT place {_KNOWN} AND hash NOT NULL AND place NOT NULL ORDER BY place"
        with explained(self._path):
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
        with explained(self._path):
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
        with explained(self._path):
            return self._connection.execute(sql, (stream, *values)).fetchall()

    def _account(self, name: str) -> _Account:
        row = self._connection.execute(
            "SELECT id, first_run, read_run, spans, is_whole, known_until, unknown FROM stream "
            "WHERE name = ?",
            (name,),
        ).fetchone()
        if row is None:
            return self._new_account(name)
        number, first_run, read_run, spans, is_whole, known_until, unknown = row
        coverage = Coverage(_spans(spans), bool(is_whole), known_until, _spans(unknown))
        return _Account(number, first_run, read_run, coverage)

    def _new_account(self, name: str) -> _Account:
        if not self._connection.in_transaction:
            return _Account(0, 0, 0, Coverage())
        cursor = self._connection.execute(
            "INSERT INTO stream VALUES (NULL, ?, 0, 0, '[]', 0, NULL, '[]')", (name,)
        )
        return _Account(cursor.lastrowid or 0, 0, 0, Coverage())

    def _begin(
        self,
        account: _Account,
        stream: StripeStream,
        bookmark: Mapping[str, Any],
        *,
        afresh: bool,
    ) -> None:
        incremental = stream.replication_method == REPLICATION_INCREMENTAL
        if afresh or (incremental and not bookmark):
            self._has_forgotten |= account.coverage != Coverage()
            account.first_run, account.coverage = self._run, Coverage()
        coverage, position = account.coverage, position_of(stream.name, bookmark)
        missed = Range(coverage.known_until or position, position)
        account.coverage = replace(coverage, unknown=newest_first([*coverage.unknown, missed]))
        if incremental or not is_unfinished(bookmark):
            account.read_run = self._run
        account.is_in_time = is_in_time(stream.resource)
        if account.is_in_time:
            account.before = spans_told(stream.name, bookmark, incremental=incremental)
        account.may_be_whole = not account.is_in_time and (not bookmark or coverage.is_whole)
        account.seen = bookmark

    def _extend(self, name: str, account: _Account, bookmark: Mapping[str, Any]) -> bool:
        """Whether a stream's new bookmark says that more is told."""
        if bookmark == account.seen:
            return False
        account.seen = bookmark
        old = account.coverage
        position = max(position_of(name, bookmark), old.known_until or 0)
        account.coverage = replace(old, known_until=position)
        if account.is_in_time:
            new = without(spans_told(name, bookmark), account.before)
            account.coverage = replace(account.coverage, spans=newest_first([*old.spans, *new]))
        return account.coverage != old

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
            "UPDATE stream SET first_run = ?, read_run = ?, spans = ?, is_whole = ?, "
            "known_until = ?, unknown = ? WHERE id = ?",
            (
                account.first_run,
                account.read_run,
                json.dumps(coverage.spans),
                coverage.is_whole,
                coverage.known_until,
                json.dumps(coverage.unknown),
                account.id,
            ),
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


def _spans(text: str) -> list[Range]:
    return [Range(*span) for span in json.loads(text)]


def _in_parts(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (values[start : start + _AT_ONCE] for start in range(0, len(values), _AT_ONCE))


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))
