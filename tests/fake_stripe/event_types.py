"""Which events Stripe sends when an object is made, changed or deleted.

Types as the catalogue has them for the object's stream; which of them come when is told by the
list of event types (https://docs.stripe.com/api/events/types).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_stripe_conn.catalogue.resources import Resource
    from tests.fake_stripe.store import StripeObject

WITHOUT_EVENTS = frozenset({"tax_ids", "payout_balance_transactions"})
"""Streams that share their types with another, whose rows the events are about."""

STATUSES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "billing_meters": {"active": ("reactivated",), "inactive": ("deactivated",)},
    "checkout_sessions": {"complete": ("completed",)},
    "credit_notes": {"void": ("voided",)},
    "disputes": {"lost": ("closed",), "warning_closed": ("closed",), "won": ("closed",)},
    "financial_connections_accounts": {
        "active": ("reactivated",),
        "disconnected": ("disconnected",),
        "inactive": ("deactivated",),
    },
    "invoices": {
        "open": ("finalized",),
        "paid": ("paid", "payment_succeeded"),
        "uncollectible": ("marked_uncollectible",),
        "void": ("voided",),
    },
    "payment_intents": {
        "requires_capture": ("amount_capturable_updated",),
        "requires_payment_method": ("payment_failed",),
    },
    "quotes": {"open": ("finalized",)},
    "setup_intents": {"requires_payment_method": ("setup_failed",)},
    "subscriptions": {"canceled": ("deleted",)},
}
"""What the type of an event ends in where that is not the new status itself, by stream."""

INSTEAD_OF_UPDATED = frozenset(
    {
        "attached",
        "captured",
        "closed",
        "customer.subscription.deleted",
        "detached",
        "refunded",
        "reversed",
        "voided",
    }
)
"""Ends of types that come alone, where others come together with `updated`."""

TOLD_BY_PARENT: Mapping[str, Mapping[str, str]] = {
    "application_fee_refunds": {"created": "application_fee.refunded"},
    "credit_note_line_items": {
        "created": "credit_note.updated",
        "updated": "credit_note.updated",
        "deleted": "credit_note.updated",
    },
    "invoice_line_items": {
        "created": "invoice.updated",
        "updated": "invoice.updated",
        "deleted": "invoice.updated",
    },
    "subscription_items": {
        "created": "customer.subscription.updated",
        "updated": "customer.subscription.updated",
        "deleted": "customer.subscription.updated",
    },
    "transfer_reversals": {"created": "transfer.reversed"},
}
"""Children that have no events of their own: what happens to them -> their parent's event."""


def on_creation(resource: Resource, obj: StripeObject) -> list[str]:
    """The types of the events that a new object comes with."""
    kinds = _kinds(resource)
    name = resource.name
    if name == "application_fee_refunds":
        return []
    if name == "payment_methods":
        return ["payment_method.attached"] if obj.get("customer") else []
    if name == "reviews":
        return ["review.opened"]
    if created := kinds.get("created"):
        return [created]
    if name in {"charges", "checkout_sessions", "sigma_scheduled_query_runs"}:
        return [kinds[end] for end in _ends_of_status(resource, obj) if end in kinds]
    return ["capability.updated"] if name == "account_capabilities" else []


def on_change(resource: Resource, before: StripeObject, after: StripeObject) -> list[str]:
    """The types of the events that a change comes with; none where Stripe tells nothing."""
    kinds = _kinds(resource)
    ends = [end for end in _ends_of_change(resource, before, after) if end in kinds]
    if "updated" in kinds and not INSTEAD_OF_UPDATED.intersection([*ends, *map(kinds.get, ends)]):
        ends.append("updated")
    types = [kinds[end] for end in ends]
    if resource.name == "refunds":
        types.append("charge.refund.updated")
    return types


def on_deletion(resource: Resource) -> list[str]:
    """The types of the events that an object is deleted with."""
    kinds = _kinds(resource)
    return [kinds["deleted"]] if "deleted" in kinds else []


def _kinds(resource: Resource) -> dict[str, str]:
    """A stream's types by what they end in."""
    if resource.name in WITHOUT_EVENTS:
        return {}
    types = {kind.rpartition(".")[2]: kind for kind in reversed(resource.event_types)}
    if resource.name == "refunds":
        types["updated"] = "refund.updated"
    if resource.name == "v2_core_accounts":
        types["updated"] = "v2.core.account.updated"
    return types


def _ends_of_change(resource: Resource, before: StripeObject, after: StripeObject) -> list[str]:
    name = resource.name
    if name == "payment_methods" and before.get("customer") != after.get("customer"):
        return ["attached" if after.get("customer") else "detached"]
    ends: list[str] = []
    if before.get("status") != after.get("status"):
        ends += _ends_of_status(resource, after)
        if name == "subscriptions" and before.get("status") == "paused":
            ends.append("resumed")
    if name == "charges" and after.get("captured") and not before.get("captured"):
        ends.append("captured")
    if name in {"charges", "application_fees"} and _differ("amount_refunded", before, after):
        ends.append("refunded")
    if name == "transfers" and _differ("amount_reversed", before, after):
        ends.append("reversed")
    if name == "reviews" and before.get("open") and not after.get("open"):
        ends.append("closed")
    if name == "v2_core_accounts" and after.get("closed") and not before.get("closed"):
        ends.append("closed")
    return ends


def _ends_of_status(resource: Resource, obj: StripeObject) -> tuple[str, ...]:
    status = str(obj.get("status"))
    if resource.name == "sigma_scheduled_query_runs":
        return ("created",)
    return STATUSES.get(resource.name, {}).get(status, (status,))


def _differ(field: str, before: StripeObject, after: StripeObject) -> bool:
    return bool(before.get(field) != after.get(field))
