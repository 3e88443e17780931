"""Rate and concurrency limits (https://docs.stripe.com/rate-limits), off until set."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

from tests.fake_stripe.faults import rate_limited

if TYPE_CHECKING:
    from collections.abc import Iterator


class RateLimits:
    """Requests per second and at once: for each account, and for each of its endpoints."""

    def __init__(self) -> None:
        """Start without limits."""
        self.per_second: float | None = None
        self.per_endpoint: float | None = None
        self.concurrency: int | None = None
        self._lock = Lock()
        self._recent: defaultdict[tuple[str, ...], deque[float]] = defaultdict(deque)
        self._running: defaultdict[str, int] = defaultdict(int)

    @contextmanager
    def admit(self, account: str, endpoint: str) -> Iterator[None]:
        """Let a request in for as long as it runs.

        Raises:
            StripeError: 429, one limit is reached.
        """
        with self._lock:
            self._spend((account,), self.per_second, "global-rate")
            self._spend((account, endpoint), self.per_endpoint, "endpoint-rate")
            if self.concurrency is not None and self._running[account] >= self.concurrency:
                raise rate_limited(reason="global-concurrency")
            self._running[account] += 1
        try:
            yield
        finally:
            with self._lock:
                self._running[account] -= 1

    def _spend(self, key: tuple[str, ...], limit: float | None, reason: str) -> None:
        if limit is None:
            return
        now = time.monotonic()
        recent = self._recent[key]
        while recent and recent[0] <= now - 1:
            recent.popleft()
        if len(recent) >= limit:
            raise rate_limited(reason=reason)
        recent.append(now)
