"""Shaping: from the object that Stripe sent to the row that leaves, compiled once per stream."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from tap_stripe_conn.streams.secrets import METADATA, NO_SECRETS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from tap_stripe_conn.api.client import Object
    from tap_stripe_conn.api.typed import TypedObject
    from tap_stripe_conn.streams.secrets import Secrets

Row: TypeAlias = dict[str, Any]
"""A row as it leaves: column -> JSON value."""

UPDATED_AT: Final = "_updated_at"
"""Time of the last known change: the replication key of incremental streams."""

DELETED_AT: Final = "_sdc_deleted_at"
"""Singer's column for the end of a row that is gone."""

_DAY: Final = 86_400
_EPOCH: Final = date(1970, 1, 1)
_FIRST_SECOND: Final = -62_135_596_800
_END_OF_TIME: Final = 253_402_300_800
"""Unix seconds of the years 1 and 10000, between which RFC 3339 has dates."""

_CONTAINERS: Final = frozenset({dict, list})


class UnexpectedObjectError(Exception):
    """Stripe sent an object of another kind than its list's."""


class JsonRows:
    """Rows that need only be encoded to leave."""

    def __init__(self, encodable: Sequence[TypedObject | msgspec.Raw]) -> None:
        """Take them."""
        self.encodable = encodable

    def __len__(self) -> int:
        """How many they are."""
        return len(self.encodable)

    def __iter__(self) -> Iterator[Row]:
        """Each of them, as it leaves."""
        for row in self.encodable:
            yield msgspec.json.decode(msgspec.json.encode(row), type=Row)


class RowShaper:
    """Makes rows of one stream.

    Top-level Unix times become RFC 3339, expanded objects collapse to the id that the schema
    promises. Secrets, at any depth, and columns that nobody asked for are left out. Nested values
    stay as Stripe sends them. Fields that the schema lacks are left out and counted in `drift`.
    """

    def __init__(
        self,
        schema: Mapping[str, Any],
        *,
        deselected: Collection[str] = (),
        dropped: Collection[str] = (),
        secrets: Secrets = NO_SECRETS,
        updated_from: str | None = None,
    ) -> None:
        """Compile.

        Args:
            schema: JSON Schema of the rows that leave.
            deselected: Columns of `schema` to leave out.
            dropped: Fields that are left out, though not for want of a column.
            secrets: What is left out wherever it stands.
            updated_from: Field whose time goes into `_updated_at`; None for no such column.
        """
        properties: Mapping[str, Any] = schema["properties"]
        self.drift: Counter[str] = Counter()
        self.left_out = frozenset(deselected) | frozenset(dropped)
        """Fields that are known, and don't leave."""

        self.columns = {name: properties[name] for name in properties if name not in self.left_out}
        """The schema of each column that leaves."""

        self.times = frozenset(
            name for name, column in self.columns.items() if column.get("format") == "date-time"
        )
        self.updated_from = updated_from if UPDATED_AT in self.columns else None
        self.secrets = secrets
        self._structured: dict[str, Callable[[Any], Any]] = {
            name: _converter(column) or secrets.without for name, column in self.columns.items()
        } | ({METADATA: _as_it_is} if METADATA in self.columns else {})
        self._types = {name: _types(column) for name, column in self.columns.items()}

    def __call__(self, source: Object) -> Row:
        """The row of an object, in a dictionary of its own."""
        columns = self.columns
        row = {name: value for name, value in source.items() if name in columns}
        if len(row) < len(source):
            self.drift.update(source.keys() - columns.keys() - self.left_out)
        for name in self.times:
            value = row.get(name)
            if type(value) is int:
                row[name] = rfc3339_of(value)
        if self.updated_from is not None:
            row[UPDATED_AT] = time_of(source.get(self.updated_from))
        return self.unstructured(row)

    def unstructured(self, row: Row) -> Row:
        """The same row with ids in place of expanded objects, and without secrets."""
        for name in [name for name, value in row.items() if type(value) in _CONTAINERS]:
            row[name] = self._structured[name](row[name])
        return row

    def last(self, source: Object, *, in_schema: bool) -> Row:
        """The row of an object that is gone, as an event shows it; nothing counts as drift.

        Args:
            source: The object.
            in_schema: Whether it is rendered in the version that the schema describes. If not, only
                values that the schema has room for are kept.
        """
        columns = self.columns
        known = {
            name: value
            for name, value in source.items()
            if name in columns and (in_schema or isinstance(value, self._types[name]))
        }
        return self(known)


def time_of(value: Any) -> Any:  # noqa: ANN401 - JSON
    """A time of Stripe's, be it Unix seconds or RFC 3339 already, as it leaves."""
    return rfc3339_of(value) if type(value) is int else value


def rfc3339_of(seconds: int) -> str | int:
    """Unix seconds as `2026-01-31T23:59:59Z`; a number that is no such time stays as it is."""
    if not _FIRST_SECOND <= seconds < _END_OF_TIME:
        return seconds
    minutes, second = divmod(seconds, 60)
    day, minute = divmod(minutes, _DAY // 60)
    return _date(day) + _MINUTES[minute] + _SECONDS[second]


@lru_cache(maxsize=4096)
def _date(day: int) -> str:
    return (_EPOCH + timedelta(days=day)).isoformat()


# Rows have several times each: to look a number's digits up takes a third of writing them.
_MINUTES: Final = [f"T{hour:02}:{minute:02}" for hour in range(24) for minute in range(60)]
_SECONDS: Final = [f":{second:02}Z" for second in range(60)]


def _types(column: Mapping[str, Any]) -> tuple[type, ...]:
    """The values that a column's schema has room for, as Stripe sends them."""
    names = column.get("type", ())
    names = [names] if isinstance(names, str) else names
    if not names:
        return (object,)
    types = {kind for name in names for kind in _JSON_TYPES[name]}
    if column.get("format") == "date-time":
        types.add(int)
    return (*types, type(None))


_JSON_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "array": (list,),
    "boolean": (bool,),
    "integer": (int,),
    "null": (),
    "number": (int, float),
    "object": (dict,),
    "string": (str,),
}


def _converter(column: Mapping[str, Any]) -> Callable[[Any], Any] | None:
    """What makes ids of expanded objects, where the schema says that there are ids."""
    types = column.get("type", ())
    if "string" in types:
        return _id
    items = column.get("items") or {}
    return _ids if "array" in types and "string" in items.get("type", ()) else None


def _id(value: Any) -> Any:  # noqa: ANN401 - JSON
    return value.get("id") if type(value) is dict else value


def _ids(value: Any) -> Any:  # noqa: ANN401 - JSON
    return [_id(item) for item in value] if type(value) is list else value


def _as_it_is(value: Any) -> Any:  # noqa: ANN401 - JSON
    return value
