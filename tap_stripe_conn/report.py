"""What the connection test found, for people (a table) and for machines (a JSON document)."""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeAlias, TypedDict

from tap_stripe_conn.config import APPS, OAUTH2, SCHEME_TITLES
from tap_stripe_conn.connection.check import AVAILABLE, UNAVAILABLE, Account
from tap_stripe_conn.exit_codes import BAD_CONFIG, COMPLETE, FAILED, NOT_WHOLE
from tap_stripe_conn.streams.outcome import Outcome, Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tap_stripe_conn.config import Settings

WIDTH: Final = 80
"""Columns of a line."""

_NAMES_WIDTH: Final = 34
"""Columns for the streams' names; the few that are longer push their status aside."""

_NAMED: Final = 8
"""Permissions, or failures, that a single line names."""

_KINDS: Final[Mapping[str, str]] = {
    "organization": "organization key",
    "restricted": "restricted key",
    "secret": "secret key",
    "oauth_apps": "OAuth via Stripe Apps",
    "oauth_connect": "OAuth via Stripe Connect",
}

_UNNAMED: Final = "that Stripe does not name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Who is connected to what."""

    name: str
    scheme: str
    """As in the setting `auth_scheme`."""

    kind: str | None
    """Of credentials, one of `_KINDS`; None for a key that doesn't tell."""

    mode: str | None
    """`live` or `test`; None where the credentials don't tell."""

    account: Account
    api_version: str

    @classmethod
    def of(cls, settings: Settings, account: Account, api_version: str) -> Connection:
        """What the settings and the account say."""
        key = settings.live_api_key or settings.client_secret
        asked = (settings.account_id or "").rpartition("/")[2]
        return cls(
            name=" ".join(settings.connection_name.split()),
            scheme=settings.auth_scheme,
            kind=_kind(settings),
            mode=next((mode for mode in ("live", "test") if f"_{mode}_" in key), None),
            account=replace(account, id=account.id or asked or None),
            api_version=api_version,
        )


def _kind(settings: Settings) -> str | None:
    if settings.auth_scheme == OAUTH2:
        return "oauth_apps" if settings.oauth_provider == APPS else "oauth_connect"
    for prefix, kind in (("sk_org", "organization"), ("sk_", "secret"), ("rk_", "restricted")):
        if settings.live_api_key.startswith(prefix):
            return kind
    return None


class StreamDocument(TypedDict):
    """One stream, as JSON."""

    stream: str
    status: str
    permission: str | None
    parent: str | None
    reason: str | None


class PermissionDocument(TypedDict):
    """A permission to add, as JSON."""

    permission: str | None
    streams: list[str]


class AccountDocument(TypedDict):
    """The account, as JSON."""

    id: str | None
    name: str | None


class Document(TypedDict):
    """The report as JSON: docs/connection-test.schema.json."""

    available: bool
    reason: str | None
    exit_code: int
    connection_name: str | None
    auth_scheme: str | None
    credentials: str | None
    mode: str | None
    account: AccountDocument
    api_version: str | None
    streams: list[StreamDocument]
    permissions_to_add: list[PermissionDocument]


