"""What an account holds: rows in Stripe's list order, found by id, by parent and by value."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence

    from tests.fake_stripe.bulk import BulkListing

StripeObject: TypeAlias = dict[str, Any]
Order: TypeAlias = tuple[float, int]
"""Creation time, then insertion: what Stripe sorts its lists by, newest first."""


@dataclass(slots=True, kw_only=True, eq=False)
class Row:
    """One object in one list."""

    object: StripeObject
    order: Order
    stream: str
    parent: str | None = None
    links: dict[str, str] = field(default_factory=dict)
    """Values that a list can be filtered by though the object doesn't show them (`payout`)."""

    body: bytes | None = None
    """The JSON as listed without `expand`; None until asked for, and after a change."""

    listed: bool = True
    """Whether lists show it: some objects can only be retrieved."""

    @property
    def id(self) -> str:
        """The object's id; a singleton without one goes by its stream's name."""
        return str(self.object.get("id", self.stream))


SELECTIONS = 100
"""How many selections a listing keeps."""


def order_of(row: Row) -> Order:
    """The key for bisecting rows."""
    return row.order


class Listing:
    """The rows of one list, oldest first."""

    def __init__(self) -> None:
        """Start empty."""
        self._rows: list[Row] = []
        self.rows: Sequence[Row] = self._rows
        self._by_id: dict[str, Row] = {}
        self._by_value: dict[str, dict[str, list[Row]]] = {}
        self._selections: dict[Hashable, Sequence[Row]] = {}

    def insert(self, row: Row) -> None:
        """Put a row where its time says; nearly always that is the end."""
        if self._rows and self._rows[-1].order > row.order:
            insort(self._rows, row, key=order_of)
        else:
            self._rows.append(row)
        self._by_id[row.id] = row
        self.changed()

    def remove(self, row: Row) -> None:
        """Take a row out."""
        del self._rows[bisect_left(self._rows, row.order, key=order_of)]
        del self._by_id[row.id]
        self.changed()

    def with_id(self, identifier: str) -> Row | None:
        """The row with that id."""
        return self._by_id.get(identifier)

    def having(self, prop: str, value: str) -> Sequence[Row]:
        """Rows whose property (dotted for nested ones), or link, has that value; oldest first."""
        if prop not in self._by_value:
            index: dict[str, list[Row]] = {}
            for row in self.rows:
                for text in texts(row.links.get(prop) or lookup(row.object, prop)):
                    index.setdefault(text, []).append(row)
            self._by_value[prop] = index
        return self._by_value[prop].get(value, [])

    def kept(self, key: Hashable, select: Callable[[], Sequence[Row]]) -> Sequence[Row]:
        """A selection of the rows, made once and kept until something changes."""
        if key not in self._selections:
            if len(self._selections) >= SELECTIONS:
                self._selections.clear()
            self._selections[key] = select()
        return self._selections[key]

    def changed(self) -> None:
        """Forget what was derived from the rows' values."""
        self._by_value.clear()
        self._selections.clear()


class Account:
    """One Stripe account's objects."""

    def __init__(self, identifier: str) -> None:
        """Start without objects."""
        self.id = identifier
        self.deleted: dict[str, dict[str, StripeObject]] = {}
        """By stream and id: the objects that were deleted."""

        self.bulk: dict[str, BulkListing] = {}
        """By stream: the lists that were seeded in bulk."""

        self._listings: dict[tuple[str, str | None], Listing] = {}
        self._by_stream: dict[str, dict[str, list[Row]]] = {}
        self._by_id: dict[str, Row] = {}
        self._count = 0

    def insert(self, row: Row) -> None:
        """Add a row; its `order` needs only the time, the rest is set here."""
        self._count += 1
        row.order = (row.order[0], self._count)
        if row.listed:
            self.listing(row.stream, row.parent).insert(row)
        self._by_stream.setdefault(row.stream, {}).setdefault(row.id, []).append(row)
        self._by_id[row.id] = row

    def remove(self, row: Row) -> None:
        """Delete a row."""
        self.unlist(row)
        rows = self._by_stream[row.stream][row.id]
        rows.remove(row)
        if not rows:
            del self._by_stream[row.stream][row.id]
        if self._by_id.get(row.id) is row:
            del self._by_id[row.id]
        self.deleted.setdefault(row.stream, {})[row.id] = row.object

    def has_deleted(self, stream: str, identifier: str) -> bool:
        """Whether there was an object with that id."""
        return identifier in self.deleted.get(stream, {})

    def unlist(self, row: Row) -> None:
        """Take a row out of its list; it can still be retrieved."""
        if row.listed:
            self.listing(row.stream, row.parent).remove(row)
            row.listed = False

    def listing(self, stream: str, parent: str | None = None) -> Listing:
        """A list's rows; the children of one parent, or a whole top-level list."""
        key = (stream, parent)
        found = self._listings.get(key)
        if found is None:
            found = self._listings[key] = Listing()
        return found

    def row(self, stream: str, identifier: str, parent: str | None = None) -> Row | None:
        """The row with that id, under that parent when one is given."""
        for row in self._by_stream.get(stream, {}).get(identifier, ()):
            if parent is None or row.parent == parent:
                return row
        bulk = self.bulk.get(stream)
        return bulk.with_id(identifier) if bulk else None

    def find(self, identifier: str) -> StripeObject | None:
        """The object with that id, in whichever stream."""
        row = self.find_row(identifier)
        return row.object if row else None

    def find_row(self, identifier: str) -> Row | None:
        """The row with that id, in whichever stream."""
        in_bulk = (listing.with_id(identifier) for listing in self.bulk.values())
        return self._by_id.get(identifier) or next(filter(None, in_bulk), None)

    def rows(self, stream: str) -> Iterator[Row]:
        """Every row of a stream, whatever its parent."""
        for rows in self._by_stream.get(stream, {}).values():
            yield from rows
        if stream in self.bulk:
            yield from self.bulk[stream].rows

    def hold(self, stream: str, listing: BulkListing) -> None:
        """Take a top-level list that was made elsewhere, in the place of an empty one.

        Raises:
            ValueError: The stream has rows already.
        """
        if self.listing(stream).rows:
            msg = f"{stream} has rows already"
            raise ValueError(msg)
        self._listings[stream, None] = self.bulk[stream] = listing


def lookup(obj: StripeObject, path: str) -> object:
    """The value at a dotted path, or None."""
    value: object = obj
    for name in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def texts(value: object) -> Sequence[str]:
    """How a value may be written in a query string; several for an array, none for null."""
    if value is None:
        return ()
    if isinstance(value, bool):
        return ("true" if value else "false",)
    if isinstance(value, dict):
        return texts(value.get("id"))
    if isinstance(value, list):
        return [text for item in value for text in texts(item)]
    return (str(value),)


def seconds(value: object) -> float:
    """A creation time as Unix seconds: v1 has whole seconds, v2 RFC 3339; 0 where there is none."""
    if isinstance(value, str):
        return datetime.fromisoformat(value.replace("Z", "+00:00")).timestamp()
    if isinstance(value, (int, float)):
        return value
    return 0
