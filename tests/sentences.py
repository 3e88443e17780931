"""What the program can say, and what a page explains of it."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PACKAGE: Final = Path(__file__).parents[1] / "tap_stripe_conn"

FILLED_IN: Final[Mapping[str, tuple[str, ...]]] = {
    "Stripe refused the refresh token": ("Stripe refused the …", "refresh token"),
    "Stripe refused the authorization code": ("Stripe refused the …", "authorization code"),
    "account acct_… can't be reached with this key": (
        "… can't be reached with this …; check account_id",
        "account …",
    ),
    "missing permission rak_…": ("missing permission …",),
}
"""Messages of which the program fills in more than what varies, and the texts it makes them of."""


def unsaid(page: str) -> list[str]:
    """The messages in a page's tables of messages that the program can't say."""
    messages = []
    for table in re.findall(r"^\| message \|.*\n\|---\|---\|\n((?:\|.*\n)+)", page, re.MULTILINE):
        found = re.findall(r"^\| `([^`]+)`(?: \(or `\w+`\))? \|", table, re.MULTILINE)
        assert len(found) == len(table.splitlines())
        messages += found
    assert len(messages) > 10
    return [message for message in messages if not can_say(message)]


def can_say(message: str) -> bool:
    """Whether the program has the texts that a message is made of."""
    return all(text in sentences() for text in FILLED_IN.get(message, (message,)))


@cache
def sentences() -> str:
    """All texts of the program, a line each, with … where it puts something in."""
    return "\n".join(
        re.sub(r"%[sd]|\{\w*\}", "…", text)
        for file in sorted(PACKAGE.rglob("*.py"))
        for text in _texts(ast.parse(file.read_text(encoding="utf-8")))
    )


def _texts(tree: ast.AST) -> Iterator[str]:
    """All but docstrings."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        yield from _texts(node)
