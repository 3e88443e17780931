from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from tap_stripe_conn.api.errors import BrokenListError, CursorGoneError
from tap_stripe_conn.api.lists import Listing, Range
from tap_stripe_conn.api.sweeps import FIRST_OBJECTS, Page, Sweep
from tests.api.stripe_list import CURSOR_GONE, StripeList, charges

if TYPE_CHECKING:
    from tap_stripe_conn.api.client import Object
    from tap_stripe_conn.api.sweeps import Ask

SPAN: Final = Range(1000, 2000)
COUPONS = Listing(path="/v1/coupons", endpoint="/v1/coupons", page_size=2)
METERS = Listing(path="/v2/meters", endpoint="/v2/meters", cursor="next_page_url", page_size=20)
HUNDRED: Final = [1000 + 10 * n for n in range(100)]
"""Creation times, evenly over the span."""


def asked(sweep: Sweep) -> Ask:
    ask = sweep.ask()
    assert ask is not None
    return ask


def answer(stripe: StripeList, ask: Ask) -> Object:
    return stripe.get(ask.query.path, ask.query.params, endpoint=ask.query.endpoint)


def step(stripe: StripeList, sweep: Sweep) -> Page[Any]:
    """Ask, receive and write one page."""
    ask = asked(sweep)
    page = sweep.receive(ask.walk, answer(stripe, ask))
    sweep.written(page)
    return page


def finish(stripe: StripeList, sweep: Sweep) -> list[str]:
    ids = []
    while not sweep.is_read:
        ids += [row["id"] for row in step(stripe, sweep).rows]
    return ids


def page_of(*created: int, more: bool = True) -> Object:
    rows = [{"id": f"ch_{moment}", "created": moment} for moment in created]
    return {"data": rows, "has_more": more}


def window(ask: Ask) -> tuple[Any, Any]:
    return ask.query.params.get("created[gte]"), ask.query.params["created[lt]"]


def test_a_walk_asks_again_only_after_its_answer() -> None:
    stripe = StripeList.of(*HUNDRED)
    sweep = Sweep(charges(5), [SPAN])
    first = asked(sweep)
    assert sweep.ask() is None
    sweep.receive(first.walk, answer(stripe, first))
    assert asked(sweep).query.params["starting_after"] == "ch_95"


def test_what_was_not_answered_is_asked_again() -> None:
    sweep = Sweep(charges(5), [SPAN])
    first = asked(sweep)
    sweep.unanswered(first.walk)
    assert asked(sweep) == first


def test_each_pending_span_is_read_by_a_walk_of_its_own_newest_first() -> None:
    sweep = Sweep(charges(5), [Range(1800, 2000), Range(1000, 1200)])
    assert [window(asked(sweep)) for _ in range(2)] == [(1800, 2000), (1000, 1200)]


def test_nothing_is_split_before_anything_is_known() -> None:
    sweep = Sweep(charges(5), [SPAN])
    assert sweep.split(10) == 0
    asked(sweep)
    assert sweep.split(10) == 0


def test_nothing_is_split_without_idle_capacity() -> None:
    stripe = StripeList.of(*HUNDRED)
    sweep = Sweep(charges(5), [SPAN])
    step(stripe, sweep)
    assert sweep.split(0) == 0
    assert sweep.split(-1) == 0


def test_a_walk_can_be_split_while_it_waits_for_an_answer() -> None:
    stripe = StripeList.of(*HUNDRED)
    sweep = Sweep(charges(5), [SPAN])
    step(stripe, sweep)
    waiting = asked(sweep)
    assert sweep.split(1) == 1
    older = asked(sweep)
    assert older.query.params["created[gte]"] == 1000
    assert "starting_after" not in older.query.params
    sweep.written(sweep.receive(waiting.walk, answer(stripe, waiting)))
    sweep.written(sweep.receive(older.walk, answer(stripe, older)))
    assert len(finish(stripe, sweep)) == 100 - 3 * 5


def test_after_its_first_page_a_list_is_split_once_until_more_is_known() -> None:
    stripe = StripeList.of(*HUNDRED)
    sweep = Sweep(charges(5), [SPAN])
    step(stripe, sweep)
    assert sweep.split(10) == 1
    assert sweep.split(10) == 0


