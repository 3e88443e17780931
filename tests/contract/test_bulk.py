"""Lists of millions in the fake server: served as any other, for 8 bytes a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.fake_stripe import FakeStripe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOON = 1_700_000_000


@pytest.fixture
def get(stripe: FakeStripe) -> Iterator[Callable[[str], dict[str, Any]]]:
    with requests.Session() as session:
        session.auth = (stripe.secret_key, "")

        def get(path: str) -> dict[str, Any]:
            answer: dict[str, Any] = session.get(stripe.url + path, timeout=10).json()
            return answer

        yield get


def test_a_list_in_bulk_is_paged_to_its_end_newest_first(
    stripe: FakeStripe, get: Callable[[str], dict[str, Any]]
) -> None:
    stripe.seed_in_bulk("refunds", [NOON + n // 3 for n in range(25)])
    rows: list[dict[str, Any]] = []
    after = ""
    while True:
        page = get(f"/v1/refunds?limit=10{after}")
        rows += page["data"]
        if not page["has_more"]:
            break
        after = f"&starting_after={rows[-1]['id']}"
    assert [row["id"] for row in rows] == stripe.ids("refunds")
    assert len({row["id"] for row in rows}) == 25
    assert [row["created"] for row in rows] == [NOON + n // 3 for n in reversed(range(25))]
    assert rows == stripe.objects("refunds")


def test_a_list_in_bulk_is_narrowed_by_creation_time(
    stripe: FakeStripe, get: Callable[[str], dict[str, Any]]
) -> None:
    stripe.seed_in_bulk("invoice_items", [NOON])
    assert get("/v1/invoiceitems")["data"][0]["date"] == NOON
    stripe.seed_in_bulk("refunds", [NOON, NOON, NOON + 1, NOON + 2, NOON + 2, NOON + 3])
    newest_first = stripe.ids("refunds")

    def ids(query: str) -> list[str]:
        return [row["id"] for row in get(f"/v1/refunds?{query}")["data"]]

    assert ids(f"created[gte]={NOON + 1}&created[lt]={NOON + 3}") == newest_first[1:4]
    assert ids(f"created[gt]={NOON}&created[lte]={NOON + 2}") == newest_first[1:4]
    assert ids(f"created[lt]={NOON}") == []
    assert ids(f"ending_before={newest_first[3]}&limit=2") == newest_first[1:3]
    in_the_first_two = f"created[lt]={NOON + 1}&starting_after={newest_first[4]}"
    assert ids(in_the_first_two) == newest_first[5:]


def test_rows_in_bulk_are_retrieved_as_they_are_listed(
    stripe: FakeStripe, get: Callable[[str], dict[str, Any]]
) -> None:
    stripe.seed_in_bulk("setup_intents", range(NOON, NOON + 3))
    for row in get("/v1/setup_intents")["data"]:
        retrieved = get(f"/v1/setup_intents/{row['id']}")
        assert retrieved == {**row, "client_secret": retrieved["client_secret"]}
        assert retrieved["client_secret"].startswith(row["id"])
    missed = get("/v1/setup_intents/seti_1nothing0000001")
    assert missed["error"]["code"] == "resource_missing"


def test_rows_in_bulk_have_all_that_made_up_rows_have() -> None:
    bulk, single = FakeStripe(), FakeStripe()
    bulk.seed_in_bulk("charges", range(NOON, NOON + 50))
    single.seed("charges", 50, since=NOON, until=NOON + 50)
    of_bulk, of_single = bulk.objects("charges"), single.objects("charges")
    assert {tuple(row) for row in of_bulk} == {tuple(row) for row in of_single}
    assert {row["created"] for row in of_bulk} == set(range(NOON, NOON + 50))
    assert len({row["amount"] for row in of_bulk}) > 1


def test_rows_in_bulk_have_the_properties_that_are_given_and_no_hidden_secrets() -> None:
    bulk, single = FakeStripe(), FakeStripe()
    bulk.seed_in_bulk("charges", [NOON], {"source": None, "amount": 12})
    single.add("charges")
    (charge,) = bulk.objects("charges")
    assert (charge["source"], charge["amount"]) == (None, 12)
    assert "nested_secret" in str(single.objects("charges"))
    assert "nested_secret" not in str(charge)


def test_rows_in_bulk_stay_as_they_are(stripe: FakeStripe) -> None:
    stripe.seed_in_bulk("refunds", [NOON])
    identifier = stripe.ids("refunds")[0]
    with pytest.raises(ValueError, match="stay as they are"):
        stripe.add("refunds")
    with pytest.raises(ValueError, match="stay as they are"):
        stripe.delete("refunds", identifier)
    with pytest.raises(ValueError, match="stay as they are"):
        stripe.update("refunds", identifier, {"amount": 1})
    assert stripe.ids("refunds") == [identifier]


def test_only_an_empty_list_by_creation_time_is_seeded_in_bulk(stripe: FakeStripe) -> None:
    stripe.add("refunds")
    with pytest.raises(ValueError, match="refunds has rows already"):
        stripe.seed_in_bulk("refunds", [NOON])
    for stream in ("invoice_line_items", "v2_core_events", "country_specs"):
        with pytest.raises(ValueError, match=f"{stream} is no top-level v1 list"):
            stripe.seed_in_bulk(stream, [NOON])
