"""SIGINT and SIGTERM: the run stops at once, but never in the middle of what must be whole."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import current_thread, main_thread
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_T = TypeVar("_T")


class Interrupted(BaseException):
    """The run was asked to stop; like KeyboardInterrupt, it is no error."""

    def __init__(self, signum: int) -> None:
        """Keep the signal's number."""
        super().__init__(signal.Signals(signum).name)
        self.signum = signum

    @property
    def exit_code(self) -> int:
        """As shells have it: 130 for SIGINT, 143 for SIGTERM."""
        return 128 + self.signum


class Interrupts:
    """Turns a signal into `Interrupted`, raised at once or when writing is over."""

    def __init__(self) -> None:
        """Let signals through."""
        self._held = False
        self._waiting: int | None = None

    def arrive(self, signum: int) -> None:
        """Take a signal, as its handler. A second one while writing does not wait.

        Raises:
            Interrupted: Unless a message is being written.
        """
        if self._held and self._waiting is None:
            self._waiting = signum
            return
        raise Interrupted(signum)

    @contextmanager
    def held(self) -> Iterator[None]:
        """While messages are written.

        Raises:
            Interrupted: On leaving, if a signal arrived meanwhile.
        """
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            raise Interrupted(waiting)


def ignored() -> None:
    """From now on no signal changes how the program ends."""
    if current_thread() is main_thread():
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, signal.SIG_IGN)


def to_its_end(call: Callable[[], _T]) -> _T:
    """The result of a call that no signal cuts short; what arrived meanwhile arrives after it."""
    if current_thread() is not main_thread():
        # No signal is handled here, but one may end the program, which waits for this thread.
        with ThreadPoolExecutor(1) as waited_for:
            return waited_for.submit(call).result()
    arrived: list[int] = []
    before = {
        signum: signal.signal(signum, lambda signum, _: arrived.append(signum))
        for signum in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        return call()
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
        for first in arrived[:1]:
            signal.raise_signal(first)
