"""What a run can't go on from is read again or told, and nothing of it is lost."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from tests.contract.conftest import Run, TapCommand, catalog_of
from tests.fake_stripe import FakeStripe
from tests.fake_stripe.clock import DAY, Clock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NOON = 1_700_000_000
WHOLE = {"forced-replication-method": "FULL_TABLE"}


@pytest.fixture
def stripe() -> Iterator[FakeStripe]:
    """An empty account whose clock stands still."""
    with FakeStripe(now=Clock(NOON)) as server:
        yield server


def last(run: Run, stream: str) -> dict[str, bool]:
    """Whether each row is there, by what a run told last of it."""
    return {row["id"]: not row.get("_sdc_deleted_at") for row in run.rows(stream)}


def test_what_is_read_whole_for_want_of_events_is_read_although_another_stream_has_begun_to(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    customer = stripe.life.create("customers", at=NOON - 100 * DAY)["id"]
    both = ["customer_balance_transactions", "customers"]
    key = stripe.restricted_key({stripe.permission_for(name) for name in both})
    first = tap(select=["customers"])
    stripe.clock.advance(hours=1)
    stripe.life.change("customers", customer, email="ada@example.com")
    stripe.clock.advance(hours=1)
    stripe.fault("/v1/events", "stall", seconds=1.5)  # the new stream's list comes first
    second = tap(select=both, state=first.state, live_api_key=key)
    assert second.code == 0
    assert "customers is read whole again" in second.stderr
    assert [row["email"] for row in second.rows("customers")][-1] == "ada@example.com"


@pytest.mark.parametrize("late", [0, 300])
def test_an_id_that_is_used_again_is_of_what_is_there(
    tap: TapCommand, stripe: FakeStripe, late: int
) -> None:
    stripe.life.create("coupons", id="SALE", percent_off=10.0)
    first = tap(select=["coupons"])
    stripe.clock.advance(hours=1)
    stripe.life.late = late
    stripe.life.delete("coupons", "SALE")
    stripe.life.late = 0
    stripe.clock.advance(seconds=2)
    stripe.life.create("coupons", id="SALE", percent_off=20.0)
    stripe.clock.advance(minutes=3)
    second = tap(select=["coupons"], state=first.state)
    assert last(second, "coupons") == {"SALE": True}
    stripe.clock.advance(minutes=5)
    third = tap(select=["coupons"], state=second.state)
    assert last(third, "coupons").get("SALE", True)


def test_an_id_that_was_used_again_before_a_repair_is_of_what_is_there(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    stripe.life.create("coupons", id="SALE", percent_off=10.0)
    state = tap(select=["coupons"]).state
    stripe.clock.advance(days=2)
    stripe.life.delete("coupons", "SALE")
    stripe.clock.advance(hours=1)
    stripe.life.create("coupons", id="SALE", percent_off=20.0)
    stripe.clock.advance(days=1)
    state["bookmarks"]["coupons"]["api_version"] = "2025-01-01.old"
    stripe.fault("/v1/events", "stall", seconds=1.0)  # the list comes first
    run = tap(select=["coupons"], state=state)
    assert last(run, "coupons") == {"SALE": True}


def test_lists_that_no_time_narrows_are_asked_for_new_rows_where_no_events_come(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    select = ["billing_meters", "payment_links", "products"]
    for name in select:
        stripe.add(name, {}, created=NOON - 400 * DAY)
    first = tap(select=select)
    stripe.clock.advance(days=2)
    made = {name: stripe.add(name, {}, created=stripe.now())["id"] for name in select}
    stripe.clock.advance(hours=1)
    second = tap(select=select, state=first.state)
    for name in select:
        assert made[name] in last(second, name)


def test_a_list_that_no_time_narrows_is_asked_once_a_week_whatever_events_tell(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    stripe.life.create("payment_links")
    state = tap(select=["payment_links"]).state
    unknown = stripe.add("payment_links", {}, created=NOON)["id"]  # and no event told of it
    found = []
    for _ in range(3):
        stripe.clock.advance(days=3)
        stripe.life.create("products")
        run = tap(select=["payment_links"], state=state)
        found.append(unknown in last(run, "payment_links"))
        state = run.state
    assert found == [False, False, True]


def test_children_whose_list_is_each_parents_own_are_looked_up_by_their_ids(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    card = stripe.life.create("issuing_cards", at=NOON - 100 * DAY)["id"]
    tokens = [
        stripe.life.create("issuing_tokens", parent=card, at=NOON - 90 * DAY + number)["id"]
        for number in range(4)
    ]
    first = tap(select=["issuing_cards", "issuing_tokens"])
    stripe.clock.advance(hours=1)
    for token in tokens:
        stripe.life.change("issuing_tokens", token, parent=card, status="suspended")
    stripe.clock.advance(hours=1)
    second = tap(select=["issuing_cards", "issuing_tokens"], state=first.state)
    assert second.code == 0
    assert {row["id"]: row["status"] for row in second.rows("issuing_tokens")} == dict.fromkeys(
        tokens, "suspended"
    )


def test_a_deletion_is_told_after_a_whole_read_in_between(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    customer = stripe.life.create("customers")["id"]
    first = tap(select=["customers"])
    stripe.clock.advance(hours=1)
    stripe.life.delete("customers", customer)
    stripe.clock.advance(hours=1)
    whole = tap(catalog=catalog_of(["customers"], **WHOLE), state=first.state)
    stripe.clock.advance(hours=1)
    third = tap(select=["customers"], state=whole.state)
    assert last(third, "customers") == {customer: False}


def test_a_change_during_a_whole_read_that_was_interrupted_is_told_after_it(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    for number in range(450):
        stripe.add("customers", {}, created=NOON - 400 * DAY + number * DAY // 2)
    newest = stripe.objects("customers")[0]["id"]
    whole: dict[str, Any] = {"catalog": catalog_of(["customers"], **WHOLE)}
    stripe.fault("/v1/customers", status=400, after=2, times=math.inf)
    first = tap(**whole, requests_per_second=5)
    assert newest in last(first, "customers")
    stripe.clear_faults()
    stripe.clock.advance(hours=5)
    stripe.life.change("customers", newest, email="ada@example.com")
    stripe.clock.advance(hours=5)
    second = tap(**whole, state=first.state)
    assert newest not in last(second, "customers")
    third = tap(select=["customers"], state=second.state)
    assert [row["email"] for row in third.rows("customers")] == ["ada@example.com"]


def test_a_review_that_is_closed_before_a_run_could_list_it_is_told(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    first = tap(select=["reviews"])
    stripe.clock.advance(hours=1)
    review = stripe.life.create("reviews", open=True)["id"]
    stripe.clock.advance(seconds=60)
    stripe.life.change("reviews", review, open=False)
    stripe.clock.advance(hours=1)
    second = tap(select=["reviews"], state=first.state)
    assert last(second, "reviews") == {review: True}


def test_without_events_a_read_that_is_cut_again_and_again_comes_to_its_end(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    for number in range(900):
        stripe.add("charges", {}, created=NOON - 400 * DAY + number * 3_600)
    key = stripe.restricted_key({stripe.permission_for("charges")})
    state: Mapping[str, Any] = {}
    read: set[str] = set()
    codes = []
    for _ in range(5):
        stripe.clear_faults()
        stripe.fault("/v1/charges", status=400, after=4, times=math.inf)
        run = tap(select=["charges"], state=state, live_api_key=key, requests_per_second=5)
        codes.append(run.code)
        read |= last(run, "charges").keys()
        state = run.state
        stripe.clock.advance(hours=1)
    assert read == set(stripe.ids("charges"))


def test_a_proxys_404_does_not_say_that_there_are_no_children(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    customer = stripe.life.create("customers")["id"]
    stripe.life.create("customer_balance_transactions", parent=customer)
    page = b"<html>not found</html>"
    path = "/v1/customers/*/balance_transactions"
    stripe.fault(path, status=404, body=page, times=math.inf)
    run = tap(select=["customer_balance_transactions"])
    assert run.code in {1, 3}
    assert not run.bookmark("customer_balance_transactions")


def test_a_stream_that_was_read_before_and_is_not_in_the_catalog_any_more_is_named(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    stripe.life.create("customers")
    first = tap(select=["charges", "customers"])
    said = "Read by a run before, but no longer in the catalog: "
    assert said not in first.stderr
    second = tap(select=["customers"], state=first.state)
    assert f"{said}charges\n" in second.stderr
    assert second.bookmark("charges") == first.bookmark("charges")


def test_the_state_of_another_account_or_mode_is_not_gone_on_from(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    other = stripe.add_account()
    stripe.add("customers", {}, created=NOON - DAY, account=other)
    stripe.life.create("customers")
    first = tap(select=["customers"])
    run = tap(select=["customers"], state=first.state, account_id=other)
    assert run.code == 2
    assert '"RECORD"' not in run.stdout
    assert "State of stream 'customers' is of acct_" in run.last_line
    assert f"these credentials are for {other} in test mode" in run.last_line
    state = first.state
    state["bookmarks"]["customers"]["mode"] = "live"
    assert tap(select=["customers"], state=state).code == 2
    for unknown in ("account", "mode"):
        del state["bookmarks"]["customers"][unknown]
    assert tap(select=["customers"], state=state).code == 0
