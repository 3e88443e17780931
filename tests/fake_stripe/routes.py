"""Which URL is which: every endpoint of the catalogue's streams, derived from their paths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tests.fake_stripe.filters import accepted

if TYPE_CHECKING:
    from tap_stripe_conn.catalogue.resources import Catalogue, Resource


WITHOUT_RETRIEVAL = frozenset(
    {
        "checkout_session_line_items",
        "credit_note_line_items",
        "financial_connections_account_owners",
        "invoice_line_items",
        "payment_intent_amount_details_line_items",
        "payment_link_line_items",
        "quote_computed_upfront_line_items",
        "quote_line_items",
        "setup_attempts",
    }
)
"""Streams whose rows Stripe only lists: `stripe` 16.1.0 has no method to retrieve one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """An endpoint, matched to a request's path."""

    resource: Resource
    kind: Literal["list", "retrieve", "singleton"]
    parameters: frozenset[str]
    parent: str | None = None
    """The parent's id, when the path holds it."""

    id: str | None = None
    """The object's id, when the path names one."""


class Routes:
    """The server's table of URLs."""

    def __init__(self, catalogue: Catalogue) -> None:
        """Index the catalogue's paths."""
        self._fixed: dict[str, Resource] = {}
        self._nested: dict[tuple[str, str], Resource] = {}
        self._accepted: dict[str, frozenset[str]] = {}
        self.linked: dict[str, Resource] = {}
        """Children that share a top-level list's path, by their own name."""

        self.by_path: dict[str, list[Resource]] = {}
        for resource in catalogue.resources.values():
            self.by_path.setdefault(resource.path, []).append(resource)
        for path, resources in self.by_path.items():
            owner = next((r for r in resources if r.parent is None), resources[0])
            self._accepted[path] = frozenset().union(*map(accepted, resources))
            self.linked.update({r.name: owner for r in resources if r is not owner})
            if "{" in path:
                before, _, after = path.partition("{")
                self._nested[before, after.partition("}")[2]] = owner
            else:
                self._fixed[path] = owner

    def match(self, path: str) -> Route | None:
        """The endpoint at a path, or None."""
        if resource := self._fixed.get(path):
            return self._route(resource, None, None)
        above, _, last = path.rpartition("/")
        if not last:
            return None
        if (resource := self._fixed.get(above)) and not resource.singleton:
            return self._route(resource, None, last)
        return self._match_nested(path, None) or self._match_nested(above, last)

    def _match_nested(self, path: str, identifier: str | None) -> Route | None:
        segments = path.split("/")
        for position in range(3, len(segments)):
            before = "/".join(segments[:position]) + "/"
            after = "/".join(["", *segments[position + 1 :]])
            if after == "/":
                continue
            resource = self._nested.get((before, after))
            if resource and segments[position]:
                return self._route(resource, segments[position], identifier)
        return None

    def _route(
        self, resource: Resource, parent: str | None, identifier: str | None
    ) -> Route | None:
        if identifier is not None and resource.name in WITHOUT_RETRIEVAL:
            return None
        if identifier is not None:
            kind: Literal["list", "retrieve", "singleton"] = "retrieve"
        else:
            kind = "singleton" if resource.singleton else "list"
        parameters = self._accepted[resource.path]
        if kind != "list":
            parameters = frozenset({"expand", "include"}) & (parameters | {"expand", "include"})
        return Route(
            resource=resource,
            kind=kind,
            parameters=parameters,
            parent=parent,
            id=identifier,
        )
