"""Where tokens are kept from run to run: a file that only its user can read, locked by one run."""

from __future__ import annotations

import hashlib
import json
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

import filelock
import msgspec
import platformdirs

from tap_stripe_conn.api.errors import CredentialsError
from tap_stripe_conn.connection.tokens import Token  # noqa: TC001 - msgspec reads annotations
from tap_stripe_conn.private_file import write_private

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tap_stripe_conn.config import Settings

VERSION: Final = 1

ROOM: Final = 4096
"""Characters that the next token may take."""

PATIENCE: Final = 180.0
"""Seconds to wait for another run that is renewing the tokens of the same file."""


class TokenStore:
    """The tokens of one grant, which the configured refresh token stands for.

    A file may hold more than one: its entries are told apart by the digests of the refresh tokens
    that were configured for them. So a newly configured one is never taken for its predecessor,
    and two connections that share a file don't cost each other their tokens.
    """

    def __init__(self, path: Path, refresh_token: str, access_token: str | None = None) -> None:
        """Find the grant in a file; nothing is read yet.

        Args:
            path: The file, which need not exist.
            refresh_token: As configured.
            access_token: As configured.
        """
        self.path = path.resolve()
        self._configured = refresh_token
        self._digest = _digest(refresh_token)
        self._access_digest = access_token and _digest(access_token)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs from renewing the tokens meanwhile; wait for one that is at it.

        Raises:
            CredentialsError: The file can't be locked.
        """
        with self._reporting():
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = filelock.FileLock(f"{self.path}.lock", mode=0o600, timeout=PATIENCE)
            try:
                lock.acquire()
            except filelock.Timeout:
                msg = f"another run has held {lock.lock_file} for {PATIENCE:.0f} seconds"
                raise CredentialsError(msg) from None
        try:
            yield
        finally:
            lock.release()

    def read(self) -> Token | None:
        """The token that was kept last, if there is one.

        Raises:
            CredentialsError: The file can't be read.
        """
        entry = self._entry(self._entries())
        return entry.token if entry else None

    def has_seen_access_token(self) -> bool:
        """Whether the configured access token was configured when a token was kept last.

        Raises:
            CredentialsError: The file can't be read.
        """
        entry = self._entry(self._entries())
        return entry is not None and entry.access_token == self._access_digest

    def write(self, token: Token) -> None:
        """Keep a token, in place of the one before, before anybody uses it. Needs the lock.

        Raises:
            CredentialsError: The file can't be written, and is as it was.
        """
        entries = self._entries()
        entry = self._entry(entries)
        if entry is None:
            entry = _Entry([], token)
            entries.append(entry)
        entry.token = token
        if self._digest not in entry.configured:
            entry.configured.append(self._digest)
        entry.access_token = self._access_digest
        self._keep(entries)

    def check(self) -> None:
        """See that a token can be kept, while none can be lost. Needs the lock.

        Raises:
            CredentialsError: It can't.
        """
        self._keep(self._entries(), reserve=ROOM)

    def save(self, token: Token) -> None:
        """Lock and write.

        Raises:
            CredentialsError: As they do.
        """
        with self.locked():
            self.write(token)

    def _entry(self, entries: list[_Entry]) -> _Entry | None:
        for entry in entries:
            # The kept refresh token may have been copied into the settings.
            if self._digest in entry.configured or entry.token.refresh_token == self._configured:
                return entry
        return None

    def _entries(self) -> list[_Entry]:
        with self._reporting():
            try:
                content = self.path.read_bytes()
            except FileNotFoundError:
                return []
        if not content.strip():
            return []
        try:
            document = msgspec.json.decode(content, type=_Document)
        except (msgspec.DecodeError, UnicodeDecodeError):
            document = None
        if document is None or document.version != VERSION:
            msg = (
                f"{self.path} does not hold tokens as this version keeps them; let token_file name "
                "another file, or move this one away"
            )
            raise CredentialsError(msg)
        return document.grants

    def _keep(self, entries: list[_Entry], *, reserve: int = 0) -> None:
        grants = [asdict(entry) for entry in entries]
        document = {"version": VERSION, "grants": grants, "reserve": " " * reserve}
        with self._reporting():
            write_private(self.path, json.dumps(document, indent=2))

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        try:
            yield
        except (OSError, NotImplementedError) as error:
            why = getattr(error, "strerror", None) or error
            msg = (
                f"tokens can't be kept in {self.path}: {why}; let token_file name a file in a "
                "folder that the tap may write to and that lasts"
            )
            raise CredentialsError(msg) from error


@dataclass
class _Entry:
    configured: list[str]
    """SHA-256 of the refresh tokens that were configured for it."""

    token: Token
    access_token: str | None = None
    """SHA-256 of the access token that was configured then."""


@dataclass
class _Document:
    version: int
    grants: list[_Entry]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def token_path(settings: Settings) -> Path:
    """The file that the settings name, or else one for their grant in the user's state directory.

    On Linux, that is `~/.local/state/tap-stripe-conn/<hash>.json`.

    Raises:
        CredentialsError: The user has no such directory.
    """
    if settings.token_file is not None:
        return settings.token_file
    grant = (
        settings.oauth_provider,
        settings.api_base,
        settings.connect_base,
        settings.client_id,
        settings.refresh_token,
    )
    digest = hashlib.sha256("\n".join(grant).encode()).hexdigest()[:16]
    try:
        folder = platformdirs.user_state_path("tap-stripe-conn", appauthor=False)
    except RuntimeError:
        msg = "this user has no home to keep tokens in; let token_file name a file that lasts"
        raise CredentialsError(msg) from None
    return folder / f"{digest}.json"
