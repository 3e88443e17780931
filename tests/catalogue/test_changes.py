from __future__ import annotations

import re
from typing import TYPE_CHECKING, get_args

import pytest

from tap_stripe_conn.catalogue.resources import Changes
from tests.catalogue.conftest import ROOT
from tools.catalogue.endpoints import endpoints

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_stripe_conn.catalogue.resources import Catalogue, Resource
    from tools.catalogue.sdk import Sdk

FEEDS = {"feed", "feed_and_window", "feed_and_all"}
TIMED = {"feed_and_window", "append_only", "window"}


def of(catalogue: Catalogue, *classes: str) -> Iterator[Resource]:
    return (each for each in catalogue.resources.values() if each.changes in classes)


def test_every_way_to_catch_changes_is_some_streams(catalogue: Catalogue) -> None:
    used = {resource.changes for resource in catalogue.resources.values()}
    assert used == set(get_args(Changes))


def test_what_events_tell_of_can_be_read_again_by_its_id(catalogue: Catalogue) -> None:
    for resource in of(catalogue, *FEEDS):
        assert resource.event_types, resource.name
        assert resource.retrieve, resource.name
        assert resource.api_mode == "v1"


def test_a_row_is_retrieved_by_the_path_of_its_list_and_its_id(
    sdk: Sdk, catalogue: Catalogue
) -> None:
    found = endpoints(sdk)
    for resource in catalogue.resources.values():
        if resource.retrieve:
            assert re.fullmatch(re.escape(resource.path) + r"/\{\w+\}", resource.retrieve)
            row = found[resource.retrieve]
            assert not row.is_list
            assert row.required_parameters == []
            assert {cls.object_name for cls in row.classes} == set(resource.objects)


def test_only_rows_that_lack_their_parents_id_or_an_endpoint_can_not_be_retrieved(
    catalogue: Catalogue,
) -> None:
    at_the_top = {r.name for r in catalogue.resources.values() if not r.retrieve and not r.parent}
    assert at_the_top == {"account", "balance", "balance_settings", "tax_settings"}
    by_query = {
        resource.name
        for resource in catalogue.resources.values()
        if resource.parent and resource.parent.location == "query" and not resource.retrieve
    }
    assert by_query == {
        "entitlements_active_entitlements",
        "payout_balance_transactions",
        "setup_attempts",
    }


def test_only_lists_that_can_be_asked_by_time_are_read_by_time(catalogue: Catalogue) -> None:
    for resource in of(catalogue, *TIMED):
        assert resource.listed_by_time, resource.name
        assert resource.parent is None


def test_streams_without_events_of_their_own_do_not_rely_on_any(catalogue: Catalogue) -> None:
    for resource in of(catalogue, "append_only", "window"):
        assert not resource.event_types or resource.api_mode == "v2", resource.name
    for resource in of(catalogue, "append_only", "window", "snapshot", "parent", "parent_and_all"):
        assert not resource.told_of_creation, resource.name


def test_a_new_row_that_no_event_tells_of_is_listed(catalogue: Catalogue) -> None:
    for resource in of(catalogue, "feed", "feed_and_window"):
        assert resource.told_of_creation or resource.listed_by_time, resource.name


def test_a_child_is_read_with_its_parent_only_where_changes_of_the_parent_are_caught(
    catalogue: Catalogue,
) -> None:
    for resource in of(catalogue, "parent", "parent_and_all"):
        assert resource.parent
        assert catalogue.resources[resource.parent.stream].incremental, resource.name


def test_a_removal_is_an_event_of_the_stream(catalogue: Catalogue) -> None:
    assert {
        kind: resource.name
        for resource in catalogue.resources.values()
        for kind in resource.removals
    } == {
        "account.external_account.deleted": "account_external_accounts",
        "apps.install.deleted": "apps_installs",
        "coupon.deleted": "coupons",
        "customer.deleted": "customers",
        "customer.source.deleted": "customer_sources",
        "customer.tax_id.deleted": "customer_tax_ids",
        "invoice.deleted": "invoices",
        "invoiceitem.deleted": "invoice_items",
        "payment_method.detached": "payment_methods",
        "person.deleted": "account_persons",
        "plan.deleted": "plans",
        "price.deleted": "prices",
        "product.deleted": "products",
        "test_helpers.test_clock.deleted": "test_clocks",
    }
    assert catalogue.resources["customer_payment_methods"].removals == ("payment_method.detached",)
    for resource in catalogue.resources.values():
        assert set(resource.removals) <= set(resource.event_types)


@pytest.mark.parametrize(
    ("stream", "changes", "told"),
    [
        ("charges", "feed", True),
        ("refunds", "feed", False),
        ("payment_methods", "feed", True),
        ("issuing_tokens", "feed", True),
        ("payment_intents", "feed_and_window", True),
        ("reviews", "feed_and_window", True),
        ("files", "feed_and_window", False),
        ("checkout_sessions", "feed_and_window", False),
        ("quotes", "feed_and_all", True),
        ("accounts", "feed_and_all", False),
        ("balance_transactions", "window", False),
        ("events", "append_only", False),
        ("tax_ids", "snapshot", False),
        ("shipping_rates", "snapshot", False),
        ("radar_value_list_items", "snapshot", False),
        ("v2_core_accounts", "snapshot", False),
        ("v2_money_management_transactions", "window", False),
        ("invoice_line_items", "parent", False),
        ("product_features", "parent_and_all", False),
    ],
)
def test_how_changes_are_caught(
    catalogue: Catalogue, stream: str, changes: str, *, told: bool
) -> None:
    resource = catalogue.resources[stream]
    assert (resource.changes, resource.told_of_creation) == (changes, told)


def test_where_events_do_not_tell_everything_the_page_of_streams_says_what_they_leave_out(
    catalogue: Catalogue,
) -> None:
    page = (ROOT / "docs/streams.md").read_text("utf-8")
    for resource in of(catalogue, "feed_and_window", "feed_and_all", "window", "parent_and_all"):
        assert re.fullmatch(r"[A-Z][^.]+\.", resource.untold), resource.name
        assert f"| `{resource.name}` | {resource.untold} |" in page
