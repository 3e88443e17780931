"""A sample of what was read is read again and compared with what the target was told of it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from tap_stripe_conn.api.client import MAX_TRIES
from tap_stripe_conn.api.crew import Crew
from tap_stripe_conn.api.errors import (
    CursorGoneError,
    ExpandRefusedError,
    ForbiddenError,
    NotFoundError,
    UnreadableAnswerError,
)
from tap_stripe_conn.api.lists import V1_PAGE_SIZE, Range, newest_first
from tap_stripe_conn.api.lookups import IdLookup
from tap_stripe_conn.api.sweeps import Sweep
from tap_stripe_conn.config import ConfigError
from tap_stripe_conn.findings import PARTLY, UNKNOWN, UNREAD, Finding
from tap_stripe_conn.ledger.coverage import is_in_time, spans_told
from tap_stripe_conn.ledger.entries import hash_of, key_of
from tap_stripe_conn.streams.bookmarks import Position, common
from tap_stripe_conn.streams.children import children_in, listing_of, tells_of_none
from tap_stripe_conn.streams.family import ENDS_THE_RUN
from tap_stripe_conn.streams.outcome import Outcome, Status, trouble
from tap_stripe_conn.streams.plans import EVENTS_KEPT, OVERLAP, REREAD_EVERY, is_fed, reread_since

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence

    from tap_stripe_conn.api.client import Answer, Object
    from tap_stripe_conn.api.limits import Limiter
    from tap_stripe_conn.api.lists import Listing, Query
    from tap_stripe_conn.catalogue.resources import Parent
    from tap_stripe_conn.ledger.coverage import Coverage
    from tap_stripe_conn.ledger.ledger import Ledger
    from tap_stripe_conn.streams.source import Source
    from tap_stripe_conn.streams.stream import StripeStream

WORTH: Final = 10
"""How many rows of the sample a request for one parent's children counts for."""

MOST_UNDER_WAY: Final = 64
LONGEST_WAIT: Final = 1.0
"""Seconds after which to look around, even if nothing happens."""

_ALL: Final = Range(-(1 << 40), 1 << 40)

Reading: TypeAlias = "Generator[Query, Object, None]"
"""Asks, and is sent what Stripe answers."""


def verify(  # noqa: PLR0913 - what is compared with what, and how much of it
    streams: Sequence[StripeStream],
    source: Source,
    ledger: Ledger,
    state: Mapping[str, Any] | None,
    *,
    events: StripeStream,
    limiter: Limiter,
    sample: int,
    seed: int,
) -> list[Finding]:
    """Read a sample of each stream again, of what is told and some minutes old.

    Args:
        streams: The selected ones.
        source: What they are read from.
        ledger: What was told of them.
        state: What the last run left; None for what the ledger knows of it.
        events: The stream that tells what has changed since.
        limiter: Says when a request may leave.
        sample: About how many ids of each stream.
        seed: Of the choice.

    Returns:
        What came of each, in their order.

    Raises:
        AuthenticationError: The credentials were withdrawn meanwhile.
        ConfigError: The state or the ledger can't be used.
        CredentialsError: No access token can be had any more.
        UnreachableError: Stripe can't be reached any more.
    """
    comparisons = []
    for stream in streams:
        chance = Random(f"{seed} {stream.name}")  # noqa: S311 - to be drawn again, not to be secret
        span = _Told.of(stream, ledger.coverage(stream.name), state, source)
        comparisons.append(Comparison(stream, ledger, span, sample=sample, chance=chance))
    _drive([_Asked(each.reading(), each.fail) for each in comparisons], source, limiter)
    _excuse(comparisons, events, source, limiter)
    return [comparison.finding for comparison in comparisons]