def test_walks_of_which_nothing_is_known_ask_first_then_those_with_the_most_left() -> None:
    stripe = StripeList.of(*HUNDRED)
    sweep = Sweep(charges(5), [Range(1900, 2000), Range(1000, 1900)])
    newer = asked(sweep)
    sweep.receive(newer.walk, answer(stripe, newer))
    older = asked(sweep)
    assert older.walk is not newer.walk
    sweep.receive(older.walk, answer(stripe, older))
    assert asked(sweep).walk is older.walk
    assert asked(sweep).walk is newer.walk


def test_even_rows_are_divided_evenly_once_their_far_end_is_known() -> None:
    """200 rows within 2000 s, of which the newer half is read by one walk."""
    stripe = StripeList.of(*range(1000, 3000, 10))
    sweep = Sweep(charges(5), [Range(2000, 3000), Range(1000, 2000)])
    for ask in (asked(sweep), asked(sweep)):
        sweep.receive(ask.walk, answer(stripe, ask))
    # The newer walk stops where the older one has begun: rows are as dense at both its ends.
    asked(sweep)
    asked(sweep)
    assert sweep.split(1) == 1
    since, until = window(asked(sweep))
    assert since == 2000
    assert 2450 <= until <= 2500


def test_a_walk_in_a_dense_spell_is_cut_close_by_when_nothing_is_known_of_the_rest() -> None:
    busy = [1_000_000 - n for n in range(200)]
    stripe = StripeList.of(*reversed(busy))
    sweep = Sweep(charges(10), [Range(0, 1_000_000)])
    step(stripe, sweep)
    assert sweep.split(1) == 1
    _, until = window(asked(sweep))
    assert 900_000 < until < 999_000


def test_a_list_is_not_split_for_less_than_a_page_each() -> None:
    stripe = StripeList.of(*HUNDRED[:15])
    sweep = Sweep(charges(10), [Range(1000, 1150)])
    step(stripe, sweep)
    assert sweep.split(1) == 0


def test_rows_of_one_second_are_read_by_one_walk() -> None:
    stripe = StripeList.of(*[1000] * 30)
    sweep = Sweep(charges(5), [Range(1000, 1001)])
    for _ in range(6):
        step(stripe, sweep)
        assert sweep.split(10) == 0
    assert sweep.is_read


def test_guesses_leave_out_the_time_before_stripe_but_walks_read_it() -> None:
    recent = [FIRST_OBJECTS + 1_000_000 * n for n in range(1, 101)]
    stripe = StripeList.of(5, *recent)
    sweep = Sweep(charges(5), [Range(0, recent[-1] + 1)])
    ids = [row["id"] for row in step(stripe, sweep).rows]
    assert sweep.split(1) == 1
    since, until = window(asked(sweep))
    assert since is None
    assert until > FIRST_OBJECTS
    sweep = Sweep(charges(5), sweep.unread)
    while not sweep.is_read:
        ids += [row["id"] for row in step(stripe, sweep).rows]
        sweep.split(3)
    assert set(ids) == set(stripe.there)


def test_new_walks_that_find_a_page_or_less_use_up_what_may_be_tried() -> None:
    """30 rows in the last 30 s of a long span: every split puts a walk where nothing is."""
    span = Range(0, 1_000_000)
    stripe = StripeList.of(*(999_970 + n for n in range(30)))
    sweep = Sweep(charges(1), [span])
    made = 0
    while not sweep.is_read:
        made += sweep.split(10)
        step(stripe, sweep)
    assert len(stripe.queries) == 30 + made
    assert made <= 1 + 5


# --- What is unread ----------------------------------------------------------------------------


def test_a_span_is_unread_until_its_rows_are_written_in_whatever_order() -> None:
    stripe = StripeList.of(1100, 1200, 1300, 1400)
    sweep = Sweep(charges(2), [SPAN])
    pages = []
    while ask := sweep.ask():
        pages.append(sweep.receive(ask.walk, answer(stripe, ask)))
    assert sweep.is_read
    assert sweep.unread == [SPAN]
    sweep.written(pages[1])
    assert sweep.unread == [Range(1300, 2000)]
    sweep.written(pages[0])
    assert sweep.unread == []


def test_a_second_that_fills_several_pages_is_unread_until_all_of_them_are_written() -> None:
    stripe = StripeList.of(*[1500] * 4)
    sweep = Sweep(charges(2), [SPAN])
    pages = []
    while ask := sweep.ask():
        pages.append(sweep.receive(ask.walk, answer(stripe, ask)))
    sweep.written(pages[1])
    assert sweep.unread == [Range(1500, 2000)]
    sweep.written(pages[0])
    assert sweep.unread == []


