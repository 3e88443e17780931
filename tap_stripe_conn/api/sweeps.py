"""Reading one list by several walks at once, as many as pay."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, overload

from tap_stripe_conn.api.errors import BrokenListError
from tap_stripe_conn.api.lists import V1_PAGE_SIZE, Range, newest_first
from tap_stripe_conn.api.typed import ShownT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tap_stripe_conn.api.client import Object
    from tap_stripe_conn.api.errors import CursorGoneError
    from tap_stripe_conn.api.lists import Listing, Query, Walk
    from tap_stripe_conn.api.typed import RowT, ShownPage, TypedPage

FIRST_OBJECTS: Final = 1_262_304_000
"""Unix seconds: the year 2010, before which Stripe had no customers. Guesses leave out what lies
before, and what lies before the account; walks don't."""

FEW_PAGES: Final = 3
"""Until so many pages of rows are read one split must do, so that a small list costs one request
more at most."""


class Ask(NamedTuple):
    """A request to make, whose answer goes to `Sweep.receive` with the walk."""

    walk: Walk
    query: Query


@dataclass(frozen=True, slots=True)
class Page(Generic[ShownT]):
    """Rows to write, and then to hand to `Sweep.written`."""

    rows: list[ShownT]
    span: Range | None
    """Of creation time: these rows are of it, and it is unread until they are written."""