@dataclass(frozen=True)
class _Told:
    """What was told of a stream, as far as it can be compared."""

    closed: Sequence[Range]
    """Spans of creation time in which nothing may be missing, newest first."""

    untold: Sequence[Range]
    """Spans of time, changes within which the ledger needn't know."""

    remark: str
    """What can't be compared, and why."""

    reread_since: int | None = None
    """Creation time from which on top-level rows are read again by the next run, or that of the
    next day, whatever events tell; None where none are."""

    @classmethod
    def of(
        cls,
        stream: StripeStream,
        coverage: Coverage,
        state: Mapping[str, Any] | None,
        source: Source,
    ) -> _Told:
        in_time = is_in_time(stream.resource)
        known = coverage.spans if coverage.is_whole or in_time else ()
        bookmark = (state or {}).get("bookmarks", {}).get(stream.name) or {}
        read = spans_told(stream.name, bookmark) if in_time and state is not None else known
        if not read:
            return cls((), (), UNKNOWN if read is known else UNREAD)
        overlap = OVERLAP[stream.resource.api_mode]
        position = Position.of(stream.name, bookmark)
        since = position.since if position else coverage.known_until or read[0].until
        untold = newest_first([Range(since - overlap, _ALL.until), *coverage.unknown])
        end = min(read[0].until, source.settled) - overlap
        read = common(read, [source.span])
        closed = common(common(read, known), [Range(0, end)])
        if not closed:
            return cls((), (), UNKNOWN)
        reread = (position.reread if position else 0) or since - REREAD_EVERY
        # A run that kept no ledger may have read rows again that had changed before.
        then = min([reread, *(span.since for span in coverage.unknown)])
        remark = "" if read == common(read, known) else PARTLY
        return cls(closed, untold, remark, _reread_since(stream, then, source.mutable_window))


@dataclass(frozen=True)
class _Doubt:
    """A row that is not as it was told."""

    key: str
    names: list[str]
    """Of the finding: where its key goes if nothing has happened to it since."""

    ids: frozenset[str]
    """By which events would name it: its own, and its parent's."""

    is_settled: bool = False
    """Whether nothing that has happened since can explain it."""

    is_reread: bool = False
    """Whether the target will be told of it whatever events tell."""


