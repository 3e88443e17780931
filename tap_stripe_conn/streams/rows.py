"""Shaping: from the object that Stripe sent to the row that leaves, compiled once per stream."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from tap_stripe_conn.api.lists import rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from tap_stripe_conn.api.client import Object

Row: TypeAlias = dict[str, Any]
"""A row as it leaves: column -> JSON value."""

UPDATED_AT: Final = "_updated_at"
"""Time of the last known change: the replication key of incremental streams."""

_DAY: Final = 86_400


class UnexpectedObjectError(Exception):
    """Stripe sent an object of another kind than its list's."""


class RowShaper:
    """Makes rows of one stream.

    Top-level Unix times become RFC 3339, expanded objects collapse to the id that the schema
    promises, secrets and columns that nobody asked for are left out. Nested values stay as Stripe
    sends them. Fields that the schema lacks are left out and counted in `drift`.
    """

    def __init__(  # noqa: PLR0913 - each is a fact of its own about the columns
        self,
        schema: Mapping[str, Any],
        *,
        deselected: Collection[str] = (),
        secrets: Collection[str] = (),
        secret_holders: Collection[str] = (),
        secret_keys: Collection[str] = (),
        updated_from: str | None = None,
    ) -> None:
        """Compile.

        Args:
            schema: JSON Schema of the rows that leave.
            deselected: Columns of `schema` to leave out.
            secrets: Fields that are dropped.
            secret_holders: Fields in which `secret_keys` are looked for, at any depth.
            secret_keys: Names that are secret wherever they stand.
            updated_from: Field whose time goes into `_updated_at`; None for no such column.
        """
        properties: Mapping[str, Any] = schema["properties"]
        self.drift: Counter[str] = Counter()
        self._unwanted = frozenset(deselected) | frozenset(secrets)
        self._converters: dict[str, Callable[[Any], Any] | None] = {
            name: _converter(definition)
            for name, definition in properties.items()
            if name not in self._unwanted
        }
        keys = frozenset(secret_keys)
        for name in secret_holders:
            if name in self._converters:
                self._converters[name] = lambda value: _without(value, keys)
        self._updated_from = updated_from if UPDATED_AT in self._converters else None

    def __call__(self, source: Object) -> Row:
        """The row of an object, in a dictionary of its own."""
        row: Row = {}
        converters = self._converters
        for name, value in source.items():
            try:
                convert = converters[name]
            except KeyError:
                if name not in self._unwanted:
                    self.drift[name] += 1
                continue
            row[name] = value if convert is None or value is None else convert(value)
        if self._updated_from is not None:
            row[UPDATED_AT] = _time(source.get(self._updated_from))
        return row


def _converter(definition: Mapping[str, Any]) -> Callable[[Any], Any] | None:
    """What makes a value fit its column; None where Stripe's own value does."""
    types = definition.get("type", ())
    if definition.get("format") == "date-time":
        return _time
    if "string" in types:
        return _id
    items = definition.get("items") or {}
    if "array" in types and "string" in items.get("type", ()):
        return _ids
    return None


def _time(value: Any) -> Any:  # noqa: ANN401 - JSON
    if type(value) is not int:
        return value
    day, second = divmod(value, _DAY)
    return f"{_date(day)}T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}Z"


@lru_cache(maxsize=4096)
def _date(day: int) -> str:
    return rfc3339(day * _DAY)[:10]


def _id(value: Any) -> Any:  # noqa: ANN401 - JSON
    return value.get("id") if type(value) is dict else value


def _ids(value: Any) -> Any:  # noqa: ANN401 - JSON
    return [_id(item) for item in value] if type(value) is list else value


def _without(value: Any, keys: frozenset[str]) -> Any:  # noqa: ANN401 - JSON
    if type(value) is dict:
        return {name: _without(item, keys) for name, item in value.items() if name not in keys}
    if type(value) is list:
        return [_without(item, keys) for item in value]
    return value
