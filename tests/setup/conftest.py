"""Where the command runs, and the Stripe that it meets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.ports import reserved_port
from tests.setup.dialogue import Room

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fake_stripe import FakeStripe


@pytest.fixture
def room(tmp_path: Path) -> Room:
    for name in ("project", "tmp"):
        (tmp_path / name).mkdir()
    return Room(tmp_path)


@pytest.fixture
def to(stripe: FakeStripe) -> tuple[str, ...]:
    """Options that lead to the test server."""
    return ("--api-base", stripe.url, "--connect-base", stripe.url)


@pytest.fixture
def redirect_uri(stripe: FakeStripe) -> Iterator[str]:
    """On a free port of loopback, and registered."""
    with reserved_port() as port:
        uri = f"http://localhost:{port}/stripe"
        stripe.oauth.redirect_uris.append(uri)
        yield uri


@pytest.fixture
def owner(stripe: FakeStripe) -> str:
    """The account whose owner sits at the browser."""
    account = stripe.add_account()
    stripe.oauth.consenting_account = account
    return account
