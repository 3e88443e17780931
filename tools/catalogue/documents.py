"""The generated files, as text by their path."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tap_stripe_conn.catalogue import overrides
from tools.catalogue.attributes import attributes
from tools.catalogue.endpoints import endpoints
from tools.catalogue.schemas import SchemaBuilder
from tools.catalogue.sdk import Sdk, UnresolvedNameError
from tools.catalogue.streams import Streams, schema_name
from tools.catalogue.timestamps import Timestamps

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tap_stripe_conn.catalogue.resources import Changes, Resource

CATALOGUE = Path("tap_stripe_conn/catalogue/catalogue.json")
NOTICE = Path("tap_stripe_conn/catalogue/NOTICE")
SCHEMAS = Path("tap_stripe_conn/catalogue/schemas")
TABLE = Path("docs/streams.md")


def documents() -> dict[Path, str]:
    """Everything that is generated: path from the root of the repository -> content.

    Raises:
        UnreviewedTimestampError: A property may be a time, and nobody has decided.
        UnresolvedNameError: A name, parent or event leads nowhere.
        UnknownAnnotationError: The SDK describes a property in a new way.
        SchemaConflictError: Kinds of objects in one list disagree.
    """
    sdk = Sdk()
    timestamps = Timestamps.load()
    streams = Streams(sdk, endpoints(sdk), timestamps)
    timestamps.review(
        {
            str(cls.object_name): attributes(sdk, cls)
            for endpoint in streams.endpoints.values()
            for cls in endpoint.classes
        }
    )
    resources = streams.resources()
    _review_events(streams, resources)
    builder = SchemaBuilder(sdk, timestamps)
    found = {
        CATALOGUE: _json(_catalogue(sdk, resources)),
        NOTICE: _notice(sdk),
        TABLE: _table(sdk, resources),
    }
    for endpoint in streams.endpoints.values():
        name = schema_name(endpoint)
        found[SCHEMAS / f"{name}.json"] = _json(builder.build(endpoint.classes))
    return found


def _review_events(streams: Streams, resources: Iterable[Resource]) -> None:
    listed = {name for resource in resources for name in resource.objects}
    told = {name for objects in streams.event_objects.values() for name in objects}
    unknown = sorted(told - listed - overrides.EVENTS_WITHOUT_STREAM.keys())
    if unknown:
        msg = f"Events tell of {unknown}, which no stream has: say why in EVENTS_WITHOUT_STREAM."
        raise UnresolvedNameError(msg)


def _catalogue(sdk: Sdk, resources: Iterable[Resource]) -> Mapping[str, Any]:
    return {
        "api_version": sdk.api_version,
        "sdk_version": sdk.version,
        "secret_keys": sorted(overrides.SECRET_KEYS),
        "object_secrets": {
            kind: sorted(names) for kind, names in sorted(overrides.OBJECT_SECRETS.items())
        },
        "streams": [_without_defaults(resource) for resource in resources],
    }


def _without_defaults(value: Any) -> dict[str, Any]:  # noqa: ANN401  # any dataclass
    found = {}
    for field in fields(value):
        content = getattr(value, field.name)
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        if content != default:
            found[field.name] = _without_defaults(content) if is_dataclass(content) else content
    return found


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _notice(sdk: Sdk) -> str:
    return (
        "The descriptions in catalogue.json and schemas/ are taken from docstrings of the Python\n"
        f"package `stripe` {sdk.version}, which is under the MIT License:\n\n{sdk.licence}"
    )


def _table(sdk: Sdk, resources: list[Resource]) -> str:
    rows = [
        f"| `{resource.name}` | `{resource.path}` | {_code(resource.primary_key)} "
        f"| {_CHANGES[resource.changes][0]} "
        f"| {_code([resource.parent.stream] if resource.parent else [])} |"
        for resource in resources
    ]
    legend = [f"| {short} | {meaning} |" for short, meaning in _CHANGES.values()]
    untold = [f"| `{each.name}` | {each.untold} |" for each in resources if each.untold]
    hidden = [f"| `{name}` | {what} |" for name, what in overrides.HIDDEN.items()]
    left_out = [f"| `{path}` | {why} |" for path, why in overrides.LEFT_OUT.items()]
    return "\n".join(
        [
            "# Streams",
            "",
            f"{len(resources)} streams, as in Stripe's API version `{sdk.api_version}`.",
            "This page is written by `python -m tools.catalogue`.",
            "",
            "A stream with a parent is read with the rows of its parent, and its rows carry the",
            "parent's id.",
            "How the changes of rows are caught after a stream's first run, of which",
            "[Updates and deletions](changes.md) says more:",
            "",
            "| changes | how |",
            "|---|---|",
            *legend,
            "",
            "Events are those of `/v1/events`, which Stripe keeps for 30 days.",
            "The last days are those of the setting `mutable_window_days`, by rows' creation.",
            "Where events tell of no new rows, or not of all, each run also lists what is new.",
            "",
            "| stream | Stripe's path | key | changes | parent |",
            "|---|---|---|---|---|",
            *rows,
            "",
            "## What Stripe does not tell",
            "",
            "Changes that no event tells of, or none for sure.",
            "What is read again once a day, or whole, has them nevertheless:",
            "",
            "| stream | not told |",
            "|---|---|",
            *untold,
            "",
            "## What Stripe does not list",
            "",
            "Rows that these lists leave out:",
            "",
            "| stream | left out |",
            "|---|---|",
            *hidden,
            "",
            "Lists that are no streams:",
            "",
            "| Stripe's path | why |",
            "|---|---|",
            *left_out,
            "",
        ]
    )


_CHANGES: Mapping[Changes, tuple[str, str]] = {
    "feed": ("events", "events tell of new, changed and deleted rows"),
    "feed_and_window": (
        "events, last days",
        "events tell of some changes; once a day the rows of the last days are read again",
    ),
    "feed_and_all": (
        "events, all",
        "events tell of some changes; once a day all rows are read again",
    ),
    "append_only": ("new rows", "rows never change: each run reads the new ones"),
    "window": (
        "new rows, last days",
        "no events: each run reads the new rows; once a day those of the last days again",
    ),
    "snapshot": ("whole", "each run reads all rows; what is gone comes no more"),
    "parent": (
        "with parent",
        "read with each row of the parent that is new, changed, read again, or named by events",
    ),
    "parent_and_all": ("with parent, all", "the same, and once a day all rows are read again"),
}
"""Class -> in short, and what it means."""


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
