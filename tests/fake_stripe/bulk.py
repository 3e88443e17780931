"""Lists too long to keep: rows alike but for id and creation time, made when they are asked for."""

from __future__ import annotations

import json
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn, overload

from typing_extensions import override

from tests.fake_stripe.store import Listing, Row

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.fake_stripe.store import Order

DIGITS = 7
"""Of the number that ids end in, hexadecimal."""

BLANK = 987_654_321
"""The creation time in a pattern, where a row's own goes: no made-up object has it anywhere."""


class Bulk(Sequence[Row]):
    """Rows of a top-level v1 list, oldest first: 8 bytes each."""

    def __init__(
        self,
        stream: str,
        times: Iterable[int],
        *,
        patterns: Iterable[tuple[str, bytes]],
        first_id: str,
    ) -> None:
        """Take what the rows are made of.

        Args:
            stream: The stream they belong to.
            times: When each was created, in Unix seconds.
            patterns: Ids and JSON of objects created at `BLANK`, which the rows repeat in turn.
            first_id: The first row's; it ends in a number, from which the others count on.
        """
        self._stream = stream
        self._times = array("q", sorted(times))
        self._patterns = [_blank(*pattern) for pattern in patterns]
        self._stem, self._first = first_id[:-DIGITS], int(first_id[-DIGITS:], 16)

    @override
    def __len__(self) -> int:
        return len(self._times)

    @overload
    def __getitem__(self, place: int) -> Row: ...

    @overload
    def __getitem__(self, place: slice) -> list[Row]: ...

    @override
    def __getitem__(self, place: int | slice) -> Row | list[Row]:
        if isinstance(place, slice):
            return [self._row(each) for each in range(*place.indices(len(self)))]
        return self._row(range(len(self))[place])

    def id(self, place: int) -> str:
        """The id of the row at a place."""
        return f"{self._stem}{self._first + place:0{DIGITS}x}"

    def body(self, place: int) -> bytes:
        """A row as JSON, without expansions."""
        parts = {b"id": self.id(place).encode(), b"created": self._times[place]}
        return self._patterns[place % len(self._patterns)] % parts

    def with_id(self, identifier: str) -> Row | None:
        """The row with that id, which ends in its number."""
        try:
            place = int(identifier[-DIGITS:], 16) - self._first
        except ValueError:
            return None
        known = 0 <= place < len(self) and self.id(place) == identifier
        return self._row(place) if known else None

    def before(self, order: Order) -> int:
        """How many rows come before a place in the list's order."""
        moment, number = order
        low, high = bisect_left(self._times, moment), bisect_right(self._times, moment)
        return min(max(low, number - 1), high)

    def _row(self, place: int) -> Row:
        body = self.body(place)
        order = (self._times[place], place + 1)
        return Row(object=json.loads(body), order=order, stream=self._stream, body=body)


class BulkListing(Listing):
    """A list of such rows, which stay as they are."""

    def __init__(self, rows: Bulk) -> None:
        """List the rows."""
        super().__init__()
        self.rows = self.bulk = rows

    @override
    def with_id(self, identifier: str) -> Row | None:
        return self.bulk.with_id(identifier)

    @override
    def insert(self, row: Row) -> NoReturn:
        self.changed()

    @override
    def remove(self, row: Row) -> NoReturn:
        self.changed()

    @override
    def changed(self) -> NoReturn:
        msg = "the rows of a list that was seeded in bulk stay as they are"
        raise ValueError(msg)


def _blank(identifier: str, body: bytes) -> bytes:
    """A pattern for `%`, with room for id and creation time."""
    pattern = body.replace(b"%", b"%%").replace(identifier.encode(), b"%(id)b")
    return pattern.replace(b":%d" % BLANK, b":%(created)d")
