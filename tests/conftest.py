"""Fixtures that tests of more than one room use."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.fake_stripe import FakeStripe

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def stripe() -> Iterator[FakeStripe]:
    """An empty Stripe account in test mode, on loopback."""
    with FakeStripe() as server:
        yield server


@pytest.fixture(autouse=True)
def _own_signal_handlers() -> Iterator[None]:
    """A tap that is made within a test takes SIGINT and SIGTERM for its own."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    handlers = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, handlers, strict=True):
        signal.signal(number, handler)
