"""A Stripe account that holds as much as a test needs, and what its runs have brought."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.end_to_end.truth import keys_in, keys_of
from tests.fake_stripe import FakeStripe

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

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


def last_state(outputs: list[Output]) -> dict[str, object] | None:
    """What the next run goes on from; None where no run came as far as its first STATE."""
    return next((output.states[-1] for output in reversed(outputs) if output.states), None)


def union(account: Account, outputs: list[Output]) -> set[Key]:
    return {key for output in outputs for key in keys_in(account.stripe, output.rows)}
