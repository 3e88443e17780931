from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tap_stripe_conn.catalogue import overrides
from tests.catalogue.conftest import ROOT
from tools.catalogue.endpoints import endpoints
from tools.catalogue.streams import stream_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_stripe_conn.catalogue.resources import Catalogue
    from tools.catalogue.sdk import Sdk


def test_there_is_a_stream_for_each_list_of_stripe_that_is_not_left_out_for_a_reason(
    sdk: Sdk, catalogue: Catalogue
) -> None:
    lists = {path for path, endpoint in endpoints(sdk).items() if endpoint.is_list}
    streams = {resource.path for resource in catalogue.resources.values()}
    assert lists - streams == overrides.LEFT_OUT.keys()


def test_the_number_of_streams_never_falls_silently(catalogue: Catalogue) -> None:
    modes = [resource.api_mode for resource in catalogue.resources.values()]
    assert modes.count("v1") >= 118
    assert modes.count("v2") >= 18
    assert len([r for r in catalogue.resources.values() if r.listed_by_time]) >= 58


def test_the_catalogue_describes_the_version_of_stripe_that_the_sdk_is_made_for(
    sdk: Sdk, catalogue: Catalogue
) -> None:
    assert catalogue.api_version == sdk.api_version
    assert re.fullmatch(r"\d{4}-\d\d-\d\d\.[a-z]+", catalogue.api_version)


def test_streams_are_in_alphabetical_order(catalogue: Catalogue) -> None:
    assert list(catalogue.resources) == sorted(catalogue.resources)


def test_every_parent_is_a_list_at_the_top(catalogue: Catalogue) -> None:
    for resource in catalogue.resources.values():
        if resource.parent:
            parent = catalogue.resources[resource.parent.stream]
            assert parent.parent is None
            assert not parent.singleton
            assert parent.api_mode == resource.api_mode


def test_a_path_has_braces_only_around_the_parents_parameter(catalogue: Catalogue) -> None:
    for resource in catalogue.resources.values():
        in_path = resource.parent is not None and resource.parent.location == "path"
        wanted = [resource.parent.param] if resource.parent and in_path else []
        assert re.findall(r"\{(\w+)\}", resource.path) == wanted


def test_a_parents_column_is_a_string_where_the_row_has_it_itself(
    catalogue: Catalogue, schemas: Mapping[str, Any]
) -> None:
    for resource in catalogue.resources.values():
        if resource.parent:
            own = schemas[resource.schema]["properties"].get(resource.parent.column)
            assert own is None or "string" in own["type"], resource.name


def test_a_child_that_is_embedded_is_a_list_of_the_same_objects_in_its_parent(
    catalogue: Catalogue, schemas: Mapping[str, Any]
) -> None:
    embedded = [r for r in catalogue.resources.values() if r.parent and r.parent.embedded]
    assert len(embedded) == 14
    for resource in embedded:
        assert resource.parent
        assert resource.parent.embedded
        found = schemas[catalogue.resources[resource.parent.stream].schema]
        for name in resource.parent.embedded.split("."):
            found = found["properties"][name]
        assert {"data", "has_more"} <= found["properties"].keys()
        items = found["properties"]["data"]["items"]["properties"]
        # Some are cut off by depth; what is there has to fit.
        assert items.keys() <= schemas[resource.schema]["properties"].keys()


def test_a_parent_has_the_fields_that_its_children_are_asked_for_with(
    catalogue: Catalogue, schemas: Mapping[str, Any]
) -> None:
    for resource in catalogue.resources.values():
        if resource.parent:
            parent = schemas[catalogue.resources[resource.parent.stream].schema]["properties"]
            assert {*resource.parent.params.values(), *resource.parent.where} <= parent.keys()


def test_a_key_is_the_id_with_the_parents_column_where_ids_repeat(catalogue: Catalogue) -> None:
    for resource in catalogue.resources.values():
        allowed: list[tuple[str, ...]] = [("id",), ("object",)]
        if resource.parent:
            allowed = [("id",), (resource.parent.column, "id")]
        assert resource.primary_key in allowed
        assert (resource.primary_key == ("object",)) == (
            resource.name in {"balance", "balance_settings", "tax_settings"}
        )


def test_a_creation_time_is_a_column_of_its_stream(
    catalogue: Catalogue, schemas: Mapping[str, Any]
) -> None:
    for resource in catalogue.resources.values():
        if resource.created_field:
            column = schemas[resource.schema]["properties"][resource.created_field]
            assert column["format"] == "date-time"


def test_every_list_is_paged_except_the_two_that_answer_whole(catalogue: Catalogue) -> None:
    whole = [r.name for r in catalogue.resources.values() if not r.cursor and not r.singleton]
    assert whole == ["account_capabilities", "reporting_report_types"]
    for resource in catalogue.resources.values():
        assert (resource.page_size is None) == (resource.cursor is None)


def test_fields_to_expand_are_in_the_schema(
    catalogue: Catalogue, schemas: Mapping[str, Any]
) -> None:
    for resource in catalogue.resources.values():
        for path in resource.expand:
            found = schemas[resource.schema]
            for name in path.split("."):
                found = found["properties"][name]


def test_every_stream_says_what_a_row_is(catalogue: Catalogue) -> None:
    assert [r.name for r in catalogue.resources.values() if not r.description] == []


def test_the_page_of_streams_names_every_stream(catalogue: Catalogue) -> None:
    page = (ROOT / "docs/streams.md").read_text("utf-8")
    assert [name for name in catalogue.resources if f"| [`{name}`](" not in page] == []


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/charges", "charges"),
        ("/v1/apple_pay/domains", "apple_pay_domains"),
        ("/v1/checkout/sessions/{session}/line_items", "checkout_session_line_items"),
        ("/v1/transfers/{id}/reversals", "transfer_reversals"),
        ("/v1/invoiceitems", "invoice_items"),
        ("/v2/core/accounts/{account_id}/persons", "v2_core_account_persons"),
    ],
)
def test_a_stream_is_named_for_its_path(path: str, name: str) -> None:
    assert stream_name(path) == name


def test_balance_transactions_of_payouts_are_asked_for_only_where_stripe_knows_them(
    catalogue: Catalogue,
) -> None:
    parent = catalogue.resources["payout_balance_transactions"].parent
    assert parent
    assert parent.where == {"automatic": True}
    assert parent.param == "payout"
