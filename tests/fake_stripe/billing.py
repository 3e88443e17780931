"""What a shop bills: subscriptions, their invoices and credit notes."""

from __future__ import annotations

from calendar import monthrange
from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime, timezone
from typing import TYPE_CHECKING, Any

from tests.fake_stripe.ledger import DAY, HOUR, Course
from tests.fake_stripe.price_list import MONTHLY, YEARLY, Discount, PriceList

if TYPE_CHECKING:
    from random import Random

    from tests.fake_stripe.ledger import Ledger, Payer, Payment
    from tests.fake_stripe.price_list import Price
    from tests.fake_stripe.store import StripeObject

BIG = 12
"""Subscription items of a big customer: more than an embedded list holds."""

BY_THE_YEAR = 0.2
"""Share of subscriptions that are paid a year ahead."""

LEAVING = {MONTHLY: 0.015, YEARLY: 0.2}
"""Share of subscriptions that end instead of being renewed."""

DECLINES = ("insufficient_funds", "generic_decline", "do_not_honor", "expired_card")


@dataclass(frozen=True, slots=True)
class Item:
    """A subscription item."""

    id: str
    price: Price
    quantity: int

    @property
    def amount(self) -> int:
        """What it costs each time."""
        return self.price.amount * self.quantity


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription that is invoiced again after some months."""

    id: str
    payer: Payer
    items: tuple[Item, ...]
    started: int
    months: int
    discount: Discount | None
    """What is taken off each invoice."""

    def is_due(self, day: date) -> bool:
        """Whether a period begins on that day, which is not the first."""
        first = _day(self.started)
        months = (day.year - first.year) * 12 + day.month - first.month
        return months > 0 and months % self.months == 0 and day == self._day_in(day)

    def period(self, day: date) -> tuple[int, int]:
        """The period that begins on a day: at the time of day that the subscription began at."""
        return self._begins(day, 0), self._begins(day, self.months)

    def period_before(self, day: date) -> tuple[int, int]:
        """The period that ends on a day; that before the first is an instant."""
        first = day == _day(self.started)
        return self._begins(day, 0 if first else -self.months), self._begins(day, 0)

    def _day_in(self, month: date) -> date:
        """The day of a month on which periods begin: the last where the month is too short."""
        _, length = monthrange(month.year, month.month)
        return month.replace(day=min(_day(self.started).day, length))

    def _begins(self, day: date, months: int) -> int:
        """When the period begins that does so in the month that many months after a day's."""
        month = day.year * 12 + day.month - 1 + months
        begins = self._day_in(date(month // 12, month % 12 + 1, 1))
        return (begins - date(1970, 1, 1)).days * DAY + self.started % DAY


class Billing:
    """Subscriptions and their invoices."""

    def __init__(self, ledger: Ledger, chance: Random) -> None:
        """Write to `ledger`, as `chance` has it."""
        self._ledger = ledger
        self._chance = chance
        self._running: list[Subscription] = []
        self._numbers: defaultdict[str, int] = defaultdict(int)
        self.prices = PriceList(ledger)

    def subscribe(self, payer: Payer, day: date, when: int) -> None:
        """Start a subscription and bill its first period; some change their mind the same day."""
        chance, ledger = self._chance, self._ledger
        months = YEARLY if chance.random() < BY_THE_YEAR else MONTHLY
        plans = self.prices.plans(payer.currency, months)
        count = BIG if chance.random() < 0.03 else chance.randint(1, 2)
        items = tuple(
            Item(ledger.id("subscription_item"), chance.choice(plans), chance.randint(1, 5))
            for _ in range(count)
        )
        luck = chance.random()
        welcome = Discount(ledger.id("discount"), 10) if luck < 0.2 else None
        loyal = Discount(ledger.id("discount"), 20) if luck > 0.9 else None
        regretted = chance.random() < 0.12
        sub = Subscription(ledger.id("subscription"), payer, items, when, months, loyal)
        invoice, _ = self._invoice(sub, day, discount=welcome or loyal, regretted=regretted)
        ledger.write(
            "subscriptions",
            {
                "id": sub.id,
                "automatic_tax": {"enabled": False, "liability": None},
                "billing_cycle_anchor": when,
                "cancel_at_period_end": False,
                "cancellation_details": _cancellation(None),
                "collection_method": "charge_automatically",
                "created": when,
                "currency": payer.currency,
                "customer": payer.customer,
                "default_payment_method": payer.payment_method,
                "default_tax_rates": [],
                "discounts": [loyal.id] if loyal else [],
                "latest_invoice": invoice,
                "metadata": {},
                "start_date": when,
                "status": "active",
            },
            "customer.subscription.created",
        )
        for item in items:
            self._item(sub, item, day)
        if regretted:
            self._end(sub, when + 8 * HOUR, "cancellation_requested")
        else:
            self._running.append(sub)

    def renew(self, day: date) -> None:
        """Bill the next period of every subscription that is due; some end instead."""
        due = [sub for sub in self._running if sub.is_due(day)]
        for sub in due:
            when, _ = sub.period(day)
            if self._chance.random() < LEAVING[sub.months]:
                self._end(sub, when, "cancellation_requested")
                self._running.remove(sub)
                continue
            invoice, course = self._invoice(sub, day, discount=sub.discount, regretted=False)
            self._go_on(sub, day, invoice)
            if not course.paid:
                self._end(sub, when + HOUR + 2 * HOUR * len(course.attempts), "payment_failed")
                self._running.remove(sub)

    def _go_on(self, sub: Subscription, day: date, invoice: str) -> None:
        starts, ends = sub.period(day)
        period = {"current_period_end": ends, "current_period_start": starts}
        for item in sub.items:
            self._ledger.change("subscription_items", item.id, period, starts, parent=sub.id)
        latest = {"latest_invoice": invoice}
        self._ledger.change(
            "subscriptions", sub.id, latest, starts, "customer.subscription.updated"
        )

    def _end(self, sub: Subscription, when: int, reason: str) -> None:
        end = {
            "canceled_at": when,
            "cancellation_details": _cancellation(reason),
            "ended_at": when,
            "status": "canceled",
        }
        self._ledger.change("subscriptions", sub.id, end, when, "customer.subscription.deleted")

    def _item(self, subscription: Subscription, item: Item, day: date) -> None:
        starts, ends = subscription.period(day)
        self._ledger.write(
            "subscription_items",
            {
                "id": item.id,
                "created": subscription.started,
                "current_period_end": ends,
                "current_period_start": starts,
                "discounts": [],
                "metadata": {},
                "price": item.price.object,
                "quantity": item.quantity,
                "subscription": subscription.id,
                "tax_rates": [],
            },
            parent=subscription.id,
        )

    def _course(self, amount: int, *, first: bool, regretted: bool) -> Course:
        """How an invoice's payment goes: most succeed, few fail, some at first."""
        if regretted:
            return Course(refund=amount)
        luck, decline = self._chance.random(), self._chance.choice(DECLINES)
        if luck < 0.008 and not first:
            return Course(attempts=(False, False), decline=decline)
        if luck < 0.06:
            return Course(attempts=(False, True), decline=decline)
        return Course(refund=amount if luck < 0.07 else 0, disputed=0.07 <= luck < 0.075)

    def _invoice(
        self, sub: Subscription, day: date, *, discount: Discount | None, regretted: bool
    ) -> tuple[str, Course]:
        """Bill a period and have it paid; a refund of it comes with a credit note."""
        ledger, period = self._ledger, sub.period(day)
        before = sub.period_before(day)
        when, first = period[0], day == _day(sub.started)
        invoice = ledger.id("invoice")
        subtotal = sum(item.amount for item in sub.items)
        lines = [self._line(sub, item, invoice, period, discount) for item in sub.items]
        off = sum(_discounts(line) for line in lines)
        total = subtotal - off
        course = self._course(total, first=first, regretted=regretted)
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
                "billing_reason": "subscription_" + ("create" if first else "cycle"),
                "collection_method": "charge_automatically",
                "created": when,
                "currency": sub.payer.currency,
                "customer": sub.payer.customer,
                "customer_email": sub.payer.email,
                "customer_name": sub.payer.name,
                "default_tax_rates": [],
                "discounts": [discount.id] if discount else [],
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
                "period_end": before[1],
                "period_start": before[0],
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
                "total_discount_amounts": [{"amount": off, "discount": discount.id}]
                if discount
                else [],
                "total_taxes": [self.prices.taxes(total)],
            },
            "invoice.created",
            "invoice.finalized",
            "invoice.paid" if course.paid else "invoice.payment_failed",
        )
        for line in lines:
            ledger.write("invoice_line_items", line, parent=invoice)
        self._payment(made, payment, paid=course.paid)
        if payment.refund:
            self._credit(made, lines, payment.refund, when + 5 * HOUR)
        return invoice, course

    def _line(
        self,
        sub: Subscription,
        item: Item,
        invoice: str,
        period: tuple[int, int],
        discount: Discount | None,
    ) -> dict[str, Any]:
        off = round(item.amount * discount.percent / 100) if discount else 0
        return {
            "id": self._ledger.id("line_item"),
            "amount": item.amount,
            "currency": sub.payer.currency,
            "description": f"{item.quantity} x {item.price.name}",
            "discount_amounts": [{"amount": off, "discount": discount.id}] if discount else [],
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
            "period": {"end": period[1], "start": period[0]},
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
            "taxes": [self.prices.taxes(item.amount - off)],
        }

    def _payment(self, invoice: StripeObject, payment: Payment, *, paid: bool) -> None:
        when = invoice["created"]
        self._ledger.write(
            "invoice_payments",
            {
                "id": self._ledger.id("invoice_payment"),
                "amount_paid": invoice["total"] if paid else None,
                "amount_requested": invoice["total"],
                "created": when,
                "currency": invoice["currency"],
                "invoice": invoice["id"],
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
                "currency": invoice["currency"],
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
                "total_taxes": [self.prices.taxes(total)],
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


def _cancellation(reason: str | None) -> dict[str, str | None]:
    return {"comment": None, "feedback": None, "reason": reason}


def _day(moment: int) -> date:
    return datetime.fromtimestamp(moment, timezone.utc).date()
