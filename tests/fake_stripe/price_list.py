"""What a shop sells: products with a price in each currency, coupons, and the tax in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.fake_stripe.ledger import Ledger
    from tests.fake_stripe.store import StripeObject

VAT = 19
"""Per cent, included in every amount."""

CURRENCIES = ("usd", "eur", "jpy")

PLANS = {"Starter": 1900, "Team": 4900, "Studio": 9900, "Archive": 700, "Priority support": 2900}
GOODS = {"Notebook": 1400, "Pen": 350, "Sticker sheet": 250, "Onboarding hour": 12000}
"""Prices in cents, of a month where they recur."""

YEN_FOR_A_CENT = 1.5
MONTHS_TO_PAY_A_YEAR = 10

MONTHLY, YEARLY = 1, 12
INTERVALS = {MONTHLY: "month", YEARLY: "year"}


@dataclass(frozen=True, slots=True)
class Price:
    """A price, with its product's name."""

    name: str
    amount: int
    object: StripeObject


@dataclass(frozen=True, slots=True)
class Discount:
    """What a coupon takes off a subscription's invoices."""

    id: str
    percent: int


class PriceList:
    """The shop's prices."""

    def __init__(self, ledger: Ledger) -> None:
        """Write to `ledger`."""
        self._ledger = ledger
        self._plans: dict[tuple[str, int], list[Price]] = {}
        self._goods: dict[str, list[Price]] = {}
        self.tax_rate = ""

    def open(self, when: int) -> None:
        """Write products, prices, the tax rate and the coupons."""
        plans = {name: self._product(name, when, "service") for name in PLANS}
        goods = {name: self._product(name, when, "good") for name in GOODS}
        for currency in CURRENCIES:
            for months in INTERVALS:
                self._plans[currency, months] = [
                    self._price(name, product, _of(PLANS[name], currency, months), when, months)
                    for name, product in plans.items()
                ]
            self._goods[currency] = [
                self._price(name, product, _of(GOODS[name], currency), when)
                for name, product in goods.items()
            ]
        self._tax(when)
        self._coupon("WELCOME10", "Welcome", 10, "once", when)
        self._coupon("LOYAL20", "Loyal", 20, "forever", when)

    def plans(self, currency: str, months: int) -> list[Price]:
        """Prices that recur after so many months."""
        return self._plans[currency, months]

    def goods(self, currency: str) -> list[Price]:
        """Prices that are paid once."""
        return self._goods[currency]

    def taxes(self, amount: int) -> dict[str, Any]:
        """The tax in an amount, as invoices and their lines tell it."""
        tax = round(amount * VAT / (100 + VAT))
        return {
            "amount": tax,
            "tax_behavior": "inclusive",
            "tax_rate_details": {"tax_rate": self.tax_rate},
            "taxability_reason": "standard_rated",
            "taxable_amount": amount - tax,
            "type": "tax_rate_details",
        }

    def _product(self, name: str, when: int, kind: str) -> StripeObject:
        return self._ledger.write(
            "products",
            {
                "id": self._ledger.id("product"),
                "active": True,
                "created": when,
                "description": f"{name}, by Ada's Notebooks",
                "images": [],
                "marketing_features": [],
                "metadata": {},
                "name": name,
                "type": kind,
                "updated": when,
            },
            "product.created",
        )

    def _price(
        self,
        name: str,
        product: StripeObject,
        of: tuple[int, str],
        when: int,
        months: int | None = None,
    ) -> Price:
        amount, currency = of
        made = self._ledger.write(
            "prices",
            {
                "id": self._ledger.id("price"),
                "active": True,
                "billing_scheme": "per_unit",
                "created": when,
                "currency": currency,
                "metadata": {},
                "product": product["id"],
                "recurring": _recurring(INTERVALS[months]) if months else None,
                "tax_behavior": "inclusive",
                "type": "recurring" if months else "one_time",
                "unit_amount": amount,
                "unit_amount_decimal": str(amount),
            },
            "price.created",
        )
        if not product["default_price"]:
            product["default_price"] = made["id"]
        return Price(name, amount, made)

    def _tax(self, when: int) -> None:
        self.tax_rate = self._ledger.id("tax_rate")
        self._ledger.write(
            "tax_rates",
            {
                "id": self.tax_rate,
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

    def _coupon(self, code: str, name: str, percent: int, duration: str, when: int) -> None:
        self._ledger.write(
            "coupons",
            {
                "id": code,
                "created": when,
                "duration": duration,
                "metadata": {},
                "name": name,
                "percent_off": percent,
                "valid": True,
            },
            "coupon.created",
        )


def _of(cents: int, currency: str, months: int = MONTHLY) -> tuple[int, str]:
    """A price in a currency's smallest unit: that of the yen is the yen."""
    times = MONTHS_TO_PAY_A_YEAR if months == YEARLY else 1
    return round(cents * times * (YEN_FOR_A_CENT if currency == "jpy" else 1)), currency


def _recurring(interval: str) -> dict[str, Any]:
    return {
        "interval": interval,
        "interval_count": 1,
        "meter": None,
        "trial_period_days": None,
        "usage_type": "licensed",
    }
