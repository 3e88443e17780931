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

from tests.fake_stripe.oauth import PATHS
from tests.fake_stripe.server import FakeStripe
from tests.fake_stripe.shop import stock

if TYPE_CHECKING:
    from collections.abc import Sequence

KEY_VARIABLE = "FAKE_STRIPE_KEY"


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; prints one line of JSON when ready.

    The line has `url` and `key`, and with `--oauth` also what goes into the tap's settings.
    """
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
    stripe.oauth.redirect_uris = options.redirect_uri
    with stripe:
        ready = {"url": stripe.url, "key": stripe.secret_key, **_grant(stripe, options.oauth)}
        sys.stdout.write(json.dumps(ready) + "\n")
        sys.stdout.flush()
        signal.sigwait(stopping)
    return 0


def _grant(stripe: FakeStripe, provider: str | None) -> dict[str, str]:
    """The settings of a connection to the server's account by OAuth, if that is asked for."""
    if provider is None:
        return {}
    path = next(path for path, of in PATHS.items() if of == provider)
    return {
        "oauth_provider": provider,
        "client_id": stripe.oauth.client_id,
        "client_secret": stripe.secret_key,
        "refresh_token": stripe.refresh_token(stripe.account_id, path=path),
    }


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
    add(
        "--oauth",
        choices=sorted(PATHS.values()),
        help="have the account granted access: prints client_id, client_secret and refresh_token",
    )
    add(
        "--redirect-uri",
        action="append",
        default=[],
        metavar="URI",
        help="where the authorize pages may lead back to",
    )
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
