"""What the source of Stripe's SDK does not tell, each with where it comes from.

`python -m tools.catalogue` writes these into catalogue.json, and the tap reads only that.
"Docstring" is one in the `stripe` package 16.1.0; "API reference" is docs.stripe.com/api.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_stripe_conn.catalogue.resources import Changes

# --- Which endpoints are streams ---------------------------------------------------------------

LEFT_OUT: Mapping[str, str] = {
    "/v1/apps/secrets": "holds secrets, and is listed one scope at a time",
    "/v1/billing/meters/{id}/event_summaries": "needs a customer and a time window too",
    "/v1/credit_notes/preview/lines": "a preview of what could be, no data",
    "/v1/sources/{source}/source_transactions": "sources cannot be listed",
    "/v1/tax/calculations/{calculation}/line_items": "tax calculations cannot be listed",
    "/v1/tax/locations": "is listed one type at a time",
    "/v1/tax/transactions/{transaction}/line_items": "tax transactions cannot be listed",
}
"""Lists that are no streams: path -> why."""

SINGLETONS: Mapping[str, str] = {
    "account": "/v1/account",
    "balance": "/v1/balance",
    "balance_settings": "/v1/balance_settings",
    "tax_settings": "/v1/tax/settings",
}
"""Streams of one row: name -> path, which answers with the row itself."""

NAMES: Mapping[str, str] = {
    "/v1/credit_notes/{credit_note}/lines": "credit_note_line_items",
    "/v1/invoiceitems": "invoice_items",
    "/v1/invoices/{invoice}/lines": "invoice_line_items",
    # Only there with a test key.
    "/v1/test_helpers/test_clocks": "test_clocks",
}
"""Streams whose name is not simply their path: path -> name."""

SCHEMA_NAMES: Mapping[tuple[str, ...], str] = {
    ("bank_account", "card"): "external_account",
    ("account", "bank_account", "card", "source"): "payment_source",
}
"""Stripe's own names for lists that mix kinds of objects: the kinds -> the schema's name."""

# --- Keys and parents --------------------------------------------------------------------------

COMPOSITE_KEYS: frozenset[str] = frozenset(
    {
        # A capability's id is its name (`card_payments`).
        "account_capabilities",
        # Ids of line items and owners are only promised to be unique in their list.
        "checkout_session_line_items",
        "credit_note_line_items",
        "financial_connections_account_owners",
        "invoice_line_items",
        "payment_intent_amount_details_line_items",
        "payment_link_line_items",
        "quote_computed_upfront_line_items",
        "quote_line_items",
        # The same object is listed under several parents.
        "entitlements_active_entitlements",
        "payout_balance_transactions",
        "product_features",
    }
)
"""Child streams with the key (parent's column, `id`) instead of `id`."""

QUERY_PARENTS: Mapping[str, str] = {
    "entitlements_active_entitlements": "customers",
    "financial_connections_transactions": "financial_connections_accounts",
    "issuing_tokens": "issuing_cards",
    "payment_attempt_records": "payment_records",
    "radar_value_list_items": "radar_value_lists",
    "setup_attempts": "setup_intents",
    "subscription_items": "subscriptions",
    "treasury_credit_reversals": "treasury_financial_accounts",
    "treasury_debit_reversals": "treasury_financial_accounts",
    "treasury_inbound_transfers": "treasury_financial_accounts",
    "treasury_outbound_payments": "treasury_financial_accounts",
    "treasury_outbound_transfers": "treasury_financial_accounts",
    "treasury_received_credits": "treasury_financial_accounts",
    "treasury_received_debits": "treasury_financial_accounts",
    "treasury_transaction_entries": "treasury_financial_accounts",
    "treasury_transactions": "treasury_financial_accounts",
}
"""Child streams whose one required query parameter takes a parent's id: stream -> parent."""

PARENT_COLUMNS: Mapping[str, str] = {
    "application_fee_refunds": "fee",  # Stripe's own field
    "checkout_session_line_items": "checkout_session",
    "payment_intent_amount_details_line_items": "payment_intent",
    "transfer_reversals": "transfer",  # Stripe's own field
    "v2_core_account_persons": "account",  # Stripe's own field
}
"""Child streams whose column for the parent's id is not named like the parameter for it."""

PARENT_PARAMS: Mapping[str, Mapping[str, str]] = {
    # Docstring of AccountOwnerListParams: "The ID of the ownership object to fetch owners from."
    "financial_connections_account_owners": {"ownership": "ownership"},
}
"""Further required query parameters: stream -> parameter -> field of the parent's row."""

EMBEDDED: Mapping[str, str] = {
    "account_external_accounts": "external_accounts",
    "application_fee_refunds": "refunds",
    "credit_note_line_items": "lines",
    "invoice_line_items": "lines",
    "radar_value_list_items": "list_items",
    "subscription_items": "items",
    "transfer_reversals": "reversals",
}
"""Child streams whose first page comes in the parent's row: stream -> field.

API reference of each parent: none of these is marked expandable. An account has its
`external_accounts` only where the platform controls it; else they are asked for.
"""

EMBEDDED_BY_EXPAND: Mapping[str, str] = {
    "checkout_session_line_items": "line_items",
    "customer_sources": "sources",
    "customer_tax_ids": "tax_ids",
    "payment_intent_amount_details_line_items": "amount_details.line_items",
    "payment_link_line_items": "line_items",
    "quote_computed_upfront_line_items": "computed.upfront.line_items",
    "quote_line_items": "line_items",
}
"""The same, for fields that only come when the parent's list is asked to expand them.

API reference: marked expandable on each parent; `customer.sources` and `customer.tax_ids` since API
version 2020-08-27. Docstrings of the list methods: "there is an includable line_items property
containing the first handful of those items".
"""

# --- What a row is -----------------------------------------------------------------------------

DESCRIPTIONS: Mapping[str, str] = {
    "account_external_accounts": "A bank account or card that a connected account is paid to.",
    "apple_pay_domains": "A web domain registered for Apple Pay.",
    "customer_sources": "A card, bank account or source that is attached to a customer.",
    "payment_intent_amount_details_line_items": "A line item in a payment intent's amount details.",
    "payout_balance_transactions": "A balance transaction that an automatic payout paid out.",
}
"""Streams whose object has no docstring, or one that tells of something else."""

# --- What a list shows -------------------------------------------------------------------------

CREATED_FIELDS: Mapping[str, str] = {
    # Docstring of InvoiceItem.date: "Time at which the object was created."
    "invoice_items": "date",
}
"""Streams whose rows name their creation time otherwise than `created`."""

V2_PAGE_SIZE = 20
"""The `limit` for API v2 lists whose docstring names no maximum; larger ones have been refused."""

PARAMS: Mapping[str, Mapping[str, str]] = {
    # Docstring of SubscriptionListParams.status: "If no value is supplied, all subscriptions that
    # have not been canceled are returned."
    "subscriptions": {"status": "all"},
    # Docstring of EventDestinationListParams.include: "Include the normally redacted
    # `webhook_endpoint.url` in each returned destination."
    "v2_core_event_destinations": {"include[0]": "webhook_endpoint.url"},
    # Docstring of FinancialAccountListParams.statuses: "If omitted, closed FinancialAccounts are
    # not returned." `storage.deposit_insurance_eligibility` is the only field of its `include`.
    "v2_money_management_financial_accounts": {
        "include[0]": "storage.deposit_insurance_eligibility",
        "statuses[0]": "closed",
        "statuses[1]": "open",
        "statuses[2]": "pending",
    },
}
"""Constant query parameters, without which Stripe hides rows or fields; API v2 indexes arrays."""

HIDDEN: Mapping[str, str] = {
    "customers": "customers of a test clock",
    "events": "events older than 30 days",
    "payment_methods": "payment methods that were detached, and those of the type `custom`",
    "prices": "inline prices, which belong to one subscription, invoice or checkout session",
    "products": "products made inline with a price",
    "quotes": "quotes of a test clock",
    "reviews": "closed reviews",
    "subscription_schedules": "schedules for customers of a test clock",
    "subscriptions": "subscriptions of a test clock",
    "tax_ids": "tax IDs of customers, which `customer_tax_ids` has",
    "v2_core_accounts": "closed accounts; and the parts that only retrieving an account includes",
    "v2_core_events": "events older than 30 days",
}
"""What Stripe's lists leave out, whatever constant is asked: stream -> what.

From the docstrings of the lists and their parameters; of products, and of payment methods that were
detached, from github.com/stripe/stripe-python/issues/1724 and the API reference. That of prices
says "your active prices", but inactive ones have been seen in answers without `active`.
"""

TOLD_THOUGH_HIDDEN = frozenset({"prices", "products", "reviews"})
"""Of the streams of which lists leave something out, those of which events tell of that, too: what
is made inline, or closed since, is a row."""

ON_TEST_CLOCKS = frozenset({"customers", "quotes", "subscription_schedules", "subscriptions"})
"""Those of which the list leaves out what belongs to a test clock, of which events tell as well: no
row either way (docstrings of the parameters `test_clock` and `customer` of these lists)."""

CHOSEN_IDS = frozenset({"coupons", "plans", "products"})
"""Streams whose objects have ids of the user's choice, the parameter `id` of their creation: such
an id can be used again when an object is deleted."""

EXPAND: Mapping[str, tuple[str, ...]] = {
    # API reference, each marked expandable; `tiers` since API version 2020-08-27.
    "coupons": ("applies_to", "currency_options"),
    "customers": ("invoice_credit_balance", "tax"),
    "plans": ("tiers",),
    "prices": ("currency_options", "tiers"),
    "promotion_codes": ("restrictions.currency_options",),
    "shipping_rates": ("fixed_amount.currency_options",),
}
"""Fields that come only when asked for, belong to the row alone and cost Stripe little.

Not asked for: what is a stream of its own (`charge.refunds`, `customer.subscriptions`,
`file.links`, `invoice.payments`), what needs a permission of its own (`customer.cash_balance`,
`treasury.financial_account.features`), and secrets (`issuing.card.number`, `.cvc`).
"""

# --- Secrets -----------------------------------------------------------------------------------

SECRET_KEYS: frozenset[str] = frozenset(
    {
        # Docstring of apps.Install: "The authorization code for an oauth app install."
        "auth_code",
        # Docstrings: "It should not be stored, logged, or exposed to anyone".
        "client_secret",
        # Klarna's session on a source, for the customer's browser only.
        "client_token",
        # Docstring of three_d_secure.Authentication: "Store this value securely".
        "cryptogram",
        # Docstrings of terminal.Configuration.Wifi: "Password for connecting to the WiFi network".
        "password",
        "private_key_file_password",
        # Docstring of v2 EventDestination.WebhookEndpoint: "used to verify Stripe signatures".
        "signing_secret",
    }
)
"""Properties that are secret wherever they stand."""

OBJECT_SECRETS: Mapping[str, tuple[str, ...]] = {
    # Docstring: "Don't store it, log it, send it in emails or expose it to anyone".
    "identity.verification_session": ("url",),
    # Docstrings: "full unredacted card number"; only come from retrieving a card and expanding.
    "issuing.card": ("cvc", "number"),
    # Docstring: the secret "used to generate webhook signatures. Only returned at creation."
    "webhook_endpoint": ("secret",),
}
"""Properties that are secret in one kind of object, wherever it is embedded."""

# --- Events ------------------------------------------------------------------------------------

EVENT_OBJECTS: Mapping[str, tuple[str, ...]] = {
    "account.application": ("application",),
    "account.external_account": ("bank_account", "card"),
    "billing_portal.session": ("billing_portal.session",),
    "customer.source": ("bank_account", "card", "source"),
    # Its object is a summary, which names the customer whose entitlements changed.
    "entitlements.active_entitlement_summary": ("entitlements.active_entitlement",),
    "financial_connections.authorization": ("financial_connections.authorization",),
    "reserve.hold": ("reserve.hold",),
    "reserve.plan": ("reserve.plan",),
    "reserve.release": ("reserve.release",),
    "source.mandate_notification": ("source_mandate_notification",),
    "source.transaction": ("source_transaction",),
    "v2.core.account_link": ("v2.core.account_link",),
}
"""Events whose object the SDK does not tell: prefix of the type -> names of the object.

From the list of types in the API reference, which says of each what `data.object` is.
"""

EVENT_PREFIXES: Mapping[str, tuple[str, ...]] = {
    "account_external_accounts": ("account.external_account.",),
    "customer_sources": ("customer.source.", "source."),
    "tax_ids": (),
}
"""Streams of objects that hang under accounts and customers alike: stream -> beginnings of the only
event types that are about its rows.

All events of tax ids are of customers' ones, which the list `/v1/tax_ids` leaves out.
"""

EVENTS_WITHOUT_STREAM: Mapping[str, str] = {
    "application": "an app or platform, which the API does not return",
    "billing_portal.session": "cannot be listed",
    "cash_balance": "part of a customer",
    "discount": "part of a customer, subscription or invoice",
    "financial_connections.authorization": "cannot be listed",
    "mandate": "cannot be listed",
    "reserve.hold": "cannot be listed",
    "reserve.plan": "cannot be listed",
    "reserve.release": "cannot be listed",
    "source_mandate_notification": "cannot be listed",
    "source_transaction": "cannot be listed without its source",
    "v2.core.account_link": "cannot be listed",
    "v2.money_management.recipient_verification": "cannot be listed",
}
"""Objects that events tell of and no stream has: object -> why."""

# --- How changes are caught --------------------------------------------------------------------

CHANGES: Mapping[str, Changes] = {
    # Events are of one account: those of connected accounts do not come with the platform's own.
    "account_capabilities": "parent_and_all",
    "account_external_accounts": "parent_and_all",
    "account_persons": "parent_and_all",
    "accounts": "feed_and_all",
    # List of types: `data.object` is a `billing.alert_triggered`, which has no id.
    "billing_alerts": "snapshot",
    # A ledger: nothing in the API edits these, and they have no status.
    "billing_credit_balance_transactions": "feed",
    "events": "append_only",
    "v2_core_events": "append_only",
    "v2_money_management_adjustments": "append_only",
    "v2_money_management_transaction_entries": "append_only",
    # Nothing in the API edits these.
    "forwarding_requests": "append_only",
    # Attaching a feature is no change of the product.
    "product_features": "parent_and_all",
    # A short list that can be edited at any age, and gives no event.
    "radar_value_lists": "snapshot",
    "shipping_rates": "snapshot",
    # One answer holds the list. List of types: its event is "Selection required".
    "reporting_report_types": "snapshot",
    # List of types: its event comes when a run "finishes"; nothing in the API edits one.
    "sigma_scheduled_query_runs": "feed",
    # Nothing in the API edits a clock but advancing it, of which events tell.
    "test_clocks": "feed",
    # Their `balance` moves with every transaction, whatever their age.
    "treasury_financial_accounts": "feed_and_all",
    # Moving money is no change of the financial account that these hang under.
    "treasury_transaction_entries": "parent_and_all",
    "treasury_transactions": "parent_and_all",
}
"""Streams of which their event types and parameters do not say how to catch changes.

"List of types" is docs.stripe.com/api/events/types. It also says: "Events that occur on
subresources like `customer.subscription.updated` don't trigger a corresponding event for the parent
resource", and that types marked "Selection required" need a webhook that listens for them.
"""

CREATION_EVENTS: Mapping[str, tuple[str, ...]] = {
    # "Occurs whenever a pending charge is created", "a charge is successful", "a failed charge
    # attempt occurs".
    "charges": ("charge.failed", "charge.pending", "charge.succeeded"),
    # "Occurs whenever a new Stripe-generated file is available", but not for uploads.
    "files": (),
    # A payment method that is not attached cannot be listed.
    "payment_methods": ("payment_method.attached",),
    # Changelog 2024-10-28: before, `refund.created` was only sent for refunds without a charge.
    "refunds": (),
    "reviews": ("review.opened",),
}
"""Streams of whose new rows no type that ends in `.created` tells, or not of all: stream -> types
that do instead, from the list of types."""

MENTIONED: Mapping[str, Mapping[str, str]] = {
    # API reference, types of events: those of "subresources don't trigger a corresponding event for
    # the parent resource". What changes with them: `amount_refunded`, `disputed`, `review`,
    # `discount`, the lines of a draft.
    "application_fees": {"application_fee.refund.": "fee"},
    "charges": {
        "charge.dispute.": "charge",
        "charge.refund.": "charge",
        "refund.": "charge",
        "review.": "charge",
    },
    "customers": {"customer.discount.": "customer"},
    "invoices": {"invoiceitem.": "invoice"},
    "payment_intents": {"review.": "payment_intent"},
    "subscriptions": {"customer.discount.": "subscription"},
}
"""Streams whose rows change with another object: stream -> beginnings of the event types that tell
of that one -> its field that names the row."""

DETACHED = "payment_method.detached"
"""A payment method that is no customer's any more cannot be listed."""

CANCELED = "customer.subscription.deleted"
"""List of types: "Occurs whenever a customer's subscription ends"; it stays in the list."""

_METADATA = "Edits, such as of `metadata`, give no event."
_REDEEMED = "Stripe does not say whether redeeming one (`times_redeemed`) gives an event."
_REMOVED = "A row that is removed gives no event of its own, nor does its parent always."
_PLATFORM = "Events of connected accounts do not reliably come with those of the platform."

UNTOLD: Mapping[str, str] = {
    "account_capabilities": _PLATFORM,
    "account_external_accounts": _PLATFORM,
    "account_persons": _PLATFORM,
    "accounts": _PLATFORM,
    "application_fees": "Changes other than refunds give no event.",
    "balance_transactions": "Going from `pending` to `available` gives no event.",
    "checkout_sessions": "Opening a session, and edits such as of `metadata`, give no event.",
    "climate_orders": _METADATA,
    "climate_products": "A change of what is available gives no event.",
    "coupons": _REDEEMED,
    "customer_balance_transactions": "Edits of `description` and `metadata` give no event.",
    "entitlements_active_entitlements": "Events tell what a customer has, not what has ended.",
    "events": "`pending_webhooks` falls after an event was read.",
    "files": "An uploaded file gives no event, only one that Stripe makes.",
    "financial_connections_accounts": "Changes of `permissions`, `subscriptions` give no event.",
    "forwarding_requests": "Stripe keeps the request and its response for 30 days only.",
    "identity_verification_reports": "A redaction gives no event of the report.",
    "identity_verification_sessions": (
        "Edits, such as of `metadata`, give no event; a redaction only if a webhook listens for it."
    ),
    "invoice_items": "Edits, and being put on an invoice, give no event.",
    "invoice_line_items": _REMOVED,
    "invoice_payments": "Only being paid gives an event.",
    "issuing_personalization_designs": "A new design gives no event.",
    "payment_intent_amount_details_line_items": _REMOVED,
    "payment_intents": _METADATA,
    "payment_link_line_items": _REMOVED,
    "product_features": "Attaching and detaching a feature give no event.",
    "promotion_codes": _REDEEMED,
    "quote_computed_upfront_line_items": _REMOVED,
    "quote_line_items": _REMOVED,
    "quotes": "Edits of a quote give no event.",
    "refunds": "With an API version before 2024-10-28 not every refund gives events.",
    "reporting_report_runs": "A run gives an event only when it has ended.",
    "reviews": "Changes of an open review give no event.",
    "setup_intents": _METADATA,
    "subscription_items": _REMOVED,
    "terminal_readers": "Adding, editing and deleting a reader give no event.",
    "three_d_secure_authentications": "A new authentication gives no event until it goes on.",
    "topups": _METADATA,
    "transfer_reversals": _METADATA,
    "treasury_financial_accounts": "Changes of `balance`, and edits, give no event.",
    "treasury_transaction_entries": "New entries give no event.",
    "treasury_transactions": "New transactions, and changes of their status, give no event.",
}
"""What Stripe tells nobody of, where more is to say than `UNTOLD_OF` does: stream -> sentence."""

UNTOLD_OF: Mapping[Changes, str] = {
    "feed_and_all": "Not every change gives an event.",
    "feed_and_window": "Not every change gives an event.",
    "window": "Changes give no event.",
}
"""The same for every other stream of a class."""
