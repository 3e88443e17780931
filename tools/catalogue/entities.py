"""The picture of the main streams and the columns by which their rows name each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tools import drawing

if TYPE_CHECKING:
    from collections.abc import Mapping

COLUMNS: tuple[tuple[str, ...], ...] = (
    ("coupons", "promotion_codes", "products", "prices"),
    ("subscriptions", "subscription_items", "invoice_items", "invoice_line_items"),
    ("customers", "payment_methods", "invoices", "credit_notes", "invoice_payments"),
    ("checkout_sessions", "setup_intents", "payment_intents", "charges", "refunds", "disputes"),
    (
        "balance_transactions",
        "payout_balance_transactions",
        "payouts",
        "transfers",
        "application_fees",
    ),
)
"""The streams in the picture, column by column from the left, each from top to bottom."""

ASIDE = ("default_", "failure_", "last_", "payment_method_details.", "sepa_debit.", "originating_")
"""Beginnings of columns that the picture leaves out, because they are rarely joined by."""

MAIN = frozenset(stream for column in COLUMNS for stream in column)

_GAP, _APART, _MARGIN = 26, 110, 60
_COLOURS = (
    "#3b5bdb",
    "#c2255c",
    "#2b8a3e",
    "#e8590c",
    "#6741d9",
    "#0b7285",
    "#a61e4d",
    "#5c940d",
    "#d9480f",
    "#1971c2",
)


def entities(references: Mapping[str, Mapping[str, str]]) -> str:
    """The picture as SVG.

    Args:
        references: Stream -> dotted column -> stream that has the row.
    """
    shown = {
        stream: {
            column: to
            for column, to in references[stream].items()
            if to in MAIN and not column.startswith(ASIDE)
        }
        for stream in MAIN
    }
    boxes = _boxes(shown)
    colours = {stream: _COLOURS[at % len(_COLOURS)] for at, stream in enumerate(boxes)}
    lines = [
        _line(boxes[stream], row, boxes[target], colours[target])
        for stream in boxes
        for row, target in enumerate(shown[stream].values())
    ]
    size = (
        max(box.x + box.width for box in boxes.values()) + _MARGIN,
        max(box.y + box.height for box in boxes.values()) + _GAP,
    )
    return drawing.picture(
        "The main streams and the columns by which their rows name each other",
        size,
        [*lines, *(box.svg() for box in boxes.values())],
    )


def _boxes(shown: Mapping[str, Mapping[str, str]]) -> dict[str, drawing.Box]:
    boxes, x = {}, float(_MARGIN)
    for column in COLUMNS:
        width = drawing.width([text for stream in column for text in (stream, *shown[stream])])
        y = float(_GAP)
        for stream in column:
            box = drawing.Box(stream, list(shown[stream]), x, y, width)
            boxes[stream] = box
            y += box.height + _GAP
        x += width + _APART
    return boxes


def _line(box: drawing.Box, row: int, target: drawing.Box, colour: str) -> str:
    """From a row's edge to the target's heading, on the side where that is."""
    y, to_y = box.y + drawing.HEAD + drawing.ROW * (row + 0.5) + 2, target.y + drawing.HEAD / 2
    far = _APART / 2
    if target.x > box.x:
        return drawing.curve((box.x + box.width, y), (target.x, to_y), colour, (far, -far))
    if target.x < box.x:
        return drawing.curve((box.x, y), (target.x + target.width, to_y), colour, (-far, far))
    far = min(_MARGIN, 20 + abs(to_y - y) / 8)
    return drawing.curve((box.x, y), (target.x, to_y), colour, (-far, -far))
