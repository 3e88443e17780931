"""What of a stream is read: spans of creation time, and their form in Singer's state."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final

from tap_stripe_conn.api.lists import Range, newest_first, rfc3339
from tap_stripe_conn.config import ConfigError
from tap_stripe_conn.streams.rows import UPDATED_AT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


@dataclass(slots=True)
class Bookmark:
    """Everything created within `[since, until)` is read, but for what is `pending`.

    In state it is `replication_key_value`, up to which nothing is missing, and while a span is
    being read also `until` and `pending`.
    """

    since: int = 0
    """Unix seconds; 0 for the beginning."""

    until: int = 0
    """Unix seconds."""

    pending: list[Range] = field(default_factory=list)
    """Spans within that are not read yet, newest first."""

    complete_until: int | None = None
    """Unix seconds up to which nothing was pending before; stays in state until all is read."""

    pending_parents: list[Range] | None = None
    """Of children in time by their own creation: those of parents that were created within these
    spans are pending, the others' are read. None: all parents' are."""

    @classmethod
    def of(cls, stream: str, state: Mapping[str, Any]) -> Bookmark | None:
        """The bookmark in a stream's state; None where nothing was read.

        Raises:
            ConfigError: The state is not one of this tap's.
        """
        value = state.get("replication_key_value")
        complete = None if value is None else _instant(stream, "replication_key_value", value)
        if "pending" not in state:
            if complete is None:
                return None
            return cls(_optional_instant(stream, state, "since"), complete, [], complete)
        since = _optional_instant(stream, state, "since")
        until = _instant(stream, "until", state.get("until"))
        parents = _spans(stream, state, "pending_parents") if "pending_parents" in state else None
        return cls(since, until, _spans(stream, state, "pending"), complete, parents)

    def state(self) -> dict[str, Any]:
        """A stream's state with this bookmark, in the SDK's form."""
        complete_until = self.complete_until if self.pending else self.until
        state: dict[str, Any] = {"replication_key": UPDATED_AT}
        if complete_until is not None:
            state["replication_key_value"] = rfc3339(complete_until)
        if self.since > 0:
            state["since"] = rfc3339(self.since)
        return state | self.unfinished() if self.pending else state

    def unfinished(self) -> dict[str, Any]:
        """What state tells of a span that is being read."""
        state: dict[str, Any] = {"since": rfc3339(self.since)} if self.since > 0 else {}
        state |= {"until": rfc3339(self.until), "pending": _in_state(self.pending)}
        if self.pending_parents is not None:
            state["pending_parents"] = _in_state(self.pending_parents)
        return state

    def extended(self, wanted: Range, *, overlap: int, now: int) -> Bookmark:
        """The bookmark of a run that reads what of `wanted` is missing: its `pending`.

        Args:
            wanted: The span that the settings ask for.
            overlap: Seconds before `until` that are read again, for rows that came late.
            now: Unix seconds. What comes after can't be known to be read, whatever the state says.
        """
        until = min(self.until, now)
        read = Range(self.since, until - overlap)
        missing = [
            *_minus(wanted, read),
            *(_common(wanted, _common(read, span)) for span in self.pending),
        ]
        return Bookmark(
            wanted.since,
            min(self._read_from(wanted.until, until), now),
            newest_first(missing),
            self.complete_until,
        )

    def within(self, span: Range) -> Bookmark:
        """What of the bookmark is about `span`."""
        return replace(
            self,
            since=max(self.since, span.since),
            until=min(self.until, span.until),
            pending=common(self.pending, [span]),
        )

    def _read_from(self, moment: int, until: int) -> int:
        """Up to where everything from `moment` on is read; `moment` itself if there is a gap."""
        if self.since > moment or any(span.until > moment for span in self.pending):
            return moment
        return max(moment, until)

    def with_unread(self, unread: Sequence[Range]) -> Bookmark:
        """The bookmark when of its pending spans only the part within `unread` is left."""
        return replace(self, pending=common(self.pending, unread))


_END_OF_TIME: Final = 253_402_300_799
"""Unix seconds: the last that has a date."""


def common(spans: Iterable[Range], others: Sequence[Range]) -> list[Range]:
    """What lies within both, newest first."""
    return newest_first(_common(span, other) for span in spans for other in others)


def _minus(span: Range, other: Range) -> list[Range]:
    if other.since >= other.until:
        return [span]
    return [
        Range(span.since, min(span.until, other.since)),
        Range(max(span.since, other.until), span.until),
    ]


def _common(span: Range, other: Range) -> Range:
    return Range(max(span.since, other.since), min(span.until, other.until))


def _in_state(spans: Iterable[Range]) -> list[list[str]]:
    return [[rfc3339(bound) for bound in span] for span in spans]


def _spans(stream: str, state: Mapping[str, Any], name: str) -> list[Range]:
    spans = state[name]
    if not isinstance(spans, list) or not all(
        isinstance(span, list) and len(span) == len(Range._fields) for span in spans
    ):
        msg = f"State of stream {stream!r}: {name!r} must be a list of [since, until] pairs"
        raise ConfigError(msg)
    return [Range(*(_instant(stream, name, bound) for bound in span)) for span in spans]


def _optional_instant(stream: str, state: Mapping[str, Any], name: str) -> int:
    value = state.get(name)
    return 0 if value is None else _instant(stream, name, value)


def _instant(stream: str, name: str, value: object) -> int:
    try:
        moment = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", str(value)))
    except ValueError:
        msg = f"State of stream {stream!r}: {name!r} must be a date-time, not {value!r}"
        raise ConfigError(msg) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return min(max(int(moment.timestamp()), 0), _END_OF_TIME)
