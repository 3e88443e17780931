"""A run: the selected streams, read one family at a time, through one writer."""

from __future__ import annotations

import logging
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from singer_sdk.exceptions import MappingError

from tap_stripe_conn.api.errors import (
    AuthenticationError,
    ConnectionFailedError,
    CredentialsError,
)
from tap_stripe_conn.messages import OutputError
from tap_stripe_conn.streams.family import Failure, Family, families
from tap_stripe_conn.streams.outcome import Outcome, Status, trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from singer_sdk.metrics import Counter as MetricsCounter

    from tap_stripe_conn.interrupts import Interrupts
    from tap_stripe_conn.streams.family import Batch
    from tap_stripe_conn.streams.source import Source
    from tap_stripe_conn.streams.stream import StripeStream

STATE_INTERVAL: Final = 5.0
"""Seconds between STATE messages while rows flow."""

logger = logging.getLogger(__name__)


class Sync:
    """One run over the selected streams."""

    def __init__(
        self,
        streams: Iterable[StripeStream],
        source: Source,
        *,
        write_state: Callable[[], None],
        interrupts: Interrupts,
    ) -> None:
        """Prepare the run; nothing is read yet.

        Args:
            streams: The selected ones.
            source: What to read them from.
            write_state: Writes a STATE message, if the state has changed.
            interrupts: Keeps a signal from cutting a message in two.
        """
        self._streams = list(streams)
        self._source = source
        self._interrupts = interrupts
        self._write = write_state
        self._outcomes: dict[str, Outcome] = {}
        self._rows: Counter[str] = Counter()
        self._schema_written: set[str] = set()
        self._state_written = time.monotonic()

    def run(self) -> list[Outcome]:
        """Read every stream, each as far as it can be read.

        Returns:
            An outcome for each stream, in their order.

        Raises:
            AuthenticationError: The credentials were withdrawn meanwhile.
            ConnectionFailedError: Stripe can't be reached any more.
            CredentialsError: No access token can be had any more.
            OutputError: The messages can't be written any more.
        """
        try:
            for members in families(self._streams):
                self._run(Family(members[0].root, members, self._source))
        finally:
            self._write_state()
        return [self._outcomes[stream.name] for stream in self._streams]

    def _run(self, family: Family) -> None:
        try:
            self._read(family)
        except ConnectionFailedError as error:
            if not self._source.client.reachable():
                raise
            self._end_all(family, error)
        except (AuthenticationError, CredentialsError, MappingError, OutputError):
            raise
        except Exception as error:  # noqa: BLE001 - one stream must not cost the others
            self._end_all(family, error)
        else:
            for member in family.members:
                with self._interrupts.held():
                    self._write_schema(member)
                self._end(Outcome(member.name, Status.COMPLETE))
        self._write_state()

    def _read(self, family: Family) -> None:
        with ExitStack() as metrics:
            counters = {
                member.name: metrics.enter_context(member.get_record_counter())
                for member in family.members
            }
            for member in family.members:
                metrics.enter_context(member.get_sync_timer())
            for result in family.read():
                self._take(result, counters)

    def _end_all(self, family: Family, error: Exception) -> None:
        """End what is left of a family on an error of its top-level list."""
        for member in family.members:
            self._end(trouble(error, member, family.root, begun=family.answered))

    def _take(self, result: Batch | Failure, counters: dict[str, MetricsCounter]) -> None:
        if isinstance(result, Failure):
            begun = result.stream.name in self._schema_written
            self._end(trouble(result.error, result.stream, result.stream, begun=begun))
            return
        with self._interrupts.held():
            self._write_schema(result.stream)
            for row in result.rows:
                result.stream.write_row(row)
        counters[result.stream.name].increment(len(result.rows))
        self._rows[result.stream.name] += len(result.rows)
        if time.monotonic() - self._state_written >= STATE_INTERVAL:
            self._write_state()

    def _write_schema(self, stream: StripeStream) -> None:
        if stream.name not in self._schema_written:
            self._schema_written.add(stream.name)
            stream.write_schema()

    def _write_state(self) -> None:
        with self._interrupts.held():
            self._write()
        self._state_written = time.monotonic()

    def _end(self, ended: Outcome) -> None:
        outcome = replace(ended, rows=self._rows[ended.stream])
        self._outcomes[outcome.stream] = outcome
        name, rows, reason = outcome.stream, outcome.rows, outcome.reason
        done = f"{len(self._outcomes)} of {len(self._streams)}"
        if outcome.readable:
            logger.info("Stream %s: %d rows (%s streams)", name, rows, done)
        elif outcome.absent:
            logger.info("Stream %s is skipped: %s (%s streams)", name, reason, done)
        elif rows:
            logger.warning("Stream %s: %d rows, then %s (%s)", name, rows, reason, done)
        else:
            logger.warning("Stream %s is skipped: %s (%s streams)", name, reason, done)
