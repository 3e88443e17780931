"""What people and machines read of a connection test."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tap_stripe_conn.config import config_schema, parse_settings
from tap_stripe_conn.connection.check import Account
from tap_stripe_conn.report import Connection, Report, by_cause
from tap_stripe_conn.streams.outcome import Outcome, Status

SCHEMA = json.loads(
    (Path(__file__).parents[1] / "docs" / "connection-test.schema.json").read_text("utf-8")
)
ACCOUNT = Account("acct_1", "Rocket Rides")
SECRET_KEY = "sk_" + "live_" + "1"
OAUTH = {
    "auth_scheme": "oauth2",
    "client_id": "ca_" + "1",
    "client_secret": "sk_" + "test_" + "1",
    "refresh_token": "rt_" + "1",
}


def connection(account: Account = ACCOUNT, **config: Any) -> Connection:  # noqa: ANN401 - settings
    given = config if "auth_scheme" in config else {"live_api_key": SECRET_KEY, **config}
    return Connection.of(parse_settings(given, config_schema()), account, "2026-10-28.endive")


def report(*outcomes: Outcome, **said: Any) -> Report:  # noqa: ANN401 - what a report may say
    return Report(**{"connection": connection(), "outcomes": outcomes, **said})


def missing(stream: str, permission: str | None = None, through: str | None = None) -> Outcome:
    return Outcome(stream, Status.NO_PERMISSION, "Refused (HTTP 403)", permission, through)


CHARGES = Outcome("charges", Status.OK)
COUPONS = Outcome("coupons", Status.FAILED, "no answer within the time allowed")
ISSUING = Outcome("issuing_cards", Status.NOT_ENABLED, "Not set up to use Issuing (HTTP 400)")


def test_the_whole_report() -> None:
    lines = missing("invoice_line_items", "rak_invoice_read", "invoices")
    invoices = missing("invoices", "rak_invoice_read")
    unnamed = missing("refunds")
    assert report(CHARGES, COUPONS, lines, invoices, ISSUING, unnamed).lines() == [
        "Connection    stripe",
        "Auth scheme   API Key",
        "Credentials   secret key, live mode",
        "Account       Rocket Rides (acct_1)",
        "API version   2026-10-28.endive",
        "",
        "Stream              Status",
        "charges             ok",
        "coupons             failed: no answer within the time allowed",
        "invoice_line_items  missing permission: rak_invoice_read (through invoices)",
        "invoices            missing permission: rak_invoice_read",
        "issuing_cards       product not enabled: Not set up to use Issuing (HTTP 400)",
        "refunds             missing permission: Refused (HTTP 403)",
        "",
        "6 streams: 1 ok, 3 missing permission, 1 product not enabled, 1 failed",
        "",
        "Permissions to add, and what each opens:",
        "  rak_invoice_read: invoice_line_items, invoices",
        "  one that Stripe does not name: refunds",
        "",
        "connection available",
    ]


def test_the_summary_has_no_line_for_a_stream_but_names_those_with_trouble() -> None:
    lines = missing("invoice_line_items", "rak_invoice_read", "invoices")
    invoices = missing("invoices", "rak_invoice_read")
    wrong_mode = Outcome("test_clocks", Status.WRONG_MODE, "Only in test mode")
    plans = Outcome("plans", Status.FAILED, "Stripe is failing")
    empty = Outcome("topups", Status.EMPTY)
    found = report(CHARGES, COUPONS, lines, invoices, ISSUING, plans, wrong_mode, empty)
    assert found.summary() == [
        *found.lines()[:6],
        "8 streams: 1 ok, 1 empty, 2 missing permission, 1 product not enabled, 1 wrong",
        "  mode, 2 failed",
        "",
        "Permissions to add, and what each opens:",
        "  rak_invoice_read: invoice_line_items, invoices",
        "",
        "Other streams that can't be read:",
        "  failed: coupons, plans",
        "  product not enabled: issuing_cards",
        "  wrong mode: test_clocks",
        "",
        "connection available",
    ]


def test_the_summary_of_a_connection_without_trouble_is_who_is_connected_and_a_count() -> None:
    found = report(CHARGES, Outcome("topups", Status.EMPTY))
    assert found.summary()[5:] == ["", "2 streams: 1 ok, 1 empty", "", "connection available"]


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ([CHARGES], 0),
        ([Outcome("charges", Status.EMPTY)], 0),
        ([CHARGES, ISSUING], 0),
        ([CHARGES, Outcome("test_clocks", Status.WRONG_MODE, "Only in test mode")], 0),
        ([CHARGES, COUPONS], 3),
        ([CHARGES, missing("refunds", "rak_refund_read")], 3),
        ([COUPONS], 1),
        ([ISSUING], 1),
        ([missing("refunds", "rak_refund_read")], 1),
    ],
)
def test_the_exit_code_tells_what_can_be_read(outcomes: list[Outcome], code: int) -> None:
    found = report(*outcomes)
    assert found.exit_code == code
    assert (found.verdict == "connection available") == (code != 1)
    assert (found.complaint is None) == (code == 0)


def test_nothing_to_read_is_no_connection() -> None:
    found = report(missing("charges", "rak_charge_read"), missing("refunds"))
    assert found.lines()[-1] == found.complaint
    assert found.complaint == (
        "Connection unavailable: none of the 2 selected streams can be read; the first: charges, "
        "missing permission rak_charge_read: Refused (HTTP 403)"
    )


def test_one_line_says_all_that_is_missing() -> None:
    found = report(
        CHARGES,
        COUPONS,
        missing("invoice_line_items", "rak_invoice_read", "invoices"),
        missing("invoices", "rak_invoice_read"),
        missing("refunds"),
    )
    assert found.complaint == (
        "4 of 5 selected streams can't be read: missing permission rak_invoice_read "
        "(invoice_line_items, invoices), that Stripe does not name (refunds); coupons, failed: no "
        "answer within the time allowed"
    )


def test_one_line_names_no_more_than_people_read() -> None:
    found = report(CHARGES, *(missing(f"s{n}", f"rak_{n}_read") for n in range(10, 20)))
    assert found.complaint
    assert found.complaint.startswith(
        "10 of 11 selected streams can't be read: missing permission rak_10_read (s10), rak_11_read"
    )
    assert found.complaint.endswith(", rak_17_read (s17), and 2 more")


def test_credentials_that_are_refused_leave_nothing_to_tell_but_whose_they_are() -> None:
    found = report(connection=connection(Account()), refusal="Stripe rejected the API key")
    assert found.exit_code == 1
    assert found.lines() == [
        "Connection    stripe",
        "Auth scheme   API Key",
        "Credentials   secret key, live mode",
        "API version   2026-10-28.endive",
        "",
        "Connection unavailable: Stripe rejected the API key",
    ]


@pytest.mark.parametrize(
    ("settings", "kind", "mode"),
    [
        ({"live_api_key": "sk_" + "live_" + "1"}, "secret", "live"),
        ({"live_api_key": "sk_" + "test_" + "1"}, "secret", "test"),
        ({"live_api_key": "rk_" + "test_" + "1"}, "restricted", "test"),
        (
            {"live_api_key": "sk_" + "org_live_" + "1", "account_id": "acct_1"},
            "organization",
            "live",
        ),
        ({"live_api_key": "sk_" + "org" + "1", "account_id": "acct_1"}, "organization", None),
        ({"live_api_key": "anothers"}, None, None),
        (OAUTH, "oauth_connect", "test"),
        ({**OAUTH, "oauth_provider": "apps"}, "oauth_apps", "test"),
    ],
)
def test_credentials_are_told_by_kind_and_mode(
    settings: dict[str, str], kind: str | None, mode: str | None
) -> None:
    about = connection(ACCOUNT, **settings)
    assert (about.kind, about.mode) == (kind, mode)


@pytest.mark.parametrize(
    ("account", "settings", "shown"),
    [
        (Account("acct_1", "Rocket Rides"), {}, "Rocket Rides (acct_1)"),
        (Account("acct_1"), {}, "acct_1"),
        (Account(), {"account_id": "acct_2"}, "acct_2"),
        (
            Account(),
            {"live_api_key": "sk_" + "org_live_" + "1", "account_id": "acct_1/acct_2"},
            "acct_2",
        ),
        (Account(), {}, "not readable with these credentials"),
    ],
)
def test_the_account_is_shown_as_far_as_it_is_known(
    account: Account, settings: dict[str, str], shown: str
) -> None:
    lines = report(CHARGES, connection=connection(account, **settings)).lines()
    assert lines[3] == f"Account       {shown}"


def test_what_is_left_out_is_told_by_its_cause() -> None:
    invoices = missing("invoices", "rak_invoice_read")
    lines = missing("invoice_line_items", "rak_invoice_read", "invoices")
    assert by_cause([invoices, ISSUING, lines]) == {
        "missing permission rak_invoice_read": ["invoices", "invoice_line_items"],
        "product not enabled": ["issuing_cards"],
    }


# --- Width -------------------------------------------------------------------------------------


def columns(line: str) -> int:
    """As terminals count them (https://www.unicode.org/reports/tr11/)."""
    shown = [each for each in line if not unicodedata.combining(each)]
    return sum(2 if unicodedata.east_asian_width(each) in "FW" else 1 for each in shown)


def test_a_reason_that_is_too_long_for_its_row_follows_below() -> None:
    said = "Invalid request. Have you onboarded to Treasury? See the docs (HTTP 400, request req_1)"
    treasury = Outcome("treasury_financial_accounts", Status.NOT_ENABLED, said)
    table = report(CHARGES, treasury).lines()[6:10]
    assert table == [
        "Stream                       Status",
        "charges                      ok",
        "treasury_financial_accounts  product not enabled",
        "    Invalid request. Have you onboarded to Treasury? See the docs (HTTP 400,",
    ]


def test_wide_letters_take_two_columns() -> None:
    name = "ストライプ株式会社" * 5
    lines = report(CHARGES, connection=connection(Account("acct_1", name))).lines()
    assert lines[3] == "Account       " + name[:33]
    assert lines[4] == " " * 14 + name[33:] + " (acct_1)"


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=200)
NAMES = st.text("abc_", min_size=1, max_size=90)
TESTED = sorted(set(Status) - {Status.COMPLETE}, key=str)
"""What a connection test may find."""


