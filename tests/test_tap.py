"""The tap as programs run it, without its command."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

import pytest

from tap_stripe_conn.api.errors import ConnectionFailedError
from tap_stripe_conn.connection.check import ConnectionUnavailableError
from tap_stripe_conn.streams.outcome import Status
from tap_stripe_conn.tap import TapStripeConn

if TYPE_CHECKING:
    from tests.fake_stripe import FakeStripe


def _tap(stripe: FakeStripe, **settings: object) -> TapStripeConn:
    config = {"live_api_key": stripe.secret_key, "api_base": stripe.url, **settings}
    return TapStripeConn(config=config)


def test_sync_all_proves_the_connection_first(
    stripe: FakeStripe, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    stripe.seed("charges", 1)
    tap = _tap(stripe, live_api_key="sk_" + "test_" + "wrong")
    with pytest.raises(ConnectionUnavailableError):
        tap.sync_all()
    assert capfdbinary.readouterr().out == b""


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten tries follow each other at once."""
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)


@pytest.mark.usefixtures("impatient")
def test_a_list_that_can_not_be_reached_does_not_cost_the_others(
    stripe: FakeStripe, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    stripe.seed("refunds", 3)
    for path in ("/v1/coupons", "/v1/products/*/features"):
        stripe.fault(path, "reset", times=math.inf)
    stripe.seed("products", 2)
    tap = _tap(stripe)
    for name, stream in tap.streams.items():
        stream.selected = name in {"coupons", "products", "product_features", "refunds"}
    ended = {outcome.stream: (outcome.status, outcome.rows) for outcome in tap.sync()}
    assert ended == {
        "coupons": (Status.FAILED, 0),
        "product_features": (Status.FAILED, 0),
        "products": (Status.COMPLETE, 2),
        "refunds": (Status.COMPLETE, 3),
    }
    assert capfdbinary.readouterr().out.count(b'"type":"RECORD"') == 5


@pytest.mark.usefixtures("impatient")
def test_when_stripe_can_not_be_reached_at_all_the_run_ends(stripe: FakeStripe) -> None:
    tap = _tap(stripe)
    tap.check_connection()
    stripe.stop()
    with pytest.raises(ConnectionFailedError):
        tap.sync()
    assert {name for name, each in tap.client.traffic.by_endpoint().items() if each.bytes} == {
        "/v1/account"
    }


def test_a_single_stream_syncs_on_its_own(
    stripe: FakeStripe, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    stripe.seed("charges", 101)
    tap = _tap(stripe)
    tap.streams["charges"].sync()
    out = capfdbinary.readouterr().out
    assert out.count(b'"type":"RECORD"') == 101
    assert out.splitlines()[0].startswith(b'{"type":"SCHEMA","stream":"charges"')
    assert b'"replication_key":"_updated_at"' in out.splitlines()[-1]


def test_a_child_syncs_on_its_own(
    stripe: FakeStripe, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    stripe.seed("invoice_line_items", 12, parent=stripe.add("invoices")["id"])
    _tap(stripe).streams["invoice_line_items"].sync()
    assert capfdbinary.readouterr().out.count(b'"type":"RECORD"') == 12


def test_a_dry_run_stops_after_the_rows_it_was_allowed(
    stripe: FakeStripe, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    stripe.seed("charges", 5)
    tap = _tap(stripe)
    tap.run_sync_dry_run(dry_run_record_limit=2, streams=[tap.streams["charges"]])
    assert capfdbinary.readouterr().out.count(b'"type":"RECORD"') == 2


def test_discovery_says_how_the_changes_of_each_stream_are_caught(stripe: FakeStripe) -> None:
    of_streams = {
        entry["stream"]: next(
            each["metadata"] for each in entry["metadata"] if each["breadcrumb"] == []
        )
        for entry in _tap(stripe).catalog_dict["streams"]
    }
    assert len(of_streams) == 136
    assert all("tap-stripe-conn.changes" in metadata for metadata in of_streams.values())
    assert of_streams["invoices"]["tap-stripe-conn.changes"] == "feed"
    assert "tap-stripe-conn.untold" not in of_streams["invoices"]
    assert of_streams["quotes"]["tap-stripe-conn.untold"] == "Edits of a quote give no event."
