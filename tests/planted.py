"""Secrets that tests plant, and the forms in which a program might give them away."""

from __future__ import annotations

import json
import re
from itertools import product
from secrets import choice
from string import ascii_letters, digits
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Callable


def key(kind: str = "sk_" + "test_") -> str:
    """One that nobody has, of Stripe's shape."""
    return kind + "51" + "".join(choice(ascii_letters + digits) for _ in range(22))


def odd() -> str:
    """One that Stripe would not give out, with what encoders change; requests can send it."""
    return f"odd/\"{key('')}'\\+%=&?<>"


def _quoted_lower(text: str) -> str:
    return re.sub("%..", lambda found: found[0].lower(), quote(text, safe=""))


ENCODINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON with all letters": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "repr": lambda text: repr(text)[1:-1],
    "repr beside quotation marks": lambda text: repr("'\"" + text)[4:-1],
    "ascii": lambda text: ascii(text)[1:-1],
    "bytes": lambda text: repr(text.encode())[2:-1],
    "URL": lambda text: quote(text, safe=""),
    "URL's path": quote,
    "URL's query": quote_plus,
    "URL in lower case": _quoted_lower,
    "URL as requests has it": lambda text: quote(text, safe="!#$%&'()*+,/:;=?@[]~"),
}
"""Of text within text."""


def in_base64(text: str) -> set[str]:
    """Of base64 of anything that holds the text, one of these is a part."""
    bits = "".join(f"{byte:08b}" for byte in text.encode())
    alphabet = ascii_letters[26:] + ascii_letters[:26] + digits
    found = set()
    for skipped, last in product((0, 2, 4), ("+/", "-_")):
        whole = bits[skipped : skipped + (len(bits) - skipped) // 6 * 6]
        found.add(
            "".join((alphabet + last)[int(whole[i : i + 6], 2)] for i in range(0, len(whole), 6))
        )
    return found


def forms(secret: str) -> set[str]:
    """All that a secret is searched for by."""
    twice = {b(a(secret)) for a, b in product(ENCODINGS.values(), repeat=2)}
    return twice | in_base64(secret)
