"""What happens to an account and to those who extract it, as steps that can be played again."""

from __future__ import annotations

from random import Random
from typing import Any, Final, NamedTuple, TypeAlias

from tests.fake_stripe.clock import DAY

PARENTS: Final = (
    "charges",
    "coupons",
    "credit_notes",
    "customers",
    "disputes",
    "invoice_items",
    "invoices",
    "payment_methods",
    "payouts",
    "prices",
    "products",
    "quotes",
    "refunds",
    "subscriptions",
    "transfers",
)
CHILDREN: Final = (
    "credit_note_line_items",
    "customer_payment_methods",
    "customer_tax_ids",
    "invoice_line_items",
    "quote_line_items",
    "subscription_items",
    "transfer_reversals",
)
STREAMS: Final = (*PARENTS, *CHILDREN)

LATEST: Final = 600
"""Seconds after which every event is listed."""


class Happen(NamedTuple):
    """Things happen in the account, one after another within minutes."""

    changes: int
    late: bool = False
    """Whether events are listed up to ten minutes after they are created."""

    up_to_date: bool = False
    """Whether events are in the API version that the tap reads, not in one of long ago."""

    untold: bool = False
    """Whether objects are also edited where Stripe tells of it by no event."""


class Pass(NamedTuple):
    """Time goes by."""

    seconds: int


class Extract(NamedTuple):
    """The tap runs."""

    streams: tuple[str, ...]
    start: int | None = None
    """Days since the history began."""

    end: int | None = None
    denied: tuple[str, ...] = ()
    """Streams that the key has no permission for."""

    meanwhile: int = 0
    """Things that happen while it reads."""

    killed_at: int | None = None
    """The message in writing which it dies."""

    stopped_at: int | None = None
    """The request at which it is asked to stop."""

    full_table: bool = False
    upgraded: bool = False
    """Whether the run before was by a tap for another version of the API."""


Step: TypeAlias = Happen | Pass | Extract


def history(seed: int) -> list[Step]:
    """A random one."""
    chance = Random(seed)  # noqa: S311 - no secrets
    steps: list[Step] = []
    for _ in range(chance.randrange(3)):
        steps += [_happening(chance), Pass(chance.randrange(20 * DAY))]
    first = chance.sample(STREAMS, chance.choice((1, 2, 4, 8, len(STREAMS))))
    start = chance.choice((None, None, 0, 5, 20))
    end = None if start is not None else chance.choice((None, None, 10, 30))
    for _ in range(chance.randrange(3, 7)):
        streams = set(first)
        if chance.random() < 0.2:
            # Others are selected from now on.
            streams |= set(chance.sample(STREAMS, 3))
            first = sorted(streams)
        if start is not None and chance.random() < 0.2:
            start = chance.choice((None, 0))
        end = None if end is None or chance.random() < 0.5 else end
        for _ in range(chance.choice((0, 1, 1, 2))):
            steps += [_happening(chance), _pause(chance)]
        steps.append(_extraction(chance, Extract(tuple(sorted(streams)), start, end)))
    steps += [Pass(LATEST), Extract(tuple(sorted(first)), start)]
    return steps


def _happening(chance: Random) -> Happen:
    return Happen(
        chance.choice((1, 1, 3, 10, 10, 50)),
        late=chance.random() < 0.3,
        up_to_date=chance.random() < 0.2,
        untold=chance.random() < 0.2,
    )


def _pause(chance: Random) -> Pass:
    if chance.random() < 0.12:
        return Pass(DAY * chance.randrange(20, 40) + chance.randrange(DAY))
    return Pass(chance.choice((0, 1, 30, 61, LATEST, 300, 3600, DAY, 2 * DAY)))


def _extraction(chance: Random, plain: Extract) -> Extract:
    """As the settings have it, or with something out of the ordinary."""
    denied = chance.sample(["events", *plain.streams], chance.randrange(1, 3))
    changes: dict[str, Any] = chance.choice(
        (
            *({},) * 8,
            *({"killed_at": chance.choice((0, 1, 5, 20, 60)) + chance.randrange(20)},) * 3,
            *({"stopped_at": chance.randrange(1, 15)},) * 2,
            *({"meanwhile": chance.choice((1, 3, 10))},) * 3,
            *({"denied": tuple(denied)},) * 2,
            {"upgraded": True},
            {"full_table": True},
        )
    )
    return plain._replace(**changes)
