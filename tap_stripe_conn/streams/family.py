"""A top-level list and the children that hang off it, read in one walk."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from tap_stripe_conn.api.errors import (
    AuthenticationError,
    ConnectionFailedError,
    CredentialsError,
    ExpandRefusedError,
    ForbiddenError,
)
from tap_stripe_conn.api.lists import Range, pages
from tap_stripe_conn.streams.children import children_of, without_lists

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tap_stripe_conn.api.client import Object
    from tap_stripe_conn.api.lists import Listing
    from tap_stripe_conn.streams.rows import Row
    from tap_stripe_conn.streams.source import Source
    from tap_stripe_conn.streams.stream import StripeStream


def families(streams: Iterable[StripeStream]) -> list[list[StripeStream]]:
    """The streams, those together that one top-level list leads to."""
    by_root: dict[str, list[StripeStream]] = {}
    for stream in streams:
        by_root.setdefault(stream.root.name, []).append(stream)
    return list(by_root.values())


class Batch(NamedTuple):
    """Rows to write. Asking for the next batch says that they are written."""

    stream: StripeStream
    rows: list[Row]


class Failure(NamedTuple):
    """A child that can't be read further; the rest of the family goes on."""

    stream: StripeStream
    error: Exception


class Family:
    """The streams that one walk over a top-level list can fill."""

    def __init__(self, root: StripeStream, members: Sequence[StripeStream], source: Source) -> None:
        """Plan the walk.

        Args:
            root: The top-level list, which need not be a member.
            members: The streams to read: the root, children of it, or both.
            source: What to read them from.
        """
        self.root = root
        self.members = list(members)
        self.answered = False
        """Whether a page of the top-level list has come."""
        self._source = source
        # Embedded lists that are only there because a child asks for them.
        parents = (child.resource.parent for child in self._children)
        self._expanded = [parent for parent in parents if parent and parent.embedded_by_expand]

    def read(self) -> Iterator[Batch | Failure]:
        """Read everything that is new, and move the members' bookmarks as it is written.

        Raises:
            StripeError: The top-level list can't be read; what was yielded stands.
            ConnectionFailedError: Likewise.
            UnexpectedObjectError: Likewise.
        """
        for member in self.members:
            member.begin(self._source)
        if self.root.resource.singleton:
            yield from self._take([self._source.client.get(self.root.resource.path)])
        else:
            yield from self._walk()
        for member in self.members:
            member.finish()

    def _walk(self) -> Iterator[Batch | Failure]:
        spans = self._spans()
        for index, span in enumerate(spans):
            for objects, unread in self._pages(span):
                yield from self._take(objects)
                if not self.members:
                    return
                if self.root in self.members:
                    left = [unread, *spans[index + 1 :]]
                    self.root.unread([span for span in left if span is not None])

    def _pages(self, span: Range | None) -> Iterator[tuple[list[Object], Range | None]]:
        """Pages of the top-level list, each with the span that is unread after it.

        A field to expand that is closed to this account or key must not close the whole list.
        """
        listing = self.root.listing(expand=self._expand())
        started = False
        try:
            for page in self._pages_of(listing, span):
                started = True
                yield page
        except (ExpandRefusedError, ForbiddenError) as error:
            if started or not listing.expand:
                raise
            for page in self._pages_of(replace(listing, expand=()), span):
                if not started:
                    started = True
                    self.root.logger.warning(
                        "%s is read without expanded fields: %s", self.root.name, error
                    )
                yield page

    def _pages_of(
        self, listing: Listing, span: Range | None
    ) -> Iterator[tuple[list[Object], Range | None]]:
        walk = listing.walk(span)
        for objects in pages(self._source.client, walk):
            self.answered = True
            yield objects, walk.unread

    def _spans(self) -> list[Range] | list[None]:
        """Where to walk. Children that are in time by their own creation need every parent."""
        if self.root.resource.created_filter is None:
            return [None]
        if self.members == [self.root]:
            return list(self.root.spans)
        since = [self._source.span.since]
        since += [span.since for member in self.members for span in member.spans[-1:]]
        if any(child.resource.created_field for child in self._children):
            since.append(0)
        return [Range(min(since), self._source.span.until)]

    def _take(self, objects: list[Object]) -> Iterator[Batch | Failure]:
        if self.root in self.members:
            shown = [without_lists(source, self._expanded) for source in objects]
            yield Batch(self.root, self.root.rows(shown))
        for child in self._children:
            try:
                for parent_row in objects:
                    if self._is_parent(parent_row, child):
                        for found in children_of(parent_row, child, self._source.client):
                            yield Batch(child, child.rows(found, parent_row["id"]))
            except (AuthenticationError, CredentialsError):
                raise
            except Exception as error:  # a child's trouble must not cost its family
                lost = isinstance(error, ConnectionFailedError)
                if lost and not self._source.client.reachable():
                    raise
                self.members.remove(child)
                yield Failure(child, error)

    def _is_parent(self, parent_row: Object, child: StripeStream) -> bool:
        """Whether a child without a creation time of its own is in time by its parent's."""
        if child.resource.created_field is not None:
            return True
        created = self.root.created(parent_row)
        return created is None or self._source.span.since <= created < self._source.span.until

    @property
    def _children(self) -> list[StripeStream]:
        return [member for member in self.members if member is not self.root]

    def _expand(self) -> list[str]:
        fields = []
        for child in self._children:
            parent = child.resource.parent
            if parent is None or parent.embedded is None:
                continue
            if parent.embedded_by_expand:
                fields.append(parent.embedded)
            fields += [f"{parent.embedded}.data.{name}" for name in child.resource.expand]
        return fields
