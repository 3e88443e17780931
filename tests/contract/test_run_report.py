"""The report that each run leaves: it adds up, however the run ended."""

from __future__ import annotations

import json
import math
import signal
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

if TYPE_CHECKING:
    from tests.contract.conftest import Run, TapCommand
    from tests.fake_stripe import FakeStripe, Request

SCHEMA = Draft202012Validator(
    json.loads((Path(__file__).parents[2] / "docs" / "run-report.schema.json").read_text("utf-8"))
)
FAMILY = ["coupons", "customer_tax_ids", "customers", "invoice_line_items", "invoices"]


def report(tap: TapCommand) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((tap.folder / "report.json").read_text("utf-8"))
    SCHEMA.validate(document)
    return document


def by_stream(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["stream"]: each for each in document["streams"]}


def records(run: Run) -> Counter[str]:
    return Counter(each["stream"] for each in run.messages if each["type"] == "RECORD")


def written(tap: TapCommand) -> dict[str, int]:
    """Rows by stream, as the report has them; those without any are left out."""
    streams = by_stream(report(tap))
    return {name: rows for name, each in streams.items() if (rows := sum(each["rows"].values()))}


def seed(stripe: FakeStripe) -> None:
    for _ in range(3):
        customer = str(stripe.add("customers")["id"])
        stripe.seed("customer_tax_ids", 2, parent=customer)
    stripe.seed("invoice_line_items", 4, parent=stripe.add("invoices")["id"])
    stripe.seed("invoice_line_items", 30, parent=stripe.add("invoices")["id"])
    stripe.add("coupons", {"brand_new": 1})


