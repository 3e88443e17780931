"""From a page's bytes to messages' bytes: how many charges in a second of CPU.

`python -m benchmarks.rows` says it in a sentence.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec
from singer_sdk import Stream
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.io_base import SingerWriter

from benchmarks.scenarios import AS_MOST
from tap_stripe_conn.api.client import Answer
from tap_stripe_conn.tap import TapStripeConn
from tests.fake_stripe import FakeStripe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tap_stripe_conn.streams.stream import StripeStream

ROWS = 100
PAGES = 200
STOCK_PAGES = 20


def rows_per_cpu_second() -> tuple[float, float]:
    """The tap's own path, and the SDK's stock one for the same page, in rows per CPU second."""
    page = _page()
    with _discarded_stdout():
        charges = _charges()
        typed = charges.typed_rows(())
        if typed is None:
            msg = "charges are taken apart, which is not what a run does"
            raise RuntimeError(msg)

        def write_typed() -> None:
            shown = Answer(page, None).page(typed.pages)
            charges.write_rows(charges.json_rows(shown["data"], typed, {}))

        ours = _measure(PAGES, write_typed)
        stock = _charges()
        stock.TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.RECURSIVE
        stock._generate_record_messages = (  # type: ignore[method-assign] # noqa: SLF001
            lambda record: Stream._generate_record_messages(stock, record)  # noqa: SLF001
        )
        stock._tap.message_writer = SingerWriter()  # noqa: SLF001

        def write_stock() -> None:
            stock.write_rows(stock.rows(msgspec.json.decode(page)["data"]))

        return ours, _measure(STOCK_PAGES, write_stock)


def _charges() -> StripeStream:
    key = "sk_" + "test_" + "benchmark"
    tap = TapStripeConn(config={"live_api_key": key})
    stream = tap.stripe_streams["charges"]
    stream.begin(tap.source)
    return stream


def _page() -> bytes:
    stripe = FakeStripe()
    stripe.seed_in_bulk("charges", range(ROWS), AS_MOST["charges"])
    return msgspec.json.encode({"object": "list", "data": stripe.objects("charges")})


def _measure(pages: int, write_page: Callable[[], None]) -> float:
    started = time.process_time()
    for _ in range(pages):
        write_page()
    return ROWS * pages / (time.process_time() - started)


@contextmanager
def _discarded_stdout() -> Iterator[None]:
    sys.stdout.flush()
    kept = os.dup(sys.stdout.fileno())
    try:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - it is no file
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
            yield
            sys.stdout.flush()
    finally:
        os.dup2(kept, sys.stdout.fileno())
        os.close(kept)


def main() -> None:
    """Print the figures."""
    ours, stock = rows_per_cpu_second()
    print(
        f"From a page's bytes to messages' bytes: {ours:,.0f} charges of 3.9 kB"
        f" in a second of CPU, {ours / stock:.1f} times the SDK's stock path."
    )


if __name__ == "__main__":
    main()
