"""The shop's books, kept from the server's own objects: what the statements have to answer."""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import date, datetime, timezone
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fake_stripe import FakeStripe
    from tests.fake_stripe.store import StripeObject

Answer: TypeAlias = list[tuple[Any, ...]]
"""A statement's rows, in its order."""

MONTHS = {"month": 1, "year": 12}


class Books:
    """What is true of the shop, at the end of its story."""

    def __init__(self, stripe: FakeStripe, until: int) -> None:
        """Open them."""
        self._stripe = stripe
        self._until = until
        self._subscriptions = stripe.objects("subscriptions")
        self._items: defaultdict[str, list[StripeObject]] = defaultdict(list)
        for item in stripe.objects("subscription_items"):
            self._items[item["subscription"]].append(item)
        self._invoices: defaultdict[str, list[StripeObject]] = defaultdict(list)
        for invoice in stripe.objects("invoices"):
            of = invoice["parent"]["subscription_details"]["subscription"]
            self._invoices[of].append(invoice)

    def mrr_by_month(self) -> Answer:
        """Of each month's last second: what subscriptions bring, by their items and invoices.

        The last invoice's time stands for the last month's.
        """
        answer: Answer = []
        last = max(invoice["created"] for invoice in self._stripe.objects("invoices"))
        for month in self._months("invoices", "created"):
            moment = min(_start(_next(month)) - 1, last)
            sums, counts = Counter[str](), Counter[str]()
            there = self._there(moment)
            for sub in self._subscriptions:
                if sub["id"] in there:
                    counts[sub["currency"]] += 1
                    sums[sub["currency"]] += sum(self._earned(sub, moment))
            answer += [(month, name, sums[name], counts[name]) for name in sorted(counts)]
        return answer

    def mrr_by_plan(self) -> Answer:
        """Of now: what each product brings at its price, by currency and interval."""
        products = {each["id"]: each["name"] for each in self._stripe.objects("products")}
        rows: dict[tuple[str, str, str], tuple[set[str], list[int], list[int]]] = {}
        for sub in self._subscriptions:
            for item in self._items[sub["id"]] if sub["status"] == "active" else ():
                interval = item["price"]["recurring"]["interval"]
                key = (sub["currency"], products[item["price"]["product"]], interval)
                subs, quantities, amounts = rows.setdefault(key, (set(), [], []))
                subs.add(sub["id"])
                quantities.append(item["quantity"])
                amounts.append(_monthly(_gross(item), item))
        answer = [
            (*key, len(subs), sum(quantities), sum(amounts))
            for key, (subs, quantities, amounts) in rows.items()
        ]
        return sorted(answer, key=lambda row: (row[0], -row[5], row[1], row[2]))

    def subscriptions_by_month(self) -> Answer:
        """Of each month: who came, who went, who is there at its end."""
        answer: Answer = []
        for month in self._months("subscriptions", "start_date"):
            there, remain = self._there(_start(month) - 1), self._there(_start(_next(month)) - 1)
            begun = [sub for sub in self._subscriptions if _month(sub["start_date"]) == month]
            ended = [sub for sub in self._subscriptions if _month(sub["ended_at"]) == month]
            churn = Decimal(100 * len(there.keys() - remain.keys())) / len(there) if there else None
            rounded = churn and churn.quantize(Decimal("0.1"), ROUND_HALF_UP)
            customers = len(set(remain.values()))
            answer.append((month, len(begun), len(ended), len(remain), customers, rounded))
        return answer

    def payout_reconciliation(self) -> Answer:
        """Of each payout: what kinds of objects it pays for; nothing is unexplained."""
        answer: Answer = []
        for payout in self._stripe.objects("payouts"):
            inside = self._stripe.objects("payout_balance_transactions", parent=payout["id"])
            amounts = Counter[str]()
            for row in inside:
                amounts[row["source"].partition("_")[0]] += row["amount"]
            fees = sum(row["fee"] for row in inside)
            parts = (amounts["ch"], amounts["re"], amounts["dp"] + amounts["du"])
            assert sum(parts) - fees == payout["amount"], amounts
            arrives = _day(payout["arrival_date"])
            paid = (payout["id"], arrives, payout["currency"], payout["amount"])
            answer.append((*paid, *parts, fees, 0))
        return sorted(answer, key=lambda row: (row[1], row[0]))

    def failed_payments_by_month(self) -> Answer:
        """Of each month, currency and reason: attempts, payments, those that came through later."""
        intents = {each["id"]: each for each in self._stripe.objects("payment_intents")}
        failed: defaultdict[tuple[date, str, str], list[str]] = defaultdict(list)
        for charge in self._stripe.objects("charges"):
            if charge["failure_code"]:
                key = (_month(charge["created"]), charge["currency"], charge["outcome"]["reason"])
                failed[key].append(charge["payment_intent"])
        answer: Answer = []
        for key, payments in sorted(failed.items()):
            distinct = {name: intents[name] for name in payments}
            lost = [each["amount"] for each in distinct.values() if not each["amount_received"]]
            recovered = len(distinct) - len(lost)
            answer.append((*key, len(payments), len(distinct), recovered, sum(lost)))
        return answer

    def refunds_and_disputes_by_month(self) -> Answer:
        """Of each month and currency: what was charged, given back and disputed."""
        totals: defaultdict[tuple[date, str], Counter[str]] = defaultdict(Counter)
        for charge in self._stripe.objects("charges"):
            if charge["status"] == "succeeded":
                totals[_key(charge)]["charged"] += charge["amount"]
        for kind in ("refunds", "disputes"):
            for each in self._stripe.objects(kind):
                totals[_key(each)][kind] += 1
                totals[_key(each)][f"{kind} amount"] += each["amount"]
                if each["status"] == "lost":
                    totals[_key(each)]["lost"] += each["amount"]
        columns = ("charged", "refunds", "refunds amount", "disputes", "disputes amount", "lost")
        return [
            (*key, *(total[column] for column in columns)) for key, total in sorted(totals.items())
        ]

    def revenue_by_month(self) -> Answer:
        """Of each month and currency of the balance: what came in, went out and was kept."""
        totals: defaultdict[tuple[date, str], Counter[str]] = defaultdict(Counter)
        for row in self._stripe.objects("balance_transactions"):
            if row["type"] != "payout":
                totals[_key(row)][row["type"]] += row["amount"]
                totals[_key(row)]["fee"] += row["fee"]
        return [
            (
                *key,
                *(total[kind] for kind in ("charge", "refund", "adjustment")),
                0,
                total["fee"],
                total["charge"] + total["refund"] + total["adjustment"] - total["fee"],
            )
            for key, total in sorted(totals.items())
        ]

    def _earned(self, sub: StripeObject, moment: int) -> Iterator[int]:
        """What each item of a subscription brings in a month, as it was invoiced last."""
        invoice = max(
            (each for each in self._invoices[sub["id"]] if each["created"] <= moment),
            key=lambda each: int(each["created"]),
        )
        off = sum(each["amount"] for each in invoice["total_discount_amounts"])
        percent = round(10 * off / invoice["subtotal"]) * 10
        for item in self._items[sub["id"]]:
            gross = _gross(item) - round(_gross(item) * percent / 100)
            vat = self._stripe.objects("tax_rates")[0]["percentage"]
            yield _monthly(gross - round(gross * vat / (100 + vat)), item)

    def _there(self, moment: int) -> dict[str, str]:
        """The subscriptions that are active at a moment, with their customers."""
        return {
            sub["id"]: sub["customer"]
            for sub in self._subscriptions
            if sub["start_date"] <= moment and (sub["ended_at"] is None or sub["ended_at"] > moment)
        }

    def _months(self, stream: str, field: str) -> Iterator[date]:
        month = min(_month(row[field]) for row in self._stripe.objects(stream))
        while _start(month) < self._until:
            yield month
            month = _next(month)


def _gross(item: StripeObject) -> int:
    return int(item["price"]["unit_amount"]) * int(item["quantity"])


def _monthly(amount: int, item: StripeObject) -> int:
    months = MONTHS[item["price"]["recurring"]["interval"]]
    return int((Decimal(amount) / months).quantize(Decimal(1), ROUND_HALF_UP))


def _key(row: StripeObject) -> tuple[date, str]:
    return _month(row["created"]), row["currency"]


def _day(moment: Any) -> date:  # noqa: ANN401 - a time of JSON
    return datetime.fromtimestamp(moment or 0, timezone.utc).date()


def _month(moment: Any) -> date:  # noqa: ANN401 - a time of JSON
    return _day(moment).replace(day=1)


def _next(month: date) -> date:
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def _start(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=timezone.utc).timestamp())
