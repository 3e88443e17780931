"""Rows that are what their schema says: they leave as Stripe wrote them, hardly touched.

A page is decoded by a type that is made of the stream's columns. What has to be looked at, such as
ids, times and what may be an expanded object, is decoded; all else stays the text that it is. A
page that doesn't fit, be it for a field that the schema lacks, or for an object in place of an id,
is none of this type: `RowShaper` takes it apart, value by value, which takes several times as long.
Both make the same rows. A field that the schema lacks is known from then on, and left out here too.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import msgspec
from msgspec import UNSET, Raw, UnsetType
from msgspec.structs import replace

from tap_stripe_conn.api.typed import TypedObject, page_decoder
from tap_stripe_conn.streams.rows import UPDATED_AT, JsonRows, rfc3339_of, time_of
from tap_stripe_conn.streams.secrets import METADATA

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from tap_stripe_conn.api.typed import PageDecoder
    from tap_stripe_conn.catalogue.resources import Resource
    from tap_stripe_conn.streams.rows import RowShaper

NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class TypedRows:
    """The type of one stream's rows, and what becomes of them."""

    def __init__(
        self, shaper: RowShaper, resource: Resource, *, decoded: Collection[str] = ()
    ) -> None:
        """Make the type.

        Args:
            shaper: Says which columns leave, and in which form.
            resource: Says what all rows have.
            decoded: Further fields that somebody will look into.
        """
        self._shaper = shaper
        self._resource = resource
        self._decoded = frozenset(decoded)
        self._json = msgspec.json.Encoder()
        self._unknown: dict[str, str] = {}
        """Fields that the schema lacks -> what they are called in the type."""

        self._pages = self._compile()

    @property
    def pages(self) -> PageDecoder:
        """Decodes a page of such rows."""
        if new := self._shaper.drift.keys() - self._unknown:
            self._unknown |= {
                name: f"unknown_{number}"
                for number, name in enumerate(sorted(new), start=len(self._unknown))
            }
            self._pages = self._compile()
        return self._pages

    def leave(
        self, rows: Sequence[TypedObject], updated: Mapping[str, str | int] = NOTHING
    ) -> JsonRows:
        """The rows as they leave.

        Args:
            rows: As they were decoded.
            updated: By id: the time of a change that is later than the row's creation.
        """
        self._count_unknown(rows)
        leaving = [self._changed(row, updated) for row in rows]
        if not self._shaper.secrets.may_be_in(self._undecoded_in(rows)):
            return JsonRows(leaving)
        return JsonRows([self._without_secrets(row) for row in leaving])

    def _undecoded_in(self, rows: Sequence[TypedObject]) -> bytes:
        """What is left undecoded of objects and lists, where secrets may stand."""
        return b"".join(
            [
                value
                for row in rows
                for name in self._undecoded
                if (value := getattr(row, name)) is not UNSET
            ]
        )

    def _changed(self, source: TypedObject, updated: Mapping[str, str | int]) -> TypedObject:
        changes: dict[str, Any] = {}
        for name in self._times:
            value = getattr(source, name)
            if type(value) is int:
                changes[name] = rfc3339_of(value)
        if (created := self._shaper.updated_from) is not None:
            moment = updated.get(source["id"]) if updated else None
            if moment is None:
                moment = changes.get(created) or time_of(source.get(created))
            changes[UPDATED_AT] = moment
        for name in self._looked_into:
            if (value := getattr(source, name)) is not UNSET:
                changes[name] = self._shaper.secrets.without(value)
        return replace(source, **changes, **self._left_out)

    def _without_secrets(self, row: TypedObject) -> TypedObject | Raw:
        if not self._shaper.secrets.may_be_in(self._undecoded_in([row])):
            return row
        text = self._json.encode(row)
        return Raw(self._json.encode(self._shaper.unstructured(msgspec.json.decode(text))))

    def _count_unknown(self, rows: Sequence[TypedObject]) -> None:
        for name, field in self._unknown.items():
            self._shaper.drift[name] += sum(getattr(row, field) is not UNSET for row in rows)

    def _compile(self) -> PageDecoder:
        row_type = _row_type(self._shaper, self._resource, self._decoded, self._unknown)
        names = set(row_type.__struct_fields__)
        self._times = sorted(self._shaper.times & names - {UPDATED_AT})
        left_out = [*(self._shaper.left_out & names), *self._unknown.values()]
        self._left_out = dict.fromkeys(left_out, UNSET)
        columns = self._shaper.columns.keys() - {METADATA}
        self._looked_into = sorted(columns & self._decoded)
        self._undecoded = [
            name
            for name in sorted(columns - self._decoded)
            if _type(self._shaper.columns[name]) is Raw
        ]
        return page_decoder(row_type)


def _row_type(
    shaper: RowShaper, resource: Resource, decoded: Collection[str], unknown: Mapping[str, str]
) -> type[TypedObject]:
    types: dict[str, Any] = dict.fromkeys(shaper.left_out, Raw)
    types |= {name: _type(column) for name, column in shaper.columns.items()}
    types |= {name: Any for name in decoded if types.get(name, Raw) is Raw}
    if resource.created_field is not None:
        types[resource.created_field] = _TIME
    required = {
        "id": str,
        resource.primary_key[-1]: str,
        "object": Literal[resource.objects],
    }
    optional = [name for name in types if name not in required]
    row_type = msgspec.defstruct(
        resource.name,
        [
            *required.items(),
            *((name, types[name], UNSET) for name in optional),
            *((field, Raw, UNSET) for field in unknown.values()),
        ],
        bases=(TypedObject,),
        rename={field: name for name, field in unknown.items()},
        forbid_unknown_fields=True,
        gc=False,
    )
    return cast("type[TypedObject]", row_type)


_TIME: Final = int | str | None | UnsetType

_SCALARS: Final[Mapping[frozenset[str], Any]] = {
    frozenset({"boolean"}): bool | None | UnsetType,
    frozenset({"integer"}): int | None | UnsetType,
    frozenset({"number"}): int | float | None | UnsetType,
    frozenset({"string"}): str | None | UnsetType,
}


def _type(column: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a type
    """What a column's values must be: no object where there is to be none; else anything."""
    if column.get("format") == "date-time":
        return _TIME
    kinds = _kinds(column)
    if "array" in kinds and "string" in _kinds(column.get("items") or {}):
        return list[str | None] | None | UnsetType
    return _SCALARS.get(kinds, Raw)


def _kinds(schema: Mapping[str, Any]) -> frozenset[str]:
    kinds = schema.get("type", ())
    return frozenset([kinds] if isinstance(kinds, str) else kinds) - {"null"}
