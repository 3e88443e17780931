"""What chance makes happen in an account: objects are made, changed, deleted, all day long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from tests.fake_stripe.ids import dice

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random

    from tests.fake_stripe.life import Life
    from tests.fake_stripe.server import FakeStripe
    from tests.fake_stripe.store import Row, StripeObject

STREAMS = (
    "charges",
    "coupons",
    "credit_notes",
    "customer_tax_ids",
    "customers",
    "disputes",
    "invoice_items",
    "invoices",
    "payment_methods",
    "payouts",
    "prices",
    "products",
    "quotes",
    "refunds",
    "subscriptions",
    "transfers",
)
"""Where things happen by default; children come and go with their parents."""

CHILDREN: Mapping[str, tuple[str, str]] = {
    "credit_notes": ("credit_note_line_items", "lines"),
    "invoices": ("invoice_line_items", "lines"),
    "quotes": ("quote_line_items", "line_items"),
    "subscriptions": ("subscription_items", "items"),
    "transfers": ("transfer_reversals", "reversals"),
}
"""Parents that are made with children: the stream of these, and the field that holds them."""

SIZES = (1, 1, 2, 3, 12)
"""How many children a parent is made with: now and then more than its own list shows."""

FEWEST: Mapping[str, int] = {"invoices": 0, "subscriptions": 1}
"""Parents whose children are added, changed and removed as long as the parents' status is the
first, and how many have to stay."""

DELETED = frozenset(
    {"coupons", "customer_tax_ids", "customers", "invoice_items", "invoices", "prices", "products"}
)
"""Streams whose objects are deleted; invoices only as drafts."""

CODES = 8
"""So many ids of coupons are used, and used again."""

REFERENCES: Mapping[str, tuple[str, str]] = {
    "charges": ("customer", "customers"),
    "credit_notes": ("invoice", "invoices"),
    "disputes": ("charge", "charges"),
    "invoice_items": ("customer", "customers"),
    "invoices": ("customer", "customers"),
    "payment_methods": ("customer", "customers"),
    "prices": ("product", "products"),
    "quotes": ("customer", "customers"),
    "refunds": ("charge", "charges"),
    "subscriptions": ("customer", "customers"),
}
"""Fields of new objects that name an object which is there: the field, and the stream of that."""

NEXT: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "credit_notes": {"issued": ("void",)},
    "disputes": {"needs_response": ("under_review",), "under_review": ("won", "lost")},
    "invoices": {"draft": ("open",), "open": ("paid", "uncollectible", "void")},
    "payouts": {"in_transit": ("paid", "failed")},
    "quotes": {"draft": ("open",), "open": ("accepted", "canceled")},
    "refunds": {"pending": ("succeeded", "failed")},
    "subscriptions": {
        "active": ("past_due", "paused"),
        "past_due": ("active",),
        "paused": ("active",),
    },
}
"""What an object's status may become."""

FIRST: Mapping[str, str] = {
    "credit_notes": "issued",
    "disputes": "needs_response",
    "invoices": "draft",
    "payouts": "in_transit",
    "quotes": "draft",
    "refunds": "pending",
    "subscriptions": "active",
}
"""The status of a new object."""

EDITS: Mapping[str, Callable[[str], StripeObject]] = {
    "coupons": lambda word: {"name": word},
    "credit_notes": lambda word: {"memo": word},
    "customer_tax_ids": lambda word: {
        "verification": {"status": "verified", "verified_name": word}
    },
    "customers": lambda word: {"email": f"{word}@example.com"},
    "invoices": lambda word: {"description": word},
    "prices": lambda word: {"nickname": word},
    "products": lambda word: {"name": word},
}
"""Edits that come with events, where it is not the metadata that is edited."""

UNTOLD = frozenset({"invoice_items", "quotes"})
"""Streams of whose edits no event tells."""

CHILDREN_EDITS: Mapping[str, str] = {
    "invoice_line_items": "description",
    "subscription_items": "metadata",
}
"""What is edited of children."""

NOISE: tuple[tuple[str, StripeObject], ...] = (
    ("mandate.updated", {"id": "mandate_1", "object": "mandate"}),
    ("customer.discount.created", {"id": "di_1", "object": "discount", "customer": "cus_1"}),
    ("cash_balance.funds_available", {"object": "cash_balance", "customer": "cus_1"}),
    ("something.new", {"id": "new_1", "object": "something"}),
)
"""Events of what no list has."""


class Step(NamedTuple):
    """What happened."""

    action: str
    stream: str
    id: str


