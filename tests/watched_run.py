"""A run that only tells how it gets on: `python -m tests.watched_run`, for a terminal to be at.

It logs, fails and is interrupted as the command is. Twenty of its seconds pass in one.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
import time

import click
from singer_sdk._logging import _setup_console_logging

from tap_stripe_conn.api.limits import Speed
from tap_stripe_conn.interrupts import Interrupted, Interrupts
from tap_stripe_conn.progress import Busy, Figures, Progress
from tap_stripe_conn.redaction import protect_logs, protect_stderr

KEY = "sk_" + "live_" + "Watched" * 4
RECORD = '{"type": "RECORD"}'

LINES = 5
"""Messages that each of three kinds of writers writes, of two lines each."""

logger = logging.getLogger("the run")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=12)
    arguments = parser.parse_args()
    _setup_console_logging()
    protect_logs()
    protect_stderr()
    interrupts = Interrupts()
    signal.signal(signal.SIGINT, lambda signum, _: interrupts.arrive(signum))
    try:
        run(arguments.seconds)
    except Interrupted as interrupted:
        click.echo("Interrupted; the last STATE covers what was written", err=True)
        sys.exit(interrupted.exit_code)
    click.echo("The run failed: Stripe can't be reached", err=True)
    sys.exit(1)


def run(seconds: float) -> None:
    # A daemon, as the tap's threads are: who is interrupted waits for none of them.
    thread = threading.Thread(target=answer, daemon=True)
    with Progress(figures, clock=now) as progress:
        thread.start()
        write(progress, seconds)
        thread.join()


def now() -> float:
    return 20 * (time.monotonic() - BEGUN)


BEGUN = time.monotonic()


def figures() -> Figures:
    pages = int(25 * now())
    return Figures(
        rows=100 * pages,
        streams_done=3,
        streams=12,
        speed=Speed(rate=87.1, limit=100.0),
        busy=[
            Busy("charges", rows=100 * pages, pages=pages, pages_left=10_000),
            *(Busy(f"stream_{n}", rows=n, pages=n, pages_left=None) for n in range(7)),
        ],
    )


def write(progress: Progress, seconds: float) -> None:
    """What the main thread does."""
    begun, logged = now(), 0
    while now() < begun + seconds or logged < LINES:
        print(RECORD, flush=True)  # noqa: T201 - the tap's output
        progress.tick()
        time.sleep(0.01)
        if logged < LINES and now() > begun + 2 * logged + 1:
            logged += 1
            logger.info("main line %d with\n%s.", logged, KEY)
            print(f"printed line {logged} with\n{KEY}.", file=sys.stderr)  # noqa: T201 - a library's
    progress.tick()


def answer() -> None:
    """What a thread of the tap does."""
    for line in range(1, LINES + 1):
        time.sleep(0.08)
        logger.warning("thread line %d with\n%s.", line, KEY)


if __name__ == "__main__":
    main()