def test_what_was_written_and_asked_adds_up_stream_by_stream(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    seed(stripe)
    stripe.fault("/v1/invoices", "rate_limit")
    stripe.fault("/v1/coupons", "truncated")
    run = tap(select=FAMILY, report_file="report.json")
    assert run.code == 0
    document = report(tap)
    assert (document["status"], document["exit_code"], document["reason"]) == ("complete", 0, None)
    assert document["account"]["id"] == stripe.account_id
    assert document["mode"] == "test"
    streams = by_stream(document)
    assert list(streams) == FAMILY
    assert written(tap) == records(run)
    assert document["rows"] == records(run).total()
    assert streams["customers"]["rows"]["listed"] == 3
    assert streams["invoice_line_items"]["rows"]["embedded"] == 4
    assert streams["invoice_line_items"]["rows"]["requested"] == 30
    assert document["traffic"]["requests"] == len(stripe.requests)
    assert document["traffic"]["requests"] == sum(
        each["requests"] for each in document["endpoints"].values()
    )
    assert streams["invoices"]["traffic"]["limited"] == 1
    assert streams["invoices"]["traffic"]["retries"] == 1
    assert streams["coupons"]["traffic"]["retries"] == 1
    assert streams["coupons"]["traffic"]["requests"] == 2
    assert streams["coupons"]["drift"] == {"brand_new": 1}
    assert streams["invoices"]["bookmark"] == {"before": None, "after": run.bookmark("invoices")}
    assert all(each["ranges"]["pending"] == [] for each in streams.values())


def test_the_next_run_tells_of_the_bookmark_that_it_went_on_from(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    seed(stripe)
    first = tap(select=["invoices"], report_file="report.json")
    again = tap(select=["invoices"], report_file="report.json", state=first.state)
    assert by_stream(report(tap))["invoices"]["bookmark"] == {
        "before": first.bookmark("invoices"),
        "after": again.bookmark("invoices"),
    }


def test_what_events_told_of_is_counted_by_what_became_of_it(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    stripe.clock.advance(days=-3)
    kept, deleted, _ = (stripe.life.create("customers", email="a@b.example")["id"] for _ in "123")
    stripe.clock.advance(days=2)
    first = tap(select=["customers"])
    stripe.clock.advance(hours=1)
    stripe.life.change("customers", kept, email="ada@example.com")
    stripe.life.delete("customers", deleted)
    stripe.clock.advance(hours=1)
    run = tap(select=["customers"], report_file="report.json", state=first.state)
    assert run.code == 0
    customers = by_stream(report(tap))["customers"]
    assert written(tap) == records(run) == {"customers": 2}
    assert (customers["rows"]["hydrated"], customers["rows"]["deleted"]) == (1, 1)
    assert customers["changed"] == 2
    by_id = report(tap)["endpoints"]["/v1/customers/{customer}"]["requests"]
    assert by_id == 1
    assert customers["traffic"]["requests"] >= by_id


def test_a_list_that_was_not_asked_is_no_span_that_was_read(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    # Of more than ten lists, only those are asked for new rows that events tell something of.
    lists = ["charges", "coupons", "credit_notes", "customers", "disputes", "invoices", "payouts"]
    lists += ["plans", "prices", "products", "tax_rates", "transfers"]
    stripe.clock.advance(days=-1)
    first = tap(select=lists)
    stripe.clock.advance(hours=2)
    stripe.life.create("customers")
    stripe.clock.advance(hours=1)
    stripe.requests.clear()
    run = tap(select=lists, report_file="report.json", state=first.state)
    assert run.ids("customers") != []
    streams = by_stream(report(tap))
    before, after = (each.bookmark("customers") for each in (first, run))
    (finished,) = streams["customers"]["ranges"]["finished"]
    assert finished[0] < before["replication_key_value"] < finished[1]
    assert finished[1] == after["replication_key_value"]
    assert stripe.list_pages("charges") == []
    assert streams["charges"]["ranges"] == {"finished": [], "pending": []}


def test_rows_are_counted_as_they_are_written_after_stream_maps(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    for email in ("ada@example.com", "bob@example.com", "eve@example.com"):
        stripe.add("customers", {"email": email})
    for maps, written_as in (
        ({"customers": {"__filter__": "email[0] != 'e'"}}, {"customers": 2}),
        (
            {"customers": {}, "people": {"__source__": "customers"}},
            {"customers": 3, "people": 3},
        ),
    ):
        run = tap(select=["customers"], report_file="report.json", stream_maps=maps)
        assert run.code == 0
        assert records(run) == written_as
        count = sum(written_as.values())
        assert written(tap) == {"customers": count}
        assert report(tap)["rows"] == count
        assert f": {count} rows of 1 streams" in run.stderr


def test_what_could_not_be_read_is_named_with_the_reason(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    stripe.seed("charges", 250)
    stripe.seed("refunds", 2)
    stripe.disable("issuing_cards", "issuing")
    stripe.fault("/v1/charges", after=1, times=math.inf, status=400)
    key = stripe.restricted_key(
        {stripe.permission_for(name) for name in ("charges", "refunds", "issuing_cards")}
    )
    selected = ["charges", "coupons", "issuing_cards", "no_such_stream", "refunds"]
    run = tap(select=selected, report_file="report.json", live_api_key=key)
    assert run.code == 3
    document = report(tap)
    assert (document["status"], document["exit_code"]) == ("not_whole", 3)
    assert document["reason"] == run.last_line
    streams = by_stream(document)
    assert {name: each["status"] for name, each in streams.items()} == {
        "charges": "failed",
        "coupons": "missing_permission",
        "issuing_cards": "product_not_enabled",
        "no_such_stream": "failed",
        "refunds": "complete",
    }
    assert streams["coupons"]["permission"] == stripe.permission_for("coupons")
    assert streams["charges"]["reason"].startswith("failed: The request failed")
    assert streams["charges"]["ranges"]["pending"] != []
    assert written(tap) == records(run)


@pytest.mark.parametrize("column", ["charges", "invoice_line_items"])
def test_a_list_that_repeats_itself_fails_its_stream_by_name(
    tap: TapCommand, stripe: FakeStripe, column: str
) -> None:
    stripe.seed("refunds", 1)
    charge, line = {"object": "charge", "id": "ch_1"}, {"object": "line_item", "id": "il_1"}
    invoice = {"object": "invoice", "id": "in_1", "created": 1_700_000_000}
    lines = {"object": "list", "has_more": False, "total_count": 2, "data": [line]}
    for path, rows in (("charges", [charge, charge]), ("invoices", [{**invoice, "lines": lines}])):
        page = {"object": "list", "has_more": False, "data": rows}
        stripe.fault(f"/v1/{path}", status=200, body=json.dumps(page).encode(), times=math.inf)
    run = tap(select=[column, "refunds"], report_file="report.json")
    assert run.code == 3
    assert run.last_line.startswith(f"1 of 2 selected streams could not be read whole: {column}, ")
    assert by_stream(report(tap))[column]["status"] == "failed"
    assert "replication_key_value" not in run.bookmark(column)


def test_a_run_that_is_interrupted_reports_what_it_has_done(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    stripe.seed("charges", 450)
    stripe.seed("coupons", 1)

    def interrupt_after_two_pages(request: Request) -> None:
        if request.path == "/v1/charges" and len(stripe.list_pages("charges")) >= 2:
            process.send_signal(signal.SIGTERM)
            time.sleep(0.5)

    stripe.before_request = interrupt_after_two_pages
    path = str(tap.folder / "report.json")
    process = tap.start(select=["charges", "coupons"], report_file=path)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 143
    said = stderr.splitlines()
    assert said[-1] == "Interrupted; the last STATE covers what was written"
    assert "Not read to the end: charges" in said[-2]
    document = report(tap)
    assert (document["status"], document["exit_code"]) == ("interrupted", 143)
    assert document["reason"] == said[-1]
    messages = [json.loads(line) for line in stdout.splitlines()]
    assert document["rows"] == sum(each["type"] == "RECORD" for each in messages)
    states = [each["value"]["bookmarks"] for each in messages if each["type"] == "STATE"]
    charges = by_stream(document)["charges"]
    assert charges["status"] == "unfinished"
    assert charges["bookmark"]["after"] == states[-1]["charges"]
    assert charges["ranges"]["pending"] == states[-1]["charges"]["pending"]


def test_a_connection_that_is_unavailable_is_reported_too(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    run = tap(select=["charges"], report_file="report.json", live_api_key="sk_" + "test_" + "wrong")
    assert (run.code, len(run.stderr.splitlines())) == (1, 1)
    document = report(tap)
    assert (document["status"], document["streams"]) == ("failed", [])
    assert document["reason"] == run.last_line
    assert document["traffic"]["requests"] == len(stripe.requests)


@pytest.mark.parametrize("place", ["nowhere/report.json", "/proc/report.json"])
def test_a_report_that_has_no_place_ends_the_run_before_it_asks_anything(
    tap: TapCommand, stripe: FakeStripe, place: str
) -> None:
    run = tap(select=["charges"], report_file=place)
    assert (run.code, run.stdout, len(run.stderr.splitlines())) == (2, "", 1)
    assert run.last_line.startswith(
        f"Setting 'report_file': {place} can't be written: No such file"
    )
    assert stripe.requests == []


def test_without_the_setting_there_is_no_file_and_one_line_for_people(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    stripe.seed("charges", 3)
    before = set(tap.folder.iterdir())
    run = tap(select=["charges"])
    made = {path.name for path in set(tap.folder.iterdir()) - before}
    assert made == {"config.json", "catalog.json"}
    assert "| Connection stripe: 3 rows of 1 streams by 2 requests in " in run.last_line
    assert run.last_line.endswith(" s: 3 listed")
