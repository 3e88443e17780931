"""How a stream ended, in a run or in the connection test: it could be read, or why it could not."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from tap_stripe_conn.api.errors import (
    ConnectionFailedError,
    MissingPermissionError,
    NotEnabledError,
    StripeError,
    WrongModeError,
)
from tap_stripe_conn.streams.rows import UnexpectedObjectError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_stripe_conn.streams.stream import StripeStream

logger = logging.getLogger(__name__)


class Status(Enum):
    """How a stream ended; the values are what people read."""

    COMPLETE = "complete"
    """A run has read it whole."""
    OK = "ok"
    """The connection test has read a row of it."""
    EMPTY = "empty"
    """The connection test may read it, and found no row."""
    NO_PERMISSION = "missing permission"
    NOT_ENABLED = "product not enabled"
    """The account doesn't have the product."""
    WRONG_MODE = "wrong mode"
    """It is only there in the other mode (live or test)."""
    FAILED = "failed"


_READABLE: Final = frozenset({Status.COMPLETE, Status.OK, Status.EMPTY})
_ABSENT: Final = frozenset({Status.NOT_ENABLED, Status.WRONG_MODE})

_PHRASES: Final[Mapping[Status, str]] = {
    Status.OK: "without expanded fields",
    Status.EMPTY: "without expanded fields",
    Status.NO_PERMISSION: "missing permission",
    Status.NOT_ENABLED: "this account doesn't have the product",
    Status.WRONG_MODE: "it is only there in the other mode",
    Status.FAILED: "failed",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one stream ended."""

    stream: str
    status: Status
    said: str = ""
    """What Stripe or the network said, where there was trouble; of a readable stream, why some
    fields of its rows don't come."""

    permission: str | None = None
    """The one that is missing (`rak_charge_read`), where Stripe names it."""

    through: str | None = None
    """The parent whose list had the trouble, where it was not the stream's own."""

    rows: int = 0
    """Written by the run."""

    @property
    def readable(self) -> bool:
        """Whether it was read, or may be."""
        return self.status in _READABLE

    @property
    def absent(self) -> bool:
        """Whether the account can't have it: a product that isn't enabled, or the other mode."""
        return self.status in _ABSENT

    @property
    def whole(self) -> bool:
        """Whether nothing is missing of what the account has of the stream."""
        return self.readable or self.absent

    @property
    def closed(self) -> bool:
        """Whether these credentials can never read it, as they are."""
        return self.absent or self.status is Status.NO_PERMISSION

    @property
    def reason(self) -> str:
        """What was in the way, as one clause for people; empty if nothing was."""
        if not self.said:
            return ""
        words = [_PHRASES[self.status]]
        if self.permission:
            words.append(self.permission)
        if self.through:
            words.append(f"(through its parent {self.through})")
        return f"{' '.join(words)}: {self.said}"


def trouble(
    error: Exception, stream: StripeStream, asked: StripeStream, *, begun: bool = False
) -> Outcome:
    """How a stream ends on an error of a list.

    A list that the account doesn't have says so at the first request: once reading has begun, the
    same words mean that the rest is missing.

    Args:
        error: What was raised.
        stream: Which ends.
        asked: Whose list was asked: the stream's own, or its parent's.
        begun: Whether that list had been answered before.
    """
    said, permission = str(error), None
    if isinstance(error, NotEnabledError) and not begun:
        status = Status.NOT_ENABLED
    elif isinstance(error, WrongModeError) and not begun:
        status = Status.WRONG_MODE
    elif isinstance(error, MissingPermissionError) and error.from_stripe:
        status, permission = Status.NO_PERMISSION, error.permission
    else:
        status = Status.FAILED
        if not isinstance(error, (ConnectionFailedError, StripeError, UnexpectedObjectError)):
            logger.error("Unexpected error while reading %s", stream.name, exc_info=error)
            said = f"by an error of the tap's own, {error!r}"
    through = None if asked is stream else asked.name
    return Outcome(stream.name, status, said, permission, through)
