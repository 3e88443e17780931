"""Singer messages on stdout, each one whole."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from singer_sdk.contrib.msgspec import MsgSpecWriter
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from singer_sdk.singerlib.encoding.simple import Message


PIECE: Final = 1 << 18
"""Bytes that are written at once."""


class OutputError(Exception):
    """Messages can't be written any more; `str()` says why."""


@contextmanager
def output() -> Iterator[None]:
    """While something is written to stdout.

    Raises:
        OutputError: The reader has gone, or the disk is full.
    """
    if sys.stdout is None:
        msg = "there is no stdout for the tap's output"
        raise OutputError(msg)
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        msg = "the reader of the tap's output has gone"
        raise OutputError(msg) from None
    except OSError as error:
        msg = f"the tap's output can't be written: {error.strerror}"
        raise OutputError(msg) from error


class WholeMessageWriter(MsgSpecWriter):
    """The SDK's quick writer, which trusts that one write is enough.

    It isn't where Python runs unbuffered (PYTHONUNBUFFERED, as many images set it): a signal then
    cuts short a write that waits for the loader, and the rest of the message would be lost.
    """

    def __init__(self) -> None:
        """As the SDK's."""
        super().__init__()
        self._is_cut = False

    @override
    def write_message(self, message: Message) -> None:
        """Write a message to stdout, to its end.

        Raises:
            OutputError: The reader has gone, or the disk is full.
        """
        self._write_lines(self.format_message(message))

    def write_messages(self, messages: Iterable[Message]) -> None:
        """Write messages as `write_message` does, in larger pieces: many rows are a page.

        Raises:
            OutputError: The reader has gone, or the disk is full.
        """
        lines = bytearray()
        for message in messages:
            lines += self.format_message(message)
            if len(lines) >= PIECE:
                self._write_lines(lines)
                lines.clear()
        if lines:
            self._write_lines(lines)

    def _write_lines(self, lines: bytearray) -> None:
        if self._is_cut:
            return
        # A second signal does not wait. What would follow a half line, no reader could read.
        self._is_cut = True
        with output(), memoryview(lines) as line:
            written = 0
            while written < len(line):
                written += sys.stdout.buffer.write(line[written:])
        self._is_cut = False