Permissions: TypeAlias = "dict[str | None, list[str]]"
"""Missing ones, and the streams that each opens; under None those where Stripe names none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What the connection test found."""

    connection: Connection | None
    """None where the settings can't be used."""

    outcomes: Sequence[Outcome] = ()
    """In alphabetical order."""

    refusal: str | None = None
    """Why the connection can't be used at all."""

    @property
    def reason(self) -> str | None:
        """Why the connection is unavailable; None if it isn't."""
        if self.refusal is not None or not self.outcomes:
            return self.refusal
        if any(outcome.readable for outcome in self.outcomes):
            return None
        first = self.outcomes[0]
        return (
            f"none of the {len(self.outcomes)} selected streams can be read; the first: "
            f"{first.stream}, {first.reason}"
        )

    @property
    def available(self) -> bool:
        """Whether anything can be read."""
        return self.reason is None

    @property
    def exit_code(self) -> int:
        """How a command ends that reports this."""
        if self.connection is None:
            return BAD_CONFIG
        if not self.available:
            return FAILED
        return COMPLETE if all(outcome.whole for outcome in self.outcomes) else NOT_WHOLE

    @property
    def verdict(self) -> str:
        """The line that users and deployments rely on."""
        return AVAILABLE if self.reason is None else f"{UNAVAILABLE}: {self.reason}"

    @property
    def complaint(self) -> str | None:
        """What is wrong, in one line that names no more than people read; None if nothing is."""
        if not self.available:
            return self.verdict
        wrong = [outcome for outcome in self.outcomes if not outcome.whole]
        if not wrong:
            return None
        missing = [
            f"{permission or _UNNAMED} ({', '.join(streams)})"
            for permission, streams in self.permissions.items()
        ]
        failed = [f"{each.stream}, {each.reason}" for each in wrong if not each.closed]
        parts = [f"missing permission {joined(missing, ', ')}"] if missing else []
        parts += [joined(failed, "; ")] if failed else []
        count = f"{len(wrong)} of {len(self.outcomes)}"
        return f"{count} selected streams can't be read: {'; '.join(parts)}"

    @property
    def permissions(self) -> Permissions:
        """Those to add."""
        missing: Permissions = {}
        for outcome in self.outcomes:
            if outcome.status is Status.NO_PERMISSION:
                missing.setdefault(outcome.permission, []).append(outcome.stream)
        # Those that have a name first, in its order.
        return dict(sorted(missing.items(), key=lambda item: (item[0] is None, item[0] or "")))

    def lines(self) -> list[str]:
        """The report for people, no line but the last wider than 80 columns."""
        table = [*self._table(), "", *self._counts()] if self.outcomes else []
        return self._page(self._header(), table, self._advice())

    def summary(self) -> list[str]:
        """The same in short: only the streams with trouble, by its cause."""
        return self._page(self._header(), self._counts(), self._advice(), self._others())

    def document(self) -> Document:
        """The report for machines: docs/connection-test.schema.json."""
        about = self.connection
        account = about.account if about else Account()
        return {
            "available": self.available,
            "reason": self.reason,
            "exit_code": self.exit_code,
            "connection_name": about.name if about else None,
            "auth_scheme": about.scheme if about else None,
            "credentials": about.kind if about else None,
            "mode": about.mode if about else None,
            "account": {"id": account.id, "name": account.name},
            "api_version": about.api_version if about else None,
            "streams": [_stream_document(outcome) for outcome in self.outcomes],
            "permissions_to_add": [
                {"permission": permission, "streams": streams}
                for permission, streams in self.permissions.items()
            ],
        }

    def _page(self, *parts: list[str]) -> list[str]:
        return [line for part in parts for line in (*part, "") if part] + [self.verdict]

    def _header(self) -> list[str]:
        about = self.connection
        if about is None:
            return []
        kind = _KINDS[about.kind] if about.kind else "API key"
        facts = {
            "Connection": about.name,
            "Auth scheme": SCHEME_TITLES[about.scheme],
            "Credentials": f"{kind}, {about.mode} mode" if about.mode else kind,
            "Account": _shown(about.account)
            or ("not readable with these credentials" if self.available else ""),
            "API version": about.api_version,
        }
        return [
            line
            for label, fact in facts.items()
            if fact
            for line in wrapped(fact, first=f"{label:<14}", rest=" " * 14)
        ]

    def _table(self) -> list[str]:
        longest = max(len(name) for name in ("Stream", *(each.stream for each in self.outcomes)))
        width = min(longest, _NAMES_WIDTH)
        rows = [line for each in self.outcomes for line in _row(each, width)]
        return [f"{'Stream':<{width}}  Status", *rows]

    def _counts(self) -> list[str]:
        if not self.outcomes:
            return []
        counts = Counter(outcome.status for outcome in self.outcomes)
        counted = [f"{counts[status]} {status.value}" for status in Status if counts[status]]
        return list(wrapped(", ".join(counted), first=f"{len(self.outcomes)} streams: ", rest="  "))

    def _advice(self) -> list[str]:
        if not self.permissions:
            return []
        lines = ["Permissions to add, and what each opens:"]
        for permission, streams in self.permissions.items():
            first = f"  {permission or f'one {_UNNAMED}'}: "
            lines += wrapped(", ".join(streams), first=first, rest=" " * 6)
        return lines

    def _others(self) -> list[str]:
        others = [
            each
            for each in self.outcomes
            if not each.readable and each.status is not Status.NO_PERMISSION
        ]
        if not others:
            return []
        lines = ["Other streams that can't be read:"]
        for cause, streams in by_cause(others).items():
            lines += wrapped(", ".join(streams), first=f"  {cause}: ", rest=" " * 6)
        return lines


