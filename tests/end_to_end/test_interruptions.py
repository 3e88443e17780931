"""A run that ends early costs pages, not rows: killed or stopped, the next one completes it."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.tap import Tap
from tests.end_to_end.truth import keys_in, keys_of
from tests.fake_stripe import FakeStripe

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator
    from pathlib import Path

    from tests.end_to_end.tap import Output
    from tests.end_to_end.truth import Key

RESOURCES = [
    "application_fees",
    "balance_transactions",
    "charges",
    "coupons",
    "customers",
    "disputes",
    "events",
    "invoice_items",
    "invoices",
    "payment_intents",
    "payment_methods",
    "payment_records",
    "payouts",
    "prices",
    "products",
    "refunds",
    "subscriptions",
    "transfers",
    "v2_core_accounts",
    "v2_money_management_transactions",
]
"""Read by spans of creation time or without, by API v1 and v2."""

CHILDREN = [
    "application_fee_refunds",
    "customer_balance_transactions",
    "customer_tax_ids",
    "invoice_line_items",
    "subscription_items",
    "transfer_reversals",
]
"""Embedded in their parents, or read with a request for each parent."""

LONG_SCHEMAS = [
    "customer_payment_methods",
    "customer_sources",
    "treasury_transaction_entries",
    "treasury_transactions",
]
"""Children with much to say before their first row."""

STREAMS = sorted(RESOURCES + CHILDREN)


@dataclass(frozen=True, slots=True)
class Account:
    """A Stripe account that nobody changes, and what is in it."""

    stripe: FakeStripe
    keys: Counter[Key]

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return self.keys.total()


@pytest.fixture(scope="module")
def large() -> Iterator[Account]:
    """20 resources of 1,000 rows each, and children."""
    with seeded(rows=1_000) as account:
        yield account


@pytest.fixture(scope="module")
def small() -> Iterator[Account]:
    """20 resources of 110 rows each, two pages, and children."""
    with seeded(rows=110) as account:
        yield account


@contextmanager
def seeded(*, rows: int) -> Iterator[Account]:
    stripe = FakeStripe()
    for stream in RESOURCES:
        stripe.seed(stream, rows)
    for stream in CHILDREN:
        stripe.seed(stream, rows * 3 // 2)
    # More than are embedded, and more than fit a page.
    for invoice, lines in zip(stripe.ids("invoices"), (9, 10, 98, 99, 230), strict=False):
        stripe.seed("invoice_line_items", lines, parent=invoice)
    for fee in stripe.ids("application_fees")[:50]:
        stripe.seed("application_fee_refunds", 12, parent=fee)
    with stripe:
        yield Account(stripe, keys_of(stripe, STREAMS))


def test_20_resources_of_1000_rows_and_their_children_arrive_exactly_once(
    large: Account, tmp_path: Path
) -> None:
    assert large.rows > 20 * 1_000 + 6 * 1_500
    assert set(large.keys.values()) == {1}
    output = Tap.of(large.stripe, tmp_path).run(STREAMS)
    assert output.code == 0, output.errors[-2000:]
    assert keys_in(large.stripe, output.rows) == large.keys


def test_after_a_kill_midway_through_20_resources_nothing_is_missing(
    large: Account, tmp_path: Path
) -> None:
    complete_after_kill(large, tmp_path, 15_000)


@pytest.mark.parametrize("lines", [1, 700, 2_000, 3_900])
def test_after_a_kill_at_a_line_nothing_is_missing(
    small: Account, tmp_path: Path, lines: int
) -> None:
    complete_after_kill(small, tmp_path, lines)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_after_a_kill_anywhere_nothing_is_missing(
    small: Account, tmp_path: Path, seed: int
) -> None:
    # What the tap wrote into the pipe before it dies is read too: a margin, to be midway.
    complete_after_kill(small, tmp_path, Random(seed).randrange(1, small.rows - 500))  # noqa: S311 - no secret


def test_after_one_kill_after_the_other_nothing_is_missing(small: Account, tmp_path: Path) -> None:
    tap = Tap.of(small.stripe, tmp_path)
    outputs: list[Output] = []
    for lines in (1_500, 600, 1_000):
        outputs.append(kill(tap, lines, last_state(outputs)))
    outputs.append(tap.run(STREAMS, state=last_state(outputs)))
    assert outputs[-1].code == 0, outputs[-1].errors[-2000:]
    assert union(small, outputs) == small.keys.keys()


def test_a_kill_in_the_middle_of_a_stream_costs_no_more_than_what_came_after_the_last_state(
    stripe: FakeStripe, tmp_path: Path
) -> None:
    ids = set(stripe.seed("charges", 1_500))
    tap = Tap.of(stripe, tmp_path)
    stripe.latency = {"/v1/charges": 0.5}  # so that a STATE is due before the stream ends
    first = tap.interrupted(["charges"], signum=signal.SIGKILL, when=is_midway)
    written = {row["id"] for row in first.rows["charges"]}
    stripe.latency = 0.0
    second = tap.run(["charges"], state=first.states[-1])
    again = [row["id"] for row in second.rows["charges"]]
    assert second.code == 0, second.errors[-2000:]
    assert 0 < len(written) < len(ids)
    assert written | set(again) == ids
    # A page may have come after the STATE, and the last second before it is read again.
    assert len(again) <= len(ids) - len(written) + 100 + 5


@pytest.mark.parametrize("lines", [1, 2_500])
@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["SIGTERM", "SIGINT"]
)
def test_a_signal_ends_the_run_with_a_whole_line_and_a_state_that_the_next_run_completes(
    small: Account, tmp_path: Path, signum: signal.Signals, code: int, lines: int
) -> None:
    tap = Tap.of(small.stripe, tmp_path)
    first = tap.interrupted(STREAMS, signum=signum, when=lambda o: len(o.lines) == lines)
    assert first.code == code
    assert first.last_error.startswith("Interrupted; "), first.errors[-2000:]
    assert first.cut == b""
    assert first.last == "STATE"
    assert keys_in(small.stripe, first.rows).total() < small.rows
    second = tap.run(STREAMS, state=first.states[-1])
    assert second.code == 0, second.errors[-2000:]
    assert union(small, [first, second]) == small.keys.keys()


@pytest.mark.parametrize("lines", [150, 750])
def test_the_state_of_a_stopped_run_claims_no_row_of_a_stream_that_was_not_written(
    stripe: FakeStripe, tmp_path: Path, lines: int
) -> None:
    ids = set(stripe.seed("charges", 1_000))
    tap = Tap.of(stripe, tmp_path)
    first = tap.interrupted(
        ["charges"], signum=signal.SIGTERM, when=lambda o: len(o.lines) == lines
    )
    second = tap.run(["charges"], state=first.states[-1])
    written = {row["id"] for row in first.rows["charges"]}
    again = {row["id"] for row in second.rows["charges"]}
    assert 0 < len(written) < len(ids)
    assert 0 < len(again) < len(ids), "what was written is not read again"
    assert written | again == ids


@pytest.mark.parametrize(
    "rows",
    [{"charges": 5}, {"charges": 0}, dict.fromkeys(LONG_SCHEMAS, 0)],
    ids=["rows", "no-rows", "no-parents"],
)
@pytest.mark.parametrize("buffering", [{}, {"PYTHONUNBUFFERED": "1"}], ids=["plain", "unbuffered"])
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_tears_no_message_in_two_while_the_loader_is_slow(
    stripe: FakeStripe,
    tmp_path: Path,
    signum: signal.Signals,
    buffering: dict[str, str],
    rows: dict[str, int],
) -> None:
    # Their SCHEMAs alone are more than a pipe holds: the tap waits in the middle of one.
    seeded = {(stream, id_) for stream, n in rows.items() if n for id_ in stripe.seed(stream, n)}
    tap = Tap.of(stripe, tmp_path, environ=buffering)
    first = tap.interrupted(list(rows), signum=signum, when=None)
    assert first.code == 128 + signum
    assert first.last == "STATE"
    assert first.schemas
    second = tap.run(list(rows), state=first.states[-1])
    assert second.code == 0, second.errors[-2000:]
    written = keys_in(stripe, first.rows) | keys_in(stripe, second.rows)
    assert written.keys() == seeded


def complete_after_kill(account: Account, directory: Path, lines: int) -> None:
    tap = Tap.of(account.stripe, directory)
    first = kill(tap, lines)
    assert keys_in(account.stripe, first.rows).total() < account.rows, "the kill came too late"
    second = tap.run(STREAMS, state=last_state([first]))
    assert second.code == 0, second.errors[-2000:]
    assert union(account, [first, second]) == account.keys.keys()


def kill(tap: Tap, lines: int, state: dict[str, object] | None = None) -> Output:
    output = tap.interrupted(
        STREAMS, state=state, signum=signal.SIGKILL, when=lambda o: len(o.lines) == lines
    )
    assert output.code == -signal.SIGKILL
    return output


def last_state(outputs: list[Output]) -> dict[str, object] | None:
    """What the next run goes on from; None where no run came as far as its first STATE."""
    return next((output.states[-1] for output in reversed(outputs) if output.states), None)


def is_midway(output: Output) -> bool:
    """Whether the last line is a STATE that tells what of the stream is still to read."""
    return output.last == "STATE" and "pending" in output.states[-1]["bookmarks"]["charges"]


def union(account: Account, outputs: list[Output]) -> set[Key]:
    return {key for output in outputs for key in keys_in(account.stripe, output.rows)}
