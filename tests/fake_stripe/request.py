"""A request as the server sees it; the log is a list of these."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

if TYPE_CHECKING:
    from collections.abc import Mapping

ARRAY = re.compile(r"^(.+)\[\d*\]$")


@dataclass(slots=True, kw_only=True)
class Request:
    """One HTTP request, and, once it is answered, how."""

    method: str
    path: str
    query: str
    params: dict[str, str]
    """Scalar parameters as sent: `limit`, `created[gte]`."""

    arrays: dict[str, list[str]]
    """Parameters sent as `name[]` or `name[0]`, by name: `expand`, `types`."""

    headers: Mapping[str, str]
    """By lower-case name."""

    body: bytes = b""
    id: str = ""
    time: float = 0.0
    """When it arrived, by the server's clock."""

    status: int | None = None
    """The answer's HTTP status; None while under way or when the connection was cut."""

    seconds: float = 0.0
    """How long the answer took."""

    account: str | None = None
    """Whose objects were read, once that is known."""

    stream: str | None = None
    """The catalogue's stream that the path belongs to."""

    is_list: bool = False
    form: dict[str, str] = field(default_factory=dict)
    """Fields of a form body (POST)."""

    @property
    def api_mode(self) -> str:
        """`v2` for paths under /v2/, else `v1`."""
        return "v2" if self.path.startswith("/v2/") else "v1"


def parse(method: str, target: str, headers: Mapping[str, str], body: bytes) -> Request:
    """Read a request line's target, and the form in the body if there is one."""
    path, _, query = target.partition("?")
    params: dict[str, str] = {}
    arrays: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if matched := ARRAY.match(name):
            arrays.setdefault(matched[1], []).append(value)
        else:
            params[name] = value
    form = dict(parse_qsl(body.decode("utf-8", "replace"))) if body else {}
    return Request(
        method=method,
        path=unquote(path) if "%" in path else path,
        query=query,
        params=params,
        arrays=arrays,
        headers=headers,
        body=body,
        form=form,
    )
