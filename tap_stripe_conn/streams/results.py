"""What comes of reading: rows to write, or a stream that is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tap_stripe_conn.streams.rows import Row
    from tap_stripe_conn.streams.stream import StripeStream
    from tap_stripe_conn.streams.tally import Way


class Batch(NamedTuple):
    """Rows to write. Asking for the next batch says that they are written."""

    stream: StripeStream
    rows: list[Row]
    way: Way


class Failure(NamedTuple):
    """A child that can't be read further; the rest of the family goes on."""

    stream: StripeStream
    error: Exception
