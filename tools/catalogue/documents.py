"""The generated files, as text by their path."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tap_stripe_conn.catalogue import overrides
from tools.catalogue.attributes import attributes
from tools.catalogue.endpoints import endpoints
from tools.catalogue.pages import Described, pages
from tools.catalogue.references import references
from tools.catalogue.schemas import SchemaBuilder
from tools.catalogue.sdk import Sdk, UnresolvedNameError
from tools.catalogue.streams import Streams, schema_name
from tools.catalogue.timestamps import Timestamps

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tap_stripe_conn.catalogue.resources import Resource

CATALOGUE = Path("tap_stripe_conn/catalogue/catalogue.json")
NOTICE = Path("tap_stripe_conn/catalogue/NOTICE")
SCHEMAS = Path("tap_stripe_conn/catalogue/schemas")


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
    }
    schemas = {
        schema_name(endpoint): builder.build(endpoint.classes)
        for endpoint in streams.endpoints.values()
    }
    found |= {SCHEMAS / f"{name}.json": _json(schema) for name, schema in schemas.items()}
    return found | pages(
        Described(sdk.api_version, resources, schemas, references(sdk, streams, resources))
    )


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
