"""Trouble of one stream, or of the world around the tap: what it costs, and what people read."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import pytest

from tests.contract.conftest import ELSEWHERE, catalog_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.contract.conftest import TapCommand
    from tests.fake_stripe import FakeStripe, Request


def _error(message: str, **said: str) -> bytes:
    error = {"type": "invalid_request_error", "message": message, **said}
    return json.dumps({"error": error}).encode()


@pytest.mark.parametrize(
    "message", ["Your account is not set up to use Issuing.", "This is only available in live mode"]
)
def test_a_refusal_in_the_middle_of_a_list_is_a_failure(
    tap: TapCommand, stripe: FakeStripe, message: str
) -> None:
    stripe.seed("charges", 150)
    stripe.seed("refunds", 1)
    stripe.fault("/v1/charges", after=1, times=math.inf, status=400, body=_error(message))
    run = tap(select=["charges", "refunds"])
    assert run.code == 3
    assert len(run.ids("charges")) == 100
    assert len(run.ids("refunds")) == 1
    assert f"charges, failed: {message.rstrip('.')}" in run.last_line
    assert "replication_key_value" not in run.bookmark("charges")


def test_children_that_are_refused_midway_are_a_failure(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    parents = [str(stripe.add("customers", {})["id"]) for _ in range(3)]
    for parent in parents:
        stripe.add("customer_balance_transactions", parent=parent)
    body = _error("Your account is not set up to use Issuing.")
    stripe.fault(f"/v1/customers/{parents[1]}/balance_transactions", status=400, body=body)
    run = tap(select=["customer_balance_transactions"])
    assert run.code == 1
    assert "customer_balance_transactions, failed: Your account is not set up" in run.last_line


def test_a_connected_account_without_a_product_costs_only_its_own_children(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    parents = [stripe.add_account() for _ in range(3)]
    for parent in parents:
        stripe.add("account_persons", parent=parent)
    body = _error("Your account is not set up to use Issuing.")
    stripe.fault(f"/v1/accounts/{parents[1]}/persons", status=400, body=body)
    run = tap(select=["account_persons"])
    assert run.code == 0
    assert {row["account"] for row in run.rows("account_persons")} == {parents[0], parents[2]}
    assert f"No account_persons of {parents[1]}: Your account is not set up" in run.stderr


def test_a_refusal_of_later_parents_is_a_failure_of_the_child(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    for _ in range(101):
        stripe.add("payouts", {"automatic": False})
    stripe.seed("refunds", 1)
    body = _error("Your account is not set up to use Issuing.")
    stripe.fault("/v1/payouts", after=1, status=400, body=body, times=math.inf)
    run = tap(select=["payout_balance_transactions", "refunds"])
    assert run.code == 3
    assert "payout_balance_transactions, failed (through its parent payouts)" in run.last_line


@pytest.mark.parametrize("status", [400, 404])
def test_a_deleted_cursor_of_a_childs_list_costs_no_child(
    tap: TapCommand, stripe: FakeStripe, status: int
) -> None:
    customer = stripe.add("customers")["id"]
    stripe.seed("customer_balance_transactions", 250, parent=customer)
    path = f"/v1/customers/{customer}/balance_transactions"
    body = _error("No such object", code="resource_missing", param="starting_after")
    refused: list[str] = []

    def refuse_the_first_cursor(request: Request) -> None:
        if "starting_after" in request.params and not refused:
            refused.append(request.params["starting_after"])
            stripe.fault(path, status=status, body=body)

    stripe.before_request = refuse_the_first_cursor
    run = tap(select=["customer_balance_transactions"])
    assert run.code == 0
    assert refused
    assert set(run.ids("customer_balance_transactions")) == set(
        stripe.ids("customer_balance_transactions")
    )


def test_a_childs_answer_that_makes_no_sense_does_not_cost_its_family(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    product = stripe.add("products")["id"]
    body = b'{"object": "list", "has_more": true, "data": [{"object": "product_feature"}]}'
    stripe.fault(f"/v1/products/{product}/features", status=200, body=body, times=math.inf)
    run = tap(select=["products", "product_features"])
    assert run.code == 3
    assert run.ids("products") == [product]
    assert run.last_line.startswith("1 of 2 selected streams could not be read whole: product_fea")


def test_an_account_that_was_let_go_costs_only_its_own_children(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    parents = [stripe.add_account() for _ in range(3)]
    persons = [stripe.add("account_persons", parent=parent)["id"] for parent in parents]
    body = _error("The provided key does not have access to account", code="account_invalid")
    stripe.fault(f"/v1/accounts/{parents[1]}/persons", status=403, body=body)
    run = tap(select=["account_persons", "coupons"])
    assert run.code == 0
    assert sorted(run.ids("account_persons")) == sorted([persons[0], persons[2]])
    assert f"No account_persons of {parents[1]}: " in run.stderr


def test_an_answer_that_makes_no_sense_ends_its_stream_alone(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    stripe.seed("coupons", 1)
    stripe.seed("refunds", 3)
    body = b'{"object": "list", "has_more": false, "data": [{"object": "coupon", "created": 1.5}]}'
    stripe.fault("/v1/coupons", status=200, body=body, times=math.inf)
    run = tap(select=["coupons", "refunds"])
    assert run.code == 3
    assert len(run.ids("refunds")) == 3
    assert run.last_line.startswith("1 of 2 selected streams could not be read whole: coupons, ")


def test_a_loader_that_goes_away_is_said_in_the_last_line(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    stripe.seed("charges", 500)
    process = tap.start(select=["charges"])
    assert process.stdout
    assert process.stderr
    process.stdout.readline()
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 1
    assert said.splitlines()[-1] == ("The run failed: the reader of the tap's output has gone")


def test_a_full_disk_is_said_in_the_last_line(tap: TapCommand, stripe: FakeStripe) -> None:
    stripe.seed("charges", 5)
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device
        process = tap.start(select=["charges"], stdout=full)
        _, said = process.communicate()
    assert process.returncode == 1
    assert said.splitlines()[-1].startswith("The run failed: the tap's output can't be written: ")


@pytest.mark.parametrize("option", ["--test", "--test=connection", "--discover"])
def test_a_full_disk_is_said_in_the_last_line_of_every_command(
    tap: TapCommand, option: str
) -> None:
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device
        process = tap.start(option, stdout=full)
        _, said = process.communicate()
    assert process.returncode == 1
    assert [line for line in said.splitlines() if ELSEWHERE not in line] == [
        "The run failed: the tap's output can't be written: No space left on device"
    ]


def test_certificates_that_are_not_there_make_the_connection_unavailable(tap: TapCommand) -> None:
    env = {"REQUESTS_CA_BUNDLE": "/nowhere.pem"}
    run = tap("--test", api_base="https://127.0.0.1:1", env=env)
    assert run.code == 1
    assert run.last_line.startswith("Connection unavailable: Stripe can't be reached: ")
    assert "/nowhere.pem" in run.stdout


def test_numbers_come_from_the_environment_too(tap: TapCommand, stripe: FakeStripe) -> None:
    env = {
        "TAP_STRIPE_CONN_LIVE_API_KEY": stripe.secret_key,
        "TAP_STRIPE_CONN_API_BASE": stripe.url,
        "TAP_STRIPE_CONN_REQUESTS_PER_SECOND": "2.5",
    }
    assert tap.run("--config=ENV", "--test=connection", env=env).code == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [("REQUESTS_PER_SECOND", "fast"), ("FLATTENING_MAX_DEPTH", "x"), ("STREAM_MAPS", "{bad")],
)
def test_a_variable_that_can_not_be_read_is_one_line(
    tap: TapCommand, stripe: FakeStripe, name: str, value: str
) -> None:
    env = {"TAP_STRIPE_CONN_LIVE_API_KEY": stripe.secret_key, f"TAP_STRIPE_CONN_{name}": value}
    run = tap.run("--config=ENV", "--test", env=env)
    assert run.code == 2
    assert len(run.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "catalog", [{}, {"streams": None}, {"streams": [1]}, {"streams": [{"stream": "charges"}]}]
)
def test_a_catalog_that_is_none_is_one_line(tap: TapCommand, catalog: dict[str, object]) -> None:
    run = tap(catalog=catalog)
    assert run.code == 2
    assert len(run.stderr.splitlines()) == 1
    assert "catalog.json must be an object like" in run.stderr


def test_a_catalog_that_selects_nothing_is_an_error(tap: TapCommand) -> None:
    run = tap(catalog=catalog_of(["charges"], selected=False))
    assert run.code == 2
    assert run.last_line == "The catalog selects no stream"


def test_a_catalog_that_knows_fewer_columns_gets_these_and_the_keys(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    stripe.seed("charges", 1)
    catalog = catalog_of(["charges"])
    catalog["streams"][0]["schema"] = {"properties": {"amount": {"type": ["integer"]}}}
    run = tap(catalog=catalog)
    assert run.code == 0
    assert run.rows("charges")[0].keys() == {"id", "amount", "_updated_at"}
    assert "does not know" not in run.stderr


def test_a_bad_bookmark_is_found_before_anything_is_read(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    state = {"bookmarks": {"refunds": {"replication_key_value": 1_700_000_000}}}
    run = tap(select=["charges", "refunds"], state=state)
    assert run.code == 2
    assert run.stdout == ""
    assert stripe.requests == []


@pytest.mark.parametrize("expression", ["nope(", "no_such_name + 1"])
def test_a_stream_map_that_can_not_be_used_is_said_in_the_last_line(
    tap: TapCommand, stripe: FakeStripe, expression: str
) -> None:
    stripe.seed("charges", 1)
    run = tap(select=["charges"], stream_maps={"charges": {"x": expression}})
    assert run.code == 2
    assert run.last_line.startswith("Setting 'stream_maps' can't be used: ")


def test_an_empty_config_file_is_no_static_catalog(tap: TapCommand, tmp_path: Path) -> None:
    (tmp_path / "empty.json").write_text("{}")
    run = tap.run("--config", str(tmp_path / "empty.json"), "--discover")
    assert run.code == 2
    assert run.stdout == ""


def test_a_foreign_answer_proves_nothing(tap: TapCommand, stripe: FakeStripe) -> None:
    stripe.fault("*", status=200, body=b"{}", times=math.inf)
    run = tap("--test")
    assert run.code == 1
    assert "api_base does not answer as Stripe does" in run.last_line
