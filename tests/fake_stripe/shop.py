"""A believable small shop: two years of subscriptions and sales whose money adds up.

What happens to an object happens on the day of its creation, but for subscriptions, which are
renewed until they end: the same shop with a later `until` has the same objects and more, and
subscriptions that have moved on. Days are whole: the shop ends at the last midnight, UTC, before
`until`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from tests.fake_stripe.billing import Billing
from tests.fake_stripe.ids import dice
from tests.fake_stripe.ledger import DAY, HOUR, Course, Ledger, Payer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from tests.fake_stripe.price_list import Price
    from tests.fake_stripe.server import FakeStripe

FIRST_NAMES = ("Ada", "Alan", "Barbara", "Edsger", "Frances", "Grace", "Hedy", "Katherine", "Mary")
LAST_NAMES = ("Allen", "Bartik", "Dijkstra", "Hopper", "Johnson", "Lamarr", "Liskov", "Lovelace")
CITIES = (
    ("Austin", "US", "78701"),
    ("Berlin", "DE", "10115"),
    ("Lisbon", "PT", "1100-148"),
    ("Oakland", "US", "94607"),
    ("Osaka", "JP", "530-0001"),
    ("Savannah", "US", "31401"),
)
CURRENCIES = {"DE": "eur", "JP": "jpy", "PT": "eur", "US": "usd"}
"""What customers pay in, by their country."""

NEW_CUSTOMERS_A_DAY = 0.3
SALES_A_DAY = 0.6
SUBSCRIBERS = 0.4
"""Share of customers who subscribe on their first day."""


def stock(
    stripe: FakeStripe,
    *,
    until: float | None = None,
    since: float | None = None,
    seed: int = 0,
) -> None:
    """Fill the platform's account with the shop, about 300 customers and 15,000 to 20,000 rows.

    Args:
        stripe: The server.
        until: When the shop's story ends, in Unix seconds; default: the server's now.
        since: When it begins; default: the 1st of January two years before `until`'s year, so
            that a later `until` of the same year goes on with the same story.
        seed: What chance starts from.
    """
    end = _day(stripe.now() if until is None else until)
    begin = date(end.year - 2, 1, 1) if since is None else _day(since)
    shop = Shop(stripe, begin, end, dice("shop", seed))
    day = begin
    while day < end:
        shop.live(day)
        day += timedelta(days=1)
    shop.close()


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer and how they pay."""

    payer: Payer
    address: dict[str, Any]


