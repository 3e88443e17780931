"""An account that is alive: what is made, changed or deleted here is told by events.

    life = stripe.life
    customer = life.create("customers", email="ada@example.com")
    life.change("customers", customer["id"], email="grace@example.com")
    life.create("subscription_items", parent="sub_…")  # customer.subscription.updated
    life.cancel("sub_…"), life.detach("pm_…"), life.delete("customers", "cus_…")
    life.tell("mandate.updated", {"id": "mandate_1", "object": "mandate"})
    life.upcoming("sub_…")  # invoice.upcoming, whose object has no id
    life.late = 20  # seconds until an event is listed; or a function of the event
    life.random(seed=1).step()  # something happens

Events are in the account's own API version, `life.api_version`, and are listed for 30 days of the
server's clock. Objects that are put there by `stripe.add` and its siblings come without events, and
events that are put there by them stay.
"""

from __future__ import annotations

from collections import defaultdict
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from tests.fake_stripe import event_types
from tests.fake_stripe.clock import DAY
from tests.fake_stripe.mutations import STREAMS, Mutations
from tests.fake_stripe.old_version import OLD_VERSION, as_it_was, names_then
from tests.fake_stripe.shapes import rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tap_stripe_conn.catalogue.resources import Resource
    from tests.fake_stripe.server import FakeStripe
    from tests.fake_stripe.store import StripeObject

KEPT = 30 * DAY
"""How long events are listed (docstring of EventService.list)."""

WITH_PREVIOUS = (".captured", ".detached", ".refunded", ".reversed", ".updated")
"""Ends of the types of events that have `data.previous_attributes`."""

FEEDS = frozenset({"events", "v2_core_events"})

SUMS = {
    "application_fee_refunds": ("application_fees", "fee", "amount_refunded"),
    "refunds": ("charges", "charge", "amount_refunded"),
    "transfer_reversals": ("transfers", "transfer", "amount_reversed"),
}
"""Streams whose amounts are summed up in another: that stream, what names its object, and where."""

Change: TypeAlias = Literal["created", "updated", "deleted"]


