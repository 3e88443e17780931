"""Lists that contradict themselves, which may hide rows: each is an error."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tap_stripe_conn.api.errors import BrokenListError, CursorGoneError
from tap_stripe_conn.api.lists import (
    Listing,
    Range,
)
from tests.api.stripe_list import (
    CHARGES,
    COUPONS,
    CURSOR_GONE,
    METERS,
)

if TYPE_CHECKING:
    from tap_stripe_conn.api.client import Object

BROKEN: dict[str, list[Object]] = {
    "something that is not a list": [{"object": "charge", "id": "ch_1"}],
    "a list without rows": [{"data": None, "has_more": False}],
    "no word on whether there is more": [{"data": [{"id": "ch_1", "created": 1000}]}],
    "more, but an empty page": [{"data": [], "has_more": True}],
    "the same page again": [{"data": [{"id": "ch_1", "created": 1000}], "has_more": True}] * 2,
}


@pytest.mark.parametrize("listing", [CHARGES, COUPONS], ids=lambda each: each.path)
def test_a_cursor_that_is_refused_again_although_it_is_listed_ends_the_walk(
    listing: Listing,
) -> None:
    walk = listing.walk(Range(1000, 2000))
    page = {"data": [{"id": "x_1", "created": 1500}], "has_more": True}
    walk.receive(page)
    walk.cursor_gone(CURSOR_GONE)
    walk.receive(page)
    with pytest.raises(CursorGoneError):
        walk.cursor_gone(CURSOR_GONE)


@pytest.mark.parametrize("listing", [CHARGES, COUPONS], ids=lambda each: each.path)
@pytest.mark.parametrize("cycle", [1, 2, 3])
def test_a_list_whose_cursors_lead_in_a_circle_is_broken(listing: Listing, cycle: int) -> None:
    walk = listing.walk(Range(1000, 2000))
    circle = [{"data": [{"id": f"x_{n}", "created": 1500}], "has_more": True} for n in range(cycle)]
    for page in circle:
        walk.receive(page)
    with pytest.raises(BrokenListError, match="repeats itself"):
        walk.receive(circle[0])


@pytest.mark.parametrize("listing", [CHARGES, COUPONS], ids=lambda each: each.path)
@pytest.mark.parametrize("answers", BROKEN.values(), ids=BROKEN)
def test_a_list_that_contradicts_itself_is_an_error(
    listing: Listing, answers: list[Object]
) -> None:
    walk = listing.walk(Range(1000, 2000))
    *before, last = answers
    for answer in before:
        walk.receive(answer)
    with pytest.raises(BrokenListError):
        walk.receive(last)


WALKS: dict[str, Listing] = {"created": CHARGES, "cursor": COUPONS, "url": METERS}


def page_of(*rows: tuple[str, int], more: bool, **said: Any) -> Object:  # noqa: ANN401 - JSON
    """A page as API v1 and v2 have it."""
    data = [{"id": name, "created": created} for name, created in rows]
    url = f"/v2/meters?page={rows[-1][0]}" if more else None
    return {"data": data, "has_more": more, "next_page_url": url, **said}


@pytest.mark.parametrize("listing", WALKS.values(), ids=WALKS)
def test_a_row_that_comes_twice_on_a_page_is_an_error(listing: Listing) -> None:
    walk = listing.walk()
    page = page_of(("x_3", 1500), ("x_2", 1500), ("x_3", 1500), more=False)
    with pytest.raises(BrokenListError, match="repeats itself: x_3 comes twice"):
        walk.receive(page)


@pytest.mark.parametrize("more", [True, False])
@pytest.mark.parametrize("listing", WALKS.values(), ids=WALKS)
def test_a_page_that_goes_back_into_the_one_before_is_an_error(
    listing: Listing, *, more: bool
) -> None:
    walk = listing.walk(Range(1000, 2000))
    walk.receive(page_of(("x_5", 1503), ("x_4", 1502), ("x_3", 1501), more=True))
    with pytest.raises(BrokenListError, match="repeats itself: x_4 comes twice"):
        walk.receive(page_of(("x_4", 1502), ("x_2", 1500), more=more))


@pytest.mark.parametrize("listing", [CHARGES, COUPONS], ids=lambda each: each.path)
def test_a_page_that_goes_far_back_is_an_error(listing: Listing) -> None:
    walk = listing.walk(Range(1000, 2000))
    walk.receive(page_of(("x_7", 1507), ("x_6", 1506), more=True))
    walk.receive(page_of(("x_5", 1505), ("x_4", 1504), more=True))
    walk.receive(page_of(("x_3", 1503), ("x_2", 1502), more=True))
    with pytest.raises(BrokenListError, match="repeats itself: x_6 comes twice"):
        walk.receive(page_of(("x_6", 1506), ("x_5", 1505), more=False))


def test_a_row_that_comes_again_within_a_second_of_many_pages_is_an_error() -> None:
    walk = CHARGES.walk(Range(1000, 2000))
    for first in (9, 6, 3):
        rows = [(f"x_{number}", 1500) for number in (first, first - 1, first - 2)]
        walk.receive(page_of(*rows, more=True))
    with pytest.raises(BrokenListError, match="repeats itself: x_8 comes twice"):
        walk.receive(page_of(("x_8", 1500), more=False))


@pytest.mark.parametrize("created", [999, 2000])
def test_a_row_outside_of_the_span_that_was_asked_for_is_an_error(created: int) -> None:
    walk = CHARGES.walk(Range(1000, 2000))
    with pytest.raises(BrokenListError, match=r"rows from 1970-01-01T00:16:40Z to before"):
        walk.receive(page_of(("x_1", created), more=False))
    assert walk.unread == Range(1000, 2000)


@pytest.mark.parametrize("created", ["1970-01-01T00:16:39.999Z", "1970-01-01T00:33:20Z"])
def test_a_row_of_api_v2_outside_of_the_span_that_was_asked_for_is_an_error(created: str) -> None:
    listing = replace(METERS, created_filter="rfc3339", created_field="created")
    inside = {"id": "mtr_2", "created": "1970-01-01T00:16:40Z"}
    stray = {"id": "mtr_1", "created": created}
    assert listing.walk(Range(1000, 2000)).receive({"data": [inside, {"id": "mtr_3"}]})
    assert listing.walk().receive({"data": [inside, stray]}) == [inside, stray]
    with pytest.raises(BrokenListError, match="asked for"):
        listing.walk(Range(1000, 2000)).receive({"data": [inside, stray]})


def test_a_split_walk_may_be_sent_what_is_the_others_but_nothing_that_is_nobodys() -> None:
    walk = CHARGES.walk(Range(1000, 2000))
    walk.receive(page_of(("x_5", 1800), ("x_4", 1700), more=True))
    assert walk.split(1600)
    with pytest.raises(BrokenListError, match="asked for"):
        walk.receive(page_of(("x_3", 1650), ("x_2", 1200), ("x_1", 900), more=False))


@pytest.mark.parametrize("said", [2, 4])
def test_a_list_that_has_not_as_many_rows_as_it_says_is_an_error(said: int) -> None:
    walk = COUPONS.walk()
    walk.receive(page_of(("x_3", 1503), ("x_2", 1502), more=True, total_count=said))
    with pytest.raises(BrokenListError, match=rf"list of {said} rows ended after 3"):
        walk.receive(page_of(("x_1", 1501), more=False, total_count=said))


@pytest.mark.parametrize("said", [(3, 3), (4, 3), (None, 4), (None, None)])
def test_a_list_that_changes_or_does_not_say_may_have_any_number_of_rows(
    said: tuple[int | None, int | None],
) -> None:
    walk = COUPONS.walk()
    first, last = said
    walk.receive(page_of(("x_3", 1503), ("x_2", 1502), more=True, total_count=first))
    assert walk.receive(page_of(("x_1", 1501), more=False, total_count=last))


def test_the_number_of_all_rows_is_no_measure_of_those_within_a_span() -> None:
    walk = CHARGES.walk(Range(1000, 2000))
    assert walk.receive(page_of(("x_1", 1501), more=False, total_count=120))


def test_an_answer_of_api_v2_that_is_no_list_is_an_error() -> None:
    with pytest.raises(BrokenListError, match="not a list of objects"):
        METERS.walk().receive({"id": "mtr_1"})
