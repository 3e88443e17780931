"""What the project's server has, as the rows that a run must give."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tap_stripe_conn.catalogue.resources import Catalogue
    from tests.end_to_end.tap import Row
    from tests.fake_stripe import FakeStripe

Key: TypeAlias = tuple[str, ...]
"""A stream's name and the values of a row's primary key."""


def seed_everything(stripe: FakeStripe, *, rows: int) -> None:
    """Give every stream some rows; children are dealt out to their parents."""
    resources = stripe.catalogue.resources.values()
    for resource in sorted(resources, key=lambda resource: resource.parent is not None):
        if not resource.singleton:
            stripe.seed(resource.name, rows)


def rows_of(stripe: FakeStripe, stream: str) -> Iterator[Row]:
    """The objects of a stream with their parents' ids, as Stripe sends them."""
    parent = stripe.catalogue.resources[stream].parent
    if parent is None:
        for served in stripe.objects(stream):
            yield dict(served)
        return
    for identifier in stripe.ids(parent.stream):
        for served in stripe.objects(stream, parent=identifier):
            yield {**served, parent.column: identifier}


def keys_of(stripe: FakeStripe, streams: Sequence[str]) -> Counter[Key]:
    """The keys of all rows that the server has of some streams."""
    return keys_in(stripe, {stream: list(rows_of(stripe, stream)) for stream in streams})


def keys_in(stripe: FakeStripe, rows: Mapping[str, Sequence[Row]]) -> Counter[Key]:
    """The keys of rows, and how often each is there."""
    resources = stripe.catalogue.resources
    return Counter(
        (stream, *(row[name] for name in resources[stream].primary_key))
        for stream, listed in rows.items()
        for row in listed
    )


def without_secrets(value: Any, catalogue: Catalogue) -> Any:  # noqa: ANN401 - JSON
    """A value without the secrets that the tap drops, at any depth but in users' own `metadata`."""
    if isinstance(value, list):
        return [without_secrets(item, catalogue) for item in value]
    if isinstance(value, dict):
        kind = str(value.get("object"))
        secrets = catalogue.secret_keys | catalogue.object_secrets.get(kind, frozenset())
        kept = {name: item for name, item in value.items() if name not in secrets}
        return {
            name: item if name == "metadata" else without_secrets(item, catalogue)
            for name, item in kept.items()
        }
    return value
