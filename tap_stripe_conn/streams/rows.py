"""Shaping: from the object that Stripe sent to the row that leaves, compiled once per stream."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from tap_stripe_conn.api.client import Object

Row: TypeAlias = dict[str, Any]
"""A row as it leaves: column -> JSON value."""

UPDATED_AT: Final = "_updated_at"
"""Time of the last known change: the replication key of incremental streams."""

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
        columns = {name: properties[name] for name in properties if name not in self._unwanted}
        self._columns = frozenset(columns)
        self._times = frozenset(
            name for name, column in columns.items() if column.get("format") == "date-time"
        )
        scrub = partial(_without, keys=frozenset(secret_keys))
        self._structured: dict[str, Callable[[Any], Any]] = {
            **{name: _ids for name, column in columns.items() if _holds_ids(column)},
            **{name: scrub for name in secret_holders if name in columns},
            **{name: _id for name, column in columns.items() if "string" in column.get("type", ())},
        }
        self._updated_from = updated_from if UPDATED_AT in columns else None

    def __call__(self, source: Object) -> Row:
        """The row of an object, in a dictionary of its own."""
        row: Row = {}
        columns, times, structured = self._columns, self._times, self._structured
        for name, value in source.items():
            if name not in columns:
                if name not in self._unwanted:
                    self.drift[name] += 1
                continue
            kind = type(value)
            if kind is int and name in times:
                row[name] = rfc3339_of(value)
            elif kind in _CONTAINERS and name in structured:
                row[name] = structured[name](value)
            else:
                row[name] = value
        if self._updated_from is not None:
            created = source.get(self._updated_from)
            row[UPDATED_AT] = rfc3339_of(created) if type(created) is int else created
        return row


def rfc3339_of(seconds: int) -> str | int:
    """Unix seconds as `2026-01-31T23:59:59Z`; a number that is no such time stays as it is."""
    if not _FIRST_SECOND <= seconds < _END_OF_TIME:
        return seconds
    day, second = divmod(seconds, _DAY)
    return f"{_date(day)}T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}Z"


@lru_cache(maxsize=4096)
def _date(day: int) -> str:
    return (_EPOCH + timedelta(days=day)).isoformat()


def _holds_ids(column: Mapping[str, Any]) -> bool:
    return "array" in column.get("type", ()) and "string" in (column.get("items") or {}).get(
        "type", ()
    )


def _id(value: Any) -> Any:  # noqa: ANN401 - JSON
    return value.get("id") if type(value) is dict else value


def _ids(value: Any) -> Any:  # noqa: ANN401 - JSON
    return [_id(item) for item in value] if type(value) is list else value


def _without(value: Any, keys: frozenset[str]) -> Any:  # noqa: ANN401 - JSON
    # Secrets are rare: looking for one costs a third of making a copy without.
    return _copied_without(value, keys) if _any_in(value, keys) else value


def _any_in(value: Any, keys: frozenset[str]) -> bool:  # noqa: ANN401 - JSON
    if type(value) is dict:
        if not keys.isdisjoint(value):
            return True
        value = value.values()
    for item in value:  # noqa: SIM110 - a generator costs twice as much
        if type(item) in _CONTAINERS and _any_in(item, keys):
            return True
    return False


def _copied_without(value: Any, keys: frozenset[str]) -> Any:  # noqa: ANN401 - JSON
    if type(value) is dict:
        return {
            name: _copied_without(item, keys) if type(item) in _CONTAINERS else item
            for name, item in value.items()
            if name not in keys
        }
    return [_copied_without(item, keys) if type(item) in _CONTAINERS else item for item in value]
