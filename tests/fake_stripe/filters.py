"""What a list can be narrowed by: its parameters, its span of creation time, its conditions."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from tests.fake_stripe.errors import StripeError, bad_parameter
from tests.fake_stripe.store import Listing, Row, lookup, seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tap_stripe_conn.catalogue.resources import Resource
    from tests.fake_stripe.request import Request
    from tests.fake_stripe.store import Order, StripeObject

FILTERS: dict[str, str] = {
    "/v1/accounts/{account}/external_accounts": "object",
    "/v1/accounts/{account}/persons": "relationship",
    "/v1/apple_pay/domains": "domain_name",
    "/v1/application_fees": "charge",
    "/v1/apps/installs": "account app approval_required channel created_by status",
    "/v1/balance_transactions": "currency payout source type",
    "/v1/billing/alerts": "alert_type meter",
    "/v1/billing/credit_balance_transactions": "credit_grant customer customer_account",
    "/v1/billing/credit_grants": "customer customer_account",
    "/v1/billing/feedback_options": "status",
    "/v1/billing/meters": "status",
    "/v1/billing/meters/{id}/event_summaries": "customer end_time start_time value_grouping_window",
    "/v1/billing_portal/configurations": "active is_default",
    "/v1/charges": "customer payment_intent transfer_group",
    "/v1/checkout/sessions": (
        "customer customer_account customer_details payment_intent payment_link status subscription"
    ),
    "/v1/credit_notes": "customer customer_account invoice",
    "/v1/customers": "email test_clock",
    "/v1/customers/{customer}/balance_transactions": "invoice",
    "/v1/customers/{customer}/payment_methods": "allow_redisplay type",
    "/v1/customers/{customer}/sources": "object",
    "/v1/disputes": "charge payment_intent",
    "/v1/entitlements/features": "archived lookup_key",
    "/v1/events": "delivery_success type types",
    "/v1/file_links": "expired file",
    "/v1/files": "purpose",
    "/v1/financial_connections/accounts": "account_holder session",
    "/v1/financial_connections/accounts/{account}/owners": "ownership",
    "/v1/financial_connections/transactions": "transacted_at transaction_refresh",
    "/v1/identity/verification_reports": "client_reference_id type verification_session",
    "/v1/identity/verification_sessions": (
        "client_reference_id related_customer related_customer_account status"
    ),
    "/v1/invoice_payments": "invoice payment status",
    "/v1/invoice_rendering_templates": "status",
    "/v1/invoiceitems": "customer customer_account invoice pending",
    "/v1/invoices": "collection_method customer customer_account due_date status subscription",
    "/v1/issuing/authorizations": "card cardholder status",
    "/v1/issuing/cardholders": "email phone_number status type",
    "/v1/issuing/cards": "cardholder exp_month exp_year last4 personalization_design status type",
    "/v1/issuing/disputes": "status transaction",
    "/v1/issuing/personalization_designs": "lookup_keys preferences status",
    "/v1/issuing/physical_bundles": "status type",
    "/v1/issuing/tokens": "status",
    "/v1/issuing/transactions": "card cardholder type",
    "/v1/payment_intents": "customer customer_account",
    "/v1/payment_links": "active",
    "/v1/payment_method_configurations": "active application",
    "/v1/payment_method_domains": "domain_name enabled",
    "/v1/payment_methods": "allow_redisplay customer customer_account type",
    "/v1/payouts": "arrival_date destination status",
    "/v1/plans": "active product",
    "/v1/prices": "active currency lookup_keys product recurring type",
    "/v1/product_catalog/trial_offers": "active prices",
    "/v1/products": "active ids shippable type url",
    "/v1/promotion_codes": "active code coupon customer customer_account",
    "/v1/quotes": "customer customer_account status test_clock",
    "/v1/radar/early_fraud_warnings": "charge payment_intent",
    "/v1/radar/value_list_items": "value",
    "/v1/radar/value_lists": "alias contains",
    "/v1/refunds": "charge payment_intent",
    "/v1/setup_intents": "attach_to_self customer customer_account payment_method",
    "/v1/shipping_rates": "active currency",
    "/v1/subscription_schedules": (
        "canceled_at completed_at customer customer_account released_at scheduled"
    ),
    "/v1/subscriptions": (
        "automatic_tax collection_method current_period_end current_period_start customer "
        "customer_account plan price status test_clock"
    ),
    "/v1/tax/registrations": "status",
    "/v1/tax_ids": "owner",
    "/v1/tax_rates": "active inclusive",
    "/v1/terminal/configurations": "is_account_default",
    "/v1/terminal/readers": "device_type location serial_number status",
    "/v1/three_d_secure/authentications": "status",
    "/v1/topups": "amount status",
    "/v1/transfers": "destination transfer_group",
    "/v1/treasury/credit_reversals": "received_credit status",
    "/v1/treasury/debit_reversals": "received_debit resolution status",
    "/v1/treasury/financial_accounts": "status",
    "/v1/treasury/inbound_transfers": "status",
    "/v1/treasury/outbound_payments": "customer status",
    "/v1/treasury/outbound_transfers": "status",
    "/v1/treasury/received_credits": "linked_flows status",
    "/v1/treasury/received_debits": "status",
    "/v1/treasury/transaction_entries": "effective_at order_by transaction",
    "/v1/treasury/transactions": "order_by status status_transitions",
    "/v2/commerce/product_catalog/imports": "feed_type status",
    "/v2/core/accounts": "applied_configurations closed",
    "/v2/core/events": "object_id types",
    "/v2/core/vault/us_bank_accounts": "verification_status",
    "/v2/money_management/adjustments": "adjusted_flow",
    "/v2/money_management/financial_accounts": "statuses",
    "/v2/money_management/financial_addresses": "financial_account",
    "/v2/money_management/outbound_payments": "recipient status",
    "/v2/money_management/payout_methods": "usage_status",
    "/v2/money_management/transaction_entries": "transaction",
    "/v2/money_management/transactions": "financial_account flow",
}
"""The list parameters of `stripe` 16.1.0 by path, without paging, `created` and parents."""

PROPERTIES: dict[tuple[str, str], str] = {
    ("checkout_sessions", "customer_details"): "customer_details.email",
    ("events", "types"): "type",
    ("financial_connections_accounts", "account_holder"): "account_holder.customer",
    ("invoices", "subscription"): "parent.subscription_details.subscription",
    ("prices", "lookup_keys"): "lookup_key",
    ("products", "ids"): "id",
    ("quotes", "test_clock"): "test_clock",
    ("subscriptions", "price"): "items.data.price",
    ("v2_core_events", "object_id"): "related_object.id",
    ("v2_core_events", "types"): "type",
    ("v2_money_management_financial_accounts", "statuses"): "status",
}
"""Where a filter reads something other than the property of its own name."""

HIDDEN: dict[str, tuple[tuple[str | None, Callable[[StripeObject], bool]], ...]] = {
    "customers": (("test_clock", lambda obj: bool(obj.get("test_clock"))),),
    "payment_methods": ((None, lambda obj: obj.get("type") == "custom"),),
    "quotes": (("test_clock", lambda obj: bool(obj.get("test_clock"))),),
    "reviews": ((None, lambda obj: not obj.get("open", True)),),
    "subscription_schedules": (("customer", lambda obj: bool(obj.get("test_clock"))),),
    "subscriptions": (
        ("status", lambda obj: obj.get("status") == "canceled"),
        ("test_clock", lambda obj: bool(obj.get("test_clock"))),
    ),
    "v2_core_accounts": (("closed", lambda obj: bool(obj.get("closed"))),),
    "v2_money_management_financial_accounts": (
        ("statuses", lambda obj: obj.get("status") == "closed"),
    ),
}
"""Rows that a list leaves out, by stream: the parameter that shows them, and which they are."""

EVENT_TYPES = 20
"""The largest number of `types` that events can be asked for by."""

FORWARD_ONLY = {"/v1/payment_attempt_records": "ending_before"}
"""Lists that cannot be paged backwards, and the parameter that they lack."""

RANGE = re.compile(r"^(\w+)\[(gt|gte|lt|lte)\]$")
BRACKET = re.compile(r"^(\w+)\[(\w+)\]$")
MOMENT = re.compile(r"^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$")
"""RFC 3339."""

FIRST: Order = (-math.inf, 0)
LAST: Order = (math.inf, 0)
Window: TypeAlias = "tuple[Order, Order]"
"""Half-open, in the order of the rows."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """The filters of one list request."""

    equal: Mapping[str, tuple[str, ...]]
    """Property -> values of which one must match."""

    ranges: tuple[tuple[str, str, float], ...] = ()
    """Property, operator and bound of range filters other than `created`."""

    hidden: tuple[Callable[[StripeObject], bool], ...] = ()
    """Which rows the list leaves out, from `HIDDEN`."""

    def rows(self, listing: Listing) -> Sequence[Row]:
        """The rows that meet them, oldest first."""
        if not self.equal and not self.ranges and not self.hidden:
            return listing.rows
        if len(self.equal) == 1 and not self.ranges and not self.hidden:
            return self._equal(listing)
        key = (*self.equal.items(), *self.ranges, *self.hidden)
        return listing.kept(key, lambda: self._selected(listing))

    def _selected(self, listing: Listing) -> Sequence[Row]:
        rows = self._equal(listing)
        for prop, operator, bound in self.ranges:
            rows = [row for row in rows if _within(lookup(row.object, prop), operator, bound)]
        return [row for row in rows if not any(hides(row.object) for hides in self.hidden)]

    def _equal(self, listing: Listing) -> Sequence[Row]:
        rows: Sequence[Row] | None = None
        for prop, values in self.equal.items():
            having = _having(listing, prop, values)
            chosen = {id(row) for row in having}
            rows = having if rows is None else [row for row in rows if id(row) in chosen]
        return listing.rows if rows is None else rows


def conditions(resource: Resource, request: Request, where: Mapping[str, str]) -> Conditions:
    """Read the filters of a list request, beside those in `where`.

    Raises:
        StripeError: A value that is none.
    """
    names = set(FILTERS.get(resource.path, "").split())
    if resource.parent:
        names -= set(resource.parent.params)
    if resource.name == "events":
        _refuse_too_many_types(request)
    equal: dict[str, tuple[str, ...]] = {name: (value,) for name, value in where.items()}
    ranges: list[tuple[str, str, float]] = []
    sent = (*request.params, *request.arrays)
    for sent_name in sent:
        name, operator = _split(sent_name)
        prop = PROPERTIES.get((resource.name, name), name)
        if name not in names or name in where:
            continue
        if operator:
            ranges.append((prop, operator, integer(request, sent_name)))
        elif sent_name in request.arrays:
            equal[prop] = tuple(request.arrays[sent_name])
        else:
            equal[prop] = (request.params[sent_name],)
    if resource.name == "subscriptions" and equal.get("status") == ("all",):
        del equal["status"]
    asked = {_split(name)[0] for name in sent}
    return Conditions(
        equal=equal,
        ranges=tuple(ranges),
        hidden=tuple(hides for param, hides in HIDDEN.get(resource.name, ()) if param not in asked),
    )


def window(resource: Resource, request: Request) -> Window:
    """The span of creation time that a list request asks for.

    Raises:
        StripeError: A bound that is no time.
    """
    low, high = FIRST, LAST
    for name, value in request.params.items():
        operator = _bound(resource, name)
        if operator is None:
            continue
        time = _time(resource, name, value)
        just_after = math.nextafter(time, math.inf)
        if operator in {"gte", "eq"}:
            low = max(low, (time, 0))
        if operator == "gt":
            low = max(low, (just_after, 0))
        if operator in {"lte", "eq"}:
            high = min(high, (just_after, 0))
        if operator == "lt":
            high = min(high, (time, 0))
    return low, high


def hides(resource: Resource, obj: StripeObject) -> bool:
    """Whether a list leaves an object out that is asked for as the catalogue says."""
    asked = {_split(name)[0] for name in resource.params}
    return any(hidden(obj) for param, hidden in HIDDEN.get(resource.name, ()) if param not in asked)


def accepted(resource: Resource) -> frozenset[str]:
    """The names of the parameters that a list takes."""
    names = set(FILTERS.get(resource.path, "").split())
    names |= {name.partition("[")[0] for name in resource.params}
    if resource.page_size is not None:
        names.add("limit")
    if resource.cursor == "starting_after":
        names |= {"starting_after", "ending_before"} - {FORWARD_ONLY.get(resource.path)}
    if resource.cursor == "next_page_url":
        names |= {"page", "include"}
    if resource.api_mode == "v1":
        names.add("expand")
    if resource.created_filter in {"range", "rfc3339", "rfc3339_flat"}:
        names.add("created")
    if resource.created_filter == "rfc3339_flat":
        names |= {"created_gt", "created_gte", "created_lt", "created_lte"}
    if resource.created_filter == "after_before":
        names |= {"created_after", "created_before"}
    if resource.parent:
        names |= set(resource.parent.params)
        if resource.parent.location == "query":
            names.add(resource.parent.param)
    return frozenset(names)


def refuse_unknown(request: Request, names: frozenset[str]) -> None:
    """Raise Stripe's 400 for a parameter that isn't one of the names."""
    for sent in (*request.params, *request.arrays):
        matched = BRACKET.match(sent)
        name = matched[1] if matched else sent
        if name not in names or (name == "created" and matched and not RANGE.match(sent)):
            raise StripeError(
                400,
                f"Received unknown parameter: {sent}",
                code="parameter_unknown",
                param=sent,
            )


def integer(request: Request, name: str) -> int:
    """A parameter's value as a whole number.

    Raises:
        StripeError: It is none.
    """
    try:
        return int(request.params[name])
    except ValueError:
        raise bad_parameter(
            param=name,
            message=f"Invalid integer: {request.params[name]}",
            code="parameter_invalid_integer",
        ) from None


def _refuse_too_many_types(request: Request) -> None:
    types = request.arrays.get("types", [])
    if types and "type" in request.params:
        message = "You may only specify one of these parameters: type, types."
        raise bad_parameter(param="types", message=message)
    if len(types) > EVENT_TYPES:
        message = f"You may only specify up to {EVENT_TYPES} types."
        raise bad_parameter(param="types", message=message)


def _having(listing: Listing, prop: str, values: tuple[str, ...]) -> Sequence[Row]:
    if prop == "delivery_success":
        pending = values[0] != "true"
        return [row for row in listing.rows if bool(row.object["pending_webhooks"]) == pending]
    if prop == "type" and any(value.endswith("*") for value in values):
        prefixes = tuple(value.rstrip("*") for value in values)
        return [row for row in listing.rows if str(row.object.get("type")).startswith(prefixes)]
    if len(values) == 1:
        return listing.having(prop, values[0])
    rows = [row for value in values for row in listing.having(prop, value)]
    return sorted(rows, key=lambda row: row.order)


def _within(value: object, operator: str, bound: float) -> bool:
    if not isinstance(value, (int, float)):
        return False
    return {
        "gt": value > bound,
        "gte": value >= bound,
        "lt": value < bound,
        "lte": value <= bound,
    }[operator]


def _split(name: str) -> tuple[str, str]:
    if matched := RANGE.match(name):
        return matched[1], matched[2]
    if matched := BRACKET.match(name):
        return matched[1], ""
    return name, ""


def _bound(resource: Resource, name: str) -> str | None:
    if resource.created_filter is None or not name.startswith("created"):
        return None
    if resource.created_filter == "after_before":
        return {"created_after": "gt", "created_before": "lt"}.get(name)
    if resource.created_filter == "rfc3339_flat":
        return "eq" if name == "created" else name.removeprefix("created_")
    if name == "created":
        return "eq"
    matched = RANGE.match(name)
    return matched[2] if matched else None


def _time(resource: Resource, name: str, value: str) -> float:
    try:
        if resource.api_mode == "v1":
            return int(value)
        if not MOMENT.match(value):
            raise bad_parameter(
                param=name,
                message=f"Invalid timestamp: {value}. It must be an RFC 3339 date and time.",
                code="parameter_invalid_timestamp",
            )
        return seconds(value)
    except ValueError:
        kind = "integer" if resource.api_mode == "v1" else "timestamp"
        raise bad_parameter(
            param=name,
            message=f"Invalid {kind}: {value}",
            code=f"parameter_invalid_{kind}",
        ) from None
