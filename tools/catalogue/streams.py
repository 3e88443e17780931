"""The streams: every list endpoint as a `Resource`, with what `overrides` adds to it."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from tap_stripe_conn.catalogue import overrides
from tap_stripe_conn.catalogue.resources import Parent, Resource
from tools.catalogue.attributes import attributes
from tools.catalogue.changes import with_changes
from tools.catalogue.events import event_objects
from tools.catalogue.prose import description
from tools.catalogue.sdk import UnresolvedNameError
from tools.catalogue.secrets import is_secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tools.catalogue.endpoints import Endpoint
    from tools.catalogue.sdk import Sdk
    from tools.catalogue.timestamps import Timestamps

_V1_PAGE_SIZE = 100  # docs.stripe.com/api/pagination
_MAXIMUM = re.compile(r"[Mm]aximum is (\d+)")
_VARIABLE = re.compile(r"\{(\w+)\}")


class Streams:
    """Makes a `Resource` of each endpoint that is a stream."""

    def __init__(self, sdk: Sdk, endpoints: Mapping[str, Endpoint], timestamps: Timestamps) -> None:
        """Take what has been read; nothing more is read from files."""
        self._sdk = sdk
        self._timestamps = timestamps
        self.endpoints = _by_name(endpoints)
        self._rows = [path for path, endpoint in endpoints.items() if not endpoint.is_list]
        objects = {cls.object_name for e in self.endpoints.values() for cls in e.classes}
        self.event_objects = event_objects(sdk, {name for name in objects if name})

    def resources(self) -> list[Resource]:
        """All streams, in order of name."""
        found = [self._resource(name, self.endpoints[name]) for name in self.endpoints]
        found.append(_payout_balance_transactions(found))
        return sorted(with_changes(found, self.event_objects), key=lambda resource: resource.name)

    def _resource(self, name: str, endpoint: Endpoint) -> Resource:
        objects = tuple(sorted(str(cls.object_name) for cls in endpoint.classes))
        parent = self._parent(name, endpoint)
        return Resource(
            name=name,
            path=endpoint.path,
            retrieve=self._retrieve(endpoint, parent),
            api_mode="v2" if endpoint.path.startswith("/v2/") else "v1",
            singleton=not endpoint.is_list,
            schema=schema_name(endpoint),
            objects=objects,
            primary_key=self._primary_key(name, endpoint, parent),
            created_filter=endpoint.created_filter,
            created_field=self._created_field(name, endpoint),
            cursor=_cursor(endpoint),
            page_size=_page_size(endpoint),
            params=overrides.PARAMS.get(name, {}),
            expand=overrides.EXPAND.get(name, ()),
            parent=parent,
            event_types=self._event_types(name, objects),
            secrets=self._secrets_of(endpoint),
            description=overrides.DESCRIPTIONS.get(name)
            or description(endpoint.classes[0].docstring),
        )

    def _primary_key(self, name: str, endpoint: Endpoint, parent: Parent | None) -> tuple[str, ...]:
        if not all("id" in attributes(self._sdk, cls) for cls in endpoint.classes):
            return ("object",)
        if name in overrides.COMPOSITE_KEYS and parent:
            return (parent.column, "id")
        return ("id",)

    def _parent(self, name: str, endpoint: Endpoint) -> Parent | None:
        required = endpoint.required_parameters
        if variable := _VARIABLE.search(endpoint.path):
            prefix = endpoint.path[: variable.start() - 1]
            stream = next(n for n, e in self.endpoints.items() if e.path == prefix)
            param, location = variable.group(1), "path"
        elif name in overrides.QUERY_PARENTS and len(required) == 1:
            stream = overrides.QUERY_PARENTS[name]
            param, location = required.pop(), "query"
        else:
            stream, param, location = "", "", "none"
        further = overrides.PARENT_PARAMS.get(name, {})
        if set(required) != set(further):
            msg = f"{endpoint.path} requires {required}: name its parent, or leave it out."
            raise UnresolvedNameError(msg)
        if not stream:
            return None
        by_expand = overrides.EMBEDDED_BY_EXPAND.get(name)
        return Parent(
            stream=stream,
            column=overrides.PARENT_COLUMNS.get(name, param),
            param=param,
            location="path" if location == "path" else "query",
            embedded=by_expand or overrides.EMBEDDED.get(name),
            embedded_by_expand=by_expand is not None,
            params=further,
        )

    def _retrieve(self, endpoint: Endpoint, parent: Parent | None) -> str | None:
        if parent is not None and not (
            parent.location == "query"
            and all(parent.column in attributes(self._sdk, cls) for cls in endpoint.classes)
        ):
            return None
        row = re.compile(re.escape(endpoint.path) + r"/\{\w+\}")
        return next(filter(row.fullmatch, self._rows), None)

    def _created_field(self, name: str, endpoint: Endpoint) -> str | None:
        field = overrides.CREATED_FIELDS.get(name, "created")
        for cls in endpoint.classes:
            found = attributes(self._sdk, cls).get(field)
            if not (found and self._timestamps.is_time(str(cls.object_name), found)):
                return None
        return field

    def _event_types(self, name: str, objects: tuple[str, ...]) -> tuple[str, ...]:
        prefixes = overrides.EVENT_PREFIXES.get(name, ("",))
        return tuple(
            sorted(
                kind
                for kind, told in self.event_objects.items()
                if set(told) & set(objects) and kind.startswith(prefixes)
            )
        )

    def _secrets_of(self, endpoint: Endpoint) -> tuple[str, ...]:
        names = {
            name
            for cls in endpoint.classes
            for name in attributes(self._sdk, cls)
            if is_secret(cls, name)
        }
        return tuple(sorted(names))


def schema_name(endpoint: Endpoint) -> str:
    """The stem of the schema's file: the object's name, or Stripe's name for a mix."""
    objects = tuple(sorted(str(cls.object_name) for cls in endpoint.classes))
    return objects[0] if len(objects) == 1 else overrides.SCHEMA_NAMES[objects]