class Shop:
    """The shop as it lives, day by day."""

    def __init__(self, stripe: FakeStripe, begin: date, end: date, chance: Random) -> None:
        """Open, with products and prices."""
        self._stripe = stripe
        self._chance = chance
        self._ledger = Ledger(stripe, _midnight(end))
        self._customers: list[Customer] = []
        self._billing = Billing(self._ledger, chance)
        self._billing.prices.open(_midnight(begin))

    def live(self, day: date) -> None:
        """One day: new customers, invoices that are due, sales, and on Mondays a payout."""
        midnight = _midnight(day)
        for _ in range(self._arrivals(NEW_CUSTOMERS_A_DAY)):
            self._welcome(midnight + 8 * HOUR + self._chance.randrange(3 * HOUR), day)
        self._billing.renew(day)
        for _ in range(self._arrivals(SALES_A_DAY)):
            if self._customers:
                customer = self._chance.choice(self._customers)
                when = midnight + 12 * HOUR + self._chance.randrange(4 * HOUR)
                self._sell(customer, when)
        if day.weekday() == 0:
            self._ledger.pay_out(midnight + 23 * HOUR)

    def close(self) -> None:
        """Write what there is only one of: the account and its balance."""
        left = {
            currency: sum(transaction["net"] for transaction in unpaid)
            for currency, unpaid in self._ledger.unpaid.items()
        }
        nothing = dict.fromkeys(left, 0)
        self._stripe.put("balance", {"available": _amounts(left), "pending": _amounts(nothing)})
        self._stripe.put(
            "account",
            {
                "id": self._stripe.account_id,
                "business_profile": {"name": "Ada's Notebooks", "url": "https://shop.example.com"},
                "business_type": "company",
                "charges_enabled": True,
                "country": "US",
                "default_currency": "usd",
                "details_submitted": True,
                "email": "ada@shop.example.com",
                "payouts_enabled": True,
                "type": "standard",
            },
        )

    def _arrivals(self, rate: float) -> int:
        """How many come on a day: none, one or two."""
        return sum(self._chance.random() < rate / 2 for _ in range(2))

    def _welcome(self, when: int, day: date) -> None:
        customer = self._customer(when)
        self._customers.append(customer)
        if self._chance.random() < SUBSCRIBERS:
            self._billing.subscribe(customer.payer, day, when + 600)

    def _customer(self, when: int) -> Customer:
        chance, ledger = self._chance, self._ledger
        name = f"{chance.choice(FIRST_NAMES)} {chance.choice(LAST_NAMES)}"
        city, country, postal_code = chance.choice(CITIES)
        address = {
            "city": city,
            "country": country,
            "line1": f"{chance.randrange(1, 99)} Main Street",
            "line2": None,
            "postal_code": postal_code,
            "state": None,
        }
        number = len(self._customers) + 1
        payer = Payer(
            customer=ledger.id("customer"),
            payment_method=ledger.id("payment_method"),
            name=name,
            email=f"{name.lower().replace(' ', '.')}.{number}@example.com",
            last4=f"{chance.randrange(10000):04}",
            currency=CURRENCIES[country],
        )
        ledger.write(
            "customers",
            {
                "id": payer.customer,
                "address": address,
                "balance": 0,
                "created": when,
                "currency": payer.currency,
                "delinquent": False,
                "email": payer.email,
                "invoice_prefix": f"SHOP{number:04}",
                "invoice_settings": {"default_payment_method": payer.payment_method},
                "metadata": {"crm": str(10000 + number)} if chance.random() < 0.5 else {},
                "name": name,
                "next_invoice_sequence": 1,
                "phone": None,
                "preferred_locales": ["en"],
                "tax_exempt": "none",
            },
            "customer.created",
        )
        self._save_card(payer, address, when + 60)
        return Customer(payer, address)

    def _save_card(self, payer: Payer, address: dict[str, Any], when: int) -> None:
        ledger = self._ledger
        ledger.write(
            "payment_methods",
            {
                "id": payer.payment_method,
                "allow_redisplay": "always",
                "billing_details": {"address": address, "email": payer.email, "name": payer.name},
                "card": {
                    "brand": "visa",
                    "country": address["country"],
                    "exp_month": 12,
                    "exp_year": 2034,
                    "funding": "credit",
                    "last4": payer.last4,
                },
                "created": when,
                "customer": payer.customer,
                "metadata": {},
                "type": "card",
            },
            "payment_method.attached",
        )
        intent = ledger.id("setup_intent")
        ledger.write(
            "setup_intents",
            {
                "id": intent,
                "client_secret": f"{intent}_secret_{intent[-8:]}",
                "created": when,
                "customer": payer.customer,
                "metadata": {},
                "payment_method": payer.payment_method,
                "payment_method_types": ["card"],
                "status": "succeeded",
                "usage": "off_session",
            },
            "setup_intent.created",
            "setup_intent.succeeded",
        )

    def _sell(self, customer: Customer, when: int) -> None:
        """A checkout session: one in ten is left, the others are paid."""
        chance, ledger, payer = self._chance, self._ledger, customer.payer
        session = ledger.id("checkout.session")
        shelf = self._billing.prices.goods(payer.currency)
        goods = chance.sample(shelf, chance.randint(1, len(shelf)))
        basket = [(price, chance.randint(1, 4)) for price in goods]
        total = sum(price.amount * quantity for price, quantity in basket)
        intent = None
        if chance.random() >= 0.1:
            refund = chance.choice((total, total // 2)) if chance.random() < 0.06 else 0
            disputed = not refund and chance.random() < 0.02
            attempts = (False, True) if chance.random() < 0.05 else (True,)
            course = Course(attempts=attempts, refund=refund, disputed=disputed)
            intent = ledger.pay(payer, total, when + 120, "Order", course).intent
        ledger.write(
            "checkout_sessions",
            {
                "id": session,
                "amount_subtotal": total,
                "amount_total": total,
                "automatic_tax": {"enabled": False, "liability": None, "status": None},
                "client_secret": None,
                "created": when,
                "currency": payer.currency,
                "customer": payer.customer,
                "customer_details": {"email": payer.email, "name": payer.name},
                "expires_at": when + 3 * HOUR,
                "metadata": {},
                "mode": "payment",
                "payment_intent": intent,
                "payment_method_types": ["card"],
                "payment_status": "paid" if intent else "unpaid",
                "status": "complete" if intent else "expired",
                "success_url": "https://shop.example.com/thanks",
                "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
                "ui_mode": "hosted",
            },
            "checkout.session.completed" if intent else "checkout.session.expired",
        )
        for price, quantity in basket:
            self._line(session, price, quantity)

    def _line(self, session: str, price: Price, quantity: int) -> None:
        amount = price.amount * quantity
        self._ledger.write(
            "checkout_session_line_items",
            {
                "id": self._ledger.id("item"),
                "amount_discount": 0,
                "amount_subtotal": amount,
                "amount_tax": 0,
                "amount_total": amount,
                "currency": price.object["currency"],
                "description": price.name,
                "discounts": [],
                "price": price.object,
                "quantity": quantity,
                "taxes": [],
            },
            parent=session,
        )


def _amounts(amounts: Mapping[str, int]) -> list[dict[str, Any]]:
    return [
        {"amount": amount, "currency": currency, "source_types": {"card": amount}}
        for currency, amount in amounts.items()
    ]


def _day(moment: float) -> date:
    return datetime.fromtimestamp(moment, timezone.utc).date()


def _midnight(day: date) -> int:
    return (day - date(1970, 1, 1)).days * DAY
