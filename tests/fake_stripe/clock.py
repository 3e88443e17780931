"""A clock that a test puts forward."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

DAY = 24 * 3600


class Clock:
    """Unix seconds, to be called: `FakeStripe(now=Clock(1_700_000_000))`."""

    def __init__(self, runs: float | Callable[[], float] = time.time) -> None:
        """Stand still at a moment, or run along with another clock."""
        self._moment = runs if isinstance(runs, (int, float)) else 0.0
        self._runs = None if isinstance(runs, (int, float)) else runs

    def __call__(self) -> float:
        """Now, in Unix seconds."""
        return self._moment + (self._runs() if self._runs else 0.0)

    def advance(
        self, *, days: float = 0, hours: float = 0, minutes: float = 0, seconds: float = 0
    ) -> float:
        """Put it forward. Returns the new now."""
        self._moment += days * DAY + hours * 3600 + minutes * 60 + seconds
        return self()

    def stand_still(self, at: float | None = None) -> None:
        """Stop it, at a moment or now; `advance` moves it on."""
        self._moment, self._runs = self() if at is None else at, None
