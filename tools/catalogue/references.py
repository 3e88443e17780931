"""Which stream a row's ids lead to: a charge's `customer` to `customers`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools.catalogue.attributes import Array, Expandable, Objects, attributes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tap_stripe_conn.catalogue.resources import Resource
    from tools.catalogue.attributes import Form
    from tools.catalogue.sdk import Sdk, SdkClass
    from tools.catalogue.streams import Streams

_DEPTH = 4
"""Objects within objects; the deepest known is a line's `parent.subscription_item_details`."""

UNTYPED: Mapping[tuple[str, str], str] = {
    # Docstrings: "The ID of the price this item is associated with", and so on; plain strings.
    ("invoice_line_items", "parent.invoice_item_details.invoice_item"): "invoice_items",
    ("invoice_line_items", "parent.subscription_item_details.subscription_item"): (
        "subscription_items"
    ),
    ("subscription_items", "subscription"): "subscriptions",
}
"""References that the SDK types as text: stream and column -> stream."""


def references(
    sdk: Sdk, streams: Streams, resources: list[Resource]
) -> Mapping[str, Mapping[str, str]]:
    """The references of each stream: its name -> dotted column -> the stream that has the row.

    What may be of several streams, or of none, is left out.
    """
    homes = _homes(resources)
    found: dict[str, dict[str, str]] = {}
    for resource in resources:
        endpoint = streams.endpoints.get(resource.name)
        columns = {
            path: homes[kind]
            for cls in (endpoint.classes if endpoint else ())
            for path, kind in _of_class(sdk, cls, "", 0)
            if kind in homes and homes[kind] != resource.name
        }
        columns |= {
            column: target for (name, column), target in UNTYPED.items() if name == resource.name
        }
        if resource.parent:
            columns[resource.parent.column] = resource.parent.stream
        if resource.name == "payout_balance_transactions":
            columns["id"] = "balance_transactions"
        found[resource.name] = dict(sorted(columns.items()))
    return found


def _homes(resources: list[Resource]) -> Mapping[str, str]:
    """The stream that lists all objects of a kind: lists before children and singletons."""
    homes: dict[str, str] = {}
    for resource in sorted(resources, key=lambda each: (each.parent is not None, each.singleton)):
        if len(resource.objects) == 1:
            homes.setdefault(resource.objects[0], resource.name)
    return homes


def _of_class(sdk: Sdk, cls: SdkClass, prefix: str, depth: int) -> Iterator[tuple[str, str]]:
    for attribute in attributes(sdk, cls).values():
        yield from _of_form(sdk, attribute.form, f"{prefix}{attribute.name}", depth)


def _of_form(sdk: Sdk, form: Form, path: str, depth: int) -> Iterator[tuple[str, str]]:
    match form:
        case Expandable(classes=(cls,)):
            yield path, str(cls.object_name)
        case Array(items=Expandable() as items):
            yield from _of_form(sdk, items, f"{path}[]", depth)
        case Objects(classes=(cls,)) if cls.object_name:
            yield f"{path}.id", cls.object_name
        case Objects(classes=(cls,)) if depth < _DEPTH:
            yield from _of_class(sdk, cls, f"{path}.", depth + 1)
