"""JSON Schemas of Stripe's objects, in the form that Singer targets take best.

* Everything but the key may be null: the SDK does not tell absent from null. Nothing is required,
  nothing is an enum, as Stripe adds values any day.
* Three levels of nested objects are typed; below, and in a whole resource inside an error, objects
  are open. An open object still has `properties`, as the Singer SDK cannot conform one without.
* Nested objects take additional properties, so that a new field of Stripe's survives until the
  catalogue is generated anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from tools.catalogue.attributes import (
    Anything,
    Array,
    Expandable,
    Map,
    Objects,
    Page,
    Scalar,
    attributes,
)
from tools.catalogue.prose import first_sentence
from tools.catalogue.secrets import is_secret

if TYPE_CHECKING:
    from tools.catalogue.attributes import Attribute, Form
    from tools.catalogue.sdk import Sdk, SdkClass
    from tools.catalogue.timestamps import Timestamps

Schema: TypeAlias = "dict[str, Any]"

NESTED_LEVELS = 3

_OPEN_OBJECT: Schema = {"type": ["object", "null"], "properties": {}, "additionalProperties": True}
_DATE_TIME: Schema = {"type": ["string", "null"], "format": "date-time"}


class SchemaConflictError(TypeError):
    """Kinds of objects that one list mixes disagree on the type of a property."""


class SchemaBuilder:
    """Builds the schema of one API object, or of a mix of them, from their classes."""

    def __init__(self, sdk: Sdk, timestamps: Timestamps) -> None:
        """Take the decisions that the SDK's source does not hold."""
        self._sdk = sdk
        self._timestamps = timestamps

    def build(self, classes: tuple[SdkClass, ...]) -> Schema:
        """The schema of a row.

        Args:
            classes: What a row may be; their properties are merged.

        Raises:
            SchemaConflictError: Two classes disagree on the type of a property.
        """
        properties: dict[str, Schema] = {}
        for cls in classes:
            for attribute in attributes(self._sdk, cls).values():
                if not is_secret(cls, attribute.name):
                    schema = self._column(cls, attribute)
                    properties[attribute.name] = _merged(
                        properties.get(attribute.name),
                        schema,
                        f"{cls.object_name}.{attribute.name}",
                    )
        key = "id" if "id" in properties else "object"
        properties[key] |= {"type": "string"}
        return {"type": "object", "properties": dict(sorted(properties.items()))}

    def _column(self, cls: SdkClass, attribute: Attribute) -> Schema:
        if self._timestamps.is_time(str(cls.object_name), attribute):
            schema = dict(_DATE_TIME)
        else:
            schema = self._value(attribute.form, level=1, in_error=False)
        if description := first_sentence(attribute.doc):
            schema = {"description": description, **schema}
        return schema

    def _value(self, form: Form, *, level: int, in_error: bool) -> Schema:  # noqa: PLR0911  # a return a form
        match form:
            case Scalar(type=kind):
                return {"type": [kind, "null"]}
            case Expandable():
                return {"type": ["string", "null"]}
            case Anything():
                return {}
            case Array(items=items):
                return {
                    "type": ["array", "null"],
                    "items": self._value(items, level=level, in_error=in_error),
                }
            case Page(items=items):
                return self._page(items, level=level, in_error=in_error)
            case Map(values=values):
                return self._map(values, level=level, in_error=in_error)
            case Objects(classes=classes):
                return self._object(classes, level=level, in_error=in_error)

    def _object(self, classes: tuple[SdkClass, ...], *, level: int, in_error: bool) -> Schema:
        if level > NESTED_LEVELS or (in_error and any(cls.object_name for cls in classes)):
            return dict(_OPEN_OBJECT)
        properties: dict[str, Schema] = {}
        for cls in classes:
            inside = in_error or cls.name.endswith("Error")
            for attribute in attributes(self._sdk, cls).values():
                if not is_secret(cls, attribute.name):
                    properties[attribute.name] = _merged(
                        properties.get(attribute.name),
                        self._value(attribute.form, level=level + 1, in_error=inside),
                        f"{cls.qualname}.{attribute.name}",
                    )
        return {**_OPEN_OBJECT, "properties": dict(sorted(properties.items()))}

    def _page(self, items: Form, *, level: int, in_error: bool) -> Schema:
        if level > NESTED_LEVELS:
            return dict(_OPEN_OBJECT)
        # Like an array, a page and a map are no level of their own.
        data = self._value(items, level=level, in_error=in_error)
        return {
            **_OPEN_OBJECT,
            "properties": {
                "data": {"type": ["array", "null"], "items": data},
                "has_more": {"type": ["boolean", "null"]},
                "object": {"type": ["string", "null"]},
                "url": {"type": ["string", "null"]},
            },
        }

    def _map(self, values: Form, *, level: int, in_error: bool) -> Schema:
        if level > NESTED_LEVELS or isinstance(values, Anything):
            return dict(_OPEN_OBJECT)
        inner = self._value(values, level=level, in_error=in_error)
        return {**_OPEN_OBJECT, "additionalProperties": inner}


def _merged(first: Schema | None, second: Schema, where: str) -> Schema:
    """One schema for a property that several kinds of objects have; the first one's description."""
    if first is None or first == second:
        return second
    types = [
        {k: v for k, v in s.items() if k not in {"description", "properties"}}
        for s in (first, second)
    ]
    if types[0] != types[1]:
        msg = f"{where} is {types[1]}, and elsewhere {types[0]}."
        raise SchemaConflictError(msg)
    if "properties" not in first:
        return first
    properties = dict(first["properties"])
    for name, schema in second["properties"].items():
        properties[name] = _merged(properties.get(name), schema, f"{where}.{name}")
    return {**first, "properties": dict(sorted(properties.items()))}
