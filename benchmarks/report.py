"""What the server tells of a run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Report:
    """One run, as the server saw it."""

    rows: int
    """How many rows the selected streams have."""

    pages: int
    """The fewest requests that hold them."""

    requests: int
    """How many the tap made, whatever they were for and however they were answered."""

    first: float
    """When the first list was asked for, in Unix seconds."""

    last: float
    """When the last answer left."""

    limited: int
    """How many requests got a 429."""

    limited_late: int
    """How many of them came later than a second after the first list request."""

    others: int
    """Requests that somebody else made while the tap read."""

    others_limited: int
    """How many of those got a 429."""

    missing: int
    """Rows of the server's that the tap did not write."""

    twice: int
    """Rows that the tap wrote again."""

    changed: int = 0
    """Objects to which something happened since a first run."""

    stale: int = 0
    """Rows that are otherwise now than what both runs wrote of them, or are gone."""
