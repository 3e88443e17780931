"""Values that databases and file formats trip over, in an account as Stripe would list them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.fake_stripe.ids import dice

if TYPE_CHECKING:
    from tests.fake_stripe import FakeStripe

TEXTS = {
    "empty": "",
    "blank": " \t ",
    "lines": "one\ntwo\r\nthree\rfour\u0085five\u2028six\u2029seven\vand\feight",
    "controls": "".join(chr(code) for code in (*range(1, 32), 127, *range(128, 160))),
    "quotes": "'; drop table customers; -- \" ` $$ \\' E'\\n'",
    "marks of COPY": "\\N",
    "end of COPY": "\\.\n\\.",
    "backslashes": "\\ \\\\ \\n \\u0000 \\x00",
    "placeholders": "%s %(id)s :id $1 ? {id} {{id}}",
    "separators": "a,b;c|d\te",
    "markup": "<b>&amp;</b>",
    "astral": "𝄞 🧾 👩‍👩‍👧‍👦 𠜎",
    "last code point": "\U0010ffff\ufffe\uffff\ufeff",
    "composed": "é e\u0301 Å A\u030a ﬁ ǅ İ ß",
    "right to left": "\u202eשל\u05d5ם العربية\u202c",
    "null": "null",
    "not a number": "NaN",
    "infinite": "-Infinity",
    "number": "0012e3",
    "date": "2024-02-30",
    "time": "2024-01-01T00:00:00Z",
    "JSON": '{"a": [1, null]}',
    "array": "{1,NULL}",
    "header": "description",
    "long": "a long text " * 10_000,
    "long word": "语" * 100_000,
}
"""Texts by what is strange about them."""

METADATA: dict[str, dict[str, str | None]] = {
    "none": {},
    "null in a key": {"order": None},
    "500 keys": {f"key {number}": f"value {number}" for number in range(500)},
    "words of SQL": dict.fromkeys(
        ("end", "from", "default", "order", "select", "table", "user", "null", "group"), "x"
    ),
    "no names": dict.fromkeys(
        ("", " ", "a.b", "a b", "a'b", 'a"b', "a\\b", "$", "🧾", "%s", "[0]", "__proto__"), "x"
    ),
    "both cases": {"Key": "1", "key": "2", "KEY": "3"},
    "our own names": {"_sdc_deleted_at": "x", "_updated_at": "x", "id": "x"},
    "long": {"k" * 40: "v" * 500},
}
"""What users keep with an object, by what is strange about it."""

AMOUNTS = [
    ("jpy", 1_000),
    ("krw", 999_999_999_999),
    ("kwd", 1_234_567),
    ("jod", 10),
    ("usd", 0),
    ("usd", -1),
    ("vnd", 2**53),
    ("vnd", 2**53 + 1),
    ("vnd", -(2**53) - 1),
    ("idr", 2**63 - 1),
    ("idr", -(2**63)),
]
"""Amounts in the currency's smallest unit, which is a whole one, a hundredth or a thousandth."""

DECIMALS = ["0.000000000001", "1234567890123456789.123456789012", "-0", "1E+2", "00.10"]
"""Numbers that Stripe sends as texts, to the last digit."""

RATES = [0.1, 0.1 + 0.2, 1e-7, 33.333333333333336, 12345.678901234567, 100.0]
"""Numbers with a fraction that Stripe sends as numbers."""

RANDOM_TEXTS = 150


def add_strange_rows(stripe: FakeStripe) -> None:
    """Put them into an account."""
    for text in (*TEXTS.values(), *_random_texts()):
        address = {"city": text, "country": None, "parts": [text, None, {text: text}]}
        stripe.add("customers", {"description": text, "name": text, "address": address})
        stripe.add("webhook_endpoints", {"description": text, "enabled_events": [text, text]})
    for metadata in METADATA.values():
        stripe.add("customers", {"metadata": metadata})
    for currency, amount in AMOUNTS:
        nested = {"amount": amount, "parts": [amount, {"of": amount}]}
        given: dict[str, Any] = {"currency": currency, "amount": amount, "net": amount}
        stripe.add("balance_transactions", {**given, "fee_details": [nested]})
        stripe.add("charges", {"currency": currency, "amount": amount, "level3": nested})
    for decimal in DECIMALS:
        stripe.add("prices", {"unit_amount": None, "unit_amount_decimal": decimal})
    for rate in RATES:
        stripe.add("balance_transactions", {"exchange_rate": rate, "fee_details": [{"rate": rate}]})


def _random_texts() -> list[str]:
    """Texts of any characters that JSON in UTF-8 can have, but for the NUL."""
    chance = dice("texts")
    ends = (0x7F, 0x7FF, 0xFFFF, 0x10FFFF)
    codes = [
        [chance.randrange(1, chance.choice(ends)) for _ in range(chance.randrange(1, 60))]
        for _ in range(RANDOM_TEXTS)
    ]
    return ["".join(chr(code) for code in text if not 0xD800 <= code < 0xE000) for text in codes]
