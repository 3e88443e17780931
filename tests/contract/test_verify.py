"""`--verify`, as a command: what the target was told, compared with what Stripe has."""

from __future__ import annotations

import json
import signal
import sqlite3
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from tests.contract.conftest import TapCommand
    from tests.fake_stripe import FakeStripe

JANUARY = 1_704_067_200  # of 2024, UTC
HOUR = 3600


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger"


def forget(ledger: Path, key: str) -> None:
    with sqlite3.connect(ledger) as connection:
        done = connection.execute("DELETE FROM told WHERE key = ?", (key,))
    assert done.rowcount == 1
    connection.close()


def test_what_a_run_has_told_is_complete_and_verifying_only_reads(
    tap: TapCommand, stripe: FakeStripe, ledger: Path
) -> None:
    stripe.seed("charges", 120)
    stripe.seed("customers", 3)
    stripe.seed("customer_balance_transactions", 6)
    stripe.seed("invoice_line_items", 25, parent=stripe.seed("invoices", 1)[0])
    select = ["charges", "coupons", "customer_balance_transactions", "invoice_line_items"]
    run = tap(select=select, ledger_file=str(ledger))
    known, kept = len(stripe.requests), ledger.read_bytes()
    verified = tap("--verify", select=select, state=run.state, ledger_file=str(ledger))
    assert (verified.code, verified.remarks) == (0, [])
    assert verified.stdout.splitlines() == [
        f"Ledger        {ledger}",
        "Sample        1000 ids of each stream, seed 0",
        "",
        "Stream                         Compared",
        "charges                             120  complete",
        "coupons                               0  complete",
        "customer_balance_transactions         6  complete",
        "invoice_line_items                   25  complete",
        "",
        "complete",
    ]
    assert {request.method for request in stripe.requests[known:]} == {"GET"}
    assert ledger.read_bytes() == kept


def test_rows_that_are_missing_stale_or_gone_are_named(
    tap: TapCommand, stripe: FakeStripe, ledger: Path
) -> None:
    first, second, third, fourth = stripe.seed("charges", 4)
    line, other = stripe.seed("invoice_line_items", 2, parent=stripe.seed("invoices", 1)[0])
    kept, dropped = stripe.seed("coupons", 2)
    select = ["charges", "coupons", "invoice_line_items"]
    run = tap(select=select, ledger_file=str(ledger))
    forget(ledger, first)
    # In a time of which the ledger has nothing.
    hole = stripe.add("charges", created=JANUARY - 90 * 24 * HOUR)["id"]
    stripe.update("charges", second, {"amount": 1})
    stripe.delete("charges", third)
    stripe.delete("coupons", dropped)
    stripe.delete("invoice_line_items", other)
    # Of these the next run will tell.
    stripe.update("charges", fourth, {"amount": 1})
    stripe.update("coupons", kept, {"name": "Summer"})
    for kind, about in (("charge.updated", fourth), ("coupon.updated", kept)):
        stripe.add("events", {"type": kind, "data": {"object": {"id": about}}}, created=time.time())
    verified = tap("--verify", select=select, state=run.state, ledger_file=str(ledger))
    assert verified.code == 3
    invoice = stripe.ids("invoices")[0]
    assert verified.stdout.splitlines()[4:-1] == [
        "charges                    5  2 missing, 1 stale, 1 gone, 1 changed since",
        f"    missing: {first}, {hole}",
        f"    stale: {second}",
        f"    gone: {third}",
        "coupons                    2  1 gone, 1 changed since",
        f"    gone: {dropped}",
        "invoice_line_items         2  1 gone",
        f"    gone: {invoice}/{other}",
        "",
    ]
    assert verified.stdout.splitlines()[-1] == verified.last_line
    assert verified.last_line == (
        f"incomplete: charges misses {first}, {hole} and has stale {second} and still has {third}; "
        f"coupons still has {dropped}; invoice_line_items still has {invoice}/{other}"
    )
    assert line in stripe.ids("invoice_line_items")
    document = tap("--verify", "--format=json", select=["charges"], ledger_file=str(ledger))
    assert document.code == 3
    assert json.loads(document.stdout) == {
        "complete": False,
        "exit_code": 3,
        "sample": 1000,
        "seed": 0,
        "streams": [
            {
                "stream": "charges",
                "complete": False,
                "compared": 5,
                "missing": [first, hole],
                "stale": [second],
                "gone": [third],
                "changed_since": 1,
                "reason": None,
            }
        ],
    }


def test_a_sample_is_drawn_by_its_seed_and_takes_few_requests(
    tap: TapCommand, stripe: FakeStripe, ledger: Path
) -> None:
    stripe.seed_in_bulk("refunds", range(JANUARY, JANUARY + 1_500 * HOUR, HOUR))
    tap(select=["refunds"], ledger_file=str(ledger))
    samples = []
    for seed in (1, 2):
        stripe.requests.clear()
        options = ("--verify=300", f"--verify-seed={seed}")
        run = tap(*options, select=["refunds"], ledger_file=str(ledger))
        assert run.code == 0
        assert "refunds       300  complete" in run.stdout
        asked = stripe.list_pages("refunds")
        assert len(asked) <= 6
        samples.append([request.params.get("created[gte]") for request in asked])
    assert samples[0] != samples[1]


