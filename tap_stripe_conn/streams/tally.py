"""What a run does for one stream, counted as it happens."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from tap_stripe_conn.api.lists import Range, newest_first, without
from tap_stripe_conn.streams.bookmarks import common

if TYPE_CHECKING:
    from collections.abc import Sequence


class Way(Enum):
    """How a row came; the values are what the report calls it."""

    LISTED = "listed"
    """From the stream's own list."""

    HYDRATED = "hydrated"
    """Read again, by its id or in a list, because it may have changed."""

    DELETED = "deleted"
    """It is gone: the row says when, in `_sdc_deleted_at`."""

    EMBEDDED = "embedded"
    """Within its parent's row."""

    REQUESTED = "requested"
    """From its parent's list."""


@dataclass(slots=True)
class Tally:
    """What one run has done for one stream so far."""

    rows: Counter[Way] = field(default_factory=Counter)
    """Written."""

    changed: int = 0
    """Objects that events told of."""

    repaired: str | None = None
    """Why more was read again than events told of, as one clause for people."""

    pending: list[Range] = field(default_factory=list)
    """Of creation time: top-level rows that are not read yet, newest first."""

    _planned: list[Range] = field(default_factory=list)
    _current: Sequence[Range] = ()

    def begin(self, spans: Sequence[Range]) -> None:
        """These are to be read, after all that were to be read before."""
        self._current = spans
        self._planned = newest_first([*self._planned, *spans])
        self.pending = newest_first([*self.pending, *spans])

    def unread(self, spans: Sequence[Range]) -> None:
        """Of what is to be read, all but `spans` is written."""
        self.pending = common(self._current, spans)

    def spare(self, spans: Sequence[Range]) -> None:
        """Of what was to be read, these needn't be."""
        self._current = without(self._current, spans)
        self._planned = without(self._planned, spans)
        self.pending = without(self.pending, spans)

    @property
    def finished(self) -> list[Range]:
        """What is read of what was to be read, newest first."""
        return without(self._planned, self.pending)
