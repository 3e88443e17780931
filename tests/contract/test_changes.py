"""Each run tells what has changed since the one before: whole, and by few requests."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.contract.conftest import FAST, Run, TapCommand
from tests.fake_stripe import FakeStripe
from tests.fake_stripe.clock import DAY, Clock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fake_stripe import Request

NOON = 1_700_000_000
"""14 November 2023, 22:13:20."""

FIRST_DAY, LAST_DAY = NOON - 900 * DAY, NOON - 700 * DAY
"""When most objects were made."""


@pytest.fixture
def stripe() -> Iterator[FakeStripe]:
    """An empty account whose clock stands still."""
    with FakeStripe(now=Clock(NOON)) as server:
        yield server


def living(run: Run, stream: str) -> set[str]:
    return {row["id"] for row in run.rows(stream) if not row.get("_sdc_deleted_at")}


def gone(run: Run, stream: str) -> set[str]:
    return {row["id"] for row in run.rows(stream) if row.get("_sdc_deleted_at")}


# --- All streams -------------------------------------------------------------------------------


class Runs(NamedTuple):
    """Three over all streams."""

    stripe: FakeStripe
    first: Run
    idle: list[Request]
    """What the second asked: nothing had happened."""

    again: Run
    """After events have told of every object that they can tell of."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    with FakeStripe(now=Clock(NOON)) as stripe:
        settings = {"live_api_key": stripe.secret_key, "api_base": stripe.url, **FAST}
        tap = TapCommand(tmp_path_factory.mktemp("tap"), settings)
        resources = stripe.catalogue.resources
        for name, resource in resources.items():
            if not resource.singleton:
                stripe.seed(name, 2, since=FIRST_DAY, until=LAST_DAY)
        for method in stripe.ids("payment_methods"):
            stripe.update("payment_methods", method, {"customer": stripe.ids("customers")[0]})
        stripe.life.tell("coupon.created", stripe.objects("coupons")[0], at=NOON - DAY)
        first = tap()
        stripe.clock.advance(hours=1)
        stripe.requests.clear()
        second = tap(state=first.state)
        idle = list(stripe.requests)
        for name, resource in resources.items():
            if resource.changes.startswith("feed"):
                kinds = [kind for kind in resource.event_types if kind not in resource.removals]
                for parent, listed, _ in stripe.truth(name):
                    known = stripe.retrieve(name, listed["id"], parent=parent)
                    stripe.life.tell(kinds[-1], known)
        stripe.clock.advance(hours=1)
        yield Runs(stripe, first, idle, tap(state=second.state))


def test_a_stream_that_events_tell_all_of_costs_nothing_when_nothing_happened(runs: Runs) -> None:
    requests = Counter(request.stream for request in runs.idle)
    resources = runs.stripe.catalogue.resources
    assert requests.pop("v2_core_account_persons") == 3  # for each parent
    assert requests.pop("account") == 2  # the stream, and the proof of the credentials
    assert requests.pop("events") == 3  # the stream, the feed, and whether there are any at all
    assert set(requests.values()) == {1}
    told = {name for name, each in resources.items() if each.told_of_creation}
    assert told.isdisjoint(requests)
    assert requests.total() == 55


def test_a_row_is_the_same_whether_it_was_listed_or_read_again_after_an_event(runs: Runs) -> None:
    def rows(run: Run, name: str) -> dict[tuple[str, ...], dict[str, Any]]:
        key = runs.stripe.catalogue.resources[name].primary_key
        return {
            tuple(row[column] for column in key): {
                column: value for column, value in row.items() if column != "_updated_at"
            }
            for row in run.rows(name)
        }

    resources = runs.stripe.catalogue.resources
    told_of = {name for name, each in resources.items() if each.changes.startswith("feed")}
    for name in resources.keys() - {"events"}:
        listed, again = rows(runs.first, name), rows(runs.again, name)
        assert again == {key: listed.get(key) for key in again}, name
        assert name not in told_of or again.keys() == listed.keys(), name


# --- A day of an account -----------------------------------------------------------------------