def stream_name(path: str) -> str:
    """The name of the stream that a path lists.

    Examples:
        >>> stream_name("/v1/transfers/{id}/reversals")
        'transfer_reversals'
        >>> stream_name("/v2/core/events")
        'v2_core_events'
    """
    if path in overrides.NAMES:
        return overrides.NAMES[path]
    words: list[str] = []
    for segment in path.removeprefix("/v1/").strip("/").split("/"):
        if _VARIABLE.fullmatch(segment):
            words[-1] = words[-1].removesuffix("s")
        else:
            words.append(segment)
    return "_".join(words)


def _by_name(endpoints: Mapping[str, Endpoint]) -> dict[str, Endpoint]:
    lists = {
        stream_name(path): endpoint
        for path, endpoint in endpoints.items()
        if endpoint.is_list and path not in overrides.LEFT_OUT
    }
    return lists | {name: endpoints[path] for name, path in overrides.SINGLETONS.items()}


def _cursor(endpoint: Endpoint) -> Literal["starting_after", "next_page_url"] | None:
    if not endpoint.is_list:
        return None
    if endpoint.path.startswith("/v2/"):
        return "next_page_url"
    return "starting_after" if "starting_after" in endpoint.parameters else None


def _page_size(endpoint: Endpoint) -> int | None:
    if not endpoint.is_list or "limit" not in endpoint.parameters:
        return None
    if endpoint.path.startswith("/v1/"):
        return _V1_PAGE_SIZE
    maximum = _MAXIMUM.search(endpoint.parameters["limit"].doc)
    return int(maximum.group(1)) if maximum else overrides.V2_PAGE_SIZE


def _payout_balance_transactions(resources: list[Resource]) -> Resource:
    """Which balance transactions each automatic payout paid out.

    docs.stripe.com/api/balance_transactions/list: `payout` is "for automatic Stripe payouts only".
    """
    listed = next(r for r in resources if r.name == "balance_transactions")
    return replace(
        listed,
        name="payout_balance_transactions",
        description=overrides.DESCRIPTIONS["payout_balance_transactions"],
        retrieve=None,
        primary_key=("payout", "id"),
        created_filter=None,
        parent=Parent(
            stream="payouts",
            column="payout",
            param="payout",
            location="query",
            where={"automatic": True},
        ),
    )
