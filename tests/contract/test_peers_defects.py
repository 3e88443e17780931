"""What went wrong in other connectors for Stripe, and does not here.

`ELSEWHERE` names the tests of those symptoms that belong to another part.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from tap_stripe_conn.config import config_schema
from tap_stripe_conn.streams import changes
from tap_stripe_conn.streams.children import listing_of
from tap_stripe_conn.streams.family import _expand
from tests.fake_stripe import FakeStripe
from tests.fake_stripe.clock import DAY, Clock
from tests.model.pipeline import Tap, extract

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.contract.conftest import TapCommand

NOON = 1_700_000_000
CONFIG = {"live_api_key": "sk_" + "test_" + "0" * 24}
TESTS = Path(__file__).parents[1]

ELSEWHERE = {
    "nested lists end after ten items when an event tells of their parent": (
        "contract/test_changes.py",
        "test_all_lines_of_an_invoice_that_changed_are_read_again",
    ),
    "rows of the bookmark's own second are lost": (
        "contract/test_runs.py",
        "test_a_row_that_comes_late_in_the_bookmarks_own_second_is_not_lost",
    ),
    "a refusal counts as an empty list": (
        "contract/test_runs.py",
        "test_a_missing_permission_is_named_and_the_others_go_on",
    ),
    "a refusal midway counts as the end of a list": (
        "contract/test_trouble.py",
        "test_a_refusal_in_the_middle_of_a_list_is_a_failure",
    ),
    "the bookmark never moves": (
        "contract/test_runs.py",
        "test_the_second_run_reads_only_what_is_new",
    ),
    "the connection test changes something in the account": (
        "contract/test_doctor.py",
        "test_everything_at_once_fits_80_columns_and_only_reads",
    ),
    "a restricted key fails because it may not read the account": (
        "connection/test_check.py",
        "test_a_restricted_key_that_may_not_read_the_account_is_proven_by_the_refusal",
    ),
    "keys in Stripe's answers are shown": (
        "contract/test_no_secret_leaves.py",
        "test_nothing_that_leaves_the_tap_has_a_secret",
    ),
    "a divided span loses rows of the second where it is divided": (
        "api/test_interleavings.py",
        "test_walks_that_are_split_anywhere_lose_no_row_and_give_none_twice",
    ),
    "a key that can read nothing is a success": (
        "contract/test_runs.py",
        "test_nothing_readable_is_a_failure",
    ),
}
"""Symptom -> file and name of its test."""

EFFECTS = {
    "account_id": (
        "contract/test_connection.py",
        "test_a_connected_account_is_read_through_its_id",
    ),
    "api_base": ("contract/test_connection.py", "test_an_address_that_is_not_stripes_is_named"),
    "auth_scheme": ("contract/test_oauth.py", "test_a_good_grant_reads_connection_available"),
    "client_id": ("contract/test_oauth.py", "test_a_good_grant_reads_connection_available"),
    "client_secret": ("contract/test_oauth.py", "test_a_good_grant_reads_connection_available"),
    "connect_base": ("connection/test_tokens.py", "test_connects_endpoint_is_at_connect_base"),
    "connection_name": (
        "contract/test_doctor.py",
        "test_the_table_says_who_is_connected_and_what_can_be_read",
    ),
    "discover_all": ("contract/test_doctor.py", "test_discovery_of_all_asks_for_nothing"),
    "end_date": (
        "contract/test_streams.py",
        "test_dates_limit_what_is_read_start_included_and_end_not",
    ),
    "endpoint_requests_per_second": (
        "contract/test_peers_defects.py",
        "test_requests_leave_no_faster_than_the_settings_say",
    ),
    "ledger_file": (
        "contract/test_verify.py",
        "test_what_a_run_has_told_is_complete_and_verifying_only_reads",
    ),
    "live_api_key": ("connection/test_auth.py", "test_a_key_goes_out_as_a_bearer_token_and_alone"),
    "mutable_window_days": (
        "contract/test_changes.py",
        "test_what_no_event_tells_of_is_read_again_once_a_day_for_as_long_as_is_asked",
    ),
    "oauth_access_token": (
        "connection/test_tokens.py",
        "test_a_token_of_connect_is_used_until_stripe_refuses_it",
    ),
    "oauth_provider": ("contract/test_doctor.py", "test_oauth_is_told_by_its_provider"),
    "refresh_token": ("contract/test_oauth.py", "test_a_good_grant_reads_connection_available"),
    "report_file": (
        "contract/test_run_report.py",
        "test_what_was_written_and_asked_adds_up_stream_by_stream",
    ),
    "requests_per_second": (
        "contract/test_peers_defects.py",
        "test_requests_leave_no_faster_than_the_settings_say",
    ),
    "start_date": (
        "contract/test_streams.py",
        "test_dates_limit_what_is_read_start_included_and_end_not",
    ),
    "token_file": ("connection/test_token_store.py", "test_the_file_is_the_configured_one"),
}
"""Setting -> file and name of a test of what it changes."""


@pytest.fixture
def stripe() -> Iterator[FakeStripe]:
    """An empty account whose clock stands still."""
    with FakeStripe(now=Clock(NOON)) as server:
        yield server


@pytest.mark.parametrize(("file", "name"), sorted({*ELSEWHERE.values(), *EFFECTS.values()}))
def test_what_is_tested_elsewhere_is_there(file: str, name: str) -> None:
    assert f"def {name}(" in (TESTS / file).read_text("utf-8")


def test_no_setting_does_nothing() -> None:
    assert config_schema()["properties"].keys() == EFFECTS.keys()


def test_children_of_a_changed_parent_are_children_and_not_the_parent(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    subscription = stripe.life.create("subscriptions", items={"data": [{}] * 12}, at=NOON - DAY)
    first = tap(select=["subscription_items"])
    stripe.life.change("subscriptions", subscription["id"], status="past_due")
    stripe.clock.advance(hours=1)
    rows = tap(select=["subscription_items"], state=first.state).rows("subscription_items")
    items = stripe.ids("subscription_items", parent=subscription["id"])
    assert sorted(row["id"] for row in rows) == sorted(items)
    assert {(row["object"], row["subscription"]) for row in rows} == {
        ("subscription_item", subscription["id"])
    }


def test_rows_of_the_bookmarks_second_do_not_come_again_and_again(stripe: FakeStripe) -> None:
    stripe.life.create("charges")
    state: dict[str, Any] = {}
    rows = []
    for _ in range(3):
        run = extract(stripe, ["charges"], state)
        rows.append(sum(each["type"] == "RECORD" for each in run.messages))
        state = run.state
        stripe.clock.advance(hours=1)
    # Once more, as its event may be dated before the list shows it.
    assert rows == [1, 1, 0]


def test_the_same_id_in_two_streams_is_two_rows(stripe: FakeStripe) -> None:
    streams = ["coupons", "products"]
    for stream in streams:
        stripe.life.create(stream, id="basic", at=NOON - DAY)
    first = extract(stripe, streams, {})
    for stream in streams:
        stripe.life.change(stream, "basic", name="changed")
    stripe.clock.advance(hours=1)
    second = extract(stripe, streams, first.state)
    for run in (first, second):
        rows = [each for each in run.messages if each["type"] == "RECORD"]
        assert sorted(each["stream"] for each in rows) == streams


def test_rows_are_written_before_all_events_are_read(stripe: FakeStripe) -> None:
    for at in range(400):
        stripe.life.create("customers", at=NOON - 40 * DAY + at)
    stripe.clock.advance(days=-1)
    first = extract(stripe, ["customers"], {})
    for number, customer in enumerate(stripe.ids("customers")):
        stripe.life.change("customers", customer, name="changed", at=NOON - DAY + 10 * number)
    stripe.clock.advance(days=1)
    stripe.requests.clear()
    with mock.patch.object(changes, "MOST_CHANGES", 50):
        second = extract(stripe, ["customers"], first.state)
    rows = [each["record"]["id"] for each in second.messages if each["type"] == "RECORD"]
    assert sorted(rows) == sorted(stripe.ids("customers"))
    asked = "".join("e" if request.path == "/v1/events" else "c" for request in stripe.requests[1:])
    assert "ce" in asked


def test_a_long_list_of_children_is_expanded_from_its_first_item_to_its_last() -> None:
    lines = Tap(config=CONFIG).stripe_streams["invoice_line_items"]
    lines.resource = replace(lines.resource, expand=("tax",))
    parent = lines.resource.parent
    assert parent is not None
    invoice = {"id": "in_1", "lines": {"object": "list", "data": [{}], "has_more": True}}
    assert _expand([lines]) == ["lines.data.tax"]
    assert listing_of(invoice, parent, lines).expand == ("tax",)


@pytest.mark.parametrize(
    ("kind", "rate"),
    [("sk_" + "live_", 80), ("rk_" + "live_", 80), ("sk_" + "test_", 20), ("rk_" + "test_", 20)],
)
def test_a_key_of_any_kind_is_paced_as_its_mode_allows(kind: str, rate: float) -> None:
    assert Tap(config={"live_api_key": kind + "0" * 24}).limiter.speed().limit == rate


def test_requests_leave_no_faster_than_the_settings_say() -> None:
    limiter = Tap(config={**CONFIG, "requests_per_second": 3}).limiter
    assert limiter.speed().limit == 3
    limiter = Tap(config={**CONFIG, "endpoint_requests_per_second": 0.5}).limiter
    assert limiter.admit("/v1/charges") == 0
    assert limiter.admit("/v1/charges") > 1.9
    assert limiter.admit("/v1/refunds") < 0.1
