"""Stripe's Markdown docstrings as one plain sentence."""

from __future__ import annotations

import re

_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_TAG = re.compile(r"<[^>]+>")
_EMPHASIS = re.compile(r"\*\*(.+?)\*\*")
# A sentence ends at a full stop before a capital, a quote or an end; not after `e.g.`, `i.e.`, `etc.`.
_END = re.compile(r"(?<!\be\.g)(?<!\bi\.e)(?<!\betc)(?<!\bvs)[.!?](?=\s+[A-Z`\"'(]|\s*$)")


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
