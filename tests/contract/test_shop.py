"""The fake server's shop is one that could be: its money adds up and its references resolve."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

import pytest

from tests.fake_stripe import FakeStripe
from tests.fake_stripe.shop import stock

if TYPE_CHECKING:
    from collections.abc import Iterator

UNTIL = 1_795_435_200
"""2026-11-23T12:00:00Z"""

DAY = 86400

STREAMS = (
    "balance_transactions",
    "charges",
    "checkout_session_line_items",
    "checkout_sessions",
    "coupons",
    "credit_note_line_items",
    "credit_notes",
    "customers",
    "disputes",
    "events",
    "invoice_line_items",
    "invoice_payments",
    "invoices",
    "payment_intents",
    "payment_methods",
    "payout_balance_transactions",
    "payouts",
    "prices",
    "products",
    "refunds",
    "setup_intents",
    "subscription_items",
    "subscriptions",
    "tax_rates",
)

REFERENCES = frozenset(
    {
        "balance_transaction",
        "charge",
        "customer",
        "default_payment_method",
        "default_price",
        "invoice",
        "invoice_line_item",
        "latest_charge",
        "latest_invoice",
        "payment_intent",
        "payment_method",
        "price",
        "product",
        "refund",
        "source",
        "subscription",
        "subscription_item",
        "tax_rate",
    }
)
"""Properties that hold an object's id, at any depth."""


def shop(until: float = UNTIL) -> FakeStripe:
    stripe = FakeStripe()
    stock(stripe, until=until)
    return stripe


@pytest.fixture(scope="module")
def stripe() -> FakeStripe:
    return shop()


def references(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name in REFERENCES and isinstance(inner, str):
                yield inner
            yield from references(inner)
    if isinstance(value, list):
        for inner in value:
            yield from references(inner)


def rows(stripe: FakeStripe, stream: str) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in stripe.objects(stream)}


def test_the_shop_has_about_300_customers_and_everything_that_shops_have(
    stripe: FakeStripe,
) -> None:
    assert all(stripe.ids(stream) for stream in STREAMS)
    assert 200 < len(stripe.ids("customers")) < 400
    assert {"active", "canceled"} == {row["status"] for row in stripe.objects("subscriptions")}


def test_every_reference_resolves(stripe: FakeStripe) -> None:
    streams = {stream: stripe.objects(stream) for stream in STREAMS}
    known = {row["id"] for objects in streams.values() for row in objects}
    dangling = {
        (stream, identifier)
        for stream, objects in streams.items()
        for row in objects
        for identifier in references(row)
        if identifier not in known
    }
    assert dangling == set()


def test_payouts_pay_out_what_their_transactions_net(stripe: FakeStripe) -> None:
    transactions = rows(stripe, "balance_transactions")
    paid_out: list[str] = []
    for payout in stripe.objects("payouts"):
        inside = stripe.objects("payout_balance_transactions", parent=payout["id"])
        own = transactions[payout["balance_transaction"]]
        paid = [row for row in inside if row["id"] != own["id"]]
        assert len(paid) == len(inside) - 1
        assert sum(row["net"] for row in paid) == -own["net"] == payout["amount"]
        assert {row["currency"] for row in inside} == {payout["currency"]}
        paid_out += [row["id"] for row in inside]
    assert len(paid_out) == len(set(paid_out))
    left: Counter[str] = Counter()
    for row in transactions.values():
        left[row["currency"]] += row["net"]
    available = stripe.objects("balance")[0]["available"]
    assert {each["currency"]: each["amount"] for each in available} == left
    assert left.keys() == {"eur", "usd"}


def test_each_transaction_nets_amount_less_fee_and_has_its_source(stripe: FakeStripe) -> None:
    sources = {
        "adjustment": rows(stripe, "disputes"),
        "charge": rows(stripe, "charges"),
        "payout": rows(stripe, "payouts"),
        "refund": rows(stripe, "refunds"),
    }
    for row in stripe.objects("balance_transactions"):
        assert row["net"] == row["amount"] - row["fee"]
        assert sum(detail["amount"] for detail in row["fee_details"]) == row["fee"]
        source = sources[row["type"]][row["source"]]
        assert (row["exchange_rate"] is None) == (row["currency"] == source["currency"])
        assert abs(row["amount"]) == round(source["amount"] * (row["exchange_rate"] or 1))


def test_refunds_are_what_charges_say_they_gave_back(stripe: FakeStripe) -> None:
    given_back: dict[str, int] = {}
    for refund in stripe.objects("refunds"):
        given_back[refund["charge"]] = given_back.get(refund["charge"], 0) + refund["amount"]
    disputed = {row["charge"] for row in stripe.objects("disputes")}
    for charge in stripe.objects("charges"):
        assert charge["amount_refunded"] == given_back.get(charge["id"], 0)
        assert charge["disputed"] == (charge["id"] in disputed)
        assert (charge["balance_transaction"] is not None) == charge["paid"]