class Sweep:
    """Spans of one list, each read by one walk or, where that is faster, by several side by side.

    It does no I/O: `ask` says what to ask, and one of `receive`, `cursor_gone` and `unanswered` is
    told what came of it, in any order. `split` finds more to ask when more could be under way. A
    list whose rows can't be asked for by their time is read in the same manner, by one walk.

    How it splits:

    * Only for idle capacity. A split costs half a page on average, which both walks read, and
      gains nothing when all requests that can be under way are.
    * Each part gets the same expected number of rows, a page at least. What a walk has left is
      guessed from how dense the rows are on the page that it read last, and how dense they are
      where it will stop: the walk below knows. Where none does, it is as if the rows read so far
      were all there are. In between, the density is taken to change by the same factor every day.
      So even rows are cut evenly and those of a growing account in proportion; where the far end
      is empty, or unknown because little was read, the cut comes close to where the walk is, and
      so the one busy day in five years is found in a few steps.
    * Some new walks find a page or less, and were of no use. There may be only so many of them,
      and of those that have not been answered, as the square root of the pages read: enough for
      walks to multiply fast at the beginning, too few to matter in a long list.
    """

    def __init__(
        self,
        listing: Listing,
        spans: Sequence[Range | None],
        *,
        also_since: int | None = None,
        begins_about: int | None = None,
    ) -> None:
        """Stand at the newest row of each span.

        Args:
            listing: The list.
            spans: Of creation time, apart from each other; `[None]` for all of the list.
            also_since: Unix seconds: older rows, back to then, that come on the last page of the
                oldest span are taken as well.
            begins_about: Unix seconds, before which there is hardly a row; None if nobody knows.
        """
        self._beginnings = (
            [FIRST_OBJECTS] if begins_about is None else [begins_about, FIRST_OBJECTS]
        )
        self._listing = listing
        self._also_since = also_since
        self._spans = spans
        self._page_size = listing.page_size or V1_PAGE_SIZE
        self._unwritten: list[Range] = []
        self._rows = 0
        self._newest_reached = 0
        self._densities: dict[int, float] = {}
        """Rows/s below a second, for each in which a walk began and found more than a page."""

        self._useless = 0
        self._was_split = False
        self._may_split = True
        self._parts = self._begin()

    def ask(self) -> Ask | None:
        """What to ask next, of the walk with the most left; None if all wait for an answer."""
        parts = [part for part in self._parts if not part.is_asking]
        if not parts:
            return None
        rows = {id(part): forecast.rows for part, forecast in self._forecasts()}
        part = max(parts, key=lambda part: rows.get(id(part), math.inf))
        query = part.walk.query()
        if query is None:
            return None
        part.is_asking = True
        return Ask(part.walk, query)

    @overload
    def receive(self, walk: Walk, answer: Object) -> Page[Object]: ...

    @overload
    def receive(self, walk: Walk, answer: TypedPage[RowT]) -> Page[RowT]: ...

    def receive(self, walk: Walk, answer: ShownPage) -> Page[Any]:
        """Take the answer to what `walk` asked.

        Raises:
            BrokenListError: As `Walk.receive`.
        """
        part = self._answered(walk)
        if part is None:
            return Page([], None)
        before = walk.unread
        try:
            rows = walk.receive(answer)
        except BrokenListError:
            # How far the walk is says nothing any more about what was read.
            self._unwritten += [before] if before is not None else []
            raise
        page = Page(rows, _read(before, walk))
        if page.span is not None:
            self._unwritten.append(page.span)
        self._learn(part, before, len(rows))
        if walk.query() is None:
            self._parts.remove(part)
        if walk.reached is None:
            self._split_no_more()
        return page

    def cursor_gone(self, walk: Walk, error: CursorGoneError) -> None:
        """Let `walk` find another way on.

        Raises:
            CursorGoneError: There is none.
        """
        if self._answered(walk) is not None:
            walk.cursor_gone(error)

    def unanswered(self, walk: Walk) -> None:
        """What `walk` asked was not answered, and is to be asked again."""
        self._answered(walk)

    def written(self, page: Page[Any]) -> None:
        """The rows of `page` are written."""
        if page.span is not None:
            self._unwritten.remove(page.span)

    def split(self, idle: int) -> int:
        """Split walks where that pays, those with the most left first.

        Args:
            idle: How many more requests could be under way than there are to ask.

        Returns:
            How many walks have come of it, which `ask` now knows.
        """
        if not self._may_split:
            return 0
        forecasts = self._forecasts()
        made = 0
        shares = self._shares([forecast for _, forecast in forecasts], min(idle, self._trials_left))
        for (part, forecast), parts in zip(forecasts, shares, strict=True):
            made += self._cut(part, forecast, parts)
        return made

    @property
    def asking(self) -> int:
        """How many walks wait for an answer."""
        return sum(part.is_asking for part in self._parts)

    @property
    def is_read(self) -> bool:
        """Whether there is nothing left to ask. What was received may not be written yet."""
        return not self._parts

    @property
    def unread(self) -> list[Range]:
        """The spans with rows that were not received or not written, newest first."""
        spans = [part.walk.unread for part in self._parts]
        return newest_first([*(span for span in spans if span is not None), *self._unwritten])

    @property
    def pages_left(self) -> float:
        """A guess at how many pages there are to read, on the low side while little is known."""
        forecasts = self._forecasts()
        pages = sum(max(1.0, forecast.rows / self._page_size) for _, forecast in forecasts)
        return pages + len(self._parts) - len(forecasts)

    def _begin(self) -> list[_Part]:
        oldest = self._spans[-1] if self._spans else None
        parts = [
            _Part(self._listing.walk(span, self._also_since if span is oldest else None))
            for span in self._spans
        ]
        return [part for part in parts if part.walk.query() is not None]

    def _answered(self, walk: Walk) -> _Part | None:
        """The walk's part; None for a walk of before it all began again."""
        for part in self._parts:
            if part.walk is walk:
                part.is_asking = False
                return part
        return None

    def _learn(self, part: _Part, before: Range | None, rows: int) -> None:
        self._rows += rows
        is_first = part.density is None
        unread, reached = part.walk.unread, part.walk.reached
        if unread is None:
            self._useless += is_first and part.is_trial
        elif before is not None and reached is not None and rows:
            part.density = rows / max(1, before.until - unread.until)
            self._newest_reached = max(self._newest_reached, reached)
            if is_first:
                self._densities[before.until] = part.density

    def _split_no_more(self) -> None:
        """Read by undivided walks alone, as it isn't known any more how far one has come.

        The list is not newest first, or hides its rows' times. A walk that stopped at its lower end
        has relied on the contrary, so that after a split all must be read again.
        """
        self._may_split = False
        if self._was_split:
            self._was_split = False
            self._parts = self._begin()

    @property
    def _trials_left(self) -> int:
        pages = self._rows // self._page_size
        trials = 1 if pages < FEW_PAGES else 1 + math.isqrt(pages)
        unproven = sum(part.is_trial and part.density is None for part in self._parts)
        return trials - unproven - self._useless

    def _forecasts(self) -> list[tuple[_Part, _Forecast]]:
        """What each walk of which something is known may have left.

        Not of the second that a walk is in: that is one page after the other.
        """
        forecasts = []
        for part in self._parts:
            unread, reached = part.walk.unread, part.walk.reached
            if unread is None or part.density is None or reached is None:
                continue
            since = self._guess(unread.since, reached)
            if since >= reached:
                continue
            far = self._densities.get(since, self._rows / (self._newest_reached - since))
            least = self._page_size / (reached - since)
            forecast = _Forecast(part.density, max(far, least), reached - since)
            forecasts.append((part, forecast))
        return forecasts

    def _guess(self, since: int, reached: int) -> int:
        """Down to where a walk may find rows."""
        for beginning in self._beginnings:
            if since < beginning < reached:
                return beginning
        return since

    def _shares(self, forecasts: list[_Forecast], splits: int) -> list[int]:
        """In how many parts to cut each."""
        shares = [1] * len(forecasts)
        for _ in range(splits):
            rows = [forecast.rows / (n + 1) for forecast, n in zip(forecasts, shares, strict=True)]
            most = max(range(len(rows)), key=rows.__getitem__, default=None)
            if most is None or rows[most] < self._page_size:
                break
            shares[most] += 1
        return shares

    def _cut(self, part: _Part, forecast: _Forecast, shares: int) -> int:
        made = 0
        for share in range(shares - 1, 0, -1):
            reached = part.walk.reached
            if reached is None:
                break
            walk = part.walk.split(reached - int(forecast.seconds_of(share / shares)))
            if walk is not None:
                self._parts.append(_Part(walk, is_trial=True))
                made += 1
        self._was_split |= made > 0
        return made


@dataclass(eq=False, slots=True)
class _Part:
    """A walk, and what is known of its course."""

    walk: Walk
    is_trial: bool = False
    is_asking: bool = False
    density: float | None = None
    """Rows/s, on the page that was read last; None before the first."""


class _Forecast(NamedTuple):
    """Rows by time, from where a walk is down to where it will stop."""

    near: float
    """Rows/s where the walk is."""

    far: float
    """Rows/s where it will stop; between both it grows or falls exponentially."""

    seconds: int

    @property
    def rows(self) -> float:
        if self.near == self.far:
            return self.near * self.seconds
        return (self.near - self.far) * self.seconds / math.log(self.near / self.far)

    def seconds_of(self, share: float) -> float:
        """How far down this share of the rows lies."""
        fall = math.log(self.near / self.far)
        if fall == 0:
            return share * self.seconds
        return -math.log1p(share * math.expm1(-fall)) / fall * self.seconds


def _read(before: Range | None, walk: Walk) -> Range | None:
    """The span that a page was of, which left `walk` where it is now."""
    if before is None or walk.unread is None or walk.reached is None:
        return before
    return Range(walk.reached, before.until)
