"""Made-up objects that have everything their JSON Schema says, the same for the same number."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, TypeAlias

from tests.fake_stripe.ids import PREFIXES, make_id, scramble

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_stripe_conn.catalogue.resources import Catalogue, Resource
    from tests.fake_stripe.store import StripeObject

Schema: TypeAlias = "Mapping[str, Any]"

VARIANTS = 4
"""How many different nested parts a stream's objects have; they share them."""

CHOICES: dict[str, tuple[str, ...]] = {
    "account_type": ("checking", "savings"),
    "brand": ("visa", "mastercard"),
    "business_type": ("company", "individual"),
    "city": ("Berlin", "Lisbon", "Oakland", "Osaka"),
    "country": ("US", "DE", "PT", "JP"),
    "currency": ("usd", "eur"),
    "default_currency": ("usd", "eur"),
    "filename": ("receipt.pdf",),
    "first_name": ("Ada", "Grace", "Mary", "Katherine"),
    "funding": ("credit", "debit"),
    "gender": ("female", "male"),
    "interval": ("month", "year"),
    "last_name": ("Lovelace", "Hopper", "Somerville", "Johnson"),
    "line1": ("1 Main Street", "27 Rua Augusta"),
    "locale": ("en", "de"),
    "name": ("Ada Lovelace", "Grace Hopper", "Mary Somerville", "Katherine Johnson"),
    "network": ("visa", "mastercard"),
    "postal_code": ("10115", "94607"),
    "reason": ("requested_by_customer", "duplicate"),
    "state": ("CA", "NY"),
    "timezone": ("Etc/UTC", "Europe/Berlin"),
}
"""Values of text properties that mean something, whatever they stand in."""

OWN: dict[tuple[str, str], tuple[object, ...]] = {
    ("balance_transactions", "type"): ("charge", "refund", "payout"),
    ("balance_transactions", "status"): ("available", "pending"),
    ("charges", "status"): ("succeeded", "failed"),
    ("checkout_sessions", "status"): ("complete", "open", "expired"),
    ("customers", "test_clock"): (None,),
    ("disputes", "status"): ("needs_response", "won", "lost"),
    ("events", "type"): ("charge.succeeded", "customer.updated", "invoice.paid"),
    ("invoices", "status"): ("paid", "open", "draft"),
    ("payment_intents", "status"): ("succeeded", "requires_payment_method", "canceled"),
    ("payment_methods", "type"): ("card",),
    ("customer_payment_methods", "type"): ("card",),
    ("payouts", "automatic"): (True,),
    ("payouts", "status"): ("paid", "in_transit"),
    ("prices", "type"): ("recurring", "one_time"),
    ("products", "type"): ("service",),
    ("quotes", "test_clock"): (None,),
    ("refunds", "status"): ("succeeded", "pending"),
    ("reviews", "open"): (True,),
    ("subscription_schedules", "test_clock"): (None,),
    ("subscriptions", "status"): ("active", "trialing", "past_due"),
    ("subscriptions", "test_clock"): (None,),
    ("v2_core_accounts", "closed"): (False,),
    ("v2_money_management_financial_accounts", "status"): ("open",),
}
"""Values of one stream's top-level properties."""

IDS: dict[str, tuple[str, ...]] = {
    "account_capabilities": ("card_payments", "transfers", "sepa_debit_payments", "link_payments"),
    "country_specs": ("US", "DE", "PT", "JP", "GB", "FR"),
    "exchange_rates": ("usd", "eur", "jpy", "gbp"),
    "reporting_report_types": ("balance.summary.1", "payouts.itemized.3", "tax.itemized.2"),
}
"""Streams whose ids are words."""

REFERENCES: dict[str, str] = {
    "account": "account",
    "destination": "account",
    "on_behalf_of": "account",
    "plan": "plan",
    "source": "charge",
}
"""Text properties that hold an object's id though they aren't simply named like it."""

TIMES = ("_at", "_date", "_end", "_start", "_on", "_by", "_before", "_after", "created", "date")
TEXTS = {
    "email": "customer{}@example.com",
    "url": "https://shop.example.com/{}",
    "uri": "https://shop.example.com/{}",
    "phone": "+1202555{:04}",
    "phone_number": "+1202555{:04}",
    "last4": "{:04}",
    "_decimal": "{}.25",
    "percentage": "{}.25",
    "rate": "{}.25",
    "value": "{}.25",
    "status": "active",
}
"""Texts by how the property's name ends, made from the object's number."""

