"""Which properties are times: decided by a person for each, in `timestamps.json`.

The SDK types a Unix time as `int`, like an amount, and an RFC 3339 time as `str`; its docstrings
say so for half of them. Only top-level properties become columns, so only they are decided on.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from tools.catalogue.attributes import STRING, Scalar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tools.catalogue.attributes import Attribute

DECISIONS = Path(__file__).with_name("timestamps.json")

_INTEGER = Scalar("integer")
_TIME_NAME = re.compile(r"(^|_)(created|updated|at|date|time|timestamp)$")
_TIME_DOC = re.compile(r"RFC ?3339|ISO ?8601|timestamp|\btime (at|when|that|the)\b", re.IGNORECASE)


class UnreviewedTimestampError(ValueError):
    """Properties that nobody has decided on, or decisions on properties that are gone."""


@dataclass(frozen=True)
class Timestamps:
    """The decisions: a property is named by its object and its own name (`charge.created`)."""

    unix: frozenset[str]
    """Integers that are Unix times in seconds."""
    unix_milliseconds: frozenset[str]
    """Integers that are Unix times in milliseconds; they stay as they are."""
    integer: frozenset[str]
    """Integers that are no times."""
    rfc3339: frozenset[str]
    """Strings of API v2 that are RFC 3339 times."""
    string: frozenset[str]
    """Strings of API v2 that look like times by name or docstring, but are none."""

    @classmethod
    def load(cls) -> Timestamps:
        """Read the reviewed decisions."""
        document: dict[str, dict[str, list[str]]] = json.loads(DECISIONS.read_text("utf-8"))
        kinds = {
            kind: frozenset(f"{name}.{prop}" for name, props in objects.items() for prop in props)
            for kind, objects in document.items()
        }
        return cls(**kinds)

    def is_time(self, object_name: str, attribute: Attribute) -> bool:
        """Whether a top-level property becomes a `date-time`."""
        return f"{object_name}.{attribute.name}" in self.unix | self.rfc3339

    def review(self, properties: Mapping[str, Mapping[str, Attribute]]) -> None:
        """Compare the decisions with what there is to decide.

        Args:
            properties: Object name -> its top-level properties by name.

        Raises:
            UnreviewedTimestampError: Something is undecided, decided twice, or gone.
        """
        there_is = dict(_to_decide(properties))
        decided = [name for kind in fields(self) for name in getattr(self, kind.name)]
        problems = {
            "Is it a time? Add to a kind": [
                f"{name} ({there_is[name].doc or 'no docstring'})"
                for name in there_is.keys() - set(decided)
            ],
            "No such property any more": set(decided) - there_is.keys(),
            "Decided more than once": {name for name in decided if decided.count(name) > 1},
        }
        lines = [
            f"{problem}: {name}" for problem, names in problems.items() for name in sorted(names)
        ]
        if lines:
            raise UnreviewedTimestampError("\n".join([f"{DECISIONS.name} needs a review.", *lines]))


def _to_decide(
    properties: Mapping[str, Mapping[str, Attribute]],
) -> Iterator[tuple[str, Attribute]]:
    for object_name, attributes in properties.items():
        is_v2 = object_name.startswith("v2.")
        for attribute in attributes.values():
            if attribute.form == _INTEGER or (
                is_v2 and attribute.form == STRING and _looks_like_time(attribute)
            ):
                yield f"{object_name}.{attribute.name}", attribute


def _looks_like_time(attribute: Attribute) -> bool:
    return bool(_TIME_NAME.search(attribute.name) or _TIME_DOC.search(attribute.doc))
