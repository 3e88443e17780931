"""Walks side by side over one list, in any order of events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

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

from tap_stripe_conn.api.errors import CursorGoneError
from tap_stripe_conn.api.lists import Range, newest_first
from tap_stripe_conn.api.sweeps import Sweep
from tests.api.stripe_list import StripeList, charges

if TYPE_CHECKING:
    from tap_stripe_conn.api.client import Object
    from tap_stripe_conn.api.lists import Query, Walk
    from tap_stripe_conn.api.sweeps import Page

SPAN: Final = Range(1001, 1020)
LONG: Final = settings(stateful_step_count=40)


class Answer(NamedTuple):
    """What Stripe said when it was asked; it may arrive much later."""

    walk: Walk
    page: Object | CursorGoneError


def any_of(events: st.DataObject, things: list[Any]) -> Any:  # noqa: ANN401 - whatever they are
    return things[events.draw(st.integers(0, len(things) - 1))]


class Reading(RuleBasedStateMachine):
    """A list that changes while requests to it are under way."""

    def __init__(self) -> None:
        super().__init__()
        self.stripe = StripeList()
        self.page_size = 1
        self.requests = 0
        self.refused = 0
        self.walks = 0
        self.changed = False
        self.crashed = False
        self.answers: list[Answer] = []
        self.received: list[str] = []
        self.lasting: set[str] = set()
        """Rows of the span that were there from the beginning, and weren't deleted."""

        self.was_unread = [SPAN]

    @initialize(
        times=st.lists(st.integers(SPAN.since - 1, SPAN.until), min_size=8, max_size=40),
        page_size=st.integers(1, 3),
    )
    def begin(self, times: list[int], page_size: int) -> None:
        self.stripe = StripeList.of(*times)
        self.page_size = page_size
        self.lasting = self.stripe.within(SPAN)
        self.start([SPAN])

    def start(self, spans: list[Range]) -> None:
        raise NotImplementedError

    def unread(self) -> list[Range]:
        raise NotImplementedError

    @rule(moment=st.integers(SPAN.since, SPAN.until + 1))
    def a_row_is_added(self, moment: int) -> None:
        self.changed = True
        self.stripe.insert(moment)

    @precondition(lambda self: self.stripe.there)
    @rule(events=st.data())
    def a_row_is_deleted(self, events: st.DataObject) -> None:
        self.delete(any_of(events, self.stripe.there))

    @precondition(lambda self: self.stripe.sent)
    @rule(back=st.integers(1, 3))
    def a_row_that_was_just_sent_is_deleted(self, back: int) -> None:
        """It may well be a cursor."""
        self.delete(self.stripe.sent[-min(back, len(self.stripe.sent))])

    def delete(self, name: str) -> None:
        self.changed = True
        self.stripe.delete(name)
        self.lasting.discard(name)

    def send(self, walk: Walk, query: Query) -> None:
        self.requests += 1
        try:
            page = self.stripe.get(query.path, query.params, endpoint=query.endpoint)
        except CursorGoneError as error:
            self.refused += 1
            self.answers.append(Answer(walk, error))
        else:
            self.answers.append(Answer(walk, page))

    def take(self, rows: list[Object]) -> None:
        self.received += [row["id"] for row in rows]

    @invariant()
    def what_is_unread_only_shrinks(self) -> None:
        unread = self.unread()
        assert newest_first([*unread, *self.was_unread]) == newest_first(self.was_unread)
        assert unread == newest_first(unread)
        self.was_unread = unread

    @invariant()
    def every_row_is_received_or_unread(self) -> None:
        unread = set().union(*(self.stripe.within(span) for span in self.unread()))
        assert self.lasting <= unread | set(self.received)

    @invariant()
    def no_row_is_of_another_time(self) -> None:
        assert all(SPAN.since <= self.stripe.created[name] < SPAN.until for name in self.received)

    @invariant()
    def no_row_comes_twice(self) -> None:
        assert self.crashed or len(self.received) == len(set(self.received))

    def check_end(self) -> None:
        assert self.unread() == []
        assert self.lasting <= set(self.received)
        if not self.crashed:
            # A request is refused, brings a full page of new rows, or is a walk's last; a walk that
            # was refused goes on with a page of which some rows are known.
            shortened = self.refused if self.changed else 0
            full = len(self.received) // self.page_size
            assert self.requests <= full + self.walks + self.refused + shortened