@st.composite
def some_outcome(draw: st.DrawFn) -> Outcome:
    status = draw(st.sampled_from(TESTED))
    permission = draw(NAMES.map("rak_{}".format) | st.none())
    return Outcome(
        draw(NAMES),
        status,
        draw(TEXT),
        permission if status is Status.NO_PERMISSION else None,
        draw(NAMES | st.none()),
    )


@given(outcomes=st.lists(some_outcome(), max_size=5), name=TEXT, account=TEXT)
def test_no_line_but_the_last_is_wider_than_80_columns(
    outcomes: list[Outcome], name: str, account: str
) -> None:
    about = connection(Account("acct_1", account), connection_name=f"x{name}")
    found = report(*outcomes, connection=about)
    for *lines, last in (found.lines(), found.summary()):
        assert [line for line in lines if columns(line) > 80] == []
        assert last.startswith(("connection available", "Connection unavailable: "))


# --- The document ------------------------------------------------------------------------------


def test_the_schema_of_the_document_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_the_whole_document() -> None:
    lines = missing("invoice_line_items", "rak_invoice_read", "invoices")
    document = report(CHARGES, lines).document()
    Draft202012Validator(SCHEMA).validate(document)
    assert document == {
        "available": True,
        "reason": None,
        "exit_code": 3,
        "connection_name": "stripe",
        "auth_scheme": "api_key",
        "credentials": "secret",
        "mode": "live",
        "account": {"id": "acct_1", "name": "Rocket Rides"},
        "api_version": "2026-10-28.endive",
        "streams": [
            {
                "stream": "charges",
                "status": "ok",
                "permission": None,
                "parent": None,
                "reason": None,
            },
            {
                "stream": "invoice_line_items",
                "status": "missing_permission",
                "permission": "rak_invoice_read",
                "parent": "invoices",
                "reason": "missing permission rak_invoice_read (through its parent invoices): "
                "Refused (HTTP 403)",
            },
        ],
        "permissions_to_add": [
            {"permission": "rak_invoice_read", "streams": ["invoice_line_items"]}
        ],
    }


@pytest.mark.parametrize("status", TESTED)
def test_every_status_has_a_place_in_the_schema(status: Status) -> None:
    document = report(Outcome("charges", status, "something")).document()
    Draft202012Validator(SCHEMA).validate(document)


def test_settings_that_can_not_be_used_have_a_document_too() -> None:
    found = Report(connection=None, refusal="Setting 'live_api_key' is required")
    Draft202012Validator(SCHEMA).validate(found.document())
    assert found.document()["exit_code"] == 2
    assert found.document()["reason"] == "Setting 'live_api_key' is required"
