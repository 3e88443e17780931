"""Run scenarios and print their table: `python -m benchmarks`."""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from typing import TYPE_CHECKING

from benchmarks.figures import KNOWN, unmet, unmet_under_faults, written
from benchmarks.run import ROOT, compile_once, run
from benchmarks.scenarios import SCENARIOS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

COLUMNS = [name for name in KNOWN if name not in {"429s after 1 s", "time-outs"}]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each scenario, and what is not met; exit code 1 if anything isn't."""
    options = _parser().parse_args(arguments)
    _print_row(["scenario", *COLUMNS, "met"], markdown=options.markdown)
    if options.markdown:
        _print_row(["---", *["---:"] * len(COLUMNS), "---"], markdown=True)
    remarks = []
    compile_once()
    for name in options.scenarios or SCENARIOS:
        found, code = run(name, faults=options.faults)
        if options.faults:
            wanting = unmet_under_faults(found, code=code)
        else:
            wanting = unmet(SCENARIOS[name], found, code=code)
        _print_row(_cells(name, found, met=not wanting), markdown=options.markdown)
        remarks += [f"{name}: {each}" for each in wanting]
    if not (options.scenarios or options.faults):
        _print_remarks([_of_cpu()])
    _print_remarks([_machine(), *remarks])
    return 1 if remarks else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("scenarios", nargs="*", metavar="SCENARIO", help=f"of {', '.join(SCENARIOS)}; default: all")
    add("--faults", action="store_true", help="let requests fail: no row may be missing then")
    add("--markdown", action="store_true", help="print the table as it goes into the README")
    return parser


def _cells(name: str, found: Mapping[str, float], *, met: bool) -> list[str]:
    return [name, *(written(column, found) for column in COLUMNS), "yes" if met else "no"]


def _print_row(cells: Sequence[str], *, markdown: bool) -> None:
    if markdown:
        print("|", " | ".join(cells), "|", flush=True)
        return
    widths = [8, *(max(len(name), 7) for name in COLUMNS), 3]
    padded = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
    print("  ".join([cells[0].ljust(widths[0]), *padded]), flush=True)


def _print_remarks(lines: Iterable[str]) -> None:
    for line in lines:
        print(f"\n{line}", flush=True)


def _of_cpu() -> str:
    """What `benchmarks.rows` says; in a process of its own, whose memory is not counted here."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.rows"], cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    return done.stdout.decode().strip()


def _machine() -> str:
    return f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()}"


if __name__ == "__main__":
    sys.exit(main())
