"""What a run comes to: figures, and whether they are what a scenario requires."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.report import Report
    from benchmarks.scenarios import Scenario

KNOWN: Final[Mapping[str, str]] = {
    "rows": "{:,.0f}",
    "pages": "{:,.0f}",
    "requests": "{:,.0f}",
    "requests/pages": "{:.2f}",
    "changed": "{:,.0f}",
    "requests/changed": "{:.2f}",
    "start-up s": "{:.1f}",
    "wall s": "{:.1f}",
    "bound s": "{:.1f}",
    "wall/bound": "{:.2f}",
    "rows/s": "{:,.0f}",
    "CPU": "{:.0%}",
    "peak RSS": "{:.0f} MB",
    "429s": "{:.0f}",
    "429s after 1 s": "{:.0f}",
    "others' 429s": "{:.1%}",
    "time-outs": "{:.0f}",
    "missing": "{:.0f}",
    "twice": "{:.0f}",
    "stale": "{:.0f}",
}
"""Every figure, in the order of the table, and how it is written."""


@dataclass(frozen=True, kw_only=True)
class Process:
    """The tap's process, as the operating system saw it."""

    started: float
    """Unix seconds."""

    seconds: float
    """From its start to its end."""

    cpu_seconds: float
    """Of user and system time."""

    peak_rss: float
    """The most memory that it had, in MB (10⁶ bytes)."""

    timeouts: int
    """Requests whose answers it waited for in vain."""

    code: int
    """Its exit code."""


def figures(scenario: Scenario, report: Report, process: Process) -> dict[str, float]:
    """The figures of a run; those that it has no use for are left out."""
    wall = process.seconds if scenario.clock == "process" else report.last - report.first
    found: dict[str, float] = {
        "rows": report.rows,
        "requests": report.requests,
        "start-up s": report.first - process.started,
        "wall s": wall,
        "CPU": process.cpu_seconds / process.seconds,
        "peak RSS": process.peak_rss,
        "429s": report.limited,
        "429s after 1 s": report.limited_late,
        "time-outs": process.timeouts,
        "missing": report.missing,
    }
    if scenario.hour is None:
        found["pages"] = report.pages
        found["requests/pages"] = report.requests / report.pages
        found["rows/s"] = report.rows / wall
        found["twice"] = report.twice
    else:
        found["changed"] = report.changed
        found["stale"] = report.stale
        if report.changed:
            found["requests/changed"] = report.requests / report.changed
    if scenario.bound_rate is not None:
        asked = report.pages if scenario.bound_by == "pages" else report.requests
        found["bound s"] = asked / scenario.bound_rate
        found["wall/bound"] = wall / found["bound s"]
    if report.others:
        found["others' 429s"] = report.others_limited / report.others
    return found


def unmet(scenario: Scenario, found: Mapping[str, float], *, code: int) -> list[str]:
    """What is not as required, in words; nothing when all is met."""
    wrong = "twice" if scenario.hour is None else "stale"
    most = {"missing": 0.0, wrong: 0.0, **scenario.most}
    return [
        *([f"the tap ended with exit code {code}"] if code else []),
        *(
            f"{name} is {written(name, found)}, more than {KNOWN[name].format(limit)}"
            for name, limit in most.items()
            if not found.get(name, float("inf")) <= limit
        ),
        *(
            f"{name} is {written(name, found)}, less than {KNOWN[name].format(limit)}"
            for name, limit in scenario.least.items()
            if not found.get(name, 0.0) >= limit
        ),
    ]


def unmet_under_faults(found: Mapping[str, float], *, code: int) -> list[str]:
    """What is not as required where requests fail: every row must be there."""
    return [
        *([f"the tap ended with exit code {code}"] if code else []),
        *(f"{name} is {written(name, found)}" for name in ("missing", "stale") if found.get(name)),
    ]


def written(name: str, found: Mapping[str, float]) -> str:
    """A figure as it is shown."""
    return KNOWN[name].format(found[name]) if name in found else "-"
