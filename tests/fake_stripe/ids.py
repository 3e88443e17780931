"""Ids as Stripe's, and the dice that everything made up is thrown with."""

from __future__ import annotations

import random
import string
from base64 import b64encode
from hashlib import blake2b

ALPHABET = string.ascii_letters + string.digits

PREFIXES = {
    "account": "acct",
    "account_capability": "cap",
    "apple_pay_domain": "apwc",
    "application_fee": "fee",
    "apps.install": "appinst",
    "balance_transaction": "txn",
    "bank_account": "ba",
    "billing.alert": "alrt",
    "billing.credit_balance_transaction": "cbtxn",
    "billing.credit_grant": "credgr",
    "billing.meter": "mtr",
    "billing_portal.configuration": "bpc",
    "card": "card",
    "charge": "ch",
    "checkout.session": "cs",
    "climate.order": "climorder",
    "climate.product": "climsku",
    "climate.supplier": "climsup",
    "coupon": "coupon",
    "credit_note": "cn",
    "credit_note_line_item": "cnli",
    "customer": "cus",
    "customer_balance_transaction": "cbtxn",
    "customer_cash_balance_transaction": "ccsbtxn",
    "discount": "di",
    "dispute": "dp",
    "entitlements.active_entitlement": "ent",
    "entitlements.feature": "feat",
    "event": "evt",
    "fee_refund": "fr",
    "file": "file",
    "file_link": "link",
    "financial_connections.account": "fca",
    "financial_connections.account_owner": "fcaown",
    "financial_connections.transaction": "fctxn",
    "forwarding.request": "fwdreq",
    "identity.verification_report": "vr",
    "identity.verification_session": "vs",
    "invoice": "in",
    "invoice_payment": "inpay",
    "invoice_rendering_template": "inrtem",
    "invoiceitem": "ii",
    "issuing.authorization": "iauth",
    "issuing.card": "ic",
    "issuing.cardholder": "ich",
    "issuing.dispute": "idp",
    "issuing.personalization_design": "ics",
    "issuing.physical_bundle": "icb",
    "issuing.token": "intok",
    "issuing.transaction": "ipi",
    "item": "li",
    "line_item": "il",
    "payment_attempt_record": "par",
    "payment_intent": "pi",
    "payment_link": "plink",
    "payment_method": "pm",
    "payment_method_configuration": "pmc",
    "payment_method_domain": "pmd",
    "payment_record": "pr",
    "payout": "po",
    "person": "person",
    "plan": "price",
    "price": "price",
    "product": "prod",
    "product_feature": "prodft",
    "promotion_code": "promo",
    "quote": "qt",
    "radar.early_fraud_warning": "issfr",
    "radar.value_list": "rsl",
    "radar.value_list_item": "rsli",
    "refund": "re",
    "reporting.report_run": "frr",
    "review": "prv",
    "scheduled_query_run": "sqr",
    "setup_attempt": "setatt",
    "setup_intent": "seti",
    "shipping_rate": "shr",
    "source": "src",
    "subscription": "sub",
    "subscription_item": "si",
    "subscription_schedule": "sub_sched",
    "tax.registration": "taxreg",
    "tax_code": "txcd",
    "tax_id": "txi",
    "tax_rate": "txr",
    "terminal.configuration": "tmc",
    "terminal.location": "tml",
    "terminal.reader": "tmr",
    "test_helpers.test_clock": "clock",
    "topup": "tu",
    "transfer": "tr",
    "transfer_reversal": "trr",
    "treasury.credit_reversal": "credrev",
    "treasury.debit_reversal": "debrev",
    "treasury.financial_account": "fa",
    "treasury.inbound_transfer": "ibt",
    "treasury.outbound_payment": "obp",
    "treasury.outbound_transfer": "obt",
    "treasury.received_credit": "rc",
    "treasury.received_debit": "rd",
    "treasury.transaction": "trxn",
    "treasury.transaction_entry": "trxne",
    "webhook_endpoint": "we",
}


def prefix(object_name: str) -> str:
    """How ids of an object start; made up from its name where Stripe's is not known."""
    known = PREFIXES.get(object_name)
    return known or object_name.rpartition(".")[2].replace("_", "")


def make_id(object_name: str, number: int, *, testmode: bool) -> str:
    """The `number`-th id of a kind: stable, unique and as long as Stripe's."""
    start = prefix(object_name)
    if object_name == "checkout.session":
        start += "_test" if testmode else "_live"
    return f"{start}_{scramble(object_name, number)}"


def scramble(salt: str, number: int) -> str:
    """24 letters and digits that look like nothing and end in the number, in hexadecimal."""
    digest = blake2b(f"{salt}/{number}".encode(), digest_size=12).digest()
    return f"1{b64encode(digest, b'Zq').decode()}{number:07x}"


def token(length: int) -> str:
    """Letters and digits of no meaning, different each time."""
    return "".join(random.SystemRandom().choices(ALPHABET, k=length))


def dice(*seed: object) -> random.Random:
    """Reproducible chance."""
    return random.Random("/".join(map(str, seed)))  # noqa: S311 - not for secrets
