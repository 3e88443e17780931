"""Lists to read of one endpoint, which Stripe counts the requests of."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from typing_extensions import override

from tap_stripe_conn.api.sweeps import Sweep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tap_stripe_conn.api.client import Object
    from tap_stripe_conn.api.errors import CursorGoneError
    from tap_stripe_conn.api.lists import Listing, Query, Range, Walk
    from tap_stripe_conn.api.lookups import IdLookup, WindowLookup
    from tap_stripe_conn.api.sweeps import Ask, Page
    from tap_stripe_conn.streams.events import Removal
    from tap_stripe_conn.streams.stream import StripeStream

FAN_OUT: Final = 50
"""Lists of children to read, at one endpoint, with which it is busy enough: two seconds by Stripe's
limit. A page of parents is only read when all their children are; many at once would be lost all
together in a crash."""


class Reading(Protocol):
    """What says what to ask, and takes the answers in any order: a `Sweep`, or a lookup."""

    def ask(self) -> Ask | None:
        """What to ask next."""

    def receive(self, walk: Walk, answer: Object) -> Page[Object]:
        """Take an answer."""

    def cursor_gone(self, walk: Walk, error: CursorGoneError) -> None:
        """Find another way on."""

    def unanswered(self, walk: Walk) -> None:
        """Ask again."""

    def written(self, page: Page[Any]) -> None:
        """The rows of a page are written."""

    def split(self, idle: int) -> int:
        """Find more to ask."""

    @property
    def asking(self) -> int:
        """How many requests wait for an answer."""

    @property
    def is_read(self) -> bool:
        """Whether there is nothing left to ask."""

    @property
    def unread(self) -> Sequence[Range]:
        """The spans with rows that were not received or not written."""

    @property
    def pages_left(self) -> float:
        """A guess at how many requests there are to make."""


@dataclass(eq=False, kw_only=True)
class Job:
    """Rows of one list to read."""

    answered: bool = False
    """Whether a page of it has come."""

    unreadable: int = 0
    """Answers since that could not be read."""

    @property
    def sweep(self) -> Reading:
        """What reads them."""
        raise NotImplementedError


@dataclass(eq=False, kw_only=True)
class ListJob(Job):
    """One list, or spans of it."""

    listing: Listing
    spans: Sequence[Range] | Sequence[None]
    """Of creation time; `[None]` for all of the list."""

    also_since: int | None = None
    """Unix seconds: older rows that are taken where a page has room for them, back to then."""

    opened: int | None = None
    """Unix seconds: when the account was made, as far as that is known."""

    @property
    @override
    def sweep(self) -> Sweep:
        return self._sweep

    @cached_property
    def _sweep(self) -> Sweep:
        return Sweep(self.listing, self.spans, also_since=self.also_since, begins_about=self.opened)


@dataclass(eq=False, kw_only=True)
class LookupJob(Job):
    """Rows that are known, and are to be read again."""

    stream: StripeStream
    """Whose rows they are."""

    lookup: IdLookup | WindowLookup

    @property
    @override
    def sweep(self) -> IdLookup | WindowLookup:
        return self.lookup


@dataclass(eq=False)
class Parents:
    """A page of rows, which is read when all children of its rows are written."""

    job: Job
    page: Page[Any]
    unread: int = 1
    """Lists of children that are to be read, and one for the page itself."""


@dataclass(eq=False, kw_only=True)
class ChildrenJob(ListJob):
    """The children of one parent."""

    child: StripeStream
    parent_id: str
    parents: Parents

    at: int | None = None
    """Unix seconds of the change for which they are read again."""

    former: dict[str, Removal] = field(default_factory=dict)
    """By id: children that the parent had, and that have not come."""


class Request(NamedTuple):
    """A request that is to be made, and the job that it is for."""

    job: Job
    walk: Walk
    query: Query


@dataclass(eq=False)
class Lane:
    """Jobs at one endpoint, done in their order, each with as many requests at once as pay."""

    stream: StripeStream
    """Whose rows are read."""

    feeds: Sequence[Lane] = ()
    """Lanes that get their jobs from what is read here, and must keep up with it."""

    begun: list[Job] = field(default_factory=list)
    waiting: deque[Job] = field(default_factory=deque)
    jobs: int = 0
    """How many there were so far."""

    pages: int = 0
    """How many have come."""

    endpoint: str = ""
    """The path with its braces; the stream's own list where none is given."""

    def __post_init__(self) -> None:
        """Take the stream's own endpoint if no other is given."""
        self.endpoint = self.endpoint or self.stream.resource.path

    def add(self, job: Job) -> None:
        """Put a job last."""
        self.jobs += 1
        self.waiting.append(job)

    def end(self, job: Job) -> None:
        """Forget a job that is done."""
        self.begun.remove(job)

    def clear(self) -> list[Job]:
        """Forget all jobs.

        Returns:
            Those there were.
        """
        jobs = [*self.begun, *self.waiting]
        self.begun.clear()
        self.waiting.clear()
        return jobs

    def ask(self) -> Request | None:
        """What to ask next; None if all that can be asked waits for an answer."""
        if self._is_ahead:
            return None
        for job in self.begun:
            if (ask := job.sweep.ask()) is not None:
                return Request(job, *ask)
        # Until a page has come, jobs go one by one: what is closed is refused once.
        if not self.waiting or (self.begun and not self.pages):
            return None
        job = self.waiting.popleft()
        self.begun.append(job)
        ask = job.sweep.ask()
        return None if ask is None else Request(job, *ask)

    def split(self, idle: int) -> int:
        """Find more to ask, for so many idle requests.

        Returns:
            How much more can be asked now.
        """
        made = 0
        if self._is_ahead:
            return made
        for job in self.begun:
            made += job.sweep.split(idle - made)
        return made

    @property
    def pages_left(self) -> float:
        """A guess at how many requests there are to make, on the low side."""
        return len(self.waiting) + sum(job.sweep.pages_left for job in self.begun)

    @property
    def _is_ahead(self) -> bool:
        asking = sum(job.sweep.asking for job in self.begun) if self.pages else 0
        return any(
            len(lane) + asking * lane.jobs / max(1, self.pages) >= FAN_OUT for lane in self.feeds
        )

    def __len__(self) -> int:
        """How many jobs are not done."""
        return sum(not job.sweep.is_read for job in self.begun) + len(self.waiting)
