"""The fake server holds a row for every stream of the catalogue, and lists and retrieves it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
import stripe as stripe_package
from jsonschema import Draft202012Validator

from tap_stripe_conn.catalogue.resources import load_catalogue
from tests.fake_stripe import FakeStripe
from tests.fake_stripe.routes import WITHOUT_RETRIEVAL
from tests.fake_stripe.shapes import read_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_stripe_conn.catalogue.resources import Resource

CATALOGUE = load_catalogue()
LISTS = [name for name, resource in CATALOGUE.resources.items() if not resource.singleton]


@pytest.fixture(scope="module")
def stripe() -> Iterator[FakeStripe]:
    """Three rows of every stream."""
    with FakeStripe() as server:
        for name in LISTS:
            server.seed(name, 3)
        yield server


@pytest.fixture(scope="module")
def session(stripe: FakeStripe) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {stripe.secret_key}"
        session.headers["Stripe-Version"] = CATALOGUE.api_version
        yield session


def parents(stripe: FakeStripe, resource: Resource) -> list[dict[str, Any] | None]:
    return list(stripe.objects(resource.parent.stream)) if resource.parent else [None]


def pages(
    stripe: FakeStripe, session: requests.Session, resource: Resource
) -> Iterator[dict[str, Any]]:
    """The first page of a list, below each parent."""
    for parent in parents(stripe, resource):
        path, params = resource.path, dict(resource.params)
        if resource.parent and parent:
            path = path.replace("{" + resource.parent.param + "}", parent["id"])
            if resource.parent.location == "query":
                params[resource.parent.param] = parent["id"]
            for name, field in resource.parent.params.items():
                params[name] = parent[field]
        if resource.page_size:
            params["limit"] = str(resource.page_size)
        expand = [f"data.{field}" for field in resource.expand]
        answer = session.get(stripe.url + path, params={**params, "expand[]": expand}, timeout=9)
        assert answer.status_code == 200, answer.text
        page: dict[str, Any] = answer.json()
        yield page


@pytest.mark.parametrize("name", LISTS)
def test_a_stream_is_listed_whole(stripe: FakeStripe, session: requests.Session, name: str) -> None:
    resource = CATALOGUE.resources[name]
    listed = [row for page in pages(stripe, session, resource) for row in page["data"]]
    assert sorted(row["id"] for row in listed) == sorted(stripe.ids(name))
    assert {row["object"] for row in listed} <= set(resource.objects)
    for row in listed:
        for field in resource.expand:
            assert field.partition(".")[0] in row


@pytest.mark.parametrize("name", LISTS)
def test_a_row_has_every_property_in_its_type(stripe: FakeStripe, name: str) -> None:
    resource = CATALOGUE.resources[name]
    schema = Draft202012Validator(as_sent(read_schema(resource.schema), resource))
    for row in stripe.objects(name):
        schema.validate(row)
        assert stripe.shapes.properties(name) - row.keys() <= stripe.includable(name)
        for secret in resource.secrets:
            assert secret in row or secret in stripe.includable(name)


@pytest.mark.parametrize("name", ["account", "balance", "balance_settings", "tax_settings"])
def test_a_singleton_answers_with_itself(
    stripe: FakeStripe, session: requests.Session, name: str
) -> None:
    resource = CATALOGUE.resources[name]
    answer = session.get(stripe.url + resource.path, timeout=9)
    assert answer.json()["object"] == resource.objects[0]
    assert answer.json() == stripe.objects(name)[0]


@pytest.mark.parametrize("name", LISTS)
def test_a_row_is_retrieved_as_it_is_listed_or_not_at_all(
    stripe: FakeStripe, session: requests.Session, name: str
) -> None:
    resource = CATALOGUE.resources[name]
    listed = [row for page in pages(stripe, session, resource) for row in page["data"]]
    holders = parents(stripe, resource)
    for parent in holders:
        path = resource.path
        if resource.parent and parent:
            path = path.replace("{" + resource.parent.param + "}", parent["id"])
        for row in stripe.objects(name, parent=parent["id"] if parent else None):
            params = {"expand[]": list(resource.expand)}
            answer = session.get(f"{stripe.url}{path}/{row['id']}", params=params, timeout=9)
            if name in WITHOUT_RETRIEVAL:
                assert answer.json()["error"]["message"].startswith("Unrecognized request URL")
            else:
                assert answer.json() in listed
                assert answer.json()["id"] == row["id"]


def test_the_official_client_retrieves_what_the_server_does() -> None:
    package = Path(str(stripe_package.__file__)).parent
    sources = (file.read_text() for file in package.rglob("*_service.py"))
    methods = (text for source in sources for text in source.split("    def ")[1:])
    found = {
        re.sub(r"{\w+}", "{}", path)
        for method in methods
        if method.startswith("retrieve(")
        for path in re.findall(r'"get",\s*"([^"]+)"', method)
    }
    retrieved = {
        name
        for name in LISTS
        if re.sub(r"{\w+}", "{}", CATALOGUE.resources[name].path) + "/{}" in found
    }
    assert set(LISTS) - retrieved == WITHOUT_RETRIEVAL


def as_sent(schema: Any, resource: Resource) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """The schema of an object as Stripe sends it: API v1 writes times as Unix seconds."""
    properties = {
        name: {"type": ["integer", "null"]}
        if resource.api_mode == "v1" and inner.get("format") == "date-time"
        else inner
        for name, inner in schema["properties"].items()
    }
    return {**schema, "properties": properties}
