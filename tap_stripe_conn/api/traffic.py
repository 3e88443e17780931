"""What the requests to Stripe came to, endpoint by endpoint."""

from __future__ import annotations

from dataclasses import dataclass, replace
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(slots=True)
class Traffic:
    """Requests, and their answers if any."""

    requests: int = 0
    """As they left, those that were tried again included."""

    limited: int = 0
    """Answered with 429."""

    retries: int = 0
    """Made because another had failed."""

    bytes: int = 0
    """Of the answers' bodies, uncompressed."""

    seconds: float = 0.0
    """Until the answers had come, one after the other though many are under way at once."""

    @classmethod
    def sum(cls, parts: Iterable[Traffic]) -> Traffic:
        """All of them together."""
        total = cls()
        for part in parts:
            total.requests += part.requests
            total.limited += part.limited
            total.retries += part.retries
            total.bytes += part.bytes
            total.seconds += part.seconds
        return total


class TrafficCounter:
    """Counts as it happens; safe between threads."""

    def __init__(self) -> None:
        """Start at zero."""
        self._lock = Lock()
        self._by_endpoint: dict[str, Traffic] = {}

    def sent(self, endpoint: str, *, size: int, seconds: float, limited: bool) -> None:
        """Count a request that is over.

        Args:
            endpoint: The path with its braces.
            size: Bytes of the answer's body; 0 if there was no answer.
            seconds: Until the answer had come, or was given up.
            limited: Whether it was a 429.
        """
        with self._lock:
            traffic = self._of(endpoint)
            traffic.requests += 1
            traffic.bytes += size
            traffic.seconds += seconds
            traffic.limited += limited

    def retried(self, endpoint: str) -> None:
        """Count that a request will be made again."""
        with self._lock:
            self._of(endpoint).retries += 1

    def by_endpoint(self) -> dict[str, Traffic]:
        """What was counted so far, in alphabetical order."""
        with self._lock:
            return {name: replace(self._by_endpoint[name]) for name in sorted(self._by_endpoint)}

    @property
    def total(self) -> Traffic:
        """What was counted so far, of all endpoints."""
        return Traffic.sum(self.by_endpoint().values())

    def _of(self, endpoint: str) -> Traffic:
        return self._by_endpoint.setdefault(endpoint, Traffic())
