"""Where a shop's money goes: charges, refunds, disputes and payouts, each with its transaction.

Objects are written once and never change, so all that happens to one happens on its day.
"""

from __future__ import annotations

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How a payment goes."""

    attempts: tuple[bool, ...] = (True,)
    """For each charge, whether it succeeds."""

    refund: int = 0
    """What is given back on the same day."""

    disputed: bool = False

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

    unpaid: list[StripeObject] = field(default_factory=list)
    """Balance transactions that no payout has paid out."""

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
            self._event(kind, made)
        return made

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
            self._dispute(charge, intent, amount, last)
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
                "currency": "usd",
                "customer": payer.customer,
                "description": what,
                "last_payment_error": None if course.paid else _declined(payer),
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
        """Pay out everything that was not yet, when that is money."""
        total = sum(transaction["net"] for transaction in self.unpaid)
        if total <= 0:
            return
        payout = self.id("payout")
        transaction = self._transaction("payout", payout, when, amount=-total, what="STRIPE PAYOUT")
        self.write(
            "payouts",
            {
                "id": payout,
                "amount": total,
                "arrival_date": when,
                "automatic": True,
                "balance_transaction": transaction,
                "created": when,
                "currency": "usd",
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
        for paid in self.unpaid:
            self.stripe.add("payout_balance_transactions", {"id": paid["id"]}, parent=payout)
        self.unpaid.clear()

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
            fee = round(amount * 0.029) + 30
            transaction = self._transaction(
                "charge", charge, when, amount=amount, fee=fee, what=what
            )
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
                "currency": "usd",
                "customer": payer.customer,
                "description": what,
                "disputed": succeeds and course.disputed,
                "failure_code": None if succeeds else "card_declined",
                "failure_message": None if succeeds else "Your card was declined.",
                "fraud_details": {},
                "metadata": {},
                "outcome": {
                    "network_status": "approved_by_network" if succeeds else "declined_by_network",
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
        transaction = self._transaction(
            "refund", refund, when, amount=-amount, what="REFUND FOR CHARGE"
        )
        self.write(
            "refunds",
            {
                "id": refund,
                "amount": amount,
                "balance_transaction": transaction,
                "charge": charge,
                "created": when,
                "currency": "usd",
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

    def _dispute(self, charge: str, intent: str, amount: int, when: int) -> None:
        dispute = self.id("dispute")
        self._transaction(
            "adjustment", dispute, when, amount=-amount, fee=DISPUTE_FEE, what="Chargeback"
        )
        self.write(
            "disputes",
            {
                "id": dispute,
                "amount": amount,
                "balance_transactions": [dict(self.unpaid[-1])],
                "charge": charge,
                "created": when,
                "currency": "usd",
                "evidence": {},
                "evidence_details": {"due_by": when + 9 * DAY, "submission_count": 0},
                "is_charge_refundable": False,
                "metadata": {},
                "payment_intent": intent,
                "payment_method_details": {"card": {"brand": "visa"}, "type": "card"},
                "reason": "fraudulent",
                "status": "needs_response",
            },
            "charge.dispute.created",
            "charge.dispute.funds_withdrawn",
        )

    def _transaction(  # noqa: PLR0913 - what a transaction is made of
        self, kind: str, source: str, when: int, *, amount: int, what: str, fee: int = 0
    ) -> str:
        detail = {"amount": fee, "currency": "usd", "type": "stripe_fee"}
        made = self.write(
            "balance_transactions",
            {
                "id": self.id("balance_transaction"),
                "amount": amount,
                "available_on": when,
                "balance_type": "payments",
                "created": when,
                "currency": "usd",
                "description": what,
                "fee": fee,
                "fee_details": [{**detail, "description": "Stripe processing fees"}] if fee else [],
                "net": amount - fee,
                "reporting_category": "dispute" if kind == "adjustment" else kind,
                "source": source,
                "status": "available",
                "type": kind,
            },
        )
        if kind != "payout":
            self.unpaid.append(made)
        return str(made["id"])

    def _event(self, kind: str, about: StripeObject) -> None:
        identifier = self.id("event")
        created = int(about.get("created") or 0)
        if created < self.until - EVENTS_KEPT:
            return
        self.stripe.put(
            "events",
            {
                "id": identifier,
                "api_version": self.stripe.account_version,
                "created": created,
                "data": {"object": about},
                "pending_webhooks": 0,
                "request": {"id": None, "idempotency_key": None},
                "type": kind,
            },
        )


def _declined(payer: Payer) -> dict[str, Any]:
    return {
        "code": "card_declined",
        "decline_code": "insufficient_funds",
        "message": "Your card has insufficient funds.",
        "payment_method": {"id": payer.payment_method, "object": "payment_method", "type": "card"},
        "type": "card_error",
    }
