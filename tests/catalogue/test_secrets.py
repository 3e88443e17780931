from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tap_stripe_conn.catalogue import overrides
from tests.catalogue.test_schemas import nested
from tools.catalogue.attributes import Anything, Map, Scalar, attributes
from tools.catalogue.endpoints import endpoints
from tools.catalogue.secrets import SecretFinder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_stripe_conn.catalogue.resources import Catalogue
    from tools.catalogue.sdk import Sdk, SdkClass


def test_no_schema_has_a_property_that_is_secret_wherever_it_stands(
    catalogue: Catalogue, schemas: Mapping[str, Any]
) -> None:
    for schema in schemas.values():
        for found in nested(schema):
            assert not catalogue.secret_keys & found.get("properties", {}).keys()


def test_no_stream_has_a_column_for_its_secrets(
    catalogue: Catalogue, schemas: Mapping[str, Any]
) -> None:
    for resource in catalogue.resources.values():
        columns = schemas[resource.schema]["properties"].keys()
        assert not set(resource.secrets) & columns
        assert set(resource.secret_holders) <= columns


@pytest.mark.parametrize(
    ("stream", "secrets"),
    [
        ("apps_installs", ("auth_code",)),
        ("checkout_sessions", ("client_secret",)),
        ("customer_sources", ("client_secret",)),
        ("identity_verification_sessions", ("client_secret", "url")),
        ("issuing_cards", ("cvc", "number")),
        ("payment_intents", ("client_secret",)),
        ("setup_intents", ("client_secret",)),
        ("webhook_endpoints", ("secret",)),
    ],
)
def test_secrets_of_a_stream_are_named(
    catalogue: Catalogue, stream: str, secrets: tuple[str, ...]
) -> None:
    assert catalogue.resources[stream].secrets == secrets


@pytest.mark.parametrize(
    ("stream", "holder"),
    [
        ("charges", "source"),
        ("customers", "sources"),
        ("events", "data"),  # of any object
        ("invoices", "confirmation_secret"),
        ("payment_intents", "last_payment_error"),  # holds a payment intent again
        ("setup_attempts", "setup_error"),
        ("setup_intents", "last_setup_error"),
        ("terminal_configurations", "wifi"),
        ("terminal_readers", "action"),
        ("three_d_secure_authentications", "outcome_details"),
        ("v2_core_event_destinations", "webhook_endpoint"),
        ("v2_core_events", "data"),
    ],
)
def test_columns_in_which_a_secret_may_be_nested_are_named(
    catalogue: Catalogue, stream: str, holder: str
) -> None:
    assert holder in catalogue.resources[stream].secret_holders


def test_columns_of_ids_and_scalars_hold_no_secrets(
    catalogue: Catalogue, schemas: Mapping[str, Any]
) -> None:
    for resource in catalogue.resources.values():
        for holder in resource.secret_holders:
            column = schemas[resource.schema]["properties"][holder]
            assert {"array", "object"} & set(column["type"])


# Reviewed: these only sound like secrets.
HARMLESS = {
    "application_cryptogram",  # printed on receipts
    "cvc_check",
    "persistent_token",  # legacy, without a function
    "private_key_file",  # the id of a file
}
SUSPICIOUS = ("secret", "password", "private_key", "cryptogram", "auth_code", "_token", "cvc")


def test_no_property_of_any_object_sounds_like_a_secret_and_is_neither_dropped_nor_reviewed(
    sdk: Sdk, catalogue: Catalogue
) -> None:
    secrets = SecretFinder(sdk)
    unreviewed = set()
    for cls in _all_classes(sdk, catalogue):
        for name, attribute in attributes(sdk, cls).items():
            if (
                isinstance(attribute.form, Scalar | Map | Anything)
                and any(word in name for word in SUSPICIOUS)
                and not secrets.is_secret(cls, name)
                and name not in HARMLESS
                and attribute.form != Scalar("boolean")
            ):
                unreviewed.add(f"{cls.qualname}.{name}: {attribute.doc}")
    assert unreviewed == set()


def test_every_secret_that_is_named_exists(sdk: Sdk, catalogue: Catalogue) -> None:
    classes = _all_classes(sdk, catalogue)
    names = {name for cls in classes for name in attributes(sdk, cls)}
    assert names >= overrides.SECRET_KEYS
    for object_name, properties in overrides.SECRETS.items():
        cls = next(cls for cls in classes if cls.object_name == object_name)
        assert set(properties) <= attributes(sdk, cls).keys()


def _all_classes(sdk: Sdk, catalogue: Catalogue) -> set[SdkClass]:
    found = endpoints(sdk)
    rows = {cls for r in catalogue.resources.values() for cls in found[r.path].classes}
    return {inner for cls in rows for inner in SecretFinder(sdk).reachable(cls)}
