"""Stripe's events as a feed of what changed: one pass a run, for all streams.

An event only says which object changed: what it shows is rendered in the account's own API version
of that moment (https://docs.stripe.com/api/events/object). So the object is read again.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from tap_stripe_conn.api.client import MAX_TRIES
from tap_stripe_conn.api.errors import (
    CursorGoneError,
    ForbiddenError,
    UnreadableAnswerError,
)
from tap_stripe_conn.api.lists import Range
from tap_stripe_conn.streams.bookmarks import common
from tap_stripe_conn.streams.events import Changes, Event, signals_of
from tap_stripe_conn.streams.lanes import Lane, ListJob
from tap_stripe_conn.streams.plans import EVENT_LAG, EVENT_OVERLAP, EVENTS_STORED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tap_stripe_conn.api.client import Answer, Object
    from tap_stripe_conn.streams.events import Signal
    from tap_stripe_conn.streams.family import Family
    from tap_stripe_conn.streams.lanes import Job, Request
    from tap_stripe_conn.streams.results import Batch, Failure
    from tap_stripe_conn.streams.source import Source
    from tap_stripe_conn.streams.stream import StripeStream

MOST_CHANGES: Final = 10_000
"""Changed objects in a window, about: more would take more memory."""

FEW: Final = 10
"""Lists that are asked for new rows in each run, whatever events tell, if they are no more: what a
request each costs is nothing against a row that is missed. With more, events say which are to be
asked; and always of lists that can't be asked for new rows alone."""

ENOUGH_TO_GUESS: Final = 1_000
"""Events of a window from which is guessed how many there are: a burst is no measure."""

MOST_TYPES: Final = 20
"""Types of events that can be asked for at once (https://docs.stripe.com/api/events/list)."""

MOST_REMEMBERED: Final = 200
"""Ids of applied events in a stream's state. Of further ones the objects are read once more."""

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Window:
    """A span of events, and what they tell."""

    span: Range
    changes: dict[Family, Changes] = field(default_factory=dict)
    events: int = 0
    recent: dict[StripeStream, dict[str, int]] = field(default_factory=dict)
    """The newest events, which the next run will look at again: id -> Unix seconds."""

    is_narrowed: bool = False

    def remember(self, stream: StripeStream, event: Event) -> None:
        """Tell the next run that this event is applied."""
        recent = self.recent.setdefault(stream, {})
        if len(recent) < MOST_REMEMBERED:
            recent[event.id] = event.at

    def narrow(self, at: int) -> None:
        """Leave what happened at that moment or later to the next window."""
        self.span = Range(self.span.since, at)
        self.is_narrowed = True
        for changes in self.changes.values():
            changes.cut(at)
        for stream, recent in self.recent.items():
            self.recent[stream] = {key: when for key, when in recent.items() if when < at}

    def __len__(self) -> int:
        return sum(map(len, self.changes.values()))


class Feed:
    """The events since the oldest of the streams' positions, window by window, the oldest first.

    It does no I/O: its lane says what to ask. A window's changes go to the families of streams.
    When all are written the streams' positions move, and the next window begins.
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
        self._by_object = [
            next(signals_of(stream, family))[1]
            for family in self._families
            for stream in family.fed
            if stream is stream.shown_by
        ]
        self._known = {
            kind for each in source.catalogue.resources.values() for kind in each.event_types
        }
        types = sorted(self._signals)
        listing = events.listing()
        if len(types) <= MOST_TYPES:
            listing = replace(listing, params={**listing.params, "types[]": types})
        self._listing = listing
        self._until = source.now
        self._recent = source.settled - EVENT_LAG - EVENT_OVERLAP
        self._wanted_until = source.span.until
        self._seen_until = {
            stream: stream.position.since + EVENT_LAG + EVENT_OVERLAP
            for stream in self._fed
            if stream.position
        }
        positions = [stream.position.begins for stream in self._fed if stream.position]
        begin = min(positions, default=self._until)
        self._waits = False
        self._saw_any = False
        self._are_few = len(self._families) <= FEW
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
        of which there may be changes fail.
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
                    recent = self._window.recent.get(stream, {})
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

    def _listen(self) -> dict[str, list[Signal]]:
        signals: dict[str, list[Signal]] = {}
        for family in self._families:
            for stream in family.fed:
                for kind, signal in signals_of(stream, family):
                    signals.setdefault(kind, []).append(signal)
        return signals

    def _take(self, sent: Object) -> None:
        self._window.events += 1
        self._saw_any = True
        event = Event.of(sent)
        if event is None:
            return
        for signal in self._signals.get(event.kind) or self._signals_about(event):
            position = signal.stream.position
            if position is None or event.at < position.begins:
                continue
            if event.at < position.since and not event.tells_of_removal(signal):
                continue
            if event.id not in position.applied:
                changes = self._window.changes.setdefault(signal.family, Changes())
                changes.note(event, signal)
                if signal.removes and event.at <= self._seen_until[signal.stream]:
                    # What came after it may have been applied before: an id can be used again.
                    changes.doubt(event, signal)
            if self._recent <= event.at < self._wanted_until:
                self._window.remember(signal.stream, event)

    def _signals_about(self, event: Event) -> Iterable[Signal]:
        """What an event of a type that Stripe has added since says: by what it is about."""
        if event.kind in self._known:
            return ()
        kind = event.source.get("object")
        return [
            signal._replace(removes=event.kind.endswith(".deleted"))
            for signal in self._by_object
            if kind in signal.stream.resource.objects
        ]

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
        elif (
            not window.is_narrowed
            and window.events >= ENOUGH_TO_GUESS
            and expected > 2 * MOST_CHANGES
        ):
            at = span.since + max(1, int((span.until - span.since) * MOST_CHANGES / expected))
        else:
            return
        if not span.since < at < span.until:
            return  # all in one second
        left = common(unread, [Range(span.since, at)])
        window.narrow(at)
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
                yield from self._tell(family, changes)
        self._window.changes.clear()
        yield from self.go_on()

    def _tell(self, family: Family, changes: Changes) -> Iterator[Batch | Failure]:
        changes.settle()
        try:
            yield from family.change(changes)
        except Exception as error:  # noqa: BLE001 - one family must not cost the others
            self.leave(family)
            yield from family.lose_feed(error)

    # The end

    def _end(self) -> Iterator[Batch | Failure]:
        all_are_asked = self._are_few and all(each.is_listed_by_time for each in self._families)
        if self._saw_any or all_are_asked:
            self._decide()
        else:
            # Either nothing happened, or no events come of this account: then lists must tell.
            self._probe = ListJob(
                listing=replace(self.root.listing(), page_size=1),
                spans=[Range(max(0, self._until - EVENTS_STORED), self._until)],
            )
            self._lane.begun.append(self._probe)
        yield from ()

    def _decide(self) -> None:
        for family in self._families:
            family.feed_ends(tells=self._saw_any, few=self._are_few)
        self._families = []
