"""Walking a list of Stripe's to its end, whatever happens to the list meanwhile.

Stripe lists newest first, a page at a time (https://docs.stripe.com/api/pagination). A walk knows
what to ask next and what an answer means, but does no I/O itself: any number of them can be under
way at once, as in `sweeps`.

A walk believes no answer that contradicts the list: a row that comes twice, one that was created
outside of the span that was asked for, fewer or more rows than the list says that it has. Any of
these may mean that another row is missing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias, overload
from urllib.parse import urlsplit

from typing_extensions import override

from tap_stripe_conn.api.errors import BrokenListError, CursorGoneError
from tap_stripe_conn.api.typed import TypedPage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tap_stripe_conn.api.client import Object
    from tap_stripe_conn.api.typed import RowT, Shown

V1_PAGE_SIZE: Final = 100
"""Rows; the largest `limit` of API v1."""

CreatedFilter: TypeAlias = Literal["range", "rfc3339", "rfc3339_flat", "after_before"]


class Range(NamedTuple):
    """A span of creation time: whole Unix seconds, `since` included and `until` not."""

    since: int
    until: int


def newest_first(spans: Iterable[Range]) -> list[Range]:
    """The same seconds in as few spans as possible, newest first, without empty ones."""
    merged: list[Range] = []
    full = (span for span in spans if span.since < span.until)
    for span in sorted(full, key=lambda span: span.until, reverse=True):
        if merged and span.until >= merged[-1].since:
            merged[-1] = Range(min(span.since, merged[-1].since), merged[-1].until)
        else:
            merged.append(span)
    return merged


def without(spans: Iterable[Range], others: Iterable[Range]) -> list[Range]:
    """The spans but for what lies within others, newest first."""
    left = list(spans)
    for other in others:
        left = [
            part
            for span in left
            for part in (
                Range(span.since, min(span.until, other.since)),
                Range(max(span.since, other.until), span.until),
            )
        ]
    return newest_first(left)


class Query(NamedTuple):
    """One request for a page."""

    path: str
    params: dict[str, str | int | Sequence[str]]
    endpoint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One list and how it is asked for, without a place in it."""

    path: str
    endpoint: str
    """The path with its braces, by which Stripe counts requests."""

    cursor: Literal["starting_after", "next_page_url"] | None = "starting_after"
    """None: one answer holds everything."""

    singleton: bool = False
    """Whether the answer is one row itself, and no list."""

    page_size: int | None = V1_PAGE_SIZE
    params: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    expand: Sequence[str] = ()
    created_filter: CreatedFilter | None = None
    created_field: str | None = None

    def walk(self, span: Range | None = None, also_since: int | None = None) -> Walk:
        """A walk over the rows created within `span`, or over all of them.

        Args:
            span: Only for lists that have a filter on creation time.
            also_since: Unix seconds: older rows, back to then, that come on its last page.
        """
        if self.singleton:
            return SingletonWalk(self)
        if self.cursor == "next_page_url":
            return PageUrlWalk(self, span)
        if span is not None and self.created_field is not None and self.cursor is not None:
            return RangeWalk(self, span, self.created_field, also_since)
        return CursorWalk(self, span)

    def query(self, span: Range | None) -> Query:
        """The request for the first page."""
        params: dict[str, str | int | Sequence[str]] = dict(self.params)
        if self.singleton:
            if self.expand:
                params["expand[]"] = list(self.expand)
            return Query(self.path, params, self.endpoint)
        if self.page_size is not None:
            params["limit"] = self.page_size
        if self.expand:
            params["expand[]"] = [f"data.{name}" for name in self.expand]
        if span is not None:
            params |= _created_params(self.created_filter, span)
        return Query(self.path, params, self.endpoint)


class Walk(ABC):
    """A place in a list."""

    @abstractmethod
    def query(self) -> Query | None:
        """What to ask next; None at the end."""

    @overload
    @abstractmethod
    def receive(self, page: Object) -> list[Object]: ...

    @overload
    @abstractmethod
    def receive(self, page: TypedPage[RowT]) -> list[RowT]: ...

    @abstractmethod
    def receive(self, page: Shown) -> list[Any]:
        """Take the answer to `query` and move on.

        Returns:
            The page's rows that are new to this walk.

        Raises:
            BrokenListError: The answer is no page of a list, or contradicts what came before.
        """

    @abstractmethod
    def cursor_gone(self, error: CursorGoneError) -> None:
        """Find another way on, the row that marked the place being deleted.

        Raises:
            CursorGoneError: There is none.
        """

    @property
    @abstractmethod
    def unread(self) -> Range | None:
        """The span of creation time that isn't read yet; None when all of it is."""

    @property
    def reached(self) -> int | None:
        """Unix seconds; every row that is newer has been received. None where that isn't known."""
        return None

    def split(self, at: int) -> Walk | None:  # noqa: ARG002 - most walks can't
        """Leave the rows created before `at` to another walk, which may start at once.

        Args:
            at: Unix seconds.

        Returns:
            The other walk; None, and nothing has changed, where this one can't stop at `at`.
        """
        return None


