"""A Stripe account that holds as much as a test needs, and what its runs have brought."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tap_stripe_conn.streams.bookmarks import Bookmark
from tests.end_to_end.truth import keys_in, keys_of, rows_of
from tests.fake_stripe import FakeStripe
from tests.fake_stripe.ids import dice, make_id
from tests.fake_stripe.seeding import SINCE, UNTIL

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator, Mapping

    from tap_stripe_conn.api.lists import Range
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

BARE: dict[str, tuple[str | None, int]] = {
    "application_fees": (None, 800),
    "application_fee_refunds": ("application_fees", 1_200),
    "charges": (None, 20_000),
    "customers": (None, 100),
    "customer_balance_transactions": ("customers", 1_500),
    "invoices": (None, 3_000),
    "invoice_line_items": ("invoices", 6_000),
}
"""Streams whose reading can be gone on with, with their parents and how many rows they get."""


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


@contextmanager
def bare() -> Iterator[Account]:
    """More than 30,000 rows without content, which take little time; of each kind of children there
    are some lists that are longer than what is embedded."""
    stripe = FakeStripe()
    chance = dice("bare")
    number = 0
    for stream, (above, rows) in BARE.items():
        kind = stripe.catalogue.resources[stream].objects[0]
        parents: list[str | None] = list(stripe.ids(above)) if above else [None]
        longer = [parent for parent in parents[:: len(parents) // 20 or 1] if parent] * 12
        for parent in [*(parents[n % len(parents)] for n in range(rows)), *longer]:
            number += 1
            row: dict[str, Any] = {"id": make_id(kind, number, testmode=True)}
            if stripe.catalogue.resources[stream].created_field:
                row["created"] = chance.randrange(SINCE, UNTIL)
            stripe.put(stream, row, parent=parent)
    with stripe:
        yield Account(stripe, keys_of(stripe, list(BARE)))


def last_state(outputs: list[Output]) -> dict[str, object] | None:
    """What the next run goes on from; None where no run came as far as its first STATE."""
    return next((output.states[-1] for output in reversed(outputs) if output.states), None)


def union(account: Account, outputs: list[Output]) -> set[Key]:
    return {key for output in outputs for key in keys_in(account.stripe, output.rows)}


def parents_of(account: Account) -> dict[Key, int]:
    """When each row's parent was made, or itself where it has none."""
    made: dict[Key, int] = {}
    for stream, (above, _) in BARE.items():
        created = {row["id"]: row["created"] for row in account.stripe.objects(above or stream)}
        column = account.stripe.catalogue.resources[stream].parent
        for row in rows_of(account.stripe, stream):
            (key,) = keys_in(account.stripe, {stream: [row]})
            made[key] = created[row[column.column] if column else row["id"]]
    return made


def unread_in(state: Mapping[str, Any] | None, stream: str) -> list[Range] | None:
    """Creation times of the parents that a state says are to read; None: it says nothing."""
    bookmarks = state["bookmarks"] if state else {}
    bookmark = Bookmark.of(stream, bookmarks.get(stream, {}))
    return None if bookmark is None else bookmark.pending
