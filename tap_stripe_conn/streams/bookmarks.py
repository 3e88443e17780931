"""What of a stream is read, by creation time and by events, and its form in Singer's state."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from typing_extensions import override

from tap_stripe_conn.api.lists import Range, newest_first, rfc3339, without
from tap_stripe_conn.config import ConfigError
from tap_stripe_conn.streams.rows import UPDATED_AT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence


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
        return cls(since, until, _spans(stream, state, "pending"), complete)

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
        return state | {"until": rfc3339(self.until), "pending": _in_state(self.pending)}

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
            *without([wanted], [read]),
            *(_common(wanted, _common(read, span)) for span in self.pending),
        ]
        return Bookmark(
            wanted.since,
            min(self._read_from(wanted.until, until), now),
            newest_first(missing),
            self.complete_until,
        )

    def again(self, spans: Sequence[Range]) -> Bookmark:
        """The bookmark of a run that also reads `spans` anew, where they lie before `until`."""
        read = [Range(self.since, self.until)]
        return replace(self, pending=newest_first([*self.pending, *common(spans, read)]))

    def without(self, spans: Sequence[Range], until: int) -> Bookmark:
        """The bookmark of a run that does not read the newest `spans`, all after `until`."""
        return replace(self, until=until, pending=without(self.pending, spans))

    def _read_from(self, moment: int, until: int) -> int:
        """Up to where everything from `moment` on is read; `moment` itself if there is a gap."""
        if self.since > moment or any(span.until > moment for span in self.pending):
            return moment
        return max(moment, until)

    def with_unread(self, unread: Sequence[Range]) -> Bookmark:
        """The bookmark when of its pending spans only the part within `unread` is left."""
        return replace(self, pending=common(self.pending, unread))


class Owner(NamedTuple):
    """Whose rows were read."""

    account: str = ""
    """Its id; empty where the credentials may not read it."""

    mode: str = ""
    """`live` or `test`; empty where the credentials don't tell."""

    @override
    def __str__(self) -> str:
        """For people."""
        parts = (self.account, self.mode and f"{self.mode} mode")
        return " in ".join(filter(None, parts))

    def contradicts(self, other: Owner) -> bool:
        """Whether it is known to be somebody else."""
        pairs = zip(self, other, strict=True)
        return any(mine and theirs and mine != theirs for mine, theirs in pairs)

    def completed(self, known: Owner) -> Owner:
        """With what was known of it before, where it is not now."""
        return Owner(self.account or known.account, self.mode or known.mode)


NOBODY: Final = Owner()
"""Where nothing is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """What changes a stream's rows tell of: by which events, and by what was read again."""

    since: int
    """Unix seconds: events from then on are not applied, but for `applied`."""

    removals_since: int | None = None
    """Unix seconds before `since`, where the stream was read whole since then: of the events from
    then on, those that tell of removed rows are not applied."""

    applied: frozenset[str] = frozenset()
    """Ids of events from `since` on that are."""

    reread: int = 0
    """Unix seconds of the last time that rows were read again which no event tells of."""

    api_version: str = ""
    """In which the rows were read; empty where state doesn't tell."""

    end: int | None = None
    """Unix seconds: an end_date that had passed. Changes of rows made since are not read."""

    owner: Owner = NOBODY
    """Whose rows they are."""

    @classmethod
    def of(cls, stream: str, state: Mapping[str, Any]) -> Position | None:
        """The position in a stream's state; None where nothing was read.

        Without a word on events it is where new rows are up to: `_updated_at` is the time of the
        last known change.

        Raises:
            ConfigError: The state is not one of this tap's.
        """
        names = ("changes_since", "replication_key_value", "until")
        name = next((name for name in names if state.get(name) is not None), None)
        if name is None:
            return None
        since = _instant(stream, name, state[name])
        removals, end = state.get("removals_since"), state.get("end")
        return cls(
            since=since,
            removals_since=None
            if removals is None
            else _instant(stream, "removals_since", removals),
            applied=_ids(stream, state, "changes_applied"),
            reread=_optional_instant(stream, state, "reread"),
            api_version=str(state.get("api_version") or ""),
            end=None if end is None else _instant(stream, "end", end),
            owner=Owner(str(state.get("account") or ""), str(state.get("mode") or "")),
        )

    def state(self) -> dict[str, Any]:
        """The position's part of a stream's state."""
        state: dict[str, Any] = {"changes_since": rfc3339(self.since)}
        if self.removals_since is not None:
            state["removals_since"] = rfc3339(self.removals_since)
        if self.applied:
            state["changes_applied"] = sorted(self.applied)
        if self.reread:
            state["reread"] = rfc3339(self.reread)
        if self.api_version:
            state["api_version"] = self.api_version
        if self.end is not None:
            state["end"] = rfc3339(self.end)
        return state | {name: value for name, value in self.owner._asdict().items() if value}

    @property
    def begins(self) -> int:
        """Unix seconds, from which on events are to be read."""
        return self.since if self.removals_since is None else min(self.since, self.removals_since)

    def moved(self, until: int, applied: Collection[str]) -> Position:
        """The position when all events before `until` are applied, and `applied` besides."""
        since = max(self.since, until)
        removals = self.removals_since
        if removals is not None:
            removals = None if until >= self.since else max(removals, until)
        known = self.applied.union(applied) if since == self.since else frozenset(applied)
        return replace(self, since=since, removals_since=removals, applied=known)


_END_OF_TIME: Final = 253_402_300_799
"""Unix seconds: the last that has a date."""


def common(spans: Iterable[Range], others: Sequence[Range]) -> list[Range]:
    """What lies within both, newest first."""
    return newest_first(_common(span, other) for span in spans for other in others)


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


def _ids(stream: str, state: Mapping[str, Any], name: str) -> frozenset[str]:
    ids = state.get(name)
    if ids is None:
        return frozenset()
    if not isinstance(ids, list) or not all(isinstance(each, str) for each in ids):
        msg = f"State of stream {stream!r}: {name!r} must be a list of ids"
        raise ConfigError(msg)
    return frozenset(ids)


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
