"""What events told of one family's objects: those that changed are read again, those gone told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from tap_stripe_conn.api.errors import NotFoundError
from tap_stripe_conn.api.lookups import IdLookup
from tap_stripe_conn.streams.events import removals_in
from tap_stripe_conn.streams.lookups import Lookups
from tap_stripe_conn.streams.results import Batch
from tap_stripe_conn.streams.tally import Way

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tap_stripe_conn.api.client import Object
    from tap_stripe_conn.api.lists import Listing, Range
    from tap_stripe_conn.streams.events import Change, Changes, Removal
    from tap_stripe_conn.streams.lanes import Lane, LookupJob, Request
    from tap_stripe_conn.streams.rows import Row
    from tap_stripe_conn.streams.stream import StripeStream

MOST_DATES: Final = 100_000
"""Changes that are kept for the date of rows that are listed."""

RESOURCE_MISSING: Final = "resource_missing"
INVALID_REQUEST: Final = "invalid_request_error"
"""How Stripe says that there is no such object (https://docs.stripe.com/error-codes); older
accounts get the words alone."""


class Found(NamedTuple):
    """Top-level objects that were read again: rows are to be made of them and their children."""

    job: LookupJob
    rows: list[Object]
    changes: dict[str, Change]
    """By id."""


class Hydration:
    """The objects of one family that events told of.

    Like the family it does no I/O: its lanes say what to ask.
    """

    def __init__(
        self,
        root: StripeStream,
        members: Sequence[StripeStream],
        listing: Listing,
        events: Listing,
        feeds: Sequence[Lane],
    ) -> None:
        """Have nothing to read again.

        Args:
            root: The top-level list.
            members: The streams to read, as long as they can be.
            listing: That list, with what is to be expanded.
            events: That of Stripe's events.
            feeds: Lanes of the children.
        """
        self._root = root
        self._members = members
        self._changes: dict[StripeStream, dict[str, Change]] = {}
        self._lookups: dict[StripeStream, Lookups] = {}
        self.is_told_of = False
        """Whether an event was about the family."""

        self.listed: dict[str, Change] = {}
        """Changes of objects that the list shows anyway, by id."""

        self.lanes: list[Lane] = []
        """What there is to ask, by endpoint."""

        for stream in dict.fromkeys(each.shown_by for each in members if each.plan.fed):
            own = (listing, feeds) if stream is root else (stream.listing(), ())
            self._lookups[stream] = Lookups(stream, own[0], events, own[1])
            self.lanes += self._lookups[stream].lanes

    @property
    def is_read(self) -> bool:
        """Whether all is asked and received."""
        return all(each.is_read for each in self._lookups.values())

    def change(self, changes: Changes) -> Iterator[Batch]:
        """Take what the events of a window say, when all of the window before is written."""
        self._changes = changes.changed
        self.is_told_of |= len(changes) > 0
        for stream, changed in changes.changed.items():
            wanted = []
            for change in changed.values():
                for taker in change.takers:
                    taker.tally.changed += 1
                if self._is_to_look_up(stream, change):
                    wanted.append(change)
                elif len(self.listed) < MOST_DATES:
                    self.listed[change.id] = change
            self._lookups[stream].add(wanted)
        for stream in self._members:
            if removed := [each for each in changes.removed.values() if each.stream is stream]:
                stream.tally.changed += len(removed)
                yield Batch(stream, removed_rows(removed), Way.DELETED)

    def receive(self, job: LookupJob, request: Request, answer: Object) -> Iterator[Batch | Found]:
        """Take the answer to a request.

        Raises:
            StripeError: It is none.
            UnexpectedObjectError: Likewise.
        """
        stream, lookups = job.stream, self._lookups[job.stream]
        job.answered, job.unreadable = True, 0
        changes = self._changes.get(stream, {})
        if isinstance(job.lookup, IdLookup) and answer.get("deleted") is True:
            yield from self._is_gone(stream, changes[job.lookup.end(request.walk)])
            return
        page = job.lookup.receive(request.walk, answer)
        lookups.clean()
        if job is lookups.events:
            change = lookups.change_of(answer["id"])
            yield from self._write_removed(change, removals_in(answer, change, stream))
            return
        rows = []
        for row in page.rows:
            change = changes[row["id"]]
            if _is_detached(row, stream):
                yield from self._is_gone(stream, change)
            elif not (row.get("test_clock") and stream.resource.on_test_clocks):
                rows.append(row)
        if stream is self._root:
            yield Found(job, rows, changes)
        elif rows:
            yield Batch(stream, stream.rows(rows, changes=changes), Way.HYDRATED)

    def failed(self, job: LookupJob, request: Request, error: Exception) -> Iterator[Batch]:
        """Learn that there is no answer to a request.

        Raises:
            Exception: That error, if it does not say that the object is gone.
        """
        if not _says_gone(error) or not isinstance(job.lookup, IdLookup):
            raise error
        stream, lookups = job.stream, self._lookups[job.stream]
        identifier = job.lookup.end(request.walk)
        if job is lookups.events:
            change = lookups.change_of(identifier)
            yield from self._write_removed(change, removals_in(None, change, stream))
        else:
            yield from self._is_gone(stream, self._changes[stream][identifier])

    def without_expanding(self) -> None:
        """Ask for no expanded fields from now on."""
        for lookups in self._lookups.values():
            lookups.without_expanding()

    def _is_to_look_up(self, stream: StripeStream, change: Change) -> bool:
        takers = change.takers.intersection(self._members)
        created = change.created
        if not takers or created is None or stream is not self._root:
            return bool(takers)
        if change.removal is not None or change.former or stream.resource.told_though_hidden:
            return True  # what a list may not show
        plans = [taker.plan for taker in takers]
        return any(plan.wants(created) and not _holds(plan.fresh, created) for plan in plans)

    def _is_gone(self, stream: StripeStream, change: Change) -> Iterator[Batch]:
        """An object that changed is not there any more: its last known row says so."""
        if change.removal is None:
            # As it was last is in the event, which was not kept.
            self._lookups[stream].ask_for_event(change)
        else:
            yield from self._write_removed(change, [change.removal])

    def _write_removed(self, change: Change, removals: list[Removal]) -> Iterator[Batch]:
        for former in change.former.values():
            removals += former.values()
        for taker in self._members:
            rows = removed_rows(each for each in removals if each.stream is taker)
            if rows and taker in change.takers:
                yield Batch(taker, rows, Way.DELETED)


def removed_rows(removals: Iterable[Removal]) -> list[Row]:
    """The rows that say so."""
    rows = (
        each.stream.removed_row(each.source, each.at, each.api_version, each.parent_id)
        for each in removals
    )
    return [row for row in rows if row is not None]


def _says_gone(error: Exception) -> bool:
    """Whether Stripe says that there is no such object; a proxy's 404 says nothing of it."""
    return isinstance(error, NotFoundError) and (
        error.code == RESOURCE_MISSING
        or (error.type == INVALID_REQUEST and error.message.startswith("No such "))
    )


def _holds(spans: Iterable[Range], created: int) -> bool:
    return any(span.since <= created < span.until for span in spans)


def _is_detached(row: Object, stream: StripeStream) -> bool:
    """Whether an object is there still, but hangs off nothing, so that no list shows it.

    Of that its own event may have told long ago, and an older one have come late.
    """
    return any(kind.endswith(".detached") for kind in stream.resource.removals) and not (
        row.get("customer") or row.get("customer_account")
    )
