"""What one row of each stream shows: the probes, stream by stream."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import pytest

from tap_stripe_conn import doctor
from tap_stripe_conn.api.client import ClosedError
from tap_stripe_conn.connection import check
from tap_stripe_conn.connection.check import ConnectionUnavailableError
from tap_stripe_conn.streams.outcome import Outcome, Status
from tap_stripe_conn.tap import TapStripeConn
from tests.api.servers import answering_with

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tap_stripe_conn.report import Report
    from tests.fake_stripe import FakeStripe

OK, EMPTY, NO_PERMISSION, NOT_ENABLED, WRONG_MODE, FAILED = (
    Status.OK,
    Status.EMPTY,
    Status.NO_PERMISSION,
    Status.NOT_ENABLED,
    Status.WRONG_MODE,
    Status.FAILED,
)


def tap_of(stripe: FakeStripe, select: Iterable[str], **settings: object) -> TapStripeConn:
    config = {
        "live_api_key": stripe.secret_key,
        "api_base": stripe.url,
        "requests_per_second": 10_000,
        "endpoint_requests_per_second": 10_000,
        **settings,
    }
    catalog = {
        "streams": [
            {
                "tap_stream_id": name,
                "schema": {},
                "metadata": [{"breadcrumb": [], "metadata": {"selected": True}}],
            }
            for name in select
        ]
    }
    return TapStripeConn(config=config, catalog=catalog)


def examined(stripe: FakeStripe, *select: str, **settings: object) -> Report:
    return tap_of(stripe, select, **settings).examine()


def statuses(report: Report) -> dict[str, Status]:
    return {outcome.stream: outcome.status for outcome in report.outcomes}


def paths(stripe: FakeStripe) -> list[str]:
    """What was asked, but for the account that proves the credentials."""
    first, *rest = (request.path for request in stripe.requests)
    assert first == "/v1/account"
    return sorted(rest)


def refused(message: str, **said: str) -> bytes:
    return json.dumps({"error": {"message": message, **said}}).encode()


# --- One stream --------------------------------------------------------------------------------


def test_a_stream_is_read_by_one_request_of_one_row(stripe: FakeStripe) -> None:
    stripe.seed("charges", 3)
    assert statuses(examined(stripe, "charges", "refunds")) == {"charges": OK, "refunds": EMPTY}
    assert paths(stripe) == ["/v1/charges", "/v1/refunds"]
    assert {request.params["limit"] for request in stripe.requests[1:]} == {"1"}


def test_a_stream_is_asked_for_as_a_run_asks(stripe: FakeStripe) -> None:
    examined(stripe, "subscriptions", "prices", "balance", "v2_core_event_destinations")
    asked = {request.stream: request for request in stripe.requests}
    assert asked["subscriptions"].params == {"limit": "1", "status": "all"}
    assert asked["prices"].arrays == {"expand": ["data.currency_options", "data.tiers"]}
    assert asked["balance"].params == {}
    assert asked["v2_core_event_destinations"].arrays == {"include": ["webhook_endpoint.url"]}


def test_every_stream_is_asked_for_once_by_reading_alone(stripe: FakeStripe) -> None:
    report = TapStripeConn(
        config={
            "live_api_key": stripe.secret_key,
            "api_base": stripe.url,
            "requests_per_second": 10_000,
        }
    ).examine()
    resources = stripe.catalogue.resources
    assert statuses(report).keys() == resources.keys()
    assert paths(stripe) == sorted(each.path for each in resources.values() if not each.parent)
    assert {request.method for request in stripe.requests} == {"GET"}


def test_a_refusal_is_told_by_its_cause(stripe: FakeStripe) -> None:
    stripe.disable("issuing_cards", "issuing")
    stripe.disable("climate_orders", "unrecognized")
    stripe.disable("sigma_scheduled_query_runs", "wrong_mode")
    key = stripe.restricted_key({stripe.permission_for("charges")})
    names = ["issuing_cards", "climate_orders", "sigma_scheduled_query_runs"]
    assert statuses(examined(stripe, *names, "charges")) == {
        "charges": EMPTY,
        "climate_orders": NOT_ENABLED,
        "issuing_cards": NOT_ENABLED,
        "sigma_scheduled_query_runs": WRONG_MODE,
    }
    report = examined(stripe, "charges", "refunds", live_api_key=key)
    (missing,) = (outcome for outcome in report.outcomes if outcome.stream == "refunds")
    assert (missing.status, missing.permission) == (NO_PERMISSION, "rak_refund_read")
    assert report.permissions == {"rak_refund_read": ["refunds"]}


def test_a_permission_that_stripe_does_not_name_is_missing_all_the_same(
    stripe: FakeStripe,
) -> None:
    stripe.fault("/v1/refunds", status=403, body=b"", times=math.inf)
    report = examined(stripe, "charges", "refunds")
    assert statuses(report) == {"charges": EMPTY, "refunds": NO_PERMISSION}
    assert report.permissions == {None: ["refunds"]}


def test_a_403_of_something_on_the_way_is_no_missing_permission() -> None:
    answer = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\n<html>"
    tap = TapStripeConn(config={"live_api_key": "a-key", "api_base": "http://127.0.0.1:1"})
    with answering_with(answer) as base:
        tap.client._base = base  # noqa: SLF001 - only the credentials were proven elsewhere
        (outcome,) = doctor.examine([tap.stripe_streams["charges"]], tap.client)
    assert outcome.status is FAILED


def test_fields_that_may_not_be_expanded_do_not_close_the_list(stripe: FakeStripe) -> None:
    stripe.seed("prices", 1)
    body = refused("This property cannot be expanded (tiers).", type="invalid_request_error")
    stripe.fault("/v1/prices", status=400, body=body)
    (outcome,) = examined(stripe, "prices").outcomes
    assert outcome.status is OK
    assert outcome.reason.startswith("without expanded fields: This property cannot be expanded")
    assert [request.arrays for request in stripe.requests[2:]] == [{}]


# --- Doubt -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["status", "rate_limit", "lock_timeout", "reset", "not_json"])
def test_a_hiccup_is_tried_again(stripe: FakeStripe, kind: str) -> None:
    stripe.fault("/v1/charges", kind)  # type: ignore[arg-type]
    assert statuses(examined(stripe, "charges")) == {"charges": EMPTY}


def test_trouble_that_stays_fails_its_stream_alone(
    stripe: FakeStripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "TIMEOUT", 0.3)
    stripe.fault("/v1/charges", status=500, times=math.inf)
    stripe.fault("/v1/coupons", "stall", seconds=30, times=math.inf)
    stripe.fault("/v1/disputes", "truncated", times=math.inf)
    stripe.fault("/v1/payouts", "rate_limit", times=math.inf)
    stripe.fault("/v1/plans", status=200, body=b'{"object": "list"}', times=math.inf)
    foreign = b'{"object": "list", "has_more": false, "data": [{"object": "plan", "id": "p"}]}'
    stripe.fault("/v1/products", status=200, body=foreign, times=math.inf)
    names = ["charges", "coupons", "disputes", "payouts", "plans", "products", "refunds"]
    report = examined(stripe, *names)
    assert {outcome.stream: outcome.said.partition(" (")[0] for outcome in report.outcomes} == {
        "charges": "An unknown error occurred",
        "coupons": "no answer within the time allowed",
        "disputes": "Stripe's answer is cut short or not a JSON object: Input data was truncated",
        "payouts": "Request rate limit exceeded. Learn more about rate limits here "
        "https://stripe.com/docs/rate-limits",
        "plans": "Stripe answered with something that is not a list of objects",
        "products": "Stripe sent an object of kind 'plan'",
        "refunds": "",
    }
    assert {status for name, status in statuses(report).items() if name != "refunds"} == {FAILED}
    assert [request.path for request in stripe.requests].count("/v1/charges") == 3


def test_a_connection_that_is_lost_midway_ends_the_test(stripe: FakeStripe) -> None:
    tap = tap_of(stripe, ["charges", "refunds"])
    tap.check_connection()
    stripe.stop()
    with pytest.raises(ConnectionUnavailableError, match=r"^Connection unavailable: Stripe can't"):
        tap._examined(list(tap.stripe_streams.values()))  # noqa: SLF001 - the credentials are proven


def test_credentials_that_are_withdrawn_midway_end_the_test(stripe: FakeStripe) -> None:
    body = refused("Expired API Key provided", code="api_key_expired")
    stripe.fault("/v1/refunds", status=401, body=body, times=math.inf)
    with pytest.raises(ConnectionUnavailableError, match="the API key has expired or was rolled"):
        examined(stripe, "charges", "refunds")


def test_nothing_is_asked_any_more_when_the_test_has_ended(stripe: FakeStripe) -> None:
    body = refused("Expired API Key provided", code="api_key_expired")
    stripe.fault("/v1/refunds", status=401, body=body, times=math.inf)
    tap = tap_of(stripe, ["charges", "refunds"])
    with pytest.raises(ConnectionUnavailableError):
        tap.examine()
    with pytest.raises(ClosedError):
        tap.client.get("/v1/charges")


def test_a_refused_connection_is_not_examined(stripe: FakeStripe) -> None:
    with pytest.raises(ConnectionUnavailableError):
        examined(stripe, "charges", live_api_key=stripe.expired_key())
    assert len(stripe.requests) == 1


# --- Children ----------------------------------------------------------------------------------


def test_a_child_is_asked_for_through_one_row_of_its_parent(stripe: FakeStripe) -> None:
    stripe.seed("customers", 3)
    report = examined(stripe, "customer_payment_methods", "customer_balance_transactions")
    assert set(statuses(report)) == {"customer_payment_methods", "customer_balance_transactions"}
    parent = stripe.ids("customers")[0]
    assert paths(stripe) == [
        "/v1/customers",
        f"/v1/customers/{parent}/balance_transactions",
        f"/v1/customers/{parent}/payment_methods",
    ]


def test_children_without_a_parent_are_empty(stripe: FakeStripe) -> None:
    report = examined(stripe, "invoice_line_items", "treasury_transactions")
    assert statuses(report) == {"invoice_line_items": EMPTY, "treasury_transactions": EMPTY}
    assert paths(stripe) == ["/v1/invoices", "/v1/treasury/financial_accounts"]


def test_a_child_of_a_closed_parent_is_closed_through_it(stripe: FakeStripe) -> None:
    stripe.disable("issuing_cards", "issuing")
    key = stripe.restricted_key(
        {stripe.permission_for(name) for name in ("refunds", "issuing_cards")}
    )
    report = examined(stripe, "invoice_line_items", "issuing_tokens", "refunds", live_api_key=key)
    lines, tokens, refunds = report.outcomes
    assert (lines.status, lines.through, lines.permission) == (
        NO_PERMISSION,
        "invoices",
        "rak_invoice_read",
    )
    assert (tokens.status, tokens.through) == (NOT_ENABLED, "issuing_cards")
    assert refunds.status is EMPTY


def test_a_child_of_a_parent_in_doubt_is_in_doubt(stripe: FakeStripe) -> None:
    stripe.fault("/v1/invoices", status=500, times=math.inf)
    lines, refunds = examined(stripe, "invoice_line_items", "refunds").outcomes
    assert (lines.status, lines.through) == (FAILED, "invoices")
    assert refunds.status is EMPTY


def test_a_child_may_be_closed_where_its_parent_is_open(stripe: FakeStripe) -> None:
    stripe.seed("customers", 1)
    key = stripe.restricted_key({stripe.permission_for("customers")})
    report = examined(stripe, "customers", "customer_payment_methods", live_api_key=key)
    assert statuses(report) == {"customers": OK, "customer_payment_methods": NO_PERMISSION}


def test_a_row_that_can_have_no_children_is_passed_over(stripe: FakeStripe) -> None:
    automatic = stripe.add("payouts", {"automatic": True})["id"]
    for _ in range(3):
        stripe.add("payouts", {"automatic": False})
    stripe.add("balance_transactions", {"source": automatic})
    examined(stripe, "payout_balance_transactions")
    payouts, transactions = stripe.requests[1:]
    assert payouts.params["limit"] == "100"
    assert transactions.params["payout"] == automatic


def test_where_no_row_can_have_children_they_are_empty(stripe: FakeStripe) -> None:
    stripe.add("payouts", {"automatic": False})
    assert statuses(examined(stripe, "payout_balance_transactions")) == {
        "payout_balance_transactions": EMPTY
    }
    assert paths(stripe) == ["/v1/payouts"]


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (404, "No such account"),
        (403, "You cannot perform this request as you do not have Platform Controls."),
        (403, "The provided key does not have access to account 'acct_1'"),
    ],
)
def test_a_parent_that_is_gone_or_closed_has_no_children(
    stripe: FakeStripe, status: int, message: str
) -> None:
    stripe.add_account()
    body = refused(message, type="invalid_request_error")
    stripe.fault("/v1/accounts/*/persons", status=status, body=body)
    assert statuses(examined(stripe, "account_persons")) == {"account_persons": EMPTY}


# --- What is selected --------------------------------------------------------------------------


def test_a_stream_that_this_version_does_not_know_is_a_failure_of_its_own(
    stripe: FakeStripe,
) -> None:
    known, unknown = examined(stripe, "charges", "chargez").outcomes
    assert known.status is EMPTY
    assert unknown == Outcome("chargez", FAILED, "this version has no such stream")


# --- Programs ----------------------------------------------------------------------------------


def test_the_connection_test_of_the_sdk_proves_first_and_writes_nothing(
    stripe: FakeStripe, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    stripe.seed("charges", 1)
    assert tap_of(stripe, ["charges"]).run_connection_test()
    refunds = stripe.restricted_key({stripe.permission_for("refunds")})
    assert not tap_of(stripe, ["charges", "refunds"], live_api_key=refunds).run_connection_test()
    with pytest.raises(ConnectionUnavailableError):
        tap_of(stripe, ["charges"], live_api_key=stripe.expired_key()).run_connection_test()
    assert capfdbinary.readouterr().out == b""


def test_two_requests_at_most_prove_the_credentials(
    stripe: FakeStripe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "PAUSE", 0)
    stripe.fault("/v1/account", status=500)
    tap = tap_of(stripe, ["charges"])
    assert tap.check_connection().id is None
    assert len(stripe.requests) == 2


# --- Who is connected --------------------------------------------------------------------------


def test_the_account_is_told_by_its_object(stripe: FakeStripe) -> None:
    account = tap_of(stripe, ["charges"]).check_connection()
    assert account.id == stripe.account_id
    assert account.name


def test_the_account_is_told_by_the_refusal_too(stripe: FakeStripe) -> None:
    tap = tap_of(stripe, ["charges"], live_api_key=stripe.restricted_key(set()))
    account = tap.check_connection()
    assert (account.id, account.name) == (stripe.account_id, None)
