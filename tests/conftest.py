"""Fixtures that tests of more than one room use."""

from __future__ import annotations

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
