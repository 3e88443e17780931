"""Files that are written as a whole or not at all, some of them for their owner's eyes only."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_OWNER_ONLY: Final = 0o600
_AS_USUAL: Final = 0o666
"""Less what the umask takes."""


def write_private(path: Path, text: str) -> None:
    """As `write_whole`, with mode 0600 from the first byte."""
    write_whole(path, text, mode=_OWNER_ONLY)


def write_whole(path: Path, text: str, *, mode: int = _AS_USUAL) -> None:
    """Write a file, or replace it: atomic, and on disk.

    Two writers of the same file must take turns.

    Args:
        path: What a link points to is replaced, not the link.
        text: The whole content.
        mode: Of the file, before the umask.

    Raises:
        OSError: It can't be written, and is as it was.
    """

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags, mode=mode)

    path = path.resolve()
    new = path.with_name(f".{path.name}.new")
    try:
        new.unlink(missing_ok=True)  # of a process that was killed
        with open(new, "x", encoding="utf-8", opener=opener) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except BaseException:
        with suppress(OSError):
            new.unlink()
        raise
    _sync(path.parent)


def _sync(folder: Path) -> None:
    """Let the new name survive a loss of power, where folders can be synced."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
