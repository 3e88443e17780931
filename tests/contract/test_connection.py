"""What a user reads when the connection is tested, and when it is bad."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.contract.conftest import TapCommand
    from tests.fake_stripe import FakeStripe


@pytest.mark.parametrize("option", ["--test", "--test=connection", "--test=all"])
def test_a_good_key_reads_connection_available(tap: TapCommand, option: str) -> None:
    run = tap(option)
    assert (run.code, run.stdout.splitlines()[-1]) == (0, "connection available")
    assert run.remarks == []


def _closed_port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


UNAVAILABLE: dict[str, tuple[Callable[[FakeStripe], dict[str, Any]], str]] = {
    "rejected key": (
        lambda _: {"live_api_key": "sk_" + "test_" + "wrong"},
        "Stripe rejected the API key; check live_api_key (HTTP 401, request req_",
    ),
    "expired key": (
        lambda stripe: {"live_api_key": stripe.expired_key()},
        "the API key has expired or was rolled; enter the new one (HTTP 401, request req_",
    ),
    "account out of reach": (
        lambda _: {"account_id": "acct_unknown"},
        "account acct_unknown can't be reached with this key; check account_id: The provided key",
    ),
    "key of another address": (
        lambda stripe: {"live_api_key": stripe.allowlisted_key()},
        "the API key may not be used from this machine's IP address: ",
    ),
    "nobody listens": (
        lambda _: {"api_base": _closed_port()},
        "Stripe can't be reached: the connection is refused",
    ),
    "no such host": (
        lambda _: {"api_base": "https://stripe.invalid"},
        "Stripe can't be reached: the host name can't be resolved (DNS)",
    ),
}


@pytest.mark.parametrize("cause", UNAVAILABLE)
def test_an_unavailable_connection_says_why(
    tap: TapCommand, stripe: FakeStripe, cause: str
) -> None:
    arrange, reason = UNAVAILABLE[cause]
    run = tap("--test", **arrange(stripe))
    line = run.stdout.splitlines()[-1]
    assert run.code == 1
    assert line.startswith(f"Connection unavailable: {reason}")
    assert run.last_line == line
    assert len(stripe.requests) <= 2


@pytest.mark.parametrize("options", [["--test"], ["--test=connection"], ["--discover"], []])
def test_an_address_that_is_not_stripes_is_named(
    tap: TapCommand, stripe: FakeStripe, options: list[str]
) -> None:
    run = tap(*options)
    warning = f"WARNING  | tap-stripe-conn                | The credentials go to {stripe.url}, "
    assert [warning in line for line in run.stderr.splitlines()].count(True) == 1
    refused = tap(*options, live_api_key="sk_" + "test_" + "wrong")
    assert refused.last_line.endswith(f"(asked {stripe.url}, which is not Stripe's own address)")


def test_stripe_being_down_is_told_from_a_bad_key(tap: TapCommand, stripe: FakeStripe) -> None:
    stripe.fault("*", status=503, times=9)
    run = tap("--test")
    assert run.code == 1
    assert run.last_line.startswith("Connection unavailable: Stripe is failing; try again later: ")
    assert len(stripe.requests) == 2


def test_a_single_hiccup_of_stripes_does_not_fail_the_test(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    stripe.fault("*", status=500)
    assert tap("--test=connection").code == 0


@pytest.mark.parametrize("options", [[], ["--discover"]])
def test_nothing_leaves_before_the_credentials_are_proven(
    tap: TapCommand, stripe: FakeStripe, options: list[str]
) -> None:
    stripe.seed("charges", 3)
    run = tap(*options, live_api_key="sk_" + "test_" + "wrong")
    assert run.code == 1
    assert run.stdout == ""
    assert len(run.stderr.splitlines()) == 1
    assert run.stderr.startswith("Connection unavailable: ")
    assert {request.path for request in stripe.requests} == {"/v1/account"}


BAD_SETTINGS: dict[str, tuple[dict[str, Any], str]] = {
    "no key": ({"live_api_key": None}, "'live_api_key' is required by the auth scheme API Key"),
    "empty key": ({"live_api_key": ""}, "'live_api_key' is required by the auth scheme API Key"),
    "publishable key": (
        {"live_api_key": "pk_" + "live_" + "1"},
        "'live_api_key' is a publishable key, which can't read",
    ),
    "oauth2 without a token": (
        {"auth_scheme": "oauth2", "client_id": "ca_1", "client_secret": "x"},
        "'refresh_token' is required by the auth scheme OAuth2",
    ),
    "unknown scheme": ({"auth_scheme": "basic"}, "must be one of api_key, oauth2"),
    "bad date": ({"start_date": "yesterday"}, "'start_date' must be a date (2024-01-31)"),
    "dates the wrong way round": (
        {"start_date": "2024-02-01", "end_date": "2024-01-01"},
        "'start_date' (2024-02-01) must be before 'end_date' (2024-01-01)",
    ),
    "no account": ({"account_id": "stripe"}, "'account_id' must be an account's id, acct_…"),
    "organization key without account": (
        {"live_api_key": "sk_" + "org_live_" + "1"},
        "'account_id' is required with an organization key",
    ),
    "http elsewhere": (
        {"api_base": "http://stripe.example"},
        "'api_base' must be an https URL (http only on loopback)",
    ),
    "no number": (
        {"requests_per_second": float("nan")},
        "'requests_per_second' must be a number of requests, not nan",
    ),
    "no rate": ({"requests_per_second": 0}, "'requests_per_second' must be greater than 0"),
    "rate as text": ({"requests_per_second": "fast"}, "must be of type number"),
    "misspelt": (
        {"strat_date": "2024-01-01"},
        "no setting 'strat_date'; did you mean 'start_date'",
    ),
}


@pytest.mark.parametrize(
    ("case", "options"),
    [*((case, []) for case in BAD_SETTINGS), ("no key", ["--test"]), ("bad date", ["--discover"])],
)
def test_a_bad_setting_is_one_line_and_exit_code_2(
    tap: TapCommand, stripe: FakeStripe, case: str, options: list[str]
) -> None:
    settings, message = BAD_SETTINGS[case]
    run = tap(*options, **settings)
    assert run.code == 2
    assert message in run.stderr
    assert run.stdout == ""
    assert len(run.stderr.splitlines()) == 1
    assert stripe.requests == []


def test_every_wrong_setting_is_named_at_once(tap: TapCommand) -> None:
    run = tap("--test", start_date="soon", account_id="me", api_base="ftp://x")
    assert run.code == 2
    assert [line.split("'")[1] for line in run.stderr.splitlines()] == [
        "account_id",
        "start_date",
        "api_base",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "config.json is not valid JSON: "),
        ("[]", "config.json must hold a JSON object"),
        (None, "config.json can't be read: No such file or directory"),
    ],
)
def test_a_bad_config_file_is_one_line(
    bare_tap: TapCommand, tmp_path: Path, content: str | None, message: str
) -> None:
    path = tmp_path / "config.json"
    if content is not None:
        path.write_text(content)
    run = bare_tap.run("--config", str(path), "--test")
    assert run.code == 2
    assert message in run.stderr
    assert len(run.stderr.splitlines()) == 1


def test_settings_come_from_the_environment_too(tap: TapCommand, stripe: FakeStripe) -> None:
    env = {
        "TAP_STRIPE_CONN_LIVE_API_KEY": stripe.secret_key,
        "TAP_STRIPE_CONN_API_BASE": stripe.url,
    }
    run = tap.run("--config=ENV", "--test=connection", env=env)
    assert (run.code, run.stdout) == (0, "connection available\n")


def test_a_connected_account_is_read_through_its_id(tap: TapCommand, stripe: FakeStripe) -> None:
    account = stripe.add_account()
    mine, theirs = stripe.add("charges"), stripe.add("charges", account=account)
    assert tap(select=["charges"]).ids("charges") == [mine["id"]]
    assert tap(select=["charges"], account_id=account).ids("charges") == [theirs["id"]]


def test_an_organization_key_reads_the_account_of_its_context(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    charge = stripe.add("charges")
    run = tap(select=["charges"], live_api_key=stripe.org_key(), account_id=stripe.account_id)
    assert run.ids("charges") == [charge["id"]]
    assert stripe.requests[-1].headers["stripe-context"] == stripe.account_id


def test_every_request_names_version_and_tap(tap: TapCommand, stripe: FakeStripe) -> None:
    tap(select=["charges"])
    for request in stripe.requests:
        assert request.headers["stripe-version"] == stripe.catalogue.api_version
        assert request.headers["user-agent"].startswith("tap-stripe-conn/")
        assert "stripe-account" not in request.headers