def joined(parts: Sequence[str], separator: str) -> str:
    """The parts in one line; of many, the first and how many more there are."""
    more = len(parts) - _NAMED
    shown = [*parts[:_NAMED], f"and {more} more"] if more > 0 else parts
    return separator.join(shown)


def by_cause(outcomes: Sequence[Outcome]) -> dict[str, list[str]]:
    """The streams that can't be read, by what is in the way."""
    causes: dict[str, list[str]] = {}
    for outcome in outcomes:
        cause = outcome.status.value
        if outcome.permission:
            cause = f"{cause} {outcome.permission}"
        causes.setdefault(cause, []).append(outcome.stream)
    return causes


def _shown(account: Account) -> str:
    name = " ".join((account.name or "").split())
    return f"{name} ({account.id})" if name and account.id else name or account.id or ""


def _row(outcome: Outcome, width: int) -> Iterator[str]:
    """A stream's line, and more of them where what is wrong with it doesn't fit."""
    row = f"{outcome.stream:<{width}}  {outcome.status.value}"
    through = f"(through {outcome.through})" if outcome.through else ""
    if outcome.permission:
        what = f"{outcome.permission} {through}".strip()
    else:
        what = f"{through} {outcome.reason if outcome.readable else outcome.said}".strip()
    if not what:
        yield from _in_lines(row)
    elif _columns(row) + 2 + _columns(what) <= WIDTH:
        yield f"{row}: {what}"
    else:
        yield from _in_lines(row)
        yield from wrapped(what, first=" " * 4, rest=" " * 4)


def _in_lines(row: str) -> Iterator[str]:
    """A row as it is, but for the name of a stream that nobody knows and that is too wide."""
    if _columns(row) <= WIDTH:
        yield row
    else:
        yield from wrapped(row, first="", rest=" " * 4)


def _stream_document(outcome: Outcome) -> StreamDocument:
    return {
        "stream": outcome.stream,
        "status": outcome.status.value.replace(" ", "_"),
        "permission": outcome.permission,
        "parent": outcome.through,
        "reason": outcome.reason or None,
    }


def wrapped(text: str, *, first: str, rest: str) -> Iterator[str]:
    """The text in lines of at most 80 columns.

    Args:
        text: Its words are kept whole where they fit in a line.
        first: What the first line begins with.
        rest: What the others begin with.
    """
    line, bare = first, not first.strip()
    started = False
    for piece in _pieces(text, WIDTH - _columns(rest)):
        if _columns(line) + started + _columns(piece) > WIDTH and not (bare and not started):
            yield line.rstrip()
            line, bare, started = rest, True, False
        line += f" {piece}" if started else piece
        started = True
    yield line


def _pieces(text: str, room: int) -> Iterator[str]:
    """The words, those in pieces that are wider than there is room."""
    for word in text.split():
        piece = ""
        for character in word:
            if _columns(piece + character) > room:
                yield piece
                piece = ""
            piece += character
        yield piece


def _columns(text: str) -> int:
    """What a terminal takes to show it."""
    return sum(
        0 if unicodedata.combining(each) else 1 + (unicodedata.east_asian_width(each) in "FW")
        for each in text
    )
