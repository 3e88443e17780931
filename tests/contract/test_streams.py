"""What a sync writes, for a server whose content is known."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from jsonschema import Draft202012Validator

from tests.contract.conftest import catalog_of

if TYPE_CHECKING:
    from tests.contract.conftest import TapCommand
    from tests.fake_stripe import FakeStripe

JANUARY, FEBRUARY, MARCH = 1_704_067_200, 1_706_745_600, 1_709_251_200  # of 2024, UTC


def test_discovery_without_a_config_lists_every_stream(tap: TapCommand) -> None:
    run = tap.run("--discover")
    assert run.code == 0
    assert run.stdout.count('"tap_stream_id"') == 136


def test_every_stream_of_the_catalogue_gives_its_rows(tap: TapCommand, stripe: FakeStripe) -> None:
    resources = stripe.catalogue.resources
    for name, resource in resources.items():
        if not resource.singleton:
            stripe.seed(name, 2)
    run = tap()
    assert run.code == 0
    assert sorted(run.schemas) == sorted(resources)
    lists = [name for name, resource in resources.items() if not resource.singleton]
    assert {name: sorted(run.ids(name)) for name in lists} == {
        name: sorted(stripe.ids(name)) for name in lists
    }


def test_every_row_fits_the_schema_that_went_before_it(tap: TapCommand, stripe: FakeStripe) -> None:
    for name, resource in stripe.catalogue.resources.items():
        if not resource.singleton:
            stripe.seed(name, 1)
    validators: dict[str, Draft202012Validator] = {}
    for message in tap().messages:
        if message["type"] == "SCHEMA":
            assert message["stream"] not in validators
            validators[message["stream"]] = Draft202012Validator(message["schema"])
        elif message["type"] == "RECORD":
            validators[message["stream"]].validate(message["record"])
    assert len(validators) == 136


def test_a_list_of_many_pages_is_read_whole_and_once(tap: TapCommand, stripe: FakeStripe) -> None:
    stripe.seed("charges", 1_234)
    run = tap(select=["charges"])
    assert sorted(run.ids("charges")) == sorted(stripe.ids("charges"))
    # How many walks share the list is a matter of timing. Each has a window of its own, and all of
    # its pages but the last are full of rows that no other gets.
    walks = Counter(page.params.get("created[lt]") for page in stripe.list_pages("charges"))
    assert walks.total() <= 1_234 // 100 + len(walks)
    # Few of them find no more than a page: no more than the root of the pages, and one.
    assert list(walks.values()).count(1) <= 4


def test_many_rows_of_one_second_are_read_whole_and_once(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    stripe.seed("charges", 350, since=JANUARY, until=JANUARY + 1)
    assert sorted(tap(select=["charges"]).ids("charges")) == sorted(stripe.ids("charges"))


def test_embedded_lists_cost_no_request_and_longer_ones_are_completed(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    short = stripe.add("invoices")["id"]
    long = stripe.add("invoices")["id"]
    stripe.seed("invoice_line_items", 10, parent=short)
    stripe.seed("invoice_line_items", 11, parent=long)
    run = tap(select=["invoices", "invoice_line_items"])
    assert sorted(run.ids("invoice_line_items")) == sorted(stripe.ids("invoice_line_items"))
    lists = [page.path for page in stripe.list_pages()]
    assert lists == ["/v1/invoices", f"/v1/invoices/{long}/lines"]


def test_lists_that_only_come_expanded_are_expanded_for_their_children_alone(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    customer = stripe.add("customers")["id"]
    stripe.seed("customer_tax_ids", 3, parent=customer)
    with_children = tap(select=["customers", "customer_tax_ids"])
    assert len(with_children.rows("customer_tax_ids")) == 3
    assert [page.path for page in stripe.list_pages()] == ["/v1/customers"]
    alone = tap(select=["customers"])
    assert alone.rows("customers") == with_children.rows("customers")


def test_a_parents_rows_stay_the_same_when_a_child_fails_midway(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    customers = stripe.seed("customers", 150)
    for customer in customers:
        stripe.add("customer_tax_ids", parent=customer)
    stripe.seed("customer_tax_ids", 11, parent=customers[-1])
    body = json.dumps({"error": {"type": "invalid_request_error", "message": "No."}}).encode()
    stripe.fault(f"/v1/customers/{customers[-1]}/tax_ids", status=400, body=body)
    run = tap(select=["customers", "customer_tax_ids"])
    assert run.code == 3
    assert run.rows("customers") == tap(select=["customers"]).rows("customers")


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "This property cannot be expanded (tax)."),
        (403, "The provided key does not have the required permissions for this endpoint."),
    ],
)
def test_a_field_that_may_not_be_expanded_does_not_close_the_list(
    tap: TapCommand, stripe: FakeStripe, status: int, message: str
) -> None:
    customers = stripe.seed("customers", 3)
    body = json.dumps({"error": {"type": "invalid_request_error", "message": message}}).encode()
    stripe.fault("/v1/customers", status=status, body=body)
    run = tap(select=["customers"])
    assert run.code == 0
    assert sorted(run.ids("customers")) == sorted(customers)
    assert "customers is read without expanded fields: " in run.stderr


def test_a_child_is_read_without_its_parent_selected(tap: TapCommand, stripe: FakeStripe) -> None:
    product = stripe.add("products")["id"]
    stripe.seed("product_features", 2, parent=product)
    run = tap(select=["product_features"])
    assert run.schemas == ["product_features"]
    assert {row["product"] for row in run.rows("product_features")} == {product}
    assert len(run.rows("product_features")) == 2


def test_only_automatic_payouts_are_asked_for_what_they_paid_out(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    automatic = stripe.add("payouts", {"automatic": True})["id"]
    stripe.add("payouts", {"automatic": False})
    stripe.add("payout_balance_transactions", parent=automatic)
    run = tap(select=["payout_balance_transactions"])
    assert [row["payout"] for row in run.rows("payout_balance_transactions")] == [automatic]
    asked = stripe.list_pages("payout_balance_transactions")
    assert [page.params["payout"] for page in asked] == [automatic]


def test_canceled_subscriptions_are_not_missing(tap: TapCommand, stripe: FakeStripe) -> None:
    canceled = stripe.add("subscriptions", {"status": "canceled"})["id"]
    assert tap(select=["subscriptions"]).ids("subscriptions") == [canceled]


def test_secrets_stay_with_stripe(tap: TapCommand, stripe: FakeStripe) -> None:
    secret = "seti_1_" + "secret" + "_planted"
    stripe.add("payment_intents", {"client_secret": secret})
    stripe.add("checkout_sessions", {"client_secret": secret})
    stripe.add(
        "events", {"data": {"object": {"object": "payment_intent", "client_secret": secret}}}
    )
    stripe.add(
        "payment_intents", {"last_payment_error": {"setup_intent": {"client_secret": secret}}}
    )
    run = tap(select=["payment_intents", "checkout_sessions", "events"])
    assert len(run.rows("payment_intents")) == 2
    assert run.rows("events")[0]["data"]["object"] == {"object": "payment_intent"}
    assert "planted" not in run.stdout + run.stderr


def test_times_are_date_times_at_the_top_and_stripes_own_below(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    stripe.add("invoices", {"created": JANUARY, "status_transitions": {"paid_at": FEBRUARY}})
    (row,) = tap(select=["invoices"]).rows("invoices")
    assert row["created"] == row["_updated_at"] == "2024-01-01T00:00:00Z"
    assert row["status_transitions"]["paid_at"] == FEBRUARY


def test_a_field_that_the_schema_lacks_is_left_out_and_named(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    stripe.add("coupons", {"brand_new": 1})
    run = tap(select=["coupons"])
    assert "brand_new" not in run.rows("coupons")[0]
    assert (
        "Fields that this version does not know were left out: coupons.brand_new (1 rows)"
        in run.stderr
    )


def test_deselected_columns_do_not_leave(tap: TapCommand, stripe: FakeStripe) -> None:
    stripe.add(
        "customers", {"email": "ada@example.com", "address": {"city": "London", "line1": "1 St"}}
    )
    run = tap(catalog=catalog_of(["customers"], deselect=["email", "address.city"]))
    (row,) = run.rows("customers")
    assert "email" not in row
    assert "city" not in row["address"]
    assert "line1" in row["address"]
    (schema,) = [message for message in run.messages if message["type"] == "SCHEMA"]
    assert "email" not in schema["schema"]["properties"]


def test_a_deselected_parent_column_does_not_leave(tap: TapCommand, stripe: FakeStripe) -> None:
    stripe.seed("subscription_items", 1, parent=stripe.add("subscriptions")["id"])
    run = tap(catalog=catalog_of(["subscription_items"], deselect=["subscription"]))
    assert run.rows("subscription_items")[0].keys() >= {"id", "quantity"}
    assert "subscription" not in run.rows("subscription_items")[0]


def test_flattening_loses_no_value(tap: TapCommand, stripe: FakeStripe) -> None:
    metadata = {"order": "6735"}
    stripe.add("customers", {"metadata": metadata, "address": {"city": "London"}})
    run = tap(select=["customers"], flattening_enabled=True, flattening_max_depth=2)
    (row,) = run.rows("customers")
    assert row["address__city"] == "London"
    assert json.loads(row["metadata"]) == metadata
    (schema,) = [message["schema"] for message in run.messages if message["type"] == "SCHEMA"]
    assert {"metadata", "address__city"} <= schema["properties"].keys()


def test_dates_limit_what_is_read_start_included_and_end_not(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    names = ["charges", "payment_methods", "invoice_items", "v2_core_events", "payment_records"]
    wanted: dict[str, set[str]] = {}
    for name in names:
        for when in (JANUARY, FEBRUARY - 1, FEBRUARY, MARCH - 1, MARCH):
            added = stripe.add(name, created=when)["id"]
            if FEBRUARY <= when < MARCH:
                wanted.setdefault(name, set()).add(added)
    run = tap(select=names, start_date="2024-02-01", end_date="2024-03-01T01:00:00+01:00")
    assert {name: set(run.ids(name)) for name in names} == wanted


def test_children_are_in_time_by_their_own_creation_or_their_parents(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    old = stripe.add("customers", created=JANUARY)["id"]
    new_child = stripe.add("customer_balance_transactions", parent=old, created=MARCH)["id"]
    stripe.add("customer_balance_transactions", parent=old, created=JANUARY)
    stripe.seed("invoice_line_items", 1, parent=stripe.add("invoices", created=JANUARY)["id"])
    stripe.seed("invoice_line_items", 1, parent=stripe.add("invoices", created=MARCH)["id"])
    run = tap(
        select=["customers", "customer_balance_transactions", "invoice_line_items"],
        start_date="2024-02-01",
    )
    assert run.ids("customers") == []
    assert run.ids("customer_balance_transactions") == [new_child]
    assert len(run.rows("invoice_line_items")) == 1


def test_an_object_of_another_kind_is_an_error_and_not_a_row(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    stripe.add("invoices", {"object": "invoice", "id": "in_1"})
    stripe.update("invoices", "in_1", {"object": "charge"})
    stripe.seed("coupons", 1)
    run = tap(select=["coupons", "invoices"])
    assert run.code == 3
    assert run.rows("invoices") == []
    assert "an object of kind 'charge' (in_1) in the list of invoices" in run.last_line


def test_rows_deleted_while_they_are_read_cost_no_other_row(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    charges = stripe.seed("charges", 250)
    newest_first = charges[::-1]
    methods = stripe.seed("payment_methods", 250)[::-1]
    deletions = {
        "/v1/charges": ("charges", newest_first[99]),
        "/v1/payment_methods": ("payment_methods", methods[99]),
    }

    def delete_cursors(request: object) -> None:
        path = getattr(request, "path", "")
        if path in deletions and "starting_after" in getattr(request, "params", {}):
            stripe.delete(*deletions.pop(path))

    stripe.before_request = delete_cursors
    run = tap(select=["charges", "payment_methods"])
    assert deletions == {}
    assert run.code == 0
    assert sorted(run.ids("charges")) == sorted(charges)
    assert sorted(run.ids("payment_methods")) == sorted(methods)


def test_trouble_on_the_way_costs_no_row(tap: TapCommand, stripe: FakeStripe) -> None:
    stripe.seed("charges", 1_000)
    for after, kind in enumerate(("reset", "truncated", "not_json", "rate_limit", "drop")):
        stripe.fault("/v1/charges", kind, after=2 * after)  # type: ignore[arg-type]
    run = tap(select=["charges"])
    assert run.code == 0
    assert sorted(run.ids("charges")) == sorted(stripe.ids("charges"))