def test_spans_that_touch_are_one() -> None:
    stripe = StripeList.of(*HUNDRED)
    sweep = Sweep(charges(5), [SPAN])
    step(stripe, sweep)
    sweep.split(1)
    assert sweep.unread == [Range(1000, 1951)]


def test_an_empty_span_is_read() -> None:
    sweep = Sweep(charges(5), [Range(1000, 1000)])
    assert sweep.is_read
    assert sweep.ask() is None
    assert sweep.unread == []


def test_the_pages_that_are_left_are_guessed_from_what_was_read() -> None:
    stripe = StripeList.of(*HUNDRED)
    sweep = Sweep(charges(5), [SPAN])
    assert sweep.pages_left == 1
    for _ in range(10):
        step(stripe, sweep)
    assert 5 <= sweep.pages_left <= 10
    finish(stripe, sweep)
    assert sweep.pages_left == 0


# --- Trouble -----------------------------------------------------------------------------------


def test_a_walk_of_a_sweep_finds_another_way_on_when_its_cursor_is_gone() -> None:
    stripe = StripeList.of(1000, 1001, 1002, 1003)
    sweep = Sweep(charges(2), [SPAN])
    step(stripe, sweep)
    stripe.delete("ch_2")
    ask = asked(sweep)
    with pytest.raises(CursorGoneError):
        answer(stripe, ask)
    sweep.cursor_gone(ask.walk, CURSOR_GONE)
    assert asked(sweep).query.params == {"limit": 2, "created[gte]": 1000, "created[lt]": 1003}


def test_an_answer_that_is_no_page_is_an_error() -> None:
    sweep = Sweep(charges(2), [SPAN])
    with pytest.raises(BrokenListError):
        sweep.receive(asked(sweep).walk, {"object": "charge", "id": "ch_1"})


def test_a_list_that_is_not_newest_first_is_not_split() -> None:
    sweep = Sweep(charges(2), [SPAN])
    sweep.receive(asked(sweep).walk, page_of(1800, 1900))
    assert sweep.split(10) == 0
    assert sweep.unread == [SPAN]


@pytest.mark.parametrize(
    "odd",
    [page_of(1790, 1795), {"data": [{"id": "ch_x"}], "has_more": True}],
    ids=["not newest first", "without a time"],
)
def test_a_list_that_turns_out_odd_after_it_was_split_is_read_again_by_one_walk(
    odd: Object,
) -> None:
    sweep = Sweep(charges(2), [SPAN])
    sweep.written(sweep.receive(asked(sweep).walk, page_of(1999, 1990)))
    assert sweep.split(1) == 1
    older, newer = asked(sweep), asked(sweep)
    assert newer.query.params["starting_after"] == "ch_1990"
    # It stops at a row of the other's, though a row of its own may come after.
    assert sweep.receive(newer.walk, page_of(1985, 1000)).rows == page_of(1985)["data"]
    sweep.receive(older.walk, odd)
    assert sweep.unread == [SPAN]
    again = asked(sweep)
    assert again.query.params == {"limit": 2, "created[gte]": 1000, "created[lt]": 2000}
    assert sweep.receive(older.walk, page_of(1500)) == Page([], None)
    sweep.cursor_gone(newer.walk, CURSOR_GONE)
    sweep.receive(again.walk, page_of(1999, 1990))
    assert sweep.split(10) == 0
    assert asked(sweep).walk is again.walk
    assert sweep.ask() is None


# --- Lists that tell nothing of time -----------------------------------------------------------


def test_a_list_without_a_filter_is_read_by_one_walk() -> None:
    stripe = StripeList.of(1000, 1001, 1002, 1003, 1004)
    sweep = Sweep(COUPONS, [None])
    ids = []
    while not sweep.is_read:
        assert sweep.split(10) == 0
        ids += [row["id"] for row in step(stripe, sweep).rows]
    assert ids == ["ch_4", "ch_3", "ch_2", "ch_1", "ch_0"]
    assert sweep.unread == []


def test_a_list_of_api_v2_is_read_by_one_walk_whose_span_is_unread_until_all_is_written() -> None:
    sweep = Sweep(METERS, [SPAN])
    first = asked(sweep)
    page = sweep.receive(first.walk, {"data": [{"id": "mtr_1"}], "next_page_url": "/v2/meters?p=2"})
    assert sweep.split(10) == 0
    last = sweep.receive(asked(sweep).walk, {"data": [{"id": "mtr_2"}]})
    sweep.written(last)
    assert sweep.unread == [SPAN]
    sweep.written(page)
    assert sweep.unread == []
    assert sweep.is_read
