"""Pacing: requests leave no faster than Stripe's limits allow.

Source: https://docs.stripe.com/rate-limits: 100 requests/s for a live account, 25 in test mode,
25 for each endpoint. What is left is for the account's own traffic.
"""

from __future__ import annotations

import threading
import time
from typing import Final

LIVE_RATE: Final = 80.0
"""Requests/s for a live key, of Stripe's 100."""

TEST_RATE: Final = 20.0
"""Requests/s for a test key, of Stripe's 25."""

ENDPOINT_RATE: Final = 25.0
"""Requests/s for each endpoint: Stripe's own default."""


class Limiter:
    """Spaces requests evenly: over the account, and over each endpoint. Safe between threads."""

    def __init__(self, *, rate: float, endpoint_rate: float = ENDPOINT_RATE) -> None:
        """Start with no request made.

        Args:
            rate: Requests/s over all endpoints.
            endpoint_rate: Requests/s for any one endpoint.
        """
        self._interval = 1 / rate
        self._endpoint_interval = 1 / endpoint_rate
        self._lock = threading.Lock()
        self._next = 0.0
        self._next_of: dict[str, float] = {}

    def wait(self, endpoint: str) -> None:
        """Sleep until the next request to `endpoint` may leave."""
        delay = self._reserve(endpoint) - time.monotonic()
        if delay > 0:
            time.sleep(delay)

    def _reserve(self, endpoint: str) -> float:
        with self._lock:
            start = max(time.monotonic(), self._next, self._next_of.get(endpoint, 0.0))
            self._next = start + self._interval
            self._next_of[endpoint] = start + self._endpoint_interval
            return start
