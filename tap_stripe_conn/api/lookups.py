"""Reading known rows of a list again, by as few requests as may be."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

from tap_stripe_conn.api.errors import BrokenListError
from tap_stripe_conn.api.lists import Range
from tap_stripe_conn.api.sweeps import Ask, Page

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tap_stripe_conn.api.client import Object
    from tap_stripe_conn.api.errors import CursorGoneError
    from tap_stripe_conn.api.lists import Listing, Walk

WORTH_A_PAGE: Final = 2
"""Wanted rows on a page from which on it takes fewer requests than asking for each by its id."""


logger = logging.getLogger(__name__)


class Wanted(NamedTuple):
    """A row to read again."""

    id: str
    created: int
    """Unix seconds."""


class IdLookup:
    """Rows by their ids, each with a request of its own.

    Like a `Sweep` it does no I/O, and takes answers in any order.
    """

    unread: Final = ()

    def __init__(self, listing: Listing, retrieve: str) -> None:
        """Have nothing to look up.

        Args:
            listing: The list that the rows are of: they come with the same expanded fields.
            retrieve: The path of one row, with braces around its id (`/v1/charges/{charge}`).
        """
        self._retrieve = retrieve
        self._listing = replace(
            listing, path=retrieve, endpoint=retrieve, params={}, singleton=True
        )
        self._waiting: deque[str] = deque()
        self._asked: dict[int, tuple[Walk, str]] = {}

    def add(self, identifier: str) -> None:
        """Look up one more; not one whose id would lead elsewhere."""
        if identifier in {".", ".."}:
            logger.warning("%s of the id %r can't be asked for", self._retrieve, identifier)
            return
        self._waiting.append(identifier)

    def ask(self) -> Ask | None:
        """What to ask next; None if all is asked."""
        if not self._waiting:
            return None
        identifier = self._waiting.popleft()
        walk = replace(self._listing, path=self._path(identifier)).walk()
        query = walk.query()
        if query is None:  # never of a walk that has not begun
            return None
        self._asked[id(walk)] = (walk, identifier)
        return Ask(walk, query)

    def receive(self, walk: Walk, answer: Object) -> Page[Object]:
        """Take the answer to what `walk` asked.

        Raises:
            BrokenListError: It is another row.
        """
        identifier = self.end(walk)
        if answer.get("id") != identifier:
            msg = f"Stripe answered with {answer.get('id')!r} when asked for {identifier!r}"
            raise BrokenListError(msg, http_status=200)
        return Page(walk.receive(answer), None)

    def end(self, walk: Walk) -> str:
        """Have done with what `walk` asked.

        Returns:
            The id that it asked for.
        """
        return self._asked.pop(id(walk))[1]

    def cursor_gone(self, walk: Walk, error: CursorGoneError) -> None:
        """Never: no place in a list is asked for.

        Raises:
            CursorGoneError: Always.
        """
        self.end(walk)
        raise error

    def unanswered(self, walk: Walk) -> None:
        """What `walk` asked was not answered, and is to be asked again."""
        self._waiting.appendleft(self.end(walk))

    def written(self, page: Page[Object]) -> None:
        """The row is written; nobody asks."""

    def split(self, idle: int) -> int:  # noqa: ARG002 - each row is a request already
        """Nothing can be divided further."""
        return 0

    def without_expanding(self) -> None:
        """Ask for no expanded fields from now on."""
        self._listing = replace(self._listing, expand=())

    @property
    def asking(self) -> int:
        """How many requests wait for an answer."""
        return len(self._asked)

    @property
    def is_read(self) -> bool:
        """Whether there is nothing left to ask, or to wait for."""
        return not self._waiting and not self._asked

    @property
    def pages_left(self) -> float:
        """How many requests there are to make."""
        return len(self._waiting) + len(self._asked)

    def _path(self, identifier: str) -> str:
        before, _, rest = self._retrieve.partition("{")
        return f"{before}{quote(identifier, safe='')}{rest.partition('}')[2]}"


class WindowLookup:
    """Rows whose creation time is known, by listing the windows that contain many of them.

    A page is asked for from the newest wanted row down, and never for a stretch without one: so
    each brings one wanted row at least, and it never takes more requests than asking for each by
    its id. Where a page would bring less than two, rows are left to an `IdLookup`: that is as many
    requests, of a hundredth of the data. How many a page brings is learnt from the pages before.

    Like a `Sweep` it does no I/O, takes answers in any order, and is divided for idle capacity.
    """

    unread: Final = ()

    def __init__(self, listing: Listing, wanted: Iterable[Wanted], others: IdLookup) -> None:
        """Begin.

        Args:
            listing: A list that can be narrowed to a span of creation time.
            wanted: The rows.
            others: Gets those that are looked up by id: the lonely ones, and those that the list
                does not show.
        """
        self._listing = listing
        self._wanted = sorted(wanted, key=lambda row: row.created, reverse=True)
        self._others = others
        self._stretches = [_Stretch(0, len(self._wanted))]
        self._drop_sparse()

    def ask(self) -> Ask | None:
        """What to ask next; None if all waits for an answer."""
        self._drop_sparse()
        idle = [stretch for stretch in self._stretches if stretch.walk is None]
        if not idle:
            return None
        stretch = max(idle, key=len)
        oldest, newest = self._wanted[stretch.end - 1], self._wanted[stretch.begin]
        walk = self._listing.walk(Range(oldest.created, newest.created + 1))
        query = walk.query()
        if query is None:  # never of a span that is not empty
            return None
        stretch.walk = walk
        return Ask(walk, query)

    def receive(self, walk: Walk, answer: Object) -> Page[Object]:
        """Take the answer to what `walk` asked.

        Raises:
            BrokenListError: It is no page of a list.
        """
        stretch = self._answered(walk)
        rows = walk.receive(answer)
        done = walk.query() is None
        newest, oldest = self._wanted[stretch.begin].created, self._wanted[stretch.end - 1].created
        # A list that is not newest first, or hides its rows' times, says nothing of what it lacks.
        reached = newest if walk.reached is None else min(newest, walk.reached)
        stretch.density = len(rows) / (newest + 1 - (oldest if done else reached))
        by_id = {row["id"]: row for row in rows}
        found = []
        while stretch:
            wanted = self._wanted[stretch.begin]
            row = by_id.get(wanted.id)
            if row is not None:
                found.append(row)
            elif done or wanted.created >= reached:
                self._others.add(wanted.id)
            else:
                break
            stretch.begin += 1
        self._drop_sparse()
        return Page(found, None)

    def cursor_gone(self, walk: Walk, error: CursorGoneError) -> None:
        """Never: each page is a first one.

        Raises:
            CursorGoneError: Always.
        """
        self._answered(walk)
        raise error

    def unanswered(self, walk: Walk) -> None:
        """What `walk` asked was not answered, and is to be asked again."""
        self._answered(walk)

    def written(self, page: Page[Object]) -> None:
        """The rows are written; nobody asks."""

    def split(self, idle: int) -> int:
        """Divide the longest stretches of which two pages or more are left.

        Returns:
            How much more can be asked now.
        """
        made = 0
        while made < idle:
            stretch = max(self._stretches, key=self._pages, default=None)
            if stretch is None or self._pages(stretch) < 2 * WORTH_A_PAGE:
                break
            middle = (stretch.begin + stretch.end) // 2
            self._stretches.append(_Stretch(middle, stretch.end, stretch.density))
            stretch.end = middle
            made += 1
        return made

    def without_expanding(self) -> None:
        """Ask for no expanded fields from now on."""
        self._listing = replace(self._listing, expand=())

    @property
    def asking(self) -> int:
        """How many requests wait for an answer."""
        return sum(stretch.walk is not None for stretch in self._stretches)

    @property
    def is_read(self) -> bool:
        """Whether there is nothing left to ask, or to wait for."""
        return not self._stretches

    @property
    def pages_left(self) -> float:
        """A guess at how many requests there are to make."""
        return sum(self._pages(stretch) or len(stretch) for stretch in self._stretches)

    def _answered(self, walk: Walk) -> _Stretch:
        stretch = next(stretch for stretch in self._stretches if stretch.walk is walk)
        stretch.walk = None
        return stretch

    def _drop_sparse(self) -> None:
        """Leave to the others what no page is worth."""
        for stretch in self._stretches:
            while stretch.walk is None and stretch and self._on_next_page(stretch) < WORTH_A_PAGE:
                self._others.add(self._wanted[stretch.begin].id)
                stretch.begin += 1
        self._stretches = [each for each in self._stretches if each or each.walk is not None]

    def _on_next_page(self, stretch: _Stretch) -> int:
        """How many wanted rows the next page brings, for all that is known; two will do."""
        second = stretch.begin + WORTH_A_PAGE - 1
        if second >= stretch.end:
            return 1
        if not stretch.density:
            return WORTH_A_PAGE if len(stretch) > WORTH_A_PAGE else 1
        seconds = self._wanted[stretch.begin].created - self._wanted[second].created
        page_size = self._listing.page_size or 1
        return WORTH_A_PAGE if seconds * stretch.density < page_size else 1

    def _pages(self, stretch: _Stretch) -> float:
        """How many pages a stretch takes; 0 where nothing is known of it."""
        if not stretch.density or not stretch:
            return 0.0
        seconds = self._wanted[stretch.begin].created + 1 - self._wanted[stretch.end - 1].created
        pages = seconds * stretch.density / (self._listing.page_size or 1)
        return min(pages, float(len(stretch)))


@dataclass(eq=False, slots=True)
class _Stretch:
    """Wanted rows next to each other, newest first: places in their list."""

    begin: int
    end: int
    density: float = 0.0
    """Rows/s of the list, on the page that was read last; 0 before the first."""

    walk: Walk | None = None
    """What waits for an answer."""

    def __len__(self) -> int:
        return max(0, self.end - self.begin)