class Comparison:
    """One stream's: what Stripe has of it beside what the ledger has."""

    def __init__(
        self,
        stream: StripeStream,
        ledger: Ledger,
        told: _Told,
        *,
        sample: int,
        chance: Random,
    ) -> None:
        """Prepare; nothing is asked yet."""
        self.stream = stream
        self.told = told
        self.finding = Finding(Outcome(stream.name, Status.COMPLETE), remark=told.remark)
        self.doubts: list[_Doubt] = []
        self._ledger = ledger
        self._sample = self._left = sample
        self._chance = chance
        self._seen: set[str] = set()
        self._parents: dict[str, int | None] = {}
        self._asked = stream.root
        self._answered = False

    def reading(self) -> Reading:
        """Read the sample, and compare it."""
        # Every row that is asked for is shaped: which of them to compare is decided here.
        self.stream.plan = replace(self.stream.plan, spans=[_ALL])
        if not self.told.closed:
            yield from self._reading_one()
        elif self.stream.resource.parent is not None:
            yield from self._reading_children(self.stream.resource.parent)
        else:
            yield from self._reading_list()

    def fail(self, error: Exception) -> None:
        """Take note that the stream can't be read."""
        self.finding.outcome = trouble(error, self.stream, self._asked, begun=self._answered)

    def _reading_one(self) -> Reading:
        """Whether there is anything, where nothing can be compared."""
        listing = self._asked.listing()
        found: list[Object] = []
        yield from _listed(
            replace(listing, page_size=1 if listing.page_size else None),
            [None],
            found.extend,
        )
        self.finding.is_compared = not found
        if not found:
            self.finding.remark = ""

    def _reading_list(self) -> Reading:
        name, spans = self.stream.name, self._windows(self.stream)
        if spans:
            # Where little was told there may be much.
            self._left += self._sample
        unread = yield from _listed(self.stream.listing(), spans or [None], self._take)
        if spans:
            read = [span for span in spans if not common([span], unread)]
            gone = self._ledger.created_within(name, read)
        else:
            gone = set() if unread else self._ledger.keys(name)
        yield from self._reading_again(sorted(gone - self._seen))

    def _reading_again(self, keys: Sequence[str]) -> Reading:
        """Ask for rows by their ids: not all that Stripe has are in its lists."""
        resource = self.stream.resource
        if resource.retrieve is None or len(resource.primary_key) > 1:
            self._miss(dict.fromkeys(keys, ""))
            return
        lookup = IdLookup(self.stream.listing(), resource.retrieve)
        for key in keys:
            lookup.add(key)
        while (ask := lookup.ask()) is not None:
            try:
                row = yield ask.query
            except NotFoundError:
                self._miss({lookup.end(ask.walk): ""})
                continue
            rows = lookup.receive(ask.walk, row).rows
            if row.get("deleted") is True:
                self._miss({row["id"]: ""})
            else:
                self._take(rows)

    def _reading_children(self, parent: Parent) -> Reading:
        rows: list[Object] = []

        def take(objects: list[Object]) -> bool:
            rows.extend(objects)
            return len(rows) < self._sample

        spans = self._windows(self._asked)
        yield from _listed(self._asked.listing(), spans or [None], take)
        self._asked = self.stream
        self._chance.shuffle(rows)
        read = []
        for row in rows:
            if self._left <= 0:
                break
            if (yield from self._reading_children_of(row, parent)):
                read.append(row["id"])
        self._miss(self._ledger.children_of(self.stream.name, read))

    def _reading_children_of(self, row: Object, parent: Parent) -> Generator[Query, Object, bool]:
        """Read one parent's, and say whether these are all."""
        self._parents[row["id"]] = self.stream.root.created(row)
        # Those that are embedded lack the fields that only come when asked for.
        fields_lack = parent.embedded_by_expand or bool(self.stream.resource.expand)
        embedded = children_in(row, self.stream)
        if embedded is not None and (not embedded or not fields_lack):
            self._take(embedded, row["id"])
            return True
        self._left -= WORTH
        listing = listing_of(row, parent, self.stream)
        try:
            return not (yield from _listed(listing, [None], partial(self._take, parent=row["id"])))
        except Exception as error:
            if tells_of_none(error, self.stream):
                return True
            raise

    def _windows(self, stream: StripeStream) -> list[Range]:
        """What to read of a list; nothing where its rows can't be asked for by their time."""
        if not is_in_time(stream.resource):
            return []
        closed = self.told.closed
        if stream is not self.stream and self.stream.resource.created_field is not None:
            # In time by their own creation, children may hang off any older parent.
            closed = [Range(0, closed[0].until)]
        return windows(closed, self._ledger.places(stream.name), self._sample, self._chance)

    def _take(self, objects: Sequence[Object], parent: str | None = None) -> bool:
        """Compare; whether to go on."""
        self._answered = True
        stream, finding = self.stream, self.finding
        columns = stream.resource.primary_key
        rows = stream.rows(objects, parent)
        keys = [key_of(row, columns) for row in rows]
        self._seen.update(keys)
        told = self._ledger.hashes(stream.name, keys)
        for key, row, source in zip(keys, rows, objects, strict=True):
            created = stream.created(source)
            if created is not None and not _within(created, self.told.closed):
                continue
            finding.compared += 1
            ids = frozenset({key, row.get("id", key), parent or key})
            reread = self._is_reread(created if parent is None else self._parents[parent])
            if told.get(key) is None:
                is_new = key not in told and created is not None and is_in_time(stream.resource)
                self.doubts.append(_Doubt(key, finding.missing, ids, is_new, reread))
            elif told[key] != hash_of(row):
                self.doubts.append(_Doubt(key, finding.stale, ids, is_reread=reread))
        self._left -= len(rows)
        return self._left > 0

    def _miss(self, told: Mapping[str, str]) -> None:
        """Compare the other way round: what was told (key -> parent) and isn't there."""
        # Reading again what is there tells nothing of what is not, but by ACTIVATE_VERSION.
        stream = self.stream
        is_replaced = not stream.is_incremental and stream.emit_activate_version_messages
        is_told = is_replaced and self.told.reread_since is not None
        for key in sorted(told.keys() - self._seen):
            self.finding.compared += 1
            ids = frozenset({key, key.rpartition("/")[2], told[key]})
            self.doubts.append(_Doubt(key, self.finding.gone, ids, is_reread=is_told))

    def _is_reread(self, created: int | None) -> bool:
        since = self.told.reread_since
        return since is not None and (created is None or created >= since)


