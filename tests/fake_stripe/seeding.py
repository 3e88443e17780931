"""Putting objects into the server's accounts, and reading back what is there."""

from __future__ import annotations

from collections import defaultdict
from threading import RLock
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.fake_stripe.bulk import BLANK, Bulk, BulkListing
from tests.fake_stripe.filters import hides
from tests.fake_stripe.ids import dice, make_id
from tests.fake_stripe.rendering import Renderer, expansions
from tests.fake_stripe.routes import Routes
from tests.fake_stripe.shapes import Shapes, without_planted
from tests.fake_stripe.store import Account, Row, order_of, seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tap_stripe_conn.catalogue.resources import Catalogue, Resource
    from tests.fake_stripe.store import StripeObject

SHARED: dict[str, tuple[str, str]] = {"customer_payment_methods": ("payment_methods", "customer")}
"""Children that are rows of another stream: that stream, and its property with the parent's id."""

PATTERNS = 20
"""How many different contents the objects of a list have that is seeded in bulk."""

SINCE = 1_704_067_200
UNTIL = 1_767_225_600
"""Where seeds lie by default: the years 2024 and 2025."""


class Truth(NamedTuple):
    """One row of a stream, as it is at the moment."""

    parent: str | None
    """The parent's id, for children."""

    object: StripeObject
    listed: bool
    """Whether lists show it; False for what only retrieval or events tell of."""


