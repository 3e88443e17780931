from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tap_stripe_conn.catalogue import overrides
from tests.catalogue.test_schemas import nested
from tools.catalogue.attributes import (
    Anything,
    Array,
    Expandable,
    Map,
    Objects,
    Page,
    Scalar,
    attributes,
)
from tools.catalogue.endpoints import endpoints
from tools.catalogue.secrets import is_secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_stripe_conn.catalogue.resources import Catalogue
    from tools.catalogue.attributes import Form
    from tools.catalogue.sdk import Sdk, SdkClass


def test_no_schema_has_a_property_that_is_secret_wherever_it_stands(
    catalogue: Catalogue, schemas: Mapping[str, Any]
) -> None:
    for schema in schemas.values():
        for found in nested(schema):
            assert not catalogue.secret_keys & found.get("properties", {}).keys()


@pytest.mark.parametrize("name", overrides.OBJECT_SECRETS)
def test_no_schema_has_the_secrets_of_an_object_wherever_it_is_embedded(
    sdk: Sdk, catalogue: Catalogue, schemas: Mapping[str, Any], name: str
) -> None:
    secrets = catalogue.object_secrets[name]
    cls = next(cls for cls in _all_classes(sdk, catalogue) if cls.object_name == name)
    telling = attributes(sdk, cls).keys() - secrets - catalogue.secret_keys
    typed = [
        found["properties"].keys()
        for schema in schemas.values()
        for found in nested(schema)
        if telling <= found.get("properties", {}).keys()
    ]
    assert typed
    assert [properties & secrets for properties in typed] == [set()] * len(typed)


def test_a_card_inside_an_authorization_has_no_column_for_its_number(
    schemas: Mapping[str, Any],
) -> None:
    card = schemas["issuing.authorization"]["properties"]["card"]["properties"]
    assert "last4" in card
    assert not {"cvc", "number"} & card.keys()


def test_no_stream_has_a_column_for_its_secrets(
    catalogue: Catalogue, schemas: Mapping[str, Any]
) -> None:
    for resource in catalogue.resources.values():
        columns = schemas[resource.schema]["properties"].keys()
        assert not set(resource.secrets) & columns


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


def test_the_catalogue_names_the_secrets_of_each_kind_of_object(catalogue: Catalogue) -> None:
    assert catalogue.object_secrets == {
        "identity.verification_session": {"url"},
        "issuing.card": {"cvc", "number"},
        "webhook_endpoint": {"secret"},
    }


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
    unreviewed = set()
    for cls in _all_classes(sdk, catalogue):
        for name, attribute in attributes(sdk, cls).items():
            if (
                isinstance(attribute.form, Scalar | Map | Anything)
                and any(word in name for word in SUSPICIOUS)
                and not is_secret(cls, name)
                and name not in HARMLESS
                and attribute.form != Scalar("boolean")
            ):
                unreviewed.add(f"{cls.qualname}.{name}: {attribute.doc}")
    assert unreviewed == set()


def test_every_secret_that_is_named_exists(sdk: Sdk, catalogue: Catalogue) -> None:
    classes = _all_classes(sdk, catalogue)
    names = {name for cls in classes for name in attributes(sdk, cls)}
    assert names >= catalogue.secret_keys
    for object_name, properties in catalogue.object_secrets.items():
        cls = next(cls for cls in classes if cls.object_name == object_name)
        assert properties <= attributes(sdk, cls).keys()


def _all_classes(sdk: Sdk, catalogue: Catalogue) -> set[SdkClass]:
    found = endpoints(sdk)
    waiting = [cls for r in catalogue.resources.values() for cls in found[r.path].classes]
    reached = set(waiting)
    while waiting:
        for attribute in attributes(sdk, waiting.pop()).values():
            new = set(_classes(attribute.form)) - reached
            reached |= new
            waiting.extend(new)
    return reached


def _classes(form: Form) -> tuple[SdkClass, ...]:
    match form:
        case Array(items=inner) | Page(items=inner) | Map(values=inner):
            return _classes(inner)
        case Objects(classes=classes) | Expandable(classes=classes):
            return classes
    return ()
