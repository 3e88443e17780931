"""A top-level list and the children that hang off it, read together."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from tap_stripe_conn.api.client import MAX_TRIES
from tap_stripe_conn.api.crew import fetch
from tap_stripe_conn.api.errors import (
    AuthenticationError,
    CredentialsError,
    CursorGoneError,
    ExpandRefusedError,
    ForbiddenError,
    NotFoundError,
    UnreachableError,
    UnreadableAnswerError,
)
from tap_stripe_conn.api.lists import newest_first
from tap_stripe_conn.streams.children import children_in, listing_of, tells_of_none, without_lists
from tap_stripe_conn.streams.lanes import ChildrenJob, Job, Lane, Parents
from tap_stripe_conn.streams.tally import Way

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tap_stripe_conn.api.client import Answer, Object
    from tap_stripe_conn.api.lists import Range
    from tap_stripe_conn.streams.lanes import Request
    from tap_stripe_conn.streams.rows import Row
    from tap_stripe_conn.streams.source import Source
    from tap_stripe_conn.streams.stream import StripeStream

ENDS_THE_RUN: Final = (AuthenticationError, CredentialsError, UnreachableError)
"""What is not one stream's trouble."""


logger = logging.getLogger(__name__)


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
    way: Way


class Failure(NamedTuple):
    """A child that can't be read further; the rest of the family goes on."""

    stream: StripeStream
    error: Exception


