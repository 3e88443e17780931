"""Threads that fetch, so that many requests are under way while one thread does all the rest."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Generic, TypeVar

from tap_stripe_conn.api.errors import ConnectionFailedError, UnreachableError

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from tap_stripe_conn.api.client import Answer, StripeClient
    from tap_stripe_conn.api.lists import Query

_T = TypeVar("_T")


@dataclass(frozen=True)
class Fetched(Generic[_T]):
    """What came of a request."""

    purpose: _T
    """What was handed over with the request."""

    answer: Answer | Exception
    """Stripe's; or why there is none."""


class Crew(Generic[_T]):
    """As many threads as there are requests under way: each makes one after the other.

    All methods are for one thread, which needn't wait for a request. The threads are daemons, so
    that nobody who is interrupted waits for them either.
    """

    def __init__(self, client: StripeClient) -> None:
        """Start without threads."""
        self._client = client
        self._todo: SimpleQueue[tuple[_T, Query] | None] = SimpleQueue()
        self._done: SimpleQueue[Fetched[_T]] = SimpleQueue()
        self._threads = 0
        self.under_way = 0
        """Requests whose answers were not taken yet."""

    def __enter__(self) -> Self:
        """Enter: leaving dismisses the threads."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let the threads end; what they are asking is answered to nobody."""
        with suppress(Empty):
            while True:
                self._todo.get_nowait()
        for _ in range(self._threads):
            self._todo.put(None)

    def fetch(self, purpose: _T, query: Query) -> None:
        """Make a request that the limiter has let go."""
        self.under_way += 1
        self._todo.put((purpose, query))
        if self.under_way - self.answered > self._threads:
            self._threads += 1
            Thread(target=self._work, name=f"fetch-{self._threads}", daemon=True).start()

    def next(self, timeout: float) -> Fetched[_T] | None:
        """The next answer; None if `timeout` seconds have passed before."""
        try:
            fetched = self._done.get(timeout=max(0.0, timeout))
        except Empty:
            return None
        self.under_way -= 1
        return fetched

    @property
    def answered(self) -> int:
        """How many answers wait to be taken."""
        return self._done.qsize()

    def _work(self) -> None:
        while (job := self._todo.get()) is not None:
            purpose, query = job
            try:
                answer: Answer | Exception = fetch(self._client, query, admitted=True)
            except Exception as error:  # noqa: BLE001 - for whoever takes the answer
                answer = error
            self._done.put(Fetched(purpose, answer))


def fetch(client: StripeClient, query: Query, *, admitted: bool = False) -> Answer:
    """As `StripeClient.fetch`.

    Raises:
        UnreachableError: Nor does Stripe answer anything else.
    """
    try:
        return client.fetch(query.path, query.params, endpoint=query.endpoint, admitted=admitted)
    except ConnectionFailedError as error:
        if client.reachable():
            raise
        raise UnreachableError(str(error)) from error
