"""Children that come within their parent's row."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from tap_stripe_conn.api.errors import BrokenListError
from tap_stripe_conn.streams.children import children_in
from tap_stripe_conn.tap import TapStripeConn

if TYPE_CHECKING:
    from tap_stripe_conn.api.client import Object
    from tap_stripe_conn.streams.stream import StripeStream

LINES = [{"object": "line_item", "id": "il_1"}, {"object": "line_item", "id": "il_2"}]


@cache
def invoice_lines() -> StripeStream:
    tap = TapStripeConn(config={"live_api_key": "sk_" + "test_" + "children"})
    return tap.stripe_streams["invoice_line_items"]


def invoice(**said: Any) -> Object:  # noqa: ANN401 - JSON
    return {"object": "invoice", "id": "in_1", "lines": {"object": "list", "data": LINES, **said}}


@pytest.mark.parametrize("said", [{}, {"total_count": 2}, {"total_count": None}])
def test_an_embedded_list_is_taken_as_it_is_when_there_is_no_more(said: dict[str, Any]) -> None:
    assert children_in(invoice(has_more=False, **said), invoice_lines()) == LINES


@pytest.mark.parametrize("total", [0, 1, 3])
def test_an_embedded_list_that_is_not_as_long_as_it_says_is_an_error(total: int) -> None:
    row = invoice(has_more=False, total_count=total)
    with pytest.raises(BrokenListError, match=f"in_1 holds 2 invoice_line_items.* are {total}"):
        children_in(row, invoice_lines())


def test_an_embedded_list_is_asked_for_when_there_is_more_or_nobody_knows() -> None:
    assert children_in(invoice(has_more=True, total_count=30), invoice_lines()) is None
    assert children_in(invoice(total_count=2), invoice_lines()) is None
