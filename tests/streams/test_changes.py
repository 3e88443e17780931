"""The feed of events: in which windows it is read, and what becomes of what it tells."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, cast
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_stripe_conn.api.errors import ForbiddenError, StripeError
from tap_stripe_conn.api.lists import Range
from tap_stripe_conn.streams import changes
from tap_stripe_conn.streams.bookmarks import Position
from tap_stripe_conn.streams.events import Changes, Event, Removal
from tap_stripe_conn.streams.plans import EVENT_LAG, EVENT_OVERLAP
from tap_stripe_conn.streams.results import Batch, Failure
from tap_stripe_conn.streams.rows import DELETED_AT
from tests.streams.customers import NOW, Customers, begin, read, state_now, streams

if TYPE_CHECKING:
    from tap_stripe_conn.streams.changes import Feed
    from tap_stripe_conn.streams.family import Family

CUSTOMERS = ["customers"]


def first_run(stripe: Customers, members: list[str] = CUSTOMERS) -> None:
    """A run after which there is a state."""
    for result in read(*begin({}, members, stripe.now), stripe):
        assert isinstance(result, Batch)
    stripe.asked.clear()
    stripe.queries.clear()


def next_run(
    stripe: Customers, members: list[str] = CUSTOMERS, seconds: int = 1000
) -> dict[str, list[Any]]:
    """What a further run writes: whether each row is there, by its id."""
    stripe.now += seconds
    stripe.asked.clear()
    stripe.queries.clear()
    written: dict[str, list[Any]] = {}
    for result in read(*begin(state_now(), members, stripe.now), stripe):
        assert isinstance(result, Batch)
        for row in result.rows:
            written.setdefault(row["id"], []).append(row.get(DELETED_AT) is None)
    return written


def position(stream: str = "customers") -> Position:
    known = Position.of(stream, state_now()["bookmarks"][stream])
    assert known is not None
    return known


def windows(stripe: Customers) -> list[Range]:
    """Those that events were asked for in, one after the other."""
    spans = [
        Range(
            cast("int", query.params.get("created[gte]", 0)),
            cast("int", query.params["created[lt]"]),
        )
        for query in stripe.queries
        if query.path == "/v1/events" and "types[]" in query.params
    ]
    return list(dict.fromkeys(spans))


def test_a_first_run_reads_no_events() -> None:
    stripe = Customers()
    stripe.add(1000)
    for _ in read(*begin({}, CUSTOMERS), stripe):
        pass
    assert "/v1/events" not in stripe.asked


def test_many_events_of_one_object_are_one_request() -> None:
    stripe = Customers()
    customer = stripe.add(1000)
    first_run(stripe)
    for _ in range(10):
        stripe.change(customer)
    assert next_run(stripe) == {customer: [True]}
    assert stripe.asked.count(f"/v1/customers/{customer}") == 1


def test_what_a_run_has_applied_the_next_does_not_read_again() -> None:
    stripe = Customers()
    customer = stripe.add(1000)
    first_run(stripe)
    stripe.change(customer)
    assert next_run(stripe, seconds=30) == {customer: [True]}
    assert next_run(stripe, seconds=30) == {}
    assert next_run(stripe, seconds=1000) == {}


def test_an_event_that_comes_late_is_not_missed() -> None:
    stripe = Customers()
    customer, other = stripe.add(1000), stripe.add(1001)
    first_run(stripe)
    stripe.now += 1000
    stripe.change(customer, late=100)
    stripe.change(other)
    assert next_run(stripe, seconds=10) == {other: [True]}
    assert next_run(stripe, seconds=100) == {customer: [True]}


@pytest.mark.parametrize("seconds", [0, 1])
def test_an_object_that_is_gone_and_comes_again_is_there(seconds: int) -> None:
    stripe = Customers()
    customer = stripe.add(1000)
    first_run(stripe)
    row = stripe.row(customer)
    stripe.now += 10
    stripe.delete(customer)
    stripe.now += seconds
    stripe.rows.append(row)
    stripe.tell("customer.created", row)
    written = next_run(stripe)
    assert written[customer][-1] is True


@pytest.mark.parametrize("seconds", [0, 1])
def test_an_object_that_changed_and_is_gone_is_gone(seconds: int) -> None:
    stripe = Customers()
    customer = stripe.add(1000)
    first_run(stripe)
    stripe.now += 10
    stripe.change(customer)
    stripe.now += seconds
    stripe.delete(customer)
    assert next_run(stripe) == {customer: [False]}


def test_an_object_that_was_listed_as_the_run_before_began_and_is_gone_is_gone() -> None:
    stripe = Customers()
    customer = stripe.create()
    first_run(stripe)
    assert f"{customer}" in [row["id"] for row in stripe.rows]
    stripe.now += 1
    stripe.change(customer)
    stripe.delete(customer)
    assert next_run(stripe) == {customer: [False]}


def test_windows_go_from_the_oldest_to_the_newest_and_hold_few_changes() -> None:
    stripe = Customers(page_size=10)
    known = [stripe.add(1000 + number) for number in range(60)]
    first_run(stripe)
    for customer in known:
        stripe.now += 10
        stripe.change(customer)
    with mock.patch.object(changes, "MOST_CHANGES", 5):
        assert next_run(stripe) == {customer: [True] for customer in known}
    spans = windows(stripe)
    handed_over = [span for span in spans if span.since >= spans[-1].since - 600]
    assert spans[0] == Range(NOW - 5, stripe.now)
    assert spans[-1].until == stripe.now
    assert [span.until for span in handed_over] == sorted(span.until for span in handed_over)
    assert len(handed_over) >= 6


def test_what_only_an_older_event_tells_is_not_lost_when_a_window_is_narrowed() -> None:
    stripe = Customers(page_size=12)
    known = [stripe.add(1000 + number) for number in range(30)]
    members = ["customers", "customer_payment_methods"]
    first_run(stripe, members)
    for customer in known[10:12]:
        stripe.now += 10
        stripe.change(customer)
    stripe.now += 10
    method = stripe.give(known[0], "payment_methods")
    for customer in [*known[1:10], known[0]]:
        stripe.now += 10
        stripe.change(customer)
    with mock.patch.object(changes, "MOST_CHANGES", 3):
        assert next_run(stripe, members)[method] == [True]


def test_more_changes_in_a_second_than_a_window_should_hold_are_read_all() -> None:
    stripe = Customers(page_size=10)
    known = [stripe.add(1000 + number) for number in range(30)]
    first_run(stripe)
    stripe.now += 100
    for customer in known:
        stripe.change(customer)
    with mock.patch.object(changes, "MOST_CHANGES", 2):
        assert next_run(stripe) == {customer: [True] for customer in known}


def test_a_position_moves_when_the_rows_are_written_and_not_before() -> None:
    stripe = Customers()
    customer = stripe.add(1000)
    first_run(stripe)
    stripe.change(customer)
    stripe.now += 1000
    family, feed = begin(state_now(), CUSTOMERS, stripe.now)
    before = position()
    answered(feed, stripe)
    family.save()
    assert position() == before
    results = read(family, feed, stripe)
    assert isinstance(next(results), Batch)
    family.save()
    assert position() == before
    list(results)
    family.save()
    assert position().since == stripe.now - EVENT_LAG - EVENT_OVERLAP


def answered(feed: Feed, stripe: Customers) -> None:
    (lane,) = feed.lanes
    request = lane.ask()
    assert request is not None
    assert list(feed.receive(request, stripe.get(request.query))) == []


def test_only_events_that_tell_of_a_stream_are_asked_for() -> None:
    stripe = Customers()
    first_run(stripe)
    next_run(stripe)
    asked = [query.params for query in stripe.queries if query.path == "/v1/events"]
    types = cast("list[str]", asked[0]["types[]"])
    assert {"customer.created", "customer.deleted", "customer.updated"} <= set(types)
    assert all(kind.startswith("customer.") for kind in types)


def test_events_are_asked_for_by_their_types_only_if_those_are_few() -> None:
    names = ["customers", "customer_tax_ids", "customer_payment_methods"]
    state = {"bookmarks": {name: {"replication_key_value": "1970-01-12"} for name in names}}
    with mock.patch.object(changes, "MOST_TYPES", 5):
        _, feed = begin(state, names)
    request = feed.lanes[0].ask()
    assert request is not None
    assert "types[]" not in request.query.params


def test_an_account_without_any_event_is_asked_for_its_new_rows() -> None:
    stripe = Customers()
    first_run(stripe)
    stripe.now += 500
    new = stripe.add(stripe.now)
    assert next_run(stripe) == {new: [True]}


def test_new_rows_are_not_listed_when_events_tell_of_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tap_stripe_conn.streams.changes.FEW", 0)
    stripe = Customers()
    stripe.add(1000)
    first_run(stripe)
    stripe.tell("charge.succeeded", {"id": "ch_1", "object": "charge"})
    assert next_run(stripe) == {}
    assert set(stripe.asked) == {"/v1/events"}


def test_few_lists_are_asked_for_new_rows_whatever_events_tell() -> None:
    stripe = Customers()
    stripe.add(1000)
    first_run(stripe)
    stripe.tell("charge.succeeded", {"id": "ch_1", "object": "charge"})
    next_run(stripe)
    assert set(stripe.asked) == {"/v1/events", "/v1/customers"}


def test_events_of_a_window_that_was_narrowed_are_not_taken_for_applied() -> None:
    stripe = Customers(page_size=4)
    known = [stripe.add(1000) for _ in range(40)]
    first_run(stripe)
    stripe.now += 86_400
    for customer in known:
        stripe.now += 1
        stripe.change(customer)
    with mock.patch.object(changes, "MOST_CHANGES", 12):
        assert next_run(stripe, seconds=20).keys() == set(known)


def test_where_events_may_not_be_read_everything_is_listed() -> None:
    stripe = Customers()
    customer = stripe.add(1000)
    first_run(stripe)
    stripe.now += 1000
    family, feed = begin(state_now(), CUSTOMERS, stripe.now)
    assert lost(feed, ForbiddenError("No.", http_status=403)) == []
    written = [result for result in read(family, feed, stripe) if isinstance(result, Batch)]
    assert [row["id"] for batch in written for row in batch.rows] == [customer]


def test_where_events_can_not_be_read_for_now_streams_fail_and_keep_their_positions() -> None:
    stripe = Customers()
    stripe.add(1000)
    first_run(stripe)
    before = json.dumps(state_now())
    stripe.now += 1000
    family, feed = begin(state_now(), CUSTOMERS, stripe.now)
    (failure,) = lost(feed, StripeError("Down.", http_status=500))
    assert failure.stream.name == "customers"
    assert family.is_read
    assert feed.is_read
    family.finish()
    assert json.dumps(state_now()) == before


def lost(feed: Feed, error: Exception) -> list[Failure]:
    (lane,) = feed.lanes
    request = lane.ask()
    assert request is not None
    with pytest.raises(type(error)):
        list(feed.failed(request, error))
    return list(feed.lost(error))


# --- What an event says ------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", "cus_1", "customer"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["id", "object", "customer", "tax_ids", "data"]), inner)
    ),
    max_leaves=6,
)
KINDS = ["customer.created", "customer.updated", "customer.deleted", "customer.tax_id.deleted"]


@given(
    sent=st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "type": st.sampled_from(KINDS) | JSON,
                "created": st.just(NOW + 5) | JSON,
                "api_version": JSON,
                "data": st.fixed_dictionaries({"object": JSON, "previous_attributes": JSON}) | JSON,
            },
        ),
        max_size=3,
    )
)
def test_events_of_odd_shapes_break_nothing(sent: list[dict[str, Any]]) -> None:
    state = {
        "changes_since": "1970-01-12T13:46:35Z",
        "replication_key_value": "1970-01-12T13:46:40Z",
    }
    bookmarks = dict.fromkeys(["customers", "customer_tax_ids"], state)
    _, feed = begin({"bookmarks": bookmarks}, ["customers", "customer_tax_ids"], NOW + 1000)
    told = Changes()
    for number, event in enumerate(sent):
        known = Event.of({"id": f"evt_{number}", **event})
        for signal in feed._signals.get(known.kind, ()) if known else ():  # noqa: SLF001
            assert known is not None
            told.note(known, signal)
    told.settle()
    told.cut(NOW)


def test_a_preview_is_of_no_object() -> None:
    stripe = Customers()
    customer = stripe.add(1000)
    first_run(stripe)
    preview = {key: value for key, value in stripe.row(customer).items() if key != "id"}
    stripe.tell("customer.updated", preview)
    assert next_run(stripe) == {}


def test_what_is_gone_is_told_by_its_newest_event() -> None:
    stream = streams()["customers"]
    family, feed = begin({"bookmarks": {"customers": {"replication_key_value": "1970-01-12"}}})
    told = removals_of(family, feed, [(20, "b"), (10, "a")])
    assert [(each.at, each.source["description"]) for each in told] == [(20, "b")]
    assert [each.stream for each in told] == [stream]


def removals_of(family: Family, feed: Feed, when: list[tuple[int, str]]) -> list[Removal]:
    told = Changes()
    (signal,) = [
        each
        for each in feed._signals["customer.deleted"]  # noqa: SLF001
        if each.stream is family.root
    ]
    for at, description in when:
        source = {"id": "cus_1", "object": "customer", "description": description}
        event = Event(f"evt_{at}", "customer.deleted", at, "", source, {})
        told.note(event, signal)
    told.settle()
    return list(told.removed.values())


def test_children_that_their_parents_change_shows_to_be_gone_are_gone() -> None:
    stripe = Customers()
    customer = stripe.add(1000)
    members = ["customers", "customer_tax_ids"]
    first_run(stripe, members)
    stripe.now += 10
    child = stripe.give(customer, "tax_ids")
    assert next_run(stripe, members)[child] == [True]
    stripe.take(customer, "tax_ids")
    assert next_run(stripe, members)[child] == [False]


def test_what_was_told_is_counted_once() -> None:
    stripe = Customers()
    customers = [stripe.add(1000 + number) for number in range(3)]
    first_run(stripe)
    for customer in customers * 2:
        stripe.change(customer)
    stripe.delete(customers[0])
    tally = streams()["customers"].tally
    before = tally.changed
    assert Counter(map(len, next_run(stripe).values())) == {1: 3}
    assert tally.changed == before + 3
