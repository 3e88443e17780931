"""Loaders are told which rows of a whole read are gone, if they want to know."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tests.contract.conftest import catalog_of

if TYPE_CHECKING:
    from tests.contract.conftest import Run, TapCommand
    from tests.fake_stripe import FakeStripe

WISH: dict[str, Any] = {"emit_activate_version_messages": True}


def versions(run: Run, stream: str) -> list[Any]:
    """Of a stream's rows, and last of its ACTIVATE_VERSION."""
    return [
        message.get("version")
        for message in run.messages
        if message.get("stream") == stream and message["type"] != "SCHEMA"
    ]


def test_a_snapshot_ends_with_the_version_of_its_rows(stripe: FakeStripe, tap: TapCommand) -> None:
    stripe.seed("webhook_endpoints", 3)
    now = stripe.now()
    stripe.now = lambda: now - 100
    first = tap(select=["webhook_endpoints"], **WISH)
    version, *others = versions(first, "webhook_endpoints")
    assert first.messages[-2]["type"] == "ACTIVATE_VERSION"
    assert isinstance(version, int)
    assert others == [version] * 3
    assert "emit_activate_version_messages" not in first.stderr

    stripe.now = lambda: now - 50
    again = tap(select=["webhook_endpoints"], state=first.state, **WISH)
    assert versions(again, "webhook_endpoints") == [version + 50] * 4


def test_an_incremental_stream_and_a_loader_that_does_not_ask_get_no_version(
    stripe: FakeStripe, tap: TapCommand
) -> None:
    stripe.seed("customers", 2)
    stripe.seed("webhook_endpoints", 2)
    assert versions(tap(select=["customers"], **WISH), "customers") == [None, None]
    assert versions(tap(select=["webhook_endpoints"]), "webhook_endpoints") == [None, None]


def test_a_stream_that_fails_activates_nothing(stripe: FakeStripe, tap: TapCommand) -> None:
    stripe.seed("webhook_endpoints", 150)
    stripe.fault("/v1/webhook_endpoints", status=400, after=1, times=math.inf)
    run = tap(select=["webhook_endpoints"], **WISH)
    assert "ACTIVATE_VERSION" not in run.stdout


def test_a_whole_read_that_was_interrupted_keeps_its_version(
    stripe: FakeStripe, tap: TapCommand
) -> None:
    stripe.seed("customers", 20)
    catalog = catalog_of(["customers"], **{"forced-replication-method": "FULL_TABLE"})
    state = {
        "bookmarks": {
            "customers": {
                "until": "2026-01-01T00:00:00Z",
                "pending": [["1970-01-01T00:00:00Z", "2026-01-01T00:00:00Z"]],
                "version": 1_767_225_600,
            }
        }
    }
    run = tap(catalog=catalog, state=state, **WISH)
    assert set(versions(run, "customers")) == {1_767_225_600}
