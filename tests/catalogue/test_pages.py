"""The pages on streams say of each what the catalogue says."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tools.catalogue import permissions
from tools.catalogue.areas import AREAS, by_area
from tools.catalogue.entities import MAIN
from tools.catalogue.pages import _prose, _requests
from tools.catalogue.permissions import SETS, Permissions
from tools.catalogue.sdk import UnresolvedNameError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_stripe_conn.catalogue.resources import Catalogue

STREAMS = Path("docs/streams")


def test_every_stream_has_a_section_on_the_page_of_one_area(
    catalogue: Catalogue, generated: Mapping[Path, str]
) -> None:
    pages = [generated[STREAMS / f"{area.name}.md"] for area in AREAS]
    sections = [name for page in pages for name in re.findall(r"^## (\w+)$", page, re.MULTILINE)]
    assert sorted(sections) == list(catalogue.resources)


def test_a_stream_without_an_area_stops_the_generator(catalogue: Catalogue) -> None:
    odd = replace(catalogue.resources["charges"], name="gift_cards")
    with pytest.raises(UnresolvedNameError, match="gift_cards must be in one area"):
        by_area([*catalogue.resources.values(), odd])


def test_an_area_of_a_stream_that_is_gone_stops_the_generator(catalogue: Catalogue) -> None:
    left = [each for each in catalogue.resources.values() if each.name != "topups"]
    with pytest.raises(UnresolvedNameError, match=r"\('balance', 'topups'\)"):
        by_area(left)


def test_a_column_is_told_of_in_stripes_words_with_the_stream_that_it_leads_to(
    generated: Mapping[Path, str],
) -> None:
    page = generated[STREAMS / "payments.md"].partition("\n## charges\n")[2]
    assert (
        "| `customer` | text | ID of the customer this charge is for if one exists. "
        "→ [`customers`](customers.md#customers) |"
    ) in page
    assert "| permission | `charge_read` |" in page
    assert "| requests | one for 100 rows, several at once |" in page


@pytest.mark.parametrize(
    ("stream", "cost"),
    [
        ("balance", "one"),
        ("charges", "one for 100 rows, several at once"),
        ("payment_links", "one for 100 rows, one after the other"),
        ("invoice_line_items", "none where the parent's row holds all; else one for 100 rows"),
        ("setup_attempts", "one for each row of the parent, and another for every 100 rows more"),
        ("payout_balance_transactions", "one for each row of the parent that is automatic, and"),
    ],
)
def test_a_stream_says_what_reading_it_costs(catalogue: Catalogue, stream: str, cost: str) -> None:
    assert _requests(catalogue.resources[stream]).startswith(cost)


@pytest.mark.parametrize(
    ("words", "markdown"),
    [
        ("card_present | card", r"card\_present \| card"),
        ("A `card_present` *field*", r"A `card_present` \*field\*"),
        ("[Deprecated] <b>", r"\[Deprecated\] \<b>"),
    ],
)
def test_stripes_words_are_no_markdown(words: str, markdown: str) -> None:
    assert _prose(words) == markdown


def test_the_least_permissions_of_a_child_are_its_parents_and_that_of_events(
    catalogue: Catalogue,
) -> None:
    known = Permissions(catalogue.resources.values())
    assert known.least(["invoice_line_items"]) == (["event_read", "invoice_read"], [])


def test_no_permission_is_guessed(catalogue: Catalogue) -> None:
    known = Permissions(catalogue.resources.values())
    assert known.least(["exchange_rates"]) == (["event_read"], ["exchange_rates"])


def test_a_permission_for_what_is_no_stream_stops_the_generator(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(permissions, "STREAMS", {"recipient_read": ("recipients",)})
    with pytest.raises(UnresolvedNameError, match="recipients"):
        Permissions(catalogue.resources.values())


def test_every_set_can_be_read_with_permissions_that_are_known(catalogue: Catalogue) -> None:
    known = Permissions(catalogue.resources.values())
    assert [each.title for each in SETS if known.least(each.streams)[1]] == []


def test_the_picture_of_streams_has_a_line_from_an_invoices_line_to_its_price(
    generated: Mapping[Path, str],
) -> None:
    picture, page = generated[Path("docs/entities.svg")], generated[Path("docs/entities.md")]
    assert set(re.findall(r'font-weight="600">(\w+)<', picture)) == MAIN
    assert ">pricing.price_details.price<" in picture
    assert (
        "| [`invoice_line_items`](streams/billing.md#invoice_line_items) "
        "| `pricing.price_details.price` | [`prices`](streams/products.md#prices) |"
    ) in page
