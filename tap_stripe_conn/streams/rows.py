"""Shaping: from the object that Stripe sent to the row that leaves, compiled once per stream."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from tap_stripe_conn.api.client import Object

Row: TypeAlias = dict[str, Any]
"""A row as it leaves: column -> JSON value."""

UPDATED_AT: Final = "_updated_at"
"""Time of the last known change: the replication key of incremental streams."""

DELETED_AT: Final = "_sdc_deleted_at"
"""Singer's column for the end of a row that is gone."""

METADATA: Final = "metadata"
"""What users keep with an object."""

_DAY: Final = 86_400
_EPOCH: Final = date(1970, 1, 1)
_FIRST_SECOND: Final = -62_135_596_800
_END_OF_TIME: Final = 253_402_300_800
"""Unix seconds of the years 1 and 10000, between which RFC 3339 has dates."""

_CONTAINERS: Final = frozenset({dict, list})


class UnexpectedObjectError(Exception):
    """Stripe sent an object of another kind than its list's."""


class RowShaper:
    """Makes rows of one stream.

    Top-level Unix times become RFC 3339, expanded objects collapse to the id that the schema
    promises. Secrets, at any depth, and columns that nobody asked for are left out. Nested values
    stay as Stripe sends them. Fields that the schema lacks are left out and counted in `drift`.
    """

    def __init__(  # noqa: PLR0913 - each is a fact of its own about the columns
        self,
        schema: Mapping[str, Any],
        *,
        deselected: Collection[str] = (),
        secrets: Collection[str] = (),
        secret_keys: Collection[str] = (),
        object_secrets: Mapping[str, Collection[str]] | None = None,
        updated_from: str | None = None,
    ) -> None:
        """Compile.

        Args:
            schema: JSON Schema of the rows that leave.
            deselected: Columns of `schema` to leave out.
            secrets: Fields that are dropped.
            secret_keys: Names that are secret wherever they stand.
            object_secrets: Names that are secret in one kind of object: `object` -> names.
            updated_from: Field whose time goes into `_updated_at`; None for no such column.
        """
        properties: Mapping[str, Any] = schema["properties"]
        self.drift: Counter[str] = Counter()
        self._unwanted = frozenset(deselected) | frozenset(secrets)
        columns = {name: properties[name] for name in properties if name not in self._unwanted}
        self.columns = frozenset(columns)
        """Those that leave."""
        self._times = frozenset(
            name for name, column in columns.items() if column.get("format") == "date-time"
        )
        without_secrets = _WithoutSecrets(secret_keys, object_secrets or {})
        self._structured: dict[str, Callable[[Any], Any]] = {
            name: _converter(column) or without_secrets for name, column in columns.items()
        } | ({METADATA: _as_it_is} if METADATA in columns else {})
        self._updated_from = updated_from if UPDATED_AT in columns else None
        self._types = {name: _types(column) for name, column in columns.items()}

    def __call__(self, source: Object) -> Row:
        """The row of an object, in a dictionary of its own."""
        columns = self.columns
        row = {name: value for name, value in source.items() if name in columns}
        if len(row) < len(source):
            self.drift.update(source.keys() - columns - self._unwanted)
        for name in self._times:
            value = row.get(name)
            if type(value) is int:
                row[name] = rfc3339_of(value)
        for name in [name for name, value in row.items() if type(value) in _CONTAINERS]:
            row[name] = self._structured[name](row[name])
        if self._updated_from is not None:
            created = source.get(self._updated_from)
            row[UPDATED_AT] = rfc3339_of(created) if type(created) is int else created
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


def rfc3339_of(seconds: int) -> str | int:
    """Unix seconds as `2026-01-31T23:59:59Z`; a number that is no such time stays as it is."""
    if not _FIRST_SECOND <= seconds < _END_OF_TIME:
        return seconds
    day, second = divmod(seconds, _DAY)
    return f"{_date(day)}T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}Z"


@lru_cache(maxsize=4096)
def _date(day: int) -> str:
    return (_EPOCH + timedelta(days=day)).isoformat()


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


class _WithoutSecrets:
    """Drops secrets at any depth of an object or list; users' own `metadata` is theirs."""

    def __init__(self, keys: Collection[str], by_object: Mapping[str, Collection[str]]) -> None:
        self._keys = frozenset(keys)
        self._by_object = {kind: self._keys.union(names) for kind, names in by_object.items()}
        self._names = self._keys.union(*by_object.values(), [METADATA])
        """An object without any of these has no secret of its own."""

    def __call__(self, value: Any) -> Any:  # noqa: ANN401 - JSON
        # Secrets are rare: looking for one costs a third of making a copy without.
        return self._copied(value) if self._any_in(value) else value

    def _any_in(self, value: Any) -> bool:  # noqa: ANN401 - JSON
        # Half of the time that shaping takes is spent here.
        names, containers = self._names, _CONTAINERS
        unseen = [value]
        for each in unseen:
            if type(each) is list:
                inner = each
            elif names.isdisjoint(each):
                inner = each.values()
            elif not self._secret_in(each).isdisjoint(each):
                return True
            else:
                inner = [item for name, item in each.items() if name != METADATA]
            unseen += [item for item in inner if type(item) in containers]
        return False

    def _copied(self, value: Any) -> Any:  # noqa: ANN401 - JSON
        if type(value) is list:
            return [self._copied(item) if type(item) in _CONTAINERS else item for item in value]
        secret = self._secret_in(value)
        return {
            name: self._copied(item) if type(item) in _CONTAINERS and name != METADATA else item
            for name, item in value.items()
            if name not in secret
        }

    def _secret_in(self, value: Object) -> frozenset[str]:
        """Names that are secret in an object of this one's kind."""
        kind = value.get("object")
        return self._by_object.get(kind, self._keys) if type(kind) is str else self._keys
