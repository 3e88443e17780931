"""What chance makes happen in the fake server is told by its events, while somebody reads too."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.contract.official import client_of, ids
from tests.fake_stripe import FakeStripe
from tests.fake_stripe.clock import Clock
from tests.fake_stripe.mutations import CHILDREN, STREAMS, UNTOLD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fake_stripe import Request

NOON = 1_700_000_000
CHILD_STREAMS = [child for child, _ in CHILDREN.values()]

Key = tuple[str, "str | None", str]
"""Stream, parent's id and own id."""


@pytest.fixture
def stripe() -> Iterator[FakeStripe]:
    """An empty account whose clock stands still."""
    with FakeStripe(now=Clock(NOON)) as server:
        yield server


def everything(stripe: FakeStripe) -> dict[Key, Any]:
    """All rows of the streams in which things happen."""
    return {
        (stream, row.parent, row.object["id"]): row.object
        for stream in (*STREAMS, *CHILD_STREAMS)
        for row in stripe.truth(stream)
    }


def test_the_same_seed_makes_the_same_history() -> None:
    one, same, other = (FakeStripe(now=Clock(NOON)) for _ in range(3))
    first = one.life.random(1).steps(200)
    assert same.life.random(1).steps(200) == first
    assert everything(same) == everything(one)
    assert one.life.events() == same.life.events()
    assert other.life.random(2).steps(200) != first


def test_everything_that_can_happen_does(stripe: FakeStripe) -> None:
    steps = stripe.life.random(3).steps(1500)
    happened = {(step.action, step.stream) for step in steps}
    assert {action for action, _ in happened} == {
        "added",
        "canceled",
        "changed",
        "created",
        "deleted",
        "detached",
        "removed",
        "told",
    }
    assert {stream for action, stream in happened if action == "created"} == set(STREAMS)
    assert {stream for action, stream in happened if action == "changed"} >= (
        set(STREAMS) - UNTOLD | {"invoice_line_items", "subscription_items"}
    )
    coupons = [step.id for step in steps if step[:2] == ("created", "coupons")]
    assert len(set(coupons)) < len(coupons)
    assert {row.listed for row in stripe.truth("prices")} == {True, False}
    items = [len(stripe.rows("subscription_items", parent=i)) for i in stripe.ids("subscriptions")]
    assert min(items) == 1
    assert max(items) > 10


@pytest.mark.parametrize("seed", range(3))
def test_all_that_happens_is_told(stripe: FakeStripe, seed: int) -> None:
    chance = stripe.life.random(seed)
    chance.steps(300)
    for _ in range(5):
        before = everything(stripe)
        known = {event["id"] for event in stripe.life.events()}
        stripe.clock.advance(minutes=10)
        chance.steps(40)
        after = everything(stripe)
        named = {
            event["data"]["object"].get("id")
            for event in stripe.life.events()
            if event["id"] not in known
        }
        for key in before.keys() | after.keys():
            if before.get(key) != after.get(key):
                assert {key[1], key[2]} & named, key


def test_edits_without_events_come_only_when_asked_for(stripe: FakeStripe) -> None:
    chance = stripe.life.random(4, ("quotes",))
    chance.untold = True
    chance.steps(100)
    edited = [row.object for row in stripe.truth("quotes") if "word" in row.object["metadata"]]
    assert edited
    assert not any(event["type"] == "quote.updated" for event in stripe.life.events())


def test_the_truth_is_what_the_lists_show(stripe: FakeStripe) -> None:
    stripe.life.random(5).steps(400)
    client = client_of(stripe)
    lists: dict[str, Any] = {
        "customers": client.v1.customers.list({"limit": 100}),
        "invoices": client.v1.invoices.list({"limit": 100}),
        "payment_methods": client.v1.payment_methods.list({"limit": 100}),
        "prices": client.v1.prices.list({"limit": 100}),
        "subscriptions": client.v1.subscriptions.list({"limit": 100, "status": "all"}),
    }
    for stream, page in lists.items():
        shown = {row.object["id"] for row in stripe.truth(stream) if row.listed}
        assert set(ids(page.auto_paging_iter())) == shown
    for sub in stripe.ids("subscriptions"):
        items = client.v1.subscription_items.list({"subscription": sub, "limit": 100})
        assert {item.id for item in items.data} == {
            row.object["id"] for row in stripe.truth("subscription_items") if row.parent == sub
        }


def test_objects_change_while_a_list_is_read(stripe: FakeStripe) -> None:
    chance = stripe.life.random(6, ("charges",))
    chance.steps(100)
    before = stripe.ids("charges")

    def live_on(_: Request) -> None:
        chance.steps(3)

    stripe.before_request = live_on
    read = ids(client_of(stripe).v1.charges.list({"limit": 10}).auto_paging_iter())
    assert read[-len(before) :] == before
    assert len(read) < len(stripe.ids("charges"))


def test_thousands_of_steps_take_a_second_or_two(stripe: FakeStripe) -> None:
    started = time.process_time()
    stripe.life.random(7).steps(3000)
    assert time.process_time() - started < 5
