"""Lists to read of one endpoint, which Stripe counts the requests of."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

from tap_stripe_conn.api.sweeps import Sweep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tap_stripe_conn.api.lists import Listing, Query, Range, Walk
    from tap_stripe_conn.api.sweeps import Page
    from tap_stripe_conn.streams.stream import StripeStream

FAN_OUT: Final = 50
"""Lists of children to read, at one endpoint, with which it is busy enough: two seconds by Stripe's
limit. A page of parents is only read when all their children are; many at once would be lost all
together in a crash."""


@dataclass(eq=False, kw_only=True)
class Job:
    """One list to read."""

    listing: Listing
    spans: Sequence[Range] | Sequence[None]
    """Of creation time; `[None]` for all of the list."""

    answered: bool = False
    """Whether a page of it has come."""

    unreadable: int = 0
    """Answers since that could not be read."""

    @cached_property
    def sweep(self) -> Sweep:
        """The reading of it, begun when this is first asked for."""
        return Sweep(self.listing, self.spans)


@dataclass(eq=False)
class Parents:
    """A page of the top-level list, which is read when all children of its rows are written."""

    page: Page
    unread: int = 1
    """Lists of children that are to be read, and one for the page itself."""


@dataclass(eq=False, kw_only=True)
class ChildrenJob(Job):
    """The children of one parent."""

    child: StripeStream
    parent_id: str
    parents: Parents


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

    @property
    def endpoint(self) -> str:
        """The path with its braces."""
        return self.stream.resource.path

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
        return len(self.begun) + len(self.waiting)