def test_what_was_told_without_the_ledger_is_not_called_missing(
    tap: TapCommand, stripe: FakeStripe, ledger: Path
) -> None:
    stripe.seed("charges", 3)
    stripe.seed("coupons", 2)
    stripe.now = lambda: time.time() - 4 * HOUR
    before = tap(select=["charges"])
    stripe.now = lambda: time.time() - HOUR
    stripe.add("charges", created=time.time() - 3 * HOUR)
    run = tap(select=["charges"], state=before.state, ledger_file=str(ledger))
    verified = tap(
        "--verify", select=["charges", "coupons"], state=run.state, ledger_file=str(ledger)
    )
    assert verified.code == 3
    assert verified.stdout.splitlines()[4:-2] == [
        "charges         1  complete",
        "    what was told of it without the ledger is not compared",
        "coupons         0  not compared",
        "    the ledger doesn't know what was told of it",
    ]


def test_what_a_killed_run_has_told_is_complete_and_so_is_what_the_next_one_adds(
    tap: TapCommand, stripe: FakeStripe, ledger: Path
) -> None:
    stripe.seed_in_bulk("refunds", range(JANUARY, JANUARY + 3_000 * HOUR, HOUR))
    killed: list[subprocess.Popen[str]] = []

    def kill_at_the_twentieth_page(_request: object) -> None:
        if len(stripe.list_pages("refunds")) >= 20:
            killed[0].kill()

    stripe.before_request = kill_at_the_twentieth_page
    killed.append(tap.start(select=["refunds"], ledger_file=str(ledger)))
    stdout, _ = killed[0].communicate(timeout=60)
    assert killed[0].returncode == -signal.SIGKILL
    stripe.before_request = None
    state = last_state(stdout)
    told = sum(line.startswith('{"type":"RECORD"') for line in stdout.splitlines())
    assert 0 < told < 3_000
    verified = tap("--verify=9000", select=["refunds"], state=state, ledger_file=str(ledger))
    assert (verified.code, verified.stdout.splitlines()[-1]) == (0, "complete")
    assert 0 < compared(verified.stdout) <= told
    rest = tap(select=["refunds"], state=state, ledger_file=str(ledger))
    whole = tap("--verify=9000", select=["refunds"], state=rest.state, ledger_file=str(ledger))
    assert (whole.code, compared(whole.stdout)) == (0, 3_000)


def last_state(stdout: str) -> dict[str, Any]:
    whole = (line for line in stdout.splitlines() if line.startswith('{"type":"STATE"'))
    states = [json.loads(line)["value"] for line in whole if line.endswith("}")]
    last: dict[str, Any] = states[-1]
    return last


def compared(stdout: str) -> int:
    (line,) = (line for line in stdout.splitlines() if line.startswith("refunds "))
    return int(line.split()[1].replace(",", ""))


def test_what_may_not_be_read_is_named_and_what_the_account_lacks_is_not(
    tap: TapCommand, stripe: FakeStripe, ledger: Path
) -> None:
    stripe.seed("charges", 2)
    stripe.seed("refunds", 2)
    stripe.disable("issuing_cards", "issuing")
    select = ["charges", "issuing_cards", "refunds"]
    run = tap(select=select, ledger_file=str(ledger))
    second = stripe.ids("charges")[0]
    stripe.update("charges", second, {"amount": 1})
    key = stripe.restricted_key(
        {stripe.permission_for("charges"), stripe.permission_for("issuing_cards")}
    )
    verified = tap(
        "--verify", select=select, state=run.state, ledger_file=str(ledger), live_api_key=key
    )
    assert verified.code == 3
    said = verified.last_line
    assert said.startswith(
        f"incomplete: charges has stale {second}; refunds can't be read, missing permission"
    )
    assert "issuing_cards" not in said
    # Without the events nobody knows whether that has happened only now.
    assert "what has changed since can't be told, events: missing permission" in " ".join(
        verified.stdout.split()
    )


def test_without_a_ledger_there_is_nothing_to_compare_with(
    tap: TapCommand, stripe: FakeStripe, ledger: Path
) -> None:
    stripe.seed("charges", 1)
    unset = tap("--verify", select=["charges"])
    assert (unset.code, unset.stdout) == (2, "")
    assert unset.last_line.startswith(
        "There is nothing to compare with: let the setting 'ledger_file'"
    )
    ledger.write_text("dear diary")
    run = tap(select=["charges"], ledger_file=str(ledger))
    assert (run.code, run.stdout) == (2, "")
    assert run.last_line.startswith(f"{ledger} is not a ledger, or a damaged one")
    both = tap("--test", "--verify", select=["charges"])
    assert both.code == 2
    assert "--test and --verify exclude each other." in both.stderr