class SplitAnywhere(Reading):
    """Walks that are split by nobody's policy."""

    @override
    def __init__(self) -> None:
        super().__init__()
        self.side_by_side: list[Walk] = []

    @override
    def start(self, spans: list[Range]) -> None:
        listing = charges(self.page_size)
        self.side_by_side = [listing.walk(span) for span in spans]
        self.walks += len(self.side_by_side)

    @override
    def unread(self) -> list[Range]:
        return newest_first(walk.unread for walk in self.side_by_side if walk.unread is not None)

    def idle(self) -> list[tuple[Walk, Query]]:
        asking = [answer.walk for answer in self.answers]
        queries = [(walk, walk.query()) for walk in self.side_by_side if walk not in asking]
        return [(walk, query) for walk, query in queries if query is not None]

    @precondition(lambda self: self.idle())
    @rule(events=st.data())
    def a_walk_asks(self, events: st.DataObject) -> None:
        self.send(*any_of(events, self.idle()))

    @precondition(lambda self: self.answers)
    @rule(events=st.data())
    def an_answer_arrives(self, events: st.DataObject) -> None:
        self.answer(any_of(events, self.answers))

    def answer(self, answer: Answer) -> None:
        self.answers.remove(answer)
        if isinstance(answer.page, CursorGoneError):
            answer.walk.cursor_gone(answer.page)
        else:
            self.take(answer.walk.receive(answer.page))

    @precondition(lambda self: self.side_by_side)
    @rule(events=st.data(), at=st.integers(SPAN.since - 1, SPAN.until + 1))
    def a_walk_is_split(self, events: st.DataObject, at: int) -> None:
        walk = any_of(events, self.side_by_side).split(at)
        if walk is not None:
            self.side_by_side.append(walk)
            self.walks += 1

    @rule(luck=st.integers(0, 5))
    def the_run_crashes_and_another_goes_on(self, luck: int) -> None:
        if luck:
            return
        self.crashed = True
        self.answers.clear()
        self.start(self.unread())

    @override
    def teardown(self) -> None:
        while self.answers or self.idle():
            for answer in list(self.answers):
                self.answer(answer)
            for walk, query in self.idle():
                self.send(walk, query)
        self.check_end()


class SplitByPolicy(Reading):
    """A sweep, whose rows are written some time after they were received, in any order."""

    @override
    def __init__(self) -> None:
        super().__init__()
        self.sweep = Sweep(charges(1), [])
        self.unwritten: list[Page[Any]] = []

    @override
    def start(self, spans: list[Range]) -> None:
        self.sweep = Sweep(charges(self.page_size), spans)
        self.walks += len(spans)

    @override
    def unread(self) -> list[Range]:
        return self.sweep.unread

    @rule(times=st.integers(1, 3))
    def the_sweep_asks(self, times: int) -> None:
        for _ in range(times):
            if ask := self.sweep.ask():
                self.send(*ask)

    @precondition(lambda self: self.answers)
    @rule(events=st.data())
    def an_answer_arrives(self, events: st.DataObject) -> None:
        self.answer(any_of(events, self.answers))

    def answer(self, answer: Answer) -> None:
        self.answers.remove(answer)
        if isinstance(answer.page, CursorGoneError):
            self.sweep.cursor_gone(answer.walk, answer.page)
        else:
            self.unwritten.append(self.sweep.receive(answer.walk, answer.page))

    @precondition(lambda self: self.answers)
    @rule(events=st.data())
    def a_request_is_lost(self, events: st.DataObject) -> None:
        answer = any_of(events, self.answers)
        self.answers.remove(answer)
        self.requests -= 1
        self.refused -= isinstance(answer.page, CursorGoneError)
        self.sweep.unanswered(answer.walk)

    @precondition(lambda self: self.unwritten)
    @rule(events=st.data())
    def rows_are_written(self, events: st.DataObject) -> None:
        self.write(any_of(events, self.unwritten))

    def write(self, page: Page[Any]) -> None:
        self.unwritten.remove(page)
        self.take(page.rows)
        self.sweep.written(page)

    @rule(idle=st.integers(0, 6))
    def there_is_room_for_more(self, idle: int) -> None:
        self.split(idle)

    def split(self, idle: int) -> None:
        made = self.sweep.split(idle)
        assert made <= idle
        self.walks += made

    @rule(luck=st.integers(0, 5))
    def the_run_crashes_and_another_goes_on(self, luck: int) -> None:
        if luck:
            return
        self.crashed = True
        self.answers.clear()
        self.unwritten.clear()
        self.start(self.sweep.unread)

    @override
    def teardown(self) -> None:
        while not self.sweep.is_read or self.unwritten:
            while ask := self.sweep.ask():
                self.send(*ask)
            for answer in list(self.answers):
                self.answer(answer)
            for page in list(self.unwritten):
                self.write(page)
            self.split(2)
        self.check_end()


def test_walks_that_are_split_anywhere_lose_no_row_and_give_none_twice() -> None:
    run_state_machine_as_test(SplitAnywhere, settings=LONG)


def test_a_sweep_loses_no_row_and_gives_none_twice_in_whatever_order_things_happen() -> None:
    run_state_machine_as_test(SplitByPolicy, settings=LONG)
