"""What Stripe can list, as data: one `Resource` a stream, read from catalogue.json."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

ApiMode: TypeAlias = Literal["v1", "v2"]
CreatedFilter: TypeAlias = Literal["range", "rfc3339", "rfc3339_flat", "after_before"]
"""How a list is narrowed to a span of creation time.

* `range`: `created[gte]`, `created[lt]` … in Unix seconds (v1)
* `after_before`: `created_after`, `created_before` in Unix seconds (v1 payment records)
* `rfc3339`: `created[gte]`, `created[lt]` … as RFC 3339 (v2)
* `rfc3339_flat`: `created_gte`, `created_lt` … as RFC 3339 (v2 product catalog imports)
"""

Changes: TypeAlias = Literal[
    "feed",
    "feed_and_window",
    "feed_and_all",
    "append_only",
    "window",
    "snapshot",
    "parent",
    "parent_and_all",
]
"""How the changes of a stream's rows are caught after its first run.

* `feed`: `/v1/events` tells of new, changed and deleted rows
* `feed_and_window`: of some changes only; once a day the rows of the last days are read again
* `feed_and_all`: of some changes only; once a day all rows are read again
* `append_only`: no events, but rows never change; each run lists the new ones
* `window`: no events; each run lists the new rows, once a day those of the last days again
* `snapshot`: each run reads all rows
* `parent`: with each row of its parent that is new, changed, read again, or named by its own events
* `parent_and_all`: the same, and once a day all rows are read again
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """Where a child's rows hang: it is listed once for each row of its parent."""

    stream: str
    """Name of the parent's stream, always a top-level list."""

    column: str
    """Column of the child's rows that holds the parent's id (`invoice`)."""

    param: str
    """Stripe's name for the parent's id, in the child's path or query (`invoice`, `id`)."""

    location: Literal["path", "query"]
    """Where `param` goes."""

    embedded: str | None = None
    """Dotted field of the parent's row that holds the first page of this list (`lines`)."""

    embedded_by_expand: bool = False
    """Whether `embedded` is only there when the parent's list is asked to expand it."""

    where: Mapping[str, Any] = field(default_factory=dict)
    """Values that a parent's row must have to have children (`automatic: true`)."""

    params: Mapping[str, str] = field(default_factory=dict)
    """Further required query parameters: name -> field of the parent's row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A stream's place in Stripe's API."""

    name: str
    """The stream's name: plural, snake case, from the path."""

    path: str
    """`/v1/invoices/{invoice}/lines`; braces only around `parent.param`."""

    retrieve: str | None = None
    """Path of one row, `/v1/charges/{charge}`; braces only around the id.

    None where there is none, and for children whose rows do not say whose they are.
    """

    api_mode: ApiMode

    singleton: bool = False
    """Whether `path` answers with the one row itself instead of a list."""

    schema: str
    """Stem of the JSON Schema file in `schemas/`."""

    objects: tuple[str, ...]
    """Values that a row's `object` may have; more than one where Stripe mixes kinds."""

    primary_key: tuple[str, ...]

    created_filter: CreatedFilter | None = None

    created_field: str | None = None
    """Property with a row's creation time, where it has one (`created`, `date`)."""

    cursor: Literal["starting_after", "next_page_url"] | None = None
    """How the next page is asked for; None where one answer holds everything."""

    page_size: int | None = None
    """The largest `limit` that Stripe takes; None where there is no such parameter."""

    params: Mapping[str, str] = field(default_factory=dict)
    """Constant query parameters, without which Stripe hides rows (`status: all`)."""

    expand: tuple[str, ...] = ()
    """Fields of a row that only come when asked for (`tiers`), v1's `expand[]`."""

    parent: Parent | None = None

    event_types: tuple[str, ...] = ()
    """Types of `/v1/events` (v1) or `/v2/core/events` (v2) that tell of changes to a row."""

    changes: Changes = "snapshot"
    """How changes of rows are caught; reading all is what never fails."""

    told_of_creation: bool = False
    """Whether `event_types` tell of every new row, so that the list needn't be asked for them."""

    removals: tuple[str, ...] = ()
    """Those of `event_types` after which the row is gone."""

    mentioned_by: Mapping[str, str] = field(default_factory=dict)
    """Types of events about another object with which a row changes -> that object's field that
    names the row."""

    told_though_hidden: bool = False
    """Whether events tell of objects that the list leaves out, and that are rows nevertheless."""

    on_test_clocks: bool = False
    """Whether the list leaves out what belongs to a test clock, which events tell of."""

    chosen_ids: bool = False
    """Whether ids are the user's choice, so that one can be used again after a deletion."""

    untold: str = ""
    """One sentence on the changes that Stripe tells nobody of; empty where there are none."""

    secrets: tuple[str, ...] = ()
    """Top-level properties that are dropped, because they are secrets (`client_secret`)."""

    description: str = ""
    """One sentence on what a row is."""

    @property
    def incremental(self) -> bool:
        """Whether a run can read less than all rows and still catch what changed."""
        return self.changes != "snapshot"

    @property
    def listed_by_time(self) -> bool:
        """Whether new rows can be asked for by their creation time."""
        return self.created_filter is not None and self.created_field is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """Everything that one version of Stripe's API offers as streams."""

    api_version: str
    """The `Stripe-Version` that the schemas describe (`2026-10-28.endive`)."""

    secret_keys: frozenset[str]
    """Names of properties that are secret wherever they stand."""

    object_secrets: Mapping[str, frozenset[str]]
    """Properties that are secret in one kind of object, wherever it stands: `object` -> names."""

    resources: Mapping[str, Resource]
    """By stream name, in alphabetical order."""


@cache
def load_catalogue() -> Catalogue:
    """Read the generated catalogue; cached, and cheap (a few milliseconds)."""
    document = json.loads(files(__package__).joinpath("catalogue.json").read_bytes())
    resources = (_resource(entry) for entry in document["streams"])
    return Catalogue(
        api_version=document["api_version"],
        secret_keys=frozenset(document["secret_keys"]),
        object_secrets={
            kind: frozenset(names) for kind, names in document["object_secrets"].items()
        },
        resources={resource.name: resource for resource in resources},
    )


def _resource(entry: Mapping[str, Any]) -> Resource:
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in entry.items()
    }
    if parent := values.get("parent"):
        values["parent"] = Parent(**parent)
    return Resource(**values)
