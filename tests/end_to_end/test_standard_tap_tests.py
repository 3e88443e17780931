"""The tests that the Singer SDK has for every tap, over every stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from singer_sdk.testing import SuiteConfig, get_tap_test_class
from singer_sdk.testing.runners import TapTestRunner

from tap_stripe_conn.tap import TapStripeConn
from tests.end_to_end.tap import settings_for
from tests.end_to_end.truth import seed_everything
from tests.fake_stripe import FakeStripe

if TYPE_CHECKING:
    from collections.abc import Iterator

# The SDK makes a tap while the tests are collected, for its schemas; no server runs by then.
NOWHERE = {"live_api_key": "_".join(("sk", "test", "0" * 24)), "api_base": "http://127.0.0.1:1"}
EVERY_ROW = SuiteConfig(max_records_limit=None)

UNSENT = (
    "_sdc_deleted_at",
    "_updated_at",
    "cash_balance",
    "deleted",
    "features",
    "line_items",
    "links",
    "payments",
    "refunds",
    "sources",
    "subscriptions",
    "tax_ids",
)
"""Columns that a first run leaves empty: Stripe sends them when asked to or for deleted objects, or
they are the tap's and say when a row without a date of its own changed, or when a row went."""

StandardTests = get_tap_test_class(
    TapStripeConn, config=NOWHERE, suite_config=EVERY_ROW, parse_env_config=False
)


@pytest.mark.filterwarnings(
    "ignore:Fields in transformed catalog but not in records. "
    rf"\(\{{('({'|'.join(UNSENT)})'(, )?)+\}}\)$:UserWarning"
)
class TestTapStripeConn(StandardTests):  # type: ignore[valid-type,misc]
    """The SDK's tests, on a tap that reads a running server."""

    @pytest.fixture(scope="class")
    @classmethod
    def runner(cls) -> Iterator[TapTestRunner]:
        """What the tests look at: one run's messages."""
        with FakeStripe() as stripe:
            seed_everything(stripe, rows=8)
            runner = TapTestRunner(
                TapStripeConn,
                config=settings_for(stripe),
                suite_config=EVERY_ROW,
                parse_env_config=False,
            )
            runner.sync_all()
            yield runner
