"""The permission that a restricted key needs to read a stream, where Stripe says so.

The names are those of docs.stripe.com/keys/permissions-reference and
docs.stripe.com/stripe-apps/reference/permissions; a refusal puts `rak_` before them. Where neither,
as far as they could be read, tells of a stream, no name is guessed: `--test` shows Stripe's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tools.catalogue.sdk import UnresolvedNameError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tap_stripe_conn.catalogue.resources import Resource

EVENTS = "event_read"
"""What every key needs to learn of changes."""

STREAMS: Mapping[str, tuple[str, ...]] = {
    "apple_pay_domain_read": ("apple_pay_domains",),
    "application_fee_read": ("application_fees",),
    "balance_read": ("balance",),
    # Creating a key: the row that opens balance transactions is "Balance transaction sources".
    "balance_transaction_source_read": ("balance_transactions", "payout_balance_transactions"),
    "billing_clock_read": ("test_clocks",),
    "billing_meter_read": ("billing_meters",),
    # Creating a key: one row, "Charges and refunds".
    "charge_read": ("charges", "refunds"),
    "checkout_session_read": ("checkout_sessions",),
    # Permissions reference: GET /v1/account and /v1/accounts.
    "connected_account_read": ("account", "accounts"),
    "coupon_read": ("coupons",),
    "credit_note_read": ("credit_notes",),
    "customer_portal_read": ("billing_portal_configurations",),
    "customer_read": ("customers",),
    "dispute_read": ("disputes",),
    "entitlement_read": ("entitlements_active_entitlements", "entitlements_features"),
    EVENTS: ("events",),
    "file_read": ("files",),
    "invoice_read": ("invoices", "invoice_items", "invoice_payments"),
    "issuing_authorization_read": ("issuing_authorizations",),
    # Event permissions: issuing_personalization_design.* takes that of cards.
    "issuing_card_read": ("issuing_cards", "issuing_personalization_designs"),
    "issuing_cardholder_read": ("issuing_cardholders",),
    "issuing_dispute_read": ("issuing_disputes",),
    "issuing_token_read": ("issuing_tokens",),
    "issuing_transaction_read": ("issuing_transactions",),
    "payment_intent_read": ("payment_intents",),
    "payment_links_read": ("payment_links",),
    "payment_method_configurations_read": ("payment_method_configurations",),
    "payment_method_domain_read": ("payment_method_domains",),
    "payment_method_read": ("payment_methods", "customer_payment_methods"),
    "payment_records_read": ("payment_records", "payment_attempt_records"),
    "payout_read": ("payouts",),
    # "Grants access to Plans, Prices".
    "plan_read": ("plans", "prices"),
    "product_catalog_import_read": ("v2_commerce_product_catalog_imports",),
    "product_read": ("products",),
    "promotion_code_read": ("promotion_codes",),
    "quote_read": ("quotes",),
    "report_runs_and_report_types_read": ("reporting_report_runs", "reporting_report_types"),
    "review_read": ("reviews",),
    "setup_intent_read": ("setup_intents", "setup_attempts"),
    "shipping_rate_read": ("shipping_rates",),
    "subscription_read": ("subscriptions", "subscription_items", "subscription_schedules"),
    "tax_rate_read": ("tax_rates",),
    "tax_settings_read": ("tax_settings",),
    "terminal_configuration_read": ("terminal_configurations",),
    "terminal_location_read": ("terminal_locations",),
    "terminal_reader_read": ("terminal_readers",),
    "top_up_read": ("topups",),
    "transfer_read": ("transfers",),
    "webhook_read": ("webhook_endpoints",),
}
"""Permission -> streams. Children whose path begins with their parent's take the parent's."""

UNKNOWN_CHILDREN = frozenset({"product_features"})
"""Children that may take another permission than their parent."""


@dataclass(frozen=True)
class StreamSet:
    """Streams that are often read together."""

    title: str
    streams: tuple[str, ...]


SETS = (
    StreamSet(
        "Payments and payouts",
        (
            "balance_transactions",
            "charges",
            "disputes",
            "payment_intents",
            "payout_balance_transactions",
            "payouts",
            "refunds",
        ),
    ),
    StreamSet(
        "Subscriptions and recurring revenue",
        (
            "coupons",
            "customers",
            "invoice_line_items",
            "invoice_payments",
            "invoices",
            "prices",
            "products",
            "subscription_items",
            "subscriptions",
        ),
    ),
    StreamSet(
        "Checkout",
        (
            "checkout_session_line_items",
            "checkout_sessions",
            "payment_link_line_items",
            "payment_links",
            "promotion_codes",
        ),
    ),
    StreamSet(
        "Platforms (Connect)",
        (
            "accounts",
            "application_fee_refunds",
            "application_fees",
            "transfer_reversals",
            "transfers",
        ),
    ),
)


class Permissions:
    """The permission of each stream."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        """Look up what is known.

        Raises:
            UnresolvedNameError: A permission is said of what is no stream.
        """
        self._resources = {resource.name: resource for resource in resources}
        self._known = {name: permission for permission, of in STREAMS.items() for name in of}
        named = {*self._known, *UNKNOWN_CHILDREN, *(n for each in SETS for n in each.streams)}
        if unknown := sorted(named - self._resources.keys()):
            msg = f"Permissions are given for {unknown}, which are no streams."
            raise UnresolvedNameError(msg)

    def of(self, stream: str) -> str | None:
        """The name of the permission (`charge_read`); None where Stripe's is not known."""
        parent = self._resources[stream].parent
        if stream in self._known or parent is None or parent.location == "query":
            return self._known.get(stream)
        return None if stream in UNKNOWN_CHILDREN else self.of(parent.stream)

    def least(self, streams: Iterable[str]) -> tuple[Sequence[str], Sequence[str]]:
        """What is needed for these streams, children with their parents.

        Returns:
            The permissions, and the streams whose permission is not known.
        """
        wanted = {name for stream in streams for name in self._with_parent(stream)}
        of = {name: self.of(name) for name in wanted}
        known = {permission for permission in of.values() if permission} | {EVENTS}
        return sorted(known), sorted(name for name, permission in of.items() if not permission)

    def _with_parent(self, stream: str) -> Iterable[str]:
        parent = self._resources[stream].parent
        return {stream, parent.stream} if parent else {stream}