class Day(NamedTuple):
    """What happened on it, and the run after it."""

    stripe: FakeStripe
    run: Run
    ids: dict[str, str]


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    with FakeStripe(now=Clock(NOON)) as stripe:
        settings = {"live_api_key": stripe.secret_key, "api_base": stripe.url, **FAST}
        tap = TapCommand(tmp_path_factory.mktemp("tap"), settings)
        life = stripe.life
        customer = life.create("customers", email="ada@example.com")["id"]
        subscription = life.create("subscriptions", items={"data": [{}, {}]})["id"]
        draft = life.create("invoices", status="draft", lines={"data": [{}, {}, {}]})["id"]
        open_ = life.create("invoices", status="draft", lines={"data": [{}] * 12})["id"]
        card = life.create("payment_methods", customer=customer)["id"]
        life.create("coupons", id="SALE", percent_off=10.0)
        product = life.create("products", name="Chair")["id"]
        canceled = life.create("subscriptions", status="active")["id"]
        items = stripe.ids("subscription_items", parent=subscription)
        lines = stripe.ids("invoice_line_items", parent=draft)
        select = [
            "coupons",
            "customer_payment_methods",
            "customers",
            "invoice_line_items",
            "invoices",
            "payment_methods",
            "products",
            "subscription_items",
            "subscriptions",
        ]
        stripe.clock.advance(days=1)
        first = tap(select=select)
        life.delete("subscription_items", items[0], parent=subscription)
        life.change("invoices", open_, status="open")
        stripe.clock.advance(minutes=1)
        life.delete("invoices", draft)
        life.detach(card)
        life.delete("coupons", "SALE")
        life.create("coupons", id="SALE", percent_off=20.0)
        life.change("products", product, name="Table")
        life.silent.add("products")
        life.delete("products", product)
        life.cancel(canceled)
        life.change("customers", customer, email="grace@example.com")
        life.delete("customers", customer)
        stripe.clock.advance(hours=1)
        run = tap(select=select, state=first.state)
        assert run.code == 0
        ids = {
            "canceled": canceled,
            "card": card,
            "customer": customer,
            "draft": draft,
            "kept item": items[1],
            "lines": " ".join(sorted(lines)),
            "open": open_,
            "product": product,
            "removed item": items[0],
        }
        yield Day(stripe, run, ids)


def test_an_item_that_was_removed_from_its_subscription_is_gone(day: Day) -> None:
    assert gone(day.run, "subscription_items") == {day.ids["removed item"]}
    assert living(day.run, "subscription_items") >= {day.ids["kept item"]}


def test_a_draft_invoice_that_was_deleted_takes_its_lines_along(day: Day) -> None:
    assert gone(day.run, "invoices") == {day.ids["draft"]}
    assert " ".join(sorted(gone(day.run, "invoice_line_items"))) == day.ids["lines"]


def test_all_lines_of_an_invoice_that_changed_are_read_again(day: Day) -> None:
    assert living(day.run, "invoices") == {day.ids["open"]}
    lines = day.stripe.ids("invoice_line_items", parent=day.ids["open"])
    assert living(day.run, "invoice_line_items") == set(lines)
    assert len(lines) == 12


def test_a_payment_method_that_was_detached_is_gone_from_both_its_streams(day: Day) -> None:
    assert gone(day.run, "payment_methods") == {day.ids["card"]}
    (row,) = day.run.rows("customer_payment_methods")
    assert row["id"] == day.ids["card"]
    assert row["customer"] == day.ids["customer"]
    assert row["_sdc_deleted_at"] == "2023-11-15T22:14:20Z"


def test_a_coupon_whose_id_is_used_again_is_there(day: Day) -> None:
    last = day.run.rows("coupons")[-1]
    assert (last["id"], last["percent_off"]) == ("SALE", 20.0)
    assert "_sdc_deleted_at" not in last


def test_what_is_not_found_when_it_is_read_again_is_gone_as_it_was_last_known(day: Day) -> None:
    (row,) = day.run.rows("products")
    assert (row["id"], row["name"]) == (day.ids["product"], "Table")
    assert row["_sdc_deleted_at"] == row["_updated_at"] == "2023-11-15T22:14:20Z"


def test_a_deleted_customer_is_its_last_known_row_with_the_time_of_its_end(day: Day) -> None:
    (row,) = day.run.rows("customers")
    assert (row["id"], row["email"]) == (day.ids["customer"], "grace@example.com")
    assert row["_sdc_deleted_at"] == "2023-11-15T22:14:20Z"


def test_a_cancellation_is_no_deletion(day: Day) -> None:
    rows = {row["id"]: row for row in day.run.rows("subscriptions")}
    assert rows[day.ids["canceled"]]["status"] == "canceled"
    assert gone(day.run, "subscriptions") == set()


# --- How many requests -------------------------------------------------------------------------