NOT_A_BRANCH = frozenset({"metadata", "billing_details", "radar_options", "owner", "address"})
UNION_SIZE = 6
"""An object with `type` and that many nested objects has only the one that `type` names."""

PLANTED = "nested"
"""The property that secrets are hidden under."""

ABSENT = frozenset({"deleted", "tiers", "currency_options"})
"""Nested properties that aren't sent: a tombstone's mark, and what only comes when expanded."""


class Shapes:
    """Makes default objects for each stream."""

    def __init__(self, catalogue: Catalogue, *, livemode: bool) -> None:
        """Read the schemas as they are needed."""
        self._catalogue = catalogue
        self._livemode = livemode
        self._nested: dict[tuple[str, int], StripeObject] = {}
        self._simple: dict[str, list[tuple[str, Schema]]] = {}

    def properties(self, stream: str) -> frozenset[str]:
        """The top-level properties that an object of the stream has."""
        return frozenset(self._schema(stream)["properties"]) - {"deleted"}

    def make(
        self, stream: str, number: int, created: float, kind: str | None = None
    ) -> StripeObject:
        """The `number`-th object of a stream; `kind` is its `object` where there are several."""
        resource = self._catalogue.resources[stream]
        obj = dict(self._parts(stream, number % VARIANTS))
        for name, schema in self._simple[stream]:
            obj[name] = self._top(resource, name, schema, number, created)
        obj["object"] = kind or resource.objects[number % len(resource.objects)]
        if "id" in obj:
            obj["id"] = self.id(stream, str(obj["object"]), number)
        if "livemode" in obj:
            obj["livemode"] = self._livemode
        if stream == "events":
            about = str(obj["type"]).partition(".")[0]
            identifier = make_id(about, number, testmode=not self._livemode)
            data = {"object": {"id": identifier, "object": about}}
            obj["data"] = {**data, **self._nested_secrets(number)}
        self._plant_secrets(resource, obj, number)
        return obj

    def id(self, stream: str, object_name: str, number: int) -> str:
        """The id of a stream's `number`-th object."""
        if words := IDS.get(stream):
            turn, rest = divmod(number - 1, len(words))
            return words[rest] + (f"_{turn}" if turn else "")
        return make_id(object_name, number, testmode=not self._livemode)

    def time(self, stream: str, moment: float) -> int | str:
        """A moment as the stream's API version writes it."""
        v1 = self._catalogue.resources[stream].api_mode == "v1"
        return int(moment) if v1 else rfc3339(moment)

    def _schema(self, stream: str) -> Schema:
        return read_schema(self._catalogue.resources[stream].schema)

    def _parts(self, stream: str, variant: int) -> StripeObject:
        """The nested values, which are the same for every `VARIANTS`-th object."""
        if (stream, variant) in self._nested:
            return self._nested[stream, variant]
        simple: list[tuple[str, Schema]] = []
        parts: StripeObject = {}
        for name, schema in self._schema(stream)["properties"].items():
            if name == "deleted":
                continue
            parts[name] = None
            if kind_of(schema) in {"object", "array"}:
                parts[name] = self._planted(
                    nested_value(name, schema, variant + 1), schema, variant
                )
            else:
                simple.append((name, schema))
        if stream.endswith("payment_methods"):
            for name in parts.keys() - NOT_A_BRANCH - {"card"}:
                parts[name] = None
        self._simple[stream] = simple
        self._nested[stream, variant] = parts
        return parts

    def _top(
        self, resource: Resource, name: str, schema: Schema, number: int, created: float
    ) -> object:
        if values := OWN.get((resource.name, name)):
            return values[number % len(values)]
        if schema.get("format") == "date-time":
            moment = created if name == resource.created_field else created + number % 86400
            return int(moment) if resource.api_mode == "v1" else rfc3339(moment)
        if name == "api_version":
            return self._catalogue.api_version
        return simple_value(name, schema, number)

    def _plant_secrets(self, resource: Resource, obj: StripeObject, number: int) -> None:
        secret = scramble("secret", number)
        for name in resource.secrets:
            if name == "client_secret":
                obj[name] = f"{obj['id']}_secret_{secret}"
            elif name in {"secret", "signing_secret"}:
                obj[name] = "whsec" + "_" + secret
            elif name == "number":
                obj[name] = "4000" + f"{number:012}"
            elif name == "cvc":
                obj[name] = f"{number % 1000:03}"
            elif name == "url":
                obj[name] = f"https://verify.example.com/start/{secret}"
            else:
                obj[name] = secret

    def _planted(self, value: object, schema: Schema, variant: int) -> object:
        """A nested value with secrets in it, where its schema lets Stripe add fields."""
        if isinstance(value, list):
            return [self._planted(item, schema["items"], variant) for item in value]
        if isinstance(value, dict) and schema.get("additionalProperties", True) is True:
            return {**value, **self._nested_secrets(variant)}
        return value

    def _nested_secrets(self, number: int) -> StripeObject:
        secret = f"nested_secret_{scramble('secret', number)}"
        embedded = [
            {"object": kind, **dict.fromkeys(sorted(names), secret)}
            for kind, names in self._catalogue.object_secrets.items()
        ]
        return {PLANTED: {min(self._catalogue.secret_keys): secret, "embedded": embedded}}


