from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_stripe_conn.api.errors import BrokenListError, CursorGoneError
from tap_stripe_conn.api.lists import (
    CursorWalk,
    Listing,
    PageUrlWalk,
    Query,
    Range,
    RangeWalk,
)
from tests.api.stripe_list import (
    CHARGES,
    COUPONS,
    CURSOR_GONE,
    METERS,
    StripeList,
    charges,
    few_seconds,
    page_sizes,
    spans,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_stripe_conn.api.client import Object
    from tap_stripe_conn.api.lists import CreatedFilter, Walk


def pages(stripe: StripeList, walk: Walk) -> Iterator[list[Object]]:
    """The rows of `walk`, a list for each request."""
    while (query := walk.query()) is not None:
        try:
            page = stripe.get(query.path, query.params, endpoint=query.endpoint)
        except CursorGoneError as error:
            walk.cursor_gone(error)
        else:
            yield walk.receive(page)


def read(stripe: StripeList, walk: Walk) -> list[str]:
    return [row["id"] for page in pages(stripe, walk) for row in page]


@st.composite
def troubled_lists(draw: st.DrawFn) -> StripeList:
    """A list of which rows are deleted, and to which new ones are added, between the pages."""
    stripe = StripeList.of(*sorted(draw(few_seconds)))

    def disturb() -> None:
        # The cursor, and what was sent before it.
        for name in stripe.sent[len(stripe.sent) - draw(st.integers(0, 6)) :]:
            stripe.delete(name)
        if stripe.there:
            for name in draw(st.lists(st.sampled_from(stripe.there), max_size=2)):
                stripe.delete(name)
        for _ in range(draw(st.integers(0, 2))):
            stripe.insert(1014)

    stripe.disturb = disturb
    return stripe


@given(troubled_lists(), spans, page_sizes)
def test_a_walk_over_a_span_gives_every_row_of_it_once_whatever_is_deleted_meanwhile(
    stripe: StripeList, span: Range, page_size: int
) -> None:
    before = stripe.within(span)
    received = read(stripe, charges(page_size).walk(span))
    assert len(received) == len(set(received))
    assert set(received) <= before
    assert set(received) >= stripe.within(span)


@given(troubled_lists(), spans, page_sizes)
def test_what_is_unread_only_shrinks_and_holds_every_row_that_was_not_received(
    stripe: StripeList, span: Range, page_size: int
) -> None:
    walk = charges(page_size).walk(span)
    received: set[str] = set()
    before = walk.unread
    for page in pages(stripe, walk):
        received |= {row["id"] for row in page}
        left = walk.unread or Range(span.since, span.since)
        assert before is not None
        assert before.since == left.since
        assert left.until <= before.until
        assert stripe.within(span) <= received | stripe.within(left)
        before = left
    assert walk.unread is None


@given(troubled_lists(), spans, page_sizes, st.integers(1, 10))
def test_a_run_that_goes_on_from_what_was_unread_at_a_crash_misses_nothing(
    stripe: StripeList, span: Range, page_size: int, crash: int
) -> None:
    walk = charges(page_size).walk(span)
    received: set[str] = set()
    for number, page in enumerate(pages(stripe, walk), start=1):
        received |= {row["id"] for row in page}
        if number == crash:
            break
    if walk.unread is not None:
        received |= set(read(stripe, charges(page_size).walk(walk.unread)))
    assert received >= stripe.within(span)


def test_a_second_with_more_rows_than_a_page_survives_the_deletion_of_each_cursor() -> None:
    stripe = StripeList.of(*[1000] * 7)
    stripe.disturb = lambda: stripe.deleted.update(stripe.sent[-1:])
    received = read(stripe, CHARGES.walk(Range(1000, 1001)))
    assert received == ["ch_6", "ch_5", "ch_4", "ch_3", "ch_2", "ch_1", "ch_0"]


def test_an_empty_span_costs_no_request() -> None:
    stripe = StripeList.of(1000)
    assert read(stripe, CHARGES.walk(Range(1000, 1000))) == []
    assert stripe.queries == []
    assert CHARGES.walk(Range(1001, 1000)).unread is None


def test_a_span_without_rows_costs_one_request() -> None:
    stripe = StripeList.of(1000)
    assert read(stripe, CHARGES.walk(Range(1001, 2000))) == []
    assert len(stripe.queries) == 1


def test_the_window_of_a_query_never_changes_under_its_cursor() -> None:
    stripe = StripeList.of(1000, 1001, 1002, 1003, 1004)
    read(stripe, CHARGES.walk(Range(1000, 2000)))
    assert stripe.queries == [
        {"limit": 2, "created[gte]": 1000, "created[lt]": 2000},
        {"limit": 2, "created[gte]": 1000, "created[lt]": 2000, "starting_after": "ch_3"},
        {"limit": 2, "created[gte]": 1000, "created[lt]": 2000, "starting_after": "ch_1"},
    ]


def test_a_deleted_cursor_starts_the_walk_afresh_at_the_last_second_it_saw() -> None:
    stripe = StripeList.of(1000, 1005, 1005, 1005)
    walk = CHARGES.walk(Range(1000, 2000))
    walk.receive(stripe.get("", walk_params(walk), endpoint="/v1/charges"))
    stripe.delete("ch_2")
    walk.cursor_gone(CURSOR_GONE)
    assert walk_params(walk) == {"limit": 2, "created[gte]": 1000, "created[lt]": 1006}
    page = stripe.get("", walk_params(walk), endpoint="/v1/charges")
    assert [row["id"] for row in page["data"]] == ["ch_3", "ch_1"]
    assert [row["id"] for row in walk.receive(page)] == ["ch_1"]


def walk_params(walk: Walk) -> dict[str, Any]:
    query = walk.query()
    assert query is not None
    return query.params


def test_a_list_that_is_not_newest_first_is_unread_as_a_whole_until_its_end() -> None:
    walk = CHARGES.walk(Range(1000, 2000))
    walk.receive({"data": [{"id": "ch_1", "created": 1001}], "has_more": True})
    walk.receive({"data": [{"id": "ch_2", "created": 1900}], "has_more": True})
    assert walk.unread == Range(1000, 2000)
    with pytest.raises(CursorGoneError):
        walk.cursor_gone(CURSOR_GONE)
    walk.receive({"data": [], "has_more": False})
    assert walk.unread is None


def test_a_row_that_does_not_say_when_it_was_created_moves_nothing() -> None:
    walk = CHARGES.walk(Range(1000, 2000))
    walk.receive({"data": [{"id": "ch_2", "created": 1500}, {"id": "ch_1"}], "has_more": True})
    assert walk.unread == Range(1000, 1501)
    assert walk_params(walk)["starting_after"] == "ch_1"


@pytest.mark.parametrize("listing", [CHARGES, COUPONS, METERS], ids=lambda each: each.path)
def test_a_cursor_that_is_gone_before_there_was_one_is_an_error(listing: Listing) -> None:
    with pytest.raises(CursorGoneError):
        listing.walk(Range(1000, 2000)).cursor_gone(CURSOR_GONE)


# --- Lists without a filter on creation time ---------------------------------------------------


@given(troubled_lists(), page_sizes)
def test_a_walk_by_cursor_alone_misses_no_row_whatever_is_deleted_meanwhile(
    stripe: StripeList, page_size: int
) -> None:
    before = set(stripe.there)
    listing = Listing(path="/v1/coupons", endpoint="/v1/coupons", page_size=page_size)
    received = read(stripe, listing.walk())
    assert set(received) >= before - stripe.deleted
    starts = [query for query in stripe.queries if "starting_after" not in query]
    if len(starts) == 1:
        assert len(received) == len(set(received))


def test_a_walk_by_cursor_goes_on_from_the_row_before_a_deleted_one() -> None:
    stripe = StripeList.of(1000, 1001, 1002, 1003)
    stripe.disturb = lambda: stripe.deleted.update({"ch_2"} & set(stripe.sent))
    assert read(stripe, COUPONS.walk()) == ["ch_3", "ch_2", "ch_1", "ch_0"]
    assert [query.get("starting_after") for query in stripe.queries] == [None, "ch_2", "ch_3"]


def test_a_walk_by_cursor_starts_again_when_a_whole_page_was_deleted() -> None:
    stripe = StripeList.of(1000, 1001, 1002, 1003)
    stripe.disturb = lambda: stripe.deleted.update({"ch_3", "ch_2"} & set(stripe.sent))
    assert read(stripe, COUPONS.walk()) == ["ch_3", "ch_2", "ch_1", "ch_0"]
    cursors = [query.get("starting_after") for query in stripe.queries]
    assert cursors == [None, "ch_2", "ch_3", None]


def test_a_walk_by_cursor_has_its_span_unread_until_the_end() -> None:
    walk = CursorWalk(CHARGES, Range(1000, 2000))
    assert walk_params(walk)["created[lt]"] == 2000
    walk.receive({"data": [{"id": "ch_1"}], "has_more": True})
    assert walk.unread == Range(1000, 2000)
    walk.receive({"data": [], "has_more": False})
    assert walk.query() is None
    assert walk.unread is None


# --- Lists of API v2 ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    ["https://api.stripe.com/v2/meters?page=abc&limit=20", "/v2/meters?page=abc&limit=20"],
)
def test_the_next_page_is_asked_for_by_the_path_and_query_of_its_url(url: str) -> None:
    walk = METERS.walk()
    assert walk.query() == Query("/v2/meters", {"limit": 20}, "/v2/meters")
    walk.receive({"data": [{"id": "mtr_1"}], "next_page_url": url})
    assert walk.query() == Query("/v2/meters?page=abc&limit=20", {}, "/v2/meters")


