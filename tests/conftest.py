"""Fixtures that tests of more than one room use."""

from __future__ import annotations

import logging
import os
import signal
from typing import TYPE_CHECKING
from unittest import mock

import pytest
from hypothesis import settings

from tap_stripe_conn import redaction
from tests.fake_stripe import FakeStripe
from tools.environments import HOME

if TYPE_CHECKING:
    from collections.abc import Iterator


# A machine that does more than one thing at once has no sense of time. What CI finds it finds each
# time; the nightly profile looks for more.
settings.register_profile("ci", deadline=None, derandomize=True)
settings.register_profile("nightly", deadline=None, max_examples=1_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# The tests start commands by the hundred, and each would compile all its modules again, which takes
# as long as all else that it does. Where no bytecode may lie beside the source, it lies elsewhere.
if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
    os.environ.setdefault("PYTHONPYCACHEPREFIX", str(HOME / "bytecode"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let workers begin with what takes longest, so that none is left alone with it at the end."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: "end_to_end" not in item.path.parts)


@pytest.fixture
def stripe() -> Iterator[FakeStripe]:
    """An empty Stripe account in test mode, on loopback."""
    with FakeStripe() as server:
        yield server


@pytest.fixture(autouse=True)
def _nothing_is_redacted() -> Iterator[None]:
    """What a test sees is what there is: no secret is known from another, no log is protected."""
    with (
        mock.patch.object(redaction, "_concealed", redaction._Concealed()),  # noqa: SLF001
        mock.patch.object(logging.Handler, "format", logging.Handler.format),
    ):
        yield


@pytest.fixture(autouse=True)
def _own_signal_handlers() -> None:
    """Python's own: a tap that was made in this process has taken the signals for its own."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
