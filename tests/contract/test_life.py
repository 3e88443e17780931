"""What happens in an account of the fake server is told by events, with all of Stripe's habits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests
from stripe import _error as errors

from tests.contract.official import client_of, ids
from tests.fake_stripe import FakeStripe
from tests.fake_stripe.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stripe import StripeClient

    from tests.fake_stripe.life import Life

NOON = 1_700_000_000
DAY = 86_400


@pytest.fixture
def stripe() -> Iterator[FakeStripe]:
    """An empty account on 14 November 2023, whose clock stands still."""
    with FakeStripe(now=Clock(NOON)) as server:
        yield server


@pytest.fixture
def life(stripe: FakeStripe) -> Life:
    return stripe.life


@pytest.fixture
def client(stripe: FakeStripe) -> StripeClient:
    return client_of(stripe)


def types(life: Life) -> list[str]:
    """Of the events so far, oldest first."""
    return [event["type"] for event in reversed(life.events())]


# --- What is told ------------------------------------------------------------------------------


def test_a_customers_life_is_told(stripe: FakeStripe, life: Life, client: StripeClient) -> None:
    customer = life.create("customers", email="ada@example.com")["id"]
    stripe.clock.advance(minutes=1)
    life.change("customers", customer, email="grace@example.com")
    stripe.clock.advance(minutes=1)
    life.delete("customers", customer)
    deleted, updated, created = client.v1.events.list().auto_paging_iter()
    assert [event.type for event in (created, updated, deleted)] == [
        "customer.created",
        "customer.updated",
        "customer.deleted",
    ]
    assert [event.created - NOON for event in (created, updated, deleted)] == [0, 60, 120]
    assert updated.data.to_dict()["previous_attributes"] == {"email": "ada@example.com"}
    assert {event.data.object["id"] for event in (created, updated, deleted)} == {customer}
    assert deleted.data.object["email"] == "grace@example.com"
    assert client.v1.events.retrieve(created.id).to_dict() == created.to_dict()


def test_what_a_test_puts_there_is_not_told(stripe: FakeStripe, life: Life) -> None:
    charge = stripe.add("charges")["id"]
    stripe.update("charges", charge, {"paid": False})
    stripe.delete("charges", charge)
    stripe.seed("customers", 3)
    assert life.events() == []


@pytest.mark.parametrize(
    ("stream", "made", "changes", "told"),
    [
        ("charges", {"status": "failed"}, {}, ["charge.failed"]),
        (
            "charges",
            {"status": "succeeded", "captured": False},
            {"captured": True},
            ["charge.succeeded", "charge.captured"],
        ),
        (
            "charges",
            {"status": "pending"},
            {"description": "pens"},
            ["charge.pending", "charge.updated"],
        ),
        (
            "invoices",
            {"status": "open"},
            {"status": "paid"},
            ["invoice.created", "invoice.paid", "invoice.payment_succeeded", "invoice.updated"],
        ),
        (
            "payment_intents",
            {"status": "processing"},
            {"metadata": {"a": "b"}},
            ["payment_intent.created"],
        ),
        (
            "payment_intents",
            {"status": "processing"},
            {"status": "succeeded"},
            ["payment_intent.created", "payment_intent.succeeded"],
        ),
        ("checkout_sessions", {"status": "open"}, {"status": "complete"}, ["completed"]),
        (
            "disputes",
            {"status": "under_review"},
            {"status": "won"},
            ["charge.dispute.created", "charge.dispute.closed"],
        ),
        (
            "refunds",
            {"status": "pending", "charge": None},
            {"status": "failed"},
            ["refund.created", "refund.failed", "refund.updated", "charge.refund.updated"],
        ),
        ("quotes", {"status": "draft"}, {"status": "open"}, ["quote.created", "quote.finalized"]),
        ("quotes", {}, {"metadata": {"a": "b"}}, ["quote.created"]),
        ("reviews", {"open": True}, {"open": False}, ["review.opened", "review.closed"]),
        ("tax_ids", {}, {}, []),
        ("balance_transactions", {}, {"status": "available"}, []),
        ("payment_methods", {"customer": None}, {}, []),
    ],
)
def test_each_change_has_its_types(
    life: Life, stream: str, made: dict[str, Any], changes: dict[str, Any], told: list[str]
) -> None:
    identifier = life.create(stream, made)["id"]
    if changes:
        life.change(stream, identifier, changes)
    full = [f"checkout.session.{kind}" if "." not in kind else kind for kind in told]
    assert types(life) == full


@pytest.mark.parametrize(
    ("parent", "child", "prefix"),
    [
        ("customers", "customer_tax_ids", "customer.tax_id"),
        ("customers", "customer_sources", "customer.source"),
        ("accounts", "account_persons", "person"),
        ("accounts", "account_external_accounts", "account.external_account"),
    ],
)
def test_events_of_a_child_name_its_parent(
    stripe: FakeStripe, life: Life, parent: str, child: str, prefix: str
) -> None:
    above = stripe.add(parent)["id"]
    made = life.create(child, parent=above)["id"]
    life.change(child, made, metadata={"a": "b"})
    life.delete(child, made)
    assert types(life) == [f"{prefix}.created", f"{prefix}.updated", f"{prefix}.deleted"]
    assert {
        event["data"]["object"][stripe.catalogue.resources[child].parent.column]  # type: ignore[union-attr]
        for event in life.events()
    } == {above}
    assert stripe.ids(child, parent=above) == []


def test_items_of_a_subscription_are_told_by_it(stripe: FakeStripe, life: Life) -> None:
    sub = life.create("subscriptions", items={"data": [{"quantity": 1}]})
    assert [item["quantity"] for item in sub["items"]["data"]] == [1]
    item = life.create("subscription_items", parent=sub["id"], quantity=2)["id"]
    life.change("subscription_items", item, quantity=3)
    life.delete("subscription_items", item)
    told = life.events()[::-1]
    assert [event["type"] for event in told] == [
        "customer.subscription.created",
        *["customer.subscription.updated"] * 3,
    ]
    before = [event["data"]["previous_attributes"]["items"]["data"] for event in told[1:]]
    assert [[item["quantity"] for item in items] for items in before] == [[1], [2, 1], [3, 1]]
    assert stripe.rows("subscription_items", parent=sub["id"])[0].object["quantity"] == 1


def test_a_line_that_leaves_a_draft_is_told_by_its_invoice(stripe: FakeStripe, life: Life) -> None:
    invoice = life.create("invoices", status="draft", lines={"data": [{}] * 12})["id"]
    removed = stripe.ids("invoice_line_items", parent=invoice)[0]
    life.delete("invoice_line_items", removed)
    event = life.events()[0]
    assert event["type"] == "invoice.updated"
    lines, before = event["data"]["object"]["lines"], event["data"]["previous_attributes"]["lines"]
    assert (len(lines["data"]), lines["has_more"]) == (10, True)
    assert before["data"][0]["id"] == removed


def test_a_reversal_is_told_by_its_transfer(life: Life) -> None:
    transfer = life.create("transfers", amount=500, amount_reversed=0)["id"]
    life.create("transfer_reversals", parent=transfer, amount=200)
    event = life.events()[0]
    assert event["type"] == "transfer.reversed"
    assert event["data"]["object"]["amount_reversed"] == 200
    assert event["data"]["previous_attributes"]["amount_reversed"] == 0
    assert event["data"]["previous_attributes"]["reversals"]["data"] == []


def test_a_refund_changes_its_charge(life: Life) -> None:
    charge = life.create("charges", status="succeeded", amount=500, amount_refunded=0)["id"]
    life.create("refunds", charge=charge, amount=200)
    assert types(life) == ["charge.succeeded", "refund.created", "charge.refunded"]
    assert life.events()[0]["data"]["previous_attributes"] == {"amount_refunded": 0}


def test_a_canceled_subscription_stays(
    stripe: FakeStripe, life: Life, client: StripeClient
) -> None:
    sub = life.create("subscriptions", status="active")["id"]
    life.cancel(sub)
    assert types(life)[-1] == "customer.subscription.deleted"
    assert client.v1.subscriptions.retrieve(sub).status == "canceled"
    assert ids(client.v1.subscriptions.list({"status": "all"}).data) == [sub]
    assert client.v1.subscriptions.list().data == []
    assert [row.listed for row in stripe.truth("subscriptions")] == [True]
    with pytest.raises(ValueError, match="canceled or detached"):
        life.delete("subscriptions", sub)


def test_a_detached_payment_method_is_in_no_list(
    stripe: FakeStripe, life: Life, client: StripeClient
) -> None:
    customer = life.create("customers")["id"]
    method = life.create("customer_payment_methods", parent=customer)["id"]
    assert ids(client.v1.customers.payment_methods.list(customer).data) == [method]
    life.detach(method)
    told = life.events()[0]
    assert told["type"] == "payment_method.detached"
    assert told["data"]["previous_attributes"]["customer"] == customer
    assert client.v1.payment_methods.list().data == []
    assert client.v1.customers.payment_methods.list(customer).data == []
    assert client.v1.payment_methods.retrieve(method).customer is None
    assert [row.listed for row in stripe.truth("payment_methods")] == [False]


def test_a_deleted_customer_takes_much_along(
    stripe: FakeStripe, life: Life, client: StripeClient
) -> None:
    customer = life.create("customers")["id"]
    sub = life.create("subscriptions", customer=customer, status="active")["id"]
    life.create("payment_methods", customer=customer)
    tax_id = life.create("customer_tax_ids", parent=customer)["id"]
    assert client.v1.tax_ids.retrieve(tax_id).id == tax_id
    life.delete("customers", customer)
    assert types(life)[-3:] == [
        "customer.subscription.deleted",
        "payment_method.detached",
        "customer.deleted",
    ]
    assert client.v1.customers.retrieve(customer).deleted is True
    assert client.v1.subscriptions.retrieve(sub).status == "canceled"
    assert stripe.truth("customer_tax_ids") == stripe.truth("customers") == []
    with pytest.raises(errors.InvalidRequestError, match="No such customer"):
        client.v1.customers.tax_ids.retrieve(customer, tax_id)


def test_a_coupons_id_is_used_again(life: Life, client: StripeClient) -> None:
    for percent in (10, 20):
        life.create("coupons", id="SALE", percent_off=percent)
        assert client.v1.coupons.retrieve("SALE").percent_off == percent
        life.delete("coupons", "SALE")
        with pytest.raises(errors.InvalidRequestError, match="No such coupon: 'SALE'"):
            client.v1.coupons.retrieve("SALE")


def test_which_deletions_leave_a_stub_may_be_chosen(
    stripe: FakeStripe, life: Life, client: StripeClient
) -> None:
    stripe.stubs.add("products")
    product = life.create("products")["id"]
    life.delete("products", product)
    assert client.v1.products.retrieve(product).to_dict() == {
        "id": product,
        "object": "product",
        "deleted": True,
    }


def test_hidden_objects_are_told_and_retrieved_but_not_listed(
    stripe: FakeStripe, life: Life, client: StripeClient
) -> None:
    inline = life.create("prices", listed=False)["id"]
    clocked = life.create("customers", test_clock="clock_1")["id"]
    life.create("customer_tax_ids", parent=clocked)
    assert types(life) == ["price.created", "customer.created", "customer.tax_id.created"]
    assert client.v1.prices.list().data == client.v1.customers.list().data == []
    assert client.v1.prices.retrieve(inline).id == inline
    assert client.v1.customers.retrieve(clocked).id == clocked
    for stream in ("prices", "customers", "customer_tax_ids"):
        assert [row.listed for row in stripe.truth(stream)] == [False]


def test_a_product_knows_when_it_was_changed(stripe: FakeStripe, life: Life) -> None:
    product = life.create("products", updated=NOON)["id"]
    stripe.clock.advance(hours=1)
    assert life.change("products", product, name="Pen")["updated"] == NOON + 3600


def test_events_of_a_silent_stream_never_come(life: Life) -> None:
    life.silent |= {"accounts", "subscription_items"}
    account = life.create("accounts")["id"]
    life.change("accounts", account, metadata={"a": "b"})
    sub = life.create("subscriptions")["id"]
    life.create("subscription_items", parent=sub)
    assert types(life) == ["customer.subscription.created"]


def test_a_connected_account_has_a_life_of_its_own(stripe: FakeStripe) -> None:
    account = stripe.add_account()
    charge = stripe.life_of(account).create("charges", status="succeeded")["id"]
    assert stripe.life.events() == []
    events = client_of(stripe).v1.events.list(options={"stripe_account": account}).data
    assert [event.data.object["id"] for event in events] == [charge]


def test_api_v2_names_its_objects_in_events_of_its_own(
    stripe: FakeStripe, client: StripeClient
) -> None:
    account = stripe.life.create("v2_core_accounts")["id"]
    person = stripe.life.create("v2_core_account_persons", parent=account)["id"]
    stripe.life.change("v2_core_accounts", account, closed=True)
    told = [event.to_dict() for event in client.v2.core.events.list().data]
    assert [event["type"] for event in told] == [
        "v2.core.account.closed",
        "v2.core.account_person.created",
        "v2.core.account.created",
    ]
    assert told[1]["related_object"] == {
        "id": person,
        "type": "v2.core.account_person",
        "url": f"/v2/core/accounts/{account}/persons/{person}",
    }
    stripe.clock.advance(days=30)
    assert client.v2.core.events.list().data == []


# --- How it is told ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "stream",
    ["charges", "customers", "invoices", "products", "subscriptions", "payouts", "coupons"],
)
def test_an_event_never_shows_its_object_as_it_is_retrieved(
    stripe: FakeStripe, life: Life, stream: str
) -> None:
    identifier = life.create(stream)["id"]
    event = life.events()[0]
    assert event["api_version"] == "2019-12-03"
    then, now = event["data"]["object"], stripe.retrieve(stream, identifier)
    assert then.keys() - now.keys()
    assert now.keys() - then.keys()
    for field in ("id", "object", "created", "livemode"):
        assert then[field] == now[field]


def test_what_was_an_object_then_is_an_id_now(stripe: FakeStripe, life: Life) -> None:
    charge = life.create("charges", balance_transaction="txn_1")["id"]
    then = life.events()[0]["data"]["object"]
    assert then["balance_transaction"] == {"id": "txn_1", "object": "balance_transaction"}
    assert stripe.retrieve("charges", charge)["balance_transaction"] == "txn_1"


def test_an_account_that_is_up_to_date_has_events_that_are(stripe: FakeStripe, life: Life) -> None:
    life.api_version = stripe.catalogue.api_version
    charge = life.create("charges")
    assert life.events()[0]["data"]["object"] == charge


def test_what_was_before_an_update_has_the_names_of_then(life: Life) -> None:
    customer = life.create("customers", balance=0, address={"city": "Berlin", "line1": "1"})["id"]
    life.change("customers", customer, balance=500, address={"city": "Lisbon", "line1": "1"})
    assert life.events()[0]["data"]["previous_attributes"] == {
        "account_balance": 0,
        "address": {"city": "Berlin"},
    }


def test_events_of_one_second_are_in_order_and_their_ids_are_not(
    life: Life, client: StripeClient
) -> None:
    made = [life.create("customers")["id"] for _ in range(12)]
    events = list(client.v1.events.list({"limit": 5}).auto_paging_iter())
    assert [event.data.object["id"] for event in events] == made[::-1]
    assert {event.created for event in events} == {NOON}
    assert ids(events) not in (sorted(ids(events)), sorted(ids(events), reverse=True))


def test_events_are_listed_for_30_days(
    stripe: FakeStripe, life: Life, client: StripeClient
) -> None:
    for _ in range(2):
        life.create("customers")
    stripe.clock.advance(days=29)
    life.create("customers")
    new, *old = ids(client.v1.events.list().data)
    stripe.clock.advance(days=1, seconds=-1)
    assert len(client.v1.events.list().data) == 3
    stripe.clock.advance(seconds=1)
    assert ids(client.v1.events.list().data) == [new]
    with pytest.raises(errors.InvalidRequestError, match="aged out of our retention") as raised:
        client.v1.events.list({"starting_after": old[0]})
    assert (raised.value.http_status, raised.value.param) == (400, "starting_after")
    with pytest.raises(errors.InvalidRequestError, match="No such event") as raised:
        client.v1.events.retrieve(old[0])
    assert raised.value.http_status == 404


def test_what_happened_40_days_ago_is_not_told(life: Life, client: StripeClient) -> None:
    customer = life.create("customers", at=NOON - 40 * DAY)["id"]
    assert client.v1.events.list().data == []
    assert client.v1.customers.retrieve(customer).created == NOON - 40 * DAY


def test_an_event_may_be_late(stripe: FakeStripe, life: Life, client: StripeClient) -> None:
    life.late = 20
    late = life.create("customers")["id"]
    life.late = lambda event: 7 * ("charge" in event["type"])
    stripe.clock.advance(seconds=5)
    life.create("charges", status="succeeded")
    life.create("coupons")
    listed = []
    for _ in range(4):
        listed.append([event.type for event in client.v1.events.list().data])
        stripe.clock.advance(seconds=5)
    assert listed == [
        ["coupon.created"],
        ["coupon.created"],
        ["charge.succeeded", "coupon.created"],
        ["charge.succeeded", "coupon.created", "customer.created"],
    ]
    assert life.events()[-1]["data"]["object"]["id"] == late
    assert life.events()[-1]["created"] == NOON


def test_some_events_are_of_no_use(life: Life, client: StripeClient) -> None:
    sub = life.create("subscriptions", customer="cus_1")["id"]
    life.upcoming(sub)
    life.tell("mandate.updated", {"id": "mandate_1", "object": "mandate"})
    life.tell("something.new", {"object": "something"})
    new, mandate, upcoming, _ = client.v1.events.list().data
    new_type: str = new.type
    assert (upcoming.type, upcoming.data.object["customer"]) == ("invoice.upcoming", "cus_1")
    assert "id" not in upcoming.data.object
    assert mandate.data.object["id"] == "mandate_1"
    assert new_type == "something.new"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("type=customer.created", ["customer.created"]),
        ("type=customer.*", ["customer.tax_id.created", "customer.created"]),
        ("types[]=charge.failed&types[]=customer.created", ["charge.failed", "customer.created"]),
        ("types[]=coupon.created", []),
        ("delivery_success=false", ["charge.failed"]),
        (
            "delivery_success=true&type=customer.*",
            ["customer.tax_id.created", "customer.created"],
        ),
        (f"created[gte]={NOON + 1}", ["charge.failed"]),
        (f"created[lt]={NOON + 1}", ["customer.tax_id.created", "customer.created"]),
    ],
)
def test_events_are_asked_for_by_type_time_and_delivery(
    stripe: FakeStripe, life: Life, get: Callable[[str], Any], query: str, expected: list[str]
) -> None:
    customer = life.create("customers")["id"]
    life.create("customer_tax_ids", parent=customer)
    stripe.clock.advance(seconds=1)
    life.create("charges", status="failed")
    stripe.update("events", life.events()[0]["id"], {"pending_webhooks": 1})
    assert [event["type"] for event in get(f"/v1/events?{query}")["data"]] == expected


def test_at_most_20_types_are_asked_for_and_not_with_a_type(get: Callable[[str], Any]) -> None:
    types = "&".join(f"types[]=a.{number}" for number in range(20))
    assert get(f"/v1/events?{types}")["data"] == []
    assert get(f"/v1/events?{types}&types[]=b")["error"]["param"] == "types"
    assert get(f"/v1/events?{types}&type=b")["error"]["param"] == "types"


@pytest.fixture
def get(stripe: FakeStripe) -> Callable[[str], Any]:
    """GET a path: the JSON of the answer."""
    return lambda path: requests.get(
        stripe.url + path, auth=(stripe.secret_key, ""), timeout=9
    ).json()


# --- The clock ---------------------------------------------------------------------------------


def test_the_clock_is_put_forward_and_answers_tell(stripe: FakeStripe) -> None:
    stripe.clock.advance(days=40, hours=1, minutes=2, seconds=3)
    answer = requests.get(f"{stripe.url}/v1/charges", timeout=9)
    assert answer.headers["Date"] == "Sun, 24 Dec 2023 23:15:23 GMT"


def test_any_clock_can_be_put_forward_and_stopped() -> None:
    stripe = FakeStripe(now=lambda: NOON)
    assert stripe.clock.advance(minutes=1) == stripe.now() == NOON + 60
    stripe.clock.stand_still()
    stripe.clock.advance(days=1)
    assert stripe.now() == NOON + 60 + DAY
    stripe.clock.stand_still(NOON)
    assert stripe.now() == NOON
