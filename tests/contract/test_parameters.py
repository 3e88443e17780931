"""The fake server takes exactly the list parameters that Stripe's official client has."""

from __future__ import annotations

import re

import pytest

from tap_stripe_conn.catalogue.resources import load_catalogue
from tests.fake_stripe.filters import accepted
from tools.catalogue.endpoints import endpoints
from tools.catalogue.sdk import Sdk

CATALOGUE = load_catalogue()
LISTS = {
    resource.path: resource
    for resource in CATALOGUE.resources.values()
    if not resource.singleton and resource.name != "payout_balance_transactions"
}
ALWAYS_TAKEN = {"expand", "include", "page"}
"""What the server takes of every list, though not every method of the client has it."""


@pytest.fixture(scope="module")
def client_parameters() -> dict[str, set[str]]:
    """Parameters by path, with bare braces."""
    found = endpoints(Sdk())
    return {bare(path): set(endpoint.parameters) for path, endpoint in found.items()}


def bare(path: str) -> str:
    return re.sub(r"\{\w+\}", "{}", path)


def test_every_list_takes_what_the_client_sends_and_no_more(
    client_parameters: dict[str, set[str]],
) -> None:
    differing = {
        path: (accepted(resource) ^ client_parameters[bare(path)]) - ALWAYS_TAKEN
        for path, resource in LISTS.items()
    }
    assert {path: names for path, names in differing.items() if names} == {}
