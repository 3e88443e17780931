"""Where a shop's money goes: charges, refunds, disputes and payouts, each with its transaction.

Objects are written once and never change, so all that happens to one happens on its day.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.fake_stripe.ids import make_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.fake_stripe.server import FakeStripe
    from tests.fake_stripe.store import StripeObject

HOUR = 3600
DAY = 24 * HOUR
EVENTS_KEPT = 30 * DAY
"""Stripe lists events for 30 days."""

DISPUTE_FEE = 1500
SETTLED_IN = {"usd": "usd", "eur": "eur", "jpy": "usd"}
"""The currency of the balance that a payment's currency goes to."""

CENTS_FOR_A_YEN = 0.67
OUTCOMES = ("lost", "lost", "under_review", "won")
"""What becomes of disputes."""

SHOP = 1_000_000
"""Where the shop's ids start, so that other seeds' differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payer:
    """A customer and the card that is charged."""

    customer: str
    payment_method: str
    name: str
    email: str
    last4: str
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How a payment goes."""

    attempts: tuple[bool, ...] = (True,)
    """For each charge, whether it succeeds."""

    refund: int = 0
    """What is given back on the same day."""

    disputed: bool = False
    decline: str = "generic_decline"
    """Why attempts fail, in the words of the network."""

    @property
    def paid(self) -> bool:
        """Whether the last attempt succeeded."""
        return self.attempts[-1]


@dataclass(frozen=True, slots=True)
class Payment:
    """What a payment left behind."""

    intent: str
    charge: str
    refund: str | None