def test_ten_changes_cost_ten_requests_at_most_and_fewer_where_they_lie_together(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    stripe.seed("charges", 1_000, since=NOON - 400 * DAY, until=NOON - 10 * DAY)
    stripe.seed("customers", 500, since=NOON - 400 * DAY, until=NOON - 10 * DAY)
    together = [stripe.add("charges", created=NOON - 5 * DAY + n)["id"] for n in range(7)]
    apart = stripe.ids("customers")[100::150]
    first = tap(select=["charges", "customers"])
    for charge in together:
        stripe.life.change("charges", charge, description="changed")
    for _ in range(5):
        for customer in apart:
            stripe.life.change("customers", customer, email="ada@example.com")
    stripe.clock.advance(hours=1)
    stripe.requests.clear()
    run = tap(select=["charges", "customers"], state=first.state)
    assert living(run, "charges") == set(together)
    assert living(run, "customers") == set(apart)
    assert len(run.rows("charges") + run.rows("customers")) == 10
    # Each list is also asked for what is new, as something is told of its rows.
    read = [request for request in stripe.requests if request.stream in {"charges", "customers"}]
    assert Counter(request.stream for request in read) == {"charges": 2, "customers": 4}
    assert [request.path for request in stripe.requests].count("/v1/events") == 1


# --- Gaps --------------------------------------------------------------------------------------


def test_a_gap_of_40_days_heals_and_is_named(tap: TapCommand, stripe: FakeStripe) -> None:
    stripe.clock.advance(days=-1)
    changed, forgotten, deleted, _ = (stripe.life.create("customers")["id"] for _ in range(4))
    stripe.clock.advance(days=1)
    first = tap(select=["customers"])
    stripe.clock.advance(days=1)
    stripe.life.change("customers", changed, email="ada@example.com")
    stripe.life.delete("customers", forgotten)
    stripe.clock.advance(days=15)
    stripe.life.delete("customers", deleted)
    stripe.clock.advance(days=24)
    run = tap(select=["customers"], state=first.state)
    assert run.code == 0
    assert living(run, "customers") == set(stripe.ids("customers"))
    assert {row["email"] for row in run.rows("customers") if row["id"] == changed} == {
        "ada@example.com"
    }
    # Of what was deleted more than 29 days ago, Stripe tells nothing any more.
    assert gone(run, "customers") == {deleted}
    assert "customers is read whole again: its changes are known up to 2023-11-14" in run.stderr
    stripe.requests.clear()
    after = tap(select=["customers"], state=run.state)
    assert after.rows("customers") == []
    assert "whole again" not in after.stderr


def test_rows_of_another_version_of_the_api_are_read_again(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    stripe.seed("charges", 3, since=FIRST_DAY, until=LAST_DAY)
    life = stripe.life
    subscription = life.create("subscriptions", items={"data": [{}, {}]}, at=NOON - DAY)["id"]
    select = ["charges", "subscription_items"]
    state = tap(select=select).state
    removed, kept = stripe.ids("subscription_items", parent=subscription)
    life.delete("subscription_items", removed, parent=subscription)
    stripe.clock.advance(hours=1)
    for name in select:
        assert state["bookmarks"][name]["api_version"] == stripe.catalogue.api_version
        state["bookmarks"][name]["api_version"] = "2025-09-30.clover"
    run = tap(select=select, state=state)
    assert living(run, "charges") == set(stripe.ids("charges"))
    assert living(run, "subscription_items") == {kept}
    assert gone(run, "subscription_items") == {removed}
    assert "its rows are of Stripe's API version 2025-09-30.clover, and now of" in run.stderr
    assert run.bookmark("charges")["api_version"] == stripe.catalogue.api_version


def test_what_the_settings_left_out_is_listed_when_they_ask_for_it(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    select = ["charges", "quotes"]  # can be listed by time, and not
    before, between, after = (
        {name: stripe.life.create(name, at=NOON - age * DAY)["id"] for name in select}
        for age in (4, 2, 0.5)
    )
    first = tap(select=select, start_date="2023-11-12", end_date="2023-11-14")
    stripe.clock.advance(hours=1)
    second = tap(select=select, state=first.state)
    for name in select:
        assert living(first, name) == {between[name]}
        assert living(second, name) >= {before[name], after[name]}


def test_a_stream_selected_for_the_first_time_is_read_whole_beside_the_others(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    stripe.seed("charges", 3, since=FIRST_DAY, until=LAST_DAY)
    stripe.seed("customers", 3, since=FIRST_DAY, until=LAST_DAY)
    first = tap(select=["charges"])
    stripe.clock.advance(days=1)
    run = tap(select=["charges", "customers"], state=first.state)
    assert run.rows("charges") == []
    assert living(run, "customers") == set(stripe.ids("customers"))


def test_where_events_may_not_be_read_all_is_listed_again(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    charge = stripe.life.create("charges", at=NOON - DAY)["id"]
    first = tap(select=["charges"])
    stripe.life.change("charges", charge, description="changed")
    stripe.clock.advance(hours=1)
    key = stripe.restricted_key({stripe.permission_for("charges")})
    run = tap(select=["charges"], state=first.state, live_api_key=key)
    assert run.code == 0
    assert [row["description"] for row in run.rows("charges")] == ["changed"]
    assert "these credentials may not read Stripe's events" in run.stderr


def test_what_no_event_tells_of_is_read_again_once_a_day_for_as_long_as_is_asked(
    tap: TapCommand, stripe: FakeStripe
) -> None:
    ages = (2, 10, 50)
    old = [stripe.add("balance_transactions", created=NOON - age * DAY)["id"] for age in ages]
    first = tap(select=["balance_transactions"])
    stripe.clock.advance(hours=24)
    usual = tap(select=["balance_transactions"], state=first.state)
    shorter = tap(select=["balance_transactions"], state=first.state, mutable_window_days=5)
    assert living(usual, "balance_transactions") == set(old[:2])
    assert living(shorter, "balance_transactions") == set(old[:1])
