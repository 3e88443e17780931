"""A list and its children, whose answers come in any order, or not at all."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast
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
from tap_stripe_conn.api.errors import ForbiddenError, NotFoundError, UnreadableAnswerError
from tap_stripe_conn.api.lists import Range
from tap_stripe_conn.api.traffic import TrafficCounter
from tap_stripe_conn.streams import lanes
from tap_stripe_conn.streams.bookmarks import Bookmark
from tap_stripe_conn.streams.family import Family
from tap_stripe_conn.streams.lanes import ChildrenJob
from tap_stripe_conn.streams.plans import plan
from tap_stripe_conn.streams.results import Batch, Failure
from tap_stripe_conn.streams.source import Source
from tap_stripe_conn.tap import TapStripeConn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tap_stripe_conn.api.client import Object, StripeClient
    from tap_stripe_conn.api.lists import Query
    from tap_stripe_conn.streams.lanes import Lane, Request
    from tap_stripe_conn.streams.stream import StripeStream

CHILDREN: Final = {
    "customer_balance_transactions": ("balance_transactions", "customer_balance_transaction"),
    "customer_payment_methods": ("payment_methods", "payment_method"),
    "customer_tax_ids": ("tax_ids", "tax_id"),
}
"""Streams, the ends of their paths, and what their rows are. The first can be asked for by when
its rows were made, the last is embedded in customers."""

STREAMS: Final = ["customers", *CHILDREN]

NOW: Final = 1_000_000
"""Long after all rows."""

TRIES: Final = 3
"""Unreadable answers in a row after which a list is lost: fewer than in earnest, so that it happens
in a short history."""

CUT: Final = Answer(b'{"object": "list", "data": [{"id": "cus_', "req_1")


class Key(NamedTuple):
    """A row of a stream."""

    stream: str
    id: str


@cache
def streams() -> dict[str, StripeStream]:
    tap = TapStripeConn(config={"live_api_key": "sk_" + "test_" + "family"})
    return {name: tap.stripe_streams[name] for name in STREAMS}


@cache
def source() -> Source:
    catalogue = next(iter(streams().values()))._stripe_tap.catalogue  # noqa: SLF001
    client = cast("StripeClient", SimpleNamespace(traffic=TrafficCounter()))
    return Source(client, catalogue, Range(0, NOW), NOW)


def begin(state: dict[str, Any], members: Sequence[str] = STREAMS) -> Family:
    known = json.loads(json.dumps(state))
    held = state_now()
    held.clear()
    held.update(known)
    return Family(streams()["customers"], [streams()[name] for name in members], source())


def state_now() -> dict[str, Any]:
    return cast("dict[str, Any]", streams()["customers"].tap_state)


@dataclass
class Customers:
    """Stripe's lists of customers and of what is theirs, which stay as they are."""

    page_size: int = 3
    rows: list[Object] = field(default_factory=list)
    children: dict[tuple[str, str], list[Object]] = field(default_factory=dict)
    """By the end of their path and the customer's id."""

    gone: set[tuple[str, str]] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    """Paths."""

    def add(self, created: int, **children: int) -> str:
        identifier = f"cus_{len(self.rows)}"
        self.rows.append({"object": "customer", "id": identifier, "created": created})
        for end, kind in CHILDREN.values():
            self.children[end, identifier] = [
                {"object": kind, "id": f"{kind}_{identifier}_{n}", "created": created + n // 2}
                for n in range(children.get(end, 0))
            ]
        return identifier

    def get(self, query: Query) -> Answer:
        self.asked.append(query.path)
        rows = self.rows
        if query.path != "/v1/customers":
            identifier, end = query.path.removeprefix("/v1/customers/").split("/")
            if (end, identifier) in self.gone:
                msg = f"No such customer: {identifier}"
                raise NotFoundError(msg, http_status=404)
            rows = self.children[end, identifier]
        expand = cast("list[str]", query.params.get("expand[]", []))
        page = self._page(rows, query.params, self.page_size)
        page["data"] = [self._sent(row, expand) for row in page["data"]]
        return Answer(json.dumps(page).encode(), None)

    def _sent(self, row: Object, expand: list[str]) -> Object:
        if "data.tax_ids" not in expand:
            return row
        return {**row, "tax_ids": self._page(self.children["tax_ids", row["id"]], {}, 1)}

    def _page(self, rows: list[Object], params: Any, size: int) -> Object:  # noqa: ANN401 - JSON
        newest_first = sorted(rows, key=lambda row: (row["created"], row["id"]), reverse=True)
        if after := params.get("starting_after"):
            newest_first = newest_first[[row["id"] for row in newest_first].index(after) + 1 :]
        since, until = params.get("created[gte]", 0), params.get("created[lt]", NOW)
        found = [row for row in newest_first if since <= row["created"] < until]
        return {"object": "list", "data": found[:size], "has_more": len(found) > size}

    def truth(self) -> dict[Key, tuple[int, int]]:
        """The rows that there are: when the customer was made, and when they were."""
        keys = {Key("customers", row["id"]): (row["created"],) * 2 for row in self.rows}
        for stream, (end, _) in CHILDREN.items():
            for row in self.rows:
                if (end, row["id"]) not in self.gone:
                    keys |= {
                        Key(stream, child["id"]): (row["created"], child["created"])
                        for child in self.children[end, row["id"]]
                    }
        return keys


def is_left(key: Key, parent: int, made: int, state: dict[str, Any]) -> bool:
    """Whether the run that goes on from a state reads a row."""
    stream = streams()[key.stream]
    own = state.get("bookmarks", {}).get(key.stream, {})
    while True:
        planned = plan(
            stream.resource,
            stream.root.resource,
            source(),
            own,
            incremental=stream.replication_method == "INCREMENTAL",
        )
        taken = any(span.since <= made < span.until for span in planned.spans)
        if taken and (stream.root is stream or planned.walks(parent)):
            return True
        if not planned.is_resumed:
            return False
        own = planned.state([]) or {}


class Asked(NamedTuple):
    """A request under way, and what Stripe says."""

    lane: Lane
    request: Request
    answer: Answer | Exception


class Reading(RuleBasedStateMachine):
    """Runs over customers and what is theirs, in any order of events."""

    @override
    def __init__(self) -> None:
        super().__init__()
        self.stripe = Customers()
        self.members = STREAMS
        self.written: set[Key] = set()
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
        self.family = begin(state, self.members)
        self.lost: set[str] = set()
        self.under_way.clear()
        self.batches: list[Key] = []
        """Of this run."""

        self.most_pages = 0
        self.started = True

    def lane(self, number: int) -> Lane:
        return self.family.lanes[number % len(self.family.lanes)]

    def take(self, number: int) -> Asked:
        return self.under_way.pop(number % len(self.under_way))

    @rule(number=st.integers(0, 3), times=st.integers(1, 3))
    def a_lane_asks(self, number: int, times: int) -> None:
        for _ in range(times):
            self.ask(self.lane(number))

    def ask(self, lane: Lane) -> bool:
        request = lane.ask()
        if request is None:
            return False
        try:
            answer: Answer | Exception = self.stripe.get(request.query)
        except NotFoundError as error:
            answer = error
        self.under_way.append(Asked(lane, request, answer))
        pages = sum(not isinstance(asked.request.job, ChildrenJob) for asked in self.under_way)
        self.most_pages = max(self.most_pages, pages)
        return True

    @rule(number=st.integers(0, 3), idle=st.integers(0, 4))
    def there_is_room_for_more(self, number: int, idle: int) -> None:
        self.lane(number).split(idle)

    @precondition(lambda self: self.under_way)
    @rule(number=st.integers(0, 100), saved_after=st.none() | st.integers(0, 3))
    def an_answer_comes(self, number: int, saved_after: int | None) -> None:
        asked = self.take(number)
        if isinstance(asked.answer, Exception):
            self.write(self.family.failed(asked.request, asked.answer))
        else:
            self.write(self.family.receive(asked.request, asked.answer), saved_after)

    def write(self, results: Iterator[Batch | Failure], saved_after: int | None = None) -> None:
        for number, result in enumerate(results):
            if isinstance(result, Failure):
                self.lost.add(result.stream.name)
            else:
                key = result.stream.resource.primary_key[-1]
                self.batches += [Key(result.stream.name, row[key]) for row in result.rows]
                self.written.update(self.batches)
            if number == saved_after:
                self.save()

    @precondition(lambda self: self.under_way)
    @rule(number=st.integers(0, 100))
    def an_answer_is_cut(self, number: int) -> None:
        asked = self.take(number)
        tries = asked.request.job.unreadable + 1
        before = set(self.lost)
        try:
            self.write(self.family.receive(asked.request, CUT))
        except UnreadableAnswerError:
            assert tries == TRIES
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
        if isinstance(asked.request.job, ChildrenJob):
            self.under_way.append(asked)
            return
        with pytest.raises(ValueError, match=r"No\."):
            list(self.family.failed(asked.request, ValueError("No.")))
        self.customers_are_lost(asked)

    def customers_are_lost(self, asked: Asked) -> None:
        """The run ends with what it has, and another goes on."""
        assert not isinstance(asked.request.job, ChildrenJob)
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
    def a_customer_is_deleted_before_it_is_asked_for(self, number: int, end: str) -> None:
        row = self.stripe.rows[number % len(self.stripe.rows)]
        if not any(row["id"] in path for path in self.stripe.asked):
            self.stripe.gone.add((end, row["id"]))

    @precondition(lambda self: self.started and self.family.is_read)
    @rule()
    def what_was_interrupted_is_read_and_what_is_newer_begins(self) -> None:
        further = self.family.finish()
        self.check_state()
        if further is not None:
            self.under_way.clear()
            self.family = further

    @rule()
    def the_state_is_saved(self) -> None:
        self.save()

    def save(self) -> None:
        self.family.save()
        self.check_state()

    def check_state(self) -> None:
        """What the state says is read was written."""
        state = json.loads(json.dumps(state_now()))
        for key, (parent, made) in self.stripe.truth().items():
            if key.stream in self.members and key not in self.written:
                assert is_left(key, parent, made, state), f"{key} is lost"

    @rule(luck=st.integers(0, 4))
    def the_run_crashes_and_another_goes_on(self, luck: int) -> None:
        if not luck:
            self.start(state_now())

    @invariant()
    def no_row_is_written_twice_by_a_run(self) -> None:
        assert not self.started or len(self.batches) == len(set(self.batches))

    @invariant()
    def children_are_kept_up_with(self) -> None:
        if not self.started:
            return
        *feeds, top = self.family.lanes
        ahead = [len(lane) >= lanes.FAN_OUT for lane in feeds]
        assert not any(ahead) or top.ask() is None
        most = lanes.FAN_OUT - 1 + self.stripe.page_size * self.most_pages
        assert all(len(lane) <= most for lane in feeds)

    @invariant()
    def children_are_first_asked_for_of_one_parent(self) -> None:
        for lane in self.family.lanes[:-1] if self.started else []:
            assert lane.pages or len(lane.begun) <= 1

    @override
    def teardown(self) -> None:
        if not self.started:
            return
        further: Family | None = self.family
        while further is not None:
            self.family = further
            self.read_to_the_end()
            further = self.family.finish()
        wanted = {key for key in self.stripe.truth() if key.stream in self.members}
        assert {key for key in wanted - self.written if key.stream not in self.lost} == set()
        self.check_state()

    def read_to_the_end(self) -> None:
        while not self.family.is_read:
            asked = [self.ask(lane) for lane in self.family.lanes]
            assert any(asked) or self.under_way, "nothing is left to ask"
            while self.under_way:
                self.an_answer_comes(0, None)


def test_whatever_comes_in_whatever_order_no_row_is_lost_and_no_state_claims_too_much() -> None:
    with (
        mock.patch.object(lanes, "FAN_OUT", 3),
        mock.patch("tap_stripe_conn.streams.family.MAX_TRIES", TRIES),
    ):
        run_state_machine_as_test(Reading, settings=settings(stateful_step_count=50))


# --- One thing at a time -----------------------------------------------------------------------


def answered(family: Family, stripe: Customers, lane: Lane) -> list[Batch | Failure]:
    """What comes of asking one lane one thing."""
    request = lane.ask()
    assert request is not None
    return list(family.receive(request, stripe.get(request.query)))


def lane_of(family: Family, stream: str) -> Lane:
    (lane,) = (lane for lane in family.lanes if lane.stream.name == stream)
    return lane


def read(family: Family, stripe: Customers) -> dict[str, int]:
    """Read to the end, and count rows by stream."""
    rows = dict.fromkeys((stream.name for stream in family.members), 0)
    while not family.is_read:
        for lane in family.lanes:
            while (request := lane.ask()) is not None:
                for result in family.receive(request, stripe.get(request.query)):
                    assert isinstance(result, Batch)
                    rows[result.stream.name] += len(result.rows)
    return rows


def test_no_further_parents_are_asked_for_while_many_wait_for_their_children() -> None:
    stripe = Customers(page_size=20)
    for created in range(200):
        stripe.add(created, balance_transactions=1)
    family = begin({}, ["customers", "customer_balance_transactions"])
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
    family = begin({}, ["customer_payment_methods"])
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
    family = begin({}, ["customers", "customer_balance_transactions"])
    lane = lane_of(family, "customer_balance_transactions")
    answered(family, stripe, lane_of(family, "customers"))

    def parents_left() -> list[Range] | None:
        family.save()
        child = state_now()["bookmarks"]["customer_balance_transactions"]
        bookmark = Bookmark.of("customer_balance_transactions", child)
        assert bookmark is not None
        return bookmark.pending_parents

    assert parents_left() == [Range(0, NOW)]
    answered(family, stripe, lane)
    assert parents_left() == [Range(0, NOW)]
    answered(family, stripe, lane)
    assert parents_left() == [Range(0, 21)]


def test_what_is_embedded_whole_is_not_asked_for() -> None:
    stripe = Customers()
    for created in range(5):
        stripe.add(created, tax_ids=1)
    assert read(begin({}, ["customer_tax_ids"]), stripe) == {"customer_tax_ids": 5}
    assert set(stripe.asked) == {"/v1/customers"}


def test_an_answer_that_stays_unreadable_costs_only_the_child_that_it_is_of() -> None:
    stripe = Customers()
    for created in range(5):
        stripe.add(created, payment_methods=2, balance_transactions=2)
    family = begin({})
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
    assert read(family, stripe)["customer_balance_transactions"] == 10
    family.finish()
    assert "customer_payment_methods" not in state_now()["bookmarks"]


def test_a_list_whose_answers_stay_unreadable_is_not_asked_forever() -> None:
    family = begin({})
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
    family = begin({}, ["customers"])
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
