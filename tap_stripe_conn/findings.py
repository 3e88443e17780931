"""What `--verify` found, for people and for machines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypedDict

from tap_stripe_conn.exit_codes import COMPLETE, NOT_WHOLE
from tap_stripe_conn.report import joined, wrapped

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tap_stripe_conn.streams.outcome import Outcome

VERIFIED: Final = "complete"
NOT_VERIFIED: Final = "incomplete"

UNKNOWN: Final = "the ledger doesn't know what was told of it"
PARTLY: Final = "what was told of it without the ledger is not compared"
UNREAD: Final = "the state doesn't say that any of it was read"


@dataclass(eq=False)
class Finding:
    """What came of one stream."""

    outcome: Outcome
    """Whether it could be read again."""

    compared: int = 0
    missing: list[str] = field(default_factory=list)
    """Keys of rows that the target was never told of, or that it was told were deleted."""

    stale: list[str] = field(default_factory=list)
    """Of those that are not as they were told, though nothing has happened to them since."""

    gone: list[str] = field(default_factory=list)
    """Of those that Stripe no longer has, which the target wasn't told."""

    changed: int = 0
    """Rows that have changed since the last run, or may have: they are not wrong yet."""

    remark: str = ""
    """What was not compared, and why."""

    is_compared: bool = True
    """Whether anything was, or needn't be."""

    @property
    def stream(self) -> str:
        """Its name."""
        return self.outcome.stream

    @property
    def complete(self) -> bool:
        """Whether nothing speaks against the stream."""
        if self.outcome.absent:
            return True
        wrong = self.missing or self.stale or self.gone
        return self.outcome.readable and self.is_compared and not wrong

    @property
    def complaint(self) -> str:
        """What speaks against it, as one clause."""
        if not self.outcome.readable:
            return f"{self.stream} can't be read, {self.outcome.reason}"
        if not self.is_compared:
            return f"{self.stream} is not compared, {self.remark}"
        kinds = {"misses": self.missing, "has stale": self.stale, "still has": self.gone}
        clauses = [f"{verb} {joined(keys, ', ')}" for verb, keys in kinds.items() if keys]
        return f"{self.stream} {' and '.join(clauses)}"


class FindingDocument(TypedDict):
    """One stream's, in the document."""

    stream: str
    complete: bool
    compared: int
    missing: list[str]
    stale: list[str]
    gone: list[str]
    changed_since: int
    reason: str | None


class FindingsDocument(TypedDict):
    """All that was found."""

    complete: bool
    exit_code: int
    sample: int
    seed: int
    streams: list[FindingDocument]


@dataclass(frozen=True)
class Findings:
    """What came of all selected streams."""

    ledger: Path
    sample: int
    seed: int
    streams: Sequence[Finding]

    @property
    def wrong(self) -> list[Finding]:
        """Those that something speaks against."""
        return [finding for finding in self.streams if not finding.complete]

    @property
    def verdict(self) -> str:
        """The line that users and deployments rely on."""
        if not self.wrong:
            return VERIFIED
        return f"{NOT_VERIFIED}: {joined([each.complaint for each in self.wrong], '; ')}"

    @property
    def exit_code(self) -> int:
        """How a command ends that found this."""
        return NOT_WHOLE if self.wrong else COMPLETE

    def lines(self) -> list[str]:
        """All of it for people, no line but the last wider than 80 columns, unless by a path."""
        width = max(len(finding.stream) for finding in self.streams)
        return [
            f"{'Ledger':<14}{self.ledger}",
            f"{'Sample':<14}{self.sample} ids of each stream, seed {self.seed}",
            "",
            f"{'Stream':<{width}}  Compared",
            *(line for finding in self.streams for line in _lines(finding, width)),
            "",
            self.verdict,
        ]

    def document(self) -> FindingsDocument:
        """All of it for machines."""
        return {
            "complete": not self.wrong,
            "exit_code": self.exit_code,
            "sample": self.sample,
            "seed": self.seed,
            "streams": [
                {
                    "stream": each.stream,
                    "complete": each.complete,
                    "compared": each.compared,
                    "missing": each.missing,
                    "stale": each.stale,
                    "gone": each.gone,
                    "changed_since": each.changed,
                    "reason": each.outcome.reason or each.remark or None,
                }
                for each in self.streams
            ],
        }


def _lines(finding: Finding, width: int) -> Iterator[str]:
    kinds = {"missing": finding.missing, "stale": finding.stale, "gone": finding.gone}
    if not finding.outcome.readable:
        yield f"{finding.stream:<{width}}  {'-':>8}  {finding.outcome.status.value}"
        yield from wrapped(finding.outcome.said, first=" " * 4, rest=" " * 4)
        return
    if not finding.is_compared:
        counted = ["not compared"]
    else:
        counted = [f"{len(keys)} {kind}" for kind, keys in kinds.items() if keys]
        counted = counted or [VERIFIED]
    if finding.changed:
        counted.append(f"{finding.changed} changed since")
    yield f"{finding.stream:<{width}}  {finding.compared:>8,}  {', '.join(counted)}"
    for kind, keys in kinds.items():
        if keys:
            yield from wrapped(", ".join(keys), first=f"    {kind}: ", rest=" " * 6)
    if finding.remark:
        yield from wrapped(finding.remark, first=" " * 4, rest=" " * 4)