def test_ctrl_c_ends_it_at_once(tap: TapCommand, stripe: FakeStripe, ledger: Path) -> None:
    stripe.seed("charges", 1)
    tap(select=["charges"], ledger_file=str(ledger))
    stripe.requests.clear()
    stripe.fault("/v1/charges", "stall", seconds=60)
    process = tap.start("--verify", select=["charges"], ledger_file=str(ledger))
    while not any(request.path == "/v1/charges" for request in stripe.requests):
        time.sleep(0.02)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.monotonic() - began < 5
    assert (stdout, stderr.splitlines()[-1]) == ("", "Interrupted")


def test_what_events_told_of_is_complete_and_what_no_list_shows_is_not_called_gone(
    tap: TapCommand, stripe: FakeStripe, ledger: Path
) -> None:
    stripe.now = lambda: time.time() - 3 * HOUR
    life, select = stripe.life, ["customers", "invoice_line_items", "invoices", "prices"]
    dropped, changed = (life.create("customers")["id"] for _ in range(2))
    invoice = life.create("invoices")["id"]
    life.create("invoice_line_items", parent=invoice)
    hidden = stripe.add("prices", listed=False, created=JANUARY)["id"]
    first = tap(select=select, ledger_file=str(ledger))
    stripe.now = lambda: time.time() - 2 * HOUR
    life.delete("customers", dropped)
    life.change("customers", changed, name="Ada")
    life.create("invoice_line_items", parent=invoice)
    life.change("prices", hidden, nickname="inline")
    stripe.now = lambda: time.time() - HOUR
    second = tap(select=select, state=first.state, ledger_file=str(ledger))
    verified = tap("--verify", select=select, state=second.state, ledger_file=str(ledger))
    assert verified.code == 0
    assert verified.stdout.splitlines()[4:] == [
        "customers                  1  complete",
        "invoice_line_items         2  complete",
        "invoices                   1  complete",
        "prices                     1  complete",
        "",
        "complete",
    ]


def test_an_edit_without_an_event_is_stale_once_no_run_will_read_the_row_again(
    tap: TapCommand, stripe: FakeStripe, ledger: Path
) -> None:
    told_at = time.time() - 3 * HOUR
    stripe.now = lambda: told_at
    old, told, young = (
        stripe.add("payment_intents", created=told_at - days * 24 * HOUR)["id"]
        for days in (100, 100, 29)
    )
    select = ["checkout_session_line_items", "payment_intents"]
    lines = []
    for days in (31, 29):
        session = stripe.add("checkout_sessions", created=told_at - days * 24 * HOUR)["id"]
        (line,) = stripe.seed("checkout_session_line_items", 1, parent=session)
        lines.append(f"{session}/{line}")
    run = tap(select=select, ledger_file=str(ledger))
    stripe.now = lambda: told_at + HOUR
    for intent in (old, told, young):
        stripe.update("payment_intents", intent, {"description": "changed"})
    for line in lines:
        stripe.update("checkout_session_line_items", line.split("/")[1], {"description": "changed"})
    event = {"type": "payment_intent.succeeded", "data": {"object": {"id": told}}}
    stripe.add("events", event, created=stripe.now())
    stripe.now = lambda: told_at + 2 * HOUR
    verified = tap("--verify", state=run.state, select=select, ledger_file=str(ledger))
    assert verified.code == 3
    assert verified.stdout.splitlines()[4:8] == [
        "checkout_session_line_items         2  1 stale, 1 changed since",
        f"    stale: {lines[0]}",
        "payment_intents                     3  1 stale, 2 changed since",
        f"    stale: {old}",
    ]
    # With the state that a run leaves which has read what it can read, nothing else is wrong.
    stripe.now = lambda: told_at + 25 * HOUR
    next_run = tap(state=run.state, select=select, ledger_file=str(ledger))
    assert {told, young} <= set(next_run.ids("payment_intents"))
    stripe.now = lambda: told_at + 26 * HOUR
    assert tap(
        "--verify", state=next_run.state, select=select, ledger_file=str(ledger)
    ).stdout.splitlines()[4:8] == [
        "checkout_session_line_items         2  1 stale",
        f"    stale: {lines[0]}",
        "payment_intents                     3  1 stale",
        f"    stale: {old}",
    ]


def test_what_went_from_a_stream_that_is_read_whole_is_gone_unless_its_version_tells(
    tap: TapCommand, stripe: FakeStripe, ledger: Path
) -> None:
    kept, dropped = stripe.seed("radar_value_lists", 2)
    select = ["radar_value_lists"]
    run = tap(select=select, ledger_file=str(ledger))
    stripe.update("radar_value_lists", kept, {"name": "changed"})
    stripe.delete("radar_value_lists", dropped)
    verified = tap("--verify", state=run.state, select=select, ledger_file=str(ledger))
    assert verified.code == 3
    assert verified.stdout.splitlines()[4:6] == [
        "radar_value_lists         2  1 gone, 1 changed since",
        f"    gone: {dropped}",
    ]
    next_run = tap(
        "--verify",
        state=run.state,
        emit_activate_version_messages=True,
        select=select,
        ledger_file=str(ledger),
    )
    assert next_run.code == 0
    assert "radar_value_lists         2  complete, 2 changed since" in next_run.stdout
