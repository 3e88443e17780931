"""A run: all selected streams at once, through one writer."""

from __future__ import annotations

import logging
import math
import time
from collections import Counter, deque
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from singer_sdk.exceptions import MappingError

from tap_stripe_conn.api.crew import Crew
from tap_stripe_conn.messages import OutputError
from tap_stripe_conn.progress import Busy, Figures, Progress
from tap_stripe_conn.streams.changes import Feed
from tap_stripe_conn.streams.family import ENDS_THE_RUN, Family, families
from tap_stripe_conn.streams.outcome import Outcome, Status, trouble
from tap_stripe_conn.streams.results import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from singer_sdk.metrics import Counter as MetricsCounter

    from tap_stripe_conn.api.crew import Fetched
    from tap_stripe_conn.api.limits import Limiter
    from tap_stripe_conn.interrupts import Interrupts
    from tap_stripe_conn.streams.lanes import Lane, Request
    from tap_stripe_conn.streams.results import Batch
    from tap_stripe_conn.streams.source import Source
    from tap_stripe_conn.streams.stream import StripeStream

STATE_INTERVAL: Final = 2.0
STATE_ROWS: Final = 1_000
"""Seconds and rows after which a STATE message follows: what came since is read again after a
crash."""

MOST_UNDER_WAY: Final = 128
"""Requests whose answers are not written yet, be it that they are waited for, that they are tried
again, or that the loader is slow."""

MOST_ANSWERED: Final = 8
"""Answers that wait to be written, beyond which no more is asked: then it is not Stripe that all
wait for."""

LONGEST_WAIT: Final = 1.0
"""Seconds after which to look around, even if nothing happens."""

logger = logging.getLogger(__name__)


