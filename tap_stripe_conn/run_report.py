"""What a run did, for people (a few lines) and for machines (a JSON document)."""

from __future__ import annotations

import json
import logging
import time
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, TypedDict

from tap_stripe_conn.api.lists import rfc3339
from tap_stripe_conn.api.traffic import Traffic
from tap_stripe_conn.config import ConfigError
from tap_stripe_conn.connection.check import NO_ACCOUNT, Account
from tap_stripe_conn.exit_codes import COMPLETE, FAILED, INTERRUPTED, NOT_WHOLE
from tap_stripe_conn.private_file import write_whole
from tap_stripe_conn.redaction import redacted
from tap_stripe_conn.report import AccountDocument, Connection, joined
from tap_stripe_conn.streams.tally import Tally, Way

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from tap_stripe_conn.api.lists import Range
    from tap_stripe_conn.catalogue.resources import Resource
    from tap_stripe_conn.config import Settings
    from tap_stripe_conn.streams.outcome import Outcome
    from tap_stripe_conn.streams.stream import StripeStream

State: TypeAlias = "Mapping[str, Any]"
"""A stream's bookmark."""

_LITTLE: Final = 100
"""Seconds that are told as such."""

logger = logging.getLogger(__name__)


class Ending(NamedTuple):
    """How a run ended."""

    exit_code: int
    complaint: str | None = None
    """What is wrong, in one line for people; None if nothing is."""

    @classmethod
    def of(cls, outcomes: Sequence[Outcome]) -> Ending:
        """The ending of a run that got as far as it could with each stream."""
        missing = [outcome for outcome in outcomes if not outcome.whole]
        if outcomes and not any(outcome.readable for outcome in outcomes):
            first = outcomes[0]
            return cls(
                FAILED,
                f"The run failed: none of the {len(outcomes)} selected streams can be read; the "
                f"first: {first.stream}, {first.reason}",
            )
        if missing:
            named = joined([f"{each.stream}, {each.reason}" for each in missing], "; ")
            count = f"{len(missing)} of {len(outcomes)}"
            return cls(NOT_WHOLE, f"{count} selected streams could not be read whole: {named}")
        return cls(COMPLETE)

    @property
    def status(self) -> str:
        """For machines."""
        if self.exit_code >= INTERRUPTED:
            return "interrupted"
        return {COMPLETE: "complete", NOT_WHOLE: "not_whole"}.get(self.exit_code, "failed")


class TrafficDocument(TypedDict):
    """Requests, as JSON."""

    requests: int
    limited: int
    retries: int
    bytes: int
    seconds: float


class RangesDocument(TypedDict):
    """Spans of creation time, as JSON."""

    finished: list[list[str]]
    pending: list[list[str]]


class BookmarkDocument(TypedDict):
    """A stream's bookmark before and after the run, as JSON."""

    before: State | None
    after: State | None


class StreamDocument(TypedDict):
    """One stream, as JSON."""

    stream: str
    status: str
    permission: str | None
    parent: str | None
    reason: str | None
    rows: dict[str, int]
    changed: int
    repaired: str | None
    ranges: RangesDocument
    bookmark: BookmarkDocument
    drift: dict[str, int]
    traffic: TrafficDocument


