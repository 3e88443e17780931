"""Objects as they are sent: what only comes when asked for, embedded lists, `expand`."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from tests.fake_stripe.errors import StripeError, bad_parameter
from tests.fake_stripe.store import order_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_stripe_conn.catalogue.resources import Catalogue, Resource
    from tests.fake_stripe.store import Account, Row, StripeObject

EMBEDDED = 10
"""Rows of an embedded list: its first page, of Stripe's default size."""

EXPAND_DEPTH = 4
"""https://docs.stripe.com/expand: four levels at most, `data` of a list included."""

INCLUDABLE = {
    "charges": ("refunds",),
    "customers": ("cash_balance", "subscriptions"),
    "files": ("links",),
    "invoices": ("payments",),
    "issuing_cards": ("number", "cvc"),
    "treasury_financial_accounts": ("features",),
}
"""Fields that only come when expanded and that the catalogue doesn't expand."""

OTHER_REFERENCES = frozenset(
    {
        "application",
        "cash_balance",
        "default_tax_rates",
        "destination",
        "destination_payment",
        "discounts",
        "generated_from",
        "icon",
        "latest_attempt",
        "logo",
        "mandate",
        "on_behalf_of",
        "original_payout",
        "parent",
        "payment_record",
        "pending_setup_intent",
        "pricing",
        "related_customer",
        "reversed_by",
        "schedule",
        "source",
        "source_refund",
        "source_transaction",
        "test_clock",
        "transfer_reversal",
    }
)
"""Names of expandable fields that aren't an object's own name."""

Tree: TypeAlias = "dict[str, Tree]"


@dataclass(slots=True)
class Form:
    """How one stream's objects differ from what is stored."""

    includable: list[str] = field(default_factory=list)
    """Dotted fields that only come when expanded."""

    lists: list[Resource] = field(default_factory=list)
    """Children whose first page stands in the object."""


class Renderer:
    """Turns rows into what Stripe sends for them."""

    def __init__(self, catalogue: Catalogue) -> None:
        """Collect each stream's includable fields and embedded lists."""
        self._forms: dict[str, Form] = {
            name: Form([*resource.expand, *INCLUDABLE.get(name, ())])
            for name, resource in catalogue.resources.items()
        }
        self._object_names = {
            name.rpartition(".")[2] for r in catalogue.resources.values() for name in r.objects
        }
        for resource in catalogue.resources.values():
            if resource.parent and resource.parent.embedded:
                form = self._forms[resource.parent.stream]
                form.lists.append(resource)
                if resource.parent.embedded_by_expand:
                    form.includable.append(resource.parent.embedded)

    def includable(self, stream: str) -> frozenset[str]:
        """The top-level properties of a stream's objects that only come when expanded."""
        return frozenset(name.partition(".")[0] for name in self._forms[stream].includable)

    def listed(self, account: Account, row: Row) -> bytes:
        """A row as JSON, without expansions; kept until the row changes."""
        if row.body is None:
            row.body = encode(self.sent(account, row, {}))
        return row.body

    def sent(self, account: Account, row: Row, tree: Tree) -> StripeObject:
        """A row as sent with some fields expanded.

        Raises:
            StripeError: A field that cannot be expanded.
        """
        form = self._forms[row.stream]
        obj = dict(row.object)
        for name in form.includable:
            if not asked(tree, name):
                drop(obj, name)
        for child in form.lists:
            path = child.parent.embedded if child.parent else None
            if path and (path not in form.includable or asked(tree, path)):
                put(obj, path, self._embedded(account, row, child))
        for name, below in tree.items():
            if name not in obj and name not in self._object_names | OTHER_REFERENCES:
                raise unexpandable(name)
            if name in obj:
                obj[name] = self._expanded(account, obj[name], below, name, form)
        return obj

    def _embedded(self, account: Account, row: Row, child: Resource) -> StripeObject:
        rows = account.listing(child.name, row.id).rows
        parent = child.parent
        url = child.path
        if parent and parent.location == "path":
            url = url.replace("{" + parent.param + "}", row.id)
        elif parent:
            url = f"{url}?{parent.param}={row.id}"
        page = sorted(rows[-EMBEDDED:], key=order_of, reverse=True)
        return {
            "object": "list",
            "data": [self.sent(account, item, {}) for item in page],
            "has_more": len(rows) > EMBEDDED,
            "url": url,
        }

    def _expanded(
        self, account: Account, value: object, below: Tree, name: str, form: Form | None
    ) -> object:
        if isinstance(value, str):
            if not self._is_reference(name):
                raise unexpandable(name)
            row = account.find_row(value)
            return self.sent(account, row, below) if row else value
        if isinstance(value, list):
            return [self._expanded(account, item, below, name, form) for item in value]
        if isinstance(value, dict):
            nested = dict(value)
            for inner, deeper in below.items():
                if inner in nested:
                    nested[inner] = self._expanded(account, nested[inner], deeper, inner, None)
            return nested
        if value is None or name in (form.includable if form else ()):
            return value
        raise unexpandable(name)

    def _is_reference(self, name: str) -> bool:
        if name in self._object_names or name in OTHER_REFERENCES or name == "data":
            return True
        return any(name.endswith("_" + known) for known in self._object_names)


def expansions(paths: list[str], *, is_list: bool) -> Tree:
    """The fields that `expand[]` asks for, below each object of a list.

    Raises:
        StripeError: Too deep, or not below `data` for a list.
    """
    tree: Tree = {}
    for path in paths:
        names = path.split(".")
        if len(names) > EXPAND_DEPTH:
            message = f"You cannot expand more than {EXPAND_DEPTH} levels of a property ({path})."
            raise bad_parameter(param="expand", message=message)
        if is_list:
            if names[0] != "data":
                raise unexpandable(path, instead=f"data.{path}")
            names = names[1:]
        level = tree
        for name in names:
            level = level.setdefault(name, {})
    return tree


def unexpandable(path: str, *, instead: str | None = None) -> StripeError:
    """Stripe's 400 for an `expand` that leads nowhere."""
    hint = f" You may want to try expanding '{instead}' instead." if instead else ""
    return bad_parameter(
        param="expand", message=f"This property cannot be expanded ({path}).{hint}"
    )


def asked(tree: Tree, path: str) -> bool:
    """Whether a dotted field is among the expansions."""
    level: Tree = tree
    for name in path.split("."):
        if name not in level:
            return False
        level = level[name]
    return True


def put(obj: StripeObject, path: str, value: object) -> None:
    """Set a dotted field, on copies of the objects along the way."""
    *above, last = path.split(".")
    for name in above:
        obj[name] = dict(obj.get(name) or {})
        obj = obj[name]
    obj[last] = value


def drop(obj: StripeObject, path: str) -> None:
    """Remove a dotted field, on copies of the objects along the way."""
    *above, last = path.split(".")
    for name in above:
        if not isinstance(obj.get(name), dict):
            return
        obj[name] = dict(obj[name])
        obj = obj[name]
    obj.pop(last, None)


def encode(obj: Mapping[str, Any]) -> bytes:
    """JSON as it goes over the wire."""
    return json.dumps(obj, separators=(",", ":"), ensure_ascii=False).encode()