def test_the_page_that_names_no_next_is_the_last() -> None:
    walk = METERS.walk()
    walk.receive({"data": [{"id": "mtr_1"}], "next_page_url": "/v2/meters?page=2"})
    assert walk.receive({"data": [{"id": "mtr_2"}], "next_page_url": None}) == [{"id": "mtr_2"}]
    assert walk.query() is None


url_parts = st.text(st.sampled_from("a.@:/?#[]\\% "), max_size=8)


@given(
    st.builds(str.__add__, st.sampled_from(["", "/", "//", "https://", "http://evil"]), url_parts)
)
def test_a_next_page_never_leads_to_another_host(url: str) -> None:
    walk = METERS.walk()
    try:
        walk.receive({"data": [], "next_page_url": url})
    except BrokenListError:
        return
    query = walk.query()
    assert query is None or urlsplit("https://api.stripe.com" + query.path).netloc == (
        "api.stripe.com"
    )


@pytest.mark.parametrize("cycle", [1, 2, 3])
def test_a_list_of_pages_that_leads_back_to_a_page_is_broken(cycle: int) -> None:
    walk = METERS.walk()
    for number in range(cycle):
        walk.receive({"data": [], "next_page_url": f"/v2/meters?page={number}"})
    with pytest.raises(BrokenListError, match="/v2/meters"):
        walk.receive({"data": [], "next_page_url": "/v2/meters?page=0"})


