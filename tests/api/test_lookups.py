"""Known rows that are read again, from a list in memory: by windows, or one by one."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_stripe_conn.api.errors import BrokenListError
from tap_stripe_conn.api.lookups import IdLookup, Wanted, WindowLookup
from tests.api.stripe_list import StripeList, charges

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

    from tap_stripe_conn.api.sweeps import Ask

RETRIEVE = "/v1/charges/{charge}"

times = st.lists(st.integers(1_000, 1_012) | st.integers(1_000, 30_000), max_size=60)
"""Some rows share a second, and others are far apart."""


class Account(StripeList):
    """A list that may hide rows."""

    def answer(self, ask: Ask) -> dict[str, object]:
        return self.get(ask.query.path, ask.query.params, endpoint=ask.query.endpoint)


def wanted_of(stripe: StripeList, names: Iterable[str]) -> list[Wanted]:
    return [Wanted(name, stripe.created[name]) for name in names]


def read(lookup: WindowLookup, stripe: Account, chance: Random) -> Counter[str]:
    """Read to the end, with answers in any order, some of which don't come."""
    found: Counter[str] = Counter()
    under_way: list[tuple[Ask, dict[str, object]]] = []
    while not lookup.is_read:
        lookup.split(chance.randrange(4))
        while (ask := lookup.ask()) is not None:
            under_way.append((ask, stripe.answer(ask)))
        assert lookup.asking == len(under_way)
        ask, answer = under_way.pop(chance.randrange(len(under_way)))
        if chance.random() < 0.1:
            stripe.queries.pop()
            lookup.unanswered(ask.walk)
            continue
        page = lookup.receive(ask.walk, answer)
        found.update(row["id"] for row in page.rows)
        lookup.written(page)
    assert lookup.ask() is None
    return found


def waiting(others: IdLookup) -> Counter[str]:
    """What was left to be asked for by its id."""
    names: Counter[str] = Counter()
    while (ask := others.ask()) is not None:
        names[ask.query.path.removeprefix("/v1/charges/")] += 1
    return names


@given(
    times=times,
    page_size=st.integers(2, 10),
    share=st.sampled_from([0.1, 0.5, 1.0]),
    hidden=st.sampled_from([0.0, 0.3, 1.0]),
    chance=st.randoms(use_true_random=False),
)
def test_each_wanted_row_comes_once_or_is_left_to_be_asked_for_once(
    times: list[int], page_size: int, share: float, hidden: float, chance: Random
) -> None:
    stripe = Account.of(*times)
    assert isinstance(stripe, Account)
    names = [name for name in stripe.created if chance.random() < share]
    for name in stripe.created:
        if chance.random() < hidden:
            stripe.delete(name)
    listing = charges(page_size)
    others = IdLookup(listing, RETRIEVE)
    found = read(WindowLookup(listing, wanted_of(stripe, names), others), stripe, chance)
    left = waiting(others)
    assert found + left == Counter(names)
    assert found.keys() <= set(stripe.there)
    in_vain = stripe.deleted.intersection(names)
    assert len(stripe.queries) + left.total() <= len(names) + len(in_vain)


def test_of_a_burst_within_a_second_the_first_page_comes_and_the_rest_is_asked_for() -> None:
    stripe = Account.of(*[1_000] * 250)
    assert isinstance(stripe, Account)
    listing = charges(100)
    others = IdLookup(listing, RETRIEVE)
    lookup = WindowLookup(listing, wanted_of(stripe, stripe.created), others)
    ask = lookup.ask()
    assert ask is not None
    assert len(lookup.receive(ask.walk, stripe.answer(ask)).rows) == 100
    assert lookup.is_read
    assert waiting(others).total() == 150


@pytest.mark.parametrize("idle", [0, 20])
def test_many_rows_take_as_few_requests_as_there_are_pages(idle: int) -> None:
    stripe = Account.of(*range(1_000_000, 1_100_000, 2))
    assert isinstance(stripe, Account)
    names = list(stripe.created)
    by_time = {moment: name for name, moment in stripe.created.items()}
    listing = charges(100)
    others = IdLookup(listing, RETRIEVE)
    lookup = WindowLookup(listing, wanted_of(stripe, names[::5]), others)
    found = requests = 0
    while not lookup.is_read:
        lookup.split(idle)
        asks = []
        while (ask := lookup.ask()) is not None:
            asks.append(ask)
        for ask in asks:
            requests += 1
            since, until = (ask.query.params[f"created[{bound}]"] for bound in ("gte", "lt"))
            assert isinstance(since, int)
            assert isinstance(until, int)
            newest = range(until - 1 - (until - 1) % 2, since - 1, -2)
            rows = [{"id": by_time[at], "created": at} for at in newest[:100]]
            answer = {"data": rows, "has_more": len(newest) > 100}
            found += len(lookup.receive(ask.walk, answer).rows)
    left = waiting(others).total()
    assert requests + left <= 560
    assert found + left == 10_000


def test_lonely_rows_are_left_to_be_asked_for_without_asking_the_list() -> None:
    listing = charges(100)
    others = IdLookup(listing, RETRIEVE)
    lookup = WindowLookup(listing, [Wanted("ch_1", 1_000)], others)
    assert lookup.is_read
    assert waiting(others) == Counter(["ch_1"])


# --- One by one --------------------------------------------------------------------------------


def by_id(*names: str) -> IdLookup:
    lookup = IdLookup(charges(100), RETRIEVE)
    for name in names:
        lookup.add(name)
    return lookup


def asked(lookup: IdLookup) -> Ask:
    ask = lookup.ask()
    assert ask is not None
    return ask


def test_rows_are_asked_for_one_by_one_and_may_come_in_any_order() -> None:
    lookup = by_id("ch_1", "ch_2")
    first, second = asked(lookup), asked(lookup)
    assert [first.query.path, second.query.path] == ["/v1/charges/ch_1", "/v1/charges/ch_2"]
    assert lookup.ask() is None
    assert lookup.receive(second.walk, {"id": "ch_2"}).rows == [{"id": "ch_2"}]
    assert not lookup.is_read
    assert lookup.receive(first.walk, {"id": "ch_1"}).rows == [{"id": "ch_1"}]
    assert lookup.is_read


def test_a_row_whose_answer_did_not_come_is_asked_for_again() -> None:
    lookup = by_id("ch_1")
    lookup.unanswered(asked(lookup).walk)
    assert lookup.pages_left == 1
    assert asked(lookup).query.path == "/v1/charges/ch_1"


def test_a_row_that_is_gone_is_asked_for_no_more() -> None:
    lookup = by_id("ch_1")
    assert lookup.end(asked(lookup).walk) == "ch_1"
    assert lookup.is_read


def test_another_row_than_was_asked_for_is_not_taken_for_it() -> None:
    lookup = by_id("ch_1")
    with pytest.raises(BrokenListError, match="'ch_2' when asked for 'ch_1'"):
        lookup.receive(asked(lookup).walk, {"id": "ch_2"})


@pytest.mark.parametrize(
    ("name", "path"), [("a/b", "/v1/charges/a%2Fb"), ("50% off?", "/v1/charges/50%25%20off%3F")]
)
def test_an_id_stays_one_segment_of_the_path(name: str, path: str) -> None:
    assert asked(by_id(name)).query.path == path


@pytest.mark.parametrize("name", [".", ".."])
def test_an_id_that_names_another_path_is_not_asked_for(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    lookup = by_id(name)
    assert lookup.ask() is None
    assert lookup.is_read
    assert f"of the id {name!r} can't be asked for" in caplog.text
