"""Stripe's official client drives the fake server and finds what its documentation promises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest
from stripe import Customer
from stripe import _error as errors

from tests.contract.official import client_of, ids

if TYPE_CHECKING:
    from stripe import StripeClient

    from tests.fake_stripe import FakeStripe
    from tests.fake_stripe.faults import FaultKind

NOON = 1_700_000_000


@pytest.fixture
def client(stripe: FakeStripe) -> StripeClient:
    return client_of(stripe)


# --- Lists -------------------------------------------------------------------------------------


def test_auto_paging_gives_every_row_once_newest_first(
    stripe: FakeStripe, client: StripeClient
) -> None:
    stripe.seed("charges", 250)
    page = client.v1.charges.list({"limit": 100})
    assert (len(page.data), page.has_more, page.url) == (100, True, "/v1/charges")
    assert ids(page.auto_paging_iter()) == stripe.ids("charges")
    times = [row.created for row in page.auto_paging_iter()]
    assert times == sorted(times, reverse=True)


def test_a_list_without_a_limit_has_ten_rows(stripe: FakeStripe, client: StripeClient) -> None:
    stripe.seed("customers", 11)
    assert len(client.v1.customers.list().data) == 10


def test_ending_before_pages_back_to_the_newest(stripe: FakeStripe, client: StripeClient) -> None:
    stripe.seed("charges", 25)
    newest_first = stripe.ids("charges")
    page = client.v1.charges.list({"limit": 10, "ending_before": newest_first[-1]})
    assert ids(page.data) == newest_first[14:24]
    assert ids(page.auto_paging_iter()) == newest_first[:-1][::-1]


@pytest.mark.parametrize(
    ("created", "expected"),
    [
        ({"gte": NOON + 1, "lt": NOON + 3}, [2, 1]),
        ({"gt": NOON + 1, "lte": NOON + 3}, [3, 2]),
        (NOON + 2, [2]),
        ({"gte": NOON + 9}, []),
    ],
)
def test_created_filters_are_inclusive_and_exclusive_as_named(
    stripe: FakeStripe, client: StripeClient, created: object, expected: list[int]
) -> None:
    made = [stripe.add("charges", {"created": NOON + second})["id"] for second in range(5)]
    rows = client.v1.charges.list(cast("Any", {"created": created})).data
    assert ids(rows) == [made[second] for second in expected]


def test_rows_of_one_second_are_paged_without_loss(
    stripe: FakeStripe, client: StripeClient
) -> None:
    for _ in range(35):
        stripe.add("charges", {"created": NOON})
    page = client.v1.charges.list({"limit": 10, "created": {"gte": NOON, "lt": NOON + 1}})
    assert ids(page.auto_paging_iter()) == stripe.ids("charges")


def test_a_cursor_handed_to_a_narrower_window_loses_the_rest_of_its_second(
    stripe: FakeStripe, client: StripeClient
) -> None:
    for _ in range(35):
        stripe.add("charges", {"created": NOON})
    last = client.v1.charges.list({"limit": 10}).data[-1].id
    narrowed = client.v1.charges.list(
        {"starting_after": last, "created": {"gte": NOON, "lt": NOON + 1}}
    )
    assert (narrowed.data, narrowed.has_more) == ([], False)


def test_lists_filter_by_equality(stripe: FakeStripe, client: StripeClient) -> None:
    customer = stripe.add("customers")["id"]
    own = stripe.add("charges", {"customer": customer})["id"]
    stripe.seed("charges", 3)
    assert ids(client.v1.charges.list({"customer": customer}).data) == [own]


def test_canceled_subscriptions_are_listed_only_when_asked_for(
    stripe: FakeStripe, client: StripeClient
) -> None:
    active = stripe.add("subscriptions", {"status": "active"})["id"]
    canceled = stripe.add("subscriptions", {"status": "canceled"})["id"]
    assert ids(client.v1.subscriptions.list().data) == [active]
    assert ids(client.v1.subscriptions.list({"status": "all"}).data) == [canceled, active]
    assert ids(client.v1.subscriptions.list({"status": "canceled"}).data) == [canceled]


def test_events_are_filtered_by_type_wildcard_and_types(
    stripe: FakeStripe, client: StripeClient
) -> None:
    paid = stripe.add("events", {"type": "invoice.paid"})["id"]
    updated = stripe.add("events", {"type": "customer.updated"})["id"]
    assert ids(client.v1.events.list({"type": "customer.*"}).data) == [updated]
    assert ids(client.v1.events.list({"types": ["invoice.paid"]}).data) == [paid]


def test_nested_lists_and_their_first_page_in_the_parent(
    stripe: FakeStripe, client: StripeClient
) -> None:
    invoice = stripe.add("invoices")["id"]
    stripe.seed("invoice_line_items", 12, parent=invoice)
    lines = client.v1.invoices.retrieve(invoice).lines
    assert (len(lines.data), lines.has_more) == (10, True)
    assert ids(lines.auto_paging_iter()) == stripe.ids("invoice_line_items", parent=invoice)
    listed = client.v1.invoices.line_items.list(invoice, {"limit": 100})
    assert ids(listed.data) == ids(lines.auto_paging_iter())


def test_a_list_by_required_parameter(stripe: FakeStripe, client: StripeClient) -> None:
    subscription = stripe.add("subscriptions")["id"]
    item = stripe.add("subscription_items", parent=subscription)["id"]
    assert ids(client.v1.subscription_items.list({"subscription": subscription}).data) == [item]
    assert ids(client.v1.subscriptions.retrieve(subscription)["items"].data) == [item]
    assert client.v1.subscription_items.retrieve(item).subscription == subscription


def test_the_transactions_of_a_payout(stripe: FakeStripe, client: StripeClient) -> None:
    payout = stripe.add("payouts")["id"]
    inside = stripe.add("payout_balance_transactions", parent=payout)["id"]
    outside = stripe.add("balance_transactions")["id"]
    assert ids(client.v1.balance_transactions.list({"payout": payout}).data) == [inside]
    assert set(ids(client.v1.balance_transactions.list().data)) == {inside, outside}


def test_v2_lists_page_by_url(stripe: FakeStripe, client: StripeClient) -> None:
    stripe.seed("v2_core_events", 45, since=NOON, until=NOON + 86400)
    first = client.v2.core.events.list({"limit": 20})
    assert len(first.data) == 20
    assert first.next_page_url is not None
    assert first.next_page_url.startswith("/v2/core/events?page=")
    assert ids(first.auto_paging_iter()) == stripe.ids("v2_core_events")


def test_v2_filters_go_on_with_the_pages(stripe: FakeStripe, client: StripeClient) -> None:
    for minute in range(10):
        stripe.add("v2_core_events", {"created": f"2026-01-01T00:0{minute}:00.000Z"})
    expected = stripe.ids("v2_core_events")[2:7]
    page = client.v2.core.events.list(
        {"limit": 2, "created": {"gte": "2026-01-01T00:03:00Z", "lt": "2026-01-01T00:08:00Z"}}
    )
    assert ids(page.auto_paging_iter()) == expected


# --- Objects -----------------------------------------------------------------------------------


def test_retrieval_gives_the_listed_object(stripe: FakeStripe, client: StripeClient) -> None:
    made = stripe.add("charges", {"amount": 1234})
    retrieved = client.v1.charges.retrieve(made["id"])
    assert retrieved.amount == 1234
    assert retrieved.to_dict() == client.v1.charges.list().data[0].to_dict()


def test_the_key_has_an_account_and_a_balance(stripe: FakeStripe, client: StripeClient) -> None:
    assert client.v1.accounts.retrieve_current().id == stripe.account_id
    assert client.v1.balance.retrieve().object == "balance"


def test_expand_replaces_ids_by_objects(stripe: FakeStripe, client: StripeClient) -> None:
    customer = stripe.add("customers", {"email": "ada@example.com"})["id"]
    invoice = stripe.add("invoices", {"customer": customer})["id"]
    stripe.add("charges", {"customer": customer, "payment_intent": None})
    charge = client.v1.charges.list({"expand": ["data.customer"]}).data[0]
    assert isinstance(charge.customer, Customer)
    assert charge.customer.email == "ada@example.com"
    assert client.v1.charges.list().data[0].customer == customer
    expanded = client.v1.invoices.retrieve(invoice, {"expand": ["customer"]})
    assert isinstance(expanded.customer, Customer)
    assert expanded.customer.id == customer


def test_includable_fields_come_only_when_expanded(
    stripe: FakeStripe, client: StripeClient
) -> None:
    session = stripe.add("checkout_sessions")["id"]
    item = stripe.add("checkout_session_line_items", parent=session)["id"]
    assert "line_items" not in client.v1.checkout.sessions.list().data[0]
    expanded = client.v1.checkout.sessions.list({"expand": ["data.line_items"]}).data[0]
    assert expanded.line_items is not None
    assert ids(expanded.line_items.data) == [item]
    assert "tiers" not in client.v1.prices.retrieve(stripe.add("prices")["id"])


def test_secrets_are_sent_as_stripe_sends_them(stripe: FakeStripe, client: StripeClient) -> None:
    intent = stripe.add("payment_intents")["id"]
    stripe.add("issuing_cards")
    retrieved = client.v1.payment_intents.retrieve(intent)
    assert str(retrieved.client_secret).startswith(f"{intent}_secret_")
    assert "number" not in client.v1.issuing.cards.list().data[0]


def test_deleted_objects_leave_the_list_and_customers_leave_a_stub(
    stripe: FakeStripe, client: StripeClient
) -> None:
    customer = stripe.add("customers")["id"]
    product = stripe.add("products")["id"]
    stripe.delete("customers", customer)
    stripe.delete("products", product)
    assert client.v1.customers.list().data == []
    assert client.v1.customers.retrieve(customer).deleted is True
    with pytest.raises(errors.InvalidRequestError, match="No such product") as raised:
        client.v1.products.retrieve(product)
    assert (raised.value.http_status, raised.value.code) == (404, "resource_missing")


# --- Refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "code", "param"),
    [
        ({"limit": 101}, "parameter_invalid_integer", "limit"),
        ({"limit": 0}, "parameter_invalid_integer", "limit"),
        ({"starting_after": "ch_gone"}, "resource_missing", "starting_after"),
        ({"starting_after": "ch_1", "ending_before": "ch_2"}, None, "ending_before"),
        ({"foo": "bar"}, "parameter_unknown", "foo"),
        ({"created": {"since": 1}}, "parameter_unknown", "created[since]"),
        ({"created": {"gte": "soon"}}, "parameter_invalid_integer", "created[gte]"),
        ({"expand": ["data.amount"]}, None, "expand"),
        ({"expand": ["customer"]}, None, "expand"),
        ({"expand": ["data.a.b.c.d"]}, None, "expand"),
    ],
)
def test_bad_parameters_are_named(
    stripe: FakeStripe,
    client: StripeClient,
    params: dict[str, object],
    code: str | None,
    param: str,
) -> None:
    stripe.add("charges")
    with pytest.raises(errors.InvalidRequestError) as raised:
        client.v1.charges.list(cast("Any", params))
    assert (raised.value.http_status, raised.value.code, raised.value.param) == (400, code, param)
    assert raised.value.request_id


def test_a_required_parameter_is_missed(client: StripeClient) -> None:
    with pytest.raises(errors.InvalidRequestError, match="Missing required param: subscription"):
        client.v1.subscription_items.list({})  # type: ignore[typeddict-item]


def test_a_cursor_of_a_deleted_row_is_refused(stripe: FakeStripe, client: StripeClient) -> None:
    stripe.seed("charges", 3)
    gone = stripe.ids("charges")[0]
    stripe.delete("charges", gone)
    with pytest.raises(errors.InvalidRequestError, match="No such charge") as raised:
        client.v1.charges.list({"starting_after": gone})
    assert (raised.value.http_status, raised.value.param) == (400, "starting_after")


def test_a_product_that_is_not_enabled(stripe: FakeStripe, client: StripeClient) -> None:
    stripe.disable("issuing_cards", "issuing")
    stripe.disable("treasury_financial_accounts", "unrecognized")
    with pytest.raises(errors.InvalidRequestError, match="not set up to use Issuing"):
        client.v1.issuing.cards.list()
    with pytest.raises(errors.InvalidRequestError, match="Unrecognized request URL"):
        client.v1.treasury.financial_accounts.list()


def test_a_rate_limit_is_a_rate_limit_error(stripe: FakeStripe, client: StripeClient) -> None:
    stripe.rates.per_endpoint = 2
    client.v1.charges.list()
    client.v1.charges.list()
    with pytest.raises(errors.RateLimitError) as raised:
        client.v1.charges.list()
    assert raised.value.headers is not None
    assert raised.value.headers["Stripe-Rate-Limited-Reason"] == "endpoint-rate"
    client.v1.customers.list()


# --- Trouble -----------------------------------------------------------------------------------


def test_server_errors_are_retried_by_the_client(stripe: FakeStripe) -> None:
    stripe.fault("/v1/charges", times=1, status=500)
    assert client_of(stripe, retries=1).v1.charges.list().data == []
    assert [request.status for request in stripe.requests] == [500, 200]


def test_stripe_says_when_not_to_retry(stripe: FakeStripe) -> None:
    stripe.fault("/v1/charges", times=1, status=503, should_retry=False)
    with pytest.raises(errors.APIError, match="An unknown error occurred"):
        client_of(stripe, retries=3).v1.charges.list()
    assert len(stripe.requests) == 1


@pytest.mark.parametrize("kind", ["reset", "drop"])
def test_cut_connections_are_connection_errors(
    stripe: FakeStripe, client: StripeClient, kind: FaultKind
) -> None:
    stripe.seed("charges", 10)
    stripe.fault("/v1/charges", kind, after=1)
    assert len(client.v1.charges.list().data) == 10
    with pytest.raises(errors.APIConnectionError):
        client.v1.charges.list()
    assert len(client.v1.charges.list().data) == 10


@pytest.mark.parametrize("kind", ["truncated", "not_json"])
def test_broken_bodies_are_api_errors(
    stripe: FakeStripe, client: StripeClient, kind: FaultKind
) -> None:
    stripe.fault("/v1/*", kind)
    with pytest.raises(errors.APIError, match="Invalid response body"):
        client.v1.charges.list()


def test_a_lock_timeout_is_a_rate_limit_error(stripe: FakeStripe, client: StripeClient) -> None:
    stripe.fault("/v1/charges", "lock_timeout")
    with pytest.raises(errors.RateLimitError) as raised:
        client.v1.charges.list()
    assert raised.value.error is not None
    assert raised.value.error.code == "lock_timeout"
    assert "Stripe-Rate-Limited-Reason" not in (raised.value.headers or {})


def test_v2_refusals_have_the_v2_shape(stripe: FakeStripe, client: StripeClient) -> None:
    with pytest.raises(errors.InvalidRequestError) as raised:
        client.v2.core.events.list({"limit": 1000})
    assert raised.value.http_status == 400
    assert raised.value.param == "limit"
    stripe.fault("/v2/core/events", "rate_limit")
    with pytest.raises(errors.RateLimitError):
        client.v2.core.events.list()