class RangeWalk(Walk):
    """Through the rows created within a span, by cursor, newest first.

    The window of a query never changes under its cursor: Stripe answers a cursor that points into a
    narrower window with an empty page, and the rest of that second is lost. So a walk that was
    split asks on as before; only what it takes from the answers, and where it stops, has changed.
    """

    def __init__(
        self, listing: Listing, span: Range, created_field: str, also_since: int | None = None
    ) -> None:
        """Stand at the newest row of `span`."""
        self._listing = listing
        self._created_field = created_field
        self._span = span
        self._floor = span.since if also_since is None else min(span.since, also_since)
        """Unix seconds: older rows are another walk's."""

        self._window = Range(self._floor, span.until)
        self._cursor: str | None = None
        self._cursors: set[str] = set()
        self._page: set[str] = set()
        self._gone: set[str] = set()
        self._done = span.since >= span.until
        self._newest_first = True
        self._dated = True
        self._reached = span.until
        self._ids_of_reached: set[str] = set()
        self._skip: frozenset[str] = frozenset()

    @override
    def query(self) -> Query | None:
        if self._done:
            return None
        query = self._listing.query(self._window)
        if self._cursor is not None:
            query.params["starting_after"] = self._cursor
        return query

    @override
    def receive(self, page: Shown) -> list[Any]:
        rows = _rows(page)
        has_more = _has_more(page)
        ids = _ids(rows) - self._skip
        _see_that_none_is_known(ids, self._cursors, self._page, self._ids_of_reached)
        self._reach(rows)
        self._page = ids
        since = self._span.since
        self._done = not has_more or (self._newest_first and self._reached < since)
        if not self._done:
            self._cursor = _next_cursor(rows, self._cursors)
        floor = self._floor
        if self._skip or self._reached < floor:
            rows = [
                row for row in rows if not (row["id"] in self._skip or self._before(floor, row))
            ]
        return rows

    @override
    def cursor_gone(self, error: CursorGoneError) -> None:
        """Start afresh at the last second seen, without its rows that are known.

        Raises:
            CursorGoneError: Also for a cursor that is still listed, when it is refused again.
        """
        if self._cursor is None or not self._newest_first or self._cursor in self._gone:
            raise error
        self._gone.add(self._cursor)
        self._cursor = None
        self._cursors.clear()
        self._window = Range(self._floor, min(self._reached + 1, self._span.until))
        self._skip = frozenset(self._ids_of_reached)

    @property
    @override
    def unread(self) -> Range | None:
        if self._done:
            return None
        if not self._newest_first:
            return self._span
        return Range(self._span.since, min(self._reached + 1, self._span.until))

    @property
    @override
    def reached(self) -> int | None:
        return self._reached if self._newest_first and self._dated else None

    @override
    def split(self, at: int) -> RangeWalk | None:
        """Leave the rows created before `at` to another walk, which may start at once.

        A query of this walk may be under way meanwhile. What its answer holds of the other's rows
        is dropped: they are read twice, but taken once.

        Args:
            at: Unix seconds, no later than this walk has reached: of the second that it has
                reached there may be more rows on the next page.
        """
        since, until = self._span
        if self._done or self.reached is None or not since < at <= min(self.reached, until - 1):
            return None
        lower = RangeWalk(self._listing, Range(since, at), self._created_field, self._floor)
        self._span = Range(at, until)
        self._floor = at
        return lower

    def _before(self, moment: int, row: Shown) -> bool:
        created = row.get(self._created_field)
        return isinstance(created, int) and created < moment

    def _reach(self, rows: Sequence[Shown]) -> None:
        times = [row.get(self._created_field) for row in rows]
        known = [created for created in times if isinstance(created, int)]
        self._dated &= len(known) == len(times)
        if not known:
            return
        oldest = min(known)
        _see_that_it_was_asked_for(self._window, oldest, max(known))
        if known[0] > self._reached or known != sorted(known, reverse=True):
            # Never seen of Stripe; where it happens, nothing follows from how far the walk is.
            self._newest_first = False
        if oldest < self._reached:
            self._reached = oldest
            self._ids_of_reached = set()
        here = (row["id"] for row, at in zip(rows, times, strict=True) if at == self._reached)
        self._ids_of_reached.update(here)