def without_planted(value: object) -> object:
    """A value without the secrets that are hidden in it."""
    if isinstance(value, dict):
        return {name: without_planted(item) for name, item in value.items() if name != PLANTED}
    return [without_planted(item) for item in value] if isinstance(value, list) else value


@cache
def read_schema(name: str) -> Schema:
    """A schema of the catalogue."""
    text = files("tap_stripe_conn.catalogue").joinpath(f"schemas/{name}.json").read_bytes()
    schema: Schema = json.loads(text)
    return schema


def kind_of(schema: Schema) -> str:
    """The type of a value that isn't null."""
    types = schema.get("type", "object")
    if isinstance(types, str):
        return types
    return next((str(name) for name in types if name != "null"), "null")


def nested_value(name: str, schema: Schema, number: int) -> object:
    """A value of any type."""
    kind = kind_of(schema)
    if kind == "array":
        items = schema.get("items")
        return [nested_value(name.rstrip("s"), items, number)] if items else []
    if kind != "object":
        return simple_value(name, schema, number)
    properties = schema.get("properties") or {}
    if {"data", "has_more", "url"} <= properties.keys():
        return {"object": "list", "data": [], "has_more": False, "url": f"/v1/{name}"}
    if not properties:
        values = schema.get("additionalProperties")
        if isinstance(values, dict):
            key = "usd" if "currency" in name or "balance" in name else "key"
            return {key: nested_value(key, values, number)}
        return {"order_id": str(6700 + number)}
    return _object(properties, number)


def _object(properties: Mapping[str, Schema], number: int) -> StripeObject:
    branches = [
        name
        for name, schema in properties.items()
        if kind_of(schema) == "object" and name not in NOT_A_BRANCH
    ]
    kept = None
    if "type" in properties and len(branches) >= UNION_SIZE:
        kept = "card" if "card" in branches else branches[number % len(branches)]
    obj: StripeObject = {}
    for name, schema in properties.items():
        if name in ABSENT or (kept and name in branches and name != kept):
            continue
        obj[name] = kept if kept and name == "type" else nested_value(name, schema, number)
    return obj


def simple_value(name: str, schema: Schema, number: int) -> object:
    """A value that is neither object nor array, guessed from its name."""
    kind = kind_of(schema)
    if kind == "boolean":
        return number % 2 == 0
    if kind == "number":
        return round(0.5 + number % 100, 2)
    if kind == "integer":
        return _integer(name, number)
    return _text(name, schema, number)


def _integer(name: str, number: int) -> int:
    if name.endswith(TIMES):
        return 1_700_000_000 + number * 3600
    if name == "exp_month":
        return number % 12 + 1
    if name in {"exp_year", "year"}:
        return 2030 + number % 5
    if name in {"day", "month"}:
        return number % 12 + 1
    if "amount" in name or name in {"fee", "net", "total", "subtotal", "balance"}:
        return 100 + number * 7 % 100_000
    return number % 97 + 1


def _text(name: str, schema: Schema, number: int) -> str:
    if choices := CHOICES.get(name):
        return choices[number % len(choices)]
    if schema.get("format") == "date-time":
        return rfc3339(1_700_000_000 + number * 3600)
    kind = REFERENCES.get(name, name)
    for start in ("default_", "latest_", "original_", "failure_"):
        kind = kind.removeprefix(start)
    if kind in PREFIXES:
        return make_id(kind, number, testmode=True)
    for ending, text in TEXTS.items():
        if name.endswith(ending):
            return text.format(number)
    return f"{name.replace('_', ' ')} {number}"


def rfc3339(moment: float) -> str:
    """A moment as API v2 writes it."""
    text = datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
