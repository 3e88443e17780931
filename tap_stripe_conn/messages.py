"""Singer messages on stdout, each one whole."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from singer_sdk.contrib.msgspec import MsgSpecWriter
from typing_extensions import override

if TYPE_CHECKING:
    from singer_sdk.singerlib.encoding.simple import Message


class WholeMessageWriter(MsgSpecWriter):
    """The SDK's quick writer, which trusts that one write is enough.

    It isn't where Python runs unbuffered (PYTHONUNBUFFERED, as many images set it): a signal then
    cuts short a write that waits for the loader, and the rest of the message would be lost.
    """

    @override
    def write_message(self, message: Message) -> None:
        """Write a message to stdout, to its end."""
        with memoryview(self.format_message(message)) as line:
            written = 0
            while written < len(line):
                written += sys.stdout.buffer.write(line[written:])
        sys.stdout.flush()