class CursorWalk(Walk):
    """Through a list whose rows can't be asked for by when they were created."""

    def __init__(self, listing: Listing, span: Range | None = None) -> None:
        """Stand at the list's first row.

        Args:
            listing: The list.
            span: Narrows it, where the list has the filter but its rows don't show their time.
        """
        self._listing = listing
        self._span = span
        self._ids: list[str] = []
        self._cursors: set[str] = set()
        self._count = _Count()
        self._gone: set[str] = set()
        self._done = False

    @override
    def query(self) -> Query | None:
        if self._done:
            return None
        query = self._listing.query(self._span)
        if self._ids:
            query.params["starting_after"] = self._ids[-1]
        return query

    @override
    def receive(self, page: Shown) -> list[Any]:
        rows = _rows(page)
        self._done = not _has_more(page)
        _see_that_none_is_known(_ids(rows), self._cursors, self._ids)
        self._count.add(page, rows)
        if self._done:
            self._count.check()
        else:
            _next_cursor(rows, self._cursors)
            self._ids = [row["id"] for row in rows]
        return rows

    @override
    def cursor_gone(self, error: CursorGoneError) -> None:
        """Go on from the row before; from the start if the whole page was deleted."""
        if not self._ids:
            raise error
        gone = self._ids.pop()
        if gone in self._gone:
            raise error
        self._gone.add(gone)
        self._cursors.discard(gone)
        self._count.give_up()
        if not self._ids:
            self._cursors.clear()

    @property
    @override
    def unread(self) -> Range | None:
        return None if self._done else self._span


class SingletonWalk(Walk):
    """To the one row that there is."""

    def __init__(self, listing: Listing) -> None:
        """Stand before it."""
        self._query: Query | None = listing.query(None)

    @override
    def query(self) -> Query | None:
        return self._query

    @override
    def receive(self, page: Shown) -> list[Any]:
        self._query = None
        return [page]

    @override
    def cursor_gone(self, error: CursorGoneError) -> None:
        raise error

    @property
    @override
    def unread(self) -> None:
        return None


class PageUrlWalk(Walk):
    """Through a list of API v2, which names its next page by a URL.

    Source: https://docs.stripe.com/api-v2-overview#list-pagination
    """

    def __init__(self, listing: Listing, span: Range | None = None) -> None:
        """Stand at the first page."""
        self._listing = listing
        self._span = span
        self._next: Query | None = listing.query(span)
        self._named: set[str] = set()
        self._page: set[str] = set()

    @override
    def query(self) -> Query | None:
        return self._next

    @override
    def receive(self, page: Shown) -> list[Any]:
        rows = _rows(page)
        ids = _ids(rows)
        _see_that_none_is_known(ids, self._page)
        self._page = ids
        if self._span is not None and self._listing.created_filter is not None:
            known = [moment for row in rows if (moment := self._created(row)) is not None]
            if known:
                _see_that_it_was_asked_for(self._span, min(known), max(known))
        url = page.get("next_page_url")
        self._next = self._page_at(url) if url else None
        return rows

    @override
    def cursor_gone(self, error: CursorGoneError) -> None:
        raise error

    @property
    @override
    def unread(self) -> Range | None:
        return None if self._next is None else self._span

    def _created(self, row: Shown) -> float | None:
        """Unix seconds; None where the row doesn't say."""
        try:
            created: str = row[self._listing.created_field or ""]
            return datetime.fromisoformat(created.replace("Z", "+00:00")).timestamp()
        except (AttributeError, KeyError, ValueError):
            return None

    def _page_at(self, url: str) -> Query:
        # Only path and query: the credentials never follow a URL to another host. A path without a
        # slash would lengthen the host's name.
        try:
            parts = urlsplit(url)
        except (AttributeError, ValueError):
            parts = urlsplit("")
        if not parts.path.startswith("/"):
            msg = f"{self._listing.path} names a next page that is none"
            raise _broken(msg)
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        if path in self._named:
            msg = f"{self._listing.path} names the same page twice as its next"
            raise _broken(msg)
        self._named.add(path)
        return Query(path, {}, self._listing.endpoint)


