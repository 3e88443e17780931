"""The connection test and discovery, as commands: what a connection can read, and what not."""

from __future__ import annotations

import json
import math
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from tests.contract.conftest import Run, catalog_of
from tests.contract.test_connection import BAD_SETTINGS, UNAVAILABLE
from tests.fake_stripe import FakeStripe

if TYPE_CHECKING:
    from tests.contract.conftest import TapCommand

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "docs" / "connection-test.schema.json").read_text("utf-8"))


def document(run: Run) -> dict[str, Any]:
    """What the command wrote, which is what its schema says."""
    written: dict[str, Any] = json.loads(run.stdout)
    Draft202012Validator(SCHEMA).validate(written)
    assert written["exit_code"] == run.code
    return written


def statuses(written: dict[str, Any]) -> dict[str, str]:
    return {each["stream"]: each["status"] for each in written["streams"]}


def permissions(stripe: FakeStripe, *streams: str) -> set[str]:
    return {stripe.permission_for(stream) for stream in streams}


# --- The table ---------------------------------------------------------------------------------


def test_the_table_says_who_is_connected_and_what_can_be_read(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    stripe.seed("charges", 1)
    run = tap("--test", select=["refunds", "charges"], connection_name="our shop")
    assert (run.code, run.remarks) == (0, [])
    lines = run.stdout.splitlines()
    assert lines[:3] == [
        "Connection    our shop",
        "Auth scheme   API Key",
        "Credentials   secret key, test mode",
    ]
    assert lines[3].endswith(f" ({stripe.account_id})")
    assert lines[4:] == [
        f"API version   {stripe.catalogue.api_version}",
        "",
        "Stream   Status",
        "charges  ok",
        "refunds  empty",
        "",
        "2 streams: 1 ok, 1 empty",
        "",
        "connection available",
    ]


def test_missing_permissions_are_listed_once_and_the_exit_code_tells(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    key = stripe.restricted_key(permissions(stripe, "charges"))
    select = ["charges", "invoices", "invoice_line_items", "refunds"]
    run = tap("--test", select=select, live_api_key=key)
    assert run.code == 3
    table = run.stdout.partition("\nStream")[2].splitlines()[1:]
    assert table == [
        "charges             empty",
        "invoice_line_items  missing permission: rak_invoice_read (through invoices)",
        "invoices            missing permission: rak_invoice_read",
        "refunds             missing permission: rak_refund_read",
        "",
        "4 streams: 1 empty, 3 missing permission",
        "",
        "Permissions to add, and what each opens:",
        "  rak_invoice_read: invoice_line_items, invoices",
        "  rak_refund_read: refunds",
        "",
        "connection available",
    ]
    assert run.last_line == (
        "3 of 4 selected streams can't be read: missing permission rak_invoice_read "
        "(invoice_line_items, invoices), rak_refund_read (refunds)"
    )


def test_everything_at_once_fits_80_columns_and_only_reads(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    stripe.disable("climate_orders", "unrecognized")
    stripe.disable("treasury_financial_accounts", "not_enabled")
    stripe.disable("sigma_scheduled_query_runs", "wrong_mode")
    key = stripe.restricted_key(
        permissions(
            stripe,
            "charges",
            "climate_orders",
            "treasury_financial_accounts",
            "sigma_scheduled_query_runs",
        )
    )
    run = tap("--test", live_api_key=key, connection_name="a " + "very " * 20 + "long name")
    assert run.code == 3
    assert [line for line in run.stdout.splitlines() if len(line) > 80] == []
    assert run.stdout.splitlines()[-1] == "connection available"
    assert {request.method for request in stripe.requests} == {"GET"}


def test_a_key_that_can_read_nothing_is_no_connection(tap: TapCommand, stripe: FakeStripe) -> None:
    key = stripe.restricted_key(set())
    run = tap("--test", select=["charges", "refunds"], live_api_key=key)
    assert run.code == 1
    assert run.stdout.splitlines()[-1] == run.last_line
    assert run.last_line.startswith(
        "Connection unavailable: none of the 2 selected streams can be read; the first: charges, "
        "missing permission rak_charge_read"
    )
    assert "  rak_charge_read: charges" in run.stdout


# --- The document ------------------------------------------------------------------------------


def test_the_document_tells_every_trouble_by_its_cause(tap: TapCommand, stripe: FakeStripe) -> None:
    stripe.seed("charges", 1)
    stripe.disable("issuing_cards", "issuing")
    stripe.disable("test_clocks", "testmode_only")
    stripe.fault("/v1/coupons", status=500, times=math.inf)
    stripe.fault("/v1/plans", "reset", times=math.inf)
    stripe.fault("/v1/topups", status=403, body=b"", times=math.inf)
    streams = ["charges", "coupons", "issuing_cards", "issuing_tokens", "plans", "reviews"]
    streams += ["test_clocks", "topups", "nonsense"]
    key = stripe.restricted_key(permissions(stripe, *set(streams) - {"reviews", "nonsense"}))
    written = document(tap("--test", "--format=json", select=streams, live_api_key=key))
    assert written["exit_code"] == 3
    assert statuses(written) == {
        "charges": "ok",
        "coupons": "failed",
        "issuing_cards": "product_not_enabled",
        "issuing_tokens": "product_not_enabled",
        "nonsense": "failed",
        "plans": "failed",
        "reviews": "missing_permission",
        "test_clocks": "wrong_mode",
        "topups": "missing_permission",
    }
    assert written["permissions_to_add"] == [
        {"permission": "rak_review_read", "streams": ["reviews"]},
        {"permission": None, "streams": ["topups"]},
    ]


def test_an_unavailable_connection_has_a_document(tap: TapCommand, stripe: FakeStripe) -> None:
    arrange, reason = UNAVAILABLE["expired key"]
    run = tap("--format=json", "--test", **arrange(stripe))
    written = document(run)
    assert (run.code, written["available"], written["streams"]) == (1, False, [])
    assert written["reason"].startswith(reason)
    assert run.last_line == f"Connection unavailable: {written['reason']}"


@pytest.mark.parametrize("case", ["no key", "publishable key", "misspelt"])
def test_bad_settings_have_a_document(tap: TapCommand, stripe: FakeStripe, case: str) -> None:
    settings, message = BAD_SETTINGS[case]
    run = tap("--test", "--format=json", **settings)
    written = document(run)
    assert (run.code, written["available"]) == (2, False)
    assert message in written["reason"]
    assert message in run.last_line
    assert stripe.requests == []


def test_a_file_that_can_not_be_read_has_a_document(bare_tap: TapCommand) -> None:
    run = bare_tap.run("--test", "--format=json", "--config", "nowhere.json")
    assert document(run)["reason"] == run.last_line
    assert run.last_line == "Config file nowhere.json can't be read: No such file or directory"


def test_a_connected_account_of_an_organization_is_told(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    account = stripe.add_account()
    key = stripe.org_key()
    run = tap("--test", "--format=json", select=["charges"], live_api_key=key, account_id=account)
    written = document(run)
    assert (written["credentials"], written["account"]["id"]) == ("organization", account)


@pytest.mark.parametrize("provider", ["connect", "apps"])
def test_oauth_is_told_by_its_provider(
    tap: TapCommand, stripe: FakeStripe, tmp_path: Path, provider: str
) -> None:
    account = stripe.add_account()
    stripe.oauth.permissions = permissions(stripe, "charges")
    stripe.oauth.omits = {"body"}
    path = "/oauth/token" if provider == "connect" else "/v1/oauth/token"
    run = tap(
        "--test",
        "--format=json",
        select=["charges"],
        auth_scheme="oauth2",
        live_api_key=None,
        client_id=stripe.oauth.client_id,
        client_secret=stripe.secret_key,
        refresh_token=stripe.refresh_token(account, path=path),
        oauth_provider=provider,
        connect_base=stripe.url,
        token_file=str(tmp_path / "token.json"),
    )
    written = document(run)
    assert (written["auth_scheme"], written["credentials"], written["mode"]) == (
        "oauth2",
        f"oauth_{provider}",
        "test",
    )
    assert written["account"] == {"id": account, "name": None}
    assert statuses(written) == {"charges": "empty"}


# --- The credentials alone ---------------------------------------------------------------------


def test_the_credentials_alone_are_one_line_and_one_request(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    key = stripe.restricted_key(set())
    run = tap("--test=connection", live_api_key=key)
    assert (run.code, run.stdout, run.remarks) == (0, "connection available\n", [])
    assert len(stripe.requests) == 1
    run = tap("--test=connection", live_api_key=stripe.expired_key())
    assert run.code == 1
    assert run.stdout == run.stderr
    assert run.stdout.startswith("Connection unavailable: the API key has expired")


def test_the_credentials_alone_have_a_document(tap: TapCommand) -> None:
    written = document(tap("--test=connection", "--format=json"))
    assert (written["available"], written["streams"]) == (True, [])


# --- Options -----------------------------------------------------------------------------------


def test_the_order_of_the_options_does_not_matter(tap: TapCommand, stripe: FakeStripe) -> None:
    tap("--discover", discover_all=True)  # leaves the config file
    folder = tap.folder
    (folder / "chosen.json").write_text(json.dumps(catalog_of(["charges"])))
    stripe.requests.clear()
    run = tap.run("--test", "--catalog", "chosen.json", "--config", "config.json")
    assert run.code == 0
    assert [request.path for request in stripe.requests] == ["/v1/account", "/v1/charges"]


def test_a_catalog_that_selects_nothing_is_an_error_of_the_test_too(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    run = tap("--test", "--format=json", catalog=catalog_of(["charges"], selected=False))
    assert run.code == 2
    assert document(run)["reason"] == run.last_line == "The catalog selects no stream"
    assert stripe.requests == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--test", "--discover"], "--discover and --test exclude each other"),
        (["--test", "--format=markdown"], "--format=markdown goes with --about"),
        (["--test=everything"], "'everything' is none of all, connection, schema"),
    ],
)
def test_options_that_do_not_go_together_are_a_usage_error(
    tap: TapCommand, stripe: FakeStripe, options: list[str], message: str
) -> None:
    run = tap(*options)
    assert run.code == 2
    assert message in run.last_line
    assert stripe.requests == []


def test_the_schemas_are_written_without_a_request(tap: TapCommand, stripe: FakeStripe) -> None:
    run = tap("--test=schema")
    assert run.code == 0
    assert run.schemas == list(stripe.catalogue.resources)
    assert stripe.requests == []


def test_meltano_runs_the_test_with_settings_from_the_environment(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    project = yaml.safe_load((ROOT / "meltano.yml").read_text("utf-8"))
    commands = project["plugins"]["extractors"][0]["commands"]
    env = {
        "TAP_STRIPE_CONN_LIVE_API_KEY": stripe.secret_key,
        "TAP_STRIPE_CONN_API_BASE": stripe.url,
        "TAP_STRIPE_CONN_REQUESTS_PER_SECOND": "1000",
        "TAP_STRIPE_CONN_DISCOVER_ALL": "false",
    }
    test = commands["test"]["args"].split()
    run = tap.run(*test, env=env)
    assert (run.code, run.stdout.splitlines()[-1]) == (0, "connection available")
    written = document(tap.run(*test, "--format=json", env=env))
    assert statuses(written).keys() == stripe.catalogue.resources.keys()


# --- In time -----------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [["--test", "--format=json"], ["--discover"]])
def test_every_stream_is_examined_within_ten_seconds_and_stripes_limits(
    tap: TapCommand, options: list[str]
) -> None:
    with FakeStripe(livemode=True) as stripe:
        for parent in {each.parent.stream for each in children(stripe)}:
            stripe.seed(parent, 1)
        stripe.latency = 0.2
        stripe.rates.per_second, stripe.rates.per_endpoint = 100, 25
        unset = {"requests_per_second": None, "endpoint_requests_per_second": None}
        run = tap(*options, live_api_key=stripe.secret_key, api_base=stripe.url, **unset)
        assert run.code == 0
        assert {request.status for request in stripe.requests} == {200}
        assert len(stripe.requests) >= 130
        moments = [request.time for request in stripe.requests]
        assert max(moments) - min(moments) < 10


def children(stripe: FakeStripe) -> list[Any]:
    return [each for each in stripe.catalogue.resources.values() if each.parent]


def test_an_interrupt_does_not_wait_for_answers(tap: TapCommand, stripe: FakeStripe) -> None:
    stripe.fault("/v1/charges", "stall", seconds=60)
    process = tap.start("--test", select=["charges"])
    while len(stripe.requests) < 2:
        time.sleep(0.02)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert time.monotonic() - began < 5
    assert (stdout, stderr.splitlines()[-1][:11]) == ("", "Interrupted")


# --- Discovery ---------------------------------------------------------------------------------


def discovered(run: Run) -> set[str]:
    return {entry["tap_stream_id"] for entry in json.loads(run.stdout)["streams"]}


def test_discovery_leaves_out_what_can_never_be_read(tap: TapCommand, stripe: FakeStripe) -> None:
    stripe.seed("customers", 1)
    stripe.disable("issuing_cards", "issuing")
    stripe.disable("test_clocks", "testmode_only")
    left_out = {
        "customer_payment_methods",
        "invoices",
        "invoice_line_items",
        "issuing_cards",
        "issuing_tokens",
        "payment_methods",
        "test_clocks",
    }
    needed = {stripe.permission_for(name) for name in stripe.catalogue.resources}
    needed -= permissions(stripe, "invoices", "payment_methods")
    run = tap("--discover", live_api_key=stripe.restricted_key(needed))
    assert run.code == 0
    kept = discovered(run)
    assert kept >= {"charges", "customers", "customer_balance_transactions"}
    assert left_out.isdisjoint(kept)
    said = [line.partition("Left out of the catalog, ")[2] for line in run.stderr.splitlines()]
    assert {
        "missing permission rak_payment_method_read: customer_payment_methods, payment_methods",
        "product not enabled: issuing_cards, issuing_tokens",
        "wrong mode: test_clocks",
    } <= set(said)


def test_discovery_keeps_what_is_in_doubt(tap: TapCommand, stripe: FakeStripe) -> None:
    stripe.fault("/v1/charges", status=500, times=math.inf)
    stripe.fault("/v1/coupons", "rate_limit", times=math.inf)
    stripe.fault("/v1/invoices", "reset", times=math.inf)
    run = tap("--discover")
    assert run.code == 0
    assert discovered(run) == set(stripe.catalogue.resources)
    assert "Stream charges is kept in doubt: failed: An unknown error occurred" in run.stderr


def test_a_discovered_catalog_is_read_whole(tap: TapCommand, stripe: FakeStripe) -> None:
    stripe.seed("charges", 2)
    key = stripe.restricted_key(permissions(stripe, "charges", "account"))
    catalog = json.loads(tap("--discover", live_api_key=key).stdout)
    run = tap(catalog=catalog, live_api_key=key)
    assert run.code == 0
    assert len(run.ids("charges")) == 2


def test_discovery_of_all_asks_for_nothing(tap: TapCommand, stripe: FakeStripe) -> None:
    run = tap("--discover", discover_all=True, live_api_key=stripe.restricted_key(set()))
    assert run.code == 0
    assert discovered(run) == set(stripe.catalogue.resources)
    assert len(stripe.requests) == 1


def test_a_key_that_can_read_nothing_has_no_catalog(tap: TapCommand, stripe: FakeStripe) -> None:
    run = tap("--discover", live_api_key=stripe.restricted_key(set()))
    assert (run.code, run.stdout) == (1, "")
    assert run.last_line.startswith("Connection unavailable: none of the 136 ")


def test_a_key_that_may_not_read_events_is_told_what_that_costs(
    stripe: FakeStripe, tap: TapCommand
) -> None:
    key = stripe.restricted_key(permissions(stripe, "charges", "balance", "account"))
    run = tap("--test", select=["charges", "balance"], live_api_key=key)
    assert (run.code, run.stdout.splitlines()[-1]) == (0, "connection available")
    assert (
        "Stripe's events, which tell of changes, can't be read (rak_event_read): each run reads "
        "charges whole again, and deletions are not seen"
    ) in run.stderr

    with_events = stripe.restricted_key(permissions(stripe, "charges", "balance", "events"))
    run = tap("--test", select=["charges", "balance"], live_api_key=with_events)
    assert "events" not in run.stderr
