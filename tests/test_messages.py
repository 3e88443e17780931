"""Messages: many at once are what they are one by one."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import msgspec
import pytest
from singer_sdk.contrib.msgspec import MsgSpecWriter
from singer_sdk.singerlib import RecordMessage, StateMessage

from tap_stripe_conn.messages import Messages, WholeMessageWriter

ROWS: list[dict[str, Any]] = [{"id": "ch_1", "amount": 1}, {"id": "ch_2", "amount": None}]
AT = datetime(2026, 1, 31, 12, 30, 1, 250, tzinfo=timezone.utc)


class Charge(msgspec.Struct):
    id: str
    amount: int | None


ENCODABLE: list[msgspec.Struct | msgspec.Raw] = [
    Charge("ch_1", 1),
    msgspec.Raw(b'{"id":"ch_2","amount":null}'),
]


@pytest.mark.parametrize("version", [None, 7])
@pytest.mark.parametrize("at", [None, AT])
def test_records_that_are_written_at_once_are_those_that_the_sdk_writes(
    version: int | None, at: datetime | None, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    for row in ROWS:
        MsgSpecWriter().write_message(RecordMessage("charges", row, version, at))
    expected = capfdbinary.readouterr().out
    common = RecordMessage("charges", {}, version, at)
    for writer in (WholeMessageWriter(), MsgSpecWriter()):
        Messages(writer).write_records(common, ENCODABLE)
        assert capfdbinary.readouterr().out == expected
    Messages(WholeMessageWriter()).write(RecordMessage("charges", row, version, at) for row in ROWS)
    assert capfdbinary.readouterr().out == expected
    assert expected.count(b"\n") == len(ROWS)


def test_a_state_is_written_as_the_sdk_writes_it(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    message = StateMessage({"bookmarks": {"charges": {"since": None, "pending": [{"a": 1}]}}})
    MsgSpecWriter().write_message(message)
    expected = capfdbinary.readouterr().out
    WholeMessageWriter().write_message(message)
    assert capfdbinary.readouterr().out == expected
