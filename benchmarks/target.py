"""A target that only notes the rows' keys: `python -m benchmarks.target KEYS < messages`.

With `--contents` it notes what they hold too.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

READ_AT_ONCE = 1 << 20
AHEAD = 0.01
"""Seconds that it may be ahead of its pace: it does not sleep for each row."""


class Message(msgspec.Struct):
    """What is read of a Singer message."""

    type: str
    stream: str = ""
    record: msgspec.Raw = msgspec.Raw()
    key_properties: list[str] = []


def main(arguments: Sequence[str] | None = None) -> None:
    """Read messages from stdin to the end."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.target", description=__doc__)
    parser.add_argument("keys", type=Path, help="the file that the keys are written to")
    parser.add_argument("--rate", type=float, help="rows/s; default: as fast as it can")
    parser.add_argument("--contents", action="store_true", help="note a digest of each row too")
    options = parser.parse_args(arguments)
    with (
        open(sys.stdin.fileno(), "rb", READ_AT_ONCE, closefd=False) as messages,
        options.keys.open("wb") as file,
    ):
        found = contents(messages) if options.contents else keys(messages)
        write(found if options.rate is None else paced(found, options.rate), file)


def keys(messages: Iterable[bytes]) -> Iterator[bytes]:
    """The stream and the primary key of each row, as a JSON array."""
    decode = msgspec.json.Decoder(Message).decode
    properties: dict[str, list[str]] = {}
    decoders: dict[str, msgspec.json.Decoder[msgspec.Struct]] = {}
    for line in messages:
        message = decode(line)
        if message.type == "SCHEMA":
            names = properties[message.stream] = message.key_properties
            record = msgspec.defstruct("Record", [(name, object) for name in names])
            decoders[message.stream] = msgspec.json.Decoder(record)
        elif message.type == "RECORD":
            row = decoders[message.stream].decode(message.record)
            values = (getattr(row, name) for name in properties[message.stream])
            yield msgspec.json.encode((message.stream, *values))


def contents(messages: Iterable[bytes]) -> Iterator[bytes]:
    """The same with a digest of the row, as a JSON array of both."""
    decode = msgspec.json.Decoder(Message).decode
    properties: dict[str, list[str]] = {}
    for line in messages:
        message = decode(line)
        if message.type == "SCHEMA":
            properties[message.stream] = message.key_properties
        elif message.type == "RECORD":
            row = msgspec.json.decode(message.record)
            key = (message.stream, *(row[name] for name in properties[message.stream]))
            yield msgspec.json.encode((key, digest(row)))


def digest(row: Mapping[str, Any]) -> str | None:
    """What tells whether rows hold the same in Stripe's columns; None where one is gone."""
    if row.get("_sdc_deleted_at") is not None:
        return None
    own = {name: value for name, value in row.items() if not name.startswith("_")}
    return hashlib.blake2b(msgspec.json.encode(own, order="sorted"), digest_size=16).hexdigest()


def paced(rows: Iterable[bytes], rate: float) -> Iterator[bytes]:
    """The rows, no more than so many each second from the first one on."""
    due = 0.0
    for row in rows:
        due = due or time.monotonic()
        due += 1 / rate
        if (ahead := due - time.monotonic()) > AHEAD:
            time.sleep(ahead)
        yield row


def write(lines: Iterable[bytes], file: IO[bytes]) -> None:
    """Write a line for each."""
    file.writelines(line + b"\n" for line in lines)


if __name__ == "__main__":
    main()
