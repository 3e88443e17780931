"""A list, its children and what events tell of them; answers come in any order, or not at all."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from unittest import mock

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from typing_extensions import override

from tap_stripe_conn.api.client import Answer
from tap_stripe_conn.api.errors import (
    CursorGoneError,
    ForbiddenError,
    NotFoundError,
    UnreadableAnswerError,
)
from tap_stripe_conn.api.lists import Range
from tap_stripe_conn.streams import lanes
from tap_stripe_conn.streams.bookmarks import Bookmark, Position
from tap_stripe_conn.streams.changes import Feed
from tap_stripe_conn.streams.family import Family
from tap_stripe_conn.streams.lanes import ChildrenJob
from tap_stripe_conn.streams.plans import plan
from tap_stripe_conn.streams.results import Batch, Failure
from tap_stripe_conn.streams.rows import DELETED_AT
from tests.streams.customers import (
    CHILDREN,
    NOW,
    STREAMS,
    TELLS_OF,
    Customers,
    Key,
    begin,
    source,
    state_now,
    streams,
)
from tests.streams.customers import read as read_on

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_stripe_conn.api.client import Object
    from tap_stripe_conn.streams.lanes import Lane, Request

TRIES: Final = 3
"""Unreadable answers in a row after which a list is lost: fewer than in earnest, so that it happens
in a short history."""

CUT: Final = Answer(b'{"object": "list", "data": [{"id": "cus_', "req_1")


class Asked(NamedTuple):
    """A request under way, and what Stripe says."""

    reader: Family | Feed
    lane: Lane
    request: Request
    answer: Answer | Exception

    @property
    def is_for_a_list(self) -> bool:
        """Whether it asks for customers, or of them."""
        return isinstance(self.reader, Family) and not isinstance(self.request.job, ChildrenJob)


class Reading(RuleBasedStateMachine):
    """Runs over customers and what is theirs, in any order of events."""

    @override
    def __init__(self) -> None:
        super().__init__()
        self.stripe = Customers()
        self.members = STREAMS
        self.table: dict[Key, str | None] = {}
        """What a loader has made of all that was written."""

        self.under_way: list[Asked] = []
        self.most_pages = 0
        """Of customers that were under way at once."""

        self.started = False

    @initialize(
        customers=st.lists(
            st.tuples(st.integers(1_000, 1_030), *[st.integers(0, 4)] * 3), max_size=14
        ),
        page_size=st.integers(1, 3),
        members=st.sets(st.sampled_from(STREAMS), min_size=1),
    )
    def begin(
        self, customers: list[tuple[int, int, int, int]], page_size: int, members: set[str]
    ) -> None:
        self.stripe = Customers(page_size)
        for created, balances, methods, tax_ids in customers:
            self.stripe.add(
                created, balance_transactions=balances, payment_methods=methods, tax_ids=tax_ids
            )
        self.members = sorted(members)
        self.start({})

    def start(self, state: dict[str, Any]) -> None:
        # Without a word in state, nothing is known of what a loader has: it is loaded anew.
        known = state.get("bookmarks", {})
        self.table = {key: row for key, row in self.table.items() if key.stream in known}
        self.family, self.feed = begin(state, self.members, self.stripe.now)
        self.lost: set[str] = set()
        self.under_way.clear()
        self.batches: list[Key] = []
        """Of this run."""

        self.most_pages = 0
        self.started = True

    # What happens at Stripe

    @rule(seconds=st.sampled_from([1, 30, 100, 1000]))
    def time_passes(self, seconds: int) -> None:
        self.stripe.now += seconds

    @precondition(lambda self: len(self.stripe.rows) < 20)
    @rule(late=st.sampled_from([0, 50]))
    def a_customer_is_made(self, late: int) -> None:
        self.stripe.create(late=late)

    @precondition(lambda self: self.stripe.rows)
    @rule(
        number=st.integers(0, 100),
        end=st.sampled_from([end for end, _ in CHILDREN.values()]),
        what=st.sampled_from(["change", "give", "give", "take", "delete"]),
        late=st.sampled_from([0, 0, 50]),
    )
    def something_happens_to_a_customer(self, number: int, end: str, what: str, late: int) -> None:
        identifier = self.stripe.rows[number % len(self.stripe.rows)]["id"]
        if what == "change":
            self.stripe.change(identifier, late=late)
        elif what == "delete":
            self.stripe.delete(identifier, late=late)
        elif what == "give":
            self.stripe.give(identifier, end, late=late)
        else:
            self.stripe.take(identifier, end, late=late)

    # What happens in a run

    @property
    def lanes(self) -> list[tuple[Family | Feed, Lane]]:
        family = [(self.family, lane) for lane in self.family.lanes]
        return [*family, *((self.feed, lane) for lane in self.feed.lanes)]

    def take(self, number: int) -> Asked:
        return self.under_way.pop(number % len(self.under_way))

    @rule(number=st.integers(0, 7), times=st.integers(1, 3))
    def a_lane_asks(self, number: int, times: int) -> None:
        for _ in range(times):
            self.ask(*self.lanes[number % len(self.lanes)])

    def ask(self, reader: Family | Feed, lane: Lane) -> bool:
        request = lane.ask()
        if request is None:
            return False
        try:
            answer: Answer | Exception = self.stripe.get(request.query)
        except (NotFoundError, CursorGoneError) as error:
            answer = error
        self.under_way.append(Asked(reader, lane, request, answer))
        pages = sum(asked.is_for_a_list for asked in self.under_way)
        self.most_pages = max(self.most_pages, pages)
        return True

    @rule(number=st.integers(0, 7), idle=st.integers(0, 4))
    def there_is_room_for_more(self, number: int, idle: int) -> None:
        _, lane = self.lanes[number % len(self.lanes)]
        lane.split(idle)

    @precondition(lambda self: self.under_way)
    @rule(number=st.integers(0, 100), saved_after=st.none() | st.integers(0, 3))
    def an_answer_comes(self, number: int, saved_after: int | None) -> None:
        asked = self.take(number)
        if isinstance(asked.answer, Exception):
            self.write(asked.reader.failed(asked.request, asked.answer))
        else:
            self.write(asked.reader.receive(asked.request, asked.answer), saved_after)
        self.write(self.feed.go_on())

    def write(self, results: Iterator[Batch | Failure], saved_after: int | None = None) -> None:
        for number, result in enumerate(results):
            if isinstance(result, Failure):
                self.lost.add(result.stream.name)
            else:
                for row in result.rows:
                    self.load(result.stream.name, row)
            if number == saved_after:
                self.save()

    def load(self, stream: str, row: Object) -> None:
        key = Key(stream, row[streams()[stream].resource.primary_key[-1]])
        self.batches.append(key)
        if row.get(DELETED_AT) is None:
            self.table[key] = row.get("description") if stream == "customers" else None
        else:
            self.table.pop(key, None)

    @precondition(lambda self: self.under_way)
    @rule(number=st.integers(0, 100))
    def an_answer_is_cut(self, number: int) -> None:
        asked = self.take(number)
        tries = asked.request.job.unreadable + 1
        before = set(self.lost)
        try:
            self.write(asked.reader.receive(asked.request, CUT))
        except UnreadableAnswerError as error:
            assert tries == TRIES
            if isinstance(asked.reader, Feed):
                fed = {stream.name for stream in self.family.fed}
                self.write(self.feed.lost(error))
                assert self.lost - before == fed
                return
            self.customers_are_lost(asked)
        else:
            assert self.lost - before <= {asked.lane.stream.name}
            assert tries < TRIES or asked.lane.stream.name in self.lost

    @precondition(lambda self: self.under_way)
    @rule(number=st.integers(0, 100), luck=st.integers(0, 10))
    def a_request_for_customers_fails(self, number: int, luck: int) -> None:
        if luck:
            return
        asked = self.take(number)
        if not asked.is_for_a_list:
            self.under_way.append(asked)
            return
        with pytest.raises(ValueError, match=r"No\."):
            list(self.family.failed(asked.request, ValueError("No.")))
        self.customers_are_lost(asked)

    def customers_are_lost(self, asked: Asked) -> None:
        """The run ends with what it has, and another goes on."""
        assert asked.is_for_a_list
        self.save()
        self.start(state_now())

    @precondition(
        lambda self: any(isinstance(each.request.job, ChildrenJob) for each in self.under_way)
    )
    @rule(luck=st.integers(0, 6), kind=st.sampled_from([ForbiddenError, ValueError]))
    def a_request_for_children_fails(self, luck: int, kind: type[Exception]) -> None:
        if luck:
            return
        asked = next(each for each in self.under_way if isinstance(each.request.job, ChildrenJob))
        self.under_way.remove(asked)
        error = kind("No.") if kind is ValueError else ForbiddenError("No.", http_status=403)
        before = set(self.lost)
        self.write(self.family.failed(asked.request, error))
        assert self.lost - before <= {asked.lane.stream.name}
        assert asked.lane.stream.name in self.lost

    @precondition(lambda self: self.stripe.rows)
    @rule(number=st.integers(0, 100), end=st.sampled_from([end for end, _ in CHILDREN.values()]))
    def a_customer_has_no_list_of_children(self, number: int, end: str) -> None:
        row = self.stripe.rows[number % len(self.stripe.rows)]
        if not any(row["id"] in path for path in self.stripe.asked):
            self.stripe.gone.add((end, row["id"]))

    @precondition(lambda self: self.started and self.family.is_read and self.feed.is_read)
    @rule()
    def the_run_ends_and_another_begins(self) -> None:
        self.family.finish()
        self.check_state()
        self.start(state_now())

    @rule()
    def the_state_is_saved(self) -> None:
        self.save()

    def save(self) -> None:
        self.family.save()
        self.check_state()

    def check_state(self) -> None:
        """What the state says is read was written, as it is now or as an event will tell."""
        state = json.loads(json.dumps(state_now())).get("bookmarks", {})
        for key, (parent, version) in self.missing().items():
            assert is_left(key, parent, state.get(key.stream, {}), self.stripe), (
                f"{key} {version or ''} is lost"
            )

    def missing(self) -> dict[Key, tuple[int, str | None]]:
        """Rows that are not there as they are at Stripe: when their customers were made."""
        return {
            key: (parent, version)
            for key, (parent, _, version) in self.stripe.truth().items()
            if key.stream in self.members and not (key in self.table and self.table[key] == version)
        }

    @rule(luck=st.integers(0, 4))
    def the_run_crashes_and_another_goes_on(self, luck: int) -> None:
        if not luck:
            self.start(state_now())

    @invariant()
    def no_row_is_written_twice_by_a_run(self) -> None:
        quiet = not self.stripe.events
        assert not (self.started and quiet) or len(self.batches) == len(set(self.batches))

    @invariant()
    def children_are_kept_up_with(self) -> None:
        if not self.started:
            return
        feeds, top = self.family.lanes[: len(self.children)], self.top
        ahead = [len(lane) >= lanes.FAN_OUT for lane in feeds]
        assert not any(ahead) or top.ask() is None
        most = lanes.FAN_OUT - 1 + self.stripe.page_size * self.most_pages
        assert all(len(lane) <= most for lane in feeds)

    @invariant()
    def children_are_first_asked_for_of_one_parent(self) -> None:
        for lane in self.family.lanes[: len(self.children)] if self.started else []:
            assert lane.pages or len(lane.begun) <= 1

    @property
    def children(self) -> set[str]:
        return set(self.members) - {"customers"}

    @property
    def top(self) -> Lane:
        return self.family.lanes[len(self.children)]

    @override
    def teardown(self) -> None:
        if not self.started:
            return
        self.read_to_the_end()
        for _ in range(2):  # what was lost by the first, the second reads
            self.stripe.now += 1000
            self.start(state_now())
            self.read_to_the_end()
        assert self.missing() == {}
        self.check_state()
        extra = self.table.keys() - self.stripe.truth().keys()
        assert {key for key in extra if self.is_told_gone(key)} == set(), "these are gone"

    def is_told_gone(self, key: Key) -> bool:
        """Whether an event tells that a row is gone, and not only that its customer is."""
        if key.stream == "customers":
            return True
        owner, (end, _) = self.stripe.owners[key.id], CHILDREN[key.stream]
        alive = any(row["id"] == owner for row in self.stripe.rows)
        return alive and (end, owner) not in self.stripe.gone

    def read_to_the_end(self) -> None:
        while not (self.family.is_read and self.feed.is_read):
            asked = [self.ask(*each) for each in self.lanes]
            assert any(asked) or self.under_way, "nothing is left to ask"
            while self.under_way:
                self.an_answer_comes(0, None)
        self.family.finish()


def is_left(key: Key, parent: int, state: dict[str, Any], stripe: Customers) -> bool:
    """Whether the run that goes on from a state reads a row: it lists it, or an event tells."""
    stream = streams()[key.stream]
    planned = plan(
        stream.resource,
        stream.root.resource,
        source(stripe.now),
        state,
        incremental=stream.replication_method == "INCREMENTAL",
    )
    if any(span.since <= parent < span.until for span in planned.walked):
        return True
    position = Position.of(key.stream, state)
    assert position is not None
    return any(
        event["created"] >= position.begins
        and event["id"] not in position.applied
        and key.stream in TELLS_OF[event["data"]["object"]["object"]]
        and tells_of(event, key, stripe)
        for event in stripe.events
    )


def tells_of(event: Object, key: Key, stripe: Customers) -> bool:
    """Whether an event is of the customer that a row is, or belongs to."""
    told = event["data"]["object"]
    about = told["id"] if told["object"] == "customer" else told["customer"]
    if about is None:
        about = event["data"]["previous_attributes"]["customer"]
    if key.stream == "customers":
        return bool(about == key.id)
    end, _ = CHILDREN[key.stream]
    return key.id in [child["id"] for child in stripe.children[end, about]]


def test_whatever_comes_in_whatever_order_no_row_is_lost_and_no_state_claims_too_much() -> None:
    with (
        mock.patch.object(lanes, "FAN_OUT", 3),
        mock.patch("tap_stripe_conn.streams.family.MAX_TRIES", TRIES),
        mock.patch("tap_stripe_conn.streams.changes.MAX_TRIES", TRIES),
        mock.patch("tap_stripe_conn.streams.changes.FEW", 0),
    ):
        run_state_machine_as_test(
            Reading,
            settings=settings(stateful_step_count=50, max_examples=settings().max_examples // 2),
        )


# --- One thing at a time -----------------------------------------------------------------------


def answered(family: Family, stripe: Customers, lane: Lane) -> list[Batch | Failure]:
    """What comes of asking one lane one thing."""
    request = lane.ask()
    assert request is not None
    return list(family.receive(request, stripe.get(request.query)))


def lane_of(family: Family, stream: str) -> Lane:
    return next(lane for lane in family.lanes if lane.stream.name == stream)


def read(family: Family, feed: Feed, stripe: Customers) -> dict[str, int]:
    """Read to the end, and count rows by stream."""
    rows = dict.fromkeys((stream.name for stream in family.members), 0)
    for result in read_on(family, feed, stripe):
        assert isinstance(result, Batch)
        rows[result.stream.name] += len(result.rows)
    return rows


def test_no_further_parents_are_asked_for_while_many_wait_for_their_children() -> None:
    stripe = Customers(page_size=20)
    for created in range(200):
        stripe.add(created, balance_transactions=1)
    family, _feed = begin({}, ["customers", "customer_balance_transactions"])
    lane, top = lane_of(family, "customer_balance_transactions"), lane_of(family, "customers")
    for waiting in (20, 40, 60):
        answered(family, stripe, top)
        assert len(lane) == waiting
    assert top.ask() is None
    assert top.split(10) == 0
    while len(lane) >= 50:
        assert top.ask() is None
        answered(family, stripe, lane)
    assert top.ask() is not None


def test_the_first_list_of_children_is_read_alone_until_a_page_has_come() -> None:
    stripe = Customers(page_size=10)
    for created in range(10):
        stripe.add(created, payment_methods=1)
    family, _feed = begin({}, ["customer_payment_methods"])
    lane = lane_of(family, "customer_payment_methods")
    answered(family, stripe, lane_of(family, "customers"))
    first = lane.ask()
    assert first is not None
    assert lane.ask() is None
    list(family.receive(first, stripe.get(first.query)))
    assert [lane.ask() is not None for _ in range(10)] == [True] * 9 + [False]


def test_the_state_counts_a_page_once_all_children_of_its_rows_are_written() -> None:
    stripe = Customers(page_size=2)
    for created in (10, 20, 30):
        stripe.add(created, balance_transactions=1)
    family, _feed = begin({}, ["customers", "customer_balance_transactions"])
    lane = lane_of(family, "customer_balance_transactions")
    answered(family, stripe, lane_of(family, "customers"))

    def parents_left() -> list[Range] | None:
        family.save()
        child = state_now()["bookmarks"]["customer_balance_transactions"]
        bookmark = Bookmark.of("customer_balance_transactions", child)
        assert bookmark is not None
        return bookmark.pending

    assert parents_left() == [Range(0, NOW + 1)]
    answered(family, stripe, lane)
    assert parents_left() == [Range(0, NOW + 1)]
    answered(family, stripe, lane)
    assert parents_left() == [Range(0, 21)]


def test_what_is_embedded_whole_is_not_asked_for() -> None:
    stripe = Customers()
    for created in range(5):
        stripe.add(created, tax_ids=1)
    assert read(*begin({}, ["customer_tax_ids"]), stripe) == {"customer_tax_ids": 5}
    assert set(stripe.asked) == {"/v1/customers"}


def test_an_answer_that_stays_unreadable_costs_only_the_child_that_it_is_of() -> None:
    stripe = Customers()
    for created in range(5):
        stripe.add(created, payment_methods=2, balance_transactions=2)
    family, feed = begin({})
    lane = lane_of(family, "customer_payment_methods")
    answered(family, stripe, lane_of(family, "customers"))
    results: list[Batch | Failure] = []
    tries = 0
    while not results:
        request = lane.ask()
        assert request is not None
        results += family.receive(request, CUT)
        tries += 1
    (lost,) = results
    assert isinstance(lost, Failure)
    assert lost.stream.name == "customer_payment_methods"
    assert isinstance(lost.error, UnreadableAnswerError)
    assert tries == 10
    assert read(family, feed, stripe)["customer_balance_transactions"] == 10
    family.finish()
    assert "customer_payment_methods" not in state_now()["bookmarks"]


def test_a_list_whose_answers_stay_unreadable_is_not_asked_forever() -> None:
    family, _feed = begin({})
    top = lane_of(family, "customers")

    def ask_on() -> None:
        for _ in range(11):
            request = top.ask()
            assert request is not None
            list(family.receive(request, CUT))

    with pytest.raises(UnreadableAnswerError):
        ask_on()


def test_unreadable_answers_now_and_then_cost_nothing() -> None:
    stripe = Customers(page_size=1)
    for created in range(5):
        stripe.add(created)
    family, _feed = begin({}, ["customers"])
    top = lane_of(family, "customers")
    rows = 0
    while not family.is_read:
        for _ in range(9):
            request = top.ask()
            assert request is not None
            assert list(family.receive(request, CUT)) == []
        (batch,) = answered(family, stripe, top)
        assert isinstance(batch, Batch)
        rows += len(batch.rows)
    assert rows == 5
