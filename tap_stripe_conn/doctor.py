"""The connection test's probes: one row of each stream shows what the credentials may read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from tap_stripe_conn.api.errors import (
    AuthenticationError,
    ConnectionFailedError,
    CredentialsError,
    ExpandRefusedError,
    ForbiddenError,
    InvalidRequestError,
)
from tap_stripe_conn.streams.children import listing_of, may_have_children, tells_of_none
from tap_stripe_conn.streams.family import families
from tap_stripe_conn.streams.outcome import Outcome, Status, trouble

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tap_stripe_conn.api.client import Object, StripeClient
    from tap_stripe_conn.api.lists import Listing
    from tap_stripe_conn.catalogue.resources import Parent
    from tap_stripe_conn.streams.stream import StripeStream

CREW: Final = 32
"""Probes under way at once: enough for 80 requests/s where an answer takes 0.4 s."""

TRIES: Final = 3
TIMEOUT: Final = 10.0
"""Seconds; one row that takes longer is trouble."""


def examine(streams: Sequence[StripeStream], client: StripeClient) -> list[Outcome]:
    """Ask Stripe for one row of each stream; of a child's, for one parent.

    A child whose parent has no row is empty, and one whose parent can't be read ends like it.

    Returns:
        An outcome for each stream, in their order.

    Raises:
        AuthenticationError: The credentials were withdrawn meanwhile.
        ConnectionFailedError: Stripe can't be reached any more.
        CredentialsError: No access token can be had any more.
    """
    # Whom many wait for goes first.
    longest_first = sorted(families(streams), key=len, reverse=True)
    jobs = [partial(_examine_family, members, client) for members in longest_first]
    outcomes = {outcome.stream: outcome for outcome in _worked_off(jobs, min(CREW, len(streams)))}
    return [outcomes[stream.name] for stream in streams]


class _Findings(NamedTuple):
    outcomes: list[Outcome]
    further: Sequence[_Job] = ()
    """What can be asked now."""


_Job: TypeAlias = Callable[[], _Findings]


def _examine_family(members: Sequence[StripeStream], client: StripeClient) -> _Findings:
    root = members[0].root
    children = {
        member: member.resource.parent for member in members if member.resource.parent is not None
    }
    # Not every row is a parent: a page of them is still one request.
    choosy = any(parent.where or parent.params for parent in children.values())
    probe = _probe(root, root.listing(), client, whole_page=choosy)
    if probe.error is not None:
        return _Findings([trouble(probe.error, member, root) for member in members])
    outcomes = [probe.outcome(root)] if root in members else []
    further = []
    for child, parent in children.items():
        row = next((row for row in probe.rows if may_have_children(row, parent)), None)
        if row is None:
            outcomes.append(Outcome(child.name, Status.EMPTY))
        else:
            further.append(partial(_examine_child, child, parent, row, client))
    return _Findings(outcomes, further)


def _examine_child(
    child: StripeStream, parent: Parent, parent_row: Object, client: StripeClient
) -> _Findings:
    try:
        listing = listing_of(parent_row, parent, child)
    except InvalidRequestError as error:
        return _Findings([trouble(error, child, child)])
    # Whatever is embedded in the parent's row: a longer list has to be asked for.
    probe = _probe(child, listing, client)
    if probe.error is None or tells_of_none(probe.error, child):
        return _Findings([probe.outcome(child)])
    return _Findings([trouble(probe.error, child, child)])


class _Probe(NamedTuple):
    """What one request, or two, found."""

    rows: Sequence[Object] = ()
    error: Exception | None = None
    unexpanded: str = ""
    """Why the rows lack the fields that are to be expanded."""

    def outcome(self, stream: StripeStream) -> Outcome:
        status = Status.OK if self.rows else Status.EMPTY
        return Outcome(stream.name, status, self.unexpanded)


def _probe(
    stream: StripeStream, listing: Listing, client: StripeClient, *, whole_page: bool = False
) -> _Probe:
    size = None if listing.page_size is None else listing.page_size if whole_page else 1
    listing = replace(listing, page_size=size)
    try:
        try:
            return _Probe(_rows(stream, listing, client))
        except (ExpandRefusedError, ForbiddenError) as error:
            if not listing.expand:
                raise
            rows = _rows(stream, replace(listing, expand=()), client)
            return _Probe(rows, unexpanded=str(error))
    except (AuthenticationError, CredentialsError):
        raise
    except Exception as error:
        if isinstance(error, ConnectionFailedError) and not client.reachable(timeout=TIMEOUT):
            raise
        return _Probe(error=error)


def _rows(stream: StripeStream, listing: Listing, client: StripeClient) -> Sequence[Object]:
    path, params, endpoint = listing.query(None)
    answer = client.get(path, params, endpoint=endpoint, max_tries=TRIES, timeout=TIMEOUT)
    rows = listing.walk().receive(answer)
    for row in rows:
        stream.recognize(row)
    return rows


def _worked_off(jobs: Iterable[_Job], crew: int) -> Iterator[Outcome]:
    """Do the jobs, and those that follow from them, side by side.

    By daemon threads: an interrupt waits for no answer, as it would with an executor's.
    """
    todo: SimpleQueue[_Job | None] = SimpleQueue()
    done: SimpleQueue[_Findings | Exception] = SimpleQueue()
    left = 0
    for job in jobs:
        todo.put(job)
        left += 1
    for _ in range(crew):
        Thread(target=_work, args=(todo, done), daemon=True).start()
    try:
        while left:
            findings = done.get()
            if isinstance(findings, Exception):
                raise findings
            for job in findings.further:
                todo.put(job)
            left += len(findings.further) - 1
            yield from findings.outcomes
    finally:
        _dismiss(crew, todo)


def _work(todo: SimpleQueue[_Job | None], done: SimpleQueue[_Findings | Exception]) -> None:
    while (job := todo.get()) is not None:
        try:
            done.put(job())
        except Exception as error:  # noqa: BLE001 - raised where the findings are awaited
            done.put(error)


def _dismiss(crew: int, todo: SimpleQueue[_Job | None]) -> None:
    while True:
        try:
            todo.get_nowait()
        except Empty:
            break
    for _ in range(crew):
        todo.put(None)
