"""Rows as the ledger has them: by their key, their place and a hash of their content."""

from __future__ import annotations

from datetime import datetime, timezone
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tap_stripe_conn.catalogue.resources import Resource
    from tap_stripe_conn.streams.rows import Row

DELETED_AT: Final = "_sdc_deleted_at"
"""Column that says since when a row is gone."""

MADE_ANEW: Final = frozenset({"hosted_invoice_url", "invoice_pdf", "receipt_url"})
"""Columns with a signed link, which Stripe makes anew each time it is asked."""

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
