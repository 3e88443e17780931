"""What the streams of one run read from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tap_stripe_conn.api.client import StripeClient
    from tap_stripe_conn.api.lists import Range
    from tap_stripe_conn.catalogue.resources import Catalogue
    from tap_stripe_conn.streams.bookmarks import Owner
    from tap_stripe_conn.streams.stream import StripeStream


@dataclass(frozen=True, slots=True)
class Source:
    """An account, and the span of creation time to read of it."""

    client: StripeClient
    catalogue: Catalogue

    span: Range
    """From `start_date` to `end_date`, or to the start of the run: a frozen bound, so that
    objects made meanwhile don't move pages."""

    settled: int
    """Unix seconds that have passed by Stripe's clock and by ours: no bookmark goes beyond, lest a
    clock that is fast hides what is made until it is right."""

    now: int
    """Unix seconds by Stripe's clock, at the start of the run."""

    events: StripeStream
    """Stripe's events, whether they are selected or not."""

    mutable_window: int
    """Seconds for which rows are read again whose changes no event tells of."""

    owner: Owner
    """Whose account it is."""

    opened: int | None = None
    """Unix seconds: when the account was made, as far as it says; it may have older objects."""
