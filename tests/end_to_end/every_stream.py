"""An account with rows in every stream, read twice: in between rows change, and some go."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, TypeAlias

from tests.end_to_end.strange import add_strange_rows
from tests.end_to_end.tap import Tap, settings_for
from tests.end_to_end.truth import seed_everything, without_secrets
from tests.fake_stripe import FakeStripe

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.end_to_end.tap import Output, Row

Key: TypeAlias = tuple[str, ...]
Table: TypeAlias = "dict[Key, Row]"
"""Rows by their primary key, without the columns that begin with an underscore."""

CHANGES: Mapping[str, object] = {
    "metadata": {"changed": "yes"},
    "description": "changed",
    "name": "changed",
    "status": "changed",
    "payments": {"changed": "yes"},
    "default_currency": "xxx",
    "rates": {"changed": 0.5},
    "title": "changed",
    "product_name": "changed",
    "available": [{"amount": -1, "currency": "jpy"}],
    "livemode": True,
}
"""Columns to change, the first one that a stream has, and their new values."""

GONE: Mapping[str, str | None] = {
    "account_external_accounts": "accounts",
    "account_persons": "accounts",
    "apps_installs": None,
    "coupons": None,
    "customer_sources": "customers",
    "customer_tax_ids": "customers",
    "customers": None,
    "invoice_items": None,
    "invoices": None,
    "plans": None,
    "prices": None,
    "products": None,
    "test_clocks": None,
}
"""Streams of which a row is deleted and told by an event, and where their parents are."""

GONE_UNTOLD = ("webhook_endpoints", "tax_ids")
"""Streams that are read whole, of which a row goes without an event."""

OLD_VERSION = "2020-08-27"


@dataclass(frozen=True, slots=True)
class Reading:
    """What two runs wrote, and what there is at their end."""

    stripe: FakeStripe
    tap: Tap
    first: Output
    second: Output
    rows: Mapping[str, Table]
    """What Stripe has after the second run, by stream."""

    gone: Mapping[str, set[Key]]
    """Keys of the rows that went between the runs."""

    @property
    def schemas(self) -> dict[str, dict[str, Any]]:
        """JSON Schemas of the columns, by stream and column."""
        return {name: schema["properties"] for name, schema in self.second.schemas.items()}

    def key(self, stream: str) -> tuple[str, ...]:
        """Names of the columns of a stream's primary key."""
        return self.stripe.catalogue.resources[stream].primary_key


@contextmanager
def read_twice(directory: Path) -> Iterator[Reading]:
    """Read every stream, and all of it once more after a change of the API version."""
    stripe = FakeStripe()
    seed_everything(stripe, rows=2)
    add_strange_rows(stripe)
    doomed = {stream: _add(stripe, stream, above) for stream, above in GONE.items()}
    doomed_untold = {stream: stripe.add(stream)["id"] for stream in GONE_UNTOLD}
    with stripe:
        tap = Tap(directory, {**settings_for(stripe), "emit_activate_version_messages": True})
        first = _succeeding(tap.run())
        for stream in stripe.catalogue.resources:
            _change_one(stripe, stream)
        for stream, (parent, identifier) in doomed.items():
            stripe.life.delete(stream, identifier, parent=parent)
        for stream, identifier in doomed_untold.items():
            stripe.delete(stream, identifier)
        second = _succeeding(tap.run(state=_of_another_version(first.states[-1])))
        gone: dict[str, set[Key]] = {
            **{stream: {(identifier,)} for stream, (_, identifier) in doomed.items()},
            **{stream: {(identifier,)} for stream, identifier in doomed_untold.items()},
        }
        rows = {stream: _truth(stripe, stream) for stream in stripe.catalogue.resources}
        yield Reading(stripe, tap, first, second, rows, gone)


def in_column(value: Any, schema: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
    """A value of Stripe's as its column has it: times are such, in UTC without saying so."""
    if schema.get("format") != "date-time" or value is None:
        return value
    if isinstance(value, int):
        return datetime.fromtimestamp(value, timezone.utc).replace(tzinfo=None)
    return datetime.fromisoformat(value.replace("Z", ""))


def _add(stripe: FakeStripe, stream: str, above: str | None) -> tuple[str | None, str]:
    """Add a row. Returns its parent's id and its own."""
    parent = stripe.ids(above)[-1] if above else None
    fields = {"status": "draft"} if stream == "invoices" else {}
    return parent, stripe.add(stream, fields, parent=parent)["id"]


def _change_one(stripe: FakeStripe, stream: str) -> None:
    """Change the newest row of a stream, or of each parent's, untold by any event."""
    above = stripe.catalogue.resources[stream].parent
    columns = stripe.shapes.properties(stream)
    column = next(name for name in CHANGES if name in columns)
    for parent in stripe.ids(above.stream) if above else [None]:
        for identifier in stripe.ids(stream, parent=parent)[:1]:
            stripe.update(stream, identifier, {column: CHANGES[column]}, parent=parent)


def _of_another_version(state: dict[str, Any]) -> dict[str, Any]:
    """A state whose rows are of another API version: the next run reads all of them again."""
    bookmarks = {
        stream: {**bookmark, "api_version": OLD_VERSION}
        for stream, bookmark in state["bookmarks"].items()
    }
    return {**state, "bookmarks": bookmarks}


def _succeeding(output: Output) -> Output:
    assert output.code == 0, output.errors[-2000:]
    return output


def _truth(stripe: FakeStripe, stream: str) -> Table:
    """What Stripe has of a stream, without what the tap drops."""
    resource = stripe.catalogue.resources[stream]
    rows = []
    for parent, obj, listed in stripe.truth(stream):
        if listed:
            above = {resource.parent.column: parent} if resource.parent else {}
            row = without_secrets({**obj, **above}, stripe.catalogue)
            rows.append({name: row[name] for name in row if name not in resource.secrets})
    return {tuple(str(row[name]) for name in resource.primary_key): row for row in rows}
