"""What Stripe's events say of the streams' rows."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from tap_stripe_conn.streams.children import embedded_list

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_stripe_conn.api.client import Object
    from tap_stripe_conn.streams.family import Family
    from tap_stripe_conn.streams.stream import StripeStream

logger = logging.getLogger(__name__)


class Event(NamedTuple):
    """An event, as far as it matters."""

    id: str
    kind: str
    """Its type."""

    at: int
    """Unix seconds."""

    api_version: str
    """Which `source` and `before` are rendered in: the account's own of that moment."""

    source: Object
    """What it is about, as that was then."""

    before: Object
    """Values that it had before."""

    @classmethod
    def of(cls, sent: Object) -> Event | None:
        """The event that Stripe sent; None if it is about no object."""
        kind, at, data = sent.get("type"), sent.get("created"), sent.get("data")
        if not isinstance(kind, str) or type(at) is not int or not isinstance(data, dict):
            return None
        source, before = data.get("object"), data.get("previous_attributes")
        if not isinstance(source, dict):
            return None
        version = str(sent.get("api_version") or "")
        return cls(
            sent["id"], kind, at, version, source, before if isinstance(before, dict) else {}
        )

    def about(self, parent_field: str | None) -> str | None:
        """The id of the object that it is about, or that the field of that object names."""
        if parent_field is None:
            return _id(self.source.get("id"))
        return _id(self.source.get(parent_field)) or _id(self.before.get(parent_field))

    def tells_of_removal(self, signal: Signal) -> bool:
        """Whether a row may be gone since, be it a child that its parent had before."""
        return signal.removes or (
            signal.stream is not signal.shown
            and bool(children_of(self, self.before, signal.stream, ""))
        )

    def removals(self, signal: Signal, identifier: str) -> list[Removal]:
        """The rows of a stream that are gone with what it is about."""
        stream = signal.stream
        if signal.parent_field is None and stream is not signal.shown:
            return children_of(self, self.source, stream, identifier)
        if _id(self.source.get("id")) is None:
            return []
        parent_id = None if signal.parent_field is None else identifier
        return [Removal(stream, self.at, self.source, self.api_version, parent_id)]


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

    since: int
    """Unix seconds, of the oldest event that tells of it."""

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

    def note(self, event: Event, signal: Signal) -> None:
        """Take what an event says of one stream."""
        identifier = event.about(signal.parent_field)
        if identifier is None:
            return  # a preview (`invoice.upcoming`), or nothing's child
        if signal.removes:
            self._note_removal(event, signal, identifier)
        else:
            self._note_change(event, signal, identifier)

    def doubt(self, event: Event, signal: Signal) -> None:
        """Have an object looked up that an event says is gone, if its id can be used again."""
        identifier = event.about(signal.parent_field)
        if identifier is not None and signal.shown.resource.chosen_ids:
            self._note_change(event, signal, identifier)

    def _note_removal(self, event: Event, signal: Signal, identifier: str) -> None:
        stream = signal.stream
        if signal.parent_field is None:
            self.gone[identifier] = max(event.at, self.gone.get(identifier, 0))
        for removal in event.removals(signal, identifier):
            key = (stream, removal.source["id"])
            if key not in self.removed or self.removed[key].at <= event.at:
                self.removed[key] = removal

    def _note_change(self, event: Event, signal: Signal, identifier: str) -> None:
        changed = self.changed.setdefault(signal.shown, {})
        change = changed.setdefault(identifier, Change(identifier, event.at, event.id, event.at))
        change.since = min(change.since, event.at)
        if event.at > change.at:
            change.at, change.event = event.at, event.id
        change.takers.add(signal.stream)
        if signal.parent_field is None:
            change.created = signal.shown.created(event.source)
        if signal.stream is not signal.shown:
            former = children_of(event, event.before, signal.stream, identifier)
            if former:
                known = change.former.setdefault(signal.stream, {})
                known.update((removal.source["id"], removal) for removal in former)

    def settle(self) -> None:
        """Of an object that is said to be gone and to have changed, keep what was said last.

        Within a second there is no order: it is read again.
        """
        for (stream, identifier), removal in list(self.removed.items()):
            if removal.parent_id is None:
                change = self._newest(stream, identifier)
                if change is not None and change.at >= removal.at and stream in change.takers:
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
                    for stream, former in change.former.items():
                        for identifier, removal in former.items():
                            self.removed.setdefault((stream, identifier), removal)

    def _newest(self, stream: StripeStream, identifier: str) -> Change | None:
        return self.changed.get(stream, {}).get(identifier)

    def cut(self, at: int) -> None:
        """Forget what only happened at that moment or later."""
        for changes in self.changed.values():
            for identifier in [each.id for each in changes.values() if each.since >= at]:
                del changes[identifier]
        for key in [key for key, removal in self.removed.items() if removal.at >= at]:
            del self.removed[key]

    @property
    def times(self) -> list[int]:
        """When they happened, or first did."""
        changed = (each.since for changes in self.changed.values() for each in changes.values())
        return [*changed, *(removal.at for removal in self.removed.values())]


