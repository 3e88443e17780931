"""Stripe's events as a feed of what changed: one pass a run, for all streams.

An event only says which object changed: what it shows is rendered in the account's own API version
of that moment (https://docs.stripe.com/api/events/object). So the object is read again.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tap_stripe_conn.api.client import MAX_TRIES
from tap_stripe_conn.api.errors import (
    CursorGoneError,
    ForbiddenError,
    UnreadableAnswerError,
)
from tap_stripe_conn.api.lists import Range
from tap_stripe_conn.streams.bookmarks import common
from tap_stripe_conn.streams.children import embedded_list
from tap_stripe_conn.streams.lanes import Lane, ListJob
from tap_stripe_conn.streams.plans import EVENT_LAG, EVENT_OVERLAP

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tap_stripe_conn.api.client import Answer, Object
    from tap_stripe_conn.streams.family import Batch, Failure, Family
    from tap_stripe_conn.streams.lanes import Job, Request
    from tap_stripe_conn.streams.source import Source
    from tap_stripe_conn.streams.stream import StripeStream

MOST_CHANGES: Final = 10_000
"""Changed objects in a window, about: more would take more memory."""

MOST_TYPES: Final = 20
"""Types of events that can be asked for at once (https://docs.stripe.com/api/events/list)."""

MOST_REMEMBERED: Final = 200
"""Ids of applied events in a stream's state. Of further ones the objects are read once more."""

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Removal:
    """A row that an event says is gone."""

    stream: StripeStream
    at: int
    """Unix seconds."""

    source: Object
    """As it was last, in the version `api_version`."""

    api_version: str
    parent_id: str | None = None


@dataclass(slots=True)
class Change:
    """An object to read again."""

    id: str
    at: int
    """Unix seconds, of the newest event that tells of it."""

    event: str
    """That event's id."""

    created: int | None = None
    """Unix seconds, of the object, as far as an event says."""

    takers: set[StripeStream] = field(default_factory=set)
    """Those of which rows come with it."""

    removal: Removal | None = None
    """How it was last, where an event as new as `at` says that it is gone."""

    former: dict[StripeStream, dict[str, Removal]] = field(default_factory=dict)
    """Children that it had, by stream and id. Those that it has no longer are gone."""


@dataclass(slots=True)
class Changes:
    """What the events of one window tell of one family."""

    changed: dict[StripeStream, dict[str, Change]] = field(default_factory=dict)
    """By the stream whose list shows the object, and its id."""

    removed: dict[tuple[StripeStream, str], Removal] = field(default_factory=dict)
    """By the row's stream and id."""

    gone: dict[str, int] = field(default_factory=dict)
    """Top-level objects that are gone, and since when: id -> Unix seconds."""

    def __len__(self) -> int:
        """How many objects they are about."""
        return len(self.removed) + sum(len(changes) for changes in self.changed.values())

    def settle(self) -> None:
        """Of an object that is said to be gone and to have changed, keep what was said last.

        Within a second there is no order: it is read again.
        """
        for (stream, identifier), removal in list(self.removed.items()):
            if removal.parent_id is None:
                change = self._newest(stream, identifier)
                if change is not None and change.at >= removal.at:
                    change.removal = self.removed.pop((stream, identifier))
            else:
                change = self._newest(stream.root, removal.parent_id)
                if change is not None and change.at >= removal.at and stream in change.takers:
                    former = change.former.setdefault(stream, {})
                    former[identifier] = self.removed.pop((stream, identifier))
        for changes in self.changed.values():
            for change in list(changes.values()):
                if change.at < self.gone.get(change.id, 0):
                    del changes[change.id]

    def _newest(self, stream: StripeStream, identifier: str) -> Change | None:
        return self.changed.get(stream, {}).get(identifier)

    def cut(self, at: int) -> None:
        """Forget what happened at that moment or later."""
        for changes in self.changed.values():
            for identifier in [each.id for each in changes.values() if each.at >= at]:
                del changes[identifier]
        for key in [key for key, removal in self.removed.items() if removal.at >= at]:
            del self.removed[key]

    @property
    def times(self) -> list[int]:
        """When they happened."""
        changed = (each.at for changes in self.changed.values() for each in changes.values())
        return [*changed, *(removal.at for removal in self.removed.values())]


class _Signal(NamedTuple):
    """What events of one type say of a stream."""

    stream: StripeStream
    family: Family
    shown: StripeStream
    """The stream whose list shows the object that is to be read again: itself, or its parent."""

    parent_field: str | None
    """Field of the event's object that names the object to read again; None: it is the object."""

    removes: bool


@dataclass(slots=True)
class _Window:
    """A span of events, and what they tell."""

    span: Range
    changes: dict[Family, Changes] = field(default_factory=dict)
    events: int = 0
    recent: dict[StripeStream, set[str]] = field(default_factory=dict)
    """Ids of the newest events, which the next run will look at again."""

    def __len__(self) -> int:
        return sum(map(len, self.changes.values()))


class Feed:
    """The events since the oldest of the streams' positions, window by window, the oldest first.

    It does no I/O: its lane says what to ask. A window's changes go to the families of streams; when
    all are written the streams' positions move, and the next window begins.
    """

    def __init__(self, families: Iterable[Family], source: Source) -> None:
        """Begin.

        Args:
            families: Of the streams of this run.
            source: What to read from.
        """
        events = source.events
        self.root = events
        self.members: Sequence[StripeStream] = ()
        self.answered = False
        self._families = [family for family in families if family.fed]
        self._fed = [member for family in self._families for member in family.fed]
        self._signals = self._listen()
        types = sorted(self._signals)
        listing = events.listing()
        if len(types) <= MOST_TYPES:
            listing = replace(listing, params={**listing.params, "types[]": types})
        self._listing = listing
        self._until = source.settled
        self._recent = source.settled - EVENT_LAG - EVENT_OVERLAP
        positions = [stream.position.begins for stream in self._fed if stream.position]
        begin = min(positions, default=self._until)
        self._waits = False
        self._saw_any = False
        self._probe: Job | None = None
        self._lane = Lane(events)
        self.lanes = [self._lane]
        self._window = _Window(Range(self._until, self._until))
        self._job: Job | None = None
        if self._fed:
            self._open(Range(min(begin, self._until - 1), self._until))

    @property
    def is_read(self) -> bool:
        """Whether all windows are read and written."""
        return self._job is None and self._probe is None and not self._waits

    def receive(self, request: Request, answer: Answer) -> Iterator[Batch | Failure]:
        """Take the answer to a request.

        Raises:
            StripeError: The events can't be read.
        """
        try:
            received = answer.decoded()
        except UnreadableAnswerError as error:
            yield from self.failed(request, error)
            return
        job = request.job
        if job not in self._lane.begun:
            return
        job.answered = self.answered = True
        job.unreadable = 0
        self._lane.pages += 1
        page = job.sweep.receive(request.walk, received)
        if job is self._probe:
            self._saw_any |= bool(page.rows)
            self._lane.end(job)
            self._probe = None
            self._decide()
            return
        for event in page.rows:
            self._take(event)
        job.sweep.written(page)
        if job.sweep.is_read:
            self._lane.end(job)
            self._job = None
            yield from self._hand_over()
        else:
            self._bound(job)

    def failed(self, request: Request, error: Exception) -> Iterator[Failure]:
        """Learn that there is no answer to a request.

        Raises:
            Exception: That error, if nothing can be done.
        """
        job = request.job
        if (
            isinstance(error, UnreadableAnswerError)
            and error.retriable
            and job.unreadable + 1 < MAX_TRIES
        ):
            job.unreadable += 1
            job.sweep.unanswered(request.walk)
            return
        if isinstance(error, CursorGoneError):
            # The cursor's event became too old to be listed, with all that are older.
            job.sweep.cursor_gone(request.walk, error)
            return
        yield from ()
        raise error

    def lost(self, error: Exception) -> Iterator[Failure]:
        """Go on without events.

        Where the credentials may not read them, all is listed instead; on other trouble, streams
        of which there may be changes fail, when all else of them is written.
        """
        self._lane.clear()
        self._job = self._probe = None
        self._waits = False
        forbidden = isinstance(error, ForbiddenError)
        for family in self._families:
            if forbidden:
                family.read_without_feed()
            else:
                yield from family.lose_feed(error)
        self._families = []

    def go_on(self) -> Iterator[Batch | Failure]:
        """Move on, if what was handed over is written."""
        while self._waits and not any(family.is_changing for family in self._families):
            self._waits = False
            span = self._window.span
            for family in self._families:
                for stream in family.fed:
                    recent = self._window.recent.get(stream, set())
                    stream.changed_until(min(span.until, self._recent), recent)
            if span.until >= self._until:
                yield from self._end()
                return
            self._open(self._next_span(span))
        yield from ()

    def leave(self, family: Family) -> None:
        """Tell nothing more to a family that has ended."""
        self._families = [each for each in self._families if each is not family]

    def save(self) -> None:
        """Positions move when windows are written."""

    def finish(self) -> None:
        """Nothing is left to do."""

    def pages_left(self, lane: Lane) -> float | None:
        """A guess at how many requests there are to make; None without a clue."""
        return lane.pages_left if self.answered else None

    # What the events say

    def _listen(self) -> dict[str, list[_Signal]]:
        signals: dict[str, list[_Signal]] = {}
        for family in self._families:
            for stream in family.fed:
                for kind, signal in _signals_of(stream, family):
                    signals.setdefault(kind, []).append(signal)
        return signals

    def _take(self, event: Object) -> None:
        self._window.events += 1
        self._saw_any = True
        kind, at, data = event.get("type"), event.get("created"), event.get("data")
        if not isinstance(kind, str) or type(at) is not int or not isinstance(data, dict):
            return
        source: Any = data.get("object")
        if not isinstance(source, dict):
            return
        for signal in self._signals.get(kind, ()):
            position = signal.stream.position
            if position is None or event["id"] in position.applied:
                self._remember(signal.stream, at, event["id"])
                continue
            if at < position.begins or (at < position.since and not signal.removes):
                continue
            self._remember(signal.stream, at, event["id"])
            changes = self._window.changes.setdefault(signal.family, Changes())
            _apply(event, source, at, signal, changes)

    def _remember(self, stream: StripeStream, at: int, identifier: str) -> None:
        if at >= self._recent:
            recent = self._window.recent.setdefault(stream, set())
            if len(recent) < MOST_REMEMBERED:
                recent.add(identifier)

    # Windows

    def _open(self, span: Range) -> None:
        self._window = _Window(span)
        self._begin(ListJob(listing=self._listing, spans=[span]))

    def _begin(self, job: Job) -> None:
        self._job = job
        self._lane.begun.append(job)

    def _bound(self, job: Job) -> None:
        """Narrow the window where it would hold too many changes."""
        window, span = self._window, self._window.span
        unread = job.sweep.unread
        read = span.until - span.since - sum(part.until - part.since for part in unread)
        expected = window.events * (span.until - span.since) / max(1, read)
        if len(window) > 2 * MOST_CHANGES:
            times = [at for changes in window.changes.values() for at in changes.times]
            at = sorted(times)[len(times) // 2]
        elif self._lane.pages == 1 and expected > 2 * MOST_CHANGES:
            at = span.since + max(1, int((span.until - span.since) * MOST_CHANGES / expected))
        else:
            return
        if not span.since < at < span.until:
            return  # all in one second
        left = common(unread, [Range(span.since, at)])
        window.span = Range(span.since, at)
        for changes in window.changes.values():
            changes.cut(at)
        self._lane.end(job)
        self._begin(ListJob(listing=self._listing, spans=left or [window.span], answered=True))

    def _next_span(self, span: Range) -> Range:
        seconds = span.until - span.since
        if self._window.events:
            seconds = max(1, int(seconds * MOST_CHANGES / self._window.events))
        else:
            seconds = self._until
        return Range(span.until, min(self._until, span.until + seconds))

    def _hand_over(self) -> Iterator[Batch | Failure]:
        self._waits = True
        for family, changes in self._window.changes.items():
            if family in self._families:
                changes.settle()
                yield from family.change(changes)
        self._window.changes.clear()
        yield from self.go_on()

    # The end

    def _end(self) -> Iterator[Batch | Failure]:
        if self._saw_any:
            self._decide()
        else:
            # Either nothing happened, or no events come of this account: then lists must tell.
            self._probe = ListJob(
                listing=replace(self.root.listing(), page_size=1),
                spans=[Range(max(0, self._until - 30 * 86_400), self._until)],
            )
            self._lane.begun.append(self._probe)
        yield from ()

    def _decide(self) -> None:
        for family in self._families:
            family.feed_ends(vouched_until=self._until - EVENT_LAG if self._saw_any else None)
        self._families = []


def removals_in(event: Object | None, change: Change, shown: StripeStream) -> list[Removal]:
    """The rows that went with an object that is not there any more, as its last event shows them.

    Args:
        event: That event; None if it is gone too.
        change: What was known of the object.
        shown: The stream whose list showed it.
    """
    source: Any = None if event is None else event["data"].get("object")
    version = "" if event is None else str(event.get("api_version") or "")
    removals = []
    if not isinstance(source, dict):
        source = {}
    if source.get("id") == change.id:
        removals.append(Removal(shown, change.at, source, version))
        for taker in change.takers - {shown}:
            removals += _children(taker, source, change.at, version, change.id).values()
    elif source:  # one of its children, of which the event told
        kind = source.get("object")
        removals += [
            Removal(taker, change.at, source, version, change.id)
            for taker in change.takers - {shown}
            if kind in taker.resource.objects
        ]
    else:
        logger.warning("%s %s is gone, and so is the event that told of it", shown.name, change.id)
        removals.append(Removal(shown, change.at, {"id": change.id}, version))
    return removals


def _apply(event: Object, source: Object, at: int, signal: _Signal, changes: Changes) -> None:
    """Note what an event says."""
    stream, shown, data = signal.stream, signal.shown, event["data"]
    before: Any = data.get("previous_attributes")
    if not isinstance(before, dict):
        before = {}
    if signal.parent_field is None:
        identifier = _id(source.get("id"))
    else:
        identifier = _id(source.get(signal.parent_field)) or _id(before.get(signal.parent_field))
    if identifier is None:
        return  # a preview (`invoice.upcoming`), or nothing's child
    version = str(event.get("api_version") or "")
    if signal.removes:
        removals = {}
        own = _id(source.get("id"))
        if signal.parent_field is not None and own is not None:
            removals[own] = Removal(stream, at, source, version, identifier)
        elif stream is shown:
            removals[identifier] = Removal(stream, at, source, version)
        else:
            removals = _children(stream, source, at, version, identifier)
        if signal.parent_field is None:
            changes.gone[identifier] = max(at, changes.gone.get(identifier, 0))
        for key, removal in removals.items():
            known = changes.removed.get((stream, key))
            if known is None or known.at <= at:
                changes.removed[stream, key] = removal
        return
    changed = changes.changed.setdefault(shown, {})
    change = changed.get(identifier)
    if change is None:
        change = changed[identifier] = Change(identifier, at, event["id"])
    elif at > change.at:
        change.at, change.event = at, event["id"]
    change.takers.add(stream)
    if signal.parent_field is None:
        change.created = shown.created(source)
    if stream is not shown:
        if former := _children(stream, before, at, version, identifier):
            change.former.setdefault(stream, {}).update(former)


def _children(
    stream: StripeStream, source: Object, at: int, version: str, parent_id: str
) -> dict[str, Removal]:
    """The children that an event's object holds, as if they were gone."""
    parent = stream.resource.parent
    embedded = None if parent is None else embedded_list(source, parent)
    rows: Any = embedded.get("data") if embedded else None
    if not isinstance(rows, list):
        return {}
    return {
        row["id"]: Removal(stream, at, row, version, parent_id)
        for row in rows
        if isinstance(row, dict) and isinstance(row.get("id"), str)
    }


def _id(value: object) -> str | None:
    """An id, also of an object in its place."""
    if isinstance(value, dict):
        value = value.get("id")
    return value if isinstance(value, str) and value else None


def _signals_of(stream: StripeStream, family: Family) -> Iterator[tuple[str, _Signal]]:
    """Which types of events tell of a stream's rows, and of what."""
    resource, root = stream.resource, family.root
    own = resource.event_types
    if resource.parent is None or resource.changes.startswith("feed"):
        for kind in own:
            yield kind, _Signal(stream, family, stream, None, kind in resource.removals)
        return
    for kind in own:
        removes = kind in resource.removals
        yield kind, _Signal(stream, family, root, resource.parent.column, removes)
    if resource.parent.embedded is not None or not own:
        for kind in root.resource.event_types:
            removes = kind in root.resource.removals
            yield kind, _Signal(stream, family, root, None, removes)