class Family:
    """The streams that one top-level list can fill.

    It does no I/O but for `read`: its lanes say what to ask; `receive` or `failed` is told what
    came of it, in any order, and says what to write.
    """

    def __init__(self, root: StripeStream, members: Sequence[StripeStream], source: Source) -> None:
        """Begin a run.

        Args:
            root: The top-level list, which need not be a member.
            members: The streams to read: the root, children of it, or both.
            source: What to read them from.
        """
        self.root = root
        self.members = list(members)
        self._source = source
        for member in self.members:
            member.begin(source)
        children = [member for member in self.members if member is not root]
        # Embedded lists that are only there because a child asks for them.
        parents = (child.resource.parent for child in children)
        self._expanded = [parent for parent in parents if parent and parent.embedded_by_expand]
        listing = root.listing(expand=_expand(children))
        self._top = Job(listing=listing, spans=self._spans())
        self._children = {child: Lane(child) for child in children}
        feeds = list(self._children.values())
        self._top_lane = Lane(root, feeds, begun=[self._top])
        self.lanes = [*feeds, self._top_lane]
        """What there is to ask, by endpoint."""

    @property
    def answered(self) -> bool:
        """Whether a page of the top-level list has come."""
        return self._top.answered

    @property
    def is_read(self) -> bool:
        """Whether all is asked and received."""
        if not self.members:
            return True
        return self._top.sweep.is_read and not any(self._children.values())

    def receive(self, request: Request, answer: Answer) -> Iterator[Batch | Failure]:
        """Take the answer to a request.

        Raises:
            StripeError: The top-level list can't be read further; what was yielded stands.
            UnexpectedObjectError: Likewise.
        """
        try:
            received = answer.decoded()
        except UnreadableAnswerError as error:
            yield from self.failed(request, error)
            return
        job = request.job
        if isinstance(job, ChildrenJob):
            yield from self._receive_children(job, request, received)
        elif job is self._top:
            job.answered, job.unreadable = True, 0
            self._top_lane.pages += 1
            page = job.sweep.receive(request.walk, received)
            parents = Parents(page)
            yield from self._take(page.rows, parents)
            self._written(parents)

    def failed(self, request: Request, error: Exception) -> Iterator[Failure]:
        """Learn that there is no answer to a request.

        Raises:
            Exception: That error, if it is the top-level list's, or everybody's.
        """
        job = request.job
        if (
            isinstance(error, UnreadableAnswerError)
            and error.retriable
            and job.unreadable + 1 < MAX_TRIES
        ):
            logger.info("GET %s: %s; it is asked again", request.query.endpoint, error)
            job.unreadable += 1
            self._source.client.traffic.retried(request.query.endpoint)
            job.sweep.unanswered(request.walk)
            return
        if isinstance(error, CursorGoneError):
            try:
                job.sweep.cursor_gone(request.walk, error)
            except CursorGoneError as lost:
                error = lost
            else:
                return
        if isinstance(error, ENDS_THE_RUN):
            raise error
        if isinstance(job, ChildrenJob):
            yield from self._no_children(job, error)
        elif job is self._top:
            self._read_without_expanding(error)

    def save(self) -> None:
        """Move the members' bookmarks to what is written."""
        if self.answered and self.root.resource.created_filter is not None:
            unread = self._top.sweep.unread
            for member in self.members:
                member.unread(unread)

    def finish(self) -> Family | None:
        """Move the members' bookmarks: all is written.

        Returns:
            What there is to read after that, for members that have only resumed a run by now.
        """
        for member in self.members:
            member.finish()
        resumed = [member for member in self.members if member.plan.is_resumed]
        return Family(self.root, resumed, self._source) if resumed else None

    def pages_left(self, lane: Lane) -> float | None:
        """A guess at how many requests of a lane there are to make; None without a clue."""
        if self.root.resource.created_filter is None:
            return None
        if lane is self._top_lane:
            return lane.pages_left
        # Further parents have as many children to ask for as those until now.
        further = self._top_lane.pages_left * lane.jobs / max(1, self._top_lane.pages)
        return lane.pages_left + further

    # One request after the other

    def read(self) -> Iterator[Batch | Failure]:
        """Read everything, and move the bookmarks as it is written.

        Raises:
            StripeError: The top-level list can't be read; what was yielded stands.
            ConnectionFailedError: Likewise.
            UnexpectedObjectError: Likewise.
        """
        while not self.is_read:
            for lane in self.lanes:
                if (request := lane.ask()) is not None:
                    yield from self._answer(request)
                    self.save()
        if further := self.finish():
            yield from further.read()

    def _answer(self, request: Request) -> Iterator[Batch | Failure]:
        try:
            answer = fetch(self._source.client, request.query)
        except Exception as error:  # noqa: BLE001 - raised again if it is not to be borne
            yield from self.failed(request, error)
        else:
            yield from self.receive(request, answer)

    # Parents

    def _spans(self) -> list[Range] | list[None]:
        if self.root.resource.created_filter is None:
            return [None]
        return newest_first(span for member in self.members for span in member.plan.walked)

    def _take(self, objects: list[Object], parents: Parents) -> Iterator[Batch | Failure]:
        if self.root in self.members:
            shown = [without_lists(source, self._expanded) for source in objects]
            yield Batch(self.root, self.root.rows(shown), Way.LISTED)
        for child, lane in self._children.items():
            if child not in self.members:
                continue
            try:
                rows = self._children_of(objects, child, lane, parents)
            except Exception as error:  # noqa: BLE001 - a child's trouble must not cost its family
                yield self._lose(child, error)
            else:
                if rows:
                    yield Batch(child, rows, Way.EMBEDDED)

    def _children_of(
        self, objects: Iterable[Object], child: StripeStream, lane: Lane, parents: Parents
    ) -> list[Row]:
        """The rows of children that their parents hold; the others become jobs."""
        rows: list[Row] = []
        parent, spans = child.resource.parent, child.plan.spans
        if parent is None:
            return rows
        for parent_row in objects:
            if not spans or not child.plan.walks(self.root.created(parent_row)):
                continue
            found = children_in(parent_row, child)
            if found is None:
                listing = listing_of(parent_row, parent, child)
                lane.add(
                    ChildrenJob(
                        listing=listing,
                        spans=[None] if listing.created_filter is None else spans,
                        child=child,
                        parent_id=parent_row["id"],
                        parents=parents,
                    )
                )
                parents.unread += 1
            else:
                rows += child.rows(found, parent_row["id"])
        return rows

    def _written(self, parents: Parents) -> None:
        parents.unread -= 1
        if parents.unread == 0:
            self._top.sweep.written(parents.page)

    def _read_without_expanding(self, error: Exception) -> None:
        """Begin again: what is closed to this account or key must not close the whole list.

        Raises:
            Exception: That error, if it is about something else.
        """
        refused = isinstance(error, (ExpandRefusedError, ForbiddenError))
        if self.answered or not refused or not self._top.listing.expand:
            raise error
        self.root.logger.warning("%s is read without expanded fields: %s", self.root.name, error)
        self._top = replace(self._top, listing=replace(self._top.listing, expand=()))
        self._top_lane.begun[:] = [self._top]

    # Children

    def _receive_children(
        self, job: ChildrenJob, request: Request, answer: Object
    ) -> Iterator[Batch | Failure]:
        child = job.child
        if child not in self.members:
            return
        job.answered, job.unreadable = True, 0
        self._children[child].pages += 1
        try:
            page = job.sweep.receive(request.walk, answer)
            rows = child.rows(page.rows, job.parent_id)
        except Exception as error:  # noqa: BLE001 - a child's trouble must not cost its family
            yield self._lose(child, error)
            return
        yield Batch(child, rows, Way.REQUESTED)
        job.sweep.written(page)
        if job.sweep.is_read:
            self._done(job)

    def _no_children(self, job: ChildrenJob, error: Exception) -> Iterator[Failure]:
        child = job.child
        if child not in self.members:
            return
        if job.answered or not tells_of_none(error, child):
            yield self._lose(child, error)
            return
        level = logging.INFO if isinstance(error, NotFoundError) else logging.WARNING
        child.logger.log(level, "No %s of %s: %s", child.name, job.parent_id, error)
        self._done(job)

    def _done(self, job: ChildrenJob) -> None:
        self._children[job.child].end(job)
        self._written(job.parents)

    def _lose(self, child: StripeStream, error: Exception) -> Failure:
        """Go on without a child, whose bookmark stays where it is."""
        self.members.remove(child)
        for job in self._children[child].clear():
            if isinstance(job, ChildrenJob):
                self._written(job.parents)
        return Failure(child, error)


def _expand(children: Iterable[StripeStream]) -> list[str]:
    """Fields that the top-level list is to expand for its children."""
    fields = []
    for child in children:
        parent = child.resource.parent
        if parent is None or parent.embedded is None:
            continue
        if parent.embedded_by_expand:
            fields.append(parent.embedded)
        fields += [f"{parent.embedded}.data.{name}" for name in child.resource.expand]
    return fields