def windows(
    closed: Sequence[Range], created: Sequence[int], sample: int, chance: Random
) -> list[Range]:
    """Spans of creation time that hold about as many rows as are wanted, by chance.

    The closed spans are cut wherever a page of rows is full, so that a time of which nothing was
    told is part of a window too.

    Args:
        closed: Those to choose from.
        created: Times of the rows that are known, ascending.
        sample: How many rows.
        chance: Chooses.
    """
    known = [moment for moment in created if _within(moment, closed)]
    if len(known) <= sample:
        return list(closed)
    cuts = sorted({_ALL.since, *known[V1_PAGE_SIZE::V1_PAGE_SIZE], _ALL.until})
    tiles = [Range(since, until) for since, until in pairwise(cuts)]
    chosen = chance.sample(tiles, min(len(tiles), max(1, sample // V1_PAGE_SIZE)))
    return common(closed, chosen)


def _within(moment: int, spans: Sequence[Range]) -> bool:
    return any(span.since <= moment < span.until for span in spans)


# Asking


def _listed(
    listing: Listing,
    spans: Sequence[Range] | Sequence[None],
    take: Callable[[list[Object]], bool | None],
) -> Generator[Query, Object, list[Range]]:
    """Read a list, without expanded fields where Stripe refuses them.

    Args:
        listing: The list.
        spans: Of creation time; `[None]` for all of it.
        take: Gets each page, and says whether to go on.

    Returns:
        What was not read: spans, or any at all where there are none.
    """
    try:
        return (yield from _walked(listing, spans, take))
    except (ExpandRefusedError, ForbiddenError):
        if not listing.expand:
            raise
        return (yield from _walked(replace(listing, expand=()), spans, take))


def _walked(
    listing: Listing,
    spans: Sequence[Range] | Sequence[None],
    take: Callable[[list[Object]], bool | None],
) -> Generator[Query, Object, list[Range]]:
    sweep = Sweep(listing, spans)
    while (ask := sweep.ask()) is not None:
        try:
            answer = yield ask.query
        except CursorGoneError as error:
            sweep.cursor_gone(ask.walk, error)
            continue
        page = sweep.receive(ask.walk, answer)
        sweep.written(page)
        if not take(page.rows) and not sweep.is_read:
            return sweep.unread or [_ALL]
    return []


@dataclass(eq=False)
class _Asked:
    """A reading, and what it asks."""

    reading: Reading
    fail: Callable[[Exception], None]
    """Is told why it can't be gone on with."""

    query: Query | None = None
    unreadable: int = 0
    """Answers to it that could not be read."""


def _drive(readings: Iterable[_Asked], source: Source, limiter: Limiter) -> None:
    """Let them ask side by side, until each has what it wants or fails."""
    todo: deque[_Asked] = deque()
    with Crew[_Asked](source.client) as crew:
        for asked in readings:
            _go_on(asked, None, todo)
        while todo or crew.under_way:
            fetched = crew.next(_ask(todo, crew, limiter))
            if fetched is not None:
                _receive(fetched.purpose, fetched.answer, todo)


def _ask(todo: deque[_Asked], crew: Crew[_Asked], limiter: Limiter) -> float:
    """Let requests go that may, and say how many seconds to wait for the next."""
    pause = LONGEST_WAIT
    for _ in range(len(todo)):
        asked = todo.popleft()
        if asked.query is None or crew.under_way >= MOST_UNDER_WAY:
            todo.append(asked)
            continue
        delay = limiter.admit(asked.query.endpoint)
        if delay > 0:
            pause = min(pause, delay)
            todo.append(asked)
        else:
            crew.fetch(asked, asked.query)
    return pause


def _receive(asked: _Asked, answer: Answer | Exception, todo: deque[_Asked]) -> None:
    if isinstance(answer, Exception):
        _go_on(asked, answer, todo)
        return
    try:
        decoded = answer.decoded()
    except UnreadableAnswerError as error:
        asked.unreadable += 1
        if asked.unreadable < MAX_TRIES:
            todo.append(asked)
        else:
            _go_on(asked, error, todo)
    else:
        asked.unreadable = 0
        _go_on(asked, decoded, todo)


def _go_on(asked: _Asked, answer: Object | Exception | None, todo: deque[_Asked]) -> None:
    try:
        if answer is None:
            asked.query = next(asked.reading)
        elif isinstance(answer, Exception):
            asked.query = asked.reading.throw(answer)
        else:
            asked.query = asked.reading.send(answer)
    except StopIteration:
        return
    except (*ENDS_THE_RUN, ConfigError):
        raise
    except Exception as error:  # noqa: BLE001 - one stream must not cost the others
        asked.fail(error)
    else:
        todo.append(asked)


# What has happened since


def _excuse(
    comparisons: Iterable[Comparison], events: StripeStream, source: Source, limiter: Limiter
) -> None:
    """Name the rows that are in doubt, but for those that something has happened to since."""
    doubted = [comparison for comparison in comparisons if comparison.doubts]
    open_doubts = {
        each: doubts
        for each in doubted
        if _hears_of_changes(each.stream)
        and (doubts := [it for it in each.doubts if not (it.is_settled or it.is_reread)])
    }
    names = {name for doubts in open_doubts.values() for doubt in doubts for name in doubt.ids}
    happened: dict[str, list[int]] = {name: [] for name in names}
    if open_doubts:
        since = min(each.told.untold[-1].since for each in open_doubts)

        def fail(error: Exception) -> None:
            why = trouble(error, events, events).reason
            for each in open_doubts:
                each.finding.remark = f"what has changed since can't be told, events: {why}"

        _drive([_Asked(_reading_events(events, since, happened), fail)], source, limiter)
    for comparison in doubted:
        untold = comparison.told.untold
        too_long_ago = untold[-1].since < source.settled - EVENTS_KEPT
        nobody_knows = too_long_ago and _hears_of_changes(comparison.stream)
        for doubt in comparison.doubts:
            moments = (moment for name in doubt.ids for moment in happened.get(name, ()))
            has_changed = nobody_knows or any(_within(moment, untold) for moment in moments)
            if (doubt.is_reread or has_changed) and not doubt.is_settled:
                comparison.finding.changed += 1
            else:
                doubt.names.append(doubt.key)


def _has_events(stream: StripeStream) -> bool:
    """Whether events tell of each change of its rows, or there is none."""
    return {stream.resource.changes, stream.shown_by.resource.changes} <= _TOLD_OF


_TOLD_OF: Final = frozenset({"append_only", "feed", "parent"})


def _hears_of_changes(stream: StripeStream) -> bool:
    """Whether an event leads to a row of the stream being read again."""
    return _has_events(stream) or is_fed(stream.resource, stream.root.resource)


def _reread_since(stream: StripeStream, then: int, window: int) -> int | None:
    if _has_events(stream):
        # However much is read again: a change that no event told of is wrong.
        return None
    if not stream.is_incremental:
        return 0
    return reread_since(stream.resource, stream.root.resource, then, window)


def _reading_events(events: StripeStream, since: int, happened: dict[str, list[int]]) -> Reading:
    """Note of each id in `happened` when something has happened to it."""

    def take(objects: list[Object]) -> bool:
        for event in objects:
            for name in happened.keys() & _named(event):
                happened[name].append(event.get("created", 0))
        return True

    yield from _listed(events.listing(), [Range(since, _ALL.until)], take)


def _named(event: Object) -> set[str]:
    """What an event is about: the object, and what that belongs to."""
    data = event.get("data")
    told = data.get("object") if isinstance(data, dict) else None
    values = told.values() if isinstance(told, dict) else ()
    return {value for value in values if type(value) is str}