@dataclass(slots=True)
class Ledger:
    """Writes objects, their events and their balance transactions."""

    stripe: FakeStripe
    until: float
    """Events older than 30 days before are forgotten."""

    unpaid: defaultdict[str, list[StripeObject]] = field(default_factory=lambda: defaultdict(list))
    """By currency: balance transactions that no payout has paid out."""

    counts: dict[str, int] = field(default_factory=dict)

    def id(self, kind: str) -> str:
        """The next id of a kind of object."""
        self.counts[kind] = self.counts.get(kind, SHOP) + 1
        return make_id(kind, self.counts[kind], testmode=not self.stripe.livemode)

    def write(
        self,
        stream: str,
        obj: Mapping[str, Any],
        *events: str,
        parent: str | None = None,
    ) -> StripeObject:
        """Add an object, and the events that tell of it."""
        made = self.stripe.put(stream, obj, parent=parent)
        for kind in events:
            self._event(kind, made, made.get("created") or 0)
        return made

    def change(
        self,
        stream: str,
        identifier: str,
        changes: Mapping[str, Any],
        when: int,
        *events: str,
        parent: str | None = None,
    ) -> None:
        """Change an object, and write the events that tell of it."""
        made = self.stripe.update(stream, identifier, changes, parent=parent)
        for kind in events:
            self._event(kind, made, when)

    def pay(self, payer: Payer, amount: int, when: int, what: str, course: Course) -> Payment:
        """Take a payment: its intent, a charge for each attempt, refund and dispute if any."""
        intent = self.id("payment_intent")
        charge = ""
        refund = None
        for attempt, succeeds in enumerate(course.attempts):
            charge = self.id("charge")
            moment = when + 2 * HOUR * attempt + 5
            self._charge(
                charge,
                moment,
                intent=intent,
                payer=payer,
                amount=amount,
                what=what,
                course=course,
                succeeds=succeeds,
            )
        last = when + 2 * HOUR * len(course.attempts)
        if course.paid and course.refund:
            refund = self._refund(charge, intent, payer, course.refund, last)
        if course.paid and course.disputed:
            self._dispute(charge, intent, payer, amount, last)
        self.write(
            "payment_intents",
            {
                "id": intent,
                "amount": amount,
                "amount_capturable": 0,
                "amount_received": amount if course.paid else 0,
                "capture_method": "automatic",
                "client_secret": f"{intent}_secret_{intent[-8:]}",
                "confirmation_method": "automatic",
                "created": when,
                "currency": payer.currency,
                "customer": payer.customer,
                "description": what,
                "last_payment_error": None if course.paid else _declined(payer, course.decline),
                "latest_charge": charge,
                "metadata": {},
                "payment_method": payer.payment_method if course.paid else None,
                "payment_method_types": ["card"],
                "status": "succeeded" if course.paid else "requires_payment_method",
            },
            "payment_intent.created",
            "payment_intent.succeeded" if course.paid else "payment_intent.payment_failed",
        )
        return Payment(intent, charge, refund)

    def pay_out(self, when: int) -> None:
        """Pay out what was not yet, of each currency, when that is money."""
        for currency, unpaid in self.unpaid.items():
            total = sum(transaction["net"] for transaction in unpaid)
            if total > 0:
                self._pay_out(currency, total, when)

    def _pay_out(self, currency: str, total: int, when: int) -> None:
        payout = self.id("payout")
        transaction = self._transaction(
            "payout", payout, when, amount=-total, currency=currency, what="STRIPE PAYOUT"
        )
        self.write(
            "payouts",
            {
                "id": payout,
                "amount": total,
                "arrival_date": when,
                "automatic": True,
                "balance_transaction": transaction["id"],
                "created": when,
                "currency": currency,
                "description": "STRIPE PAYOUT",
                "metadata": {},
                "method": "standard",
                "reconciliation_status": "completed",
                "source_type": "card",
                "status": "paid",
                "type": "bank_account",
            },
            "payout.created",
            "payout.paid",
        )
        # The payout's own transaction is listed with those that it pays out.
        for inside in (*self.unpaid[currency], transaction):
            self.stripe.add("payout_balance_transactions", {"id": inside["id"]}, parent=payout)
        self.unpaid[currency].clear()

    def _charge(  # noqa: PLR0913 - what a charge is made of
        self,
        charge: str,
        when: int,
        *,
        intent: str,
        payer: Payer,
        amount: int,
        what: str,
        course: Course,
        succeeds: bool,
    ) -> None:
        transaction = None
        if succeeds:
            transaction = self._movement(
                "charge", charge, when, payer=payer, amount=amount, what=what
            )["id"]
        refunded = course.refund if succeeds else 0
        events = ["charge.succeeded" if succeeds else "charge.failed"]
        if refunded:
            events.append("charge.refunded")
        self.write(
            "charges",
            {
                "id": charge,
                "amount": amount,
                "amount_captured": amount if succeeds else 0,
                "amount_refunded": refunded,
                "balance_transaction": transaction,
                "billing_details": {"email": payer.email, "name": payer.name, "phone": None},
                "captured": succeeds,
                "created": when,
                "currency": payer.currency,
                "customer": payer.customer,
                "description": what,
                "disputed": succeeds and course.disputed,
                "failure_code": None if succeeds else _failure_code(course.decline),
                "failure_message": None if succeeds else "Your card was declined.",
                "fraud_details": {},
                "metadata": {},
                "outcome": {
                    "network_status": "approved_by_network" if succeeds else "declined_by_network",
                    "reason": None if succeeds else course.decline,
                    "risk_level": "normal",
                    "type": "authorized" if succeeds else "issuer_declined",
                },
                "paid": succeeds,
                "payment_intent": intent,
                "payment_method": payer.payment_method,
                "payment_method_details": {
                    "card": {"brand": "visa", "country": "US", "last4": payer.last4},
                    "type": "card",
                },
                "refunded": refunded == amount,
                "status": "succeeded" if succeeds else "failed",
            },
            *events,
        )

    def _refund(self, charge: str, intent: str, payer: Payer, amount: int, when: int) -> str:
        refund = self.id("refund")
        what = "REFUND FOR CHARGE"
        transaction = self._movement(
            "refund", refund, when, payer=payer, amount=-amount, what=what
        )["id"]
        self.write(
            "refunds",
            {
                "id": refund,
                "amount": amount,
                "balance_transaction": transaction,
                "charge": charge,
                "created": when,
                "currency": payer.currency,
                "destination_details": {"card": {"type": "refund"}, "type": "card"},
                "metadata": {},
                "payment_intent": intent,
                "payment_method": payer.payment_method,
                "reason": "requested_by_customer",
                "status": "succeeded",
            },
            "refund.created",
        )
        return refund

    def _dispute(self, charge: str, intent: str, payer: Payer, amount: int, when: int) -> None:
        dispute = self.id("dispute")
        status = OUTCOMES[self.counts["dispute"] % len(OUTCOMES)]
        moved = [
            self._movement(
                "adjustment", dispute, when, payer=payer, amount=-amount, what="Chargeback"
            )
        ]
        if status == "won":
            what = "Chargeback reversal"
            moved.append(
                self._movement(
                    "adjustment", dispute, when + HOUR, payer=payer, amount=amount, what=what
                )
            )
        self.write(
            "disputes",
            {
                "id": dispute,
                "amount": amount,
                "balance_transactions": [dict(transaction) for transaction in moved],
                "charge": charge,
                "created": when,
                "currency": payer.currency,
                "evidence": {},
                "evidence_details": {"due_by": when + 9 * DAY, "submission_count": 0},
                "is_charge_refundable": False,
                "metadata": {},
                "payment_intent": intent,
                "payment_method_details": {"card": {"brand": "visa"}, "type": "card"},
                "reason": "fraudulent",
                "status": status,
            },
            "charge.dispute.created",
            "charge.dispute.funds_withdrawn",
        )

    def _movement(  # noqa: PLR0913 - what a movement is made of
        self, kind: str, source: str, when: int, *, payer: Payer, amount: int, what: str
    ) -> StripeObject:
        """A transaction of what a customer paid or got back, in the currency of the balance."""
        currency = SETTLED_IN[payer.currency]
        rate = None if currency == payer.currency else CENTS_FOR_A_YEN
        moved = round(amount * (rate or 1))
        fee = 0
        if kind == "charge":
            fee = round(moved * 0.029) + 30
        elif kind == "adjustment" and amount < 0:
            fee = DISPUTE_FEE
        return self._transaction(
            kind, source, when, amount=moved, currency=currency, what=what, fee=fee, rate=rate
        )

    def _transaction(  # noqa: PLR0913 - what a transaction is made of
        self,
        kind: str,
        source: str,
        when: int,
        *,
        amount: int,
        currency: str,
        what: str,
        fee: int = 0,
        rate: float | None = None,
    ) -> StripeObject:
        detail = {"amount": fee, "currency": currency, "type": "stripe_fee"}
        made = self.write(
            "balance_transactions",
            {
                "id": self.id("balance_transaction"),
                "amount": amount,
                "available_on": when,
                "balance_type": "payments",
                "created": when,
                "currency": currency,
                "description": what,
                "exchange_rate": rate,
                "fee": fee,
                "fee_details": [{**detail, "description": "Stripe processing fees"}] if fee else [],
                "net": amount - fee,
                "reporting_category": _category(kind, amount),
                "source": source,
                "status": "available",
                "type": kind,
            },
        )
        if kind != "payout":
            self.unpaid[currency].append(made)
        return made

    def _event(self, kind: str, about: StripeObject, created: int) -> None:
        identifier = self.id("event")
        if created < self.until - EVENTS_KEPT:
            return
        self.stripe.put(
            "events",
            {
                "id": identifier,
                "api_version": self.stripe.account_version,
                "created": created,
                "data": {"object": dict(about)},  # as it is then
                "pending_webhooks": 0,
                "request": {"id": None, "idempotency_key": None},
                "type": kind,
            },
        )


def _category(kind: str, amount: int) -> str:
    """What Stripe's reports call a transaction."""
    if kind == "adjustment":
        return "dispute" if amount < 0 else "dispute_reversal"
    return kind


def _failure_code(decline: str) -> str:
    return decline if decline == "expired_card" else "card_declined"


def _declined(payer: Payer, decline: str) -> dict[str, Any]:
    return {
        "code": _failure_code(decline),
        "decline_code": decline,
        "message": "Your card was declined.",
        "payment_method": {"id": payer.payment_method, "object": "payment_method", "type": "card"},
        "type": "card_error",
    }