def test_a_span_of_a_list_of_pages_is_unread_until_the_last_page() -> None:
    walk = METERS.walk(Range(1000, 2000))
    walk.receive({"data": [], "next_page_url": "/v2/meters?page=2"})
    assert walk.unread == Range(1000, 2000)
    walk.receive({"data": []})
    assert walk.unread is None


# --- Queries -----------------------------------------------------------------------------------

FILTERS: dict[CreatedFilter, dict[str, str | int]] = {
    "range": {"created[gte]": 1_700_000_000, "created[lt]": 1_700_086_400},
    "after_before": {"created_after": 1_699_999_999, "created_before": 1_700_086_400},
    "rfc3339": {
        "created[gte]": "2023-11-14T22:13:20Z",
        "created[lt]": "2023-11-15T22:13:20Z",
    },
    "rfc3339_flat": {
        "created_gte": "2023-11-14T22:13:20Z",
        "created_lt": "2023-11-15T22:13:20Z",
    },
}


@pytest.mark.parametrize(("created_filter", "params"), FILTERS.items(), ids=FILTERS)
def test_a_span_is_asked_for_in_the_lists_own_form(
    created_filter: CreatedFilter, params: dict[str, str | int]
) -> None:
    listing = Listing(path="/v1/x", endpoint="/v1/x", page_size=None, created_filter=created_filter)
    assert listing.query(Range(1_700_000_000, 1_700_086_400)).params == params


