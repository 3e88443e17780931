"""Customers, what is theirs, and the events that tell of it: an account in Stripe's memory."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from tap_stripe_conn.api.client import Answer
from tap_stripe_conn.api.errors import CursorGoneError, NotFoundError
from tap_stripe_conn.api.lists import Range
from tap_stripe_conn.api.traffic import TrafficCounter
from tap_stripe_conn.catalogue.resources import load_catalogue
from tap_stripe_conn.streams.bookmarks import NOBODY
from tap_stripe_conn.streams.changes import Feed
from tap_stripe_conn.streams.family import Family
from tap_stripe_conn.streams.source import Source
from tap_stripe_conn.tap import TapStripeConn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tap_stripe_conn.api.client import Object, StripeClient
    from tap_stripe_conn.api.lists import Query
    from tap_stripe_conn.streams.results import Batch, Failure
    from tap_stripe_conn.streams.stream import StripeStream

CHILDREN: Final = {
    "customer_balance_transactions": ("balance_transactions", "customer_balance_transaction"),
    "customer_payment_methods": ("payment_methods", "payment_method"),
    "customer_tax_ids": ("tax_ids", "tax_id"),
}
"""Streams, the ends of their paths, and what their rows are. The first can be asked for by when
its rows were made, the last is embedded in customers."""

STREAMS: Final = ["customers", *CHILDREN]

TELLS_OF: Final[Mapping[str, Sequence[str]]] = {
    "customer": ["customers", "customer_balance_transactions", "customer_tax_ids"],
    "payment_method": ["customer_payment_methods"],
    "tax_id": ["customer_tax_ids"],
}
"""What events of objects of a kind tell of."""

NOW: Final = 1_000_000
"""Long after all rows that a test begins with."""


class Key(NamedTuple):
    """A row of a stream."""

    stream: str
    id: str


@dataclass
class Customers:
    """Stripe's lists of customers, of what is theirs, and of events."""

    page_size: int = 3
    rows: list[Object] = field(default_factory=list)
    children: dict[tuple[str, str], list[Object]] = field(default_factory=dict)
    """By the end of their path and the customer's id."""

    gone: set[tuple[str, str]] = field(default_factory=set)
    """Lists of children that there are no more."""

    events: list[Object] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    """Paths."""

    queries: list[Query] = field(default_factory=list)
    owners: dict[str, str] = field(default_factory=dict)
    """Whose each child is, or was."""

    now: int = NOW
    made: int = 0

    def add(self, created: int, **children: int) -> str:
        """A customer of long ago, of which no event tells."""
        identifier = f"cus_{self._number()}"
        self.rows.append({"object": "customer", "id": identifier, "created": created})
        for end, kind in CHILDREN.values():
            self.children[end, identifier] = [
                {"object": kind, "id": f"{kind}_{identifier}_{n}", "created": created + n // 2}
                for n in range(children.get(end, 0))
            ]
            made = self.children[end, identifier]
            self.owners |= dict.fromkeys((child["id"] for child in made), identifier)
        return identifier

    # What happens, and is told

    def create(self, *, late: int = 0) -> str:
        identifier = self.add(self.now)
        self.tell("customer.created", self.row(identifier), late=late)
        return identifier

    def change(self, identifier: str, *, late: int = 0) -> None:
        row = self.row(identifier)
        row["description"] = f"version {self._number()}"
        self.tell("customer.updated", row, late=late)

    def delete(self, identifier: str, *, late: int = 0) -> None:
        row = self.row(identifier)
        self.rows.remove(row)
        self.tell("customer.deleted", row, late=late)

    def give(self, identifier: str, end: str, *, late: int = 0) -> str:
        """One more of the customer's children."""
        (kind,) = [kind for other, kind in CHILDREN.values() if other == end]
        child = {"object": kind, "id": f"{kind}_{self._number()}", "created": self.now}
        self.children[end, identifier].append(child)
        self.owners[str(child["id"])] = identifier
        if end == "balance_transactions":
            self.change(identifier, late=late)
        else:
            told = "customer.tax_id.created" if end == "tax_ids" else "payment_method.attached"
            self.tell(told, {**child, "customer": identifier}, late=late)
        return str(child["id"])

    def take(self, identifier: str, end: str, *, late: int = 0) -> None:
        """One child less, of those that can be taken away."""
        if end == "balance_transactions" or not self.children[end, identifier]:
            return
        child = self.children[end, identifier].pop()
        if end == "tax_ids":
            source = {**child, "customer": identifier}
            self.tell("customer.tax_id.deleted", source, late=late)
        else:
            before = {"customer": identifier}
            source = {**child, "customer": None}
            self.tell("payment_method.detached", source, before, late=late)

    def tell(
        self, kind: str, source: Object, before: Object | None = None, *, late: int = 0
    ) -> None:
        data = {"object": dict(source), "previous_attributes": before or {}}
        self.events.append(
            {
                "id": f"evt_{self._number()}",
                "object": "event",
                "type": kind,
                "api_version": load_catalogue().api_version,
                "created": self.now,
                "data": data,
                "there": self.now + late,
            }
        )

    def row(self, identifier: str) -> Object:
        return next(row for row in self.rows if row["id"] == identifier)

    def _number(self) -> int:
        self.made += 1
        return self.made

    # What Stripe answers

    def get(self, query: Query) -> Answer:
        """The answer to a query.

        Raises:
            StripeError: Stripe would say so.
        """
        self.asked.append(query.path)
        self.queries.append(query)
        return Answer(json.dumps(self._answer(query)).encode(), None)

    def _answer(self, query: Query) -> Object:
        expand = cast("list[str]", query.params.get("expand[]", []))
        _, _, top, *rest = query.path.split("/")
        if top == "events":
            there = [event for event in self.events if event["there"] <= self.now]
            if rest:
                return next(event for event in there if event["id"] == rest[0])
            types = cast("list[str]", query.params.get("types[]", []))
            wanted = [event for event in there if not types or event["type"] in types]
            return self._page(wanted, query.params, self.page_size)
        if not rest:
            page = self._page(self.rows, query.params, self.page_size)
            expanded = [name.removeprefix("data.") for name in expand]
            page["data"] = [self._sent(row, expanded) for row in page["data"]]
            return page
        identifier, *ends = rest
        known = any(row["id"] == identifier for row in self.rows)
        if not ends and not known:
            return {"id": identifier, "object": "customer", "deleted": True}
        if not ends:
            return self._sent(self.row(identifier), expand)
        if not known or (ends[0], identifier) in self.gone:
            msg = f"No such customer: {identifier}"
            raise NotFoundError(msg, http_status=404, type="invalid_request_error")
        return self._page(self.children[ends[0], identifier], query.params, self.page_size)

    def _sent(self, row: Object, expand: list[str]) -> Object:
        if "tax_ids" not in expand:
            return row
        return {**row, "tax_ids": self._page(self.children["tax_ids", row["id"]], {}, 1)}

    def _page(self, rows: list[Object], params: Mapping[str, Any], size: int) -> Object:
        newest_first = sorted(rows, key=lambda row: (row["created"], row["id"]), reverse=True)
        if after := params.get("starting_after"):
            ids = [row["id"] for row in newest_first]
            if after not in ids:
                msg = f"No such object: {after}"
                raise CursorGoneError(msg, http_status=400)
            newest_first = newest_first[ids.index(after) + 1 :]
        since, until = params.get("created[gte]", 0), params.get("created[lt]", 1 << 40)
        found = [row for row in newest_first if since <= row["created"] < until]
        return {"object": "list", "data": found[:size], "has_more": len(found) > size}

    def truth(self) -> dict[Key, tuple[int, int, str | None]]:
        """The rows that there are: when the customer was made, when they were, and as what."""
        keys: dict[Key, tuple[int, int, str | None]] = {}
        for row in self.rows:
            created = row["created"]
            keys[Key("customers", row["id"])] = (created, created, row.get("description"))
            for stream, (end, _) in CHILDREN.items():
                if (end, row["id"]) not in self.gone:
                    keys |= {
                        Key(stream, child["id"]): (created, child["created"], None)
                        for child in self.children[end, row["id"]]
                    }
        return keys


# --- Runs --------------------------------------------------------------------------------------


@cache
def streams() -> dict[str, StripeStream]:
    tap = TapStripeConn(config={"live_api_key": "sk_" + "test_" + "family"})
    return {name: tap.stripe_streams[name] for name in [*STREAMS, "events"]}


def source(now: int = NOW) -> Source:
    client = cast("StripeClient", SimpleNamespace(traffic=TrafficCounter()))
    events = streams()["events"]
    return Source(
        client, load_catalogue(), Range(0, now + 1), now, now, events, 30 * 86_400, NOBODY
    )


def begin(
    state: Mapping[str, Any], members: Sequence[str] = STREAMS, now: int = NOW
) -> tuple[Family, Feed]:
    """A run that goes on from a state."""
    known = json.loads(json.dumps(state))
    held = state_now()
    held.clear()
    held.update(known)
    family = Family(streams()["customers"], [streams()[name] for name in members], source(now))
    return family, Feed([family], source(now))


def state_now() -> dict[str, Any]:
    return cast("dict[str, Any]", streams()["customers"].tap_state)


def read(family: Family, feed: Feed, stripe: Customers) -> Iterator[Batch | Failure]:
    """Read to the end."""
    while not (family.is_read and feed.is_read):
        asked = False
        for reader in (feed, family):
            for lane in reader.lanes:
                if (request := lane.ask()) is None:
                    continue
                asked = True
                try:
                    answer = stripe.get(request.query)
                except (NotFoundError, CursorGoneError) as error:
                    yield from reader.failed(request, error)
                else:
                    yield from reader.receive(request, answer)
                yield from feed.go_on()
        assert asked, "nothing is left to ask"
    family.finish()
