"""A Stripe that others wrote: what its own client lists is what the tap gives."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from stripe import StripeClient

from tap_stripe_conn.catalogue.resources import load_catalogue
from tests.end_to_end.environments import LOCALSTRIPE, environment
from tests.end_to_end.localstripe import adapted, localstripe
from tests.end_to_end.tap import UNPACED, Tap
from tests.end_to_end.truth import without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from stripe._v1_services import V1Services

    from tests.end_to_end.tap import Output, Row

LISTS = [
    "balance_transactions",
    "charges",
    "coupons",
    "customers",
    "events",
    "invoice_items",
    "invoices",
    "payment_intents",
    "payouts",
    "plans",
    "products",
    "refunds",
    "setup_intents",
    "subscriptions",
    "tax_rates",
]
"""What localstripe can list; the client has the same names."""

CHILDREN = ["customer_sources", "customer_tax_ids", "invoice_line_items", "subscription_items"]

IN_CHILDREN = {("customers", "sources"), ("customers", "tax_ids")}
"""Stripe shows these when asked to, which the tap does for its children's sake alone."""

A_PAGE: Any = {"limit": 100}

CARD: Any = {"number": "4242424242424242", "exp_month": 12, "exp_year": 2030, "cvc": "123"}


@dataclass(frozen=True, slots=True)
class Reading:
    """What the official client and what the tap read of the same account."""

    client: V1Services
    output: Output

    def listed(self, stream: str) -> list[dict[str, Any]]:
        """All objects of a stream, as the client lists them, with their parents' ids."""
        if stream in LISTS:
            listed = getattr(self.client, stream).list(A_PAGE).auto_paging_iter()
            return [item.to_dict() for item in listed]
        if stream == "subscription_items":
            return [
                {**item, "subscription": parent["id"]}
                for parent in self.listed("subscriptions")
                for item in parent["items"]["data"]
            ]
        customers, invoices = self.client.customers, self.client.invoices
        services: dict[str, tuple[str, Callable[[str], Any]]] = {
            "customer_sources": ("customer", customers.payment_sources.list),
            "customer_tax_ids": ("customer", customers.tax_ids.list),
            "invoice_line_items": ("invoice", partial(invoices.line_items.list, params=A_PAGE)),
        }
        column, children = services[stream]
        return [
            {**item.to_dict(), column: parent["id"]}
            for parent in self.listed(f"{column}s")
            for item in children(parent["id"]).data
        ]

    def expected(self, stream: str) -> dict[str, Row]:
        """The tap's rows by id: the client's objects in the columns that the tap announced."""
        columns = self.output.schemas[stream]["properties"]
        rows = {}
        for listed in without_secrets(self.listed(stream), load_catalogue()):
            rows[listed["id"]] = {
                name: shaped(value, columns[name])
                for name, value in listed.items()
                if name in columns and (stream, name) not in IN_CHILDREN
            }
        return rows

    def given(self, stream: str) -> dict[str, Row]:
        """The tap's rows by id, of which none may come twice."""
        rows = {row["id"]: row for row in self.output.rows[stream]}
        assert len(rows) == len(self.output.rows[stream])
        return {
            key: {name: value for name, value in row.items() if name != "_updated_at"}
            for key, row in rows.items()
        }


def shaped(value: Any, column: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
    """A value as it stands in a column: times in RFC 3339, and ids instead of objects."""
    if column.get("format") == "date-time" and isinstance(value, int):
        return datetime.fromtimestamp(value, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    if "string" in column["type"] and isinstance(value, dict):
        return value["id"]
    return value


@pytest.fixture(scope="module")
def reading(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reading]:
    """A business, seeded through the official client, and one run of the tap over it."""
    python = environment(LOCALSTRIPE) / "python"
    key = f"sk_test_{uuid.uuid4().hex}"
    directory = tmp_path_factory.mktemp("localstripe")
    with localstripe(python) as url, adapted(url) as api_base:
        client = StripeClient(key, base_addresses={"api": url}).v1
        seed(client)
        settings = {"live_api_key": key, "api_base": api_base, **UNPACED}
        output = Tap(directory, settings).run([*LISTS, *CHILDREN])
        assert output.code == 0, output.errors[-2000:]
        yield Reading(client, output)


def seed(client: V1Services) -> None:
    """A year of a business in a second: products, 120 customers, subscriptions and sales."""
    product = client.products.create({"name": "Notebook"}).id
    for amount in (1_000, 2_500):
        client.plans.create(
            {"amount": amount, "currency": "eur", "interval": "month", "product": product}
        )
    client.coupons.create({"percent_off": 10, "duration": "once", "id": "TEN"})
    client.tax_rates.create({"display_name": "VAT", "percentage": 20, "inclusive": False})
    customers = [
        client.customers.create({"email": f"customer{number}@example.com"}).id
        for number in range(120)
    ]
    for number, customer in enumerate(customers[:20]):
        buy(client, customer, number)
    client.payouts.create({"amount": 100, "currency": "eur"})


def buy(client: V1Services, customer: str, number: int) -> None:
    """All that a customer does in one go."""
    plans = client.plans.list().data
    method = client.payment_methods.create({"type": "card", "card": CARD}).id
    client.payment_methods.attach(method, {"customer": customer})
    client.customers.update(customer, {"invoice_settings": {"default_payment_method": method}})
    client.customers.tax_ids.create(customer, {"type": "eu_vat", "value": "DE123456789"})
    client.subscriptions.create({"customer": customer, "items": [{"plan": plans[number % 2].id}]})
    for amount in range(100, 101 + number):
        charge_later(client, customer, amount)
    client.invoices.pay(client.invoices.create({"customer": customer}).id)
    charge_later(client, customer, 500)
    token = client.tokens.create({"card": CARD}).id
    source = client.customers.payment_sources.create(customer, {"source": token}).id
    charge = client.charges.create(
        {"customer": customer, "amount": 700, "currency": "eur", "source": source}
    ).id
    client.refunds.create({"charge": charge, "amount": 200})
    client.payment_intents.create(
        {
            "customer": customer,
            "amount": 900,
            "currency": "eur",
            "payment_method": method,
            "confirm": True,
        }
    )
    client.setup_intents.create({"customer": customer})


def charge_later(client: V1Services, customer: str, amount: int) -> None:
    """An item of the customer's next invoice."""
    client.invoice_items.create({"customer": customer, "amount": amount, "currency": "eur"})


@pytest.mark.parametrize("stream", [*LISTS, *CHILDREN])
def test_the_rows_of_a_stream_are_what_the_official_client_lists(
    reading: Reading, stream: str
) -> None:
    expected, given = reading.expected(stream), reading.given(stream)
    assert given
    assert given.keys() == expected.keys()
    for identifier, row in expected.items():
        assert given[identifier] == row
