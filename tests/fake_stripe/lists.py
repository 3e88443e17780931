"""Pages of lists: v1 by the id of a row, v2 by an opaque token."""

from __future__ import annotations

import base64
import json
from bisect import bisect_left
from dataclasses import replace
from typing import TYPE_CHECKING, TypedDict
from urllib.parse import quote, urlencode

from tests.fake_stripe import filters
from tests.fake_stripe.bulk import Bulk
from tests.fake_stripe.errors import StripeError, aged_out, bad_parameter, missing
from tests.fake_stripe.rendering import encode, expansions
from tests.fake_stripe.store import order_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tap_stripe_conn.catalogue.resources import Resource
    from tests.fake_stripe.filters import Window
    from tests.fake_stripe.rendering import Renderer, Tree
    from tests.fake_stripe.request import Request
    from tests.fake_stripe.store import Account, Listing, Order, Row

DEFAULT_LIMIT = 10


class Place(TypedDict):
    """What a v2 page token holds."""

    filters: dict[str, str]
    arrays: dict[str, list[str]]
    position: Order
    """Of the row that the page follows."""

    backwards: bool


class Pages:
    """Answers list requests."""

    def __init__(self, renderer: Renderer) -> None:
        """Use `renderer` for the rows."""
        self._renderer = renderer
        self._windows: dict[tuple[str, str], set[Window]] = {}

    def v1(
        self,
        account: Account,
        listing: Listing,
        resource: Resource,
        request: Request,
        where: Mapping[str, str],
    ) -> bytes:
        """A page of a v1 list: `object`, `data`, `has_more`, `url`.

        `where` are values that rows must have because of where the list is.

        Raises:
            StripeError: Parameters that Stripe refuses.
        """
        limit = page_limit(resource, request)
        tree = expansions(request.arrays.get("expand", []), is_list=True)
        rows = filters.conditions(resource, request, where).rows(listing)
        span = filters.window(resource, request)
        low, high = (rows_before(rows, bound) for bound in span)
        after, before = (request.params.get(name) for name in ("starting_after", "ending_before"))
        if after is not None and before is not None:
            message = "You may only specify one of these: starting_after, ending_before."
            raise bad_parameter(param="ending_before", message=message)
        newest_side = before is not None
        if after is not None:
            cursor = self._cursor(account, listing, resource, after, "starting_after")
            high = min(high, rows_before(rows, cursor.order))
            if self._is_foreign_cursor(request.path, cursor, span):
                high = low
        if before is not None:
            cursor = self._cursor(account, listing, resource, before, "ending_before")
            low = max(low, rows_before(rows, (cursor.order[0], cursor.order[1] + 1)))
        has_more = high - low > limit
        if has_more and newest_side:
            high = low + limit
        elif has_more:
            low = high - limit
            self._windows.setdefault((request.path, rows[low].id), set()).add(span)
        end = b'],"has_more":%b,"url":%b}' % (
            b"true" if has_more else b"false",
            encode_text(request.path),
        )
        bodies = self._bodies(account, rows, range(low, high), tree)
        return _joined(b'{"object":"list","data":[', bodies, end)

    def v2(self, account: Account, listing: Listing, resource: Resource, request: Request) -> bytes:
        """A page of a v2 list: `data`, `next_page_url`, `previous_page_url`.

        Raises:
            StripeError: Parameters that Stripe refuses.
        """
        limit = page_limit(resource, request)
        place = _place(request)
        if place is not None:
            request = replace(request, params=place["filters"], arrays=place["arrays"])
        rows = filters.conditions(resource, request, {}).rows(listing)
        low, high = (rows_before(rows, bound) for bound in filters.window(resource, request))
        if place is None:
            page, older, newer = rows[max(low, high - limit) : high], high - limit > low, False
        elif place["backwards"]:
            time, number = place["position"]
            low = max(low, rows_before(rows, (time, number + 1)))
            page, older, newer = rows[low : min(high, low + limit)], True, low + limit < high
        else:
            time, number = place["position"]
            high = min(high, rows_before(rows, (time, number)))
            page, older, newer = rows[max(low, high - limit) : high], high - limit > low, True
        following = _page_url(request, limit, page[0], backwards=False) if page and older else None
        previous = _page_url(request, limit, page[-1], backwards=True) if page and newer else None
        end = b'],"next_page_url":%b,"previous_page_url":%b}' % (
            encode_text(following),
            encode_text(previous),
        )
        bodies = self._bodies(account, page, range(len(page)), {})
        return _joined(b'{"data":[', bodies, end)

    def _bodies(
        self, account: Account, rows: Sequence[Row], page: range, tree: Tree
    ) -> list[bytes]:
        """The rows of a page as JSON, newest first."""
        render = self._renderer
        if isinstance(rows, Bulk) and not tree:
            return [rows.body(place) for place in reversed(page)]
        newest_first = reversed(rows[page.start : page.stop])
        if tree:
            return [encode(render.sent(account, row, tree)) for row in newest_first]
        return [row.body or render.listed(account, row) for row in newest_first]

    def _cursor(
        self, account: Account, listing: Listing, resource: Resource, identifier: str, param: str
    ) -> Row:
        row = listing.with_id(identifier)
        if (
            row is None
            and resource.name == "events"
            and identifier in account.deleted.get("events", {})
        ):
            raise aged_out(identifier, param)
        if row is None:
            raise missing(resource.objects[0], identifier, status=400, param=param)
        return row

    def _is_foreign_cursor(self, path: str, cursor: Row, span: Window) -> bool:
        """Whether Stripe loses the rest of the cursor's second.

        A cursor that ended a page of one `created` window and is then used in another one which
        holds the cursor's second gets an empty page (field report: stripe/sync-engine #378).
        """
        known = self._windows.get((path, cursor.id))
        if known is None or span in known:
            return False
        return span[0] <= cursor.order < span[1]


