"""Threads that fetch: each answer finds its way back, and no thread is left."""

from __future__ import annotations

import threading
import time
from queue import SimpleQueue
from typing import TYPE_CHECKING, cast

import pytest

from tap_stripe_conn.api.client import Answer
from tap_stripe_conn.api.crew import Crew, Fetched
from tap_stripe_conn.api.errors import (
    ConnectionFailedError,
    ForbiddenError,
    UnreachableError,
)
from tap_stripe_conn.api.lists import Query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tap_stripe_conn.api.client import StripeClient

PATIENCE = 10.0
"""Seconds after which what should have happened has not."""


class Client:
    """Answers a request when it is told to, with the request's path, or with an error."""

    def __init__(self) -> None:
        self.asked: SimpleQueue[str] = SimpleQueue()
        self.errors: dict[str, Exception] = {}
        self.is_reachable = True
        self.threads: set[threading.Thread] = set()
        """Those that have asked."""

        self._answered: dict[str, threading.Event] = {}

    def fetch(self, path: str, params: object, *, endpoint: str, admitted: bool) -> Answer:
        assert (params, endpoint, admitted) == ({}, path, True)
        self.threads.add(threading.current_thread())
        self.asked.put(path)
        assert self._event(path).wait(PATIENCE)
        if path in self.errors:
            raise self.errors[path]
        return Answer(path.encode(), None)

    def reachable(self) -> bool:
        return self.is_reachable

    def answer(self, path: str) -> None:
        self._event(path).set()

    def end(self) -> None:
        """Answer whatever waits."""
        for event in self._answered.values():
            event.set()

    def _event(self, path: str) -> threading.Event:
        return self._answered.setdefault(path, threading.Event())


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def crew(client: Client) -> Iterator[Crew[str]]:
    with Crew[str](cast("StripeClient", client)) as crew:
        yield crew
        client.end()


def ask(crew: Crew[str], *paths: str) -> None:
    for path in paths:
        crew.fetch(f"for {path}", Query(path, {}, path))


def test_answers_come_with_their_purpose_in_the_order_of_their_coming(
    client: Client, crew: Crew[str]
) -> None:
    ask(crew, "/a", "/b", "/c")
    for path in ("/c", "/a", "/b"):
        client.answer(path)
        fetched = crew.next(PATIENCE)
        assert fetched == Fetched(f"for {path}", Answer(path.encode(), None))
    assert crew.under_way == 0


def test_who_waits_for_an_answer_waits_no_longer_than_told(client: Client, crew: Crew[str]) -> None:
    ask(crew, "/a")
    assert crew.next(0.01) is None
    assert crew.next(-1.0) is None
    assert (crew.under_way, crew.answered) == (1, 0)
    client.answer("/a")
    assert crew.next(PATIENCE) is not None


def test_requests_are_made_all_at_once_by_no_more_threads_than_they_are(
    client: Client, crew: Crew[str]
) -> None:
    ask(crew, "/a", "/b", "/c")
    assert {client.asked.get(timeout=PATIENCE) for _ in range(3)} == {"/a", "/b", "/c"}
    assert len(client.threads) == 3


def test_threads_that_have_answered_make_the_next_requests(client: Client, crew: Crew[str]) -> None:
    for number in range(20):
        client.answer(f"/{number}")
        ask(crew, f"/{number}")
        assert crew.next(PATIENCE) is not None
    assert len(client.threads) == 1


def test_requests_whose_answers_wait_to_be_taken_are_under_way(
    client: Client, crew: Crew[str]
) -> None:
    client.answer("/a")
    ask(crew, "/a")
    wait_for(lambda: crew.answered == 1)
    assert crew.under_way == 1
    crew.next(PATIENCE)
    assert (crew.under_way, crew.answered) == (0, 0)


def test_an_error_comes_as_the_answer_and_its_thread_goes_on(
    client: Client, crew: Crew[str]
) -> None:
    error = ForbiddenError("No.", http_status=403)
    client.errors["/a"] = error
    client.answer("/a")
    client.answer("/b")
    ask(crew, "/a", "/b")
    answers = [crew.next(PATIENCE), crew.next(PATIENCE)]
    assert Fetched("for /a", error) in answers
    assert Fetched("for /b", Answer(b"/b", None)) in answers


@pytest.mark.parametrize(
    ("reachable", "kind"), [(True, ConnectionFailedError), (False, UnreachableError)]
)
def test_a_lost_connection_is_one_requests_trouble_unless_stripe_answers_nothing_else(
    client: Client, crew: Crew[str], *, reachable: bool, kind: type[Exception]
) -> None:
    client.errors["/a"] = ConnectionFailedError("It is gone")
    client.is_reachable = reachable
    client.answer("/a")
    ask(crew, "/a")
    fetched = crew.next(PATIENCE)
    assert fetched is not None
    assert type(fetched.answer) is kind
    assert str(fetched.answer) == "It is gone"


def test_dismissed_threads_end(client: Client) -> None:
    with Crew[str](cast("StripeClient", client)) as crew:
        ask(crew, "/a", "/b")
        assert {client.asked.get(timeout=PATIENCE) for _ in range(2)} == {"/a", "/b"}
    client.answer("/a")
    client.answer("/b")
    wait_for(lambda: not any(thread.is_alive() for thread in client.threads))
    assert client.asked.empty()


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.005)
