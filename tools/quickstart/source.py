"""What is read: the project's own Stripe with a small shop, or a real account."""

from __future__ import annotations

import hashlib
import json
import os
import select
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tools.environments import CHECKOUT, CommandError, last_line, where

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import date
    from pathlib import Path

PREFIX = "TAP_STRIPE_CONN_"
KEY = f"{PREFIX}LIVE_API_KEY"
START_SECONDS = 60

SHOP_STREAMS = (
    "balance_transactions",
    "charges",
    "customers",
    "disputes",
    "invoice_line_items",
    "invoices",
    "payment_intents",
    "payout_balance_transactions",
    "payouts",
    "prices",
    "products",
    "refunds",
    "subscription_items",
    "subscriptions",
)
"""The shop has rows for these. A real account is read whole."""


@dataclass(frozen=True, slots=True)
class Source:
    """One Stripe to read."""

    name: str
    """Name of the database schema and of the state file: each Stripe has its own."""

    title: str

    environ: Mapping[str, str]
    """Environment of the tap: its settings, so that a key is never in a file."""

    streams: tuple[str, ...] | None
    """Streams to select; None selects all."""


def account() -> Source | None:
    """Give the account that the environment has a key for, if it has one."""
    key = os.environ.get(KEY)
    if not key:
        return None
    identity = f"{key} {os.environ.get(f'{PREFIX}ACCOUNT_ID', '')}"
    name = f"account_{hashlib.sha256(identity.encode()).hexdigest()[:8]}"
    return Source(name, "your Stripe account", os.environ, None)


@contextmanager
def shop(python: Path, log: Path, *, since: date, until: date) -> Iterator[Source]:
    """Run the project's Stripe server with the small shop, as it is on one day.

    Args:
        python: Python of the environment that has the tap.
        log: File for the server's log.
        since: Day that the shop opened on. The same day gives the same shop.
        until: Day before whose midnight, UTC, its story ends.

    Raises:
        CommandError: The server did not start; the message is the last line of its log.
    """
    span = ["--since", f"{since}T00:00:00+00:00", "--until", f"{until}T00:00:00+00:00"]
    command = [str(python), "-m", "tests.fake_stripe", "--livemode", "--shop", *span]
    with log.open("wb") as errors:
        server = subprocess.Popen(
            command,
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
    try:
        address = _address(server, log)
        environ = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        environ |= {KEY: address["key"], f"{PREFIX}API_BASE": address["url"]}
        environ[f"{PREFIX}END_DATE"] = str(until)
        environ[f"{PREFIX}DISCOVER_ALL"] = "true"  # it is known what the shop has
        environ |= {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}
        yield Source("shop", "the shop", environ, SHOP_STREAMS)
    finally:
        server.terminate()
        server.communicate()


def _address(server: subprocess.Popen[bytes], log: Path) -> dict[str, str]:
    """Read the one line that the server writes when it is ready: its `url` and a `key`."""
    line = b""
    if server.stdout and select.select([server.stdout], [], [], START_SECONDS)[0]:
        line = server.stdout.readline()
    if not line:
        msg = f"the shop did not start: {last_line(log.read_text())} (see {where(log)})"
        raise CommandError(msg)
    address: dict[str, str] = json.loads(line)
    return address
