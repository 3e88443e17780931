"""Rows as the ledger has them: by their key, their place and a hash of their content."""

from __future__ import annotations

from datetime import datetime, timezone
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from tap_stripe_conn.streams.rows import DELETED_AT, UPDATED_AT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tap_stripe_conn.catalogue.resources import Resource
    from tap_stripe_conn.streams.rows import Row

NOT_CONTENT: Final = frozenset(
    {UPDATED_AT, DELETED_AT, "hosted_invoice_url", "invoice_pdf", "receipt_url"}
)
"""Columns that may differ from reading to reading: the tap's own, and those with a signed link,
which Stripe makes anew each time it is asked."""

_DIGEST: Final = 6
"""Bytes of a content hash: of 1,000 rows that changed, one in 10^11 goes unnoticed."""

_encode = msgspec.json.Encoder(order="deterministic").encode


class Entry(NamedTuple):
    """A row, as the ledger has it."""

    stream: int
    key: str
    place: int | None
    hash: int | None
    run: int


def key_of(row: Row, columns: Sequence[str]) -> str:
    """A row's primary key, its columns' values joined by `/`."""
    if len(columns) == 1:
        return str(row[columns[0]])
    return "/".join(str(row.get(column)) for column in columns)


def hash_of(row: Row) -> int:
    """A row's content in 48 bits, in whatever order Stripe sends it, without the tap's columns."""
    if names := row.keys() & NOT_CONTENT:
        row = row.copy()
        for name in names:
            del row[name]
    return _number(_encode(row))


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
    return _number(parent.encode())


def _number(content: bytes) -> int:
    # Processors know this one; the quicker ones for those that don't would take twice as long.
    return int.from_bytes(sha256(content).digest()[:_DIGEST], "big", signed=True)
