"""What a shop bills: products and prices, subscriptions, their invoices and credit notes."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.fake_stripe.ledger import DAY, HOUR, Course

if TYPE_CHECKING:
    from datetime import date
    from random import Random

    from tests.fake_stripe.ledger import Ledger, Payer, Payment
    from tests.fake_stripe.store import StripeObject

MONTH = 30 * DAY
VAT = 19
"""Per cent, included in every amount."""

PLANS = {"Starter": 1900, "Team": 4900, "Studio": 9900, "Archive": 700, "Priority support": 2900}
GOODS = {"Notebook": 1400, "Pen": 350, "Sticker sheet": 250, "Onboarding hour": 12000}
BIG = 12
"""Subscription items of a big customer: more than an embedded list holds."""


@dataclass(frozen=True, slots=True)
class Price:
    """A price, with its product's name."""

    name: str
    amount: int
    object: StripeObject


@dataclass(frozen=True, slots=True)
class Item:
    """A subscription item."""

    id: str
    price: Price
    quantity: int

    @property
    def amount(self) -> int:
        """What it costs a month."""
        return self.price.amount * self.quantity


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription that is invoiced every month."""

    id: str
    payer: Payer
    items: tuple[Item, ...]
    started: int


class Billing:
    """Subscriptions and their invoices."""

    def __init__(self, ledger: Ledger, chance: Random) -> None:
        """Write to `ledger`, as `chance` has it."""
        self._ledger = ledger
        self._chance = chance
        self._due: defaultdict[int, list[Subscription]] = defaultdict(list)
        """Subscriptions by the day of the month on which they are invoiced."""

        self._numbers: defaultdict[str, int] = defaultdict(int)
        self._tax_rate = ""
        self.plans: list[Price] = []
        self.goods: list[Price] = []

    def open(self, when: int) -> None:
        """Write products, prices, the tax rate and the coupon."""
        self.plans = [self._price(name, amount, when, "month") for name, amount in PLANS.items()]
        self.goods = [self._price(name, amount, when, None) for name, amount in GOODS.items()]
        self._tax_rate = self._ledger.id("tax_rate")
        self._ledger.write(
            "tax_rates",
            {
                "id": self._tax_rate,
                "active": True,
                "country": "DE",
                "created": when,
                "display_name": "VAT",
                "effective_percentage": VAT,
                "inclusive": True,
                "metadata": {},
                "percentage": VAT,
                "rate_type": "percentage",
                "tax_type": "vat",
            },
        )
        self._ledger.write(
            "coupons",
            {
                "id": "WELCOME10",
                "created": when,
                "duration": "once",
                "metadata": {},
                "name": "Welcome",
                "percent_off": 10,
                "valid": True,
            },
            "coupon.created",
        )

    def subscribe(self, payer: Payer, day: date, when: int) -> None:
        """Start a subscription and bill its first month; some change their mind the same day."""
        chance, ledger = self._chance, self._ledger
        subscription = ledger.id("subscription")
        count = BIG if chance.random() < 0.03 else chance.randint(1, 2)
        items = tuple(
            Item(ledger.id("subscription_item"), chance.choice(self.plans), chance.randint(1, 5))
            for _ in range(count)
        )
        canceled = chance.random() < 0.12
        sub = Subscription(subscription, payer, items, when)
        discount = ledger.id("discount") if chance.random() < 0.2 else None
        invoice = self._invoice(sub, when, discount=discount, regretted=canceled)
        ended = when + 8 * HOUR if canceled else None
        ledger.write(
            "subscriptions",
            {
                "id": subscription,
                "automatic_tax": {"enabled": False, "liability": None},
                "billing_cycle_anchor": when,
                "cancel_at_period_end": False,
                "canceled_at": ended,
                "cancellation_details": {"comment": None, "feedback": None, "reason": None},
                "collection_method": "charge_automatically",
                "created": when,
                "currency": "usd",
                "customer": payer.customer,
                "default_payment_method": payer.payment_method,
                "default_tax_rates": [],
                "discounts": [discount] if discount else [],
                "ended_at": ended,
                "latest_invoice": invoice,
                "metadata": {},
                "start_date": when,
                "status": "canceled" if canceled else "active",
            },
            "customer.subscription.created",
            *(["customer.subscription.deleted"] if canceled else []),
        )
        for item in items:
            self._item(sub, item)
        if not canceled:
            self._due[min(day.day, 28)].append(sub)

    def renew(self, day: date, when: int) -> None:
        """Bill the month of every subscription that is due."""
        for number, subscription in enumerate(self._due[day.day]):
            self._invoice(subscription, when + 60 * number, discount=None, regretted=False)

    def _price(self, name: str, amount: int, when: int, interval: str | None) -> Price:
        ledger = self._ledger
        product, price = ledger.id("product"), ledger.id("price")
        ledger.write(
            "products",
            {
                "id": product,
                "active": True,
                "created": when,
                "default_price": price,
                "description": f"{name}, by Ada's Notebooks",
                "images": [],
                "marketing_features": [],
                "metadata": {},
                "name": name,
                "type": "service" if interval else "good",
                "updated": when,
            },
            "product.created",
        )
        made = ledger.write(
            "prices",
            {
                "id": price,
                "active": True,
                "billing_scheme": "per_unit",
                "created": when,
                "currency": "usd",
                "metadata": {},
                "product": product,
                "recurring": _monthly() if interval else None,
                "tax_behavior": "inclusive",
                "type": "recurring" if interval else "one_time",
                "unit_amount": amount,
                "unit_amount_decimal": str(amount),
            },
            "price.created",
        )
        return Price(name, amount, made)

    def _item(self, subscription: Subscription, item: Item) -> None:
        self._ledger.write(
            "subscription_items",
            {
                "id": item.id,
                "created": subscription.started,
                "current_period_end": subscription.started + MONTH,
                "current_period_start": subscription.started,
                "discounts": [],
                "metadata": {},
                "price": item.price.object,
                "quantity": item.quantity,
                "subscription": subscription.id,
                "tax_rates": [],
            },
            parent=subscription.id,
        )

    def _course(self, amount: int, *, regretted: bool) -> Course:
        """How an invoice's payment goes: most succeed, few fail, some at first."""
        if regretted:
            return Course(refund=amount)
        luck = self._chance.random()
        if luck < 0.015:
            return Course(attempts=(False, False))
        if luck < 0.06:
            return Course(attempts=(False, True))
        return Course(refund=amount if luck < 0.07 else 0, disputed=0.07 <= luck < 0.075)

    def _invoice(
        self, sub: Subscription, when: int, *, discount: str | None, regretted: bool
    ) -> str:
        """Bill a month and have it paid; a refund of it comes with a credit note."""
        ledger = self._ledger
        invoice = ledger.id("invoice")
        subtotal = sum(item.amount for item in sub.items)
        lines = [self._line(sub, item, invoice, when, discount) for item in sub.items]
        off = sum(_discounts(line) for line in lines)
        total = subtotal - off
        course = self._course(total, regretted=regretted)
        payment = ledger.pay(sub.payer, total, when + HOUR, "Subscription", course)
        self._numbers[sub.payer.customer] += 1
        paid = total if course.paid else 0
        made = ledger.write(
            "invoices",
            {
                "id": invoice,
                "account_country": "US",
                "account_name": "Ada's Notebooks",
                "amount_due": total,
                "amount_paid": paid,
                "amount_remaining": total - paid,
                "amount_shipping": 0,
                "attempt_count": len(course.attempts),
                "attempted": True,
                "auto_advance": False,
                "automatic_tax": {"enabled": False, "liability": None, "status": None},
                "billing_reason": "subscription_"
                + ("create" if when < sub.started + 1 else "cycle"),
                "collection_method": "charge_automatically",
                "created": when,
                "currency": "usd",
                "customer": sub.payer.customer,
                "customer_email": sub.payer.email,
                "customer_name": sub.payer.name,
                "default_tax_rates": [],
                "discounts": [discount] if discount else [],
                "effective_at": when,
                "ending_balance": 0,
                "issuer": {"type": "self"},
                "metadata": {},
                "number": f"{sub.payer.customer[-4:]}-{self._numbers[sub.payer.customer]:04}",
                "parent": {
                    "quote_details": None,
                    "subscription_details": {"metadata": {}, "subscription": sub.id},
                    "type": "subscription_details",
                },
                "period_end": when + MONTH,
                "period_start": when,
                "post_payment_credit_notes_amount": total if payment.refund else 0,
                "pre_payment_credit_notes_amount": 0,
                "starting_balance": 0,
                "status": "paid" if course.paid else "open",
                "status_transitions": {
                    "finalized_at": when,
                    "marked_uncollectible_at": None,
                    "paid_at": when + 2 * HOUR * len(course.attempts) if course.paid else None,
                    "voided_at": None,
                },
                "subtotal": subtotal,
                "total": total,
                "total_discount_amounts": [{"amount": off, "discount": discount}]
                if discount
                else [],
                "total_taxes": [self._tax(total)],
            },
            "invoice.created",
            "invoice.finalized",
            "invoice.paid" if course.paid else "invoice.payment_failed",
        )
        for line in lines:
            ledger.write("invoice_line_items", line, parent=invoice)
        self._payment(invoice, payment, total, when, paid=course.paid)
        if payment.refund:
            self._credit(made, lines, payment.refund, when + 5 * HOUR)
        return invoice

    def _line(
        self, sub: Subscription, item: Item, invoice: str, when: int, discount: str | None
    ) -> dict[str, Any]:
        off = round(item.amount * 0.1) if discount else 0
        return {
            "id": self._ledger.id("line_item"),
            "amount": item.amount,
            "currency": "usd",
            "description": f"{item.quantity} x {item.price.name}",
            "discount_amounts": [{"amount": off, "discount": discount}] if discount else [],
            "discountable": True,
            "discounts": [],
            "invoice": invoice,
            "metadata": {},
            "parent": {
                "invoice_item_details": None,
                "subscription_item_details": {
                    "invoice_item": None,
                    "proration": False,
                    "subscription": sub.id,
                    "subscription_item": item.id,
                },
                "type": "subscription_item_details",
            },
            "period": {"end": when + MONTH, "start": when},
            "pricing": {
                "price_details": {
                    "price": item.price.object["id"],
                    "product": item.price.object["product"],
                },
                "type": "price_details",
                "unit_amount_decimal": str(item.price.amount),
            },
            "quantity": item.quantity,
            "subscription": sub.id,
            "subtotal": item.amount,
            "taxes": [self._tax(item.amount - off)],
        }

    def _tax(self, amount: int) -> dict[str, Any]:
        tax = round(amount * VAT / (100 + VAT))
        return {
            "amount": tax,
            "tax_behavior": "inclusive",
            "tax_rate_details": {"tax_rate": self._tax_rate},
            "taxability_reason": "standard_rated",
            "taxable_amount": amount - tax,
            "type": "tax_rate_details",
        }

    def _payment(
        self, invoice: str, payment: Payment, total: int, when: int, *, paid: bool
    ) -> None:
        self._ledger.write(
            "invoice_payments",
            {
                "id": self._ledger.id("invoice_payment"),
                "amount_paid": total if paid else None,
                "amount_requested": total,
                "created": when,
                "currency": "usd",
                "invoice": invoice,
                "is_default": True,
                "payment": {"payment_intent": payment.intent, "type": "payment_intent"},
                "status": "paid" if paid else "open",
                "status_transitions": {"canceled_at": None, "paid_at": when if paid else None},
            },
            *(["invoice_payment.paid"] if paid else []),
        )

    def _credit(
        self, invoice: StripeObject, lines: list[dict[str, Any]], refund: str, when: int
    ) -> None:
        ledger = self._ledger
        note = ledger.id("credit_note")
        total = invoice["total"]
        ledger.write(
            "credit_notes",
            {
                "id": note,
                "amount": total,
                "amount_shipping": 0,
                "created": when,
                "currency": "usd",
                "customer": invoice["customer"],
                "discount_amount": invoice["subtotal"] - total,
                "discount_amounts": [],
                "effective_at": when,
                "invoice": invoice["id"],
                "metadata": {},
                "number": f"{invoice['number']}-CN-01",
                "post_payment_amount": total,
                "pre_payment_amount": 0,
                "reason": "order_change",
                "refunds": [{"amount_refunded": total, "refund": refund, "type": "refund"}],
                "status": "issued",
                "subtotal": invoice["subtotal"],
                "total": total,
                "total_taxes": [self._tax(total)],
                "type": "post_payment",
            },
            "credit_note.created",
        )
        for line in lines:
            ledger.write(
                "credit_note_line_items",
                {
                    "id": ledger.id("credit_note_line_item"),
                    "amount": line["amount"],
                    "description": line["description"],
                    "discount_amount": _discounts(line),
                    "discount_amounts": line["discount_amounts"],
                    "invoice_line_item": line["id"],
                    "metadata": {},
                    "quantity": line["quantity"],
                    "tax_rates": [],
                    "taxes": line["taxes"],
                    "type": "invoice_line_item",
                    "unit_amount": line["amount"] // line["quantity"],
                    "unit_amount_decimal": line["pricing"]["unit_amount_decimal"],
                },
                parent=note,
            )


def _discounts(line: dict[str, Any]) -> int:
    return sum(discount["amount"] for discount in line["discount_amounts"])


def _monthly() -> dict[str, Any]:
    return {
        "interval": "month",
        "interval_count": 1,
        "meter": None,
        "trial_period_days": None,
        "usage_type": "licensed",
    }
