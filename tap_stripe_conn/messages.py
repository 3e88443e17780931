"""Singer messages on stdout, each one whole."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from msgspec import Raw, Struct, json
from singer_sdk.contrib.msgspec import MsgSpecWriter, encoder, serialize_jsonl
from singer_sdk.singerlib import StateMessage
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from singer_sdk.singerlib.encoding.base import GenericSingerWriter
    from singer_sdk.singerlib.encoding.simple import Message, RecordMessage


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


class Messages:
    """Many messages at once, where the writer takes them so; else one by one."""

    def __init__(self, writer: GenericSingerWriter[Any, Message]) -> None:
        """Write with `writer`."""
        self._writer = writer

    def write(self, messages: Iterable[Message]) -> None:
        """Write messages, in their order.

        Raises:
            OutputError: They can't be written any more.
        """
        if isinstance(self._writer, WholeMessageWriter):
            self._writer.write_messages(messages)
            return
        for message in messages:
            self._writer.write_message(message)

    def write_records(self, message: RecordMessage, rows: Iterable[Struct | Raw]) -> None:
        """Write a message for each of many rows.

        Args:
            message: What they have in common, with an empty record.
            rows: Their records, to be encoded as they are.

        Raises:
            OutputError: They can't be written any more.
        """
        if isinstance(self._writer, WholeMessageWriter):
            self._writer.write_records(message, rows)
            return
        for row in rows:
            record = json.decode(encoder.encode(row))
            self._writer.write_message(replace(message, record=record))


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

    @override
    def serialize_message(self, message: Message) -> bytearray:
        """As the SDK's, without a copy of all that a STATE holds."""
        if isinstance(message, StateMessage):
            return serialize_jsonl({"type": message.type, "value": message.value})
        return super().serialize_message(message)

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

    def write_records(self, message: RecordMessage, rows: Iterable[Struct | Raw]) -> None:
        """As `Messages.write_records`.

        Raises:
            OutputError: The reader has gone, or the disk is full.
        """
        stream, version, at = message.stream, message.version, message.time_extracted
        records = [_Record(stream, row, version, at) for row in rows]
        self._write_lines(encoder.encode_lines(records))

    def _write_lines(self, lines: bytes | bytearray) -> None:
        if self._is_cut:
            return
        # A second signal does not wait. What would follow a half line, no reader could read.
        self._is_cut = True
        with output(), memoryview(lines) as line:
            written = 0
            while written < len(line):
                written += sys.stdout.buffer.write(line[written:])
        self._is_cut = False


class _Record(Struct, tag_field="type", tag="RECORD", omit_defaults=True, gc=False):
    """A RECORD message, as the SDK's is encoded."""

    stream: str
    record: Struct | Raw
    version: int | None = None
    time_extracted: datetime | None = None
