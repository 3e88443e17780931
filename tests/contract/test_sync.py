"""Many streams in one run: which are asked when, and how a run makes way."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import subprocess

    from tests.contract.conftest import TapCommand
    from tests.fake_stripe import FakeStripe, Request

JANUARY, JULY = 1_704_067_200, 1_719_792_000  # of 2024, UTC
DAY = 24 * 3600


def in_bulk(stripe: FakeStripe, stream: str, rows: int, *, every: int = 3600) -> None:
    """Seed a list with rows that take little time, one every so many seconds."""
    stripe.seed_in_bulk(stream, range(JANUARY, JANUARY + rows * every, every))


def asked(stripe: FakeStripe, *streams: str) -> list[str]:
    """The streams whose lists were asked for, request by request."""
    return [
        request.stream
        for request in stripe.requests
        if request.is_list and request.stream in streams
    ]


# --- Each in its turn --------------------------------------------------------------------------


def test_a_huge_stream_neither_holds_back_small_ones_nor_waits_for_them(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    small = ["disputes", "payouts", "refunds", "transfers"]
    in_bulk(stripe, "charges", 6_000)
    for stream in small:
        in_bulk(stripe, stream, 300)
    run = tap(select=["charges", *small], requests_per_second=20)
    assert run.code == 0
    assert len(run.ids("charges")) == 6_000
    order = asked(stripe, "charges", *small)
    last_of_small = max(number for number, stream in enumerate(order) if stream != "charges")
    assert last_of_small < len(order) / 2
    assert order[:last_of_small].count("charges") >= last_of_small / 6


def test_no_list_is_divided_where_the_account_was_not_there_yet(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    in_bulk(stripe, "charges", 3_000)
    stripe.latency = 0.05
    run = tap(select=["charges"], requests_per_second=100, endpoint_requests_per_second=100)
    assert run.code == 0
    assert len(run.ids("charges")) == 3_000
    # The account says that it was made in January.
    bounds = {request.params["created[lt]"] for request in stripe.requests if request.is_list}
    assert len(bounds) > 1
    assert min(map(int, bounds)) > JANUARY


def test_lists_that_fail_for_a_while_do_not_hold_back_the_others(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    failing = ["coupons", "customers", "disputes", "invoices", "payouts", "prices", "products"]
    for stream in failing:
        stripe.seed(stream, 1)
        path = stripe.catalogue.resources[stream].path
        stripe.fault(path, status=500, headers={"Retry-After": "4"}, times=1)
    in_bulk(stripe, "charges", 1_000)
    run = tap(select=["charges", *failing])
    assert run.code == 0
    rows = [message["stream"] for message in run.messages if message["type"] == "RECORD"]
    assert rows[:1_000] == ["charges"] * 1_000
    assert sorted(rows[1_000:]) == sorted(failing)


def test_children_are_asked_for_many_at_once(tap: TapCommand, stripe: FakeStripe) -> None:
    stripe.latency = dict.fromkeys(
        (
            f"/v1/customers/{customer}/balance_transactions"
            for customer in stripe.seed("customers", 40)
        ),
        0.2,
    )
    run = tap(select=["customer_balance_transactions"])
    assert run.code == 0
    spans = [
        (request.time, request.time + request.seconds)
        for request in stripe.list_pages("customer_balance_transactions")
    ]
    assert len(spans) == 40
    most = max(sum(since <= moment < until for since, until in spans) for moment, _ in spans)
    assert most >= 5


def test_children_that_may_not_be_read_are_refused_once(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    customers = stripe.seed("customers", 150)
    children = ["customer_payment_methods", "entitlements_active_entitlements"]
    key = stripe.restricted_key({stripe.permission_for("customers")})
    stripe.latency = 0.02
    run = tap(select=["customers", *children], live_api_key=key)
    assert run.code == 3
    assert sorted(run.ids("customers")) == sorted(customers)
    refused = Counter(request.stream for request in stripe.requests if request.status == 403)
    assert {stream: refused[stream] for stream in children} == dict.fromkeys(children, 1)


# --- A slow loader -----------------------------------------------------------------------------


def test_nothing_more_is_fetched_while_nobody_reads(tap: TapCommand, stripe: FakeStripe) -> None:
    streams = ["charges", "refunds"]
    for stream in streams:
        in_bulk(stripe, stream, 5_000)
    with tap.start(select=streams) as process:
        fetched = when_it_stands_still(stripe)
        assert fetched <= 40
        rows = Counter(message["stream"] for message in read(process) if "record" in message)
    assert process.returncode == 0
    assert rows == {"charges": 5_000, "refunds": 5_000}
    assert len(stripe.list_pages()) > 100


def when_it_stands_still(stripe: FakeStripe) -> int:
    """How many pages have been asked for when two seconds pass without another."""
    before, seen = -1, 0
    while not seen or seen != before:
        before = seen
        time.sleep(2)
        seen = len(asked(stripe, "charges", "refunds"))
    return seen


def read(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    stdout, _ = process.communicate(timeout=60)
    return [json.loads(line) for line in stdout.splitlines()]


def test_memory_stays_flat_however_many_rows_there_are(tap: TapCommand, stripe: FakeStripe) -> None:
    in_bulk(stripe, "refunds", 100_000, every=300)
    resident: list[int] = []
    with tap.start(select=["refunds"]) as process:
        assert process.stdout is not None
        for number, line in enumerate(process.stdout):
            if number in {33_000, 99_000}:
                resident.append(megabytes(process.pid, "VmRSS"))
                most = megabytes(process.pid, "VmHWM")
            last = line
        process.communicate()
    assert process.returncode == 0
    assert '"STATE"' in last
    third, end = resident
    assert most < 150
    assert end < third + 30


def megabytes(pid: int, name: str) -> int:
    """What the kernel counts for a process."""
    counted = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    (line,) = (line for line in counted.splitlines() if line.startswith(name))
    return int(line.split()[1]) // 1024


# --- State -------------------------------------------------------------------------------------


def test_a_state_is_written_every_five_seconds_while_rows_flow(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    in_bulk(stripe, "charges", 1_300)
    moments: list[float] = []
    with tap.start(select=["charges"], endpoint_requests_per_second=2) as process:
        assert process.stdout is not None
        for line in process.stdout:
            kind = json.loads(line)["type"]
            if kind == "STATE" or (kind == "RECORD" and not moments):
                moments.append(time.monotonic())
        process.communicate()
    assert process.returncode == 0
    assert len(moments) >= 4
    assert max(after - before for before, after in pairwise(moments)) < 8


def test_an_earlier_start_date_asks_only_for_what_lies_before(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    in_bulk(stripe, "charges", 8_760)
    first = tap(select=["charges"], start_date="2024-07-01")
    assert len(first.ids("charges")) == 8_760 - (JULY - JANUARY) // 3600
    stripe.requests.clear()
    second = tap(select=["charges"], start_date="2024-03-01", state=first.state)
    assert not set(first.ids("charges")) & set(second.ids("charges"))
    assert sorted(first.ids("charges") + second.ids("charges")) == sorted(
        row["id"] for row in stripe.objects("charges") if row["created"] >= JANUARY + 60 * DAY
    )
    for page in stripe.list_pages("charges"):
        recent = int(page.params["created[gte]"]) > time.time() - DAY
        assert recent or int(page.params["created[lt]"]) <= JULY


def test_an_earlier_start_date_after_an_interrupted_run_asks_for_both(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    in_bulk(stripe, "charges", 2_000)
    interrupted: list[subprocess.Popen[str]] = []
    signals = [signal.SIGTERM]

    def interrupt_at_the_sixth_page(_request: Request) -> None:
        # Several pages may be asked for at once.
        if len(stripe.list_pages("charges")) >= 5 and signals:
            interrupted[0].send_signal(signals.pop())

    stripe.before_request = interrupt_at_the_sixth_page
    process = tap.start(select=["charges"], start_date="2024-02-01")
    interrupted.append(process)
    messages = read(process)
    assert process.returncode == 143
    stripe.before_request = None
    written = {message["record"]["id"] for message in messages if message["type"] == "RECORD"}
    state = [message["value"] for message in messages if message["type"] == "STATE"][-1]
    rest = tap(select=["charges"], state=state, start_date="2024-01-01").ids("charges")
    assert 0 < len(written) < 1_256
    assert written | set(rest) == set(stripe.ids("charges"))
    # The page that was being written is read again, and the seconds that pages end in.
    assert len(written) + len(rest) < 2_000 + 100 + 50