@pytest.mark.parametrize(("created_filter", "params"), FILTERS.items(), ids=FILTERS)
def test_a_span_from_the_beginning_has_no_lower_bound(
    created_filter: CreatedFilter, params: dict[str, str | int]
) -> None:
    listing = Listing(path="/v1/x", endpoint="/v1/x", page_size=None, created_filter=created_filter)
    upper = dict(list(params.items())[1:])
    assert listing.query(Range(0, 1_700_086_400)).params == upper


def test_a_list_without_a_filter_is_not_asked_for_a_span() -> None:
    assert COUPONS.query(Range(1000, 2000)).params == {"limit": 2}


def test_a_query_has_the_lists_own_parameters_and_expands_below_its_rows() -> None:
    listing = Listing(
        path="/v1/subscriptions",
        endpoint="/v1/subscriptions",
        params={"status": "all"},
        expand=("items", "discounts"),
    )
    assert listing.query(None) == Query(
        "/v1/subscriptions",
        {"status": "all", "limit": 100, "expand[]": ["data.items", "data.discounts"]},
        "/v1/subscriptions",
    )


def test_a_list_is_walked_by_what_it_offers() -> None:
    span = Range(1000, 2000)
    assert isinstance(CHARGES.walk(span), RangeWalk)
    assert isinstance(CHARGES.walk(), CursorWalk)
    assert isinstance(COUPONS.walk(span), CursorWalk)
    assert isinstance(METERS.walk(span), PageUrlWalk)


@pytest.mark.parametrize("size", [0, 1, 5])
def test_one_answer_holds_everything_where_there_is_no_cursor(size: int) -> None:
    listing = Listing(path="/v1/x", endpoint="/v1/x", cursor=None, page_size=2)
    rows = [{"id": f"x_{number}"} for number in range(size)]
    walk = listing.walk()
    assert walk.receive({"data": rows, "has_more": False}) == rows
    assert walk.query() is None


# --- Two walks instead of one ------------------------------------------------------------------


def test_a_split_walk_asks_on_as_before_and_another_reads_what_is_older() -> None:
    stripe = StripeList.of(1000, 1001, 1002, 1003, 1004, 1005)
    newer = CHARGES.walk(Range(1000, 2000))
    newer.receive(stripe.get("", walk_params(newer), endpoint="/v1/charges"))
    older = newer.split(1002)
    assert older is not None
    assert walk_params(newer) == {
        "limit": 2,
        "created[gte]": 1000,
        "created[lt]": 2000,
        "starting_after": "ch_4",
    }
    assert walk_params(older) == {"limit": 2, "created[gte]": 1000, "created[lt]": 1002}
    assert (newer.unread, older.unread) == (Range(1002, 1005), Range(1000, 1002))
    assert read(stripe, newer) == ["ch_3", "ch_2"]
    assert read(stripe, older) == ["ch_1", "ch_0"]


def test_a_walk_that_is_split_while_it_waits_drops_what_is_the_others() -> None:
    stripe = StripeList.of(1000, 1000, 1001, 1002, 1003)
    listing = charges(page_size=4)
    newer = listing.walk(Range(1000, 2000))
    answer = stripe.get("", walk_params(newer), endpoint="/v1/charges")
    older = newer.split(1002)
    assert older is not None
    assert [row["id"] for row in newer.receive(answer)] == ["ch_4", "ch_3"]
    assert newer.query() is None
    assert newer.unread is None
    assert read(stripe, older) == ["ch_2", "ch_1", "ch_0"]