class Signal(NamedTuple):
    """What events of one type say of a stream."""

    stream: StripeStream
    family: Family
    shown: StripeStream
    """The stream whose list shows the object that is to be read again: itself, or its parent."""

    parent_field: str | None
    """Field of the event's object that names the object to read again; None: it is the object."""

    removes: bool


def signals_of(stream: StripeStream, family: Family) -> Iterator[tuple[str, Signal]]:
    """Which types of events tell of a stream's rows, and of what."""
    resource, root, parent = stream.resource, family.root, stream.resource.parent
    if parent is None or resource.changes.startswith("feed"):
        for kind in resource.event_types:
            yield kind, Signal(stream, family, stream, None, kind in resource.removals)
        for kind, field_name in resource.mentioned_by.items():
            yield kind, Signal(stream, family, stream, field_name, removes=False)
        return
    for kind in resource.event_types:
        yield kind, Signal(stream, family, root, parent.column, kind in resource.removals)
    own = {kind.rpartition(".")[2] for kind in resource.event_types}
    follows = not own or (parent.embedded is not None and not own >= {"created", "updated"})
    for kind in root.resource.event_types:
        if follows or kind in root.resource.removals:
            yield kind, Signal(stream, family, root, None, kind in root.resource.removals)
    for kind, field_name in root.resource.mentioned_by.items() if follows else ():
        yield kind, Signal(stream, family, root, field_name, removes=False)


def removals_in(sent: Object | None, change: Change, shown: StripeStream) -> list[Removal]:
    """The rows that went with an object that is not there any more, as its last event shows them.

    Args:
        sent: That event; None if it is gone too.
        change: What was known of the object.
        shown: The stream whose list showed it.
    """
    event = None if sent is None else Event.of(sent)
    if event is None:
        logger.warning("%s %s is gone, and so is the event that told of it", shown.name, change.id)
        return [Removal(shown, change.at, {"id": change.id}, "")]
    children = change.takers - {shown}
    if event.source.get("id") == change.id:
        own = Removal(shown, change.at, event.source, event.api_version)
        return [
            own,
            *(
                each
                for child in children
                for each in children_of(event, event.source, child, own.source["id"])
            ),
        ]
    # It told of a child.
    return [
        Removal(child, change.at, event.source, event.api_version, change.id)
        for child in children
        if event.source.get("object") in child.resource.objects
    ]


def children_of(
    event: Event, source: Object, stream: StripeStream, parent_id: str
) -> list[Removal]:
    """The children that an object of an event holds, as if they were gone."""
    parent = stream.resource.parent
    embedded = None if parent is None else embedded_list(source, parent)
    rows: Any = embedded.get("data") if embedded else None
    if not isinstance(rows, list):
        return []
    return [
        Removal(stream, event.at, row, event.api_version, parent_id)
        for row in rows
        if isinstance(row, dict) and _id(row.get("id")) is not None
    ]


def _id(value: object) -> str | None:
    """An id, also of an object in its place."""
    if isinstance(value, dict):
        value = value.get("id")
    return value if isinstance(value, str) and value else None
