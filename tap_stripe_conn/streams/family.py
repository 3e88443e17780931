"""A top-level list and the children that hang off it, read together."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

from tap_stripe_conn.api.client import MAX_TRIES
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
from tap_stripe_conn.api.sweeps import Page
from tap_stripe_conn.api.typed import TypedObject
from tap_stripe_conn.streams.children import (
    children_in,
    fields_for,
    listing_of,
    tells_of_none,
    without_lists,
)
from tap_stripe_conn.streams.hydration import Hydration, removed_rows
from tap_stripe_conn.streams.lanes import ChildrenJob, Lane, ListJob, LookupJob, Parents
from tap_stripe_conn.streams.results import Batch, Failure
from tap_stripe_conn.streams.tally import Way

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tap_stripe_conn.api.client import Answer, Object
    from tap_stripe_conn.api.lists import Range
    from tap_stripe_conn.api.typed import Shown, ShownPage
    from tap_stripe_conn.streams.events import Change, Changes
    from tap_stripe_conn.streams.hydration import Found
    from tap_stripe_conn.streams.lanes import Request
    from tap_stripe_conn.streams.rows import JsonRows, Row
    from tap_stripe_conn.streams.source import Source
    from tap_stripe_conn.streams.stream import StripeStream
    from tap_stripe_conn.streams.typed_rows import TypedRows

ENDS_THE_RUN: Final = (AuthenticationError, CredentialsError, UnreachableError)
"""What is not one stream's trouble."""

logger = logging.getLogger(__name__)


def families(streams: Iterable[StripeStream]) -> list[list[StripeStream]]:
    """The streams, those together that one top-level list leads to."""
    by_root: dict[str, list[StripeStream]] = {}
    for stream in streams:
        by_root.setdefault(stream.root.name, []).append(stream)
    return list(by_root.values())


