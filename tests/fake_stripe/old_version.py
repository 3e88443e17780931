"""Objects in an API version that is long gone, which is how events show them.

Some fields go by another name, some have another shape, some are missing, and some are there that
today's objects don't have. What an object is and belongs to stays: id, kind, time of creation and
parents.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.fake_stripe.store import lookup

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.fake_stripe.store import StripeObject

OLD_VERSION = "2019-12-03"
"""An account's default version where it has never been upgraded."""

KEPT = frozenset(
    {
        "account",
        "card",
        "created",
        "customer",
        "date",
        "deleted",
        "fee",
        "financial_account",
        "id",
        "invoice",
        "items",
        "lines",
        "livemode",
        "object",
        "payment_record",
        "refunds",
        "reversals",
        "status",
        "subscription",
        "transfer",
        "type",
        "value_list",
    }
)
"""Fields that all versions have."""

RENAMED: Mapping[str, Mapping[str, str]] = {
    "charge": {"payment_method_details": "source_details", "receipt_url": "receipt"},
    "coupon": {"percent_off": "percent_off_precise"},
    "customer": {"balance": "account_balance", "invoice_settings": "default_settings"},
    "invoice": {"total_taxes": "total_tax_amounts", "footer": "statement_footer"},
    "payment_intent": {"latest_charge": "charge", "capture_method": "capture"},
    "product": {"tax_code": "caption", "marketing_features": "attributes"},
    "subscription": {"default_payment_method": "default_source", "discounts": "discount_ids"},
}
"""Kind -> today's name -> the name then."""

DROPPED: Mapping[str, frozenset[str]] = {
    "charge": frozenset({"billing_details", "presentment_details", "radar_options"}),
    "customer": frozenset({"next_invoice_sequence", "preferred_locales", "test_clock"}),
    "invoice": frozenset({"issuer", "parent", "rendering"}),
    "payment_intent": frozenset({"automatic_payment_methods", "amount_details"}),
    "product": frozenset({"default_price", "features"}),
    "subscription": frozenset({"billing_mode", "currency", "description"}),
}
"""Kind -> fields that were not there yet."""

EXPANDED: Mapping[str, Mapping[str, str]] = {
    "charge": {"balance_transaction": "balance_transaction"},
    "invoice": {"default_payment_method": "payment_method"},
    "payment_intent": {"payment_method": "payment_method"},
    "price": {"product": "product"},
    "refund": {"charge": "charge"},
    "subscription": {"latest_invoice": "invoice"},
}
"""Kind -> field that is an id today -> kind of the object that it was."""

ADDED: Mapping[str, Mapping[str, Callable[[StripeObject], object]]] = {
    "charge": {"source": lambda obj: {"id": obj.get("payment_method"), "object": "card"}},
    "customer": {"tax_info": lambda _: None},
    "invoice": {
        "billing": lambda obj: obj.get("collection_method"),
        "subscription": lambda obj: lookup(obj, "parent.subscription_details.subscription"),
    },
    "subscription": {
        "current_period_end": lambda obj: obj.get("billing_cycle_anchor"),
        "plan": lambda _: None,
    },
}
"""Kind -> fields that are gone today."""


def as_it_was(obj: Mapping[str, Any]) -> StripeObject:
    """An object in the old version; for a part of one, its `object` must be among its fields."""
    kind = str(obj.get("object"))
    renamed = RENAMED.get(kind) or _some_field(obj)
    dropped = DROPPED.get(kind, frozenset())
    expanded = EXPANDED.get(kind, {})
    old: StripeObject = {}
    for name, value in obj.items():
        if name in dropped:
            continue
        if name in expanded and isinstance(value, str):
            old[name] = {"id": value, "object": expanded[name]}
        else:
            old[renamed.get(name, name)] = value
    for name, made in ADDED.get(kind, {}).items():
        old[name] = made(dict(obj))
    return old


def names_then(kind: str, before: Mapping[str, Any], whole: Mapping[str, Any]) -> StripeObject:
    """Some fields of an object, `previous_attributes`, in the old version."""
    renamed = RENAMED.get(kind) or _some_field(whole)
    dropped = DROPPED.get(kind, frozenset())
    return {renamed.get(name, name): v for name, v in before.items() if name not in dropped}


def _some_field(obj: Mapping[str, Any]) -> dict[str, str]:
    """The field that an object of no particular kind has under another name: its first one."""
    name = next((name for name in sorted(obj) if name not in KEPT), None)
    return {name: f"legacy_{name}"} if name else {}
