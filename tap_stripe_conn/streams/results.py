"""What comes of reading: rows to write, or a stream that is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tap_stripe_conn.streams.rows import JsonRows, Row
    from tap_stripe_conn.streams.stream import StripeStream
    from tap_stripe_conn.streams.tally import Way


class Batch(NamedTuple):
    """Rows to write. Asking for the next batch says that they are written."""

    stream: StripeStream
    rows: Sequence[Row] | JsonRows
    way: Way


class Failure(NamedTuple):
    """A stream that can't be read further; the others go on."""

    stream: StripeStream
    error: Exception

    begun: bool = False
    """Whether it was read before, so that no error can mean that the account doesn't have it."""
