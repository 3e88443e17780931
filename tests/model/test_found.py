"""What histories have found, told shortly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fake_stripe import FakeStripe
from tests.fake_stripe.clock import DAY, Clock
from tests.model.pipeline import extract

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.model.pipeline import Run

NOON = 1_700_000_000


@pytest.fixture
def stripe() -> Iterator[FakeStripe]:
    """An empty account whose clock stands still."""
    with FakeStripe(now=Clock(NOON)) as server:
        yield server


def last(run: Run, stream: str, identifier: str) -> bool | None:
    """Whether a row is there by what a run told last of it; None where it told nothing."""
    records = (each for each in run.messages if each["type"] == "RECORD")
    rows = [each["record"] for each in records if each["stream"] == stream]
    told = [not row.get("_sdc_deleted_at") for row in rows if row["id"] == identifier]
    return told[-1] if told else None


def test_a_parent_that_ends_in_the_second_of_its_childs_last_event_is_gone(
    stripe: FakeStripe,
) -> None:
    customer = stripe.life.create("customers", at=NOON - DAY)["id"]
    life = stripe.life
    tax_id = life.create("customer_tax_ids", parent=customer, at=NOON - DAY)["id"]
    select = ["customer_tax_ids", "customers"]
    first = extract(stripe, select, {})
    stripe.clock.advance(hours=1)
    verified = {"verification": {"status": "verified"}}
    life.change("customer_tax_ids", tax_id, verified, parent=customer)
    life.delete("customers", customer)
    run = extract(stripe, select, first.state)
    assert last(run, "customers", customer) is False
    assert last(run, "customer_tax_ids", tax_id) is False


def test_an_attachment_that_is_told_after_the_detachment_brings_nothing_back(
    stripe: FakeStripe,
) -> None:
    customer = stripe.life.create("customers", at=NOON - DAY)["id"]
    first = extract(stripe, ["payment_methods"], {})
    stripe.life.late = 300
    card = stripe.life.create("payment_methods", customer=customer)["id"]
    stripe.clock.advance(seconds=3)
    stripe.life.late = 0
    stripe.life.detach(card)
    stripe.clock.advance(minutes=1)
    second = extract(stripe, ["payment_methods"], first.state)
    assert last(second, "payment_methods", card) is False
    stripe.clock.advance(hours=1)
    third = extract(stripe, ["payment_methods"], second.state)
    assert last(third, "payment_methods", card) is not True