class Seeding:
    """The objects of the platform's account and of those connected to it."""

    def __init__(self, catalogue: Catalogue, *, livemode: bool) -> None:
        """Make the platform's account."""
        self.catalogue = catalogue
        self.livemode = livemode
        self.account_version = catalogue.api_version
        """The account's default API version, echoed where a request names none."""

        self.account_id = make_id("account", 1, testmode=not livemode)
        self.shapes = Shapes(catalogue, livemode=livemode)
        self._renderer = Renderer(catalogue)
        self._routes = Routes(catalogue)
        self._embedded: defaultdict[str, list[Resource]] = defaultdict(list)
        for resource in catalogue.resources.values():
            if resource.parent and resource.parent.embedded:
                self._embedded[resource.parent.stream].append(resource)
        self._accounts = {self.account_id: Account(self.account_id)}
        self._counts: defaultdict[str, int] = defaultdict(int, account=1)
        self.lock = RLock()
        """Held while something is answered or changed."""

    def add(  # noqa: PLR0913 - one keyword for each thing a test may want to set
        self,
        stream: str,
        partial: Mapping[str, Any] | None = None,
        *,
        parent: str | None = None,
        created: float | None = None,
        account: str | None = None,
        listed: bool = True,
    ) -> StripeObject:
        """Add an object: a made-up one with `partial` laid over it.

        Args:
            stream: Name of a stream in the catalogue.
            partial: Properties to set; the others get plausible values.
            parent: The parent's id, for children.
            created: Creation time in Unix seconds, where `partial` has none; default: in 2024.
            account: A connected account's id; default: the platform's account.
            listed: Whether lists show it, or it can only be retrieved (inline prices).

        Returns:
            The object, as it would be retrieved.

        Raises:
            ValueError: A child without a parent, or with one that is not there.
        """
        with self.lock:
            return self._add(
                stream, dict(partial or {}), parent, created, account, listed=listed
            ).object

    def put(
        self,
        stream: str,
        obj: Mapping[str, Any],
        *,
        parent: str | None = None,
        account: str | None = None,
    ) -> StripeObject:
        """Add an object as it is: what `obj` lacks, beside its kind, is null."""
        with self.lock:
            resource = self.catalogue.resources[self.stored_in(stream)]
            blank = dict.fromkeys(self.shapes.properties(resource.name))
            blank.update(object=resource.objects[0])
            if "livemode" in blank:
                blank.update(livemode=self.livemode)
            blank.update(obj)
            moment = seconds(blank.get(resource.created_field or "created"))
            row = Row(object=blank, order=(moment, 0), stream=resource.name, parent=parent)
            self._insert(self._account(account), row, {})
            return blank

    def seed(  # noqa: PLR0913 - one keyword for each thing a test may want to set
        self,
        stream: str,
        count: int,
        *,
        since: float = SINCE,
        until: float = UNTIL,
        parent: str | None = None,
        seed: int = 0,
        account: str | None = None,
    ) -> list[str]:
        """Add many objects, spread over [since, until) by chance; the same for the same seed.

        Children without `parent` are dealt out to the parents in turn; without any, one is made.
        Returns the ids, oldest first.
        """
        chance = dice("seed", stream, seed)
        span = max(1, int(until - since))
        times = sorted(int(since) + chance.randrange(span) for _ in range(count))
        with self.lock:
            parents = [parent] if parent else self._parents(stream, since, account)
            return [
                self._add(stream, {}, parents[i % len(parents)], when, account).id
                for i, when in enumerate(times)
            ]

    def seed_in_bulk(
        self, stream: str, times: Iterable[int], partial: Mapping[str, Any] | None = None
    ) -> None:
        """Add any number of objects for 8 bytes each: alike but for id and creation time.

        They stay as they are, and nothing else is added to the stream. They lack the secrets that
        the server otherwise hides at any depth of an object, for the tap to find.

        Args:
            stream: A top-level v1 list without other objects.
            times: When each object was created, in Unix seconds.
            partial: Properties that all of them have.

        Raises:
            ValueError: A list of another kind, or one that has objects.
        """
        resource = self.catalogue.resources[stream]
        if resource.parent or resource.api_mode != "v1" or not resource.created_field:
            msg = f"{stream} is no top-level v1 list by creation time"
            raise ValueError(msg)
        with self.lock:
            holder = self._account(None)
            patterns = [self._pattern(holder, resource, partial or {}) for _ in range(PATTERNS)]
            kind = resource.objects[0]
            first_id = self.shapes.id(stream, kind, self._counts[kind] + 1)
            rows = Bulk(stream, times, patterns=patterns, first_id=first_id)
            self._counts[kind] += len(rows)
            holder.hold(stream, BulkListing(rows))

    def delete(
        self,
        stream: str,
        identifier: str,
        *,
        parent: str | None = None,
        account: str | None = None,
    ) -> None:
        """Delete an object, as far as lists and retrieval show."""
        with self.lock:
            holder = self._account(account)
            row = self._row(holder, stream, identifier, parent)
            holder.remove(row)
            self._touch_parent(holder, row)

    def unlist(self, stream: str, identifier: str, *, account: str | None = None) -> None:
        """Have lists no longer show an object, which can still be retrieved."""
        with self.lock:
            holder = self._account(account)
            holder.unlist(self._row(holder, stream, identifier, None))

    def update(
        self,
        stream: str,
        identifier: str,
        changes: Mapping[str, Any],
        *,
        parent: str | None = None,
        account: str | None = None,
    ) -> StripeObject:
        """Change an object's properties; its place in the list stays. Returns it."""
        with self.lock:
            holder = self._account(account)
            row = self._row(holder, stream, identifier, parent)
            row.object.update(changes)
            row.body = None
            holder.listing(row.stream, row.parent).changed()
            self._touch_parent(holder, row)
            return row.object

    def retrieve(
        self,
        stream: str,
        identifier: str,
        *,
        parent: str | None = None,
        account: str | None = None,
    ) -> StripeObject:
        """An object as it is retrieved by its id, without expansions."""
        with self.lock:
            holder = self._account(account)
            return self._renderer.sent(holder, self._row(holder, stream, identifier, parent), {})

    def row(self, stream: str, identifier: str, *, account: str | None = None) -> Row | None:
        """The row with that id as it is kept, not to be changed; None where there is none."""
        with self.lock:
            return self._account(account).row(self.stored_in(stream), identifier)

    def new_id(self, kind: str) -> str:
        """The id that the next object of a kind has (`event`)."""
        with self.lock:
            self._counts[kind] += 1
            return make_id(kind, self._counts[kind], testmode=not self.livemode)

    def rows(
        self, stream: str, *, parent: str | None = None, account: str | None = None
    ) -> Sequence[Row]:
        """The rows of one list, oldest first, as they are kept: not to be changed."""
        return self._account(account).listing(self.stored_in(stream), parent).rows

    def truth(self, stream: str, *, account: str | None = None) -> list[Truth]:
        """Everything of a stream that there is, as the list shows it to the catalogue's request."""
        resource = self.catalogue.resources[stream]
        tree = expansions([f"data.{name}" for name in resource.expand], is_list=True)
        with self.lock:
            holder = self._account(account)
            return [
                Truth(
                    parent=parent.id if parent else None,
                    object=self._renderer.sent(holder, row, tree),
                    listed=self._is_listed(row) and (parent is None or self._is_listed(parent)),
                )
                for parent, row in self._everything(holder, resource)
            ]

    def objects(
        self, stream: str, *, parent: str | None = None, account: str | None = None
    ) -> list[StripeObject]:
        """What lists serve of a stream, newest first; of all parents unless one is given."""
        with self.lock:
            holder = self._account(account)
            rows = sorted(self._rows(holder, stream, parent), key=order_of, reverse=True)
            return [self._renderer.sent(holder, row, {}) for row in rows]

    def ids(
        self, stream: str, *, parent: str | None = None, account: str | None = None
    ) -> list[str]:
        """The ids of `objects`, newest first; a singleton without one goes by its stream's name."""
        with self.lock:
            holder = self._account(account)
            if bulk := holder.bulk.get(stream):
                return [bulk.bulk.id(place) for place in reversed(range(len(bulk.rows)))]
            rows = self._rows(holder, stream, parent)
            return [row.id for row in sorted(rows, key=order_of, reverse=True)]

    def includable(self, stream: str) -> frozenset[str]:
        """The properties of a stream's objects that only come when expanded."""
        return self._renderer.includable(stream)

    def add_account(self, identifier: str | None = None, **properties: object) -> str:
        """Connect an account, which also becomes a row of `accounts`. Returns its id."""
        with self.lock:
            row = self._add(
                "accounts",
                {**({"id": identifier} if identifier else {}), **properties},
                None,
                None,
                None,
            )
            self._accounts[row.id] = Account(row.id)
            return row.id

    def disconnect(self, identifier: str) -> None:
        """Have a connected account withdraw the platform's access."""
        with self.lock:
            self.delete("accounts", identifier)
            del self._accounts[identifier]

    def stored_in(self, stream: str) -> str:
        """The stream that a stream's rows are kept under: nearly always itself."""
        if stream in SHARED:
            return SHARED[stream][0]
        owner = self._routes.linked.get(stream)
        return owner.name if owner else stream

    def _rows(self, holder: Account, stream: str, parent: str | None) -> Sequence[Row]:
        resource = self.catalogue.resources[stream]
        if resource.singleton:
            return [self._singleton(holder, resource)]
        if link := self._link(stream):
            listing = holder.listing(self.stored_in(stream))
            above = resource.parent.stream if resource.parent else ""
            parents = [parent] if parent else [row.id for row in holder.rows(above)]
            return [row for identifier in parents for row in listing.having(link, identifier)]
        if parent is not None:
            return holder.listing(stream, parent).rows
        return [row for row in holder.rows(stream) if row.listed]

    def _everything(self, holder: Account, resource: Resource) -> Iterator[tuple[Row | None, Row]]:
        """Each row with its parent, those that lists don't show included."""
        if resource.singleton:
            yield None, self._singleton(holder, resource)
        elif resource.parent:
            for parent in holder.rows(resource.parent.stream):
                for row in self._rows(holder, resource.name, parent.id):
                    yield parent, row
        else:
            for row in holder.rows(resource.name):
                yield None, row

    def _is_listed(self, row: Row) -> bool:
        return row.listed and not hides(self.catalogue.resources[row.stream], row.object)

    def _row(self, holder: Account, stream: str, identifier: str, parent: str | None) -> Row:
        """The row with that id.

        Raises:
            KeyError: There is none.
        """
        resource = self.catalogue.resources[stream]
        if resource.singleton:
            return self._singleton(holder, resource)
        above = None if self._link(stream) else parent
        row = holder.row(self.stored_in(stream), identifier, above)
        if row is None:
            msg = f"{stream} has no {identifier}"
            raise KeyError(msg)
        return row

    def _pattern(
        self, holder: Account, resource: Resource, partial: Mapping[str, Any]
    ) -> tuple[str, bytes]:
        """The id and the JSON of an object that others are made after."""
        created = resource.created_field or "created"
        given = {**partial, created: BLANK, "object": resource.objects[0]}
        row = self._make(resource, resource.name, given, None, None)
        row.object = {name: without_planted(value) for name, value in row.object.items()}
        return row.id, self._renderer.listed(holder, row)

    def _add(  # noqa: PLR0913 - as for `add`
        self,
        stream: str,
        partial: StripeObject,
        parent: str | None,
        created: float | None,
        account: str | None,
        *,
        listed: bool = True,
    ) -> Row:
        resource = self.catalogue.resources[stream]
        holder = self._account(account)
        stored_in = self.stored_in(stream)
        if resource.parent:
            parent = parent or partial.get(resource.parent.column)
            if parent is None or holder.row(resource.parent.stream, parent) is None:
                msg = f"{stream} hang below {resource.parent.stream}, which has no {parent!r}"
                raise ValueError(msg)
        link = self._link(stream)
        known = holder.row(stored_in, str(partial.get("id"))) if link else None
        if known is None:
            known = self._make(resource, stored_in, partial, None if link else parent, created)
            known.listed = listed
            self._insert(holder, known, partial)
        if link and parent:
            self._hang(holder, known, link, parent)
        return known

    def _make(
        self,
        resource: Resource,
        stored_in: str,
        partial: StripeObject,
        parent: str | None,
        created: float | None,
    ) -> Row:
        own = self.catalogue.resources[stored_in]
        kind = str(partial.get("object") or own.objects[0])
        self._counts[kind] += 1
        number = self._counts[kind]
        field = own.created_field
        moment = created
        if field and field in partial:
            moment = seconds(partial[field])
        if moment is None:
            moment = SINCE + number
        obj = self.shapes.make(stored_in, number, moment, kind if "object" in partial else None)
        if parent and resource.parent and resource.parent.column in obj:
            obj[resource.parent.column] = parent
        obj.update(partial)
        return Row(object=obj, order=(moment, 0), stream=stored_in, parent=parent)

    def _insert(self, holder: Account, row: Row, partial: StripeObject) -> None:
        below = []
        for child in self._embedded.get(row.stream, ()):
            field = child.parent.embedded if child.parent else None
            given = partial.get(field or "")
            if field and isinstance(given, dict):
                below += [(child.name, item) for item in reversed(given.get("data", []))]
        holder.insert(row)
        self._touch_parent(holder, row)
        for stream, item in below:
            self._add(stream, dict(item), row.id, row.order[0], holder.id)

    def _hang(self, holder: Account, row: Row, link: str, parent: str) -> None:
        """Show a row below a parent: by its own property, or by a link that isn't shown."""
        if link in row.object:
            row.object[link] = parent
            row.body = None
        else:
            row.links[link] = parent
        holder.listing(row.stream, row.parent).changed()

    def _parents(self, stream: str, since: float, account: str | None) -> list[str | None]:
        """The parents that seeds of a stream are dealt out to; one is made where none is."""
        above = self.catalogue.resources[stream].parent
        if above is None:
            return [None]
        holder = self._account(account)
        rows = sorted(holder.rows(above.stream), key=order_of)
        fitting = [
            row.id
            for row in rows
            if all(row.object.get(name) == value for name, value in above.where.items())
        ]
        return list(fitting) or [
            self._add(above.stream, dict(above.where), None, since, account).id
        ]

    def _singleton(self, holder: Account, resource: Resource) -> Row:
        """The one row of a singleton, made when first asked for."""
        known = holder.row(
            resource.name, holder.id if resource.name == "account" else resource.name
        )
        rows = list(holder.rows(resource.name))
        if known or rows:
            return known or rows[0]
        partial = {"id": holder.id} if resource.name == "account" else {}
        return self._add(resource.name, partial, None, None, holder.id)

    def _touch_parent(self, holder: Account, row: Row) -> None:
        """Have the parent rendered anew, as it may hold this row."""
        parent = self.catalogue.resources[row.stream].parent
        if parent and parent.embedded and row.parent:
            above = holder.row(parent.stream, row.parent)
            if above:
                above.body = None

    def _link(self, stream: str) -> str | None:
        """The property or link that makes rows of another stream this stream's."""
        if stream in SHARED:
            return SHARED[stream][1]
        parent = self.catalogue.resources[stream].parent
        return parent.param if parent and stream in self._routes.linked else None

    def _account(self, identifier: str | None) -> Account:
        return self._accounts[identifier or self.account_id]
