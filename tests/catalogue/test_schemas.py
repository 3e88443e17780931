from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from jsonschema import Draft202012Validator
from singer_sdk.schema.source import SchemaDirectory, StreamSchema

from tap_stripe_conn.catalogue import schemas as package
from tools.catalogue.schemas import NESTED_LEVELS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from singer_sdk import Stream

    from tap_stripe_conn.catalogue.resources import Catalogue


def nested(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """A schema and all below it."""
    yield schema
    inner = [*schema.get("properties", {}).values(), schema.get("items")]
    inner.append(schema.get("additionalProperties"))
    for found in inner:
        if isinstance(found, dict):
            yield from nested(found)


def depth(schema: Mapping[str, Any]) -> int:
    """How many typed objects stand in one another; the row itself is one."""
    below = [depth(found) for found in schema.get("properties", {}).values()]
    below += [depth(schema[k]) for k in ("items", "additionalProperties") if _is_schema(schema, k)]
    frame = {"data", "has_more"} <= schema.get("properties", {}).keys()
    return max(below, default=0) + (1 if schema.get("properties") and not frame else 0)


def _level(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema without those below it, and without prose."""
    level = {key: {} if _is_schema(schema, key) else schema[key] for key in schema}
    level |= {"properties": {}} if "properties" in schema else {}
    return level | ({"description": ""} if isinstance(schema.get("description"), str) else {})


def _is_schema(schema: Mapping[str, Any], key: str) -> bool:
    return isinstance(schema.get(key), dict)


def test_every_stream_has_a_schema_and_every_schema_a_stream(
    catalogue: Catalogue, schemas: Mapping[str, Any]
) -> None:
    assert {resource.schema for resource in catalogue.resources.values()} == schemas.keys()


def test_the_number_of_columns_never_falls_silently(schemas: Mapping[str, Any]) -> None:
    assert len(schemas) >= 129
    assert sum(len(schema["properties"]) for schema in schemas.values()) >= 2342
    every = [found for schema in schemas.values() for found in nested(schema)]
    assert sum(len(found.get("properties", ())) for found in every) >= 14000
    times = [found for found in every if found.get("format") == "date-time"]
    assert len(times) >= 169


def test_every_schema_is_valid(schemas: Mapping[str, Any]) -> None:
    # A schema is valid if each level of it is; many levels are the same.
    levels = {
        json.dumps(_level(found), sort_keys=True)
        for schema in schemas.values()
        for found in nested(schema)
    }
    for level in levels:
        Draft202012Validator.check_schema(json.loads(level))


def test_the_singer_sdk_loads_every_schema(schemas: Mapping[str, Any]) -> None:
    directory = SchemaDirectory(package)
    stream = cast("Stream", SimpleNamespace(primary_keys=("id",)))
    for name, schema in schemas.items():
        loaded: StreamSchema[str] = StreamSchema(directory, key=name)
        assert loaded.get_stream_schema(stream, type(stream)) == schema


def test_only_the_key_is_never_null(schemas: Mapping[str, Any]) -> None:
    for name, schema in schemas.items():
        key = "id" if "id" in schema["properties"] else "object"
        for column, found in schema["properties"].items():
            if column == key:
                assert found["type"] == "string", name
            else:
                assert "null" in found["type"], f"{name}.{column}"


def test_nothing_is_required_or_an_enum_or_of_a_format_but_date_time(
    schemas: Mapping[str, Any],
) -> None:
    known = {"type", "properties", "additionalProperties", "items", "format", "description"}
    for schema in schemas.values():
        for found in nested(schema):
            assert found.keys() <= known
            assert found.get("format", "date-time") == "date-time"


def test_nested_objects_keep_what_they_do_not_name_and_rows_do_not(
    schemas: Mapping[str, Any],
) -> None:
    for schema in schemas.values():
        row, *below = nested(schema)
        assert "additionalProperties" not in row
        for found in below:
            if "object" in found.get("type", ()):
                assert found["additionalProperties"]
                assert "properties" in found


def test_nested_objects_are_typed_three_levels_deep(schemas: Mapping[str, Any]) -> None:
    depths = {name: depth(schema) for name, schema in schemas.items()}
    assert max(depths.values()) == NESTED_LEVELS + 1
    price = schemas["subscription"]["properties"]["items"]["properties"]["data"]["items"]
    assert "unit_amount" in price["properties"]["price"]["properties"]


def test_only_columns_are_times(schemas: Mapping[str, Any]) -> None:
    period = schemas["line_item"]["properties"]["period"]["properties"]
    assert period["end"] == {"type": ["integer", "null"]}
    assert schemas["invoice"]["properties"]["due_date"]["format"] == "date-time"
    assert schemas["v2.core.event"]["properties"]["created"]["format"] == "date-time"


def test_an_object_inside_an_error_is_open(schemas: Mapping[str, Any]) -> None:
    error = schemas["payment_intent"]["properties"]["last_payment_error"]["properties"]
    assert error["payment_method"] == {
        "type": ["object", "null"],
        "properties": {},
        "additionalProperties": True,
    }


@pytest.mark.parametrize(
    ("name", "column", "kind"),
    [
        ("charge", "customer", "string"),  # expandable
        ("charge", "metadata", "object"),
        ("charge", "amount", "integer"),
        ("price", "unit_amount_decimal", "string"),
        ("tax_rate", "percentage", "number"),
        ("invoice", "discounts", "array"),
        ("customer", "deleted", "boolean"),
        ("v2.money_management.outbound_payment", "from", "object"),
        ("external_account", "routing_number", "string"),  # a bank account's
        ("external_account", "exp_month", "integer"),  # a card's
        ("v2.core.event", "data", "object"),
        ("v2.core.event", "related_object", "object"),
        ("v2.core.event", "changes", "object"),
    ],
)
def test_a_column_has_the_type_that_stripe_sends(
    schemas: Mapping[str, Any], name: str, column: str, kind: str
) -> None:
    assert schemas[name]["properties"][column]["type"] == [kind, "null"]


def test_columns_say_what_they_are(schemas: Mapping[str, Any]) -> None:
    columns = [c for schema in schemas.values() for c in schema["properties"].values()]
    described = [column for column in columns if "description" in column]
    assert len(described) >= 2037
    assert schemas["charge"]["properties"]["captured"]["description"] == (
        "If the charge was created without capturing, this Boolean represents whether it is"
        " still uncaptured or has since been captured."
    )