def test_the_second_at_which_a_walk_is_split_stays_with_it() -> None:
    stripe = StripeList.of(1000, *[1001] * 5, 1002, 1003)
    newer = CHARGES.walk(Range(1000, 2000))
    newer.receive(stripe.get("", walk_params(newer), endpoint="/v1/charges"))
    older = newer.split(1001)
    assert older is not None
    assert read(stripe, newer) == ["ch_5", "ch_4", "ch_3", "ch_2", "ch_1"]
    assert read(stripe, older) == ["ch_0"]


def test_a_walk_whose_cursor_is_gone_after_a_split_starts_afresh_within_what_is_left_to_it() -> (
    None
):
    stripe = StripeList.of(1000, 1001, 1002, 1003, 1004, 1005)
    newer = CHARGES.walk(Range(1000, 2000))
    newer.receive(stripe.get("", walk_params(newer), endpoint="/v1/charges"))
    newer.split(1002)
    stripe.delete("ch_4")
    newer.cursor_gone(CURSOR_GONE)
    assert walk_params(newer) == {"limit": 2, "created[gte]": 1002, "created[lt]": 1005}
    assert read(stripe, newer) == ["ch_3", "ch_2"]


@pytest.mark.parametrize("at", [999, 1000, 1502, 2000, 2001])
def test_a_walk_is_not_split_where_it_was_already_or_never_comes(at: int) -> None:
    walk = CHARGES.walk(Range(1000, 2000))
    walk.receive({"data": [{"id": "ch_1", "created": 1501}], "has_more": True})
    assert walk.split(at) is None
    assert walk.unread == Range(1000, 1502)


def test_a_walk_that_has_asked_nothing_yet_can_be_split_but_not_at_its_ends() -> None:
    walk = CHARGES.walk(Range(1000, 2000))
    assert walk.split(2000) is None
    assert walk.split(1000) is None
    older = walk.split(1999)
    assert older is not None
    assert (walk.unread, older.unread) == (Range(1999, 2000), Range(1000, 1999))


def test_a_walk_at_its_end_is_not_split() -> None:
    walk = CHARGES.walk(Range(1000, 2000))
    walk.receive({"data": [{"id": "ch_1", "created": 1500}], "has_more": False})
    assert walk.split(1200) is None


@pytest.mark.parametrize(
    "rows",
    [
        [{"id": "ch_1", "created": 1800}, {"id": "ch_2", "created": 1900}],
        [{"id": "ch_1", "created": 1900}, {"id": "ch_2"}],
    ],
    ids=["not newest first", "without a time"],
)
def test_a_walk_that_does_not_know_how_far_it_is_is_not_split(rows: list[Object]) -> None:
    walk = CHARGES.walk(Range(1000, 2000))
    walk.receive({"data": rows, "has_more": True})
    assert walk.reached is None
    assert walk.split(1200) is None


def test_a_split_walk_over_a_list_that_is_not_newest_first_goes_on_to_the_lists_end() -> None:
    walk = CHARGES.walk(Range(1000, 2000))
    walk.receive({"data": [{"id": "ch_1", "created": 1900}], "has_more": True})
    walk.split(1500)
    answer = [{"id": "ch_2", "created": 1400}, {"id": "ch_3", "created": 1600}]
    assert walk.receive({"data": answer, "has_more": True}) == [answer[1]]
    assert walk.unread == Range(1500, 2000)
    assert walk_params(walk)["starting_after"] == "ch_3"


@pytest.mark.parametrize("listing", [COUPONS, METERS], ids=lambda each: each.path)
def test_a_walk_over_a_list_that_tells_nothing_of_time_is_never_split(listing: Listing) -> None:
    walk = listing.walk(Range(1000, 2000))
    assert walk.reached is None
    assert walk.split(1500) is None
