from __future__ import annotations

import ast
from typing import TYPE_CHECKING

import pytest

from tap_stripe_conn.catalogue import overrides
from tools.catalogue.attributes import annotated
from tools.catalogue.events import event_objects, related_objects, v1_event_types

if TYPE_CHECKING:
    from tap_stripe_conn.catalogue.resources import Catalogue
    from tools.catalogue.sdk import Sdk


@pytest.fixture(scope="module")
def objects(sdk: Sdk, catalogue: Catalogue) -> dict[str, tuple[str, ...]]:
    return event_objects(sdk, {name for r in catalogue.resources.values() for name in r.objects})


def test_every_event_type_of_stripe_tells_of_a_stream_or_is_left_out_for_a_reason(
    catalogue: Catalogue, objects: dict[str, tuple[str, ...]]
) -> None:
    of_streams = {kind for r in catalogue.resources.values() for kind in r.event_types}
    reasons = overrides.EVENTS_WITHOUT_STREAM.keys()
    assert [
        kind for kind, told in objects.items() if (kind in of_streams) == bool(set(told) & reasons)
    ] == []


def test_the_number_of_event_types_never_falls_silently(
    sdk: Sdk, objects: dict[str, tuple[str, ...]]
) -> None:
    assert len(v1_event_types(sdk)) >= 275
    assert len([kind for kind in objects if kind.startswith("v2.")]) >= 57


def test_streams_hear_only_events_of_their_own_api(catalogue: Catalogue) -> None:
    for resource in catalogue.resources.values():
        for kind in resource.event_types:
            assert kind.startswith("v2.") == (resource.api_mode == "v2")


def test_the_hand_written_objects_of_events_agree_with_the_sdk_where_it_has_any(sdk: Sdk) -> None:
    for kind, related in related_objects(sdk).items():
        for prefix, told in overrides.EVENT_OBJECTS.items():
            if related and f"{kind.removeprefix('v1.')}.".startswith(f"{prefix}."):
                assert related == told


@pytest.mark.parametrize(
    ("stream", "event_type"),
    [
        ("charges", "charge.succeeded"),
        ("disputes", "charge.dispute.created"),
        ("refunds", "charge.refund.updated"),
        ("subscriptions", "customer.subscription.deleted"),
        ("issuing_cards", "issuing_card.updated"),
        ("sigma_scheduled_query_runs", "sigma.scheduled_query_run.created"),
        ("account_external_accounts", "account.external_account.deleted"),
        ("customer_sources", "customer.source.expiring"),
        ("entitlements_active_entitlements", "entitlements.active_entitlement_summary.updated"),
        ("v2_core_accounts", "v2.core.account.closed"),
    ],
)
def test_a_stream_hears_the_events_of_its_object(
    catalogue: Catalogue, stream: str, event_type: str
) -> None:
    assert event_type in catalogue.resources[stream].event_types


def test_charges_do_not_hear_of_disputes_and_refunds(catalogue: Catalogue) -> None:
    assert catalogue.resources["charges"].event_types == (
        "charge.captured",
        "charge.expired",
        "charge.failed",
        "charge.pending",
        "charge.refunded",
        "charge.succeeded",
        "charge.updated",
    )


def test_the_accounts_own_tax_ids_do_not_hear_of_those_of_customers(catalogue: Catalogue) -> None:
    assert catalogue.resources["tax_ids"].event_types == ()
    assert len(catalogue.resources["customer_tax_ids"].event_types) == 3


def test_thin_events_carry_nothing_that_the_schema_of_their_list_lacks(sdk: Sdk) -> None:
    carried = set()
    for module in sdk.modules("events/_v*_event.py"):
        for cls in module.classes.values():
            if any(isinstance(base, ast.Name) and base.id == "Event" for base in cls.node.bases):
                carried |= {name for name, _, _ in annotated(cls)}
    assert carried == {"type", "related_object", "data"}
