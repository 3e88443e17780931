"""Pages that are decoded by a type of their rows, and no further than it says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET

if TYPE_CHECKING:
    from tap_stripe_conn.api.client import Object

Shown: TypeAlias = "Object | TypedObject"
"""An object as it was decoded: as a dictionary, or by a type."""


class TypedObject(msgspec.Struct):
    """An object with a field for each property that it may have; to be read as a dictionary is.

    A value that its type leaves undecoded is a `msgspec.Raw`.
    """

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - JSON
        """The value of a property that each such object has."""
        return getattr(self, name)

    def get(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - JSON
        """The value of a property; `default` if the object came without."""
        value = getattr(self, name, UNSET)
        return default if value is UNSET else value


RowT = TypeVar("RowT", bound=TypedObject)


ShownT = TypeVar("ShownT", bound="Object | TypedObject")


class TypedPage(TypedObject, Generic[RowT]):
    """A page of a list whose rows all are of one type."""

    data: list[RowT]
    has_more: Any = UNSET
    total_count: Any = UNSET
    next_page_url: Any = UNSET


ShownPage: TypeAlias = "Object | TypedPage[Any]"
"""A page as it was decoded."""

PageDecoder: TypeAlias = "msgspec.json.Decoder[TypedPage[Any]]"


def page_decoder(rows: type[TypedObject]) -> PageDecoder:
    """What decodes a page, if all its rows are as the type says.

    Args:
        rows: With an `id` that is a string.
    """
    return msgspec.json.Decoder(TypedPage[rows])  # type: ignore[valid-type]