def rfc3339(seconds: int) -> str:
    """Unix seconds as `2026-01-31T23:59:59Z`."""
    return datetime.fromtimestamp(seconds, tz=timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _created_params(kind: CreatedFilter | None, span: Range) -> dict[str, str | int]:
    since, until = span
    bounds: dict[str, str | int]
    if kind == "range":
        bounds = {"created[gte]": since, "created[lt]": until}
    elif kind == "after_before":
        # Both bounds are exclusive, in whole seconds.
        bounds = {"created_after": since - 1, "created_before": until}
    elif kind == "rfc3339":
        bounds = {"created[gte]": rfc3339(since), "created[lt]": rfc3339(until)}
    elif kind == "rfc3339_flat":
        bounds = {"created_gte": rfc3339(since), "created_lt": rfc3339(until)}
    else:
        return {}
    if since <= 0:
        del bounds[next(iter(bounds))]
    return bounds


def _rows(page: Shown) -> list[Any]:
    if isinstance(page, TypedPage):
        return list(page.data)
    rows: Any = page.get("data")
    if not isinstance(rows, list) or not all(_is_row(row) for row in rows):
        msg = "Stripe answered with something that is not a list of objects"
        raise _broken(msg)
    return rows


def _is_row(row: Any) -> bool:  # noqa: ANN401 - JSON
    return type(row) is dict and type(row.get("id")) is str


def _ids(rows: Sequence[Shown]) -> set[str]:
    """The rows' ids, each of which is there once."""
    ids: set[str] = {row["id"] for row in rows}
    if len(ids) < len(rows):
        ((twice, _),) = Counter(row["id"] for row in rows).most_common(1)
        raise _repeated(twice)
    return ids


def _see_that_none_is_known(ids: set[str], cursors: set[str], *known: Iterable[str]) -> None:
    """See that a page holds no row that came before, by few of those that did.

    A list that goes back sends again what stands together in it. If that is a whole page, there is
    a row in it that a page ended with, which are the cursors; if less, it belongs to the page
    before or, where many were made in one second, to the second that the walk is in.
    """
    for some in (cursors, *known):
        if not ids.isdisjoint(some):
            raise _repeated(min(ids.intersection(some)))


def _repeated(identifier: str) -> BrokenListError:
    return _broken(f"Stripe's list repeats itself: {identifier} comes twice")


def _see_that_it_was_asked_for(window: Range, oldest: float, newest: float) -> None:
    """See that rows lie within the span that a query asked for."""
    stray = next((at for at in (oldest, newest) if not window.since <= at < window.until), None)
    if stray is not None:
        msg = (
            f"Stripe sent a row that was created at {rfc3339(int(stray))}, when rows from "
            f"{rfc3339(window.since)} to before {rfc3339(window.until)} were asked for"
        )
        raise _broken(msg)


class _Count:
    """That as many rows come as the list says that it has, where it says so (`total_count`)."""

    def __init__(self) -> None:
        self._rows = 0
        self._totals: set[object] = set()

    def add(self, page: Shown, rows: Sequence[Shown]) -> None:
        self._rows += len(rows)
        self._totals.add(page.get("total_count"))

    def give_up(self) -> None:
        """A row was deleted meanwhile: there may be any number now."""
        self._totals.add(None)

    def check(self) -> None:
        """See that it is right, after the last page of the whole list."""
        # What changes from page to page is a list that changes.
        if len(self._totals) == 1 and self._totals.isdisjoint({None, self._rows}):
            msg = f"Stripe's list of {self._totals.pop()} rows ended after {self._rows}"
            raise _broken(msg)


def _has_more(page: Shown) -> bool:
    has_more: Any = page.get("has_more")
    if not isinstance(has_more, bool):
        msg = "Stripe's page doesn't say whether there is more"
        raise _broken(msg)
    return has_more


def _next_cursor(rows: Sequence[Shown], cursors: set[str]) -> str:
    """The id of the last row, which joins the cursors that were used."""
    if not rows:
        msg = "Stripe says that there is more, but sent an empty page"
        raise _broken(msg)
    last: str = rows[-1]["id"]
    if last in cursors:
        msg = f"Stripe's list repeats itself after {last}"
        raise _broken(msg)
    cursors.add(last)
    return last


def _broken(message: str) -> BrokenListError:
    return BrokenListError(message, http_status=200)