def rows_before(rows: Sequence[Row], order: Order) -> int:
    """How many rows come before a place in the list's order."""
    return rows.before(order) if isinstance(rows, Bulk) else bisect_left(rows, order, key=order_of)


def page_limit(resource: Resource, request: Request) -> int:
    """The page's size.

    Raises:
        StripeError: It is not between 1 and what the list allows.
    """
    if resource.page_size is None:
        return 1_000_000
    if "limit" not in request.params:
        return min(DEFAULT_LIMIT, resource.page_size)
    limit = filters.integer(request, "limit")
    if limit < 1:
        raise bad_parameter(
            param="limit",
            message="This value must be greater than or equal to 1.",
            code="parameter_invalid_integer",
        )
    if limit > resource.page_size:
        raise bad_parameter(
            param="limit",
            message=f"This value must be less than or equal to {resource.page_size}"
            f" (it currently is '{limit}').",
            code="parameter_invalid_integer",
        )
    return limit


def encode_text(text: str | None) -> bytes:
    """A string or null as JSON."""
    return json.dumps(text).encode()


def _joined(start: bytes, bodies: list[bytes], end: bytes) -> bytes:
    """A page. Its rows are copied once: they are many times as long as what is about them."""
    if not bodies:
        return start + end
    bodies[0] = start + bodies[0]
    bodies[-1] += end
    return b",".join(bodies)


def _place(request: Request) -> Place | None:
    """Where the page token says to go on, or None for the first page."""
    token = request.params.get("page")
    if token is None:
        return None
    try:
        place: Place = json.loads(base64.urlsafe_b64decode(token.encode()))
        kept = place["filters"]
    except (ValueError, KeyError, TypeError):
        raise StripeError(400, "Invalid page token.", code="invalid_page_token") from None
    if _filters(request) not in ({}, kept):
        raise StripeError(
            400,
            "Filters cannot change between the pages of a list.",
            code="invalid_page_token",
        )
    return place


def _filters(request: Request) -> dict[str, str]:
    return {name: text for name, text in request.params.items() if name not in {"page", "limit"}}


def _page_url(request: Request, limit: int, row: Row, *, backwards: bool) -> str:
    place: Place = {
        "filters": _filters(request),
        "arrays": request.arrays,
        "position": row.order,
        "backwards": backwards,
    }
    token = base64.urlsafe_b64encode(json.dumps(place).encode()).decode()
    return f"{quote(request.path)}?{urlencode({'page': token, 'limit': limit})}"
