"""What must not leave, at any depth of what Stripe sends."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from tap_stripe_conn.api.client import Object

METADATA: Final = "metadata"
"""What users keep with an object: it is theirs, whatever they call it."""

_CONTAINERS: Final = frozenset({dict, list})

_ESCAPED_LETTERS: Final = re.compile(rb"\\u00[2-7]")
"""Letters of a name, and what stands between them, that nobody needs to escape."""


class Secrets:
    """Names of secrets: some wherever they stand, some in one kind of object."""

    def __init__(self, keys: Collection[str], by_object: Mapping[str, Collection[str]]) -> None:
        """Take the names.

        Args:
            keys: Names that are secret wherever they stand.
            by_object: Names that are secret in one kind of object: `object` -> names.
        """
        self._keys = frozenset(keys)
        self._by_object = {kind: self._keys.union(names) for kind, names in by_object.items()}
        self._names = self._keys.union(*by_object.values(), [METADATA])
        """An object without any of these has no secret of its own."""

        self._searches = _searches({*keys, *by_object})

    def may_be_in(self, text: bytes) -> bool:
        """Whether it can't be ruled out that a JSON text has a secret in it.

        It can where no name stands before a quote: several times faster than to look at each name.
        """
        return any(found(text) for found in self._searches)

    def without(self, value: Any) -> Any:  # noqa: ANN401 - JSON
        """The JSON value without its secrets: itself, if it has none."""
        # Secrets are rare: looking for one costs a third of making a copy without.
        return self._copied(value) if self._any_in(value) else value

    def _any_in(self, value: Any) -> bool:  # noqa: ANN401 - JSON
        names, containers = self._names, _CONTAINERS
        unseen = [value] if type(value) in containers else []
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


def _searches(names: Iterable[str]) -> list[Callable[[bytes], object]]:
    """What finds any of the names, and an escape that may hide one, in as few searches as pay.

    Most names are of several words. One search looks for all of them: where there is an underscore,
    which is rare in a text, it looks whether it is the last of a name.
    """
    several = sorted(name for name in names if "_" in name)
    ends = [f'{name.rpartition("_")[2]}"(?<={re.escape(name)}")' for name in several]
    return [
        *(partial(_holds, f'{name}"'.encode()) for name in sorted(set(names).difference(several))),
        *([re.compile(f"_(?:{'|'.join(ends)})".encode()).search] if ends else []),
        _hides_letters,
    ]


def _holds(name: bytes, text: bytes) -> bool:
    return name in text


def _hides_letters(text: bytes) -> bool:
    return b"\\" in text and _ESCAPED_LETTERS.search(text) is not None


NO_SECRETS: Final = Secrets((), {})