def test_invoices_total_their_lines(stripe: FakeStripe) -> None:
    lines: dict[str, list[dict[str, Any]]] = {}
    for line in stripe.objects("invoice_line_items"):
        lines.setdefault(line["invoice"], []).append(line)
    longest = 0
    for invoice in stripe.objects("invoices"):
        own = lines[invoice["id"]]
        off = sum(discount["amount"] for line in own for discount in line["discount_amounts"])
        assert invoice["subtotal"] == sum(line["amount"] for line in own)
        assert invoice["total"] == invoice["subtotal"] - off
        assert invoice["amount_paid"] + invoice["amount_remaining"] == invoice["total"]
        assert invoice["lines"]["has_more"] == (len(own) > 10)
        longest = max(longest, len(own))
    assert longest > 10


def test_credit_notes_total_their_lines_and_were_refunded(stripe: FakeStripe) -> None:
    refunds = rows(stripe, "refunds")
    for note in stripe.objects("credit_notes"):
        own = stripe.objects("credit_note_line_items", parent=note["id"])
        assert note["total"] == sum(line["amount"] - line["discount_amount"] for line in own)
        assert note["total"] == refunds[note["refunds"][0]["refund"]]["amount"]


def test_checkout_sessions_total_their_items(stripe: FakeStripe) -> None:
    intents = rows(stripe, "payment_intents")
    for session in stripe.objects("checkout_sessions"):
        items = stripe.objects("checkout_session_line_items", parent=session["id"])
        assert session["amount_total"] == sum(item["amount_total"] for item in items)
        if session["payment_status"] == "paid":
            assert intents[session["payment_intent"]]["amount_received"] == session["amount_total"]


def test_events_are_of_the_last_thirty_days(stripe: FakeStripe) -> None:
    times = [event["created"] for event in stripe.objects("events")]
    assert UNTIL - 31 * DAY < min(times) < max(times) < UNTIL


def test_subscriptions_are_invoiced_for_one_period_after_the_other(stripe: FakeStripe) -> None:
    periods: dict[str, list[tuple[int, int]]] = {}
    for line in reversed(stripe.objects("invoice_line_items")):
        period = (line["period"]["start"], line["period"]["end"])
        if period not in periods.setdefault(line["subscription"], []):
            periods[line["subscription"]].append(period)
    latest: dict[str, str] = {}
    for invoice in reversed(stripe.objects("invoices")):
        latest[invoice["parent"]["subscription_details"]["subscription"]] = invoice["id"]
    subscriptions = rows(stripe, "subscriptions")
    assert periods.keys() == subscriptions.keys()
    for name, subscription in subscriptions.items():
        own = sorted(periods[name])
        assert own[0][0] == subscription["start_date"]
        assert all(end == start for (_, end), (start, _) in pairwise(own))
        ended = subscription["ended_at"] or UNTIL - DAY // 2  # midnight
        assert own[-1][0] <= ended <= own[-1][1], "it goes on, or ends in or with a period"
        for item in stripe.objects("subscription_items", parent=name):
            assert (item["current_period_start"], item["current_period_end"]) == own[-1]
        assert subscription["latest_invoice"] == latest[name]


def test_prices_recur_monthly_and_yearly_in_three_currencies(stripe: FakeStripe) -> None:
    used = {
        (item["price"]["currency"], item["price"]["recurring"]["interval"])
        for item in stripe.objects("subscription_items")
    }
    assert used == set(product(("eur", "jpy", "usd"), ("month", "year")))
    subscriptions = rows(stripe, "subscriptions")
    for item in stripe.objects("subscription_items"):
        assert item["price"]["currency"] == subscriptions[item["subscription"]]["currency"]
    assert {row["currency"] for row in stripe.objects("payouts")} == {"eur", "usd"}


def test_a_later_end_has_the_same_objects_and_more(stripe: FakeStripe) -> None:
    later = shop(UNTIL + 20 * DAY)
    for stream in STREAMS:
        before, after = rows(stripe, stream), rows(later, stream)
        if stream == "events":
            before = {name: row for name, row in before.items() if name in after}
        if stream in {"subscriptions", "subscription_items"}:
            moved_on = {name for name, row in before.items() if row != after[name]}
            assert 0 < len(moved_on) < len(before), "some are renewed, some have ended"
            before = {name: row for name, row in before.items() if name not in moved_on}
        assert before == {name: after.get(name) for name in before}, stream
    assert len(later.ids("charges")) > len(stripe.ids("charges"))
