"""Files for their owner's eyes only, written as a whole or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_OWNER_ONLY: Final = 0o600


def write_private(path: Path, text: str) -> None:
    """Write a file, or replace it: mode 0600 from the first byte, atomic, and on disk.

    Two writers of the same file must take turns.

    Args:
        path: What a link points to is replaced, not the link.
        text: The whole content.

    Raises:
        OSError: It can't be written, and is as it was.
    """
    path = path.resolve()
    new = path.with_name(f".{path.name}.new")
    try:
        new.unlink(missing_ok=True)  # of a process that was killed
        with open(new, "x", encoding="utf-8", opener=_private) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except BaseException:
        with suppress(OSError):
            new.unlink()
        raise
    _sync(path.parent)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, mode=_OWNER_ONLY)


def _sync(folder: Path) -> None:
    """Let the new name survive a loss of power, where folders can be synced."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
