"""What a run reads of a stream, and what its state says of how far that is."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from tap_stripe_conn.api.lists import Range, newest_first, rfc3339
from tap_stripe_conn.config import ConfigError
from tap_stripe_conn.streams.bookmarks import Bookmark, Position, common

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tap_stripe_conn.catalogue.resources import Resource
    from tap_stripe_conn.streams.source import Source

OVERLAP: Final = {"v1": 120, "v2": 600}
"""Seconds read again before a bookmark. Lists of API v1 are immediately consistent: these are for
rows of the same second, and for clocks that differ. Those of v2 are eventually consistent
(https://docs.stripe.com/api-v2-overview)."""

DAY: Final = 86_400

EVENTS_STORED: Final = 30 * DAY
"""Seconds that Stripe keeps events for (https://docs.stripe.com/api/events)."""

EVENTS_KEPT: Final = 29 * DAY
"""Seconds that all of them can be relied on: while they are read, the oldest vanish."""

EVENT_LAG: Final = 60
EVENT_OVERLAP: Final = 540
"""Seconds after which events are taken to have all come, and more that are looked at again: they
appear late, and not in the order of their times (peers wait for 5 to 60 seconds, and look back for
up to 10 minutes)."""

LIST_LAG: Final = 5
"""Seconds before a list is read from which on events may tell of what it doesn't show yet: they are
dated when a change begins."""

LIST_EVERY: Final = 7 * DAY
"""Seconds after which a list is asked for new rows though no event told of any: none is known to be
missing, and none is to be missing for long."""

NO_EVENTS: Final = "these credentials may not read Stripe's events, which tell of changes"

REREAD_EVERY: Final = 23 * 3600
"""Seconds after which rows are read again whose changes no event tells of: once a day, and a daily
run may come a little early."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run reads of a stream.

    A child's rows come with the top-level rows that they hang off. So every stream follows a
    top-level list, and its creation times say how far the stream is.
    """

    wanted: Range
    """Creation times of the top-level rows that the settings ask for, or for the children of."""

    spans: Sequence[Range]
    """Creation times of the stream's own rows to take, where they are listed."""

    walked: Sequence[Range] = ()
    """Creation times of the top-level rows to list, newest first."""

    fresh: Sequence[Range] = ()
    """Of those to list as well, unless the events vouch that none were made."""

    whole: bool = False
    """Whether a list is read that can't be asked for by creation time."""

    held_back: bool = False
    """Whether such a list is to be read if no events come of the account."""

    listed: int = 0
    """Unix seconds, up to which new rows were listed by the runs before."""

    also_since: int | None = None
    """Unix seconds: older rows, of `walked` and `fresh`, that are taken where a page has room for
    them, back to then."""

    bookmark: Bookmark | None = None
    """None where state tells nothing of the stream."""

    position: Position | None = None
    """None where events tell nothing of the stream."""

    incremental: bool = False
    """Whether state tells, when the run is over, where the next one goes on."""

    fed: bool = False
    """Whether events tell of changes since a run before."""

    repair: str = ""
    """Why all is read again though a run before has read it."""

    def walks(self, created: int | None) -> bool:
        """Whether a top-level row is one to list, as far as it says when it was made."""
        if created is None or (self.also_since is not None and created >= self.also_since):
            return True
        # For each row, `any` takes twice as long.
        for spans in (self.walked, self.fresh):
            for since, until in spans:
                if since <= created < until:
                    return True
        return False

    @property
    def pending(self) -> Sequence[Range]:
        """What is to be listed, of all creation times that state tells of."""
        return self.bookmark.pending if self.bookmark is not None else ()

    def wants(self, created: int | None) -> bool:
        """Whether the settings ask for a top-level row, as far as it says when it was made."""
        return created is None or self.wanted.since <= created < self.wanted.until

    def state(self, unread: Sequence[Range]) -> dict[str, Any] | None:
        """What of the stream's state is about lists, when all but `unread` of them is written.

        Returns:
            None where state tells nothing of the stream.
        """
        if self.bookmark is None:
            return None
        bookmark = self.bookmark.with_unread(unread)
        if self.held_back:
            bookmark.until = self.listed
        return bookmark.state() if self.incremental else bookmark.unfinished()

    def vouched(self) -> Plan:
        """The plan where no list is to be asked; state keeps when that was last done."""
        if self.bookmark is None or not (self.fresh or self.held_back):
            return self
        bookmark = self.bookmark.without(self.fresh, self.listed)
        return replace(self, fresh=(), held_back=False, bookmark=bookmark)

    def unvouched(self) -> Plan:
        """The plan where only lists can tell what is new."""
        if not self.held_back:
            return self
        return replace(self, held_back=False, whole=True, walked=[self.wanted])


def plan(  # noqa: PLR0913 - each is a fact of its own about the run
    resource: Resource,
    top_level: Resource,
    source: Source,
    state: Mapping[str, Any],
    *,
    incremental: bool,
    has_feed: bool = True,
) -> Plan:
    """What a run reads of a stream.

    Args:
        resource: What of Stripe's the stream is.
        top_level: Whose list leads to it: its parent, or itself.
        source: What the run reads from.
        state: The stream's, of the run before.
        incremental: Whether to read only what is new or has changed.
        has_feed: Whether Stripe's events can be read.

    Raises:
        ConfigError: The state is not one of this tap's, or another account's.
    """
    return _Planning(resource, top_level, source, state, incremental, has_feed).plan


NO_PLAN: Final = Plan(wanted=Range(0, 0), spans=())
"""Before a run."""


@dataclass
class _Planning:
    """How to come by a plan, in steps."""

    resource: Resource
    top_level: Resource
    source: Source
    state: Mapping[str, Any]
    incremental: bool
    has_feed: bool
    before: Bookmark | None = field(init=False)
    was: Position | None = field(init=False)

    def __post_init__(self) -> None:
        name = self.resource.name
        self.before = Bookmark.of(name, self.state)
        self.was = Position.of(name, self.state)
        if not self.incremental and (
            "pending" not in self.state or "replication_key" in self.state
        ):
            # State tells of no whole read that was interrupted.
            self.before = self.was = None
        owner = self.source.owner
        if self.was is not None and owner.contradicts(self.was.owner):
            msg = (
                f"State of stream {name!r} is of {self.was.owner}, and these credentials are for "
                f"{owner}: give each its own state, and begin without"
            )
            raise ConfigError(msg)
        if self.was and self.was.end is not None and self.is_later and self.is_dated_child:
            # What was made since an end_date that is no more may hang off any parent: the events
            # since then say which.
            since = min(self.was.since, self.was.end)
            self.was = replace(self.was, since=since, applied=frozenset())

    @property
    def plan(self) -> Plan:
        if not self.incremental and not self.is_listed_by_time:
            return Plan(
                wanted=self.wanted, spans=[self.source.span], walked=[self.wanted], whole=True
            )
        repair = self.repair
        again = bool(repair) and not self.goes_on
        bookmark, position = self.bookmark(again=again), self.position(again=again)
        due = self.reread_due(position)
        position = replace(position, owner=self.source.owner.completed(position.owner))
        if due is not None:
            position = replace(position, reread=self.source.settled)
            if self.is_listed_by_time:
                bookmark = bookmark.again([due])
        whole = not self.is_listed_by_time and (self.listed_whole or due is not None)
        fresh = [] if repair else self.fresh(bookmark)
        walked = [span for span in bookmark.pending if span not in fresh]
        return Plan(
            wanted=self.wanted,
            spans=[self.source.span],
            walked=[self.wanted] if whole else walked,
            fresh=fresh,
            whole=whole,
            held_back=not (self.is_listed_by_time or whole),
            listed=0 if self.before is None else self.before.until,
            also_since=self.also_since,
            bookmark=bookmark,
            position=position,
            incremental=self.incremental,
            fed=self.is_fed and self.before is not None,
            repair=repair,
        )

    @property
    def is_listed_by_time(self) -> bool:
        return self.top_level.created_filter is not None

    @property
    def is_dated_child(self) -> bool:
        return self.resource is not self.top_level and self.resource.created_field is not None

    @property
    def is_later(self) -> bool:
        """Whether an end_date kept the runs before from reading what is now asked for."""
        end = None if self.was is None else self.was.end
        return end is not None and end < self.source.span.until

    @property
    def wanted(self) -> Range:
        # Children that are in time by their own creation may hang off any parent.
        span = self.source.span
        return Range(0, span.until) if self.is_dated_child else span

    @property
    def is_fed(self) -> bool:
        return self.incremental and is_fed(self.resource, self.top_level)

    @property
    def repair(self) -> str:
        """Why all must be read again that a run before has read; empty if it needn't."""
        if self.before is None or self.was is None:
            return ""
        if self.is_dated_child and self.before.since > self.source.span.since:
            return "start_date is earlier than before"
        return self.untold_since(self.was) if self.incremental else ""

    @property
    def goes_on(self) -> bool:
        """Whether a run before began to read all, and only for want of events it would begin anew.

        Where each run begins anew, an account that takes longer than a run is never read.
        """
        before, was = self.before, self.was
        if before is None or was is None or self.repair != NO_EVENTS or not before.pending:
            return False
        return before.complete_until is None or was.removals_since is not None

    def untold_since(self, was: Position) -> str:
        """Why events can't tell of all changes since then."""
        now, version = self.source.now, self.source.catalogue.api_version
        if was.api_version not in {"", version}:
            return f"its rows are of Stripe's API version {was.api_version}, and now of {version}"
        if self.is_fed and was.since < now - EVENTS_KEPT:
            return (
                f"its changes are known up to {rfc3339(was.since)}, and Stripe tells of those of "
                f"the last {EVENTS_KEPT // DAY} days; what was deleted in between stays unknown"
            )
        if self.is_fed and not self.has_feed:
            return NO_EVENTS
        return ""

    def bookmark(self, *, again: bool) -> Bookmark:
        before, now = self.before or Bookmark(), self.source.settled
        if self.is_dated_child:
            # The settings' span is of the children's time, the bookmark's of their parents'.
            before = replace(before, since=0)
        overlap = OVERLAP[self.top_level.api_mode]
        extended = before.extended(self.wanted, overlap=overlap, now=now)
        if self.incremental and self.resource.changes != "append_only":
            # Changes of what was made since an end_date are not read.
            extended.until = min(extended.until, self.wanted.until)
        if again and self.is_listed_by_time:
            extended = replace(extended, pending=newest_first([self.wanted]))
        if self.is_dated_child:
            extended.since = self.source.span.since
        if not self.is_listed_by_time:
            extended = replace(extended, pending=[])
        return extended

    def position(self, *, again: bool) -> Position:
        was, now = self.was, self.source.settled
        version = self.source.catalogue.api_version
        end = self.source.span.until if self.source.span.until < now else None
        fresh = Position(since=max(0, now - LIST_LAG), reread=now, api_version=version, end=end)
        oldest = self.source.now - EVENTS_STORED
        if not self.incremental:
            if was is not None:
                return was  # of when this whole read began
            left = Position.of(self.resource.name, self.state)
            if left is None or not is_fed(self.resource, self.top_level):
                return fresh
            # What was deleted before it is told by the next incremental run.
            return replace(fresh, removals_since=max(left.begins, oldest))
        if was is None or not self.is_fed:
            return replace(fresh, reread=now if was is None or again else was.reread)
        if again:
            return replace(fresh, removals_since=max(was.begins, oldest))
        return replace(was, api_version=version, since=min(was.since, now), end=end)

    def reread_due(self, position: Position) -> Range | None:
        """The span to read again because no event tells of its rows' changes, if it is time to."""
        now, wanted = self.source.now, self.wanted
        if self.before is None or not self.incremental or now - position.reread < REREAD_EVERY:
            return None
        then = min(now, position.reread or self.before.until)
        since = reread_since(self.resource, self.top_level, then, self.source.mutable_window)
        return None if since is None else Range(max(wanted.since, since), wanted.until)

    def fresh(self, bookmark: Bookmark) -> list[Range]:
        """The newest span, where events tell whether there is anything in it."""
        before, was = self.before, self.was
        if before is None or was is None or not (self.is_fed and self.top_level.told_of_creation):
            return []
        if self.is_to_be_listed:
            return []
        since = min(before.until, self.source.settled) - OVERLAP[self.top_level.api_mode]
        if not self.is_dated_child:
            since = max(since, before.since)
        newest = Range(since, self.wanted.until)
        if self.is_later or common(before.pending, [newest]):
            # Events that count as applied may be the ones that told of it: an end_date, or a crash,
            # kept it from being listed.
            return []
        return [span for span in bookmark.pending if common([span], [newest]) == [span]]

    @property
    def also_since(self) -> int | None:
        is_child = self.resource is not self.top_level
        if is_child or not self.incremental or self.resource.changes not in _WINDOWS:
            return None
        return max(self.wanted.since, self.source.now - self.source.mutable_window)

    @property
    def is_to_be_listed(self) -> bool:
        """Whether the list was not asked for so long that it is, whatever events tell."""
        before = self.before
        return before is not None and self.source.now - before.until >= LIST_EVERY

    @property
    def listed_whole(self) -> bool:
        return (
            self.before is None
            or bool(self.repair)
            or not self.top_level.told_of_creation
            or self.is_to_be_listed
            or self.is_later
            or self.wanted.since < self.before.since
        )


def is_fed(resource: Resource, top_level: Resource) -> bool:
    """Whether events tell of changes of a stream's rows, or of its parent's."""
    if resource.changes.startswith("parent"):
        return bool(resource.event_types) or top_level.changes.startswith("feed")
    return resource.changes.startswith("feed")


def reread_since(resource: Resource, top_level: Resource, then: int, window: int) -> int | None:
    """Which rows an incremental run reads again, once a day, because no event tells of changes.

    Args:
        resource: What of Stripe's the stream is.
        top_level: Whose list leads to it: its parent, or itself.
        then: Unix seconds of the last time: what changed while the window moved is in it.
        window: Its seconds.

    Returns:
        Creation time of the oldest top-level row, in Unix seconds, 0 for all; None for no row.
    """
    kinds = {resource.changes, top_level.changes}
    if kinds & _ALL:
        return 0
    return then - window if kinds & _WINDOWS else None


_ALL: Final = frozenset({"feed_and_all", "parent_and_all"})
_WINDOWS: Final = frozenset({"feed_and_window", "window"})
