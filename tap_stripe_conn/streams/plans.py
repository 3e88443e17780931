"""What a run reads of a stream, and what its state says of how far that is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from tap_stripe_conn.api.lists import Range, newest_first
from tap_stripe_conn.streams.bookmarks import Bookmark, common

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tap_stripe_conn.catalogue.resources import Resource
    from tap_stripe_conn.streams.source import Source

OVERLAP = {"v1": 120, "v2": 600}
"""Seconds read again before a bookmark. Lists of API v1 are immediately consistent: these are for
rows of the same second, and for clocks that differ. Those of v2 are eventually consistent
(https://docs.stripe.com/api-v2-overview)."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run reads of a stream: here, of one that has no state.

    A child's rows come with the top-level rows that they hang off. So every stream follows a
    top-level list, and its creation times say how far the stream is.
    """

    walked: Sequence[Range]
    """Creation times of the top-level rows to take, or to take the children of; newest first."""

    spans: Sequence[Range]
    """Creation times of the stream's own rows to take."""

    def walks(self, created: int | None) -> bool:
        """Whether a top-level row is one of those, as far as it says when it was made."""
        return created is None or any(span.since <= created < span.until for span in self.walked)

    @property
    def is_resumed(self) -> bool:
        """Whether this only completes an interrupted run, after which there is more to read."""
        return False

    def state(self, unread: Sequence[Range]) -> dict[str, Any] | None:  # noqa: ARG002 - none in any case
        """The stream's state when all but `unread` of the top-level list is written.

        Returns:
            None where state tells nothing of the stream.
        """
        return None


@dataclass(frozen=True, kw_only=True)
class IncrementalPlan(Plan):
    """A top-level list: what is new, and what no run before has read."""

    bookmark: Bookmark

    @override
    def state(self, unread: Sequence[Range]) -> dict[str, Any]:
        return self.bookmark.with_unread(unread).state()


@dataclass(frozen=True, kw_only=True)
class FullTablePlan(Plan):
    """Everything in each run; state tells what is read until the run is over."""

    bookmark: Bookmark

    @override
    def state(self, unread: Sequence[Range]) -> dict[str, Any]:
        return self.bookmark.with_unread(unread).unfinished()


@dataclass(frozen=True, kw_only=True)
class DatedChildPlan(Plan):
    """Children in time by their own creation: those that are new, of old parents as well."""

    bookmark: Bookmark
    """Of the children's time."""

    incremental: bool
    """Whether state tells, when the run is over, where the next one goes on."""

    @override
    def state(self, unread: Sequence[Range]) -> dict[str, Any]:
        left = common(self.walked, unread)
        bookmark = self.bookmark if left else self.bookmark.with_unread([])
        bookmark = replace(bookmark, pending_parents=left)
        return bookmark.state() if self.incremental else bookmark.unfinished()


@dataclass(frozen=True, kw_only=True)
class ResumedChildPlan(DatedChildPlan):
    """The same for the parents that an interrupted run left, up to where that one began.

    To ask all others for what is newer takes a request for each, which may be what the interrupted
    run did not live to do: that comes after.
    """

    @property
    @override
    def is_resumed(self) -> bool:
        return True


def plan(
    resource: Resource,
    top_level: Resource,
    source: Source,
    state: Mapping[str, Any],
    *,
    incremental: bool,
) -> Plan:
    """What a run reads of a stream.

    Args:
        resource: What of Stripe's the stream is.
        top_level: Whose list leads to it: its parent, or itself.
        source: What the run reads from.
        state: The stream's, of the run before.
        incremental: Whether to read only what is new.

    Raises:
        ConfigError: The state is not one of this tap's.
    """
    spans = newest_first([source.span])
    is_child = resource is not top_level
    # Children that are in time by their own creation may hang off any parent.
    is_dated_child = is_child and resource.created_field is not None
    parents = Range(0, source.span.until) if is_dated_child else source.span
    if top_level.created_filter is None:
        return Plan(walked=[parents], spans=spans)
    before = Bookmark.of(resource.name, state) or Bookmark()
    if not incremental and ("pending" not in state or "replication_key" in state):
        before = Bookmark()  # state tells of no whole read that was interrupted
    overlap = OVERLAP[top_level.api_mode]
    if is_dated_child:
        return _of_dated_children(before, parents, source, overlap, incremental=incremental)
    bookmark = before.extended(parents, overlap=overlap, now=source.settled)
    if incremental:
        return IncrementalPlan(walked=bookmark.pending, spans=bookmark.pending, bookmark=bookmark)
    spans = spans if is_child else bookmark.pending
    return FullTablePlan(walked=bookmark.pending, spans=spans, bookmark=bookmark)


def _of_dated_children(
    before: Bookmark, parents: Range, source: Source, overlap: int, *, incremental: bool
) -> DatedChildPlan:
    if before.pending_parents:
        left = before.within(Range(source.span.since, min(source.span.until, source.settled)))
        walked = common([parents], before.pending_parents)
        if walked and left.pending:
            return ResumedChildPlan(
                walked=walked, spans=left.pending, bookmark=left, incremental=incremental
            )
    bookmark = before.extended(source.span, overlap=overlap, now=source.settled)
    return DatedChildPlan(
        walked=newest_first([parents]) if bookmark.pending else [],
        spans=bookmark.pending,
        bookmark=bookmark,
        incremental=incremental,
    )
