"""`python -m tests.fake_stripe`: the server on its own, until it is told to stop."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from tests.fake_stripe.server import FakeStripe
from tests.fake_stripe.shop import stock

if TYPE_CHECKING:
    from collections.abc import Sequence

KEY_VARIABLE = "FAKE_STRIPE_KEY"


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; prints one line of JSON, `url` and `key`, when ready."""
    options = _parser().parse_args(arguments)
    stopping = (signal.SIGTERM, signal.SIGINT)
    signal.pthread_sigmask(signal.SIG_BLOCK, stopping)
    stripe = FakeStripe(
        livemode=options.livemode,
        port=options.port,
        secret_key=options.key or os.environ.get(KEY_VARIABLE),
    )
    stripe.latency = options.latency
    stripe.rates.per_second = options.rate
    stripe.rates.per_endpoint = options.endpoint_rate
    if options.shop:
        stock(stripe, until=options.until, since=options.since, seed=options.random)
    for name, count in options.seed:
        stripe.seed(name, count, seed=options.random)
    with stripe:
        sys.stdout.write(json.dumps({"url": stripe.url, "key": stripe.secret_key}) + "\n")
        sys.stdout.flush()
        signal.sigwait(stopping)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fake_stripe", description=__doc__)
    add = parser.add_argument
    add("--port", type=int, default=0, help="port to listen on; default: a free one")
    add("--key", help=f"secret key that is valid; default: ${KEY_VARIABLE}, else a new one")
    add("--livemode", action="store_true", help="be in live mode")
    add("--shop", action="store_true", help="have a small shop's objects")
    add(
        "--until",
        type=_moment,
        default=time.time(),
        help="when the shop's story ends; default: now",
    )
    add("--since", type=_moment, help="when the shop begins; default: two calendar years before")
    add(
        "--seed",
        type=_seed,
        action="append",
        default=[],
        metavar="STREAM=COUNT",
        help="made-up objects of 2024 and 2025",
    )
    add("--random", type=int, default=0, metavar="N", help="what chance starts from")
    add("--latency", type=float, default=0.0, help="seconds that every answer takes")
    add("--rate", type=float, help="requests per second that an account may make")
    add("--endpoint-rate", type=float, help="requests per second to one endpoint")
    return parser


def _moment(text: str) -> float:
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()


def _seed(text: str) -> tuple[str, int]:
    name, _, count = text.partition("=")
    return name, int(count)


if __name__ == "__main__":
    sys.exit(main())