class Life:
    """What happens in one account."""

    def __init__(self, stripe: FakeStripe, account: str | None = None) -> None:
        """Live in the platform's account, or in a connected one."""
        self._stripe = stripe
        self._account = account
        self._waiting: list[tuple[float, int, int, str, StripeObject]] = []
        """Events that are not listed yet: by when they are, and created when, in which stream."""

        self._listed: list[tuple[int, str, str]] = []
        """Events that are listed: created when, in which stream, by which id."""

        self._count = 0
        self._children: defaultdict[str, list[str]] = defaultdict(list)
        for resource in stripe.catalogue.resources.values():
            if resource.parent and stripe.stored_in(resource.name) == resource.name:
                self._children[resource.parent.stream].append(resource.name)
        self.api_version = OLD_VERSION
        """The account's default API version, in which events show their object."""

        self.silent: set[str] = set()
        """Streams that no event tells of, though Stripe has types for them."""

        self.late: float | Callable[[StripeObject], float] = 0.0
        """Seconds until a new event is listed, by the server's clock, or how to tell them."""

    # --- What happens ----------------------------------------------------------------------

    def create(
        self,
        stream: str,
        partial: Mapping[str, Any] | None = None,
        /,
        *,
        parent: str | None = None,
        at: float | None = None,
        listed: bool = True,
        **fields: object,
    ) -> StripeObject:
        """Make an object.

        Args:
            stream: Name of a stream in the catalogue.
            partial: Properties to set, where `fields` cannot.
            parent: The parent's id, for children.
            at: When, in Unix seconds; default: now.
            listed: Whether lists show it, or it can only be retrieved.
            fields: Properties to set; children are made by `items={"data": [{}, {}]}`.

        Returns:
            The object, as it is retrieved.
        """
        when = self._moment(at)
        given = {**(partial or {}), **fields}
        if stream == "customer_payment_methods":
            stream, given["customer"], parent = "payment_methods", parent, None
        with self._stripe.lock:
            told = self._told_by_parent(stream, parent, "created")
            before = self._parent(stream, parent) if told else None
            made = self._stripe.add(
                stream, given, parent=parent, created=when, account=self._account, listed=listed
            )
            obj = self._stripe.retrieve(stream, made["id"], parent=parent, account=self._account)
            if stream not in self.silent:
                for kind in event_types.on_creation(self._resource(stream), obj):
                    self.tell(kind, obj, at=when)
            self._follow(stream, obj, when)
            self._tell_parent(stream, parent, told, before, when)
            return obj

    def change(
        self,
        stream: str,
        identifier: str,
        changes: Mapping[str, Any] | None = None,
        /,
        *,
        parent: str | None = None,
        at: float | None = None,
        **fields: object,
    ) -> StripeObject:
        """Change an object's properties. Returns it, as it is retrieved."""
        when = self._moment(at)
        given = {**(changes or {}), **fields}
        if stream == "customer_payment_methods":
            stream, parent = "payment_methods", None
        with self._stripe.lock:
            above = parent or self._parent_of(stream, identifier)
            told = self._told_by_parent(stream, above, "updated")
            family = self._parent(stream, above) if told else None
            before = self._stripe.retrieve(stream, identifier, parent=parent, account=self._account)
            if isinstance(before.get("updated"), int):
                given.setdefault("updated", when)
            self._stripe.update(stream, identifier, given, parent=parent, account=self._account)
            after = self._stripe.retrieve(stream, identifier, parent=parent, account=self._account)
            if stream not in self.silent:
                for kind in event_types.on_change(self._resource(stream), before, after):
                    self.tell(kind, after, before=before, at=when)
            self._tell_parent(stream, above, told, family, when)
            return after

    def delete(
        self,
        stream: str,
        identifier: str,
        *,
        parent: str | None = None,
        at: float | None = None,
    ) -> None:
        """Delete an object with all that hangs below it, or remove a child from its parent.

        Raises:
            ValueError: Stripe doesn't delete such objects: `cancel`, `detach`.
        """
        if stream in {"subscriptions", "payment_methods", "customer_payment_methods"}:
            msg = f"{stream} are not deleted, but canceled or detached"
            raise ValueError(msg)
        when = self._moment(at)
        with self._stripe.lock:
            above = parent or self._parent_of(stream, identifier)
            told = self._told_by_parent(stream, above, "deleted")
            family = self._parent(stream, above) if told else None
            obj = self._stripe.retrieve(stream, identifier, parent=parent, account=self._account)
            if stream == "customers":
                self._leave(identifier, when)
            for child in self._children[stream]:
                for below in self._stripe.ids(child, parent=identifier, account=self._account):
                    self._stripe.delete(child, below, parent=identifier, account=self._account)
            self._stripe.delete(stream, identifier, parent=parent, account=self._account)
            if stream not in self.silent:
                for kind in event_types.on_deletion(self._resource(stream)):
                    self.tell(kind, obj, at=when)
            self._tell_parent(stream, above, told, family, when)

    def cancel(self, subscription: str, *, at: float | None = None) -> StripeObject:
        """Cancel a subscription, which stays: `customer.subscription.deleted`."""
        when = self._moment(at)
        ended = {"canceled_at": when, "ended_at": when, "status": "canceled"}
        return self.change("subscriptions", subscription, ended, at=when)

    def detach(self, payment_method: str, *, at: float | None = None) -> StripeObject:
        """Detach a payment method from its customer: from then on no list shows it."""
        with self._stripe.lock:
            nobody = {"customer": None, "customer_account": None}
            after = self.change("payment_methods", payment_method, nobody, at=at)
            self._stripe.unlist("payment_methods", payment_method, account=self._account)
            return after

    def upcoming(self, subscription: str, *, at: float | None = None) -> StripeObject:
        """Announce a subscription's next invoice, which has no id yet: `invoice.upcoming`."""
        with self._stripe.lock:
            sub = self._stripe.retrieve("subscriptions", subscription, account=self._account)
            invoice = {
                "object": "invoice",
                "amount_due": 1900,
                "created": self._moment(at),
                "customer": sub.get("customer"),
                "lines": {"object": "list", "data": [], "has_more": False, "url": "/v1/invoices"},
                "status": "draft",
            }
            return self.tell("invoice.upcoming", invoice, at=at)

    # --- Events ----------------------------------------------------------------------------

    def tell(
        self,
        kind: str,
        obj: Mapping[str, Any],
        *,
        before: Mapping[str, Any] | None = None,
        at: float | None = None,
    ) -> StripeObject:
        """Send an event, of any type and about any object.

        Args:
            kind: Its type.
            obj: What it tells of, in the catalogue's API version.
            before: The object as it was before an update.
            at: When it was created; default: now.

        Returns:
            The event.
        """
        with self._stripe.lock:
            when = self._moment(at)
            if kind.startswith("v2."):
                return self._publish("v2_core_events", self._thin_event(kind, obj, when), when)
            return self._publish("events", self._event(kind, obj, before, when), when)

    def events(self, stream: str = "events") -> list[StripeObject]:
        """The events that are listed at the moment, newest first."""
        self.settle()
        return self._stripe.objects(stream, account=self._account)

    def settle(self) -> None:
        """List the events whose time has come, and forget those that are too old."""
        now = self._stripe.now()
        with self._stripe.lock:
            while self._waiting and self._waiting[0][0] <= now:
                _, _, when, stream, event = heappop(self._waiting)
                self._list(stream, event, when)
            while self._listed and self._listed[0][0] <= now - KEPT:
                _, stream, identifier = heappop(self._listed)
                self._stripe.delete(stream, identifier, account=self._account)

    def random(self, seed: int, streams: tuple[str, ...] = STREAMS) -> Mutations:
        """What chance makes happen, the same for the same seed, in some streams."""
        return Mutations(self._stripe, self, seed, streams, account=self._account)

    def _event(
        self,
        kind: str,
        obj: Mapping[str, Any],
        before: Mapping[str, Any] | None,
        when: int,
    ) -> StripeObject:
        old = self.api_version != self._stripe.catalogue.api_version
        data: StripeObject = {"object": as_it_was(obj) if old else dict(obj)}
        if before is not None and kind.endswith(WITH_PREVIOUS):
            changed = difference(before, obj)
            data["previous_attributes"] = (
                names_then(str(obj.get("object")), changed, obj) if old else changed
            )
        return {
            "id": self._stripe.new_id("event"),
            "object": "event",
            "api_version": self.api_version,
            "created": when,
            "data": data,
            "pending_webhooks": 0,
            "request": {"id": None, "idempotency_key": None},
            "type": kind,
        }

    def _thin_event(self, kind: str, obj: Mapping[str, Any], when: int) -> StripeObject:
        """An event of API v2: it names its object, and no more."""
        resource = next(
            resource
            for resource in self._stripe.catalogue.resources.values()
            if kind in resource.event_types
        )
        path, data = resource.path, {}
        if resource.parent:
            data = {resource.parent.param: obj[resource.parent.column]}
            path = path.format(**data)
        url = f"{path}/{obj['id']}"
        return {
            "id": self._stripe.new_id("event"),
            "object": "v2.core.event",
            "created": rfc3339(when),
            "data": data,
            "related_object": {"id": obj["id"], "type": obj["object"], "url": url},
            "type": kind,
        }

    def _publish(self, stream: str, event: StripeObject, when: int) -> StripeObject:
        late = self.late(event) if callable(self.late) else self.late
        if late <= 0:
            return self._list(stream, event, when)
        self._count += 1
        place = (self._stripe.now() + late, self._count)
        heappush(self._waiting, (*place, when, stream, event))
        return event

    def _list(self, stream: str, event: StripeObject, when: int) -> StripeObject:
        heappush(self._listed, (when, stream, event["id"]))
        return self._stripe.put(stream, event, account=self._account)

    # --- What goes along with it -----------------------------------------------------------

    def _follow(self, stream: str, obj: StripeObject, when: int) -> None:
        """What else changes when an object is made: the sum of its kind."""
        if stream not in SUMS:
            return
        above, column, field = SUMS[stream]
        identifier = str(obj.get(column))
        if self._stripe.row(above, identifier, account=self._account):
            known = self._stripe.retrieve(above, identifier, account=self._account)
            change = {field: known[field] + obj["amount"]}
            if stream in event_types.TOLD_BY_PARENT:
                self._stripe.update(above, identifier, change, account=self._account)
            else:
                self.change(above, identifier, change, at=when)

    def _leave(self, customer: str, when: int) -> None:
        """What a customer's deletion ends."""
        for row in list(self._stripe.rows("subscriptions", account=self._account)):
            if row.object.get("customer") == customer and row.object["status"] != "canceled":
                self.cancel(row.id, at=when)
        for row in list(self._stripe.rows("payment_methods", account=self._account)):
            if row.object.get("customer") == customer:
                self.detach(row.id, at=when)

    def _told_by_parent(self, stream: str, parent: str | None, change: Change) -> str | None:
        told = event_types.TOLD_BY_PARENT.get(stream, {}).get(change)
        return told if parent and stream not in self.silent else None

    def _parent(self, stream: str, parent: str | None) -> StripeObject | None:
        above = self._resource(stream).parent
        if above is None or parent is None:
            return None
        return self._stripe.retrieve(above.stream, parent, account=self._account)

    def _tell_parent(
        self,
        stream: str,
        parent: str | None,
        kind: str | None,
        before: StripeObject | None,
        when: int,
    ) -> None:
        """Send the parent's event, with its list as it was."""
        after = self._parent(stream, parent) if kind else None
        if kind and after is not None:
            self.tell(kind, after, before=before, at=when)

    def _parent_of(self, stream: str, identifier: str) -> str | None:
        row = self._stripe.row(stream, identifier, account=self._account)
        return row.parent if row else None

    def _resource(self, stream: str) -> Resource:
        return self._stripe.catalogue.resources[stream]

    def _moment(self, at: float | None) -> int:
        return int(self._stripe.now() if at is None else at)


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> StripeObject:
    """What fields were that are different now: `previous_attributes`.

    Of nested objects only the fields that differ, but lists whole.
    """
    changed: StripeObject = {}
    for name in (*before, *(name for name in after if name not in before)):
        old, new = before.get(name), after.get(name)
        if old is new or old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict) and old.get("object") != "list":
            changed[name] = difference(old, new)
        else:
            changed[name] = old
    return changed
