"""What is read again of one list, because events told that it has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_stripe_conn.api.lookups import IdLookup, Wanted, WindowLookup
from tap_stripe_conn.streams.lanes import Lane, LookupJob

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tap_stripe_conn.api.lists import Listing
    from tap_stripe_conn.streams.events import Change
    from tap_stripe_conn.streams.stream import StripeStream

EVENT_BY_ID = "/v1/events/{id}"


class Lookups:
    """Objects to read again, by id or by listing the windows that contain them."""

    def __init__(
        self,
        stream: StripeStream,
        listing: Listing,
        events: Listing,
        feeds: Sequence[Lane],
    ) -> None:
        """Have nothing to look up.

        Args:
            stream: Whose list shows the objects.
            listing: That list, with what is to be expanded.
            events: That of Stripe's events.
            feeds: Lanes of the objects' children.
        """
        self._stream = stream
        self._listing = listing
        self._ids = IdLookup(listing, stream.resource.retrieve or "")
        self._events = IdLookup(events, EVENT_BY_ID)
        self._gone: dict[str, Change] = {}
        self.events = LookupJob(stream=stream, lookup=self._events)
        """Events, of objects that are gone: they hold how those were last."""

        self._windows = Lane(stream, feeds)
        self.lanes = [
            self._windows,
            Lane(
                stream,
                feeds,
                begun=[LookupJob(stream=stream, lookup=self._ids)],
                endpoint=stream.resource.retrieve or "",
            ),
            Lane(stream, begun=[self.events], endpoint=EVENT_BY_ID),
        ]
        """What there is to ask, by endpoint."""

    def add(self, changes: Iterable[Change]) -> None:
        """Look up some more."""
        wanted = []
        listing = self._listing
        by_time = (
            self._stream.resource.parent is None  # or each parent has a list of its own
            and listing.created_filter == "range"
            and listing.created_field is not None
        )
        for change in changes:
            if change.created is None or not by_time:
                self._ids.add(change.id)
            else:
                wanted.append(Wanted(change.id, change.created))
        lookup = WindowLookup(listing, wanted, self._ids)
        if not lookup.is_read:
            self._windows.begun.append(LookupJob(stream=self._stream, lookup=lookup))

    def clean(self) -> None:
        """Forget windows that are read."""
        self._windows.begun[:] = [job for job in self._windows.begun if not job.sweep.is_read]

    def ask_for_event(self, change: Change) -> None:
        """Look up the event that tells how an object was last."""
        self._gone[change.event] = change
        self._events.add(change.event)

    def change_of(self, event_id: str) -> Change:
        """Whose event that was."""
        return self._gone.pop(event_id)

    def without_expanding(self) -> None:
        """Ask for no expanded fields from now on."""
        self._ids.without_expanding()
        for job in self._windows.begun:
            if isinstance(job, LookupJob):
                job.lookup.without_expanding()

    @property
    def is_read(self) -> bool:
        """Whether all is asked and received."""
        return not any(map(len, self.lanes))
