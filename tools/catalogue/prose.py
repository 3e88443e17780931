"""Stripe's Markdown docstrings as plain sentences."""

from __future__ import annotations

import re

_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_TAG = re.compile(r"</?[a-z][^>]*>")
_EMPHASIS = re.compile(r"\*\*(.+?)\*\*")
# A full stop ends a sentence if a capital, a quote or nothing follows, but not in `e.g.` or `etc.`.
_END = re.compile(r"(?<!\be\.g)(?<!\bi\.e)(?<!\betc)(?<!\bvs)[.!?](?=\s+[A-Z`\"'(]|\s*$)")
_ADVICE = ("For new integrations", "Legacy ", "You can now ", "[Deprecated]")


def first_sentence(docstring: str) -> str:
    r"""The first sentence of a docstring, on one line, without links and tags.

    Examples:
        >>> first_sentence("The [charge](https://docs.stripe.com/charges)\n to pay. Or not.")
        'The charge to pay.'
    """
    paragraph = docstring.strip().split("\n\n")[0]
    text = _TAG.sub("", _EMPHASIS.sub(r"\1", _LINK.sub(r"\1", paragraph)))
    text = " ".join(text.split())
    end = _END.search(text)
    return text[: end.end()] if end else text


def description(docstring: str) -> str:
    """The first sentence on what an object is, past advice to use another one."""
    for paragraph in docstring.strip().split("\n\n"):
        if not paragraph.startswith(_ADVICE):
            return first_sentence(paragraph)
    return first_sentence(docstring)
