"""One run after another: bookmarks, what is missing, what is skipped, and how a run ends."""

from __future__ import annotations

import math
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.contract.conftest import Run, catalog_of

if TYPE_CHECKING:
    import subprocess

    from tests.contract.conftest import TapCommand
    from tests.fake_stripe import FakeStripe

JANUARY, FEBRUARY = 1_704_067_200, 1_706_745_600  # of 2024, UTC


def test_the_second_run_reads_only_what_is_new(tap: TapCommand, stripe: FakeStripe) -> None:
    stripe.seed("charges", 300, since=JANUARY, until=FEBRUARY)
    stripe.now = lambda: time.time() - 7200
    first = tap(select=["charges"])
    stripe.now = time.time
    new = stripe.add("charges", created=time.time() - 3600)["id"]
    second = tap(select=["charges"], state=first.state)
    assert len(first.ids("charges")) == 300
    assert second.ids("charges") == [new]
    assert second.bookmark("charges")["replication_key"] == "_updated_at"
    values = [run.bookmark("charges")["replication_key_value"] for run in (first, second)]
    assert values == sorted(values)
    assert values[0] < values[1]


def test_a_row_that_comes_late_in_the_bookmarks_own_second_is_not_lost(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    first = tap(select=["charges"])
    late = stripe.add("charges", created=time.time() - 5)["id"]
    assert tap(select=["charges"], state=first.state).ids("charges") == [late]


def test_the_bookmark_follows_stripes_clock_and_not_ours(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    stripe.now = lambda: JANUARY
    first = tap(select=["charges"])
    assert first.bookmark("charges")["replication_key_value"] == "2024-01-01T00:00:01Z"
    stripe.now = lambda: FEBRUARY
    between = stripe.add("charges", created=JANUARY + 3600)["id"]
    assert tap(select=["charges"], state=first.state).ids("charges") == [between]


def test_a_clock_that_is_fast_hides_nothing_once_it_is_right(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    stripe.now = lambda: time.time() + 7200
    first = tap(select=["charges"])
    stripe.now = time.time
    made = stripe.add("charges", created=time.time())["id"]
    assert tap(select=["charges"], state=first.state).ids("charges") == [made]
    future = {"bookmarks": {"charges": {"replication_key_value": "2099-01-01T00:00:00Z"}}}
    assert tap(select=["charges"], state=future).ids("charges") == [made]


def test_a_whole_state_message_does_as_well_as_its_value(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    stripe.add("charges", created=JANUARY)
    first = tap(select=["charges"])
    message = {"type": "STATE", "value": first.state}
    assert tap(select=["charges"], state=message).ids("charges") == []


def test_an_earlier_start_date_reads_only_what_lies_before(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    old = stripe.add("charges", created=JANUARY)["id"]
    stripe.add("charges", created=FEBRUARY)
    first = tap(select=["charges"], start_date="2024-01-15")
    second = tap(select=["charges"], state=first.state)
    assert len(first.ids("charges")) == 1
    assert second.ids("charges") == [old]


def test_new_children_of_old_parents_are_read(tap: TapCommand, stripe: FakeStripe) -> None:
    life = stripe.life
    customer = life.create("customers", at=JANUARY)["id"]
    select = ["customers", "customer_balance_transactions", "customer_payment_methods"]
    first = tap(select=select)
    balance = life.create("customer_balance_transactions", parent=customer)["id"]
    life.change("customers", customer, balance=-500)
    method = life.create("customer_payment_methods", parent=customer)["id"]
    second = tap(select=select, state=first.state)
    assert second.ids("customers") == [customer]
    assert second.ids("customer_balance_transactions") == [balance]
    assert second.ids("customer_payment_methods") == [method]


def test_a_stream_forced_to_full_table_reads_everything_again(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    stripe.seed("charges", 3)
    catalog = catalog_of(["charges"], **{"forced-replication-method": "FULL_TABLE"})
    first = tap(catalog=catalog)
    assert len(tap(catalog=catalog, state=first.state).ids("charges")) == 3


def test_after_a_whole_read_an_incremental_run_goes_on_from_there(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    stripe.seed("charges", 3)
    whole = tap(catalog=catalog_of(["charges"], **{"forced-replication-method": "FULL_TABLE"}))
    assert len(whole.ids("charges")) == 3
    assert tap(select=["charges"], state=whole.state).ids("charges") == []


def test_a_missing_permission_is_named_and_the_others_go_on(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    stripe.seed("charges", 3)
    stripe.seed("refunds", 3)
    charges, refunds = (stripe.permission_for(name) for name in ("charges", "refunds"))
    select = ["charges", "refunds"]
    whole = tap(select=select)
    run = tap(select=select, live_api_key=stripe.restricted_key({refunds}), state=whole.state)
    assert run.code == 3
    assert run.schemas == ["refunds"]
    assert run.last_line.startswith("1 of 2 selected streams could not be read whole: charges, ")
    assert f"missing permission {charges}" in run.last_line
    assert run.bookmark("charges") == whole.bookmark("charges")


def test_a_child_without_permission_does_not_stop_its_parent(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    customers = stripe.seed("customers", 5)
    key = stripe.restricted_key({stripe.permission_for("customers")})
    run = tap(select=["customers", "customer_payment_methods"], live_api_key=key)
    assert run.code == 3
    assert sorted(run.ids("customers")) == sorted(customers)
    assert "customer_payment_methods, missing permission rak_" in run.last_line


def test_nothing_readable_is_a_failure(tap: TapCommand, stripe: FakeStripe) -> None:
    run = tap(select=["charges", "refunds"], live_api_key=stripe.restricted_key(set()))
    assert run.code == 1
    assert run.last_line.startswith("The run failed: none of the 2 selected streams can be read")


@pytest.mark.parametrize(
    ("stream", "refusal", "line"),
    [
        ("treasury_financial_accounts", "not_enabled", "this account doesn't have the product"),
        ("issuing_cards", "issuing", "this account doesn't have the product"),
        ("climate_orders", "unrecognized", "this account doesn't have the product"),
        ("sigma_scheduled_query_runs", "wrong_mode", "it is only there in the other mode"),
    ],
)
def test_what_the_account_does_not_have_is_skipped_with_a_line(
    tap: TapCommand, stripe: FakeStripe, stream: str, refusal: str, line: str
) -> None:
    stripe.disable(stream, refusal)  # type: ignore[arg-type]
    stripe.seed("charges", 1)
    run = tap(select=["charges", stream])
    assert run.code == 0
    assert len(run.ids("charges")) == 1
    (said,) = [text for text in run.stderr.splitlines() if f"Stream {stream} is skipped: " in text]
    assert line in said


def test_an_empty_account_is_complete(tap: TapCommand) -> None:
    run = tap(select=["charges", "invoices", "invoice_line_items"])
    assert run.code == 0
    assert sorted(run.schemas) == ["charges", "invoice_line_items", "invoices"]


def test_credentials_withdrawn_midway_fail_the_run_and_keep_what_was_read(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    stripe.seed("charges", 500)
    body = b'{"error": {"code": "api_key_expired", "message": "Expired API Key provided"}}'
    stripe.fault("/v1/charges", status=401, body=body, after=3, times=math.inf)
    failed = tap(select=["charges"])
    assert failed.code == 1
    assert failed.last_line.startswith("The run failed: the API key has expired or was rolled")
    written = failed.ids("charges")
    assert 0 < len(written) <= 300
    stripe.clear_faults()
    rest = tap(select=["charges"], state=failed.state).ids("charges")
    assert sorted({*written, *rest}) == sorted(stripe.ids("charges"))
    assert len(rest) < 500 - len(written) + 50


def test_an_unknown_stream_in_the_catalog_is_named(tap: TapCommand, stripe: FakeStripe) -> None:
    stripe.seed("charges", 1)
    run = tap(select=["charges", "chargez"])
    assert run.code == 3
    assert "chargez, failed: this version has no such stream" in run.last_line


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"bookmarks": []}, "The state must be an object like"),
        (
            {"bookmarks": {"charges": {"replication_key_value": "late"}}},
            "State of stream 'charges': 'replication_key_value' must be a date-time, not 'late'",
        ),
        (
            {"bookmarks": {"charges": {"changes_since": "late"}}},
            "State of stream 'charges': 'changes_since' must be a date-time, not 'late'",
        ),
    ],
)
def test_a_foreign_state_is_explained(
    tap: TapCommand, state: dict[str, object], message: str
) -> None:
    run = tap(select=["charges"], state=state)
    assert run.code == 2
    assert message in run.last_line


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_says_so_and_can_be_gone_on_with(
    tap: TapCommand, stripe: FakeStripe, signum: signal.Signals, code: int
) -> None:
    stripe.seed("charges", 1_000)
    started: list[subprocess.Popen[str]] = []
    signals = [signum]

    def interrupt_at_the_fourth_page(_request: object) -> None:
        # Several pages may be asked for at once.
        if len(stripe.list_pages("charges")) >= 3 and signals:
            started[0].send_signal(signals.pop())

    stripe.before_request = interrupt_at_the_fourth_page
    started.append(tap.start(select=["charges"]))
    stdout, stderr = started[0].communicate(timeout=60)
    interrupted = Run(started[0].returncode, stdout, stderr)
    assert interrupted.code == code
    assert interrupted.last_line.startswith("Interrupted")
    written = interrupted.ids("charges")
    assert 0 < len(written) <= 500
    stripe.before_request = None
    rest = tap(select=["charges"], state=interrupted.state).ids("charges")
    assert sorted({*written, *rest}) == sorted(stripe.ids("charges"))
    # What was written is not read again, but for the seconds that it ends in.
    assert len(rest) < 1_000 - len(written) + 50
