"""Streams by themselves, one request after the other, for programs that drive the tap."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tap_stripe_conn.api.crew import fetch
from tap_stripe_conn.streams.changes import Feed
from tap_stripe_conn.streams.family import ENDS_THE_RUN, Family
from tap_stripe_conn.streams.results import Failure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_stripe_conn.streams.lanes import Request
    from tap_stripe_conn.streams.results import Batch
    from tap_stripe_conn.streams.source import Source
    from tap_stripe_conn.streams.stream import StripeStream


def read(stream: StripeStream, source: Source) -> Iterator[Batch]:
    """Read a stream, and move its bookmark as it is written.

    Raises:
        StripeError: It can't be read; what was yielded stands.
        ConnectionFailedError: Likewise.
        UnexpectedObjectError: Likewise.
    """
    family = Family(stream.root, [stream], source)
    feed = Feed([family], source)
    while not (family.is_read and feed.is_read):
        for reader in (feed, family):
            for lane in reader.lanes:
                if (request := lane.ask()) is None:
                    continue
                for result in _answer(reader, request, feed, source):
                    if isinstance(result, Failure):
                        raise result.error
                    yield result
                family.save()
    family.finish()


def _answer(
    reader: Feed | Family, request: Request, feed: Feed, source: Source
) -> Iterator[Batch | Failure]:
    try:
        answer = fetch(source.client, request.query)
    except Exception as error:  # noqa: BLE001 - raised again if it is not to be borne
        yield from _failed(reader, request, error)
    else:
        yield from reader.receive(request, answer)
    yield from feed.go_on()


def _failed(reader: Feed | Family, request: Request, error: Exception) -> Iterator[Batch | Failure]:
    if isinstance(reader, Family):
        yield from reader.failed(request, error)
        return
    try:
        yield from reader.failed(request, error)
    except ENDS_THE_RUN:
        raise
    except Exception as lost:  # noqa: BLE001 - told to the streams
        yield from reader.lost(lost)
