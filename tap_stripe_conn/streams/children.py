"""Rows that hang off a parent: embedded in its row, or listed with a request of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from tap_stripe_conn.api.errors import (
    AccountError,
    BrokenListError,
    InvalidRequestError,
    NotEnabledError,
    NotFoundError,
)
from tap_stripe_conn.api.typed import TypedObject

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tap_stripe_conn.api.client import Object
    from tap_stripe_conn.api.lists import Listing
    from tap_stripe_conn.api.typed import Shown
    from tap_stripe_conn.catalogue.resources import Parent
    from tap_stripe_conn.streams.stream import StripeStream


def fields_for(parents: Iterable[Parent | None]) -> set[str]:
    """Fields of a parent's row that somebody looks into for such children."""
    fields: set[str] = set()
    for parent in parents:
        if parent is not None:
            fields |= {*parent.where, *parent.params.values()}
            fields |= set((parent.embedded or "").split(".")[:1])
    return fields - {""}


def children_in(parent_row: Shown, child: StripeStream) -> list[Object] | None:
    """The children that a parent's row holds whole; None where they have to be asked for.

    Args:
        parent_row: As Stripe sent it.
        child: Whose rows they are.

    Raises:
        BrokenListError: They are not as many as the parent's row says.
    """
    parent = child.resource.parent
    if parent is None or not may_have_children(parent_row, parent):
        return []
    embedded = embedded_list(parent_row, parent)
    if embedded is None:
        return []
    if embedded.get("has_more") is False and _holds_objects(embedded.get("data")):
        data: list[Object] = embedded["data"]
        total = embedded.get("total_count")
        if total is not None and total != len(data):
            msg = (
                f"{parent_row.get('id')} holds {len(data)} {child.name}, though it says that it "
                f"holds all of them and that there are {total}"
            )
            raise BrokenListError(msg, http_status=200)
        return data
    return None


def may_have_children(parent_row: Shown, parent: Parent) -> bool:
    """Whether a parent's row is of those that children hang off, and says what leads to them."""
    return all(parent_row.get(name) == value for name, value in parent.where.items()) and all(
        parent_row.get(source) is not None for source in parent.params.values()
    )


def tells_of_none(error: Exception, child: StripeStream) -> bool:
    """Whether an error of one parent's list says that this parent has no children.

    It is gone, or a connected account that was let go or lacks a product: the others are still
    there. A proxy's 404 says nothing of it.
    """
    if isinstance(error, (AccountError, NotEnabledError)):
        return child.root.name in _ACCOUNTS
    return isinstance(error, NotFoundError) and bool(error.type or error.code)


_ACCOUNTS: Final = frozenset({"accounts", "v2_core_accounts"})
"""Streams whose rows differ in what may be asked of them."""


def listing_of(parent_row: Shown, parent: Parent, child: StripeStream) -> Listing:
    """The child's list of one parent that may have children.

    Raises:
        InvalidRequestError: The parent's id would lead elsewhere.
    """
    path = child.resource.path
    params = {name: str(parent_row[source]) for name, source in parent.params.items()}
    if parent.location == "path":
        if parent_row["id"] in {".", ".."}:  # would name another path
            msg = f"{child.name} of a parent with the id {parent_row['id']!r} can't be asked for"
            raise InvalidRequestError(msg, http_status=400)
        path = path.replace(f"{{{parent.param}}}", quote(parent_row["id"], safe=""))
    else:
        params[parent.param] = parent_row["id"]
    return child.listing(path, params)


def embedded_list(parent_row: Shown, parent: Parent) -> Object | None:
    """The list object in the parent's row: empty if it isn't there, None if Stripe says null."""
    value: Any = parent_row
    for name in parent.embedded.split(".") if parent.embedded else ():
        value = value.get(name, {}) if isinstance(value, (dict, TypedObject)) else {}
        if value is None:
            return None
    return value if isinstance(value, dict) and value is not parent_row else {}


def _holds_objects(data: object) -> bool:
    return isinstance(data, list) and all(isinstance(row, dict) for row in data)


def without_lists(parent_row: Object, parents: Iterable[Parent]) -> Object:
    """The parent's row as it is when nobody asks for its children."""
    for parent in parents:
        if parent.embedded is not None:
            parent_row = _without(parent_row, parent.embedded.split("."))
    return parent_row


def _without(row: Object, names: Sequence[str]) -> Object:
    name, *rest = names
    inner = row.get(name)
    if not rest:
        return {key: value for key, value in row.items() if key != name}
    return {**row, name: _without(inner, rest)} if isinstance(inner, dict) else row