class Mutations:
    """Has something happen at each step."""

    def __init__(
        self,
        stripe: FakeStripe,
        life: Life,
        seed: int,
        streams: tuple[str, ...],
        *,
        account: str | None,
    ) -> None:
        """Live `life`, as the seed has it."""
        self._stripe = stripe
        self._life = life
        self._account = account
        self._chance: Random = dice("mutations", seed)
        self._streams = streams
        self._unlisted: list[str] = []
        """Prices that no list shows."""

        self._count = 0
        self.untold = False
        """Whether objects are also edited without an event, where Stripe sends none."""

    def steps(self, count: int) -> list[Step]:
        """Several of them."""
        return [self.step() for _ in range(count)]

    def step(self) -> Step:
        """One thing happens."""
        self._count += 1
        with self._stripe.lock:
            if self._chance.random() < 0.05:
                return self._noise()
            stream = self._chance.choice(self._streams)
            row = self._some(stream)
            if row is None or self._chance.random() < 0.4:
                return self._create(stream)
            return self._happen(stream, row)

    def _happen(self, stream: str, row: Row) -> Step:
        """Something happens to an object that is there."""
        luck = self._chance.random()
        status = row.object.get("status")
        if luck < 0.2 and stream in DELETED and (stream != "invoices" or status == "draft"):
            self._life.delete(stream, row.id, parent=row.parent)
            return Step("deleted", stream, row.id)
        if luck < 0.2 and stream == "subscriptions" and status != "canceled":
            self._life.cancel(row.id)
            return Step("canceled", stream, row.id)
        if luck < 0.2 and stream == "payment_methods" and row.object.get("customer"):
            self._life.detach(row.id)
            return Step("detached", stream, row.id)
        if luck < 0.7 and stream in FEWEST and status == FIRST[stream]:
            return self._change_children(stream, row)
        if luck < 0.4 and stream == "transfers":
            return self._add_child(stream, row)
        return self._change(stream, row)

    def _create(self, stream: str) -> Step:
        fields: dict[str, Any] = {}
        parent = None
        if stream == "customer_tax_ids":
            above = self._some("customers")
            parent = above.id if above else str(self._life.create("customers")["id"])
        if stream in REFERENCES:
            field, referred = REFERENCES[stream]
            known = self._some(referred)
            fields[field] = known.id if known else None
        if stream == "payment_methods" and not fields["customer"]:
            # Lists show those that are attached.
            fields["customer"] = self._life.create("customers")["id"]
        if stream in FIRST:
            fields["status"] = FIRST[stream]
        if stream in CHILDREN:
            count = self._chance.choice(SIZES)
            fields[CHILDREN[stream][1]] = {"data": [{} for _ in range(count)]}
        if stream == "coupons":
            code = f"SALE{self._chance.randrange(CODES)}"
            if self._stripe.row("coupons", code, account=self._account) is None:
                fields["id"] = code
        if stream == "customers" and self._chance.random() < 0.1:
            fields["test_clock"] = "clock_1"
        listed = stream != "prices" or self._chance.random() < 0.8
        made = self._life.create(stream, fields, parent=parent, listed=listed)
        if not listed:
            self._unlisted.append(made["id"])
        return Step("created", stream, made["id"])

    def _change(self, stream: str, row: Row) -> Step:
        following = NEXT.get(stream, {}).get(str(row.object.get("status")))
        word = f"word {self._count}"
        if following and self._chance.random() < 0.5:
            changes: dict[str, Any] = {"status": self._chance.choice(following)}
        elif stream in UNTOLD and not self.untold:
            return self._create(stream)
        elif stream in EDITS and self._chance.random() < 0.7:
            changes = EDITS[stream](word)
        elif "metadata" in row.object:
            changes = {"metadata": {"word": word}}
        else:
            changes = EDITS[stream](word)
        self._life.change(stream, row.id, changes, parent=row.parent)
        return Step("changed", stream, row.id)

    def _change_children(self, stream: str, row: Row) -> Step:
        child = CHILDREN[stream][0]
        rows = self._stripe.rows(child, parent=row.id, account=self._account)
        luck = self._chance.random()
        if not rows or luck < 0.3:
            return self._add_child(stream, row)
        one = self._chance.choice(rows)
        if luck < 0.7 and len(rows) > FEWEST[stream]:
            self._life.delete(child, one.id, parent=row.id)
            return Step("removed", child, one.id)
        field, word = CHILDREN_EDITS[child], f"word {self._count}"
        text = {"word": word} if field == "metadata" else word
        self._life.change(child, one.id, {field: text}, parent=row.id)
        return Step("changed", child, one.id)

    def _add_child(self, stream: str, row: Row) -> Step:
        child = CHILDREN[stream][0]
        made = self._life.create(child, parent=row.id)
        return Step("added", child, made["id"])

    def _noise(self) -> Step:
        subscription = self._some("subscriptions")
        if subscription and self._chance.random() < 0.4:
            self._life.upcoming(subscription.id)
            return Step("told", "invoice.upcoming", "")
        kind, obj = self._chance.choice(NOISE)
        self._life.tell(kind, obj)
        return Step("told", kind, "")

    def _some(self, stream: str) -> Row | None:
        """Any object of a stream that is there."""
        if stream == "prices" and self._unlisted and self._chance.random() < 0.2:
            price = self._chance.choice(self._unlisted)
            if row := self._stripe.row("prices", price, account=self._account):
                return row
            self._unlisted.remove(price)
        above = self._stripe.catalogue.resources[stream].parent
        parent = None
        if above:
            holder = self._some(above.stream)
            if holder is None:
                return None
            parent = holder.id
        rows = self._stripe.rows(stream, parent=parent, account=self._account)
        return self._chance.choice(rows) if rows else None