class Sync:
    """One run over the selected streams.

    Threads fetch; this one does all the rest. While it writes, nothing new is asked: so a slow
    loader slows the fetching.
    """

    def __init__(
        self,
        streams: Iterable[StripeStream],
        source: Source,
        *,
        limiter: Limiter,
        write_state: Callable[[], None],
        interrupts: Interrupts,
    ) -> None:
        """Prepare the run; nothing is read yet.

        Args:
            streams: The selected ones.
            source: What to read them from.
            limiter: Says when a request may leave.
            write_state: Writes a STATE message, if the state has changed.
            interrupts: Keeps a signal from cutting a message, or a thought, in two.
        """
        self._streams = list(streams)
        self._source = source
        self._limiter = limiter
        self._interrupts = interrupts
        self._write = write_state
        self._outcomes: dict[str, Outcome] = {}
        self._rows: Counter[str] = Counter()
        self._schema_written: set[str] = set()
        self._state_written = time.monotonic()
        self._rows_since_state = 0
        self._metrics: dict[str, _Metrics] = {}
        self._open: list[Family | Feed] = []
        self._feed: Feed | None = None
        self._turns: deque[_Turn] = deque()
        self._in_a_step = False
        self._progress = Progress(self._figures)

    def run(self) -> list[Outcome]:
        """Read every stream, each as far as it can be read.

        Returns:
            An outcome for each stream, in their order.

        Raises:
            AuthenticationError: The credentials were withdrawn meanwhile.
            UnreachableError: Stripe can't be reached any more.
            CredentialsError: No access token can be had any more.
            OutputError: The messages can't be written any more.
        """
        with self._ending(), self._progress, Crew[_Asked](self._source.client) as crew:
            with self._interrupts.held():
                self._begin()
            while self._open:
                with self._interrupts.held():
                    pause = self._ask(crew)
                self._see_that_it_goes_on(crew)
                fetched = crew.next(pause)
                if fetched is not None:
                    self._receive(fetched, crew)
                self._tell()
            for stream in self._streams:
                if self._outcomes[stream.name].readable:
                    stream.conclude()
        return [self._outcomes[stream.name] for stream in self._streams]

    @property
    def outcomes(self) -> Mapping[str, Outcome]:
        """Of the streams that have ended, by name."""
        return self._outcomes

    @contextmanager
    def _ending(self) -> Iterator[None]:
        """However the run ends, its state is written, and its metrics."""
        try:
            yield
        except BaseException as error:
            # What is under way is for nobody.
            self._source.client.close()
            for metrics in self._metrics.values():
                metrics.end(error)
            raise
        finally:
            self._write_state()

    def _begin(self) -> None:
        opened: list[Family] = []
        for members in families(self._streams):
            self._metrics |= {member.name: _Metrics(member) for member in members}
            opened.append(Family(members[0].root, members, self._source))
        self._feed = Feed(opened, self._source)
        self._open = [self._feed, *opened]
        for reader in self._open:
            self._turns.extend(_Turn(reader, lane) for lane in reader.lanes)
        self._close_what_is_read(self._open)

    # What to ask

    def _ask(self, crew: Crew[_Asked]) -> float:
        """Let requests go that may, each lane's in its turn.

        Returns:
            Seconds until the next one may, unless an answer comes before.
        """
        while crew.under_way < MOST_UNDER_WAY and crew.answered < MOST_ANSWERED:
            now = time.monotonic()
            turn = next((each for each in self._turns if self._goes(each, crew, now)), None)
            if turn is not None:
                self._turns.remove(turn)
                self._turns.append(turn)
            elif crew.answered or not self._divide():
                return self._pause(now)
        return LONGEST_WAIT

    def _goes(self, turn: _Turn, crew: Crew[_Asked], now: float) -> bool:
        lane = turn.lane
        if turn.due > now or (turn.request is None and not len(lane)):
            return False
        if turn.under_way >= self._limiter.most_in_flight(lane.endpoint):
            # Many of them are tried again, while others could be asked; until an answer comes.
            turn.due = now + LONGEST_WAIT
            return False
        turn.request = turn.request or lane.ask()
        if turn.request is None:
            return False
        delay = self._limiter.admit(lane.endpoint)
        if delay > 0:
            turn.due = now + delay
            return False
        request, turn.request = turn.request, None
        turn.under_way += 1
        crew.fetch(_Asked(turn, request), request.query)
        return True

    def _divide(self) -> bool:
        """Find more to ask in what is being read, if all there is to ask leaves requests idle.

        Returns:
            Whether there is more now.
        """
        waiting = sum(turn.request is not None for turn in self._turns)
        for turn in self._turns:
            lane = turn.lane
            if turn.request is None and len(lane):
                idle = self._limiter.idle(lane.endpoint) - waiting
                if idle > 0 and lane.split(idle):
                    return True
        return False

    def _pause(self, now: float) -> float:
        due = (turn.due for turn in self._turns if turn.request is not None)
        return min(LONGEST_WAIT, max(0.0, min(due, default=math.inf) - now))

    def _see_that_it_goes_on(self, crew: Crew[_Asked]) -> None:
        """Rather break loudly than wait for nothing."""
        if not crew.under_way and all(turn.request is None for turn in self._turns):
            names = ", ".join(family.root.name for family in self._open)
            msg = f"Nothing is left to ask, but these are not read to their end: {names}"
            raise RuntimeError(msg)

    # What came of it

    def _receive(self, fetched: Fetched[_Asked], crew: Crew[_Asked]) -> None:
        (asked, request), answer = fetched.purpose, fetched.answer
        asked.under_way -= 1
        family = asked.family
        for turn in self._turns:
            turn.due = 0.0
        if family not in self._open:
            return
        results = (
            family.failed(request, answer)
            if isinstance(answer, Exception)
            else family.receive(request, answer)
        )
        with_feed = self._feed in self._open
        self._write_results(results, family, crew)
        if self._feed is not None and self._feed in self._open:
            self._write_results(self._feed.go_on(), self._feed, crew)
        with self._interrupts.held():
            # The end of the events, or of a window of them, may be what others have waited for.
            self._close_what_is_read(self._open if with_feed else [family])

    def _write_results(
        self,
        results: Iterator[Batch | Failure],
        reader: Family | Feed,
        crew: Crew[_Asked],
    ) -> None:
        try:
            with self._interrupts.held(), self._step():
                result = next(results, None)
            while result is not None:
                with self._interrupts.held(), self._step():
                    self._take(result)
                    # To ask for the next says that this one is written: no signal comes between.
                    result = next(results, None)
                with self._interrupts.held():
                    self._ask(crew)
                self._tell()
        except (*ENDS_THE_RUN, MappingError, OutputError):
            raise
        except Exception as error:  # noqa: BLE001 - one stream must not cost the others
            if isinstance(reader, Feed):
                self._lose_feed(reader, error)
                return
            with self._interrupts.held():
                self._close_on(error, reader)

    def _lose_feed(self, feed: Feed, error: Exception) -> None:
        logger.warning("Stripe's events can't be read: %s", error)
        with self._interrupts.held():
            self._close(feed)
            self._feed = None
        for result in feed.lost(error):
            with self._interrupts.held(), self._step():
                self._take(result)

    def _take(self, result: Batch | Failure) -> None:
        if isinstance(result, Failure):
            begun = result.begun or result.stream.name in self._schema_written
            outcome = trouble(result.error, result.stream, result.stream, begun=begun)
            self._end(outcome, result.error)
        else:
            self._write_batch(result)

    @contextmanager
    def _step(self) -> Iterator[None]:
        """While bookmarks can't be told: only a second signal leaves it so."""
        self._in_a_step = True
        try:
            yield
        except Exception:
            self._in_a_step = False
            raise
        self._in_a_step = False

    def _write_batch(self, batch: Batch) -> None:
        stream, rows, way = batch
        self._write_schema(stream)
        with self._progress.writing():
            written = stream.write_rows(rows)
        self._metrics[stream.name].counter.increment(written)
        self._rows[stream.name] += written
        stream.tally.rows[way] += written
        self._rows_since_state += len(rows)

    def _write_schema(self, stream: StripeStream) -> None:
        if stream.name not in self._schema_written:
            self._schema_written.add(stream.name)
            stream.write_schema()

    def _write_state(self) -> None:
        with self._interrupts.held():
            if not self._in_a_step:
                for family in self._open:
                    family.save()
            self._write()
        self._state_written = time.monotonic()
        self._rows_since_state = 0

    # What to tell

    def _tell(self) -> None:
        self._progress.tick()
        seconds = time.monotonic() - self._state_written
        if seconds >= STATE_INTERVAL or self._rows_since_state >= STATE_ROWS:
            self._write_state()

    def _figures(self) -> Figures:
        busy = [
            Busy(name, self._rows[name], turn.lane.pages, turn.family.pages_left(turn.lane))
            for turn in self._turns
            if (name := turn.lane.stream.name) and len(turn.lane)
        ]
        rows, speed = self._rows.total(), self._limiter.speed()
        return Figures(rows, len(self._outcomes), len(self._streams), speed, busy)

    # How it ends

    def _close_what_is_read(self, readers: Iterable[Family | Feed]) -> None:
        for reader in [each for each in readers if each in self._open and each.is_read]:
            reader.finish()
            for member in reader.members:
                self._write_schema(member)
                member.activate()
                self._end(Outcome(member.name, Status.COMPLETE))
            self._close(reader)

    def _close_on(self, error: Exception, family: Family) -> None:
        """End what is left of a family on an error of its top-level list."""
        family.save()
        for member in family.members:
            outcome = trouble(error, member, family.root, begun=family.begun)
            self._end(outcome, error)
        self._close(family)

    def _close(self, reader: Family | Feed) -> None:
        self._open.remove(reader)
        self._turns = deque(turn for turn in self._turns if turn.family is not reader)
        if self._feed is not None and isinstance(reader, Family):
            self._feed.leave(reader)

    def _end(self, ended: Outcome, error: Exception | None = None) -> None:
        self._metrics.pop(ended.stream).end(error)
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


class _Metrics:
    """The SDK's, of one stream."""

    def __init__(self, stream: StripeStream) -> None:
        """Begin to count and to time."""
        self._open = ExitStack()
        self.counter: MetricsCounter = self._open.enter_context(stream.get_record_counter())
        self._open.enter_context(stream.get_sync_timer())

    def end(self, error: BaseException | None) -> None:
        """Log them; a timer says whether there was an error."""
        self._open.__exit__(type(error) if error else None, error, None)


@dataclass(eq=False)
class _Turn:
    """A lane in the round."""

    family: Family | Feed
    lane: Lane
    request: Request | None = None
    """What it asks next."""

    under_way: int = 0
    """Requests whose answers have not come, or not been taken."""

    due: float = 0.0
    """By the monotonic clock, before which it needn't be looked at."""


class _Asked(NamedTuple):
    turn: _Turn
    request: Request
