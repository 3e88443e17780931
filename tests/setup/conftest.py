"""Where the command runs, and the Stripe that it meets."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from tests.setup.dialogue import Room

if TYPE_CHECKING:
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
def redirect_uri(stripe: FakeStripe) -> str:
    """On a free port of loopback, and registered."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        uri = f"http://localhost:{listener.getsockname()[1]}/stripe"
    stripe.oauth.redirect_uris.append(uri)
    return uri


@pytest.fixture
def owner(stripe: FakeStripe) -> str:
    """The account whose owner sits at the browser."""
    account = stripe.add_account()
    stripe.oauth.consenting_account = account
    return account
