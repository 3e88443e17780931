"""What of a stream is told, by its state and by the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tap_stripe_conn.api.lists import Range, without
from tap_stripe_conn.streams.bookmarks import Bookmark, Position

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from tap_stripe_conn.catalogue.resources import Resource


@dataclass(frozen=True)
class Coverage:
    """What of a stream was told while the ledger was kept."""

    spans: Sequence[Range] = ()
    """Of creation time, newest first."""

    is_whole: bool = False
    """Whether all rows were told, of a stream that isn't read by its rows' creation time."""

    known_until: int | None = None
    """Unix seconds, up to which the last run told of changes."""

    unknown: Sequence[Range] = ()
    """Spans of time, changes within which were told by runs that kept no ledger."""


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
    if bookmark is None:
        return ()
    if not incremental and not is_unfinished(state):
        return ()
    return without([Range(bookmark.since, bookmark.until)], bookmark.pending)


def is_unfinished(state: Mapping[str, Any]) -> bool:
    """Whether a stream's state is that of a whole read that was interrupted."""
    return "pending" in state and "replication_key" not in state


def position_of(stream: str, state: Mapping[str, Any]) -> int:
    """Unix seconds, up to which changes are told as a stream's state says; 0 where it doesn't."""
    position = Position.of(stream, state)
    return 0 if position is None else position.since


def is_in_time(resource: Resource) -> bool:
    """Whether state tells of a stream which of its rows are told, by their own creation time.

    Of one that each run reads whole it tells nothing, once a run has ended.
    """
    return resource.incremental and resource.listed_by_time and resource.parent is None
