"""A list in Stripe's memory, for tests of those who read it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from tap_stripe_conn.api.errors import CursorGoneError
from tap_stripe_conn.api.lists import Listing, Range

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tap_stripe_conn.api.client import Object

CHARGES = Listing(
    path="/v1/charges",
    endpoint="/v1/charges",
    page_size=2,
    created_filter="range",
    created_field="created",
)
COUPONS = Listing(path="/v1/coupons", endpoint="/v1/coupons", page_size=2)
METERS = Listing(path="/v2/meters", endpoint="/v2/meters", cursor="next_page_url", page_size=20)

CURSOR_GONE = CursorGoneError("No such charge", http_status=400)


def nothing() -> None:
    pass


@dataclass
class StripeList:
    """A list as Stripe's documentation describes it, with its known defect.

    A cursor that is used in another window of creation time than it was found in leads to an empty
    page.
    """

    created: dict[str, int] = field(default_factory=dict)
    """Creation time of each row, in order of insertion."""

    deleted: set[str] = field(default_factory=set)
    sent: list[str] = field(default_factory=list)
    queries: list[dict[str, Any]] = field(default_factory=list)
    disturb: Callable[[], None] = nothing
    """Called before each answer."""

    _windows: defaultdict[str, set[tuple[int, int]]] = field(
        default_factory=lambda: defaultdict(set)
    )
    """Where each row was sent."""

    @classmethod
    def of(cls, *times: int) -> StripeList:
        stripe = cls()
        for moment in times:
            stripe.insert(moment)
        return stripe

    @property
    def there(self) -> list[str]:
        """Ids, newest first."""
        rows = [name for name in self.created if name not in self.deleted]
        return sorted(rows, key=self._place, reverse=True)

    def insert(self, moment: int) -> str:
        name = f"ch_{len(self.created)}"
        self.created[name] = moment
        return name

    def delete(self, name: str) -> None:
        self.deleted.add(name)

    def within(self, span: Range) -> set[str]:
        return {name for name in self.there if span.since <= self.created[name] < span.until}

    def get(self, _path: str, params: Mapping[str, Any], *, endpoint: str) -> Object:
        """As `StripeClient.get`."""
        assert endpoint
        assert len(self.queries) < 500, "the walk never ends"
        self.disturb()
        self.queries.append(dict(params))
        since, until = window = params.get("created[gte]", 0), params.get("created[lt]", 1 << 40)
        cursor = params.get("starting_after")
        if cursor in self.deleted:
            raise CURSOR_GONE
        if cursor is not None and window not in self._windows[cursor]:
            return {"object": "list", "data": [], "has_more": False}
        rows = [
            name
            for name in self.there
            if since <= self.created[name] < until
            and (cursor is None or self._place(name) < self._place(cursor))
        ]
        page = rows[: params["limit"]]
        self.sent += page
        for name in page:
            self._windows[name].add(window)
        return {
            "object": "list",
            "data": [{"id": name, "created": self.created[name]} for name in page],
            "has_more": len(rows) > len(page),
        }

    def _place(self, name: str) -> tuple[int, int]:
        return self.created[name], list(self.created).index(name)


def charges(page_size: int) -> Listing:
    return Listing(
        path="/v1/charges",
        endpoint="/v1/charges",
        page_size=page_size,
        created_filter="range",
        created_field="created",
    )


few_seconds = st.lists(st.integers(1000, 1012), max_size=24)
"""Creation times, so few that many rows share a second."""

spans = st.tuples(st.integers(998, 1014), st.integers(998, 1014)).map(lambda ends: Range(*ends))
page_sizes = st.integers(1, 5)