class Document(TypedDict):
    """The report as JSON: docs/run-report.schema.json."""

    tap_version: str
    connection_name: str
    auth_scheme: str
    credentials: str | None
    mode: str | None
    account: AccountDocument
    api_version: str
    started_at: str
    ended_at: str | None
    seconds: float
    status: str
    exit_code: int | None
    reason: str | None
    rows: int
    traffic: TrafficDocument
    endpoints: dict[str, TrafficDocument]
    streams: list[StreamDocument]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRun:
    """What a run did for one stream."""

    stream: str
    outcome: Outcome | None
    """None if the run ended before the stream did."""

    tally: Tally = field(default_factory=Tally)
    drift: Mapping[str, int] = field(default_factory=dict)
    """Fields that Stripe sent and the schema lacks, and in how many rows."""

    traffic: Traffic = field(default_factory=Traffic)
    """At the stream's own endpoints."""

    before: State | None = None
    after: State | None = None
    """Its bookmark; None for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """What a run did."""

    tap_version: str
    connection: Connection
    started: datetime
    ended: datetime | None = None
    seconds: float = 0.0
    ending: Ending | None = None
    """None while the run goes on."""

    streams: Sequence[StreamRun] = ()
    """Those selected."""

    endpoints: Mapping[str, Traffic] = field(default_factory=dict)
    """All that was asked for."""

    @property
    def rows(self) -> int:
        """Written, of all streams."""
        return sum(each.tally.rows.total() for each in self.streams)

    @property
    def traffic(self) -> Traffic:
        """All requests."""
        return Traffic.sum(self.endpoints.values())

    def summary(self) -> str:
        """What was read, in one line."""
        traffic = self.traffic
        ways = {way: sum(each.tally.rows[way] for each in self.streams) for way in Way}
        counted = [f"{count:,} {way.value}" for way, count in ways.items() if count]
        asked = f"{traffic.requests:,} requests"
        if traffic.retries:
            asked += f" ({traffic.limited:,} answered 429, {traffic.retries:,} retries)"
        return (
            f"Connection {self.connection.name}: {self.rows:,} rows of {len(self.streams)} streams "
            f"by {asked} in {_duration(self.seconds)}"
            + (f": {', '.join(counted)}" if counted else "")
        )

    def remarks(self) -> Iterator[str]:
        """What people should know besides, a line each."""
        unfinished = [each.stream for each in self.streams if each.outcome is None]
        if unfinished:
            yield f"Not read to the end: {joined(unfinished, ', ')}"
        repaired = [
            f"{each.stream} ({each.tally.repaired})" for each in self.streams if each.tally.repaired
        ]
        if repaired:
            yield f"Repaired by reading more again: {joined(repaired, ', ')}"
        drift = [
            f"{each.stream}.{name} ({count} rows)"
            for each in self.streams
            for name, count in sorted(each.drift.items())
        ]
        if drift:
            named = joined(drift, ", ")
            yield f"Fields that this version does not know were left out: {named}"

    def document(self) -> Document:
        """The report for machines: docs/run-report.schema.json."""
        about, ending = self.connection, self.ending
        return {
            "tap_version": self.tap_version,
            "connection_name": about.name,
            "auth_scheme": about.scheme,
            "credentials": about.kind,
            "mode": about.mode,
            "account": {"id": about.account.id, "name": about.account.name},
            "api_version": about.api_version,
            "started_at": _instant(self.started),
            "ended_at": None if self.ended is None else _instant(self.ended),
            "seconds": round(self.seconds, 3),
            "status": "running" if ending is None else ending.status,
            "exit_code": None if ending is None else ending.exit_code,
            "reason": None if ending is None else ending.complaint,
            "rows": self.rows,
            "traffic": _traffic_document(self.traffic),
            "endpoints": {name: _traffic_document(each) for name, each in self.endpoints.items()},
            "streams": [_stream_document(each) for each in self.streams],
        }


class RunRecord:
    """Gathers what a run does, and tells it when the run is over."""

    def __init__(self, settings: Settings, *, tap_version: str, api_version: str) -> None:
        """Start the clock.

        Args:
            settings: The run's.
            tap_version: The tap's own.
            api_version: Stripe's.
        """
        self._settings = settings
        self._tap_version = tap_version
        self._api_version = api_version
        self._started = datetime.now(timezone.utc)
        self._began = time.monotonic()
        self._streams: Sequence[StripeStream] = ()
        self._before: Mapping[str, State] = {}
        self.account: Account = NO_ACCOUNT
        """Which is read, once it is known."""

        self.outcomes: Mapping[str, Outcome] = {}
        """Of the streams that have ended, and of those that this version does not have."""

    def announce(self) -> None:
        """Leave a report of a run that goes on, which stays if the run is killed.

        Raises:
            ConfigError: The report can't be written.
        """
        path = self._settings.report_file
        if path is None:
            return
        try:
            self._write(self._report(None, {}, {}), path)
        except OSError as error:
            msg = f"Setting 'report_file': {path} can't be written: {error.strerror}"
            raise ConfigError(msg) from None

    def begin(self, streams: Sequence[StripeStream], bookmarks: Mapping[str, State]) -> None:
        """These are to be read from here on.

        Args:
            streams: Whose tallies start at zero.
            bookmarks: By stream, as they are.
        """
        self._streams = streams
        self._before = deepcopy(bookmarks)
        for stream in streams:
            stream.tally = Tally()

    @property
    def has_begun(self) -> bool:
        """Whether anything may have been written."""
        return bool(self._streams)

    def end(
        self, ending: Ending, bookmarks: Mapping[str, State], endpoints: Mapping[str, Traffic]
    ) -> None:
        """Tell people in a few lines, and machines in the report file, what the run did.

        Args:
            ending: How it ended.
            bookmarks: By stream, as they are now.
            endpoints: What was asked for.
        """
        report = self._report(ending, bookmarks, endpoints)
        if self.has_begun:
            logger.info("%s", report.summary())
        for remark in report.remarks():
            logger.warning("%s", remark)
        if path := self._settings.report_file:
            try:
                self._write(report, path)
            except OSError as error:
                # What was read is read; and the file still says that no run has ended.
                logger.error("The report can't be written to %s: %s", path, error.strerror)  # noqa: TRY400 - no error of the tap's own

    def _report(
        self,
        ending: Ending | None,
        bookmarks: Mapping[str, State],
        endpoints: Mapping[str, Traffic],
    ) -> RunReport:
        known = {stream.name for stream in self._streams}
        others = [outcome for name, outcome in self.outcomes.items() if name not in known]
        return RunReport(
            tap_version=self._tap_version,
            connection=Connection.of(self._settings, self.account, self._api_version),
            started=self._started,
            ended=None if ending is None else datetime.now(timezone.utc),
            seconds=time.monotonic() - self._began,
            ending=ending,
            streams=[
                *(
                    StreamRun(
                        stream=stream.name,
                        outcome=self.outcomes.get(stream.name),
                        tally=stream.tally,
                        drift=stream.shaper.drift,
                        traffic=_traffic_of(stream.resource, endpoints),
                        before=self._before.get(stream.name),
                        after=bookmarks.get(stream.name),
                    )
                    for stream in self._streams
                ),
                *(StreamRun(stream=outcome.stream, outcome=outcome) for outcome in others),
            ],
            endpoints=endpoints,
        )

    def _write(self, report: RunReport, path: Path) -> None:
        write_whole(path, redacted(json.dumps(report.document(), indent=2)) + "\n")


def _traffic_of(resource: Resource, endpoints: Mapping[str, Traffic]) -> Traffic:
    paths = {resource.path, resource.retrieve or resource.path}
    return Traffic.sum(endpoints[path] for path in paths & endpoints.keys())


def _stream_document(run: StreamRun) -> StreamDocument:
    outcome, tally = run.outcome, run.tally
    return {
        "stream": run.stream,
        "status": "unfinished" if outcome is None else outcome.status.value.replace(" ", "_"),
        "permission": outcome.permission if outcome else None,
        "parent": outcome.through if outcome else None,
        "reason": (outcome.reason if outcome else "") or None,
        "rows": {way.value: tally.rows[way] for way in Way},
        "changed": tally.changed,
        "repaired": tally.repaired,
        "ranges": {"finished": _spans(tally.finished), "pending": _spans(tally.pending)},
        "bookmark": {"before": run.before, "after": run.after},
        "drift": dict(sorted(run.drift.items())),
        "traffic": _traffic_document(run.traffic),
    }


def _traffic_document(traffic: Traffic) -> TrafficDocument:
    return {
        "requests": traffic.requests,
        "limited": traffic.limited,
        "retries": traffic.retries,
        "bytes": traffic.bytes,
        "seconds": round(traffic.seconds, 3),
    }


def _spans(spans: Sequence[Range]) -> list[list[str]]:
    return [[rfc3339(span.since), rfc3339(span.until)] for span in spans]


def _instant(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _duration(seconds: float) -> str:
    """As people say it."""
    if seconds < _LITTLE:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
