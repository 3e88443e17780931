"""Somebody else who uses the account: `python -m benchmarks.others URL RATE`, the key on stdin.

Requests arrive by chance, as a shop's customers do: a Poisson process, whose gaps are exponential.
None waits for another, and none is tried again.
"""

from __future__ import annotations

import argparse
import http.client
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Sequence

USER_AGENT: Final = "somebody else"
PATHS: Final = ("/v1/checkout/sessions", "/v1/customers", "/v1/payment_intents", "/v1/prices")
"""What a shop's checkout is about; none of them is what the tap reads at the same time."""

AT_ONCE: Final = 64


def main(arguments: Sequence[str] | None = None) -> None:
    """Make requests until stopped."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.others", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("rate", type=float, help="requests/s on average")
    options = parser.parse_args(arguments)
    client = _Client(options.url, sys.stdin.readline().strip())
    chance = Random(1)  # noqa: S311 - not for secrets
    due = time.monotonic()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while True:
            due += chance.expovariate(options.rate)
            time.sleep(max(0.0, due - time.monotonic()))
            pool.submit(client.get, chance.choice(PATHS))


class _Client:
    """Keeps a connection for each thread."""

    def __init__(self, url: str, key: str) -> None:
        self._address = urlsplit(url).netloc
        self._headers = {"Authorization": f"Bearer {key}", "User-Agent": USER_AGENT}
        self._own = threading.local()

    def get(self, path: str) -> None:
        connection = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = http.client.HTTPConnection(self._address)
        try:
            connection.request("GET", f"{path}?limit=10", headers=self._headers)
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            # A fault that was planned; the server's log tells of it.
            connection.close()


if __name__ == "__main__":
    main()