class Family:
    """The streams that one top-level list can fill.

    It does no I/O: its lanes say what to ask; `receive` or `failed` is told what came of it, in any
    order, and says what to write. `change` is told what events say, `feed_ends` when they have
    said all.
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
        self._listing = root.listing(expand=_expand(children))
        self._lists: list[ListJob] = []
        self._children = {child: Lane(child) for child in children}
        feeds = list(self._children.values())
        self._top_lane = Lane(root, feeds)
        self._hydration = Hydration(
            root, self.members, self._listing, source.events.listing(), feeds
        )
        self._unwritten = 0
        self._was_there = False
        self._awaits_feed = bool(self.fed)
        self.lanes = [*feeds, self._top_lane, *self._hydration.lanes]
        """What there is to ask, by endpoint."""

        self._list(self._spans("walked"))

    @property
    def fed(self) -> list[StripeStream]:
        """The members of which events tell changes since a run before."""
        return [member for member in self.members if member.plan.fed]

    @property
    def answered(self) -> bool:
        """Whether a page of the top-level list has come."""
        return any(job.answered for job in self._lists)

    @property
    def begun(self) -> bool:
        """Whether the account is known to have the top-level list."""
        return self.answered or self._was_there

    @property
    def is_listed_by_time(self) -> bool:
        """Whether the top-level list can be asked for by creation time."""
        return self.root.resource.created_filter is not None

    @property
    def is_changing(self) -> bool:
        """Whether something that events told of is not written yet."""
        return bool(self._unwritten) or not self._hydration.is_read

    @property
    def is_read(self) -> bool:
        """Whether all is asked and received."""
        if not self.members:
            return True
        return (
            not self._awaits_feed
            and all(job.sweep.is_read for job in self._lists)
            and not self.is_changing
            and not any(self._children.values())
        )

    # Answers

    def receive(self, request: Request, answer: Answer) -> Iterator[Batch | Failure]:
        """Take the answer to a request.

        Raises:
            StripeError: The top-level list can't be read further; what was yielded stands.
            UnexpectedObjectError: Likewise.
        """
        job = request.job
        results: Iterator[Batch | Failure] = iter(())
        try:
            # What is received is decoded now, all else done when it is asked for.
            if isinstance(job, ChildrenJob):
                results = self._receive_children(job, request, answer.decoded())
            elif isinstance(job, LookupJob):
                found = self._hydration.receive(job, request, answer.decoded())
                results = self._take_found(found)
            elif isinstance(job, ListJob) and job in self._lists:
                results = self._receive_list(job, request, self._page(answer))
        except UnreadableAnswerError as error:
            results = self.failed(request, error)
        yield from results

    def failed(self, request: Request, error: Exception) -> Iterator[Batch | Failure]:
        """Learn that there is no answer to a request.

        Raises:
            Exception: That error, if it is the top-level list's, or everybody's.
        """
        job = request.job
        if self._is_asked_again(request, error):
            return
        if isinstance(error, ENDS_THE_RUN):
            raise error
        if isinstance(job, ChildrenJob):
            yield from self._no_children(job, error)
        elif isinstance(job, LookupJob):
            yield from self._lookup_failed(job, request, error)
        elif job in self._lists:
            self._read_without_expanding(error)

    def _is_asked_again(self, request: Request, error: Exception) -> bool:
        job = request.job
        if isinstance(error, CursorGoneError):
            try:
                job.sweep.cursor_gone(request.walk, error)
            except CursorGoneError:
                return False
            return True
        if not isinstance(error, UnreadableAnswerError) or not error.retriable:
            return False
        job.unreadable += 1
        if job.unreadable >= MAX_TRIES:
            return False
        logger.info("GET %s: %s; it is asked again", request.query.endpoint, error)
        self._source.client.traffic.retried(request.query.endpoint)
        job.sweep.unanswered(request.walk)
        return True

    def _lookup_failed(
        self, job: LookupJob, request: Request, error: Exception
    ) -> Iterator[Batch | Failure]:
        if _refuses(error) and "expand[]" in request.query.params:
            if self._listing.expand:
                self._read_without_expanding(error)
            self._hydration.without_expanding()
            job.sweep.unanswered(request.walk)
        else:
            self._was_there = True  # or no event would have told of it
            yield from self._hydration.failed(job, request, error)

    def save(self) -> None:
        """Move the members' bookmarks to what is written."""
        if self.answered and self.is_listed_by_time:
            unread = newest_first(
                [*(span for job in self._lists for span in job.sweep.unread), *self._held_back]
            )
            for member in self.members:
                member.unread(unread)

    def finish(self) -> None:
        """Move the members' bookmarks: all is written."""
        for member in self.members:
            member.finish()

    def pages_left(self, lane: Lane) -> float | None:
        """A guess at how many requests of a lane there are to make; None without a clue."""
        if not self.is_listed_by_time:
            return None
        if lane not in self._children.values():
            return lane.pages_left
        # Further parents have as many children to ask for as those until now.
        further = self._top_lane.pages_left * lane.jobs / max(1, self._top_lane.pages)
        return lane.pages_left + further

    # The top-level list

    @cached_property
    def _typed(self) -> TypedRows | None:
        """What makes its rows where they aren't taken apart, but for what children need."""
        if self.root not in self.members or self.root.resource.singleton or self._expanded:
            return None
        return self.root.typed_rows(fields_for(child.resource.parent for child in self._children))

    def _page(self, answer: Answer) -> ShownPage:
        return answer.decoded() if self._typed is None else answer.page(self._typed.pages)

    def _receive_list(
        self, job: ListJob, request: Request, received: ShownPage
    ) -> Iterator[Batch | Failure]:
        job.answered, job.unreadable = True, 0
        self._top_lane.pages += 1
        page = job.sweep.receive(request.walk, received)
        parents = Parents(job, page)
        yield from self._take(page.rows, parents)
        self._written(parents)

    def _list(self, spans: Sequence[Range]) -> None:
        """Begin to list what was made within these spans, or all where that can't be asked for."""
        if not spans:
            return
        also_since = [member.plan.also_since for member in self.members if member is self.root]
        job = ListJob(
            listing=self._listing,
            spans=spans if self.is_listed_by_time else [None],
            also_since=next(iter(also_since), None),
            opened=self._source.opened,
        )
        self._lists.append(job)
        self._top_lane.begun.append(job)

    def _spans(self, name: str) -> list[Range]:
        return newest_first(span for member in self.members for span in getattr(member.plan, name))

    def _list_again(self) -> None:
        """Begin anew: of the pages that have come, the former plans may have taken less."""
        self._was_there |= self.answered
        for job in self._lists:
            self._top_lane.end(job)
        self._lists = []
        self._list(self._spans("walked"))

    @property
    def _held_back(self) -> list[Range]:
        """What is to be listed, unless the events vouch that there is nothing."""
        return self._spans("fresh") if self._awaits_feed else []

    def _take(
        self,
        objects: Sequence[Object] | Sequence[TypedObject],
        parents: Parents,
        changes: dict[str, Change] | None = None,
    ) -> Iterator[Batch | Failure]:
        """The rows that come of top-level objects: of all that are listed, or of changed ones."""
        if self.root in self.members:
            shown = [source for source in objects if self._is_for_root(source, changes)]
            if shown or changes is None:
                way = Way.LISTED if changes is None else Way.HYDRATED
                yield Batch(self.root, self._rows_of_root(shown, changes), way)
        for child, lane in self._children.items():
            if child not in self.members:
                continue
            try:
                rows, removed = self._children_of(objects, child, lane, parents, changes)
            except Exception as error:  # noqa: BLE001 - a child's trouble must not cost its family
                yield self._lose(child, error)
            else:
                if rows:
                    yield Batch(child, rows, Way.EMBEDDED)
                if removed:
                    yield Batch(child, removed, Way.DELETED)

    def _rows_of_root(
        self, objects: Sequence[Shown], changes: dict[str, Change] | None
    ) -> Sequence[Row] | JsonRows:
        known = self._hydration.listed if changes is None else changes
        typed = [each for each in objects if isinstance(each, TypedObject)]
        if typed and self._typed is not None:
            return self.root.json_rows(typed, self._typed, known)
        sources = [
            without_lists(each, self._expanded) for each in objects if isinstance(each, dict)
        ]
        return self.root.rows(sources, changes=known)

    def _is_for_root(self, source: Shown, changes: dict[str, Change] | None) -> bool:
        if changes is None:
            return self.root.plan.walks(self.root.created(source))
        return self.root in changes[source["id"]].takers

    def _children_of(
        self,
        objects: Iterable[Shown],
        child: StripeStream,
        lane: Lane,
        parents: Parents,
        changes: dict[str, Change] | None,
    ) -> tuple[list[Row], list[Row]]:
        """Rows of children that their parents hold, and of those gone; the others become jobs."""
        rows: list[Row] = []
        removed: list[Row] = []
        parent, plan = child.resource.parent, child.plan
        if parent is None:
            return rows, removed
        dated = child.resource.created_field is not None
        for parent_row in objects:
            created = self.root.created(parent_row)
            change = None if changes is None else changes[parent_row["id"]]
            if change is None:
                if not plan.walks(created):
                    continue
            elif child not in change.takers or not plan.wants(created):
                continue
            known = change or self._hydration.listed.get(parent_row["id"])
            at = known.at if known is not None else created if not dated else None
            former = {} if change is None else change.former.get(child, {})
            found = children_in(parent_row, child)
            if found is None:
                listing = listing_of(parent_row, parent, child)
                by_time = listing.created_filter is not None and change is None
                lane.add(
                    ChildrenJob(
                        listing=listing,
                        spans=plan.spans if by_time else [None],
                        child=child,
                        parent_id=parent_row["id"],
                        parents=parents,
                        at=at,
                        former=former,
                    )
                )
                parents.unread += 1
            else:
                rows += child.rows(found, parent_row["id"], at=at)
                ids = {row.get("id") for row in found}
                removed += removed_rows(former[key] for key in former.keys() - ids)
        return rows, removed

    def _written(self, parents: Parents) -> None:
        parents.unread -= 1
        if parents.unread == 0:
            parents.job.sweep.written(parents.page)
            if isinstance(parents.job, LookupJob):
                self._unwritten -= 1

    def _read_without_expanding(self, error: Exception) -> None:
        """Begin again: what is closed to this account or key must not close the whole list.

        Raises:
            Exception: That error, if it is about something else.
        """
        if self.answered or not _refuses(error) or not self._listing.expand:
            raise error
        self.root.logger.warning("%s is read without expanded fields: %s", self.root.name, error)
        self._listing = replace(self._listing, expand=())
        for job in self._lists:
            self._top_lane.end(job)
        self._lists = [replace(job, listing=self._listing) for job in self._lists]
        self._top_lane.begun += self._lists

    # What events tell

    def change(self, changes: Changes) -> Iterator[Batch | Failure]:
        """Take what the events of a window say: write what is gone, look up what has changed."""
        yield from self._hydration.change(changes)

    def feed_ends(self, *, tells: bool, few: bool) -> None:
        """The events have said all.

        Args:
            tells: Whether events come of this account.
            few: Whether so few lists are read that they are asked for new rows in any case.
        """
        if not self._awaits_feed:
            return
        self._awaits_feed = False
        if self.is_listed_by_time:
            vouches = tells and not few and not self._hydration.is_told_of
        else:
            vouches = tells  # what was made is looked up by its id
        for member in self.members:
            member.feed_ends(vouches=vouches)
        if self.is_listed_by_time:
            self._list(self._spans("fresh"))
        elif not vouches:
            self._list_again()

    def read_without_feed(self) -> None:
        """The events may not be read: list everything instead."""
        self._awaits_feed = False
        for member in self.fed:
            member.begin(self._source, has_feed=False)
        self._list_again()

    def lose_feed(self, error: Exception) -> Iterator[Failure]:
        """The events can't be read: members of which they would tell changes are not whole."""
        self._awaits_feed = False
        for member in self.fed:
            self.members.remove(member)
            lane = self._children.get(member)
            for job in lane.clear() if lane is not None else ():
                if isinstance(job, ChildrenJob):
                    self._written(job.parents)
            yield Failure(member, error, begun=True)

    def _take_found(self, results: Iterable[Batch | Found]) -> Iterator[Batch | Failure]:
        for result in results:
            if isinstance(result, Batch):
                yield result
                continue
            parents = Parents(result.job, Page(result.rows, None))
            self._unwritten += 1
            yield from self._take(result.rows, parents, result.changes)
            self._written(parents)

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
            rows = child.rows(page.rows, job.parent_id, at=job.at)
            for row in page.rows:
                job.former.pop(row["id"], None)
        except Exception as error:  # noqa: BLE001 - a child's trouble must not cost its family
            yield self._lose(child, error)
            return
        yield Batch(child, rows, Way.REQUESTED)
        job.sweep.written(page)
        if job.sweep.is_read:
            yield from self._done(job)

    def _no_children(self, job: ChildrenJob, error: Exception) -> Iterator[Batch | Failure]:
        child = job.child
        if child not in self.members:
            return
        if job.answered or not tells_of_none(error, child):
            yield self._lose(child, error)
            return
        level = logging.INFO if isinstance(error, NotFoundError) else logging.WARNING
        child.logger.log(level, "No %s of %s: %s", child.name, job.parent_id, error)
        yield from self._done(job)

    def _done(self, job: ChildrenJob) -> Iterator[Batch]:
        if job.former:
            yield Batch(job.child, removed_rows(job.former.values()), Way.DELETED)
        self._children[job.child].end(job)
        self._written(job.parents)

    def _lose(self, child: StripeStream, error: Exception) -> Failure:
        """Go on without a child, whose bookmark stays where it is."""
        self.members.remove(child)
        for job in self._children[child].clear():
            if isinstance(job, ChildrenJob):
                self._written(job.parents)
        return Failure(child, error)


def _refuses(error: Exception) -> bool:
    return isinstance(error, (ExpandRefusedError, ForbiddenError))


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
