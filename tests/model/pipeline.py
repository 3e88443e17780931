"""The tap, run within this process, and a target that upserts what it writes."""

from __future__ import annotations

import json
import os
import signal
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from singer_sdk.singerlib.encoding import SimpleSingerWriter as SingerWriter
from typing_extensions import override

from tap_stripe_conn.interrupts import Interrupted
from tap_stripe_conn.streams.outcome import Status
from tap_stripe_conn.streams.stream import StripeStream
from tap_stripe_conn.tap import TapStripeConn
from tests.contract.conftest import FAST, catalog_of
from tests.model.history import STREAMS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from singer_sdk.singerlib.encoding.simple import Message

    from tap_stripe_conn.streams.outcome import Outcome
    from tests.fake_stripe import FakeStripe
    from tests.fake_stripe.request import Request
    from tests.fake_stripe.store import StripeObject


class Killed(BaseException):
    """The process has ended, and does nothing more."""


class Tap(TapStripeConn):
    """The tap with the streams of histories alone: to set up all takes longer than to run."""

    @override
    def discover_streams(self) -> Sequence[StripeStream]:
        return [StripeStream(self, self.catalogue.resources[name]) for name in STREAMS]


@cache
def streams() -> Mapping[str, StripeStream]:
    """The streams of histories, not of a run, for what they know of their rows."""
    return Tap(config={"live_api_key": "sk_" + "test_" + "0" * 24}).stripe_streams


class Output(SingerWriter):
    """What the target receives, until the tap is killed."""

    def __init__(self, killed_at: int | None) -> None:
        super().__init__()
        self.messages: list[dict[str, Any]] = []
        self._killed_at = killed_at

    @override
    def write_message(self, message: Message) -> None:
        if len(self.messages) == self._killed_at:
            raise Killed
        self.messages.append(json.loads(self.format_message(message)))


class Run(NamedTuple):
    """What a run left."""

    messages: list[dict[str, Any]]
    state: dict[str, Any]
    complete: frozenset[str]
    """Streams that were read whole."""

    outcomes: list[Outcome]
    """Empty where the run was cut short."""


def extract(  # noqa: PLR0913 - each is a fact of its own about the run
    stripe: FakeStripe,
    select: Iterable[str],
    state: Mapping[str, Any],
    *,
    before_request: Callable[[Request], None] | None = None,
    killed_at: int | None = None,
    full_table: bool = False,
    **settings: object,
) -> Run:
    """Run the tap.

    Args:
        stripe: What it reads.
        select: Streams.
        state: Of the run before.
        before_request: Called with each request.
        killed_at: The message that it is killed at.
        full_table: Whether all streams are to be read whole.
        settings: Over those that reach the server.
    """
    output = Output(killed_at)
    config = {"live_api_key": stripe.secret_key, "api_base": stripe.url, **FAST, **settings}
    method = {"forced-replication-method": "FULL_TABLE"} if full_table else {}
    tap = Tap(
        config={name: value for name, value in config.items() if value is not None},
        catalog=catalog_of(select, **method),
        state=json.loads(json.dumps(state)),
        message_writer=output,
    )
    stripe.before_request = before_request
    outcomes: list[Outcome] = []
    try:
        tap.check_connection()
        outcomes = tap.sync()
    except (Killed, Interrupted):
        pass
    finally:
        stripe.before_request = None
        tap.client.close()
    states = [message["value"] for message in output.messages if message["type"] == "STATE"]
    complete = frozenset(each.stream for each in outcomes if each.status is Status.COMPLETE)
    return Run(output.messages, states[-1] if states else dict(state), complete, outcomes)


def stop() -> None:
    """Ask this process to stop, which is up to the tap that runs in it."""
    os.kill(os.getpid(), signal.SIGTERM)


class Target:
    """Tables by stream, with rows by key, without the tap's own columns."""

    def __init__(self, keys: Mapping[str, tuple[str, ...]]) -> None:
        self._keys = keys
        self.tables: dict[str, dict[tuple[str, ...], StripeObject]] = {name: {} for name in keys}

    def load(self, messages: Iterable[Mapping[str, Any]]) -> None:
        """Upsert the rows, and delete those that are said to be gone."""
        for message in messages:
            if message["type"] != "RECORD":
                continue
            row, table = message["record"], self.tables[message["stream"]]
            key = tuple(row[name] for name in self._keys[message["stream"]])
            if row.get("_sdc_deleted_at"):
                table.pop(key, None)
            else:
                table[key] = {name: row[name] for name in row if not name.startswith("_")}

    def truncate(self, streams: Iterable[str]) -> None:
        """As targets do before they load what was read whole."""
        for stream in streams:
            self.tables[stream].clear()
